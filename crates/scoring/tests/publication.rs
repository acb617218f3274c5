//! Another playbook comes into force: whatever the order, leads are scored as if it had been there from the start.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{DAY, Did, START, assert_ledger, profile, signals_of, typical_visit};
use proptest::prelude::*;
use prost::Message;
use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_scoring::{Scoring, score};
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::score_record::Event as Score;
use tasuki_wire::v1::{self, PublishedBecause, ScoredBecause, playbook_record};
use tasuki_wire::{Head, PartitionCount, Topic};
use uuid::Uuid;

/// The default playbook with other points, as this version.
fn text(version: u32) -> String {
    let (points, cap) = (format!("points = {}", 8 + version), format!("cap = {}", 24 + version));
    let text = Playbook::DEFAULT.replacen("version = 1", &format!("version = {version}"), 1);
    text.replacen("points = 8", &points, 1).replacen("cap = 24", &cap, 1)
}

fn lead(number: u128) -> LeadId {
    LeadId::new(Uuid::from_u128(500 + number))
}

fn published(version: u32, at: i64) -> Emitted {
    let at = Timestamp::from_millis(at);
    let head = Head {
        event_id: EventId::reported("test", &format!("{version} {at}")),
        occurred_at: at,
        received_at: at,
        cause: None,
        lead: None,
        version: Version::default(),
    };
    let event = playbook_record::Event::Published(v1::PlaybookPublished {
        version,
        name: "default".into(),
        text: text(version),
        by: "mori".into(),
        because: PublishedBecause::Published.into(),
    });
    let record = v1::PlaybookRecord { meta: Some(head.to_meta()), event: Some(event) };
    Emitted { topic: Topic::Playbooks, key: version.to_string(), payload: record.encode_to_vec() }
}

/// The n-th activity record of a lead: its profile, then what a typical lead does.
fn activity(of: u128, number: u64) -> Emitted {
    let (event, received_at) = if number == 1 {
        let profile = Some(profile("ana@acme.example", &[("title", "VP Sales"), ("employees", "250")]));
        (Activity::ProfileChanged(v1::ProfileChanged { profile }), START)
    } else {
        let did = did(of, number);
        (did.attributed(), did.received_at)
    };
    let head = Head {
        event_id: EventId::reported("test", &format!("{of} {number}")),
        occurred_at: Timestamp::from_millis(received_at),
        received_at: Timestamp::from_millis(received_at),
        cause: None,
        lead: Some(lead(of)),
        version: Version::new(number),
    };
    let record = v1::ActivityRecord { meta: Some(head.to_meta()), identities_version: 0, event: Some(event) };
    Emitted { topic: Topic::Activity, key: lead(of).to_string(), payload: record.encode_to_vec() }
}

fn did(of: u128, number: u64) -> Did {
    let visit = typical_visit(usize::try_from(number).unwrap() + usize::try_from(of).unwrap());
    Did { id: of << 64 | u128::from(number), ..visit }
}

fn pipeline(partitions: u16, start: u32) -> Pipeline {
    let partitions = PartitionCount::new(partitions).unwrap();
    let playbook = Arc::new(Playbook::parse(&text(start)).unwrap());
    Pipeline::new(partitions, Timestamp::from_millis(NOW)).with(Scoring::new(playbook).with_partitions(partitions))
}

/// After everything that happens, and before time alone changes anything.
const NOW: i64 = START + 30 * DAY;

/// The latest score of each lead, and how many there were.
fn scores(pipeline: &Pipeline) -> BTreeMap<LeadId, (v1::LeadScored, u64)> {
    assert_eq!(pipeline.refused(), []);
    let mut scores = BTreeMap::new();
    for record in pipeline.messages::<v1::ScoreRecord>(Topic::Scores) {
        let Some(Score::Scored(scored)) = record.event else { continue };
        let (head, lead) = Head::read_with_lead(record.meta.as_ref()).unwrap();
        assert_ledger(&scored);
        let (_, versions) = scores.remove(&lead).unwrap_or_default();
        assert_eq!(head.version.get(), versions + 1, "gapless");
        scores.insert(lead, (scored, versions + 1));
    }
    scores
}

#[test]
fn every_lead_is_scored_anew_once_and_a_rollback_gives_the_numbers_back() {
    let mut pipeline = pipeline(4, 1);
    for of in 0..40 {
        (1..=6).for_each(|number| pipeline.publish(activity(of, number)));
    }
    pipeline.run();
    let before = scores(&pipeline);
    pipeline.publish(published(2, NOW - 2));
    pipeline.run();
    let after = scores(&pipeline);
    assert_eq!(after.len(), 40);
    for (lead, (scored, versions)) in &after {
        assert_eq!((scored.playbook_version, scored.because()), (2, ScoredBecause::Playbook));
        assert_eq!((scored.as_of_ms, *versions), (NOW - 2, before[lead].1 + 1));
    }
    // The version that was there from the start, once it was published too: other numbers, then the first again.
    pipeline.publish(published(1, NOW - 1));
    pipeline.run();
    let back = scores(&pipeline);
    for (lead, (scored, _)) in &back {
        assert_eq!(scored.playbook_version, 1);
        let fresh = expected(*lead, 6, 1, NOW - 1);
        assert_eq!((scored.engagement_mp, scored.fit_mp), fresh);
    }
    assert!(back.iter().any(|(lead, (scored, _))| scored.engagement_mp != after[lead].0.engagement_mp));
    // The same text once more, under another id: nothing.
    pipeline.publish(published(1, NOW));
    pipeline.run();
    assert_eq!(scores(&pipeline), back);
}

