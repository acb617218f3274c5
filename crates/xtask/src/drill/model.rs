//! What has to come out: a single-threaded fold of the raw input, in its own words. It holds everything in memory, sorts
//! where services keep indices, and shares no code with them but the pure function of the score.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use prost::Message as _;
use sha2::Sha256;
use tasuki_domain::{DeploymentSecret, EventId, Identifier, LeadId, Timestamp};
use tasuki_playbook::{EventKind, Playbook, SignalFields};
use tasuki_scoring::{NewSignal, Score, Signals};
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::{Topic, v1};

use super::history::History;
use super::scene::SECRET;

/// When something happened, and which event it was: the order of all rules.
type Order = (i64, Vec<u8>);

/// The lead that an identifier stands for, given its key: `e:ana@acme.example`.
pub(crate) fn lead_of(known_as: &str) -> LeadId {
    secret_of_leads().lead_id(&Identifier::from_key(known_as).expect("a key of an identifier"))
}

/// The key that the binary computes lead ids with, from the secret of drills.
pub(crate) fn secret_of_leads() -> DeploymentSecret {
    DeploymentSecret::new(derived("lead ids").into_bytes()).expect("64 digits are long enough")
}

/// The write key of the source `website`.
pub(crate) fn write_key() -> String {
    format!("wk_{}", &derived("write key of website")[..24])
}

