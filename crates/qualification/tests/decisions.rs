//! When a lead is handed over, and when it is not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use tasuki_domain::{EventId, LeadId, Millis, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_qualification::Qualification;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::evidence::{Named, columns};
use tasuki_wire::v1::handoff_record::Event as Handoff;
use tasuki_wire::v1::qualification_record::Event as Decision;
use tasuki_wire::{Head, PartitionCount, Topic, v1};
use uuid::Uuid;

/// One lead on a log in memory, by the default playbook. Days are counted from an arbitrary one.
struct OneLead {
    lead: LeadId,
    pipeline: Pipeline,
    scores: u64,
    handoffs: u64,
}

/// A score, told by what matters.
#[derive(Clone, Copy, Debug)]
struct Scored {
    day: i64,
    engagement: i64,
    fit: i64,
    /// Day of the latest demo request, if there is one.
    demo: Option<i64>,
    /// Day of the latest page view.
    page: Option<i64>,
    email: &'static str,
}

const NOTHING: Scored = Scored { day: 0, engagement: 0, fit: 0, demo: None, page: None, email: "ana@acme.example" };

fn day(day: i64) -> Timestamp {
    Timestamp::from_millis(0) + Millis::from_days(20_000 + day)
}

impl Scored {
    fn event(&self) -> v1::LeadScored {
        let seen = |at: i64| Named { behavior_id: &[1; 16], occurred_at_ms: day(at).as_millis(), what: "" };
        let mut events = Vec::new();
        let mut contribution = |rule: &str, at: Option<i64>| {
            at.map(|at| {
                events.push(seen(at));
                v1::Contribution {
                    axis: v1::Axis::Engagement.into(),
                    rule: rule.into(),
                    points_mp: 1,
                    evidence: vec![u32::try_from(events.len()).unwrap() - 1],
                    ..v1::Contribution::default()
                }
            })
        };
        let contributions = [contribution("page-view", self.page), contribution("demo-request", self.demo)]
            .into_iter()
            .flatten()
            .collect();
        let within = self.demo.map(|at| at + 30).filter(|&end| end >= self.day);
        let fact = |rule: &str, value| v1::Fact { name: format!("signals.within(\"{rule}\",\"30d\")"), value };
        v1::LeadScored {
            as_of_ms: day(self.day).as_millis(),
            engagement_mp: self.engagement * 1_000,
            fit_mp: self.fit * 1_000,
            facts: vec![
                fact("demo-request", i64::from(within.is_some())),
                fact("trial-request", 0),
                fact("inquiry", 0),
            ],
            contributions,
            evidence: Some(columns(day(self.day).as_millis(), events)),
            next_change_at_ms: within.map_or(0, |end| day(end).as_millis() + 1),
            profile: Some(v1::Profile { email: self.email.into(), ..v1::Profile::default() }),
            ..v1::LeadScored::default()
        }
    }
}

impl OneLead {
    fn new() -> Self {
        Self::by(Playbook::built_in())
    }

    fn by(playbook: Playbook) -> Self {
        let partitions = PartitionCount::new(1).unwrap();
        let pipeline = Pipeline::new(partitions, day(0)).with(Qualification::new(Arc::new(playbook)));
        Self { lead: LeadId::new(Uuid::from_u128(9)), pipeline, scores: 0, handoffs: 0 }
    }

    fn head(&self, topic: u128, version: u64, at: i64) -> Option<v1::Meta> {
        let head = Head {
            event_id: EventId::new(Uuid::from_u128(topic << 64 | u128::from(version))),
            occurred_at: day(at),
            received_at: day(at),
            cause: None,
            lead: Some(self.lead),
            version: Version::new(version),
        };
        Some(head.to_meta())
    }

    fn publish(&mut self, topic: Topic, record: &impl Message) {
        let (key, payload) = (self.lead.to_string(), record.encode_to_vec());
        self.pipeline.publish(Emitted { topic, key, payload });
        self.pipeline.run();
    }

    fn scored_event(&mut self, at: i64, event: v1::LeadScored) {
        self.scores += 1;
        let event = Some(v1::score_record::Event::Scored(event));
        self.publish(Topic::Scores, &v1::ScoreRecord { meta: self.head(1, self.scores, at), event });
    }

    fn scored(&mut self, scored: Scored) -> &mut Self {
        self.scored_event(scored.day, scored.event());
        self
    }

