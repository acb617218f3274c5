//! The leads are a function of the set of events on every runner: some people on several devices, their events shuffled and
//! repeated, and the runner stopped in the middle.
#![allow(clippy::unwrap_used, reason = "a test may panic; clippy sees that only inside of test functions")]

#[path = "identity/model.rs"]
mod model;
#[path = "identity/support.rs"]
mod support;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;
use tasuki_domain::Millis;
use tasuki_identity::{Identity, IdentitySettings};
use tasuki_testkit::eventually::eventually;
use tasuki_testkit::runners::{Embedded, Kafka, Memory, Runner};
use tasuki_wire::{Topic, v1};

use support::{Behavior, Outcome, outcome, secret, trails};

/// Groups of people who have nothing to do with each other. Their events stand on the log at once.
const CASES: u8 = 20;

/// What the events of a case are about, in names of its own.
fn apart(case: u8, id: u8, behavior: Behavior) -> Behavior {
    let own =
        |text: &'static str| -> &'static str { if text.is_empty() { text } else { format!("{case}-{text}").leak() } };
    let Behavior { visitor, user, email, crm, phone, .. } = behavior;
    let in_system = |(system, id): (&str, &str)| -> &'static str { format!("{system}:{case}-{id}").leak() };
    let crm = crm.split_once(':').map_or("", in_system);
    let line = |rest: &str| -> &'static str { format!("{rest}{case:02}").leak() };
    let phone = phone.get(..phone.len().saturating_sub(2)).filter(|rest| !rest.is_empty()).map_or("", line);
    Behavior { id, visitor: own(visitor), user: own(user), email: own(email), crm, phone, ..behavior }
}

/// All events, and the same as they arrive: each at least once, in any order.
fn people() -> (Vec<Behavior>, Vec<Behavior>) {
    let mut runner = TestRunner::deterministic();
    let mut all: Vec<Behavior> = Vec::new();
    for case in 1..=CASES {
        for behavior in model::behaviors().new_tree(&mut runner).unwrap().current() {
            let id = u8::try_from(all.len() + 1).unwrap();
            all.push(apart(case, id, behavior));
        }
    }
    let again = prop::collection::vec(prop::sample::select(all.clone()), 40).new_tree(&mut runner).unwrap().current();
    let arrivals = Just(all.iter().cloned().chain(again).collect::<Vec<_>>()).prop_shuffle();
    let arrivals = arrivals.new_tree(&mut runner).unwrap().current();
    (all, arrivals)
}

fn identity() -> Identity {
    // As in the model: no bound is reached.
    let settings = IdentitySettings { values_per_attribute: 12, ..IdentitySettings::default() };
    Identity::new(secret(), settings)
}

/// What stands on `activity`.
fn activity(runner: &mut impl Runner) -> Vec<v1::ActivityRecord> {
    let records = runner.records(Topic::Activity).into_iter();
    records.map(|(_, payload)| v1::ActivityRecord::decode(payload.as_slice()).unwrap()).collect()
}

fn the_leads_are_those_of_the_model(runner: &mut impl Runner) {
    let (all, arrivals) = people();
    let expected = model::outcome(&all);
    assert!(expected.len() > 40, "{} leads", expected.len());
    // Later than anything that happens.
    runner.clock().advance(Millis::from_days(1));
    let (first, second) = arrivals.split_at(arrivals.len() / 2);
    runner.start();
    runner.publish(first.iter().map(Behavior::emitted).collect());
    eventually("something to be attributed", || if activity(runner).is_empty() { Err("nothing") } else { Ok(()) });
    runner.stop();
    runner.publish(second.iter().map(Behavior::emitted).collect());
    runner.start();
    eventually("the leads of the model", || {
        // Until user ids have waited for an address.
        runner.clock().advance(Millis::from_seconds(1));
        same(&outcome(trails(activity(runner))), &expected)
    });
    runner.stop();
    runner.start();
    let after = outcome(trails(activity(runner)));
    assert_eq!(same(&after, &expected), Ok(()), "it stays so");
    runner.stop();
}

/// Says of the first lead that is not as expected how it is.
fn same(found: &Outcome, expected: &Outcome) -> Result<(), String> {
    let leads = found.keys().chain(expected.keys());
    let differs = leads.into_iter().find(|lead| found.get(lead) != expected.get(lead));
    let of = |outcome: &Outcome, lead| outcome.get(lead).map_or("nothing".to_owned(), |it| format!("{it:?}"));
    differs.map_or(Ok(()), |lead| Err(format!("{lead} has {}, expected {}", of(found, lead), of(expected, lead))))
}

#[test]
fn the_leads_are_those_of_the_model_in_memory() {
    the_leads_are_those_of_the_model(&mut Memory::new(identity()));
}

#[test]
fn the_leads_are_those_of_the_model_on_the_embedded_log() {
    the_leads_are_those_of_the_model(&mut Embedded::new(identity));
}

#[test]
fn the_leads_are_those_of_the_model_on_kafka() {
    the_leads_are_those_of_the_model(&mut Kafka::new("identity", identity));
}
