//! Routes of product lines: each opens by the score of its track, and a lead is handed over once whatever the track.

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

const LEAD: LeadId = LeadId::new(Uuid::from_u128(9));

fn day(day: i64) -> Timestamp {
    Timestamp::from_millis(0) + Millis::from_days(20_000 + day)
}

/// The built-in playbook with two tracks; each has a route, and there are no others.
fn playbook() -> Playbook {
    let mut text = Playbook::DEFAULT.to_owned();
    let routes = text.find("[[routes]]").unwrap();
    let end = text.find("[accept_within]").unwrap();
    let route = |track: &str, when: &str| {
        format!(
            "[[tracks]]\nname = \"{track}\"\n[[routes]]\nname = \"to-{track}\"\ntrack = \"{track}\"\nwhen = '{when}'\n\
             urgency = \"normal\"\npool = \"{track}-sales\"\n"
        )
    };
    let own = [route("machines", "engagement >= 20 && fit >= 30"), route("parts", "engagement >= 10")].concat();
    text.replace_range(routes..end, &own);
    Playbook::parse(&text).unwrap()
}

struct OneLead {
    pipeline: Pipeline,
    scores: u64,
}

impl OneLead {
    fn new() -> Self {
        let pipeline = Pipeline::new(PartitionCount::new(1).unwrap(), day(0));
        Self { pipeline: pipeline.with(Qualification::new(Arc::new(playbook()))), scores: 0 }
    }

    fn publish(&mut self, topic: Topic, at: i64, version: u64, record: impl Fn(Option<v1::Meta>) -> Vec<u8>) {
        let head = Head {
            event_id: EventId::reported("test", &format!("{topic} {version}")),
            occurred_at: day(at),
            received_at: day(at),
            cause: None,
            lead: Some(LEAD),
            version: Version::new(version),
        };
        self.pipeline.publish(Emitted { topic, key: LEAD.to_string(), payload: record(Some(head.to_meta())) });
        self.pipeline.run();
    }

    /// A score as of a day: engagement and fit of each track in points, and of which track the latest signal is.
    fn scored(&mut self, at: i64, tracks: &[(&str, i64, i64)], newest: &str) -> &mut Self {
        self.scores += 1;
        let named = Named { behavior_id: &[1; 16], occurred_at_ms: day(at).as_millis(), what: "" };
        let contribution = v1::Contribution {
            axis: v1::Axis::Engagement.into(),
            rule: "page-view".into(),
            points_mp: 1,
            evidence: vec![0],
            track: newest.into(),
            ..v1::Contribution::default()
        };
        let of_track = |&(track, engagement, fit): &(&str, i64, i64)| v1::TrackScore {
            track: track.into(),
            engagement_mp: engagement * 1_000,
            fit_mp: fit * 1_000,
            ..v1::TrackScore::default()
        };
        let scored = v1::LeadScored {
            as_of_ms: day(at).as_millis(),
            engagement_mp: 90_000,
            fit_mp: 90_000,
            contributions: vec![contribution],
            evidence: Some(columns(day(at).as_millis(), [named])),
            tracks: tracks.iter().map(of_track).collect(),
            ..v1::LeadScored::default()
        };
        let event = Some(v1::score_record::Event::Scored(scored));
        self.publish(Topic::Scores, at, self.scores, |meta| {
            v1::ScoreRecord { meta, event: event.clone() }.encode_to_vec()
        });
        self
    }

    fn rejected(&mut self, at: i64, cycle: u32) -> &mut Self {
        let rejected = v1::SalesRejected { reason: v1::RejectReason::Unreachable.into(), ..Default::default() };
        let event = Some(v1::handoff_record::Event::Rejected(rejected));
        self.publish(Topic::Handoff, at, cycle.into(), |meta| {
            v1::HandoffRecord { meta, cycle, event: event.clone(), ..v1::HandoffRecord::default() }.encode_to_vec()
        });
        self
    }

    /// Route, track, pool and cycle of each qualification.
    fn qualified(&self) -> Vec<(String, String, String, u32)> {
        assert_eq!(self.pipeline.refused(), []);
        let records: Vec<v1::QualificationRecord> = self.pipeline.messages(Topic::Qualification);
        let read = |record: v1::QualificationRecord| match record.event {
            Some(Decision::Qualified(v1::LeadQualified { route, track, pool, cycle, .. })) => {
                Some((route, track, pool, cycle))
            }
            Some(Decision::StageChanged(_) | Decision::Recycled(_)) => None,
            other => panic!("{other:?}"),
        };
        records.into_iter().filter_map(read).collect()
    }
}

fn by(track: &str, cycle: u32) -> (String, String, String, u32) {
    (format!("to-{track}"), track.to_owned(), format!("{track}-sales"), cycle)
}

#[test]
fn a_route_opens_by_the_score_of_its_track_and_says_which() {
    for (tracks, expected) in [
        ([("machines", 19, 90), ("parts", 9, 90)], vec![]),
        ([("machines", 90, 29), ("parts", 9, 90)], vec![]),
        ([("machines", 20, 30), ("parts", 90, 90)], vec![by("machines", 1)]),
        ([("parts", 10, 0), ("machines", 19, 90)], vec![by("parts", 1)]),
    ] {
        assert_eq!(OneLead::new().scored(0, &tracks, "").qualified(), expected, "{tracks:?}");
    }
    // A score by a playbook without these tracks.
    assert_eq!(OneLead::new().scored(0, &[("others", 90, 90)], "").qualified(), []);
}

#[test]
fn a_lead_is_with_sales_once_whatever_the_track_and_comes_back_by_what_is_new_in_one() {
    let mut one = OneLead::new();
    one.scored(0, &[("machines", 30, 40), ("parts", 0, 0)], "machines");
    // Another product line opens meanwhile: sales has the person.
    one.scored(1, &[("machines", 30, 40), ("parts", 50, 40)], "parts");
    assert_eq!(one.qualified(), [by("machines", 1)]);
    one.rejected(2, 1);
    // After the wait nothing is new, then something that speaks for parts alone.
    one.scored(40, &[("machines", 30, 40), ("parts", 0, 0)], "parts");
    assert_eq!(one.qualified(), [by("machines", 1)]);
    one.scored(41, &[("machines", 30, 40), ("parts", 50, 40)], "parts");
    assert_eq!(one.qualified(), [by("machines", 1), by("parts", 2)]);
}