/// What the binary derives from the secret for a purpose.
fn derived(purpose: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(purpose.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known of one lead.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expected {
    /// The events that are its own, by id.
    pub(crate) events: BTreeMap<Vec<u8>, v1::BehaviorRecord>,
    pub(crate) profile: v1::Profile,
}

/// Every lead that the raw input speaks of.
pub(crate) fn leads(log: &History) -> BTreeMap<LeadId, Expected> {
    let events = behavior(log);
    let users = addresses_of_users(&events);
    let mut owners: Vec<(String, &v1::BehaviorRecord)> = Vec::new();
    let mut homes: BTreeMap<&str, Vec<&v1::BehaviorRecord>> = BTreeMap::new();
    for (home, event) in events.values() {
        homes.entry(home).or_default().push(event);
    }
    for (home, mut events) in homes {
        events.sort_by_key(|event| order(event));
        let first = events.iter().find_map(|event| person(event, &users));
        let mut current = if home.starts_with("v:") { first } else { None };
        for event in events {
            current = person(event, &users).or(current);
            owners.extend(current.clone().map(|owner| (owner, event)));
        }
    }
    let mut leads: BTreeMap<String, Expected> = BTreeMap::new();
    for (owner, event) in owners {
        leads.entry(owner).or_default().events.insert(id(event).to_vec(), event.clone());
    }
    for (known_as, expected) in &mut leads {
        expected.profile = profile(known_as, &expected.events);
    }
    leads.into_iter().map(|(known_as, expected)| (lead_of(&known_as), expected)).collect()
}

/// Each event once, with the key of its home. What identity cannot process is not there: the generator of the load says
/// so by its own marks, this looks only at whether it is a record of behavior, with an id, under the key it must have.
fn behavior(log: &History) -> BTreeMap<Vec<u8>, (String, v1::BehaviorRecord)> {
    let mut events = BTreeMap::new();
    for (_, entry) in log.of(Topic::Behavior) {
        let Ok(record) = v1::BehaviorRecord::decode(entry.payload.as_slice()) else { continue };
        let Some(identifiers) = &record.identifiers else { continue };
        let home = match (identifiers.anonymous_id.as_str(), identifiers.user_id.as_str(), identifiers.email.as_str()) {
            ("", "", "") => continue,
            ("", "", email) => format!("e:{email}"),
            ("", user_id, _) => format!("u:{user_id}"),
            (visitor, _, _) => format!("v:{visitor}"),
        };
        if id(&record).len() == 16 && home.as_bytes() == entry.key {
            events.entry(id(&record).to_vec()).or_insert((home, record));
        }
    }
    events
}

/// Of each user id the address it was first named with.
fn addresses_of_users(events: &BTreeMap<Vec<u8>, (String, v1::BehaviorRecord)>) -> BTreeMap<String, String> {
    let mut earliest: BTreeMap<String, (Order, String)> = BTreeMap::new();
    for (_, event) in events.values() {
        let Some(identifiers) = &event.identifiers else { continue };
        if identifiers.user_id.is_empty() || identifiers.email.is_empty() {
            continue;
        }
        let link = (order(event), identifiers.email.clone());
        let known = earliest.entry(identifiers.user_id.clone()).or_insert_with(|| link.clone());
        if link.0 < known.0 {
            *known = link;
        }
    }
    earliest.into_iter().map(|(user_id, (_, email))| (user_id, email)).collect()
}

/// Whom an event names: key of the address or user id that the lead is known by.
fn person(event: &v1::BehaviorRecord, users: &BTreeMap<String, String>) -> Option<String> {
    let identifiers = event.identifiers.as_ref()?;
    match (identifiers.user_id.as_str(), identifiers.email.as_str()) {
        ("", "") => None,
        ("", email) => Some(format!("e:{email}")),
        (user_id, _) => Some(users.get(user_id).map_or(format!("u:{user_id}"), |email| format!("e:{email}"))),
    }
}

/// Of each attribute the latest value, said since when.
fn profile(known_as: &str, events: &BTreeMap<Vec<u8>, v1::BehaviorRecord>) -> v1::Profile {
    let mut said: BTreeMap<String, Vec<(Order, String, String)>> = BTreeMap::new();
    for event in events.values() {
        let source = event.origin.as_ref().map_or(String::new(), |origin| origin.source.clone());
        let mut values = BTreeMap::new();
        if let Some(Event::LeadIdentified(identified)) = &event.event {
            values = identified.attributes.clone();
        }
        let user_id = event.identifiers.as_ref().map_or("", |identifiers| identifiers.user_id.as_str());
        if !user_id.is_empty() {
            values.insert("user_id".to_owned(), user_id.to_owned());
        }
        for (name, value) in values {
            said.entry(name).or_default().push((order(event), value, source.clone()));
        }
    }
    let mut attributes = BTreeMap::new();
    for (name, mut values) in said {
        values.sort();
        let latest = values.last().map_or(String::new(), |(_, value, _)| value.clone());
        let since = values.iter().rev().take_while(|(_, value, _)| *value == latest).last();
        if let Some(((occurred_at_ms, _), value, source)) = since.cloned() {
            attributes.insert(name, v1::AttributeValue { value, source, occurred_at_ms });
        }
    }
    let email = known_as.strip_prefix("e:").unwrap_or_default().to_owned();
    // Of the domains where anybody can have an address, the load uses this one.
    let account_id = email.split_once('@').map_or("", |(_, domain)| domain).replace("gmail.com", "");
    v1::Profile { email, account_id, attributes, other_emails: Vec::new() }
}

/// The score of these events as of an instant.
pub(crate) fn score<'e>(
    events: impl Iterator<Item = &'e v1::BehaviorRecord>,
    profile: &v1::Profile,
    playbook: &Playbook,
    as_of_ms: i64,
) -> Score {
    let mut signals = Signals::default();
    for record in events {
        let (Some(meta), Some(event)) = (&record.meta, &record.event) else { continue };
        let fields = SignalFields {
            kind: kind(event),
            about: event.about(),
            path: record.circumstances.as_ref().map_or("", |around| around.path.as_str()),
            source: record.origin.as_ref().map_or("", |origin| origin.source.as_str()),
            campaign: record.circumstances.as_ref().map_or("", |around| around.campaign_name.as_str()),
        };
        signals.insert(&NewSignal {
            id: EventId::from_slice(&meta.event_id).expect("checked before"),
            occurred_at: Timestamp::from_millis(meta.occurred_at_ms),
            received_at: Timestamp::from_millis(meta.received_at_ms),
            fields,
        });
    }
    tasuki_scoring::score(&signals, profile, playbook, Timestamp::from_millis(as_of_ms))
}

/// The same by the name that playbooks use.
fn kind(event: &Event) -> EventKind {
    match event {
        Event::PageViewed(_) => EventKind::PageViewed,
        Event::FormSubmitted(_) => EventKind::FormSubmitted,
        Event::EmailOpened(_) => EventKind::EmailOpened,
        Event::EmailClicked(_) => EventKind::EmailClicked,
        Event::ContentDownloaded(_) => EventKind::ContentDownloaded,
        Event::EventAttended(_) => EventKind::EventAttended,
        Event::SurveyAnswered(_) => EventKind::SurveyAnswered,
        Event::AssessmentCompleted(_) => EventKind::AssessmentCompleted,
        Event::ReferralReceived(_) => EventKind::ReferralReceived,
        Event::InquiryReceived(_) => EventKind::InquiryReceived,
        Event::LeadIdentified(_) => EventKind::LeadIdentified,
        Event::ConsentChanged(_) => EventKind::ConsentChanged,
        Event::CustomBehavior(_) => EventKind::CustomBehavior,
    }
}

/// What one lead's `activity` says so far: a fold of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributed {
    pub(crate) events: BTreeMap<Vec<u8>, v1::BehaviorRecord>,
    pub(crate) profile: Option<v1::Profile>,
    profile_received_at_ms: Option<i64>,
}

