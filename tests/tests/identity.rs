//! Whose behavior it was, end to end on both logs, told by real trackers and an imported file: shared devices, two devices,
//! late web visits, a typo, two addresses of one person, who are merged and split again, and what people do not allow.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};
use tasuki_tests::commands::{answers, import, program};
use tasuki_tests::trackers::{people, people_by_rudder};
use tasuki_tests::{Log, PATIENCE, Tasuki, eventually};

#[test]
fn who_did_what_is_right_for_real_people_on_the_embedded_log() -> anyhow::Result<()> {
    all_of_them(Log::Embedded)
}

#[test]
fn who_did_what_is_right_for_real_people_on_kafka() -> anyhow::Result<()> {
    all_of_them(Log::Kafka)
}

fn all_of_them(log: Log) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(log, folder.path(), &["--block", "user:terminal"])?;
    shared_ipad(&tasuki)?;
    newsletter_on_the_phone_then_form_on_the_laptop(&tasuki)?;
    trade_show_card_then_web_visit(&tasuki, folder.path())?;
    typo_corrected(&tasuki)?;
    two_addresses_of_one_person(&tasuki)?;
    a_crm_id_and_a_phone_number(&tasuki)?;
    two_leads_of_one_record_in_the_crm(&tasuki)?;
    nobody_of_that_id(&tasuki)?;
    no_consent_to_be_contacted(&tasuki)?;
    no_consent_to_be_rated_by_a_consent_manager(&tasuki)?;
    no_consent_to_be_observed_by_a_consent_manager(&tasuki)?;
    tasuki.stop()
}

fn page(visitor: &str, path: &str, minutes_ago: u32) -> Value {
    let properties = json!({ "path": path, "url": format!("https://www.example.com{path}") });
    json!(["page", { "anonymousId": visitor, "properties": properties, "minutesAgo": minutes_ago }])
}

fn identify(visitor: &str, traits: Value, minutes_ago: u32) -> Value {
    json!(["identify", { "anonymousId": visitor, "traits": traits, "minutesAgo": minutes_ago }])
}

fn track(visitor: &str, event: &str, properties: Value, minutes_ago: u32) -> Value {
    json!(["track", { "anonymousId": visitor, "event": event, "properties": properties, "minutesAgo": minutes_ago }])
}

/// Kinds and paths of the timeline, the earliest first.
fn story(lead: &Value) -> Vec<String> {
    let timeline = lead["timeline"].as_array().into_iter().flatten().rev();
    let told = timeline.map(|entry| {
        let kind = entry["kind"].as_str().unwrap_or_default();
        match entry["path"].as_str() {
            Some(path) => format!("{kind} {path}"),
            None => kind.to_owned(),
        }
    });
    told.collect()
}

/// The lead of an address, once its timeline is as expected.
fn lead_with(tasuki: &Tasuki, address: &str, expected: &[&str]) -> anyhow::Result<Value> {
    tasuki.lead(address, |lead| story(lead) == expected).with_context(|| format!("{address}: {expected:?}"))
}

/// Both use it; each has what was done from the own identification on, and whoever was first what came before.
fn shared_ipad(tasuki: &Tasuki) -> anyhow::Result<()> {
    people(
        tasuki,
        &json!([
            page("ipad", "/booth", 60),
            identify("ipad", json!({ "email": "ana@ipad.example" }), 50),
            page("ipad", "/pumps", 40),
            identify("ipad", json!({ "email": "ben@ipad.example" }), 30),
            page("ipad", "/valves", 20),
        ]),
    )?;
    lead_with(tasuki, "ana@ipad.example", &["PageViewed /booth", "LeadIdentified", "PageViewed /pumps"])?;
    lead_with(tasuki, "ben@ipad.example", &["LeadIdentified", "PageViewed /valves"])?;
    Ok(())
}