    fn handoff(&mut self, at: i64, cycle: u32, event: Handoff) {
        self.handoffs += 1;
        let record = v1::HandoffRecord {
            meta: self.head(2, self.handoffs, at),
            cycle,
            event: Some(event),
            ..v1::HandoffRecord::default()
        };
        self.publish(Topic::Handoff, &record);
    }

    fn rejected(&mut self, at: i64, cycle: u32, reason: v1::RejectReason) -> &mut Self {
        let rejected = v1::SalesRejected { reason: reason.into(), ..v1::SalesRejected::default() };
        self.handoff(at, cycle, Handoff::Rejected(rejected));
        self
    }

    fn until(&mut self, at: i64) -> &mut Self {
        self.pipeline.advance_to(day(at));
        self
    }

    /// What was decided, in words, in order.
    fn decided(&self) -> Vec<String> {
        assert_eq!(self.pipeline.refused(), []);
        let records = self.pipeline.messages::<v1::QualificationRecord>(Topic::Qualification);
        let mut ids = BTreeMap::new();
        let read = |(version, record): (u64, v1::QualificationRecord)| {
            let (head, lead) = Head::read_with_lead(record.meta.as_ref()).unwrap();
            assert_eq!((lead, head.version.get()), (self.lead, version), "versions have no gap");
            assert_eq!(ids.insert(head.event_id, version), None, "each event has its own id");
            let on = head.occurred_at.since(day(0)).get() / 86_400_000;
            match record.event.expect("an event") {
                Decision::Qualified(q) => {
                    assert!(q.seen.is_some() && q.playbook_version == 1 && !q.condition.is_empty());
                    format!("day {on}: qualified {} by {} for {}, {}", q.cycle, q.route, q.pool, q.urgency)
                }
                Decision::Recycled(r) => {
                    let until = Timestamp::from_millis(r.not_before_ms).since(day(0)).get() / 86_400_000;
                    format!("day {on}: recycled {} for {} until day {until}", r.cycle, r.reason)
                }
                Decision::Disqualified(d) => format!("day {on}: disqualified {} for {}", d.cycle, d.reason),
                Decision::HeldBack(held) => format!("day {on}: held back: {}", held.reason),
                Decision::StageChanged(s) => format!("day {on}: {:?} to {:?}", s.from(), s.to()),
                Decision::Playbook(playbook) => panic!("{playbook:?}"),
            }
        };
        (1..).zip(records).map(read).collect()
    }
}

const LEAD: &str = "day 1: Subscriber to Lead";
const HAND_RAISE: &str = "day 1: qualified 1 by hand-raise for inside-sales, urgent";

/// A lead that asked for a demo on day 1 and is with sales.
fn with_sales() -> OneLead {
    let mut lead = OneLead::new();
    lead.scored(Scored { day: 1, engagement: 40, demo: Some(1), ..NOTHING });
    assert_eq!(lead.decided(), [LEAD, HAND_RAISE]);
    lead
}

#[test]
fn the_account_of_a_lead_counts_as_the_score_says_and_not_where_it_says_nothing() {
    let text = Playbook::DEFAULT.replacen(
        "[[routes]]",
        "[[routes]]\nname = \"committee\"\nwhen = \"account.departments >= 3 && account.engagement > 40.5 && engagement >= 5\"\n\
         urgency = \"high\"\npool = \"p\"\n\n[[routes]]",
        1,
    );
    let decided = |account: &[(&str, i64)]| {
        let mut lead = OneLead::by(Playbook::parse(&text).unwrap());
        let mut scored = Scored { engagement: 10, ..NOTHING }.event();
        scored.facts.extend(account.iter().map(|(name, value)| v1::Fact { name: (*name).to_owned(), value: *value }));
        lead.scored_event(0, scored);
        lead.decided().pop().unwrap()
    };
    let (departments, engagement) = ("account.departments", "account.engagement_mp");
    let qualified = "day 0: qualified 1 by committee for p, high";
    assert_eq!(decided(&[(departments, 3), (engagement, 40_501)]), qualified);
    for account in [
        &[(departments, 0), (engagement, 40_501)][..],
        &[(departments, 3), (engagement, 0)],
        &[(departments, 3)],
        &[(engagement, 40_501)],
        &[],
    ] {
        assert_eq!(decided(account), "day 0: Subscriber to Lead", "{account:?}");
    }
}

#[test]
fn the_first_interest_makes_a_subscriber_a_lead() {
    let mut lead = OneLead::new();
    lead.scored(Scored { fit: 80, ..NOTHING });
    assert_eq!(lead.decided(), [""; 0]);
    lead.scored(Scored { day: 1, engagement: 1, ..NOTHING }).scored(NOTHING).scored(Scored {
        day: 2,
        engagement: 2,
        ..NOTHING
    });
    assert_eq!(lead.decided(), [LEAD]);
}

