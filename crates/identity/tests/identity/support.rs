//! Behavior to start from, and what became of it, in few words.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use tasuki_domain::{DeploymentSecret, EventId, Identifier, LeadId, Millis, Timestamp};
use tasuki_identity::{Identity, IdentitySettings};
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::v1::{self, RefusedBecause, activity_record, behavior_record, identity_record, lead_command};
use tasuki_wire::{Head, PartitionCount, Topic};

/// Minute 0 of every test: 2026-11-23T09:30:00Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_795_426_200_000);

pub(crate) fn secret() -> DeploymentSecret {
    DeploymentSecret::new(*b"a secret of the tests").unwrap()
}

pub(crate) fn lead(key: &str) -> LeadId {
    secret().lead_id(&Identifier::from_key(key).unwrap())
}

/// The instant so many minutes after the start.
pub(crate) fn minute(minute: i64) -> Timestamp {
    START + Millis::new(minute * 60_000)
}

/// A behavior event in the making: a page view, or an identification when it says something.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Behavior {
    pub(crate) id: u8,
    pub(crate) minute: i64,
    pub(crate) visitor: &'static str,
    pub(crate) user: &'static str,
    pub(crate) email: &'static str,
    pub(crate) crm: &'static str,
    pub(crate) phone: &'static str,
    /// Who reported it; empty: "website".
    pub(crate) source: &'static str,
    pub(crate) says: Vec<(&'static str, &'static str)>,
    /// A form, which the person sent.
    pub(crate) form: bool,
    /// A purpose, and whether it is allowed from then on.
    pub(crate) consent: Option<(&'static str, bool)>,
    /// The same, as a consent manager says it with any event.
    pub(crate) by_the_way: Option<(&'static str, bool)>,
}

/// Event number `id`, `minute` minutes after the start.
pub(crate) fn event(id: u8, minute: i64) -> Behavior {
    Behavior { id, minute, ..Behavior::default() }
}

impl Behavior {
    pub(crate) fn visitor(mut self, id: &'static str) -> Self {
        self.visitor = id;
        self
    }

    pub(crate) fn user(mut self, id: &'static str) -> Self {
        self.user = id;
        self
    }

    pub(crate) fn email(mut self, address: &'static str) -> Self {
        self.email = address;
        self
    }

    pub(crate) fn crm(mut self, id: &'static str) -> Self {
        self.crm = id;
        self
    }

    pub(crate) fn phone(mut self, number: &'static str) -> Self {
        self.phone = number;
        self
    }

    pub(crate) fn source(mut self, source: &'static str) -> Self {
        self.source = source;
        self
    }

    pub(crate) fn says(mut self, attribute: &'static str, value: &'static str) -> Self {
        self.says.push((attribute, value));
        self
    }

    pub(crate) fn form(mut self) -> Self {
        self.form = true;
        self
    }

    pub(crate) fn allows(mut self, purpose: &'static str, granted: bool) -> Self {
        self.consent = Some((purpose, granted));
        self
    }

    pub(crate) fn beside(mut self, purpose: &'static str, granted: bool) -> Self {
        self.by_the_way = Some((purpose, granted));
        self
    }

    pub(crate) fn key(&self) -> String {
        match (self.visitor, self.user, self.crm, self.email, self.phone) {
            ("", "", "", "", phone) => format!("p:{phone}"),
            ("", "", "", email, _) => format!("e:{email}"),
            ("", "", crm, _, _) => format!("c:{crm}"),
            ("", user, _, _, _) => format!("u:{user}"),
            (visitor, _, _, _, _) => format!("v:{visitor}"),
        }
    }

    /// As ingest writes it: received half a minute after it happened.
    pub(crate) fn record(&self) -> v1::BehaviorRecord {
        let event = if let Some((purpose, granted)) = self.consent {
            let (purpose, basis) = (purpose.to_owned(), "banner".to_owned());
            behavior_record::Event::ConsentChanged(v1::ConsentChanged { purpose, granted, basis })
        } else if self.form {
            behavior_record::Event::FormSubmitted(v1::FormSubmitted { form: "demo-request".to_owned() })
        } else if self.says.is_empty() {
            behavior_record::Event::PageViewed(v1::PageViewed::default())
        } else {
            let said = self.says.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            behavior_record::Event::LeadIdentified(v1::LeadIdentified { attributes: said.collect() })
        };
        v1::BehaviorRecord {
            meta: Some(v1::Meta {
                event_id: vec![self.id; 16],
                occurred_at_ms: minute(self.minute).as_millis(),
                received_at_ms: minute(self.minute).as_millis() + 30_000,
                ..v1::Meta::default()
            }),
            origin: Some(v1::Origin {
                source: if self.source.is_empty() { "website" } else { self.source }.to_owned(),
                ..v1::Origin::default()
            }),
            identifiers: Some(v1::Identifiers {
                anonymous_id: self.visitor.to_owned(),
                user_id: self.user.to_owned(),
                email: self.email.to_owned(),
                phone: self.phone.to_owned(),
                crm_id: self.crm.to_owned(),
            }),
            event: Some(event),
            consents: self.by_the_way.into_iter().map(|(purpose, it)| (purpose.to_owned(), it)).collect(),
            ..v1::BehaviorRecord::default()
        }
    }

    pub(crate) fn emitted(&self) -> Emitted {
        Emitted { topic: Topic::Behavior, key: self.key(), payload: self.record().encode_to_vec() }
    }
}

/// A merge or split in the making: of the leads known by these keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) id: u8,
    pub(crate) minute: i64,
    pub(crate) merge: bool,
    pub(crate) into: &'static str,
    pub(crate) from: &'static str,
}