/// The click says who holds the phone, the form who sits at the laptop, and what each device did before belongs to it.
fn newsletter_on_the_phone_then_form_on_the_laptop(tasuki: &Tasuki) -> anyhow::Result<()> {
    let click = json!(["track", {
        "anonymousId": "phone", "event": "Email Link Clicked", "properties": { "email_subject": "Autumn" },
        "context": { "traits": { "email": "chika@laptop.example" } }, "minutesAgo": 90,
    }]);
    people(tasuki, &json!([page("laptop", "/careers-not", 100), click, page("phone", "/pumps", 80)]))?;
    lead_with(tasuki, "chika@laptop.example", &["EmailClicked", "PageViewed /pumps"])?;
    people(tasuki, &json!([identify("laptop", json!({ "email": "Chika@Laptop.example" }), 10)]))?;
    let expected = ["PageViewed /careers-not", "EmailClicked", "PageViewed /pumps", "LeadIdentified"];
    lead_with(tasuki, "chika@laptop.example", &expected)?;
    Ok(())
}

/// A card scanned at the trade show, from the file that its organizer gives, is a lead before any visit; the visit joins it
/// when it becomes known whose it is.
fn trade_show_card_then_web_visit(tasuki: &Tasuki, folder: &Path) -> anyhow::Result<()> {
    let cards = folder.join("cards.csv");
    let card = "来場日時,メールアドレス,氏名,会社名,役職\n2026-11-04 15:00,Dai@Card.example,森 大,株式会社カード,CTO\n";
    std::fs::write(&cards, card)?;
    answers(&mut import(tasuki, &cards, &["--kind", "trade-show", "--name", "Expo 2026", "--yes"])?, 0)?;
    people(tasuki, &json!([page("web", "/", 30), page("web", "/pricing", 20)]))?;
    // Both of one instant: which comes first says nothing.
    let typed_in = |story: &[String]| {
        let mut first_two = story.iter().take(2).map(String::as_str).collect::<Vec<_>>();
        first_two.sort_unstable();
        first_two == ["EventAttended", "LeadIdentified"]
    };
    let of_card = |lead: &Value| typed_in(&story(lead)) && story(lead).len() == 2;
    tasuki.lead("dai@card.example", of_card)?;
    people(tasuki, &json!([identify("web", json!({ "email": "dai@card.example" }), 10)]))?;
    let visit = ["PageViewed /", "PageViewed /pricing", "LeadIdentified"];
    let of_both = |lead: &Value| typed_in(&story(lead)) && story(lead)[2..] == visit;
    let lead = tasuki.lead("dai@card.example", of_both)?;
    assert_eq!((&lead["name"], &lead["title"]), (&json!("森 大"), &json!("CTO")), "{lead:#}");
    let of_card = |at: &Value| at["occurred_at"] == "2026-11-04T06:00:00.000Z" && at["protocol"] == "import";
    let timeline = lead["timeline"].as_array().cloned().unwrap_or_default();
    assert_eq!(timeline.iter().filter(|entry| of_card(entry)).count(), 2, "with its own time: {lead:#}");
    Ok(())
}

/// What followed the right address is hers; the wrong one keeps what was given under it until a person says so.
fn typo_corrected(tasuki: &Tasuki) -> anyhow::Result<()> {
    people(
        tasuki,
        &json!([
            page("office", "/", 50),
            identify("office", json!({ "email": "eva@tpyo.example" }), 40),
            identify("office", json!({ "email": "eva@typo.example" }), 30),
            page("office", "/pricing", 20),
        ]),
    )?;
    let wrong = lead_with(tasuki, "eva@tpyo.example", &["PageViewed /", "LeadIdentified"])?;
    let right = lead_with(tasuki, "eva@typo.example", &["LeadIdentified", "PageViewed /pricing"])?;
    let answer =
        tasuki.post(&format!("/api/v1/leads/{}/merge", id(&right)), &json!({ "from": id(&wrong), "by": "e2e" }))?;
    assert_eq!(answer["command"], "merge", "{answer:#}");
    let expected = ["PageViewed /", "LeadIdentified", "LeadIdentified", "PageViewed /pricing"];
    let whole = lead_with(tasuki, "eva@typo.example", &expected)?;
    assert_eq!((&whole["email"], &whole["id"]), (&json!("eva@typo.example"), &right["id"]), "{whole:#}");
    Ok(())
}

