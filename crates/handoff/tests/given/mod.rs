//! What the tests of this crate write and read.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeMap;

use tasuki_domain::{Cycle, EventId, HandoffId, LeadId, Millis, Timestamp, Version};
use tasuki_handoff::{AcceptWithin, HandoffPolicy};
use tasuki_playbook::reps::Reps;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::contract::QualifiedLead;
use tasuki_wire::evidence::{Named, columns};
use tasuki_wire::v1::handoff_record::Event;
use tasuki_wire::{Head, PartitionCount, Topic, v1};
use uuid::Uuid;

use prost::Message;

pub(crate) const POOL: &str = "inside-sales";

pub(crate) fn at(text: &str) -> Timestamp {
    format!("2026-11-23T{text}Z").parse().unwrap()
}

pub(crate) fn policy() -> HandoffPolicy {
    let accept_within =
        AcceptWithin { urgent: Millis::from_hours(1), high: Millis::from_hours(4), normal: Millis::from_days(1) };
    HandoffPolicy { accept_within, routes: BTreeMap::new() }
}

pub(crate) fn lead(n: u128) -> LeadId {
    LeadId::new(Uuid::from_u128(0x1ead_0000 + n))
}

pub(crate) fn handoff_id(lead: LeadId, cycle: u32) -> HandoffId {
    HandoffId::of(lead, Cycle::new(cycle))
}

pub(crate) fn empty_pipeline() -> Pipeline {
    Pipeline::new(PartitionCount::new(4).unwrap(), at("09:00:00"))
}

/// Reps of one pool, as lines of `id weight [absent] [capacity=N]`.
pub(crate) fn reps(lines: &[&str]) -> Reps {
    let mut text = String::new();
    for line in lines {
        let mut words = line.split(' ');
        let (id, weight) = (words.next().unwrap(), words.next().unwrap());
        text += &format!(
            "[[pools.{POOL}.reps]]\nid = \"{id}\"\nname = \"{id}\"\nemail = \"{id}@sales.example.com\"\nweight = {weight}\n"
        );
        for word in words {
            text += &match word.strip_prefix("capacity=") {
                Some(most) => format!("capacity = {most}\n"),
                None => format!("{word} = true\n"),
            };
        }
    }
    Reps::parse(&text).unwrap()
}

/// Ids that differ by what they are for.
pub(crate) fn event(kind: &str, lead: LeadId, n: u32) -> EventId {
    EventId::reported(kind, &format!("{lead} {n}"))
}

fn head(event_id: EventId, lead: LeadId, received_at: Timestamp, version: u64) -> Option<v1::Meta> {
    let head = Head {
        event_id,
        occurred_at: received_at - Millis::from_seconds(1),
        received_at,
        cause: None,
        lead: Some(lead),
        version: Version::new(version),
    };
    Some(head.to_meta())
}

fn record(topic: Topic, lead: LeadId, message: &impl Message) -> Emitted {
    Emitted { topic, key: lead.to_string(), payload: message.encode_to_vec() }
}

pub(crate) fn seen() -> v1::LeadScored {
    let ids = [3, 2, 1].map(Uuid::from_u128);
    let event = |place: usize, time: &str, what: &'static str| Named {
        behavior_id: ids[place].as_bytes(),
        occurred_at_ms: at(time).as_millis(),
        what,
    };
    let events = [
        event(0, "08:59:58", "FormSubmitted demo-request"),
        event(1, "08:10:00", "PageViewed /pricing"),
        event(2, "08:00:00", "PageViewed /pricing"),
    ];
    let contribution = |axis: v1::Axis, rule: &str, points_mp: i64, evidence: Vec<u32>| v1::Contribution {
        axis: axis.into(),
        rule: rule.into(),
        points_mp,
        raw_mp: points_mp,
        matches: u32::try_from(evidence.len()).unwrap(),
        evidence_mp: vec![1; evidence.len()],
        evidence,
        ..v1::Contribution::default()
    };
    let attribute = |value: &str| v1::AttributeValue { value: value.into(), ..Default::default() };
    v1::LeadScored {
        playbook_version: 3,
        as_of_ms: at("08:59:59").as_millis(),
        engagement_mp: 82_125,
        fit_mp: 40_000,
        grade: "B2".into(),
        evidence: Some(columns(at("08:59:59").as_millis(), events)),
        contributions: vec![
            contribution(v1::Axis::Fit, "title", 40_000, vec![]),
            contribution(v1::Axis::Engagement, "pricing", 12_125, vec![1, 2]),
            contribution(v1::Axis::Engagement, "any-page", 5_000, vec![1]),
            contribution(v1::Axis::Engagement, "demo", 60_000, vec![0]),
            contribution(v1::Axis::Engagement, "cap", -15_000, vec![]),
            // What a bound gives back.
            v1::Contribution { raw_mp: 0, ..contribution(v1::Axis::Engagement, "cap:content", 20_000, vec![]) },
        ],
        profile: Some(v1::Profile {
            email: "hanako@acme.example".into(),
            account_id: "acme.example".into(),
            attributes: [("name", "Hanako Tanaka"), ("company", "Acme K.K."), ("title", "CTO"), ("phone", "")]
                .map(|(name, value)| (name.to_owned(), attribute(value)))
                .into(),
            other_emails: Vec::new(),
        }),
        ..Default::default()
    }
}

pub(crate) fn lead_qualified(cycle: u32, urgency: &str) -> v1::LeadQualified {
    v1::LeadQualified {
        cycle,
        route: "hand-raise".into(),
        condition: "signals.within(\"demo-request\", \"30d\") > 0".into(),
        playbook_version: 3,
        urgency: urgency.into(),
        pool: POOL.into(),
        seen: Some(seen()),
        ..v1::LeadQualified::default()
    }
}