#[test]
fn the_playbook_stands_in_each_partition_of_scores_ahead_of_the_first_score_by_it() {
    let mut pipeline = pipeline(4, 1);
    for of in 0..40 {
        pipeline.publish(activity(of, 1));
    }
    pipeline.run();
    pipeline.publish(published(2, NOW));
    pipeline.run();
    let mut known = BTreeMap::<_, Vec<u32>>::new();
    let mut by_it = 0;
    let partitions = PartitionCount::new(4).unwrap();
    for record in pipeline.records(Topic::Scores) {
        let partition = partitions.of_key(&record.key);
        match v1::ScoreRecord::decode(record.payload.as_slice()).unwrap().event.unwrap() {
            Score::Playbook(playbook) => known.entry(partition).or_default().push(playbook.version),
            Score::Scored(scored) if scored.playbook_version == 2 => {
                assert_eq!(known[&partition], [2]);
                by_it += 1;
            }
            Score::Scored(_) => assert!(!known.contains_key(&partition), "all were scored before"),
        }
    }
    assert_eq!((known.len(), by_it), (4, 40));
}

#[test]
fn a_playbook_that_cannot_be_used_is_refused_once_and_changes_nothing() {
    let mut pipeline = pipeline(4, 1);
    pipeline.publish(activity(1, 1));
    let mut broken = published(2, NOW);
    let mut record = v1::PlaybookRecord::decode(broken.payload.as_slice()).unwrap();
    let Some(playbook_record::Event::Published(playbook)) = &mut record.event else { panic!("published") };
    playbook.text = "no playbook".into();
    broken.payload = record.encode_to_vec();
    pipeline.publish(broken);
    pipeline.publish(activity(1, 2));
    pipeline.run();
    let codes: Vec<_> = pipeline.refused().iter().map(|refused| (refused.topic, refused.poison.code)).collect();
    assert_eq!(codes, [(Topic::Playbooks, "unreadable-playbook")]);
    assert_eq!(pipeline.records(Topic::PlaybookMarkers).count(), 0);
}

/// What a lead that did so much is worth by a playbook, computed at once.
fn expected(of: LeadId, records: u64, version: u32, as_of: i64) -> (i64, i64) {
    let number = (0..60).find(|&number| lead(number) == of).unwrap();
    let history: Vec<_> = (2..=records).map(|record| did(number, record)).collect();
    let profile = profile("ana@acme.example", &[("title", "VP Sales"), ("employees", "250")]);
    let playbook = Playbook::parse(&text(version)).unwrap();
    let score = score(&signals_of(&history), &profile, &playbook, Timestamp::from_millis(as_of));
    (score.engagement.get(), score.fit.get())
}

/// A record to be written, a step to be made, or a crash.
#[derive(Clone, Debug)]
enum Act {
    Publish(u32),
    Activity(u128),
    Step,
    Crash,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => (2_u32..5).prop_map(Act::Publish),
        8 => (0_u128..8).prop_map(Act::Activity),
        3 => Just(Act::Step),
        1 => Just(Act::Crash),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    #[test]
    fn in_any_order_and_with_crashes_it_is_as_if_the_last_playbook_had_been_there_from_the_start(acts in acts()) {
        let mut pipeline = pipeline(2, 1);
        let (mut written, mut latest) = (BTreeMap::<u128, u64>::new(), None);
        for act in acts {
            match act {
                // The higher version is the later one, whenever it comes.
                Act::Publish(version) => {
                    latest = latest.max(Some(version));
                    pipeline.publish(published(version, NOW - 10 + i64::from(version)));
                }
                Act::Activity(of) => {
                    let number = written.entry(of).or_default();
                    *number += 1;
                    pipeline.publish(activity(of, *number));
                }
                Act::Step => {
                    pipeline.step();
                }
                Act::Crash => pipeline.restart(),
            }
        }
        pipeline.run();
        let scores = scores(&pipeline);
        prop_assert_eq!(scores.len(), written.len());
        for (of, records) in written {
            let (scored, _) = &scores[&lead(of)];
            prop_assert_eq!(scored.playbook_version, latest.unwrap_or(1));
            if latest.is_some() {
                prop_assert_eq!(scored.as_of_ms, NOW - 10 + i64::from(scored.playbook_version));
            }
            let expected = expected(lead(of), records, scored.playbook_version, scored.as_of_ms);
            prop_assert_eq!((scored.engagement_mp, scored.fit_mp), expected);
        }
    }
}