#[test]
fn a_hand_raise_qualifies_once_per_cycle_whatever_follows() {
    let mut lead = with_sales();
    lead.scored(Scored { day: 2, engagement: 90, fit: 90, demo: Some(2), ..NOTHING }).until(400);
    assert_eq!(lead.decided(), [LEAD, HAND_RAISE]);
}

#[test]
fn enough_of_both_axes_qualifies_by_score() {
    for (engagement, fit, expected) in [(59, 100, 1), (100, 39, 1), (60, 40, 2)] {
        let mut lead = OneLead::new();
        lead.scored(Scored { day: 1, engagement, fit, ..NOTHING });
        let decided = lead.decided();
        assert_eq!(decided.len(), expected, "{engagement} {fit}");
        assert!(expected == 1 || decided[1] == "day 1: qualified 1 by score for inside-sales, normal");
    }
}

#[test]
fn what_was_seen_is_stored_whole() {
    let lead = with_sales();
    let seen = lead.pipeline.messages::<v1::QualificationRecord>(Topic::Qualification).remove(1);
    let Some(Decision::Qualified(qualified)) = seen.event else { panic!("qualified") };
    assert_eq!(qualified.seen, Some(Scored { day: 1, engagement: 40, demo: Some(1), ..NOTHING }.event()));
}

#[test]
fn the_reason_of_a_rejection_decides() {
    for (reason, expected) in [
        (v1::RejectReason::Timing, "day 3: recycled 1 for timing until day 93"),
        (v1::RejectReason::Unreachable, "day 3: recycled 1 for unreachable until day 33"),
        (v1::RejectReason::Competitor, "day 3: disqualified 1 for competitor"),
    ] {
        assert_eq!(with_sales().rejected(3, 1, reason).decided(), [LEAD, HAND_RAISE, expected]);
    }
}

#[test]
fn the_disqualified_never_come_back() {
    let mut lead = with_sales();
    lead.rejected(3, 1, v1::RejectReason::NotAFit).scored(Scored {
        day: 500,
        engagement: 99,
        fit: 99,
        demo: Some(499),
        ..NOTHING
    });
    assert_eq!(lead.until(900).decided().len(), 3);
}

#[test]
fn a_recycled_lead_waits_even_with_a_new_demo_request() {
    let mut lead = with_sales();
    lead.rejected(3, 1, v1::RejectReason::Unreachable).scored(Scored {
        day: 20,
        engagement: 50,
        demo: Some(20),
        ..NOTHING
    });
    assert_eq!(lead.until(32).decided().len(), 3);
    let decided = lead.until(34).decided();
    assert_eq!(decided[3..], ["day 33: qualified 2 by hand-raise for inside-sales, urgent"]);
}

#[test]
fn a_demo_request_that_is_over_when_the_wait_ends_does_not_count() {
    let mut lead = with_sales();
    lead.rejected(3, 1, v1::RejectReason::Timing).scored(Scored { day: 20, engagement: 50, demo: Some(20), ..NOTHING });
    assert_eq!(lead.until(200).decided().len(), 3);
}

#[test]
fn waiting_is_not_enough_there_must_be_something_new() {
    let mut lead = with_sales();
    lead.rejected(3, 1, v1::RejectReason::BadData).until(20);
    lead.scored(Scored { day: 21, engagement: 70, fit: 70, demo: Some(1), page: Some(2), ..NOTHING });
    assert_eq!(lead.decided().len(), 3, "the page and the demo request are older than the rejection");
    lead.scored(Scored { day: 22, engagement: 70, fit: 70, demo: Some(1), page: Some(22), ..NOTHING });
    assert_eq!(lead.decided()[3..], ["day 22: qualified 2 by score for inside-sales, normal"]);
}

#[test]
fn a_new_page_view_does_not_renew_an_old_demo_request() {
    let mut lead = with_sales();
    lead.rejected(3, 1, v1::RejectReason::BadData).scored(Scored {
        day: 22,
        engagement: 9,
        demo: Some(1),
        page: Some(22),
        ..NOTHING
    });
    assert_eq!(lead.decided().len(), 3);
    lead.scored(Scored { day: 23, engagement: 40, demo: Some(23), page: Some(22), ..NOTHING });
    assert_eq!(lead.decided()[3..], ["day 23: qualified 2 by hand-raise for inside-sales, urgent"]);
}