/// Two leads, one of them handed over already: merged by the API they are one, whose handoff is that one; split by the
/// command line they are what they were.
fn two_addresses_of_one_person(tasuki: &Tasuki) -> anyhow::Result<()> {
    let asks = json!({ "form": "demo-request" });
    people(
        tasuki,
        &json!([
            page("home", "/pricing", 70),
            identify("home", json!({ "email": "fumi@home.example", "title": "CTO" }), 60),
            page("work", "/docs", 50),
            identify("work", json!({ "email": "fumi@work.example" }), 40),
            track("work", "Form Submitted", asks, 30),
        ]),
    )?;
    // Topics have no mutual order: whole is what shows the last of each.
    let at_home = |lead: &Value| story(lead) == ["PageViewed /pricing", "LeadIdentified"] && lead["title"] == "CTO";
    let home = tasuki.lead("fumi@home.example", at_home)?;
    let works = ["PageViewed /docs", "LeadIdentified", "FormSubmitted"];
    let asked = |lead: &Value| rules(lead).contains(&"demo-request".to_owned());
    let handed_over = |lead: &Value| story(lead) == works && !lead["owner"].is_null() && asked(lead);
    let work = tasuki.lead("fumi@work.example", handed_over)?;

    tasuki.post(&format!("/api/v1/leads/{}/merge", id(&home)), &json!({ "from": id(&work) }))?;
    let all = ["PageViewed /pricing", "LeadIdentified", "PageViewed /docs", "LeadIdentified", "FormSubmitted"];
    let scored = |lead: &Value| story(lead) == all && asked(lead) && lead["title"] == "CTO";
    let one = tasuki.lead("fumi@home.example", scored)?;
    assert_eq!((&one["id"], &one["title"]), (&home["id"], &json!("CTO")), "{one:#}");
    let gone = |lead: &Value| lead["merged_into"] == home["id"] && lead["active"] == false;
    let merged = eventually(PATIENCE, || {
        let merged = tasuki.get(&format!("/api/v1/leads/{}", id(&work)))?;
        Ok(gone(&merged).then_some(merged))
    })?;
    assert_eq!(merged["handoffs"][0]["id"], work["handoffs"][0]["id"], "its handoff stays");
    assert_eq!(one["handoffs"], json!([]), "and the person is not handed over twice");

    split_by_command_line(tasuki, &id(&home), &id(&work))?;
    let home_again = tasuki.lead("fumi@home.example", |lead| at_home(lead) && lead["profile"] == home["profile"])?;
    let work_again = tasuki.lead("fumi@work.example", |lead| {
        story(lead) == works && lead["merged_into"].is_null() && lead["score_mp"] == work["score_mp"]
    })?;
    assert_eq!((&home_again["profile"], &work_again["profile"]), (&home["profile"], &work["profile"]));
    assert_eq!(work_again["contributions"], work["contributions"]);
    Ok(())
}

/// A device that names only the record in the CRM system, and one that names only the phone number, are those of the person
/// who gave both; once a colleague gives the same number it is an office's, and what names nothing else is nobody's of the two.
fn a_crm_id_and_a_phone_number(tasuki: &Tasuki) -> anyhow::Result<()> {
    let whole = json!({ "email": "kei@crm.example", "salesforceId": "0035g00000ABCde", "phone": "03-5555-0100" });
    people(
        tasuki,
        &json!([
            identify("crm-mail", json!({ "salesforce_id": "0035g00000ABCdeAAH" }), 60),
            page("crm-mail", "/pumps", 50),
            identify("callback", json!({ "phone": "+81 3 5555 0100" }), 40),
            identify("desk", whole, 30),
        ]),
    )?;
    let expected = ["LeadIdentified", "PageViewed /pumps", "LeadIdentified", "LeadIdentified"];
    lead_with(tasuki, "kei@crm.example", &expected)?;
    people(tasuki, &json!([identify("next-desk", json!({ "email": "leo@crm.example", "phone": "0355550100" }), 20)]))?;
    lead_with(tasuki, "leo@crm.example", &["LeadIdentified"])?;
    lead_with(tasuki, "kei@crm.example", &["LeadIdentified", "PageViewed /pumps", "LeadIdentified"])?;
    Ok(())
}