pub(crate) fn merge(id: u8, minute: i64, into: &'static str, from: &'static str) -> Command {
    Command { id, minute, merge: true, into, from }
}

pub(crate) fn split(id: u8, minute: i64, into: &'static str, from: &'static str) -> Command {
    Command { merge: false, ..merge(id, minute, into, from) }
}

impl Command {
    pub(crate) fn emitted(&self) -> Emitted {
        let at = minute(self.minute).as_millis();
        let record = v1::LeadCommand {
            meta: Some(v1::Meta {
                event_id: vec![self.id; 16],
                occurred_at_ms: at,
                received_at_ms: at,
                lead_id: lead(self.into).as_bytes().to_vec(),
                ..v1::Meta::default()
            }),
            from: lead(self.from).as_bytes().to_vec(),
            by: "sato".to_owned(),
            command: Some(if self.merge {
                lead_command::Command::Merge(v1::MergeLead {})
            } else {
                lead_command::Command::Split(v1::SplitLead {})
            }),
        };
        let key = format!("l:{}", lead(self.into));
        Emitted { topic: Topic::LeadCommands, key, payload: record.encode_to_vec() }
    }
}

/// One record of `activity`, in few words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Attributed { id: u8, minute: i64, via: String },
    Retracted(u8),
    Profile(Profile),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Profile {
    pub(crate) email: String,
    pub(crate) account: String,
    /// Name, value, minute since when it has been said.
    pub(crate) attributes: Vec<(String, String, i64)>,
    pub(crate) others: Vec<String>,
}

pub(crate) fn attributed(id: u8, minute: i64, via: &str) -> Seen {
    Seen::Attributed { id, minute, via: via.to_owned() }
}

pub(crate) fn profile(email: &str, account: &str, attributes: &[(&str, &str, i64)]) -> Seen {
    let attributes = attributes.iter().map(|(name, value, at)| ((*name).to_owned(), (*value).to_owned(), *at));
    let (email, account, attributes) = (email.to_owned(), account.to_owned(), attributes.collect());
    Seen::Profile(Profile { email, account, attributes, others: Vec::new() })
}

/// Identity on a log in memory.
pub(crate) struct World {
    pub(crate) pipeline: Pipeline,
}

impl World {
    pub(crate) fn new(settings: IdentitySettings) -> Self {
        let identity = Identity::new(secret(), settings);
        Self { pipeline: Pipeline::new(PartitionCount::DEFAULT, START).with(identity) }
    }

    /// These events arrive one after the other, and all that follows from one happens before the next.
    pub(crate) fn arrive(&mut self, events: impl IntoIterator<Item = Behavior>) {
        for event in events {
            self.pipeline.publish(event.emitted());
            self.pipeline.run();
        }
    }

    /// A person says who is who, and all that follows happens.
    pub(crate) fn say(&mut self, command: &Command) {
        self.pipeline.publish(command.emitted());
        self.pipeline.run();
    }

    /// Whom each lead is merged into and which are merged into it, as told last; those that are on their own are left out.
    pub(crate) fn merges(&self) -> BTreeMap<LeadId, (Option<LeadId>, BTreeSet<LeadId>)> {
        let mut merges = BTreeMap::new();
        let mut versions: BTreeMap<LeadId, u64> = BTreeMap::new();
        for record in self.pipeline.messages::<v1::IdentityRecord>(Topic::Identities) {
            let (head, lead) = Head::read_with_lead(record.meta.as_ref()).unwrap();
            let version = versions.entry(lead).or_default();
            *version += 1;
            assert_eq!(head.version.get(), *version, "versions of {lead} have no gap");
            if let Some(identity_record::Event::MergesChanged(changed)) = record.event {
                let into = LeadId::from_slice(&changed.merged_into).ok();
                let merged = changed.merged.iter().map(|id| LeadId::from_slice(id).unwrap()).collect();
                merges.insert(lead, (into, merged));
            }
        }
        merges.retain(|_, it| *it != (None, BTreeSet::new()));
        merges
    }