#[test]
fn it_does_not_matter_whether_the_score_or_the_rejection_comes_first() {
    let later = Scored { day: 40, engagement: 50, demo: Some(39), ..NOTHING };
    let mut one = with_sales();
    one.rejected(3, 1, v1::RejectReason::Unreachable).scored(later);
    let mut other = with_sales();
    other.scored(later).rejected(3, 1, v1::RejectReason::Unreachable);
    assert_eq!(one.decided()[3..], ["day 40: qualified 2 by hand-raise for inside-sales, urgent"]);
    assert_eq!(one.decided(), other.decided());
}

#[test]
fn repeated_records_and_rejections_of_another_cycle_change_nothing() {
    let mut lead = with_sales();
    lead.rejected(3, 2, v1::RejectReason::Competitor);
    assert_eq!(lead.decided().len(), 2);
    lead.rejected(4, 1, v1::RejectReason::Unreachable).scored(Scored {
        day: 40,
        engagement: 50,
        demo: Some(39),
        ..NOTHING
    });
    lead.handoffs = 1;
    lead.scores = 1;
    lead.rejected(41, 2, v1::RejectReason::Competitor).scored(Scored {
        day: 41,
        engagement: 50,
        demo: Some(41),
        ..NOTHING
    });
    assert_eq!(
        lead.decided()[2..],
        [
            "day 4: recycled 1 for unreachable until day 34",
            "day 40: qualified 2 by hand-raise for inside-sales, urgent"
        ]
    );
}

#[test]
fn what_sales_does_otherwise_is_not_marketings_to_decide() {
    let mut lead = with_sales();
    lead.handoff(2, 1, Handoff::Assigned(v1::LeadAssigned::default()));
    lead.handoff(3, 1, Handoff::Overdue(v1::HandoffOverdue::default()));
    lead.handoff(4, 1, Handoff::Accepted(v1::SalesAccepted::default()));
    assert_eq!(lead.decided().len(), 2);
}

#[test]
fn the_excluded_are_not_handed_over_and_it_is_said_why() {
    let mut lead = OneLead::new();
    lead.scored(Scored { day: 1, engagement: 40, email: "bo@our-company.example", ..NOTHING });
    assert_eq!(lead.decided(), [LEAD]);
    lead.scored(Scored { day: 2, engagement: 40, demo: Some(2), email: "bo@our-company.example", ..NOTHING });
    assert_eq!(lead.decided(), [LEAD, "day 2: disqualified 0 for excluded: own-company"]);
}

#[test]
fn a_route_whose_facts_are_not_known_is_closed() {
    let mut lead = OneLead::new();
    let event = Scored { day: 1, engagement: 40, demo: Some(1), ..NOTHING }.event();
    let facts = event.facts[..1].to_vec();
    lead.scored_event(1, v1::LeadScored { facts, ..event });
    assert_eq!(lead.decided(), [LEAD]);
}