/// Two accounts on the website, with two addresses, of one contact in the CRM system: proposed as one person, and not merged.
fn two_leads_of_one_record_in_the_crm(tasuki: &Tasuki) -> anyhow::Result<()> {
    let account = |visitor: &str, user: &str, traits: Value| json!(["identify", { "anonymousId": visitor, "userId": user, "traits": traits, "minutesAgo": 20 }]);
    people(
        tasuki,
        &json!([
            account("mina-1", "mina-old", json!({ "email": "mina@first.example", "hubspotId": "4711" })),
            account("mina-2", "mina-new", json!({ "email": "mina@second.example", "hubspot_id": "4711" })),
        ]),
    )?;
    let [first, second] = ["mina@first.example", "mina@second.example"];
    let (first, second) =
        (lead_with(tasuki, first, &["LeadIdentified"])?, lead_with(tasuki, second, &["LeadIdentified"])?);
    let proposed = |of: &Value| tasuki.get(&format!("/api/v1/leads/{}/duplicates", id(of)));
    for (of, other) in [(&first, &second), (&second, &first)] {
        let found = eventually(PATIENCE, || {
            let found = proposed(of)?["items"].clone();
            Ok((found != json!([])).then_some(found))
        })?;
        let found: Vec<_> =
            found.as_array().into_iter().flatten().map(|it| (&it["lead"]["id"], &it["reasons"])).collect();
        assert_eq!(found, [(&other["id"], &json!([{ "kind": "crm", "common": "hubspot:4711" }]))]);
    }
    Ok(())
}

/// Two people whose program sends the same user id for everybody: they stay two, and each lead says why.
fn nobody_of_that_id(tasuki: &Tasuki) -> anyhow::Result<()> {
    let identify = |visitor: &str, user: &str, address: &str| {
        json!(["identify", {
            "anonymousId": visitor, "userId": user, "traits": { "email": address }, "minutesAgo": 20,
        }])
    };
    people(
        tasuki,
        &json!([
            identify("till-1", "terminal", "gen@nobody.example"),
            identify("till-2", "terminal", "hana@nobody.example"),
            identify("till-3", "undefined", "ichi@nobody.example"),
        ]),
    )?;
    let told = |lead: &Value| decision(lead, "IdentifierRefused").is_some();
    for (address, because, value) in [
        ("gen@nobody.example", "blocked", "terminal"),
        ("hana@nobody.example", "blocked", "terminal"),
        ("ichi@nobody.example", "placeholder", ""),
    ] {
        let lead = tasuki.lead(address, told)?;
        let refused = decision(&lead, "IdentifierRefused").unwrap_or_default();
        assert_eq!((&refused["because"], &refused["value"]), (&json!(because), &json!(value)), "{lead:#}");
        assert_eq!(story(&lead), ["LeadIdentified"]);
    }
    Ok(())
}

/// Asks for a demo without allowing to be called: held back, and handed over as soon as that is allowed.
fn no_consent_to_be_contacted(tasuki: &Tasuki) -> anyhow::Result<()> {
    let consent = |granted: &str, minutes_ago| {
        let properties = json!({ "purpose": "contact", "granted": granted, "basis": "banner" });
        track("phone-2", "Consent Changed", properties, minutes_ago)
    };
    people(
        tasuki,
        &json!([
            identify("phone-2", json!({ "email": "jun@consent.example" }), 50),
            consent("false", 40),
            track("phone-2", "Form Submitted", json!({ "form": "demo-request" }), 30),
        ]),
    )?;
    let lead = tasuki.lead("jun@consent.example", |lead| decision(lead, "LeadHeldBack").is_some())?;
    assert_eq!(decision(&lead, "LeadHeldBack").unwrap_or_default()["reason"], "no consent: contact", "{lead:#}");
    assert_eq!(lead["handoffs"], json!([]), "{lead:#}");
    people(tasuki, &json!([consent("true", 20)]))?;
    tasuki.lead("jun@consent.example", |lead| !lead["owner"].is_null())?;
    Ok(())
}

