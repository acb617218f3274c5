//! Accounts are what their leads' last scores come to on every runner, and the leads hear of it: leads and accounts are in different partitions, and
//! the runner is stopped in the middle.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may panic; clippy sees that only inside of test functions"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{DAY, assert_ledger, head, profile};
use prost::Message;
use tasuki_domain::{LeadId, Millis};
use tasuki_playbook::Playbook;
use tasuki_scoring::Scoring;
use tasuki_service::Clock;
use tasuki_stream::Emitted;
use tasuki_testkit::contract::PARTITIONS;
use tasuki_testkit::eventually::eventually;
use tasuki_testkit::runners::{Embedded, Kafka, Memory, Runner};
use tasuki_wire::v1::account_record::Event;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Behavior;
use tasuki_wire::{Head, Topic, v1};
use uuid::Uuid;

const LEADS: u64 = 60;
const ACCOUNTS: u64 = 7;

/// The built-in playbook with two tracks: demos count for one, trials for the other, all else for both; and a route that asks
/// for three departments.
fn scoring() -> Scoring {
    let mut text = Playbook::DEFAULT.to_owned();
    for (rule, track) in [("demo-request", "machines"), ("trial-request", "parts")] {
        text = text.replace(&format!("name = \"{rule}\"\n"), &format!("name = \"{rule}\"\ntrack = \"{track}\"\n"));
        text += &format!("\n[[tracks]]\nname = \"{track}\"\n");
    }
    let route = "[[routes]]\nname = \"d\"\nwhen = 'account.departments >= 3 && fit >= 1'\nurgency = \"high\"\npool = \"p\"\n\n[[routes]]";
    text = text.replacen("[[routes]]", route, 1);
    Scoring::new(Arc::new(Playbook::parse(&text).unwrap())).with_partitions(PARTITIONS)
}

fn activity(number: u64, version: u64, at: i64, event: Activity) -> Emitted {
    let lead = LeadId::new(Uuid::from_u128(1_000 + u128::from(number)));
    let meta = Some(head(lead, u128::from(number) << 32 | u128::from(version), at, version).to_meta());
    let payload = v1::ActivityRecord { meta, identities_version: 0, event: Some(event) }.encode_to_vec();
    Emitted { topic: Topic::Activity, key: lead.to_string(), payload }
}

fn is_of(number: u64, version: u64, account: u64, at: i64) -> Emitted {
    let department = ["Sales", "IT", "R&D"][usize::try_from(number % 3).unwrap()];
    let profile = v1::Profile {
        account_id: format!("company-{account}.example"),
        ..profile("a@b.example", &[("department", department)])
    };
    activity(number, version, at, Activity::ProfileChanged(v1::ProfileChanged { profile: Some(profile) }))
}

fn sends(number: u64, version: u64, form: &str, at: i64) -> Emitted {
    let lead = LeadId::new(Uuid::from_u128(1_000 + u128::from(number)));
    let id = 1 << 100 | u128::from(number) << 32 | u128::from(version);
    let behavior = v1::BehaviorRecord {
        meta: Some(head(lead, id, at, 0).to_meta()),
        origin: Some(v1::Origin::default()),
        event: Some(Behavior::FormSubmitted(v1::FormSubmitted { form: form.into() })),
        ..v1::BehaviorRecord::default()
    };
    let attributed = v1::BehaviorAttributed { behavior: Some(behavior), via: "email".into(), unscored: false };
    activity(number, version, at, Activity::Attributed(attributed))
}

/// What all leads do before the runner is stopped, and behind that: every fourth goes to another account, and every fifth
/// sends a second form.
fn story(now: i64) -> (Vec<Emitted>, Vec<Emitted>) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for number in 0..LEADS {
        first.push(is_of(number, 1, number % ACCOUNTS, now));
        first.push(sends(number, 2, if number % 2 == 0 { "demo-request" } else { "newsletter" }, now));
        if number % 4 == 0 {
            second.push(is_of(number, 3, (number + 1) % ACCOUNTS, now + 1));
        } else if number % 5 == 0 {
            second.push(sends(number, 3, "trial", now + 1));
        }
    }
    (first, second)
}

/// Engagement, people and departments of each account.
type Accounts = BTreeMap<String, (i64, u32, BTreeMap<String, u32>)>;

/// What it comes to, by hand: a demo is 40 points (form and demo-request), a trial 40, a newsletter 10, which is too few.
fn expected() -> Accounts {
    let mut accounts = Accounts::new();
    for number in 0..LEADS {
        let moves = number % 4 == 0;
        let trial = if !moves && number % 5 == 0 { 40_000 } else { 0 };
        let points = trial + if number % 2 == 0 { 40_000 } else { 10_000 };
        if points >= 20_000 {
            let account = if moves { (number + 1) % ACCOUNTS } else { number % ACCOUNTS };
            let of_account = accounts.entry(format!("company-{account}.example")).or_default();
            of_account.0 = (of_account.0 + points).min(300_000);
            of_account.1 += 1;
            let department = ["Sales", "IT", "R&D"][usize::try_from(number % 3).unwrap()];
            *of_account.2.entry(department.to_owned()).or_default() += 1;
        }
    }
    accounts
}

/// For each lead what its last score is to say of its account: three departments, or none that any route asks about.
fn facts(accounts: &Accounts) -> BTreeMap<String, i64> {
    let of = |number: u64| {
        let account = if number.is_multiple_of(4) { (number + 1) % ACCOUNTS } else { number % ACCOUNTS };
        let has = accounts.get(&format!("company-{account}.example"));
        let departments = if has.is_some_and(|(_, _, departments)| departments.len() >= 3) { 3 } else { 0 };
        (LeadId::new(Uuid::from_u128(1_000 + u128::from(number))).to_string(), departments)
    };
    (0..LEADS).map(of).collect()
}

