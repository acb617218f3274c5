//! What the tests of scoring share: activity records, a pipeline, a playbook to try things with.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod obvious;
pub(crate) mod random;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use tasuki_domain::{EventId, LeadId, Millipoints, Timestamp, Version};
use tasuki_playbook::{AccountFacts, EventKind, Playbook, SignalFields};
use tasuki_scoring::{NewSignal, Scoring, Signals};
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Behavior;
use tasuki_wire::{Head, PartitionCount, Topic, v1};
use uuid::Uuid;

pub(crate) const DAY: i64 = 86_400_000;

/// What a lead without an account knows of one.
pub(crate) const NO_ACCOUNT: AccountFacts = AccountFacts { departments: 0, people: 0, engagement: Millipoints::ZERO };

/// Of a lead's event that happened and was received at an instant.
pub(crate) fn head(lead: LeadId, id: u128, at: i64, version: u64) -> Head {
    Head {
        event_id: EventId::new(Uuid::from_u128(id)),
        occurred_at: Timestamp::from_millis(at),
        received_at: Timestamp::from_millis(at),
        cause: None,
        lead: Some(lead),
        version: Version::new(version),
    }
}

/// What a lead did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Did {
    pub(crate) id: u128,
    pub(crate) occurred_at: i64,
    pub(crate) received_at: i64,
    pub(crate) event: Behavior,
    pub(crate) path: String,
    pub(crate) campaign: String,
}

impl Did {
    pub(crate) fn record(&self) -> v1::BehaviorRecord {
        let head = Head {
            event_id: EventId::new(Uuid::from_u128(self.id)),
            occurred_at: Timestamp::from_millis(self.occurred_at),
            received_at: Timestamp::from_millis(self.received_at),
            cause: None,
            lead: None,
            version: Version::new(0),
        };
        v1::BehaviorRecord {
            meta: Some(head.to_meta()),
            origin: Some(v1::Origin { source: "website".into(), protocol: "segment".into(), ..v1::Origin::default() }),
            circumstances: Some(v1::Circumstances {
                path: self.path.clone(),
                campaign_name: self.campaign.clone(),
                ..v1::Circumstances::default()
            }),
            event: Some(self.event.clone()),
            ..v1::BehaviorRecord::default()
        }
    }

    pub(crate) fn attributed(&self) -> Activity {
        Activity::Attributed(v1::BehaviorAttributed {
            behavior: Some(self.record()),
            via: "email".into(),
            unscored: false,
        })
    }

    pub(crate) fn retracted(&self) -> Activity {
        let behavior_id = Uuid::from_u128(self.id).as_bytes().to_vec();
        Activity::Retracted(v1::BehaviorRetracted { behavior_id })
    }
}

pub(crate) fn profile(email: &str, attributes: &[(&str, &str)]) -> v1::Profile {
    let value = |value: &str| v1::AttributeValue { value: value.into(), source: "website".into(), occurred_at_ms: 7 };
    let attributes = attributes.iter().map(|(name, said)| ((*name).to_owned(), value(said)));
    let account_id = email.rsplit_once('@').map_or("", |(_, domain)| domain).to_owned();
    let attributes = attributes.collect::<BTreeMap<_, _>>();
    v1::Profile { email: email.into(), account_id, attributes, other_emails: Vec::new() }
}

/// One lead, scored on a log in memory.
pub(crate) struct OneLead {
    pub(crate) lead: LeadId,
    pub(crate) pipeline: Pipeline,
    versions: u64,
}

impl OneLead {
    pub(crate) fn new(playbook: &Arc<Playbook>, now: i64) -> Self {
        let partitions = PartitionCount::new(1).unwrap();
        let pipeline = Pipeline::new(partitions, Timestamp::from_millis(now)).with(Scoring::new(Arc::clone(playbook)));
        Self { lead: LeadId::new(Uuid::from_u128(77)), pipeline, versions: 0 }
    }

    /// Writes the next activity record of the lead.
    pub(crate) fn activity(&mut self, event: Activity, received_at: i64) {
        self.versions += 1;
        self.repeat(event, received_at, self.versions);
    }

    /// Writes an activity record under this version.
    pub(crate) fn repeat(&mut self, event: Activity, received_at: i64, version: u64) {
        let head = head(self.lead, 1 << 100 | u128::from(version), received_at, version);
        let record = v1::ActivityRecord { meta: Some(head.to_meta()), identities_version: 7, event: Some(event) };
        let (key, payload) = (self.lead.to_string(), record.encode_to_vec());
        self.pipeline.publish(Emitted { topic: Topic::Activity, key, payload });
        self.pipeline.run();
    }

    /// Every score written, with its head.
    pub(crate) fn scores(&self) -> Vec<(Head, v1::LeadScored)> {
        assert_eq!(self.pipeline.refused(), []);
        let records = self.pipeline.messages::<v1::ScoreRecord>(Topic::Scores);
        let read = |record: v1::ScoreRecord| {
            let (head, lead) = Head::read_with_lead(record.meta.as_ref()).unwrap();
            assert_eq!(lead, self.lead);
            let Some(v1::score_record::Event::Scored(scored)) = record.event else { panic!("a score") };
            (head, scored)
        };
        records.into_iter().map(read).collect()
    }

