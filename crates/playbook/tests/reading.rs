//! What a playbook file may say, and what is said about one that is wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use tasuki_domain::{Millipoints, Millis};
use tasuki_playbook::{
    AccountFacts, AccountMeasure, Consequence, Decay, EventKind, Playbook, RejectReason, SignalFields, Urgency,
};

const NO_ACCOUNT: AccountFacts = AccountFacts { departments: 0, people: 0, engagement: Millipoints::ZERO };

const SMALL: &str = r#"
name = "small"
version = 3
[engagement]
cap = 100
[[engagement.rules]]
name = "demo-request"
event = "FormSubmitted"
about = ["demo-request"]
points = 30
half_life = "30d"
[[engagement.rules]]
name = "visit"
event = "PageViewed"
points = 0.5
cap = 10
[fit]
cap = 100
[[fit.rules]]
name = "vp"
attribute = "title"
mentions = ["vp"]
points = 40
[grades]
fit = { A = 70, B = 45, C = 20 }
engagement = { 1 = 70, 2 = 40, 3 = 15 }
[[routes]]
name = "hand-raise"
when = 'signals.within("demo-request", "30d") > 0'
urgency = "urgent"
pool = "inside-sales"
accept_within = "90m"
[[routes]]
name = "score"
when = "engagement > 55 && 20.5 <= fit"
urgency = "normal"
pool = "inside-sales"
[accept_within]
urgent = "4h"
high = "8h"
normal = "24h"
[after_rejection]
timing = "recycle after 90d"
no-budget = "recycle after 180d"
no-authority = "recycle after 60d"
no-need = "recycle after 180d"
unreachable = "recycle after 30d"
bad-data = "recycle after 14d"
duplicate = "disqualify"
competitor = "disqualify"
not-a-fit = "disqualify"
[[exclusions]]
name = "own-company"
email_domains = ["acme.example", "*.acme.example"]
"#;

fn points(points: i32) -> Millipoints {
    Millipoints::from_points(points)
}

