//! Records as the services write them.

use prost::Message;
use sqlx::types::Uuid;
use tasuki_domain::{Cycle, EventId, HandoffId, LeadId, Timestamp, Version};
use tasuki_stream::Emitted;
use tasuki_wire::evidence::{Named, columns};
use tasuki_wire::v1::{
    self, account_record, activity_record, behavior_record, handoff_record, identity_record, qualification_record,
    score_record,
};
use tasuki_wire::{Head, Topic};

/// 2026-11-23T00:00:00Z.
pub(super) const START_MS: i64 = 1_795_392_000_000;

/// A lead and the last version of each topic.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    pub(super) id: LeadId,
    identities: u64,
    activity: u64,
    scores: u64,
    qualification: u64,
    handoff: u64,
}

impl Lead {
    pub(super) fn number(number: u128) -> Self {
        let id = LeadId::new(Uuid::from_u128(number));
        Self { id, identities: 0, activity: 0, scores: 0, qualification: 0, handoff: 0 }
    }

    /// Lets versions go by that nobody will ever read.
    pub(super) fn lose(&mut self, topic: Topic) {
        *self.version(topic) += 1;
    }

    fn version(&mut self, topic: Topic) -> &mut u64 {
        match topic.name() {
            "identities" => &mut self.identities,
            "activity" => &mut self.activity,
            "scores" => &mut self.scores,
            "qualification" => &mut self.qualification,
            "handoff" => &mut self.handoff,
            other => panic!("no versions on {other}"),
        }
    }

    fn head(&mut self, topic: Topic, at: i64) -> Option<v1::Meta> {
        let version = self.version(topic);
        *version += 1;
        let version = *version;
        let name = format!("{} {} {version}", self.id, topic.name());
        let head = Head {
            event_id: EventId::reported("test", &name),
            occurred_at: Timestamp::from_millis(at),
            received_at: Timestamp::from_millis(at.saturating_add(250)),
            cause: None,
            lead: Some(self.id),
            version: Version::new(version),
        };
        Some(head.to_meta())
    }

    fn emitted(&self, topic: Topic, record: &impl Message) -> Emitted {
        Emitted { topic, key: self.id.to_string(), payload: record.encode_to_vec() }
    }

    /// Who it is one with, from now on.
    pub(super) fn merges(&mut self, at: i64, into: Option<LeadId>, merged: &[LeadId]) -> Emitted {
        let bytes = |lead: LeadId| lead.as_bytes().to_vec();
        let changed = v1::MergesChanged {
            merged_into: into.map_or_else(Vec::new, bytes),
            merged: merged.iter().map(|lead| bytes(*lead)).collect(),
            command_id: vec![7; 16],
            by: "mori".into(),
        };
        self.identity(at, identity_record::Event::MergesChanged(changed))
    }

    /// What identity says of it.
    pub(super) fn identity(&mut self, at: i64, event: identity_record::Event) -> Emitted {
        let meta = self.head(Topic::Identities, at);
        self.emitted(Topic::Identities, &v1::IdentityRecord { meta, event: Some(event) })
    }

    pub(super) fn activity(&mut self, at: i64, event: activity_record::Event) -> Emitted {
        let meta = self.head(Topic::Activity, at);
        self.emitted(Topic::Activity, &v1::ActivityRecord { meta, identities_version: 0, event: Some(event) })
    }

    /// Behavior number `number` of the lead, done at `at`.
    pub(super) fn did(&mut self, number: u128, at: i64, event: behavior_record::Event) -> Emitted {
        let behavior = v1::BehaviorRecord {
            meta: Some(v1::Meta {
                event_id: behavior(number).as_bytes().to_vec(),
                occurred_at_ms: at,
                received_at_ms: at.saturating_add(100),
                ..Default::default()
            }),
            origin: Some(v1::Origin { source: "website".into(), protocol: "segment".into(), ..Default::default() }),
            circumstances: Some(v1::Circumstances {
                path: "/pricing".into(),
                title: "Pricing".into(),
                ..Default::default()
            }),
            event: Some(event),
            ..Default::default()
        };
        let event = v1::BehaviorAttributed { behavior: Some(behavior), via: "anonymous".into(), unscored: false };
        self.activity(at, activity_record::Event::Attributed(event))
    }

    pub(super) fn did_not(&mut self, number: u128, at: i64) -> Emitted {
        let event = v1::BehaviorRetracted { behavior_id: behavior(number).as_bytes().to_vec() };
        self.activity(at, activity_record::Event::Retracted(event))
    }

    pub(super) fn is(&mut self, at: i64, profile: v1::Profile) -> Emitted {
        let event = v1::ProfileChanged { profile: Some(profile) };
        self.activity(at, activity_record::Event::ProfileChanged(event))
    }

    pub(super) fn scored(&mut self, at: i64, scored: v1::LeadScored) -> Emitted {
        let meta = self.head(Topic::Scores, at);
        let event = Some(score_record::Event::Scored(v1::LeadScored { as_of_ms: at, ..scored }));
        self.emitted(Topic::Scores, &v1::ScoreRecord { meta, event })
    }