/// Asks for a demo with a banner that was told not to make a profile of him (Segment's `context.consent`): the lead is there,
/// without a point and nobody's to call, and says so. What he does once he allows it counts, the form before stays out.
fn no_consent_to_be_rated_by_a_consent_manager(tasuki: &Tasuki) -> anyhow::Result<()> {
    let kept_out = withheld(tasuki, "scoring")?;
    let with_banner = |allowed: bool, mut call: Value| {
        call[1]["context"] =
            json!({ "consent": { "categoryPreferences": { "Profiling": allowed, "Analytics": true } } });
        call
    };
    people(
        tasuki,
        &json!([
            with_banner(false, identify("cmp-1", json!({ "email": "nao@cmp.example" }), 50)),
            with_banner(false, track("cmp-1", "Form Submitted", json!({ "form": "demo-request" }), 40)),
        ]),
    )?;
    let asked = ["LeadIdentified", "FormSubmitted"];
    let refused = consents(&[("scoring", false), ("tracking", true)]);
    let told = |lead: &Value| story(lead) == asked && allowed(lead) == refused;
    let lead = tasuki.lead("nao@cmp.example", told)?;
    let unscored = |lead: &Value| {
        let timeline = lead["timeline"].as_array().into_iter().flatten().rev();
        timeline.map(|entry| entry["unscored"] == true).collect::<Vec<_>>()
    };
    assert_eq!(unscored(&lead), [true, true], "{lead:#}");
    counted(tasuki, "scoring", kept_out + 2)?;

    // The marker: whatever followed from the form would have come before what follows from this.
    people(tasuki, &json!([with_banner(true, page("cmp-1", "/pricing", 10))]))?;
    let gives = consents(&[("scoring", true), ("tracking", true)]);
    let marked = |lead: &Value| rules(lead).contains(&"pricing-page".to_owned()) && allowed(lead) == gives;
    let lead = tasuki.lead("nao@cmp.example", marked)?;
    assert_eq!(unscored(&lead), [true, true, false], "{lead:#}");
    assert_eq!(rules(&lead), ["page-view", "pricing-page"], "{lead:#}");
    assert_eq!((&lead["handoffs"], &lead["owner"]), (&json!([]), &Value::Null), "{lead:#}");
    Ok(())
}

