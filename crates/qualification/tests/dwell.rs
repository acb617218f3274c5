//! Routes that wait: open by one condition, on by another, and handed over to the millisecond when they have been open for
//! long enough.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use prost::Message;
use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_qualification::Qualification;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::handoff_record::Event as Handoff;
use tasuki_wire::v1::identity_record::Event as Identity;
use tasuki_wire::v1::qualification_record::Event as Decision;
use tasuki_wire::{Head, PartitionCount, Topic, v1};
use uuid::Uuid;

/// Of an hour, in milliseconds.
const HOUR: i64 = 3_600_000;
/// When the first score opens the route.
const START: i64 = 1_790_000_000_000;

/// The built-in playbook with one route that waits an hour, and behind it one that does not wait.
fn playbook(edges: &str) -> String {
    let routes = format!(
        "[[routes]]\nname = \"score\"\n{edges}\ndwell = \"1h\"\nurgency = \"normal\"\npool = \"p\"\n\n\
         [[routes]]\nname = \"now\"\nwhen = \"engagement >= 90\"\nurgency = \"urgent\"\npool = \"p\"\n\n"
    );
    let text = Playbook::DEFAULT;
    let (start, end) = (text.find("[[routes]]").unwrap(), text.find("[accept_within]").unwrap());
    [&text[..start], &routes, &text[end..]].concat()
}

const EDGES: &str = "when = \"engagement >= 60\"\nstays_while = \"engagement >= 50\"";

struct OneLead {
    lead: LeadId,
    pipeline: Pipeline,
    versions: [u64; 3],
}

impl OneLead {
    fn by(text: &str) -> Self {
        let start = Playbook::parse(text).unwrap_or_else(|faults| panic!("{faults}"));
        let pipeline = Pipeline::new(PartitionCount::new(1).unwrap(), Timestamp::from_millis(START - HOUR));
        let pipeline = pipeline.with(Qualification::new(Arc::new(start)));
        Self { lead: LeadId::new(Uuid::from_u128(9)), pipeline, versions: [0; 3] }
    }

    fn publish(&mut self, topic: Topic, at: i64, record: impl FnOnce(Option<v1::Meta>) -> Vec<u8>) {
        let place = [Topic::Scores, Topic::Handoff, Topic::Identities].iter().position(|it| *it == topic).unwrap();
        self.versions[place] += 1;
        let at = Timestamp::from_millis(START + at);
        let head = Head {
            event_id: EventId::reported("test", &format!("{topic} {}", self.versions[place])),
            occurred_at: at,
            received_at: at,
            cause: None,
            lead: Some(self.lead),
            version: Version::new(self.versions[place]),
        };
        let payload = record(Some(head.to_meta()));
        self.pipeline.publish(Emitted { topic, key: self.lead.to_string(), payload });
        self.pipeline.run();
    }

    /// A score of so many milliseconds behind the start; `changes_at`: when time will change it.
    fn scored_until(&mut self, at: i64, engagement: i64, changes_at: Option<i64>) -> &mut Self {
        let scored = v1::LeadScored {
            as_of_ms: START + at,
            engagement_mp: engagement,
            playbook_version: 1,
            next_change_at_ms: changes_at.map_or(0, |at| START + at),
            contributions: vec![],
            ..v1::LeadScored::default()
        };
        let event = Some(v1::score_record::Event::Scored(scored));
        self.publish(Topic::Scores, at, |meta| v1::ScoreRecord { meta, event }.encode_to_vec());
        self
    }

    fn scored(&mut self, at: i64, engagement: i64) -> &mut Self {
        self.scored_until(at, engagement, None)
    }

    fn until(&mut self, at: i64) -> &mut Self {
        self.pipeline.advance_to(Timestamp::from_millis(START + at));
        self
    }

    fn consents(&mut self, at: i64, granted: bool) -> &mut Self {
        let consents = vec![v1::Consent { purpose: "contact".into(), granted, ..v1::Consent::default() }];
        let event = Some(Identity::ConsentsChanged(v1::ConsentsChanged { consents }));
        self.publish(Topic::Identities, at, |meta| v1::IdentityRecord { meta, event }.encode_to_vec());
        self
    }

    fn rejected(&mut self, at: i64, cycle: u32) -> &mut Self {
        let rejected = v1::SalesRejected { reason: v1::RejectReason::Unreachable.into(), ..Default::default() };
        let event = Some(Handoff::Rejected(rejected));
        self.publish(Topic::Handoff, at, |meta| {
            v1::HandoffRecord { meta, cycle, event, ..Default::default() }.encode_to_vec()
        });
        self
    }