impl Attributed {
    /// Whether a record has something to say that was not said before.
    pub(crate) fn changes(&self, record: &v1::ActivityRecord) -> bool {
        use v1::activity_record::Event as Activity;
        match &record.event {
            // Of an event that this release does not know nobody can say what it is worth.
            Some(Activity::Attributed(it)) => {
                it.behavior.as_ref().is_some_and(|new| new.event.is_some() && !self.events.contains_key(id(new)))
            }
            Some(Activity::Retracted(it)) => {
                self.events.get(&it.behavior_id).is_some_and(|known| known.event.is_some())
            }
            Some(Activity::ProfileChanged(it)) => it.profile != self.profile,
            None => false,
        }
    }

    /// The latest receipt of what counts, if anything does.
    pub(crate) fn received_at_ms(&self) -> Option<i64> {
        let known = self.events.values().filter(|event| event.event.is_some());
        let events = known.filter_map(|event| event.meta.as_ref()).map(|meta| meta.received_at_ms);
        events.chain(self.profile_received_at_ms).max()
    }

    /// Applies one record.
    pub(crate) fn apply(&mut self, record: &v1::ActivityRecord) {
        use v1::activity_record::Event as Activity;
        match &record.event {
            Some(Activity::Attributed(it)) => {
                if let Some(behavior) = &it.behavior {
                    self.events.insert(id(behavior).to_vec(), behavior.clone());
                }
            }
            Some(Activity::Retracted(it)) => {
                self.events.remove(&it.behavior_id);
            }
            Some(Activity::ProfileChanged(it)) => {
                self.profile.clone_from(&it.profile);
                self.profile_received_at_ms = record.meta.as_ref().map(|meta| meta.received_at_ms);
            }
            None => {}
        }
    }

    /// The ids of the events.
    pub(crate) fn ids(&self) -> BTreeSet<&[u8]> {
        self.events.keys().map(Vec::as_slice).collect()
    }
}

/// The id of an event; empty if it has none.
pub(crate) fn id(event: &v1::BehaviorRecord) -> &[u8] {
    event.meta.as_ref().map_or(&[], |meta| meta.event_id.as_slice())
}

fn order(event: &v1::BehaviorRecord) -> Order {
    (event.meta.as_ref().map_or(0, |meta| meta.occurred_at_ms), id(event).to_vec())
}
