//! Several leads and their accounts, scored on a log in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use tasuki_domain::{LeadId, Timestamp};
use tasuki_playbook::Playbook;
use tasuki_scoring::Scoring;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::account_record::Event;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Behavior;
use tasuki_wire::{Head, PartitionCount, Topic, v1};
use uuid::Uuid;

use super::{head, profile};

pub(crate) const NOW: i64 = 1_790_000_000_000;

pub(crate) fn lead(number: u8) -> LeadId {
    LeadId::new(Uuid::from_u128(1_000 + u128::from(number)))
}

/// Several leads, scored on a log in memory.
pub(crate) struct World {
    pub(crate) pipeline: Pipeline,
    versions: BTreeMap<u8, u64>,
    events: u128,
}

impl World {
    pub(crate) fn new(playbook: Playbook) -> Self {
        let pipeline = Pipeline::new(PartitionCount::new(3).unwrap(), Timestamp::from_millis(NOW));
        let scoring = Scoring::new(Arc::new(playbook)).with_partitions(PartitionCount::new(3).unwrap());
        Self { pipeline: pipeline.with(scoring), versions: BTreeMap::new(), events: 0 }
    }

    pub(crate) fn activity(&mut self, number: u8, at: i64, event: Activity) {
        let version = self.versions.entry(number).or_default();
        *version += 1;
        let id = u128::from(number) << 64 | u128::from(*version);
        let meta = Some(head(lead(number), id, at, *version).to_meta());
        let payload = v1::ActivityRecord { meta, identities_version: 0, event: Some(event) }.encode_to_vec();
        self.pipeline.publish(Emitted { topic: Topic::Activity, key: lead(number).to_string(), payload });
    }

    pub(crate) fn is(&mut self, number: u8, account: &str, department: &str, at: i64) {
        let profile =
            v1::Profile { account_id: account.into(), ..profile("a@b.example", &[("department", department)]) };
        self.activity(number, at, Activity::ProfileChanged(v1::ProfileChanged { profile: Some(profile) }));
    }

    /// Sends a form: 10 points, half of it left after 30 days. Says which event it was.
    pub(crate) fn sends(&mut self, number: u8, form: &str, at: i64) -> Vec<u8> {
        self.events += 1;
        self.sends_as(number, self.events, form, at)
    }

    /// The same, as an event of this id.
    pub(crate) fn sends_as(&mut self, number: u8, id: u128, form: &str, at: i64) -> Vec<u8> {
        let meta = head(lead(number), 1 << 100 | id, at, 0).to_meta();
        let id = meta.event_id.clone();
        let event = Some(Behavior::FormSubmitted(v1::FormSubmitted { form: form.into() }));
        let behavior = v1::BehaviorRecord {
            meta: Some(meta),
            origin: Some(v1::Origin::default()),
            event,
            ..v1::BehaviorRecord::default()
        };
        let attributed = v1::BehaviorAttributed { behavior: Some(behavior), via: "email".into(), unscored: false };
        self.activity(number, at, Activity::Attributed(attributed));
        id
    }

    /// Publishes a playbook, as of an instant.
    pub(crate) fn publish(&mut self, text: &str, version: u32, at: i64) {
        let head = Head { lead: None, ..head(lead(0), 9 << 64 | u128::from(version), at, 0) };
        let text = text.to_owned();
        let published = v1::PlaybookPublished { version, name: "default".into(), text, ..Default::default() };
        let event = Some(v1::playbook_record::Event::Published(published));
        let payload = v1::PlaybookRecord { meta: Some(head.to_meta()), event }.encode_to_vec();
        self.pipeline.publish(Emitted { topic: Topic::Playbooks, key: version.to_string(), payload });
    }

    pub(crate) fn takes_back(&mut self, number: u8, behavior_id: Vec<u8>, at: i64) {
        self.activity(number, at, Activity::Retracted(v1::BehaviorRetracted { behavior_id }));
    }

    /// The last that was said of each account. Checks that each was said with the next version.
    pub(crate) fn accounts(&mut self) -> BTreeMap<String, v1::AccountEngaged> {
        self.pipeline.run();
        assert_eq!(self.pipeline.refused(), []);
        let mut accounts: BTreeMap<String, (u64, v1::AccountEngaged)> = BTreeMap::new();
        for record in self.pipeline.records(Topic::Accounts) {
            let v1::AccountRecord { meta, event } = v1::AccountRecord::decode(record.payload.as_slice()).unwrap();
            let head = Head::read(meta.as_ref()).unwrap();
            let Some(Event::Engaged(engaged)) = event else { continue };
            assert_eq!((head.lead, head.occurred_at.as_millis()), (None, engaged.as_of_ms));
            let key = String::from_utf8(record.key.clone()).unwrap();
            let (version, known) = accounts.entry(key).or_default();
            *version += 1;
            assert_eq!(head.version.get(), *version);
            assert_ne!(known, &engaged, "the same is not said again");
            *known = engaged;
        }
        accounts.into_iter().map(|(key, (_, engaged))| (key, engaged)).collect()
    }

    pub(crate) fn account(&mut self, account: &str) -> (i64, u32, Vec<(String, u32)>) {
        let engaged = self.accounts().remove(account).unwrap_or_default();
        let departments = engaged.departments.into_iter().map(|department| (department.name, department.people));
        (engaged.engagement_mp, engaged.people, departments.collect())
    }

    /// The last score of each lead.
    pub(crate) fn scores(&self) -> BTreeMap<LeadId, v1::LeadScored> {
        let scored = |record: v1::ScoreRecord| match record.event {
            Some(v1::score_record::Event::Scored(scored)) => {
                Some((LeadId::from_slice(&record.meta.unwrap().lead_id).unwrap(), scored))
            }
            Some(v1::score_record::Event::Playbook(_)) | None => None,
        };
        self.pipeline.messages::<v1::ScoreRecord>(Topic::Scores).into_iter().filter_map(scored).collect()
    }

    /// What the accounts come to by the last score of each lead, in the most obvious way.
    pub(crate) fn by_scores(&self, playbook: &Playbook) -> BTreeMap<String, (i64, i64, BTreeMap<String, u32>, u32)> {
        let mut accounts: BTreeMap<String, (i64, i64, BTreeMap<String, u32>, u32)> = BTreeMap::new();
        for scored in self.scores().into_values() {
            let profile = scored.profile.unwrap_or_default();
            if profile.account_id.is_empty() || scored.engagement_mp < playbook.account().engaged_from.get() {
                continue;
            }
            let (engagement, sum, departments, people) = accounts.entry(profile.account_id).or_default();
            *sum += scored.engagement_mp;
            *engagement = (*sum).min(playbook.account().cap.get());
            *people += 1;
            if let Some(department) = profile.attributes.get("department").filter(|it| !it.value.is_empty()) {
                *departments.entry(department.value.to_lowercase()).or_default() += 1;
            }
        }
        accounts
    }

    /// The same, as it was said.
    pub(crate) fn by_events(&mut self) -> BTreeMap<String, (i64, i64, BTreeMap<String, u32>, u32)> {
        let said = self.accounts().into_iter().filter(|(_, engaged)| engaged.people > 0);
        said.map(|(account, it)| {
            let departments =
                it.departments.iter().map(|department| (department.name.to_lowercase(), department.people));
            (account, (it.engagement_mp, it.sum_mp, departments.collect(), it.people))
        })
        .collect()
    }
}