    /// What was decided: milliseconds behind the start, by which route, open since when, on which engagement.
    fn decided(&self) -> Vec<String> {
        assert_eq!(self.pipeline.refused(), []);
        let mut ids = Vec::new();
        let records = self.pipeline.messages::<v1::QualificationRecord>(Topic::Qualification);
        let decided = (1..).zip(records).filter_map(|(version, record)| {
            let head = Head::read(record.meta.as_ref()).unwrap();
            assert_eq!(head.version.get(), version, "gapless");
            assert!(!ids.contains(&head.event_id), "each event has its own id");
            ids.push(head.event_id);
            let at = head.occurred_at.as_millis() - START;
            match record.event.unwrap() {
                Decision::Qualified(it) => {
                    let since =
                        if it.open_since_ms == 0 { "now".into() } else { (it.open_since_ms - START).to_string() };
                    let engagement = it.seen.unwrap().engagement_mp;
                    Some(format!("{at}: {} since {since} on {engagement}", it.route))
                }
                Decision::HeldBack(it) => Some(format!("{at}: held back, {}", it.reason)),
                Decision::Recycled(it) => Some(format!("{at}: recycled until {}", it.not_before_ms - START)),
                Decision::Disqualified(_) | Decision::StageChanged(_) | Decision::Playbook(_) => None,
            }
        });
        decided.collect()
    }
}

#[test]
fn a_route_that_waits_hands_over_when_it_has_been_open_for_long_enough_to_the_millisecond() {
    let mut lead = OneLead::by(&playbook("when = \"engagement >= 60\""));
    lead.scored(0, 60_000).until(HOUR - 1);
    assert_eq!(lead.decided(), [""; 0]);
    lead.until(HOUR);
    assert_eq!(lead.decided(), ["3600000: score since 0 on 60000"]);
    lead.scored(2 * HOUR, 70_000).until(9 * HOUR);
    assert_eq!(lead.decided().len(), 1, "once a cycle");
}

#[test]
fn a_score_by_which_the_route_is_not_open_ends_the_wait_also_at_its_last_instant() {
    for (at, expected) in [
        (1, vec![]),
        (HOUR - 1, vec![]),
        (HOUR, vec![]),
        (HOUR + 1, vec!["3600000: score since 0 on 60000".to_owned()]),
    ] {
        let mut lead = OneLead::by(&playbook("when = \"engagement >= 60\""));
        lead.scored(0, 60_000).scored(at, 59_999).until(9 * HOUR);
        assert_eq!(lead.decided(), expected, "at {at}");
    }
    let mut lead = OneLead::by(&playbook("when = \"engagement >= 60\""));
    lead.scored(0, 60_000).scored(HOUR / 2, 59_999).scored(HOUR - 1, 60_000).until(9 * HOUR);
    assert_eq!(lead.decided(), ["7199999: score since 3599999 on 60000"], "the wait begins anew");
}

#[test]
fn between_the_two_edges_a_route_stays_open_and_does_not_open() {
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored(0, 60_000).scored(1_000, 50_000).until(9 * HOUR);
    assert_eq!(lead.decided(), ["3600000: score since 0 on 50000"]);
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored(0, 59_999).until(9 * HOUR);
    assert_eq!(lead.decided(), [""; 0], "it never opened");
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored(0, 60_000).scored(1_000, 49_999).scored(2_000, 59_999).until(9 * HOUR);
    assert_eq!(lead.decided(), [""; 0], "it has closed");
    lead.scored(10 * HOUR, 60_000).until(11 * HOUR);
    assert_eq!(lead.decided(), ["39600000: score since 36000000 on 60000"]);
}

#[test]
fn what_time_changes_within_the_wait_is_waited_for_though_the_score_comes_late() {
    // Below at the last instant of the wait, or before: the score that says so is on its way when the timer fires.
    for falls_at in [HOUR / 2, HOUR] {
        let mut lead = OneLead::by(&playbook(EDGES));
        lead.scored_until(0, 60_000, Some(falls_at)).until(HOUR + 5);
        assert_eq!(lead.decided(), [""; 0]);
        lead.scored(falls_at, 49_999).until(9 * HOUR);
        assert_eq!(lead.decided(), [""; 0], "{falls_at}");
    }
    // It falls below the first edge only.
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored_until(0, 60_000, Some(HOUR / 2)).until(HOUR + 5).scored(HOUR / 2, 59_999).until(HOUR + 6);
    assert_eq!(lead.decided(), ["3600000: score since 0 on 59999"]);
    // It falls a millisecond behind the wait.
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored_until(0, 60_000, Some(HOUR + 1)).until(HOUR);
    assert_eq!(lead.decided(), ["3600000: score since 0 on 60000"]);
}