    pub(super) fn judged(&mut self, at: i64, event: qualification_record::Event) -> Emitted {
        let meta = self.head(Topic::Qualification, at);
        self.emitted(Topic::Qualification, &v1::QualificationRecord { meta, event: Some(event) })
    }

    pub(super) fn handed(&mut self, at: i64, cycle: u32, event: handoff_record::Event) -> Emitted {
        let meta = self.head(Topic::Handoff, at);
        let handoff_id = HandoffId::of(self.id, Cycle::new(cycle)).as_bytes().to_vec();
        self.emitted(Topic::Handoff, &v1::HandoffRecord { meta, handoff_id, cycle, event: Some(event) })
    }
}

/// What an account has, by its `version`-th record.
pub(super) fn account(id: &str, version: u64, at: i64, engagement_mp: i64, departments: &[(&str, u32)]) -> Emitted {
    let departments = departments.iter().map(|&(name, people)| v1::EngagedDepartment { name: name.into(), people });
    let engaged = v1::AccountEngaged {
        playbook_version: 1,
        as_of_ms: at,
        engagement_mp,
        sum_mp: engagement_mp + 5_000,
        people: 2,
        departments: departments.collect(),
    };
    let head = Head {
        event_id: EventId::reported("test", &format!("{id} accounts {version}")),
        occurred_at: Timestamp::from_millis(at),
        received_at: Timestamp::from_millis(at),
        cause: None,
        lead: None,
        version: Version::new(version),
    };
    let event = Some(account_record::Event::Engaged(engaged));
    let record = v1::AccountRecord { meta: Some(head.to_meta()), event };
    Emitted { topic: Topic::Accounts, key: id.into(), payload: record.encode_to_vec() }
}

/// What a lead adds to an account, which is nothing that the tables show.
pub(super) fn added(id: &str) -> Emitted {
    let meta = Some(v1::Meta { event_id: vec![9; 16], lead_id: vec![1; 16], ..Default::default() });
    let event = account_record::Event::Contributed(v1::LeadContributed { engaged: true, ..Default::default() });
    let record = v1::AccountRecord { meta, event: Some(event) };
    Emitted { topic: Topic::Accounts, key: id.into(), payload: record.encode_to_vec() }
}

fn behavior(number: u128) -> Uuid {
    Uuid::from_u128(0xbe << 120 | number)
}

pub(super) fn page_view() -> behavior_record::Event {
    behavior_record::Event::PageViewed(v1::PageViewed::default())
}

pub(super) fn profile(email: &str, attributes: &[(&str, &str)]) -> v1::Profile {
    let attribute = |(name, value): &(&str, &str)| {
        let value = v1::AttributeValue { value: (*value).into(), source: "website".into(), occurred_at_ms: START_MS };
        ((*name).into(), value)
    };
    v1::Profile {
        email: email.into(),
        account_id: email.split_once('@').map_or_else(String::new, |(_, domain)| domain.into()),
        attributes: attributes.iter().map(attribute).collect(),
        other_emails: Vec::new(),
    }
}

pub(super) fn score(engagement_mp: i64, fit_mp: i64) -> v1::LeadScored {
    let event = behavior(1);
    let seen = Named { behavior_id: event.as_bytes(), occurred_at_ms: START_MS, what: "PageViewed /pricing" };
    v1::LeadScored {
        playbook_version: 1,
        engagement_mp,
        fit_mp,
        grade: "B2".into(),
        contributions: vec![v1::Contribution {
            axis: v1::Axis::Engagement.into(),
            rule: "pricing".into(),
            points_mp: engagement_mp,
            raw_mp: engagement_mp,
            matches: 1,
            evidence: vec![0],
            evidence_mp: vec![engagement_mp],
            ..Default::default()
        }],
        evidence: Some(columns(0, [seen])),
        facts: vec![v1::Fact { name: "signals.within(\"demo-request\",\"30d\")".into(), value: 1 }],
        signals: 1,
        because: v1::ScoredBecause::Activity.into(),
        ..Default::default()
    }
}

pub(super) fn qualified(cycle: u32, seen: v1::LeadScored) -> qualification_record::Event {
    qualification_record::Event::Qualified(v1::LeadQualified {
        cycle,
        route: "hand-raise".into(),
        condition: "signals.within(\"demo-request\", \"30d\") > 0".into(),
        playbook_version: 1,
        urgency: "urgent".into(),
        pool: "inside-sales".into(),
        seen: Some(seen),
        ..v1::LeadQualified::default()
    })
}

pub(super) fn assigned(accept_by_ms: i64) -> handoff_record::Event {
    let owner = v1::Rep { id: "mori".into(), name: "森 花子".into(), email: "mori@sales.example".into() };
    handoff_record::Event::Assigned(v1::LeadAssigned {
        owner: Some(owner),
        pool: "inside-sales".into(),
        reason: "next in turn of pool inside-sales".into(),
        accept_by_ms,
    })
}