pub(crate) fn qualification(
    lead: LeadId,
    version: u32,
    received_at: Timestamp,
    event_: v1::qualification_record::Event,
) -> Emitted {
    let meta = head(event("qualification", lead, version), lead, received_at, version.into());
    record(Topic::Qualification, lead, &v1::QualificationRecord { meta, event: Some(event_) })
}

/// `LeadQualified` of a cycle, urgent, as the version of the same number.
pub(crate) fn qualified(lead: LeadId, cycle: u32, received_at: Timestamp) -> Emitted {
    let event = v1::qualification_record::Event::Qualified(lead_qualified(cycle, "urgent"));
    qualification(lead, cycle, received_at, event)
}

pub(crate) fn rep(id: &str) -> v1::Rep {
    v1::Rep { id: id.into(), name: id.into(), email: format!("{id}@sales.example.com") }
}

pub(crate) fn decided(lead: LeadId, cycle: u32, owner: Option<&str>, received_at: Timestamp) -> Emitted {
    let decision = v1::DeskDecision {
        meta: head(event("desk", lead, cycle), lead, received_at, 0),
        handoff_id: handoff_id(lead, cycle).as_bytes().to_vec(),
        cycle,
        owner: owner.map(rep),
        pool: POOL.into(),
        reason: "next in turn of pool inside-sales".into(),
    };
    record(Topic::DeskDecisions, lead, &decision)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Accept,
    Reject(v1::RejectReason),
}

/// Feedback number `n` of the lead.
pub(crate) fn feedback(
    lead: LeadId,
    n: u32,
    handoff: HandoffId,
    by: &str,
    say: Say,
    received_at: Timestamp,
) -> Emitted {
    let command = match say {
        Say::Accept => v1::sales_feedback::Command::Accept(v1::AcceptLead {}),
        Say::Reject(reason) => {
            v1::sales_feedback::Command::Reject(v1::RejectLead { reason: reason.into(), note: "a note".into() })
        }
    };
    let feedback = v1::SalesFeedback {
        meta: head(event("feedback", lead, n), lead, received_at, 0),
        handoff_id: handoff.as_bytes().to_vec(),
        by: by.into(),
        command: Some(command),
    };
    record(Topic::SalesFeedback, lead, &feedback)
}

pub(crate) fn request(lead: LeadId, cycle: u32, not_to: &[&str], answered: bool) -> Emitted {
    let kind = if answered { "answered" } else { "request" };
    let request = v1::DeskRequest {
        meta: head(event(kind, lead, cycle), lead, at("09:00:00"), 0),
        handoff_id: handoff_id(lead, cycle).as_bytes().to_vec(),
        cycle,
        pool: POOL.into(),
        not_to: not_to.iter().map(|id| (*id).to_owned()).collect(),
        answered,
    };
    Emitted { topic: Topic::DeskRequests, key: POOL.into(), payload: request.encode_to_vec() }
}

/// What stands on `handoff` for a lead, without heads, after a look at the versions: 1, 2, 3 ... without a gap.
pub(crate) fn handoff_events(pipeline: &Pipeline, lead: LeadId) -> Vec<Event> {
    let records = handoff_records(pipeline, lead);
    let versions: Vec<_> = records.iter().map(|record| record.meta.as_ref().unwrap().version).collect();
    assert_eq!(versions, (1..).take(records.len()).collect::<Vec<u64>>(), "versions are gapless");
    records.into_iter().map(|record| record.event.unwrap()).collect()
}

pub(crate) fn handoff_records(pipeline: &Pipeline, lead: LeadId) -> Vec<v1::HandoffRecord> {
    pipeline
        .messages::<v1::HandoffRecord>(Topic::Handoff)
        .into_iter()
        .filter(|record| record.meta.as_ref().unwrap().lead_id == lead.as_bytes())
        .collect()
}

pub(crate) fn contract_records(pipeline: &Pipeline) -> Vec<QualifiedLead> {
    pipeline.records(Topic::LeadsQualified).map(|record| QualifiedLead::from_json(&record.payload).unwrap()).collect()
}

pub(crate) fn decisions(pipeline: &Pipeline) -> Vec<v1::DeskDecision> {
    pipeline.messages(Topic::DeskDecisions)
}

pub(crate) fn assigned(owner: Option<&str>, accept_by: Timestamp) -> Event {
    Event::Assigned(v1::LeadAssigned {
        owner: owner.map(rep),
        pool: POOL.into(),
        reason: "next in turn of pool inside-sales".into(),
        accept_by_ms: accept_by.as_millis(),
    })
}

pub(crate) fn accepted(by: &str) -> Event {
    Event::Accepted(v1::SalesAccepted { by: by.into() })
}

pub(crate) fn rejected(by: &str, reason: v1::RejectReason) -> Event {
    Event::Rejected(v1::SalesRejected { by: by.into(), reason: reason.into(), note: "a note".into() })
}

pub(crate) fn overdue(due_at: Timestamp, fired_at: Timestamp) -> Event {
    Event::Overdue(v1::HandoffOverdue { due_at_ms: due_at.as_millis(), fired_at_ms: fired_at.as_millis() })
}

pub(crate) fn refused(command: EventId, by: &str, reason: &str) -> Event {
    let command_id = command.as_bytes().to_vec();
    Event::Refused(v1::FeedbackRefused { command_id, by: by.into(), reason: reason.into() })
}
