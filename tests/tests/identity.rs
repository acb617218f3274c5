//! Whose behavior it was, end to end on both logs, told by a real tracker: shared devices, two devices, late web visits,
//! a typo, and two addresses of one person, who are merged and split again.

use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};
use tasuki_tests::trackers::people;
use tasuki_tests::{Log, Tasuki, top};

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
    trade_show_card_then_web_visit(&tasuki)?;
    typo_corrected(&tasuki)?;
    two_addresses_of_one_person(&tasuki)?;
    a_crm_id_and_a_phone_number(&tasuki)?;
    nobody_of_that_id(&tasuki)?;
    no_consent_to_be_contacted(&tasuki)?;
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

/// A card typed in at the trade show is a lead before any visit; the visit joins it when it becomes known whose it is.
fn trade_show_card_then_web_visit(tasuki: &Tasuki) -> anyhow::Result<()> {
    let card = json!({ "email": "dai@card.example", "name": "Dai Mori", "title": "CTO" });
    people(
        tasuki,
        &json!([
            ["identify", { "userId": "card-77", "traits": card, "minutesAgo": 3_000 }],
            page("web", "/", 30),
            page("web", "/pricing", 20),
        ]),
    )?;
    lead_with(tasuki, "dai@card.example", &["LeadIdentified"])?;
    people(tasuki, &json!([identify("web", json!({ "email": "dai@card.example" }), 10)]))?;
    let expected = ["LeadIdentified", "PageViewed /", "PageViewed /pricing", "LeadIdentified"];
    let lead = lead_with(tasuki, "dai@card.example", &expected)?;
    assert_eq!((&lead["name"], &lead["title"]), (&json!("Dai Mori"), &json!("CTO")), "{lead:#}");
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
    let home = lead_with(tasuki, "fumi@home.example", &["PageViewed /pricing", "LeadIdentified"])?;
    let works = ["PageViewed /docs", "LeadIdentified", "FormSubmitted"];
    let handed_over = |lead: &Value| story(lead) == works && !lead["owner"].is_null();
    let work = tasuki.lead("fumi@work.example", handed_over)?;

    tasuki.post(&format!("/api/v1/leads/{}/merge", id(&home)), &json!({ "from": id(&work) }))?;
    let all = ["PageViewed /pricing", "LeadIdentified", "PageViewed /docs", "LeadIdentified", "FormSubmitted"];
    let scored = |lead: &Value| story(lead) == all && rules(lead).contains(&"demo-request".to_owned());
    let one = tasuki.lead("fumi@home.example", scored)?;
    assert_eq!((&one["id"], &one["title"]), (&home["id"], &json!("CTO")), "{one:#}");
    let merged = tasuki.get(&format!("/api/v1/leads/{}", id(&work)))?;
    assert_eq!((&merged["merged_into"], &merged["active"]), (&home["id"], &json!(false)), "{merged:#}");
    assert_eq!(merged["handoffs"][0]["id"], work["handoffs"][0]["id"], "its handoff stays");
    assert_eq!(one["handoffs"], json!([]), "and the person is not handed over twice");

    split_by_command_line(tasuki, &id(&home), &id(&work))?;
    let home_again = lead_with(tasuki, "fumi@home.example", &["PageViewed /pricing", "LeadIdentified"])?;
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
    let profile = match std::env::var("TASUKI_BUILD_PROFILE").as_deref() {
        Ok("dev") => "debug",
        _ => "release",
    };
    let output = Command::new(top().join("target").join(profile).join("tasuki"))
        .args(["leads", "split", into, from, "--json"])
        .args(["--to", tasuki.told("console"), "--api-token", tasuki.told("api_token")])
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((&answer["command"], &answer["from"]), (&json!("split"), &json!(from)));
    Ok(())
}