/// What the last score of each lead says of its account.
fn heard(runner: &mut impl Runner) -> BTreeMap<String, i64> {
    let said = |(key, payload): (String, Vec<u8>)| {
        let record = v1::ScoreRecord::decode(payload.as_slice()).unwrap();
        let Some(v1::score_record::Event::Scored(scored)) = record.event else { return None };
        let fact = scored.facts.into_iter().find(|fact| fact.name == "account.departments")?;
        Some((key, fact.value))
    };
    runner.records(Topic::Scores).into_iter().filter_map(said).collect()
}

/// The last that was said of each account; versions have no gap, and no event stands there twice.
fn outcome(records: Vec<(String, v1::AccountRecord)>) -> Accounts {
    let (mut accounts, mut versions, mut ids) = (Accounts::new(), BTreeMap::<String, u64>::new(), Vec::new());
    for (account, record) in records {
        let head = Head::read(record.meta.as_ref()).unwrap();
        ids.push(head.event_id);
        let Some(Event::Engaged(engaged)) = record.event else { continue };
        let version = versions.entry(account.clone()).or_default();
        *version += 1;
        assert_eq!(head.version.get(), *version, "of {account}");
        let departments = engaged.departments.into_iter().map(|department| (department.name, department.people));
        accounts.insert(account, (engaged.engagement_mp, engaged.people, departments.collect()));
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an event stands there twice");
    accounts
}

/// What the tracks of each lead come to, by hand: machines, then parts. Every form is 10 points for both, a demo 30 for the
/// one, a trial 30 for the other.
fn expected_tracks() -> BTreeMap<String, [i64; 2]> {
    let of_lead = |number: u64| {
        let multiple = |of: u64| number.is_multiple_of(of);
        let (demo, trial) = (multiple(2), !multiple(4) && multiple(5));
        let forms = if trial { 20_000 } else { 10_000 };
        [demo, trial].map(|also| forms + if also { 30_000 } else { 0 })
    };
    (0..LEADS)
        .map(|number| (LeadId::new(Uuid::from_u128(1_000 + u128::from(number))).to_string(), of_lead(number)))
        .collect()
}

/// The engagement of the tracks by the last score of each lead.
fn tracks(runner: &mut impl Runner) -> BTreeMap<String, [i64; 2]> {
    let mut tracks = BTreeMap::new();
    for (lead, payload) in runner.records(Topic::Scores) {
        let record = v1::ScoreRecord::decode(payload.as_slice()).unwrap();
        let Some(v1::score_record::Event::Scored(scored)) = record.event else { panic!("a score") };
        assert_ledger(&scored);
        let [machines, parts] = scored.tracks.as_slice() else { panic!("two tracks: {scored:?}") };
        assert_eq!([machines, parts].map(|track| track.track.as_str()), ["machines", "parts"]);
        tracks.insert(lead, [machines, parts].map(|track| track.engagement_mp));
    }
    tracks
}

/// What stands on `accounts`.
fn accounts(runner: &mut impl Runner) -> Vec<(String, v1::AccountRecord)> {
    let records = runner.records(Topic::Accounts).into_iter();
    records.map(|(key, payload)| (key, v1::AccountRecord::decode(payload.as_slice()).unwrap())).collect()
}

fn accounts_are_what_their_leads_come_to(runner: &mut impl Runner) {
    let (first, second) = story(runner.clock().now().as_millis());
    runner.start();
    runner.publish(first);
    eventually("something to be said", || if accounts(runner).is_empty() { Err("nothing") } else { Ok(()) });
    runner.stop();
    runner.publish(second);
    runner.start();
    let expected = expected();
    eventually("the accounts that were expected", || {
        let found = outcome(accounts(runner));
        if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
    });
    eventually("the tracks that were expected", || {
        let found = tracks(runner);
        if found == expected_tracks() { Ok(()) } else { Err(format!("{found:?}")) }
    });
    let told = facts(&expected);
    assert!(told.values().any(|value| *value == 3) && told.values().any(|value| *value == 0), "{told:?}");
    eventually("leads that know what their accounts have", || {
        let found = heard(runner);
        if found == told { Ok(()) } else { Err(format!("{found:?} instead of {told:?}")) }
    });
    runner.stop();
    // Long enough for all to fall below.
    runner.clock().advance(Millis::new(200 * DAY));
    runner.start();
    eventually("accounts without anybody", || {
        let found = outcome(accounts(runner));
        if found.values().all(|it| *it == (0, 0, BTreeMap::new())) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    eventually("tracks below every line", || {
        let found = tracks(runner);
        if found.values().flatten().all(|shown| *shown < 15_000) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    eventually("leads that know of it", || {
        let found = heard(runner);
        if found.values().all(|departments| *departments == 0) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    runner.stop();
}

#[test]
fn accounts_are_what_their_leads_come_to_in_memory() {
    accounts_are_what_their_leads_come_to(&mut Memory::new(scoring()));
}

#[test]
fn accounts_are_what_their_leads_come_to_on_the_embedded_log() {
    accounts_are_what_their_leads_come_to(&mut Embedded::new(scoring));
}

#[test]
fn accounts_are_what_their_leads_come_to_on_kafka() {
    accounts_are_what_their_leads_come_to(&mut Kafka::new("scoring", scoring));
}