/// Asks for a demo with a banner that refused both to be watched and to be called (RudderStack's `consentManagement`): what she
/// looked at is not hers, and sales does not get her, until she allows it.
fn no_consent_to_be_observed_by_a_consent_manager(tasuki: &Tasuki) -> anyhow::Result<()> {
    let kept_out = withheld(tasuki, "tracking")?;
    let with_banner = |allowed: &[&str], denied: &[&str], mut call: Value| {
        call[1]["context"] =
            json!({ "consentManagement": { "allowedConsentIds": allowed, "deniedConsentIds": denied } });
        call
    };
    let refuses = |call| with_banner(&["Scoring"], &["C0002", "Direct Marketing"], call);
    people_by_rudder(
        tasuki,
        &json!([
            refuses(identify("cmp-2", json!({ "email": "oto@cmp.example" }), 50)),
            refuses(page("cmp-2", "/pricing", 45)),
            refuses(track("cmp-2", "Form Submitted", json!({ "form": "demo-request" }), 40)),
        ]),
    )?;
    let refused = consents(&[("contact", false), ("scoring", true), ("tracking", false)]);
    let told = |lead: &Value| {
        let decided = ["LeadHeldBack", "BehaviorWithheld"].iter().all(|kind| decision(lead, kind).is_some());
        decided && story(lead) == ["LeadIdentified", "FormSubmitted"] && allowed(lead) == refused
    };
    let lead = tasuki.lead("oto@cmp.example", |lead| told(lead) && rules(lead).len() == 2)?;
    assert_eq!(rules(&lead), ["form", "demo-request"], "she is scored by what she sent: {lead:#}");
    assert_eq!(decision(&lead, "LeadHeldBack").unwrap_or_default()["reason"], "no consent: contact", "{lead:#}");
    assert_eq!((&lead["handoffs"], &lead["owner"]), (&json!([]), &Value::Null), "{lead:#}");
    let page_not_hers = decision(&lead, "BehaviorWithheld").unwrap_or_default();
    assert_eq!((&page_not_hers["kind"], &page_not_hers["purpose"]), (&json!("PageViewed"), &json!("tracking")));
    counted(tasuki, "tracking", kept_out + 1)?;

    let allows = |call| with_banner(&["Scoring", "C0002", "Direct Marketing"], &[], call);
    people_by_rudder(tasuki, &json!([allows(page("cmp-2", "/docs", 10))]))?;
    tasuki.lead("oto@cmp.example", |lead| !lead["owner"].is_null())?;
    Ok(())
}

/// What a lead says that the person allows, by purpose.
fn allowed(lead: &Value) -> Vec<(String, bool)> {
    let said = decision(lead, "ConsentsChanged").unwrap_or_default();
    let said = said["consents"].as_array().into_iter().flatten();
    said.map(|it| (it["purpose"].as_str().unwrap_or_default().to_owned(), it["granted"] == true)).collect()
}

fn consents(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(purpose, granted)| ((*purpose).to_owned(), *granted)).collect()
}

/// How many behavior events identity has kept out so far for want of this consent.
fn withheld(tasuki: &Tasuki, purpose: &str) -> anyhow::Result<u64> {
    let metrics = ureq::get(format!("{}/metrics", tasuki.told("metrics"))).call()?.body_mut().read_to_string()?;
    let reason = format!("reason=\"{purpose}\"");
    let of = |line: &&str| line.starts_with("tasuki_identity_events_withheld_total{") && line.contains(&reason);
    Ok(metrics.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// That identity has kept out so many by now.
fn counted(tasuki: &Tasuki, purpose: &str, expected: u64) -> anyhow::Result<()> {
    let mut last = 0;
    eventually(PATIENCE, || {
        last = withheld(tasuki, purpose)?;
        Ok((last == expected).then_some(()))
    })
    .with_context(|| format!("{last} events were withheld for want of consent to {purpose}, not {expected}"))
}

/// The detail of the latest decision of this kind.
fn decision(lead: &Value, kind: &str) -> Option<Value> {
    let decisions = lead["decisions"].as_array()?;
    Some(decisions.iter().find(|it| it["kind"] == kind)?["detail"].clone())
}

fn id(lead: &Value) -> String {
    lead["id"].as_str().unwrap_or_default().to_owned()
}

fn rules(lead: &Value) -> Vec<String> {
    let contributions = lead["contributions"].as_array().into_iter().flatten();
    contributions.filter_map(|it| Some(it["rule"].as_str()?.to_owned())).collect()
}

fn split_by_command_line(tasuki: &Tasuki, into: &str, from: &str) -> anyhow::Result<()> {
    let mut command = program(tasuki)?;
    command.args(["leads", "split", into, from, "--json"]);
    command.args(["--to", tasuki.told("console"), "--api-token", tasuki.told("api_token")]);
    let answer = answers(&mut command, 0)?;
    let [answer] = answer.as_slice() else { anyhow::bail!("one answer: {answer:?}") };
    assert_eq!((&answer["command"], &answer["from"]), (&json!("split"), &json!(from)));
    Ok(())
}
