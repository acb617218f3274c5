//! Who does not allow to be rated or called on is held back, until that has changed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use prost::Message;
use tasuki_domain::{EventId, LeadId, Millis, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_qualification::Qualification;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::qualification_record::Event as Decision;
use tasuki_wire::{Head, PartitionCount, Topic, v1};
use uuid::Uuid;

fn day(day: i64) -> Timestamp {
    Timestamp::from_millis(0) + Millis::from_days(20_000 + day)
}

/// One lead on a log in memory, by the default playbook.
struct One {
    pipeline: Pipeline,
    scores: u64,
    identities: u64,
}

impl One {
    fn new() -> Self {
        let pipeline = Pipeline::new(PartitionCount::DEFAULT, day(0));
        let pipeline = pipeline.with(Qualification::new(Arc::new(Playbook::built_in())));
        Self { pipeline, scores: 0, identities: 0 }
    }

    fn publish(&mut self, topic: Topic, version: u64, at: i64, record: impl FnOnce(Option<v1::Meta>) -> Vec<u8>) {
        let lead = LeadId::new(Uuid::from_u128(7));
        let name = format!("{topic} {version}");
        let head = Head {
            event_id: EventId::reported("test", &name),
            occurred_at: day(at),
            received_at: day(at),
            cause: None,
            lead: Some(lead),
            version: Version::new(version),
        };
        self.pipeline.publish(Emitted { topic, key: lead.to_string(), payload: record(Some(head.to_meta())) });
        self.pipeline.run();
    }

    /// The lead asks for a demo.
    fn asks(&mut self, at: i64) -> &mut Self {
        self.scores(at, 60_000, 1)
    }

    /// Of what the lead did nothing counts any more.
    fn fades(&mut self, at: i64) -> &mut Self {
        self.scores(at, 0, 0)
    }

    fn scores(&mut self, at: i64, engagement_mp: i64, demo_requests: i64) -> &mut Self {
        self.scores_after(at, engagement_mp, demo_requests, 0)
    }

    fn scores_after(&mut self, at: i64, engagement_mp: i64, demo_requests: i64, identities_version: u64) -> &mut Self {
        let facts = ["demo-request", "trial-request", "inquiry"].map(|rule| v1::Fact {
            name: format!("signals.within(\"{rule}\",\"30d\")"),
            value: if rule == "demo-request" { demo_requests } else { 0 },
        });
        let scored = v1::LeadScored {
            as_of_ms: day(at).as_millis(),
            engagement_mp,
            fit_mp: 40_000,
            facts: facts.into(),
            identities_version,
            profile: Some(v1::Profile { email: "ana@acme.example".into(), ..v1::Profile::default() }),
            ..v1::LeadScored::default()
        };
        self.scores += 1;
        self.publish(Topic::Scores, self.scores, at, |meta| {
            v1::ScoreRecord { meta, event: Some(v1::score_record::Event::Scored(scored)) }.encode_to_vec()
        });
        self
    }

    /// The lead asks for a demo after that version on `identities` was written.
    fn asks_after(&mut self, at: i64, identities_version: u64) -> &mut Self {
        self.scores_after(at, 60_000, 1, identities_version)
    }

    /// It allows these purposes, or does not.
    fn allows(&mut self, at: i64, consents: &[(&str, bool)]) -> &mut Self {
        let consent = |&(purpose, granted): &(&str, bool)| v1::Consent {
            purpose: purpose.to_owned(),
            granted,
            ..v1::Consent::default()
        };
        let changed = v1::ConsentsChanged { consents: consents.iter().map(consent).collect() };
        self.identities += 1;
        self.publish(Topic::Identities, self.identities, at, |meta| {
            let event = Some(v1::identity_record::Event::ConsentsChanged(changed));
            v1::IdentityRecord { meta, event }.encode_to_vec()
        });
        self
    }

    fn decided(&self) -> Vec<String> {
        assert_eq!(self.pipeline.refused(), []);
        let records = self.pipeline.messages::<v1::QualificationRecord>(Topic::Qualification).into_iter();
        let words = records.filter_map(|record| match record.event.unwrap() {
            Decision::Qualified(it) => Some(format!("qualified {} by {}", it.cycle, it.route)),
            Decision::HeldBack(it) => Some(format!("{}: {}", it.route, it.reason)),
            Decision::Recycled(_) | Decision::Disqualified(_) => panic!("nothing refused the lead"),
            Decision::StageChanged(_) | Decision::Playbook(_) => None,
        });
        words.collect()
    }
}

#[test]
fn a_lead_without_consent_to_contact_is_held_back_once_and_qualifies_when_it_is_given() {
    let mut one = One::new();
    one.allows(0, &[("contact", false)]).asks(1).asks(2);
    assert_eq!(one.decided(), ["hand-raise: no consent: contact"]);
    one.allows(3, &[("contact", true)]);
    assert_eq!(one.decided(), ["hand-raise: no consent: contact", "qualified 1 by hand-raise"]);
    one.asks(4).allows(5, &[("contact", false)]).asks(6);
    assert_eq!(one.decided().len(), 2, "what is handed over stays so");
}

#[test]
fn a_score_that_waited_for_consent_counts_no_more_once_a_later_one_opens_no_route() {
    let mut one = One::new();
    one.allows(0, &[("contact", false)]).asks(1).fades(40).allows(41, &[("contact", true)]);
    assert_eq!(one.decided(), ["hand-raise: no consent: contact"]);
    one.asks(42);
    assert_eq!(one.decided(), ["hand-raise: no consent: contact", "qualified 1 by hand-raise"]);
}

#[test]
fn consent_to_scoring_comes_first_and_each_that_is_missing_is_told() {
    let mut one = One::new();
    one.allows(0, &[("contact", false), ("scoring", false)])
        .asks(1)
        .allows(2, &[("contact", false), ("scoring", true)]);
    assert_eq!(one.decided(), ["hand-raise: no consent: scoring", "hand-raise: no consent: contact"]);
    one.allows(3, &[("contact", true), ("tracking", false)]);
    assert_eq!(one.decided().last().unwrap(), "qualified 1 by hand-raise");
}

#[test]
fn a_score_that_overtakes_what_was_said_before_waits_for_it() {
    let mut one = One::new();
    one.asks_after(1, 2);
    assert_eq!(one.decided(), [""; 0], "neither was heard");
    // Nor does time, or another score, decide meanwhile.
    one.asks(1).allows(0, &[("contact", true)]);
    assert_eq!(one.decided(), [""; 0], "the second is still to come");
    one.allows(0, &[("contact", false)]);
    assert_eq!(one.decided(), ["hand-raise: no consent: contact"]);
    one.allows(3, &[("contact", true)]);
    assert_eq!(one.decided().last().unwrap(), "qualified 1 by hand-raise");

    let mut other = One::new();
    other.asks_after(1, 1).allows(0, &[("contact", true)]);
    assert_eq!(other.decided(), ["qualified 1 by hand-raise"], "decided once it has come");
    let decision = other.pipeline.messages::<v1::QualificationRecord>(Topic::Qualification).pop().unwrap();
    let meta = decision.meta.unwrap();
    assert_eq!(
        (meta.occurred_at_ms, meta.received_at_ms),
        (day(1).as_millis(), day(1).as_millis()),
        "nor before the score"
    );
}

#[test]
fn without_a_word_about_consent_a_lead_qualifies() {
    let mut one = One::new();
    one.asks(1);
    assert_eq!(one.decided(), ["qualified 1 by hand-raise"]);
}
