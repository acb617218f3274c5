//! The rules of the processor `desk`, one by one, and that turns are fair.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod given;

use std::collections::BTreeMap;

use given::*;
use proptest::prelude::*;
use tasuki_domain::EventId;
use tasuki_handoff::Desk;
use tasuki_playbook::reps::Reps;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::{Head, Topic, v1};

fn after(reps: Reps, requests: impl IntoIterator<Item = Emitted>) -> Pipeline {
    let mut pipeline = empty_pipeline().with(Desk::new(reps));
    for request in requests {
        pipeline.publish(request);
        pipeline.run();
    }
    pipeline
}

/// Who got the handoffs of leads 0, 1, 2 ... in this order; empty for nobody.
fn owners(pipeline: &Pipeline, leads: u128) -> Vec<String> {
    let by_lead: BTreeMap<_, _> = decisions(pipeline)
        .into_iter()
        .map(|decision| (decision.meta.unwrap().lead_id, decision.owner.map_or_else(String::new, |owner| owner.id)))
        .collect();
    (0..leads).map(|n| by_lead[lead(n).as_bytes().as_slice()].clone()).collect()
}

fn asked(n: u128) -> Emitted {
    request(lead(n), 1, &[], false)
}

#[test]
fn the_answer_goes_to_the_lead_with_owner_and_reason() {
    let pipeline = after(reps(&["sato 1"]), [asked(0)]);
    let cause = event("request", lead(0), 1);
    let head = Head {
        event_id: EventId::derived("desk", cause, 0),
        occurred_at: at("08:59:59"),
        received_at: at("09:00:00"),
        cause: Some(cause),
        lead: Some(lead(0)),
        version: Default::default(),
    };
    let expected = v1::DeskDecision {
        meta: Some(head.to_meta()),
        handoff_id: handoff_id(lead(0), 1).as_bytes().to_vec(),
        cycle: 1,
        owner: Some(rep("sato")),
        pool: POOL.into(),
        reason: "next in turn of pool inside-sales".into(),
    };
    assert_eq!(decisions(&pipeline), [expected]);
    assert_eq!(pipeline.records(Topic::DeskDecisions).next().unwrap().key, lead(0).to_string().as_bytes());
}

#[test]
fn turns_follow_the_weights_and_are_spread() {
    let pipeline = after(reps(&["a 5", "b 1", "c 1"]), (0..7).map(asked));
    assert_eq!(owners(&pipeline, 7), ["a", "a", "b", "a", "c", "a", "a"]);
}

#[test]
fn the_absent_are_passed_over_and_it_is_said() {
    let pipeline = after(reps(&["a 1", "b 1 absent", "c 1"]), (0..4).map(asked));
    assert_eq!(owners(&pipeline, 4), ["a", "c", "a", "c"]);
    assert_eq!(decisions(&pipeline)[0].reason, "next in turn of pool inside-sales; passed over: b (absent)");
}

#[test]
fn a_rep_at_capacity_waits_for_a_verdict() {
    let full = || (0..3).map(asked);
    let pipeline = after(reps(&["a 1 capacity=1", "b 1"]), full());
    assert_eq!(owners(&pipeline, 3), ["a", "b", "b"]);
    let reasons: Vec<_> = decisions(&pipeline).into_iter().map(|decision| decision.reason).collect();
    assert!(reasons.contains(&"next in turn of pool inside-sales; passed over: a (at capacity)".to_owned()));

    let answered = request(lead(0), 1, &[], true);
    let pipeline = after(reps(&["a 1 capacity=1", "b 1"]), full().chain([answered, asked(3), asked(4)]));
    assert_eq!(owners(&pipeline, 5), ["a", "b", "b", "b", "a"], "b was next before a was full, and still is");
    let never = after(reps(&["a 1 capacity=1", "b 1"]), (0..5).map(asked));
    assert_eq!(owners(&never, 5), ["a", "b", "b", "b", "b"]);
}

#[test]
fn nobody_free_is_an_answer_with_all_the_reasons() {
    let requests = [asked(0), request(lead(1), 1, &["c"], false)];
    let pipeline = after(reps(&["a 1 absent", "b 1 capacity=1", "c 1 absent"]), requests);
    let answers: BTreeMap<_, _> =
        decisions(&pipeline).into_iter().map(|answer| (answer.handoff_id.clone(), answer)).collect();
    let second = &answers[handoff_id(lead(1), 1).as_bytes().as_slice()];
    assert_eq!(
        (second.owner.clone(), second.reason.as_str()),
        (None, "nobody is free in pool inside-sales: a (absent), b (at capacity), c (absent)")
    );
}

#[test]
fn who_must_not_get_it_does_not() {
    let pipeline = after(reps(&["a 1", "b 1"]), [request(lead(0), 1, &["a"], false)]);
    let answer = &decisions(&pipeline)[0];
    assert_eq!(answer.owner, Some(rep("b")));
    assert_eq!(answer.reason, "next in turn of pool inside-sales; passed over: a (refused it before)");
}

