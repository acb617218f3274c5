//! A route that waits hands over at the same instant on every runner, also when the runner stood still at that instant.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may panic; clippy sees that only inside of test functions"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use tasuki_domain::{EventId, LeadId, Millis, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_qualification::Qualification;
use tasuki_service::Clock;
use tasuki_stream::Emitted;
use tasuki_testkit::eventually::eventually;
use tasuki_testkit::runners::{Embedded, Kafka, Memory, Runner};
use tasuki_wire::v1::qualification_record::Event as Decision;
use tasuki_wire::{Head, Topic, v1};
use uuid::Uuid;

const LEADS: u64 = 20;
const HOUR: i64 = 3_600_000;

fn qualification() -> Qualification {
    let route = "[[routes]]\nname = \"waits\"\nwhen = \"engagement >= 60\"\nstays_while = \"engagement >= 50\"\ndwell = \"1h\"\n\
                 urgency = \"high\"\npool = \"p\"\n\n[[routes]]";
    Qualification::new(Arc::new(Playbook::parse(&Playbook::DEFAULT.replacen("[[routes]]", route, 1)).unwrap()))
}

fn scored(number: u64, version: u64, at: i64, engagement: i64) -> Emitted {
    let lead = LeadId::new(Uuid::from_u128(1_000 + u128::from(number)));
    let head = Head {
        event_id: EventId::reported("test", &format!("{number} {version}")),
        occurred_at: Timestamp::from_millis(at),
        received_at: Timestamp::from_millis(at),
        cause: None,
        lead: Some(lead),
        version: Version::new(version),
    };
    let scored =
        v1::LeadScored { as_of_ms: at, engagement_mp: engagement, playbook_version: 1, ..v1::LeadScored::default() };
    let event = Some(v1::score_record::Event::Scored(scored));
    let payload = v1::ScoreRecord { meta: Some(head.to_meta()), event }.encode_to_vec();
    Emitted { topic: Topic::Scores, key: lead.to_string(), payload }
}

/// When each lead was handed over, and since when its route was open.
fn handed_over(runner: &mut impl Runner) -> BTreeMap<String, (i64, i64)> {
    let mut handed_over = BTreeMap::new();
    for (key, payload) in runner.records(Topic::Qualification) {
        let record = v1::QualificationRecord::decode(payload.as_slice()).unwrap();
        if let Some(Decision::Qualified(qualified)) = record.event {
            let at = record.meta.unwrap().occurred_at_ms;
            assert_eq!(handed_over.insert(key, (at, qualified.open_since_ms)), None, "handed over once");
        }
    }
    handed_over
}

/// Each opens a second behind the one before. Within the hour every third falls below both edges and every fifth below the
/// first only; then the runner stands still until all waits are over.
fn waits_end_at_their_instant(runner: &mut impl Runner) {
    let now = runner.clock().now().as_millis();
    let since = |number: u64| now + i64::try_from(number).unwrap() * 1_000;
    runner.publish((0..LEADS).map(|number| scored(number, 1, since(number), 60_000)).collect());
    runner.start();
    eventually("leads that are known", || {
        let known = runner.records(Topic::Qualification).len();
        if known == usize::try_from(LEADS).unwrap() { Ok(()) } else { Err(format!("{known} became leads")) }
    });
    let falls = |number: u64| number.is_multiple_of(3).then_some(49_999).or(number.is_multiple_of(5).then_some(50_000));
    let later = (0..LEADS).filter_map(|number| Some(scored(number, 2, since(number) + HOUR / 2, falls(number)?)));
    runner.publish(later.collect());
    // One more behind all of them in its partition says that they were read.
    runner.publish((0..LEADS).map(|number| scored(100 + number, 1, now, 1_000)).collect());
    eventually("all scores to be read", || {
        let known = runner.records(Topic::Qualification).len();
        if known == usize::try_from(2 * LEADS).unwrap() { Ok(()) } else { Err(format!("{known} became leads")) }
    });
    runner.stop();
    runner.clock().advance(Millis::from_hours(3));
    runner.start();
    let expected: BTreeMap<String, (i64, i64)> = (0..LEADS)
        .filter(|number| !number.is_multiple_of(3))
        .map(|number| {
            let lead = LeadId::new(Uuid::from_u128(1_000 + u128::from(number)));
            (lead.to_string(), (since(number) + HOUR, since(number)))
        })
        .collect();
    eventually("those handed over that stayed open", || {
        let found = handed_over(runner);
        if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
    });
    runner.stop();
}

#[test]
fn waits_end_at_their_instant_in_memory() {
    waits_end_at_their_instant(&mut Memory::new(qualification()));
}

#[test]
fn waits_end_at_their_instant_on_the_embedded_log() {
    waits_end_at_their_instant(&mut Embedded::new(qualification));
}

#[test]
fn waits_end_at_their_instant_on_kafka() {
    waits_end_at_their_instant(&mut Kafka::new("qualification", qualification));
}
