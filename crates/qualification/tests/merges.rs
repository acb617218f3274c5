//! Leads that are merged are one person, who is not handed over twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use prost::Message;
use tasuki_domain::{EventId, LeadId, Millis, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_qualification::Qualification;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::evidence::{Named, columns};
use tasuki_wire::v1::qualification_record::Event as Decision;
use tasuki_wire::{Head, PartitionCount, Topic, v1};
use uuid::Uuid;

/// By number; the partitions differ.
fn lead(n: u128) -> LeadId {
    LeadId::new(Uuid::from_u128(n))
}

fn day(day: i64) -> Timestamp {
    Timestamp::from_millis(0) + Millis::from_days(20_000 + day)
}

/// Leads on a log in memory, by the default playbook.
struct Leads {
    pipeline: Pipeline,
    version: [[u64; 3]; 4],
}

impl Leads {
    fn new() -> Self {
        let partitions = PartitionCount::new(8).unwrap();
        let pipeline = Pipeline::new(partitions, day(0)).with(Qualification::new(Arc::new(Playbook::built_in())));
        Self { pipeline, version: [[0; 3]; 4] }
    }

    fn head(&mut self, of: u8, topic: u8, at: i64) -> Option<v1::Meta> {
        let version = &mut self.version[usize::from(of)][usize::from(topic)];
        *version += 1;
        let head = Head {
            event_id: EventId::new(Uuid::from_bytes([
                of,
                topic,
                u8::try_from(*version).unwrap(),
                1,
                1,
                1,
                1,
                1,
                1,
                1,
                1,
                1,
                1,
                1,
                1,
                1,
            ])),
            occurred_at: day(at),
            received_at: day(at),
            cause: None,
            lead: Some(lead(of.into())),
            version: Version::new(*version),
        };
        Some(head.to_meta())
    }

    fn publish(&mut self, topic: Topic, of: u8, record: &impl Message) -> &mut Self {
        let (key, payload) = (lead(of.into()).to_string(), record.encode_to_vec());
        self.pipeline.publish(Emitted { topic, key, payload });
        self.pipeline.run();
        self
    }

    /// The lead asks for a demo.
    fn asks(&mut self, of: u8, at: i64) -> &mut Self {
        let event = Named { behavior_id: &[of; 16], occurred_at_ms: day(at).as_millis(), what: "" };
        let scored = v1::LeadScored {
            as_of_ms: day(at).as_millis(),
            engagement_mp: 60_000,
            fit_mp: 40_000,
            facts: ["demo-request", "trial-request", "inquiry"]
                .map(|rule| v1::Fact {
                    name: format!("signals.within(\"{rule}\",\"30d\")"),
                    value: i64::from(rule == "demo-request"),
                })
                .into(),
            contributions: vec![v1::Contribution {
                axis: v1::Axis::Engagement.into(),
                rule: "demo-request".into(),
                points_mp: 1,
                evidence: vec![0],
                ..v1::Contribution::default()
            }],
            evidence: Some(columns(day(at).as_millis(), [event])),
            profile: Some(v1::Profile { email: "ana@acme.example".into(), ..v1::Profile::default() }),
            ..v1::LeadScored::default()
        };
        let record =
            v1::ScoreRecord { meta: self.head(of, 0, at), event: Some(v1::score_record::Event::Scored(scored)) };
        self.publish(Topic::Scores, of, &record)
    }

    fn rejected(&mut self, of: u8, at: i64, reason: v1::RejectReason) -> &mut Self {
        let rejected = v1::SalesRejected { reason: reason.into(), ..v1::SalesRejected::default() };
        let record = v1::HandoffRecord {
            meta: self.head(of, 1, at),
            cycle: 1,
            event: Some(v1::handoff_record::Event::Rejected(rejected)),
            ..v1::HandoffRecord::default()
        };
        self.publish(Topic::Handoff, of, &record)
    }

    /// The lead is merged into another, or none, from now on.
    fn merged(&mut self, of: u8, at: i64, into: Option<u8>) -> &mut Self {
        let changed = v1::MergesChanged {
            merged_into: into.map_or_else(Vec::new, |into| lead(into.into()).as_bytes().to_vec()),
            ..v1::MergesChanged::default()
        };
        let record = v1::IdentityRecord {
            meta: self.head(of, 2, at),
            event: Some(v1::identity_record::Event::MergesChanged(changed)),
        };
        self.publish(Topic::Identities, of, &record)
    }

    /// Which leads qualified, in which cycle, in the order of their ids.
    fn qualified(&self) -> Vec<(u128, u32)> {
        assert_eq!(self.pipeline.refused(), []);
        let records = self.pipeline.messages::<v1::QualificationRecord>(Topic::Qualification);
        let mut qualified: Vec<_> = records
            .into_iter()
            .filter_map(|record| match record.event.unwrap() {
                Decision::Qualified(qualified) => {
                    let lead = LeadId::from_slice(&record.meta.unwrap().lead_id).unwrap();
                    Some((lead.uuid().as_u128(), qualified.cycle))
                }
                Decision::Recycled(_)
                | Decision::Disqualified(_)
                | Decision::StageChanged(_)
                | Decision::HeldBack(_)
                | Decision::Playbook(_) => None,
            })
            .collect();
        qualified.sort_unstable();
        qualified
    }
}

#[test]
fn while_sales_has_one_of_them_the_other_does_not_qualify_and_after_a_split_it_does() {
    let mut leads = Leads::new();
    leads.asks(2, 0).merged(2, 1, Some(1)).asks(1, 2);
    assert_eq!(leads.qualified(), [(2, 1)]);
    leads.merged(2, 3, None);
    assert_eq!(leads.qualified(), [(1, 1), (2, 1)]);
}

#[test]
fn without_a_merge_both_qualify() {
    let mut leads = Leads::new();
    leads.asks(2, 0).asks(1, 2);
    assert_eq!(leads.qualified(), [(1, 1), (2, 1)]);
}

#[test]
fn a_merged_lead_does_not_qualify_until_it_is_split() {
    let mut leads = Leads::new();
    leads.merged(2, 0, Some(1)).asks(2, 1);
    assert_eq!(leads.qualified(), []);
    leads.merged(2, 2, None);
    assert_eq!(leads.qualified(), [(2, 1)]);
}

#[test]
fn what_sales_said_of_one_of_them_counts_for_the_person() {
    // For lack of time sales comes back to it after 90 days; something new must have happened since.
    let mut leads = Leads::new();
    leads.asks(2, 0).merged(2, 1, Some(1)).rejected(2, 2, v1::RejectReason::Timing).asks(1, 1);
    leads.pipeline.advance_to(day(20));
    leads.asks(1, 21);
    assert_eq!(leads.qualified(), [(2, 1)], "it must wait");
    leads.pipeline.advance_to(day(400));
    assert_eq!(leads.qualified(), [(1, 1), (2, 1)], "the wait is over, and it asked again since");

    let mut leads = Leads::new();
    leads.asks(2, 0).merged(2, 1, Some(1)).rejected(2, 2, v1::RejectReason::Timing).asks(1, 1);
    leads.pipeline.advance_to(day(400));
    assert_eq!(leads.qualified(), [(2, 1)], "nothing new since");

    let mut leads = Leads::new();
    leads.asks(2, 0).merged(2, 1, Some(1)).rejected(2, 2, v1::RejectReason::Competitor).asks(1, 300);
    leads.pipeline.advance_to(day(400));
    assert_eq!(leads.qualified(), [(2, 1)], "never again");
}

#[test]
fn in_a_chain_the_top_hears_of_all_wherever_they_were_before() {
    let mut leads = Leads::new();
    leads.asks(3, 0).merged(3, 1, Some(2)).merged(2, 2, Some(1)).merged(3, 2, Some(1)).asks(1, 3);
    assert_eq!(leads.qualified(), [(3, 1)]);
    leads.merged(2, 4, None).merged(3, 4, Some(2)).asks(2, 5);
    assert_eq!(leads.qualified(), [(1, 1), (3, 1)], "the top is free again, and the second is one with the third");
}