#[test]
fn an_unknown_pool_is_answered_with_what_there_is() {
    let other = Reps::parse("pools.x.reps = [{ id = \"a\", name = \"A\", email = \"a@example.com\" }]").unwrap();
    let pipeline = after(other, [asked(0), request(lead(0), 1, &[], true)]);
    let answers = decisions(&pipeline);
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].owner.clone(), answers[0].reason.as_str()),
        (None, "the reps file has no pool \"inside-sales\"; it has x")
    );
    assert!(pipeline.states("desk").is_empty());
}

#[test]
fn asked_again_the_desk_answers_the_same_and_takes_no_turn() {
    let pipeline = after(reps(&["a 1", "b 1"]), [asked(0), asked(0), asked(1)]);
    let answers = decisions(&pipeline);
    let of_first: Vec<_> =
        answers.iter().filter(|answer| answer.handoff_id == handoff_id(lead(0), 1).as_bytes()).collect();
    assert_eq!(of_first.len(), 2);
    assert_eq!(of_first[0], of_first[1]);
    assert_eq!(owners(&pipeline, 2), ["a", "b"]);
}

#[test]
fn asked_again_without_the_owner_the_desk_decides_anew() {
    let again = request(lead(0), 1, &["a"], false);
    let pipeline = after(reps(&["a 5 capacity=1", "b 1"]), [asked(0), again.clone(), asked(1), again]);
    let owners: Vec<_> = pipeline
        .messages::<v1::DeskDecision>(Topic::DeskDecisions)
        .into_iter()
        .filter(|answer| answer.handoff_id == handoff_id(lead(0), 1).as_bytes())
        .map(|answer| answer.owner.unwrap().id)
        .collect();
    assert_eq!(owners, ["a", "b", "b"]);
    // The first answer no longer counts against a's capacity.
    assert_eq!(self::owners(&pipeline, 2)[1], "a");
}

#[test]
fn a_desk_remembers_only_so_many_answers() {
    let pipeline = after(reps(&["a 1", "b 1"]), (0..2_000).map(asked));
    let state = &pipeline.states("desk")[POOL];
    assert!(state.len() < 30_000, "{} bytes", state.len());
}

#[test]
fn a_request_under_another_pools_key_is_refused() {
    let pipeline = after(reps(&["a 1"]), [Emitted { key: "other".into(), ..asked(0) }]);
    let codes: Vec<_> = pipeline.refused().iter().map(|refused| refused.poison.code).collect();
    assert_eq!((codes, decisions(&pipeline)), (vec!["wrong-key"], vec![]));
}

proptest! {
    /// After any number of decisions, no rep of equal weight is more than one ahead of another.
    #[test]
    fn equal_weights_give_equal_shares(count in 1_usize..8, weight in 1_u32..=100, asks in 1_u128..60) {
        let lines: Vec<_> = (0..count).map(|n| format!("r{n} {weight}")).collect();
        let reps = reps(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let pipeline = after(reps, (0..asks).map(asked));
        let mut shares: BTreeMap<_, u32> = (0..count).map(|n| (format!("r{n}"), 0)).collect();
        for owner in owners(&pipeline, asks) {
            *shares.get_mut(&owner).unwrap() += 1;
            let spread = shares.values().max().unwrap() - shares.values().min().unwrap();
            prop_assert!(spread <= 1, "{shares:?}");
        }
    }

    /// Over one full round everybody gets exactly the own weight, wherever the round begins.
    #[test]
    fn a_full_round_gives_each_the_own_weight(weights in prop::collection::vec(1_u32..6, 1..5), skip in 0_usize..12) {
        let lines: Vec<_> = weights.iter().enumerate().map(|(n, weight)| format!("r{n} {weight}")).collect();
        let reps = reps(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let round = weights.iter().sum::<u32>();
        let asks = u128::from(round) + u128::try_from(skip).unwrap();
        let owners = owners(&after(reps, (0..asks).map(asked)), asks);
        for (n, weight) in weights.iter().enumerate() {
            let got = owners[skip..].iter().filter(|owner| **owner == format!("r{n}")).count();
            prop_assert_eq!(got, usize::try_from(*weight).unwrap());
        }
    }

    /// Restarts and repeated requests, wherever they happen, change no answer.
    #[test]
    fn replays_exactly(asks in prop::collection::vec((0_u128..12, any::<bool>(), any::<bool>()), 1..40)) {
        let reps = || reps(&["a 2", "b 1 capacity=2", "c 1 absent", "d 3"]);
        let records = || asks.iter().map(|&(n, answered, _)| request(lead(n), 1, &[], answered));
        let straight = after(reps(), records());
        let mut bumpy = empty_pipeline().with(Desk::new(reps()));
        for (record, &(_, _, restart)) in records().zip(&asks) {
            bumpy.publish(record);
            bumpy.run();
            if restart {
                bumpy.restart();
            }
        }
        prop_assert_eq!(decisions(&straight), decisions(&bumpy));
        prop_assert_eq!(straight.states("desk"), bumpy.states("desk"));
    }
}