/// The faults of the small playbook with one piece of text exchanged.
fn faults(found: &str, instead: &str) -> Vec<String> {
    assert_eq!(SMALL.matches(found).count(), 1, "the piece must be there once: {found}");
    let faults = Playbook::parse(&SMALL.replace(found, instead)).expect_err("it is wrong now");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_default_playbook_reads_and_knows_the_words_of_a_marketer() {
    let playbook = Playbook::built_in();
    let names: Vec<_> = playbook.routes().iter().map(|route| route.name.as_str()).collect();
    assert_eq!((playbook.name(), playbook.version().get(), names), ("default", 1, vec!["hand-raise", "score"]));
    let form =
        |about| SignalFields { kind: EventKind::FormSubmitted, about, path: "", source: "website", campaign: "" };
    let matching = |fields: &SignalFields<'_>| {
        let rules = playbook.rules_for(fields.kind).iter().map(|&index| &playbook.rules()[index]);
        rules.filter(|rule| rule.matches(fields)).map(|rule| rule.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(matching(&form("demo-request")), ["form", "demo-request"]);
    assert_eq!(matching(&form("Request a Demo")), ["form", "demo-request"]);
    assert_eq!(matching(&form("newsletter")), ["form"]);
    let page = SignalFields { kind: EventKind::PageViewed, path: "/pricing", ..form("") };
    assert_eq!(matching(&page), ["page-view", "pricing-page"]);
}

#[test]
fn a_small_playbook_reads() {
    let playbook = Playbook::parse(SMALL).unwrap();
    let [demo, visit] = playbook.rules() else { panic!("two rules") };
    assert_eq!((&demo.decay, &visit.decay), (&Decay::HalfLife(Millis::from_days(30)), &Decay::Stays));
    assert_eq!((visit.points, visit.cap), (Millipoints::new(500), Some(points(10))));
    let facts: Vec<_> = playbook.facts().iter().map(|fact| (fact.name.as_str(), fact.rule, fact.window)).collect();
    assert_eq!(facts, [("signals.within(\"demo-request\",\"30d\")", 0, Millis::from_days(30))]);
    // The grades at 15, 40 and 70; who is an engaged person at 20; `> 55` turns right above 55.
    let boundaries = [15_000, 20_000, 40_000, 55_000, 55_001, 70_000].map(Millipoints::new);
    assert_eq!(playbook.boundaries(), boundaries);
    assert_eq!(playbook.grades().grade(points(40), Millipoints::new(44_999)).to_string(), "C2");
    assert_eq!(playbook.accept_within("hand-raise", Urgency::Urgent), Millis::from_seconds(5_400));
    assert_eq!(playbook.accept_within("score", Urgency::Normal), Millis::from_hours(24));
    assert_eq!(playbook.accept_within("gone", Urgency::High), Millis::from_hours(8));
    assert_eq!(playbook.after_rejection(RejectReason::Timing), Consequence::RecycleAfter(Millis::from_days(90)));
    assert_eq!(playbook.after_rejection(RejectReason::NotAFit), Consequence::Disqualify);
    assert_eq!(playbook.exclusion("ana@mail.acme.example").map(|e| e.name.as_str()), Some("own-company"));
    assert!(playbook.exclusion("ana@notacme.example").is_none() && playbook.exclusion("").is_none());
}

#[test]
fn routes_hold_exactly_at_their_numbers() {
    let playbook = Playbook::parse(SMALL).unwrap();
    let [hand_raise, score] = playbook.routes() else { panic!("two routes") };
    assert!(
        hand_raise.holds(points(0), points(0), &[1], &NO_ACCOUNT)
            && !hand_raise.holds(points(100), points(100), &[0], &NO_ACCOUNT)
    );
    for (engagement, fit, expected) in
        [(55_000, 100_000, false), (55_001, 20_500, true), (55_001, 20_499, false), (100_000, 20_500, true)]
    {
        let holds = score.holds(Millipoints::new(engagement), Millipoints::new(fit), &[0], &NO_ACCOUNT);
        assert_eq!(holds, expected, "{engagement} {fit}");
    }
}

#[test]
fn tells_every_fault_at_once_each_with_its_place() {
    let text = SMALL
        .replace("points = 0.5", "points = 0.0005")
        .replace("event = \"FormSubmitted\"", "event = \"FormSent\"")
        .replace("mentions = [\"vp\"]", "menttions = [\"vp\"]")
        .replace("urgency = \"normal\"", "urgency = \"soon\"")
        .replace("normal = \"24h\"", "normal = \"24 hours\"");
    let faults = Playbook::parse(&text).unwrap_err().to_string();
    let lines: Vec<_> = faults.lines().collect();
    let [event, points, mentions, urgency, within] = lines.as_slice() else { panic!("five faults: {faults}") };
    assert!(event.starts_with("line 8, column 9: unknown variant `FormSent`, expected one of `PageViewed`"), "{event}");
    assert_eq!(*points, "line 15, column 10: points are a number between -1000 and 1000 with at most three decimals");
    assert!(mentions.starts_with("line 22, column 1: unknown field `menttions`, expected one of `name`"), "{mentions}");
    assert!(urgency.starts_with("line 36, column 11: unknown variant `soon`, expected one of `urgent`"), "{urgency}");
    assert!(
        within.starts_with("line 41, column 10: a length of time is a whole number above 0 and m, h or d"),
        "{within}"
    );
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    assert!(faults("cap = 10\n", "cap = = 10\n")[0].starts_with("line 16, column 7: "));
    assert!(Playbook::parse("").unwrap_err().to_string().contains("missing field `name`"));
}

#[test]
fn a_condition_says_what_it_does_not_know_and_what_it_could() {
    let condition = "engagement > 55 && 20.5 <= fit";
    for (instead, expected) in [
        ("engagement > 55 && fitt >= 20", "line 35, column 28: `fitt` is not known here; allowed are"),
        ("engagement + fit > 55", "line 35, column 9: only counts can be added"),
        ("engagement >= fit", "these two cannot be compared"),
        ("engagement >= 155", "line 35, column 23: out of reach: the axis goes from 0 to 100"),
        ("engagement", "line 35, column 8: the condition is neither true nor false"),
        ("engagement > 55 && fit", "this is neither true nor false"),
        (
            "signals.within('visits', '30d') > 0",
            "no engagement rule is named \"visits\"; there are demo-request, visit",
        ),
        ("signals.within('visit', '3w') > 0", "a length of time is a whole number"),
        ("signals.within('visit', '401d') > 0", "signals are kept for 400d; no window is longer"),
        ("signals.count('visit') > 0", "no such function"),
        ("[1, 2].exists(x, x > 1)", "this part of CEL is not used in playbooks"),
        ("engagement >", "not a condition in CEL"),
    ] {
        let told = faults(condition, instead);
        assert!(told.len() == 1 && told[0].contains(expected), "{instead}: {told:?}");
    }
}

#[test]
fn parts_that_contradict_each_other_are_faults() {
    for (found, instead, expected) in [
        ("name = \"visit\"", "name = \"demo-request\"", "line 13, column 8: the name \"demo-request\" is taken"),
        ("name = \"visit\"", "name = \"cap\"", "a name is lower-case letters"),
        ("3 = 15", "3 = 45", "grades go down"),
        ("cap = 10\n", "cap = -10\n", "the cap of a rule is above 0"),
        ("mentions = [\"vp\"]", "mentions = [\"vp\"]\nfrom = 3", "a fit rule has exactly one condition"),
        ("version = 3", "version = 0", "`version` counts from 1"),
        ("\"recycle after 14d\"", "\"wait\"", "after a rejection comes \"disqualify\" or \"recycle after\""),
    ] {
        let told = faults(found, instead);
        assert!(told.len() == 1 && told[0].contains(expected), "{instead}: {told:?}");
    }
}

#[test]
fn an_account_has_what_its_engaged_people_have_up_to_a_cap() {
    let account = |section: &str| {
        let playbook = Playbook::parse(&SMALL.replace("[grades]", &format!("{section}\n[grades]"))).unwrap();
        let tasuki_playbook::AccountPolicy { engaged_from, cap } = playbook.account();
        assert!(playbook.boundaries().contains(&engaged_from), "{section}: time alone takes somebody below it");
        (engaged_from, cap)
    };
    assert_eq!(account(""), (points(20), points(300)));
    assert_eq!(account("[account]\nengaged_from = 37.5"), (Millipoints::new(37_500), points(300)));
    assert_eq!(account("[account]\nengaged_from = 5\ncap = 5"), (points(5), points(5)));
    let low = SMALL.replacen("[engagement]\ncap = 100", "[engagement]\ncap = 80", 1).replace("1 = 70", "1 = 60");
    assert_eq!(Playbook::parse(&low).unwrap().account().engaged_from, points(20));
    for (section, expected) in [
        ("[account]\nengaged_from = 0", "`engaged_from` is above 0 and at most 100 (the cap of engagement); found 0"),
        (
            "[account]\nengaged_from = 101",
            "`engaged_from` is above 0 and at most 100 (the cap of engagement); found 101",
        ),
        ("[account]\nengaged_from = 30\ncap = 29", "the cap of an account is at least 30 (`engaged_from`); found 29"),
        ("[account]\ncap = 2000", "points are a number between -1000 and 1000"),
        ("[account]\nsaturation = 3", "unknown field `saturation`"),
    ] {
        let told = faults("[grades]", &format!("{section}\n[grades]"));
        assert!(told.len() == 1 && told[0].contains(expected), "{section}: {told:?}");
        assert!(told[0].starts_with("line "), "{told:?}");
    }
}

#[test]
fn a_route_asks_for_the_account_of_the_lead() {
    let with = |condition: &str| {
        let playbook = Playbook::parse(&SMALL.replace("engagement > 55 && 20.5 <= fit", condition));
        playbook.unwrap_or_else(|faults| panic!("{condition}: {faults}"))
    };
    let account =
        |departments, people, points| AccountFacts { departments, people, engagement: Millipoints::new(points) };
    for (condition, turns, holds, does_not) in [
        ("account.departments >= 3", [&[3][..], &[], &[]], account(3, 9, 0), account(2, 9, 0)),
        ("account.people > 3", [&[], &[4], &[]], account(0, 4, 0), account(9, 3, 0)),
        ("3 > account.people", [&[], &[3], &[]], account(0, 2, 0), account(0, 3, 0)),
        ("account.people <= 3", [&[], &[4], &[]], account(0, 3, 0), account(0, 4, 0)),
        ("account.people == 3", [&[], &[3, 4], &[]], account(0, 3, 0), account(0, 4, 0)),
        ("account.people != 3", [&[], &[3, 4], &[]], account(0, 2, 0), account(0, 3, 0)),
        ("60 <= account.engagement", [&[], &[], &[60_000]], account(0, 0, 60_000), account(0, 0, 59_999)),
        ("account.engagement > 60.5", [&[], &[], &[60_501]], account(0, 0, 60_501), account(0, 0, 60_500)),
        ("!(account.engagement < 60)", [&[], &[], &[60_000]], account(0, 0, 60_000), account(0, 0, 59_999)),
        (
            "engagement >= 20 || account.departments >= 3 && account.people >= 5 && account.departments < 9",
            [&[3, 9], &[5], &[]],
            account(3, 5, 0),
            account(9, 9, 0),
        ),
    ] {
        let playbook = with(condition);
        let (asked, route) = (playbook.account_asked(), &playbook.routes()[1]);
        assert_eq!(AccountMeasure::ALL.map(|measure| asked.turns_at(measure).to_vec()), turns, "{condition}");
        for (account, expected) in [(holds, true), (does_not, false)] {
            let told = asked.reached(&account);
            for account in [account, told] {
                assert_eq!(route.holds(points(0), points(0), &[0], &account), expected, "{condition}: {account:?}");
            }
        }
    }
    // Two routes, one answer for both.
    let both = SMALL
        .replace("engagement > 55 && 20.5 <= fit", "account.people >= 7")
        .replace("signals.within(\"demo-request\", \"30d\") > 0", "account.people >= 2 && account.people < 7");
    let asked = Playbook::parse(&both).unwrap().account_asked().clone();
    assert_eq!(asked.turns_at(AccountMeasure::People), [2, 7]);
    assert_eq!([1, 2, 6, 7, 99].map(|people| asked.reached(&account(5, people, 8)).people), [0, 2, 2, 7, 7]);
    assert_eq!(asked.reached(&account(5, 2, 8)), account(0, 2, 0));
}

#[test]
fn what_an_account_cannot_be_asked_is_told_with_its_place() {
    for (instead, expected) in [
        (
            "engagement > 55 && account.fit >= 20",
            "line 35, column 35: of an account `fit` is not known here; allowed are",
        ),
        ("account.people >= 1001", "line 35, column 27: out of reach: an account has from 0 to 1000 engaged people"),
        ("account.people >= -1", "out of reach: an account has from 0 to 1000 engaged people"),
        ("account.people >= 2.5", "`account.people` is compared with whole numbers"),
        ("account.engagement >= 300.5", "out of reach: an account goes from 0 to 300, in thousandths of a point"),
        ("account.people >= account.departments", "these two cannot be compared"),
        ("account.people >= signals.within('visit', '1d')", "these two cannot be compared"),
        ("account.people + account.departments > 3", "only counts can be added"),
        ("account.people", "line 35, column 8: the condition is neither true nor false"),
        ("account > 3", "`account` is not known here"),
        ("lead.people > 3", "this part of CEL is not used in playbooks"),
        ("has(account.people)", "this part of CEL is not used in playbooks"),
    ] {
        let told = faults("engagement > 55 && 20.5 <= fit", instead);
        assert!(told.len() == 1 && told[0].contains(expected), "{instead}: {told:?}");
    }
}

#[test]
fn a_route_waits_and_stays_open_by_its_other_edge() {
    let edges = "pool = \"inside-sales\"\nstays_while = \"engagement > 44.5\"\ndwell = \"90m\"\n[accept_within]";
    let playbook = Playbook::parse(&SMALL.replace("pool = \"inside-sales\"\n[accept_within]", edges)).unwrap();
    let [hand_raise, score] = playbook.routes() else { panic!("two routes") };
    assert_eq!((hand_raise.dwell, hand_raise.stays_while.is_some()), (None, false));
    assert_eq!(score.dwell, Some(Millis::from_seconds(5_400)));
    // At both edges a score is written when time alone takes it over.
    let boundaries = [15_000, 20_000, 40_000, 44_500, 44_501, 55_000, 55_001, 70_000].map(Millipoints::new);
    assert_eq!(playbook.boundaries(), boundaries);
    for (engagement, fit, opens, stays) in [
        (55_001, 20_500, true, true),
        (55_000, 20_500, false, true),
        (44_501, 0, false, true),
        (44_500, 100_000, false, false),
    ] {
        let (engagement, fit) = (Millipoints::new(engagement), Millipoints::new(fit));
        assert_eq!(score.holds(engagement, fit, &[0], &NO_ACCOUNT), opens, "{engagement} {fit}");
        assert_eq!(score.stays(engagement, fit, &[0], &NO_ACCOUNT), stays, "{engagement} {fit}");
    }
    for (found, instead, expected) in [
        ("44.5", "144.5", "line 38, column 29: out of reach: the axis goes from 0 to 100"),
        ("\"90m\"", "\"31d\"", "line 39, column 9: a route dwells at most 30d; found 31d"),
        ("\"90m\"", "\"soon\"", "line 39, column 9: a length of time is a whole number above 0"),
        (
            "stays_while",
            "until",
            "line 38, column 1: unknown field `until`, expected one of `name`, `when`, `track`, `stays_while`",
        ),
    ] {
        let told = faults("pool = \"inside-sales\"\n[accept_within]", &edges.replace(found, instead));
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
    }
}

#[test]
fn the_schema_names_every_key_of_the_default_playbook() {
    let schema = serde_json::to_string(&tasuki_playbook::schema()).unwrap();
    for line in Playbook::DEFAULT.lines() {
        let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with(['#', ' ', '"', '|'])) else {
            continue;
        };
        assert!(schema.contains(&format!("\"{key}\"")), "{key} is not in {schema}");
    }
    assert!(schema.contains("\"additionalProperties\":false"));
}