    pub(crate) fn state(&self) -> Vec<u8> {
        self.pipeline.states("scoring").remove(&self.lead.to_string()).unwrap_or_default()
    }
}

/// Per axis, the contributions add up to what is shown.
pub(crate) fn assert_ledger(scored: &v1::LeadScored) {
    for (axis, shown) in [(v1::Axis::Engagement, scored.engagement_mp), (v1::Axis::Fit, scored.fit_mp)] {
        let own = scored.contributions.iter().filter(|contribution| contribution.axis() == axis);
        assert_eq!(own.map(|contribution| contribution.points_mp).sum::<i64>(), shown, "{axis:?} of {scored:#?}");
        assert!((0..=100_000).contains(&shown));
    }
    for track in &scored.tracks {
        for (axis, shown) in [(v1::Axis::Engagement, track.engagement_mp), (v1::Axis::Fit, track.fit_mp)] {
            let sum: i64 = of_track(scored, track, axis).map(|contribution| contribution.points_mp).sum();
            assert_eq!(sum, shown, "{axis:?} in {} of {scored:#?}", track.track);
            assert!((0..=100_000).contains(&shown));
        }
    }
    for v1::Contribution { rule, points_mp, raw_mp, limit_mp, cap_mp, .. } in &scored.contributions {
        let (counted, decayed) = (raw_mp + limit_mp, points_mp - cap_mp);
        let is_less = |part: i64, whole: i64| part.signum() * whole.signum() >= 0 && part.abs() <= whole.abs();
        assert!(is_less(counted, *raw_mp) && (*raw_mp == 0 || is_less(decayed, counted)), "{rule} of {scored:#?}");
    }
}

/// What an axis of a track is made of.
pub(crate) fn of_track<'s>(
    scored: &'s v1::LeadScored,
    track: &'s v1::TrackScore,
    axis: v1::Axis,
) -> impl Iterator<Item = &'s v1::Contribution> {
    scored.ledger_of(track).filter(move |it| it.axis() == axis)
}

/// When the typical lead begins.
pub(crate) const START: i64 = 1_790_000_000_000;

/// The n-th thing a typical lead does: sessions of five events, two days apart, on a site with a dozen pages.
pub(crate) fn typical_visit(number: usize) -> Did {
    let n = i64::try_from(number).expect("a small number");
    let pages = ["/", "/product/overview", "/pricing", "/blog/lead-scoring-basics", "/docs/getting-started"];
    let (event, path) = match number % 10 {
        3 => (Behavior::ContentDownloaded(v1::ContentDownloaded { content: "buyers-guide.pdf".into() }), "/resources"),
        7 => {
            let email_name = "spring-newsletter".to_owned();
            (Behavior::EmailClicked(v1::EmailClicked { email_name, ..v1::EmailClicked::default() }), "/")
        }
        9 if number == 9 => (Behavior::FormSubmitted(v1::FormSubmitted { form: "demo-request".into() }), "/demo"),
        _ => (Behavior::PageViewed(v1::PageViewed::default()), pages[number % pages.len()]),
    };
    let occurred_at = START + n / 5 * 2 * DAY + n % 5 * 47_123;
    Did {
        // As good as random, as the ids of trackers are.
        id: u128::from(0x9e37_79b9_7f4a_7c15_u64).wrapping_pow(2 * u32::try_from(number).unwrap_or(0) + 3),
        occurred_at,
        received_at: occurred_at + 350 + n % 7 * 31,
        event,
        path: path.to_owned(),
        campaign: String::new(),
    }
}

/// A lead with so many signals and a usual profile.
pub(crate) fn typical_lead(playbook: &Arc<Playbook>, signals: usize) -> OneLead {
    let mut lead = OneLead::new(playbook, START);
    let attributes = [
        ("name", "Hanako Yamada"),
        ("title", "VP Sales"),
        ("company", "Acme Corporation"),
        ("industry", "Computer Software"),
        ("employees", "250"),
        ("country", "JP"),
    ];
    let profile = Some(profile("hanako.yamada@acme.example", &attributes));
    lead.activity(Activity::ProfileChanged(v1::ProfileChanged { profile }), START);
    for did in (0..signals).map(typical_visit) {
        lead.activity(did.attributed(), did.received_at);
    }
    lead
}

/// The signals of a history, without the processor.
pub(crate) fn signals_of(history: &[Did]) -> Signals {
    let mut signals = Signals::default();
    for did in history {
        let event = &did.event;
        let kind =
            EventKind::ALL.iter().copied().find(|kind| kind.name() == event.kind()).expect("every kind has a name");
        let fields =
            SignalFields { kind, about: event.about(), path: &did.path, source: "website", campaign: &did.campaign };
        let (occurred_at, received_at) =
            (Timestamp::from_millis(did.occurred_at), Timestamp::from_millis(did.received_at));
        signals.insert(&NewSignal { id: EventId::new(Uuid::from_u128(did.id)), occurred_at, received_at, fields });
    }
    signals
}
