//! Qualifications, decisions and feedback stand on three topics: whatever way they interleave, the outcome is the same.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod given;

use std::collections::{BTreeMap, BTreeSet};

use given::*;
use proptest::prelude::*;
use tasuki_handoff::Handoff;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::contract::QualifiedLead;
use tasuki_wire::v1::RejectReason;
use tasuki_wire::v1::handoff_record::Event;

const CYCLES: u32 = 3;

/// What sales says in one case: which cycle (beyond the last one: no handoff), by what command number, and what.
type Said = Vec<(u32, u32, Say)>;

fn said() -> impl Strategy<Value = Said> {
    let say = prop_oneof![
        Just(Say::Accept),
        Just(Say::Reject(RejectReason::Timing)),
        Just(Say::Reject(RejectReason::NoNeed)),
        Just(Say::Reject(RejectReason::Unspecified)),
    ];
    // Fewer than may wait for one handoff: what is over that is refused, which depends on what came first.
    prop::collection::vec((1..=CYCLES + 1, say), 0..8).prop_map(|said| {
        said.into_iter().enumerate().map(|(n, (cycle, say))| (cycle, u32::try_from(n).unwrap(), say)).collect()
    })
}

/// The records of the three topics, each in its own order.
fn topics(said: &Said) -> [Vec<Emitted>; 3] {
    let one = lead(1);
    let qualified = (1..=CYCLES).map(|cycle| qualified(one, cycle, at("09:00:00"))).collect();
    let decided =
        (1..=CYCLES).map(|cycle| decided(one, cycle, (cycle != 2).then_some("sato"), at("09:00:00"))).collect();
    let feedback = said
        .iter()
        .map(|&(cycle, n, say)| {
            let of = if cycle > CYCLES { handoff_id(lead(2), 1) } else { handoff_id(one, cycle) };
            feedback(one, n, of, "sato", say, at("09:30:00"))
        })
        .collect();
    [qualified, decided, feedback]
}

/// Deals the topics into one sequence: each draw says which topic is next, and how far back a repetition reaches.
fn interleaved(topics: &[Vec<Emitted>; 3], draws: &[(usize, Option<usize>, bool)]) -> Pipeline {
    let mut pipeline = empty_pipeline().with(Handoff::new(policy()));
    let mut next = [0; 3];
    let mut draws = draws.iter().cycle();
    while (0..3).any(|topic| next[topic] < topics[topic].len()) {
        let &(topic, repeat, restart) = draws.next().unwrap();
        // The topic drawn may be at its end: then the next one that is not.
        let topic = (topic..topic + 3).map(|topic| topic % 3).find(|&topic| next[topic] < topics[topic].len()).unwrap();
        pipeline.publish(topics[topic][next[topic]].clone());
        next[topic] += 1;
        if let Some(repeated) = repeat.and_then(|back| next[topic].checked_sub(back + 1)) {
            pipeline.publish(topics[topic][repeated].clone());
        }
        pipeline.run();
        if restart {
            pipeline.restart();
        }
    }
    pipeline
}

/// What was written for the lead, apart from the versions: id, handoff, event.
fn outcome(pipeline: &Pipeline) -> BTreeSet<(Vec<u8>, String)> {
    let records = handoff_records(pipeline, lead(1));
    let count = records.len();
    let outcome: BTreeSet<_> = records
        .into_iter()
        .map(|mut record| {
            let meta = record.meta.as_mut().unwrap();
            meta.version = 0;
            (meta.event_id.clone(), format!("{record:?}"))
        })
        .collect();
    assert_eq!(outcome.len(), count, "no event twice");
    outcome
}

/// The public records, by cycle, after a look at the versions; those follow the order of assignment.
fn contract(pipeline: &Pipeline) -> Vec<QualifiedLead> {
    let mut records = contract_records(pipeline);
    assert!(records.iter().map(|record| record.version).eq(1..=u64::from(CYCLES)));
    records.iter_mut().for_each(|record| record.version = 0);
    records.sort_by_key(|record| record.cycle);
    records
}

/// How many verdicts each handoff got.
fn verdicts(pipeline: &Pipeline) -> BTreeMap<Vec<u8>, usize> {
    let mut verdicts = BTreeMap::new();
    for record in handoff_records(pipeline, lead(1)) {
        match record.event.unwrap() {
            Event::Accepted(_) | Event::Rejected(_) => *verdicts.entry(record.handoff_id).or_default() += 1,
            Event::Assigned(_) | Event::Overdue(_) | Event::Refused(_) => {}
        }
    }
    verdicts
}

fn draws() -> impl Strategy<Value = Vec<(usize, Option<usize>, bool)>> {
    prop::collection::vec((0_usize..3, prop::option::of(0_usize..4), any::<bool>()), 1..40)
}

proptest! {
    #[test]
    fn the_three_topics_may_interleave_and_repeat_as_they_like(said in said(), draws in draws()) {
        let topics = topics(&said);
        let in_turn = interleaved(&topics, &[(0, None, false)]);
        let mixed = interleaved(&topics, &draws);
        prop_assert_eq!(outcome(&mixed), outcome(&in_turn));
        handoff_events(&mixed, lead(1));
        prop_assert_eq!(contract(&mixed), contract(&in_turn));
        prop_assert_eq!(mixed.refused(), []);
    }

    #[test]
    fn in_any_order_of_feedback_each_handoff_has_one_verdict(
        said in said(), order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(), draws in draws(),
    ) {
        let shuffled: Said = order.iter().filter_map(|&n| said.get(n).copied()).collect();
        let pipeline = interleaved(&topics(&shuffled), &draws);
        handoff_events(&pipeline, lead(1));
        let spoken_of: BTreeSet<_> = said
            .iter()
            .filter(|(cycle, _, say)| *cycle <= CYCLES && *say != Say::Reject(RejectReason::Unspecified))
            .map(|(cycle, ..)| handoff_id(lead(1), *cycle).as_bytes().to_vec())
            .collect();
        prop_assert_eq!(verdicts(&pipeline), spoken_of.into_iter().map(|id| (id, 1)).collect::<BTreeMap<_, _>>());
    }
}