#[derive(Clone, Debug)]
enum Step {
    Scored(Scored),
    Rejected { day: i64, cycle: u32, reason: v1::RejectReason },
    Until(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let reason = proptest::sample::select(vec![
        v1::RejectReason::BadData,
        v1::RejectReason::Unreachable,
        v1::RejectReason::Competitor,
    ]);
    let some_day = || proptest::option::of(0_i64..300);
    prop_oneof![
        5 => (0_i64..300, 0_i64..100, 0_i64..100, some_day(), some_day()).prop_map(|(day, engagement, fit, demo, page)| {
            Step::Scored(Scored { day, engagement, fit, demo, page, ..NOTHING })
        }),
        3 => (0_i64..300, 1_u32..5, reason).prop_map(|(day, cycle, reason)| Step::Rejected { day, cycle, reason }),
        1 => (0_i64..300).prop_map(Step::Until),
    ]
}

proptest! {
    #[test]
    fn a_lead_qualifies_once_per_cycle_on_a_route_that_holds(steps in proptest::collection::vec(step(), 0..60)) {
        let playbook = Playbook::built_in();
        let mut lead = OneLead::new();
        for step in steps {
            match step {
                Step::Scored(scored) => { lead.scored(scored); }
                Step::Rejected { day, cycle, reason } => { lead.rejected(day, cycle, reason); }
                Step::Until(day) => { lead.until(day); }
            }
        }
        lead.until(1_000);
        lead.decided();
        let mut cycle = 0;
        let mut free = true;
        for record in lead.pipeline.messages::<v1::QualificationRecord>(Topic::Qualification) {
            match record.event.expect("an event") {
                Decision::Qualified(qualified) => {
                    prop_assert!(free, "sales still has it");
                    prop_assert_eq!(qualified.cycle, cycle + 1);
                    (cycle, free) = (qualified.cycle, false);
                    let seen = qualified.seen.expect("what was seen");
                    let demo = seen.facts[0].value > 0;
                    let enough = seen.engagement_mp >= 60_000 && seen.fit_mp >= 40_000;
                    prop_assert!(if qualified.route == "hand-raise" { demo } else { enough }, "{:?}", seen);
                    prop_assert!(playbook.routes().iter().any(|route| route.name == qualified.route));
                }
                Decision::Recycled(recycled) => {
                    prop_assert!(!free && recycled.cycle == cycle);
                    free = true;
                }
                Decision::Disqualified(disqualified) => {
                    prop_assert!(!free && disqualified.cycle == cycle);
                    // For ever.
                }
                Decision::StageChanged(_) | Decision::HeldBack(_) => prop_assert_eq!(cycle, 0),
                Decision::Playbook(_) => prop_assert!(false, "none was published"),
            }
        }
    }
}

/// The default playbook with this version and other rules, as it comes on `scores`.
fn playbook_ahead(version: u32, changes: &[(&str, &str)]) -> v1::ScoreRecord {
    let mut text = Playbook::DEFAULT.replacen("version = 1", &format!("version = {version}"), 1);
    for (from, to) in changes {
        assert!(text.contains(from), "invalid: no {from}");
        text = text.replacen(from, to, 1);
    }
    let head = Head {
        event_id: EventId::reported("test", &text),
        occurred_at: day(i64::from(version)),
        received_at: day(i64::from(version)),
        cause: None,
        lead: None,
        version: Version::default(),
    };
    let playbook = v1::PlaybookPublished { version, text, ..v1::PlaybookPublished::default() };
    v1::ScoreRecord { meta: Some(head.to_meta()), event: Some(v1::score_record::Event::Playbook(playbook)) }
}

#[test]
fn each_score_is_decided_on_by_the_playbook_it_was_made_by() {
    let low = [("engagement >= 60 && fit >= 40", "engagement >= 10 && fit >= 10")];
    for (version, qualifies) in [(1, false), (2, true), (3, false)] {
        let mut one = OneLead::new();
        one.publish(Topic::Scores, &playbook_ahead(2, &low));
        one.publish(Topic::Scores, &playbook_ahead(3, &[]));
        let scored =
            v1::LeadScored { playbook_version: version, ..Scored { engagement: 20, fit: 20, ..NOTHING }.event() };
        one.scored_event(0, scored);
        let records: Vec<v1::QualificationRecord> = one.pipeline.messages(Topic::Qualification);
        let qualified: Vec<_> = (records.iter())
            .filter_map(|record| match &record.event {
                Some(Decision::Qualified(qualified)) => {
                    Some((qualified.playbook_version, qualified.condition.as_str()))
                }
                Some(Decision::StageChanged(_) | Decision::Playbook(_)) => None,
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = if qualifies { vec![(2, "engagement >= 10 && fit >= 10")] } else { vec![] };
        assert_eq!(qualified, expected, "version {version}");
        let ahead = records.iter().filter(|record| matches!(record.event, Some(Decision::Playbook(_)))).count();
        assert_eq!(ahead, 2, "handoff hears of both");
        assert_eq!(one.pipeline.refused(), []);
    }
}

#[test]
fn a_rejection_has_the_consequence_of_the_playbook_that_qualified_the_lead() {
    let mut one = OneLead::new();
    one.publish(Topic::Scores, &playbook_ahead(2, &[("timing = \"recycle after 90d\"", "timing = \"disqualify\"")]));
    let by =
        |version| v1::LeadScored { playbook_version: version, ..Scored { engagement: 90, fit: 90, ..NOTHING }.event() };
    one.scored_event(0, by(2));
    // Scored by another one meanwhile: the agreement under which it was handed over counts.
    one.scored_event(1, by(1));
    one.rejected(2, 1, v1::RejectReason::Timing);
    let last: Vec<v1::QualificationRecord> = one.pipeline.messages(Topic::Qualification);
    let last = last.last().and_then(|record| record.event.clone());
    assert_eq!(last, Some(Decision::Disqualified(v1::LeadDisqualified { cycle: 1, reason: "timing".into() })));
}