#[test]
fn a_later_score_that_overtakes_the_timer_does_not_undo_the_wait() {
    let mut lead = OneLead::by(&playbook(EDGES));
    // Nothing has let the timer fire yet.
    lead.scored(0, 60_000).scored(3 * HOUR, 0).until(9 * HOUR);
    assert_eq!(lead.decided(), ["3600000: score since 0 on 60000"]);
}

#[test]
fn a_route_behind_it_that_does_not_wait_is_taken_at_once_and_ends_the_wait() {
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored(0, 60_000).scored(10, 90_000).until(9 * HOUR);
    assert_eq!(lead.decided(), ["10: now since now on 90000"]);
}

#[test]
fn who_may_not_be_called_is_held_back_when_the_wait_is_over_and_handed_over_when_allowed() {
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.consents(0, false).scored(0, 60_000).until(2 * HOUR);
    assert_eq!(lead.decided(), ["3600000: held back, no consent: contact"]);
    lead.consents(3 * HOUR, true).until(9 * HOUR);
    assert_eq!(lead.decided()[1..], ["10800000: score since 0 on 60000"]);
    // Consent within the wait does not shorten it.
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored(0, 60_000).consents(5, false).consents(10, true).until(9 * HOUR);
    assert_eq!(lead.decided(), ["3600000: score since 0 on 60000"]);
    // Nor does it hand over by a score that time has changed since.
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored_until(0, 60_000, Some(10)).consents(2 * HOUR, false).consents(2 * HOUR + 1, true).scored(10, 0);
    assert_eq!(lead.until(9 * HOUR).decided(), [""; 0]);
}

#[test]
fn who_comes_back_from_sales_waits_anew() {
    let mut lead = OneLead::by(&playbook(EDGES));
    lead.scored(0, 60_000).until(HOUR).rejected(2 * HOUR, 1);
    let back = 2 * HOUR + 30 * 24 * HOUR;
    assert_eq!(lead.decided()[1..], [format!("7200000: recycled until {back}")]);
    lead.until(back + 3 * HOUR);
    assert_eq!(lead.decided().len(), 2, "nothing new has happened");
    let mut scored =
        v1::LeadScored { as_of_ms: START + back, engagement_mp: 60_000, playbook_version: 1, ..Default::default() };
    scored.contributions = vec![v1::Contribution {
        axis: v1::Axis::Engagement.into(),
        rule: "page-view".into(),
        points_mp: 1,
        evidence: vec![0],
        ..Default::default()
    }];
    let at = START + back + 4 * HOUR;
    let named = [tasuki_wire::evidence::Named { behavior_id: &[1; 16], occurred_at_ms: at, what: "" }];
    scored.evidence = Some(tasuki_wire::evidence::columns(scored.as_of_ms, named));
    let event = Some(v1::score_record::Event::Scored(scored));
    lead.publish(Topic::Scores, back + 4 * HOUR, |meta| v1::ScoreRecord { meta, event }.encode_to_vec());
    lead.until(back + 9 * HOUR);
    let (since, at) = (back + 4 * HOUR, back + 5 * HOUR);
    assert_eq!(lead.decided()[2..], [format!("{at}: score since {since} on 60000")]);
}

#[test]
fn every_wait_ends_at_its_instant_whatever_scores_come_between() {
    // All walks of five scores among four heights, against the most obvious way to say it.
    for walk in 0..4_u32.pow(5) {
        let heights = (0..5).map(|step| [49_999, 50_000, 59_999, 60_000][(walk / 4_u32.pow(step) % 4) as usize]);
        let heights: Vec<i64> = heights.collect();
        let mut lead = OneLead::by(&playbook(EDGES));
        let (mut since, mut expected) = (None, Vec::new());
        for (step, &height) in (0_i64..).zip(&heights) {
            let at = step * HOUR / 4;
            lead.scored(at, height);
            since = if height >= 60_000 || (since.is_some() && height >= 50_000) { since.or(Some(at)) } else { None };
            // The next score is a quarter of an hour later; the last one stays.
            let until = if step == 4 { i64::MAX } else { at + HOUR / 4 };
            if let Some(since) = since.filter(|since| expected.is_empty() && since + HOUR < until && since + HOUR >= at)
            {
                expected.push(format!("{}: score since {since} on {height}", since + HOUR));
            }
        }
        lead.until(9 * HOUR);
        assert_eq!(lead.decided(), expected, "{heights:?}");
    }
}