    /// Which identifiers were refused: lead, kind, why, what is shown of it, and the event, by which they are sorted.
    pub(crate) fn refusals(&self) -> Vec<(LeadId, String, RefusedBecause, String, u8)> {
        let mut refusals = Vec::new();
        for record in self.pipeline.messages::<v1::IdentityRecord>(Topic::Identities) {
            let (_, lead) = Head::read_with_lead(record.meta.as_ref()).unwrap();
            if let Some(identity_record::Event::IdentifierRefused(it)) = record.event {
                refusals.push((lead, it.kind.clone(), it.because(), it.value.clone(), it.behavior_id[0]));
            }
        }
        refusals.sort_by_key(|(_, _, _, _, event)| *event);
        refusals
    }

    pub(crate) fn advance_to(&mut self, instant: Timestamp) {
        self.pipeline.advance_to(instant);
    }

    /// What stands on `activity` for the lead known by this key, having checked that versions are 1, 2, 3 ...
    pub(crate) fn trail(&self, key: &str) -> Vec<Seen> {
        self.trails().remove(&lead(key)).unwrap_or_default()
    }

    pub(crate) fn trails(&self) -> BTreeMap<LeadId, Vec<Seen>> {
        trails(self.pipeline.messages::<v1::ActivityRecord>(Topic::Activity))
    }

    /// What each lead has in the end: its events and its profile. Leads that have nothing are left out.
    pub(crate) fn outcome(&self) -> Outcome {
        outcome(self.trails())
    }
}

/// What each lead has in the end.
pub(crate) type Outcome = BTreeMap<LeadId, (BTreeSet<u8>, Profile)>;

/// What stands on `activity` for each lead, having checked that versions are 1, 2, 3 ...
pub(crate) fn trails(records: Vec<v1::ActivityRecord>) -> BTreeMap<LeadId, Vec<Seen>> {
    let mut trails: BTreeMap<LeadId, Vec<Seen>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut profiles: BTreeMap<LeadId, v1::Profile> = BTreeMap::new();
    for record in records {
        let (head, lead) = Head::read_with_lead(record.meta.as_ref()).unwrap();
        let trail = trails.entry(lead).or_default();
        assert_eq!(head.version.get(), trail.len() as u64 + 1, "versions of {lead} have no gap");
        assert!(ids.insert(head.event_id), "event ids are unique");
        let event = record.event.unwrap();
        if let activity_record::Event::ProfileChanged(changed) = &event {
            let (profile, now) = (profiles.entry(lead).or_default(), changed.profile.clone().unwrap());
            assert_ne!(*profile, now, "a profile is told when it changed");
            *profile = now;
        }
        trail.push(seen(&head, event));
    }
    trails
}

/// What follows from the trails. Leads that have nothing are left out.
pub(crate) fn outcome(trails: BTreeMap<LeadId, Vec<Seen>>) -> Outcome {
    let mut outcome = Outcome::new();
    for (lead, trail) in trails {
        let (events, profile) = outcome.entry(lead).or_default();
        for seen in trail {
            match seen {
                Seen::Attributed { id, .. } => assert!(events.insert(id), "event {id} is attributed once"),
                Seen::Retracted(id) => assert!(events.remove(&id), "event {id} was attributed"),
                Seen::Profile(now) => *profile = now,
            }
        }
    }
    outcome.retain(|_, (events, profile)| !events.is_empty() || *profile != Profile::default());
    outcome
}

fn seen(head: &Head, event: activity_record::Event) -> Seen {
    let minute_of = |at: i64| (at - START.as_millis()) / 60_000;
    match event {
        activity_record::Event::Attributed(attributed) => {
            let behavior = Head::read(attributed.behavior.as_ref().unwrap().meta.as_ref()).unwrap();
            assert_eq!((head.occurred_at, head.received_at), (behavior.occurred_at, behavior.received_at));
            Seen::Attributed {
                id: behavior.event_id.as_bytes()[0],
                minute: minute_of(behavior.occurred_at.as_millis()),
                via: attributed.via,
            }
        }
        activity_record::Event::Retracted(retracted) => {
            Seen::Retracted(EventId::from_slice(&retracted.behavior_id).unwrap().as_bytes()[0])
        }
        activity_record::Event::ProfileChanged(changed) => {
            let profile = changed.profile.unwrap();
            Seen::Profile(Profile {
                email: profile.email,
                account: profile.account_id,
                attributes: (profile.attributes.into_iter())
                    .map(|(name, it)| (name, it.value, minute_of(it.occurred_at_ms)))
                    .collect(),
                others: profile.other_emails,
            })
        }
    }
}
