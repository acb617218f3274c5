//! The events of one identifier: kept in the order they happened, within bounds.

use std::sync::Arc;

use crate::IdentitySettings;
use crate::effect::{Effects, Message, Times};
use crate::metrics::Metric;

/// Where something stands in the order of what happened: instant, then event id.
pub(crate) type Order<'a> = (i64, &'a [u8]);

/// An event id, as bytes.
pub(crate) type Id = [u8; 16];

/// One behavior event in the state of its home.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct KeptEvent {
    pub(crate) event_id: Id,
    pub(crate) occurred_at_ms: i64,
    pub(crate) received_at_ms: i64,
    pub(crate) user_id: Arc<str>,
    /// In its normal form, like the phone number; else empty.
    pub(crate) crm_id: Arc<str>,
    pub(crate) email: Arc<str>,
    pub(crate) phone: Arc<str>,
    /// Key of the identifier of the lead that has it; empty while it is parked.
    pub(crate) claimed_for: Arc<str>,
    pub(crate) payload: Payload,
}

/// Where the event is, as ingest wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    /// In the state of the home; empty where it will never move to another lead.
    Here(Vec<u8>),
    /// In a bundle of the home, counted from 1.
    Bundled { bundle: u32, bytes: usize },
}

impl Default for Payload {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

impl Payload {
    fn bytes(&self) -> usize {
        match self {
            Self::Here(record) => record.len(),
            Self::Bundled { bytes, .. } => *bytes,
        }
    }

    fn bytes_here(&self) -> usize {
        match self {
            Self::Here(record) => record.len(),
            Self::Bundled { .. } => 0,
        }
    }

    fn bundle(&self) -> Option<u32> {
        match self {
            Self::Here(_) => None,
            Self::Bundled { bundle, .. } => Some(*bundle),
        }
    }
}

/// Whom an event names, by the strongest identifier it carries beside the visitor: the first of these. All but the address
/// are aliases: they may turn out to be somebody known by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Person<'a> {
    User(&'a str),
    Crm(&'a str),
    Email(&'a str),
    Phone(&'a str),
}

impl<'a> Person<'a> {
    /// The person of these fields.
    pub(crate) fn named(user_id: &'a str, crm_id: &'a str, email: &'a str, phone: &'a str) -> Option<Self> {
        let named = [Self::User(user_id), Self::Crm(crm_id), Self::Email(email), Self::Phone(phone)];
        named.into_iter().find(|person| !person.id().is_empty())
    }

    pub(crate) const fn id(self) -> &'a str {
        match self {
            Self::User(id) | Self::Crm(id) | Self::Email(id) | Self::Phone(id) => id,
        }
    }

    /// The key of its state.
    pub(crate) fn key(self) -> String {
        let kind = match self {
            Self::User(_) => "u:",
            Self::Crm(_) => "c:",
            Self::Email(_) => "e:",
            Self::Phone(_) => "p:",
        };
        [kind, self.id()].concat()
    }

    pub(crate) const fn is_alias(self) -> bool {
        match self {
            Self::User(_) | Self::Crm(_) | Self::Phone(_) => true,
            Self::Email(_) => false,
        }
    }
}

impl KeptEvent {
    pub(crate) fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }

    pub(crate) fn times(&self) -> Times {
        Times { occurred_at_ms: self.occurred_at_ms, received_at_ms: self.received_at_ms }
    }

    pub(crate) fn person(&self) -> Option<Person<'_>> {
        Person::named(&self.user_id, &self.crm_id, &self.email, &self.phone)
    }

    /// What the event says about its aliases: which is named beside which identifier that counts for more. A user id belongs
    /// to an address, else to a CRM id; a CRM id to an address; a phone number to whomever the event names beside it.
    pub(crate) fn links(&self) -> impl Iterator<Item = (Person<'_>, Person<'_>)> {
        let known = |person: Person<'_>| !person.id().is_empty();
        let (user, crm) = (Person::User(&self.user_id), Person::Crm(&self.crm_id));
        let email = Person::Email(&self.email);
        let of_user = if known(email) { email } else { crm };
        let beside = Person::named(&self.user_id, &self.crm_id, &self.email, "").unwrap_or(email);
        let links = [(user, of_user), (crm, email), (Person::Phone(&self.phone), beside)];
        links.into_iter().filter(move |(alias, named)| known(*alias) && known(*named))
    }
}

/// The events that an identifier is home to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    /// Sorted by [`KeptEvent::order`]; each event id once.
    pub(crate) events: Vec<KeptEvent>,
    pub(crate) expire_at_ms: Option<i64>,
}

impl History {
    pub(crate) fn find(&self, id: Id) -> Option<&KeptEvent> {
        self.events.iter().find(|kept| kept.event_id == id)
    }

    /// Whether what an event says about an alias is not said by one of these, which happened before; for a phone number it
    /// makes no difference when it was said.
    pub(crate) fn is_news(&self, event: &KeptEvent, link: (Person<'_>, Person<'_>)) -> bool {
        let counts = |it: &&KeptEvent| matches!(link.0, Person::Phone(_)) || it.order() <= event.order();
        !self.events.iter().filter(counts).any(|it| it.links().any(|said| said == link))
    }

    /// Takes an event in at its place; false if it is there already.
    pub(crate) fn insert(&mut self, event: KeptEvent) -> bool {
        if self.find(event.event_id).is_some() {
            return false;
        }
        let place = self.events.partition_point(|kept| kept.order() < event.order());
        self.events.insert(place, event);
        true
    }

    /// Gives each event to its person, in the order they happened, and takes it from whoever had it before. Where the
    /// person is not known (yet), the event stays as it is.
    pub(crate) fn assign(&mut self, people: &[Option<Arc<str>>], effects: &mut Effects) {
        for (event, person) in self.events.iter_mut().zip(people) {
            let Some(person) = person else { continue };
            if event.claimed_for == *person {
                continue;
            }
            let (times, behavior_id) = (event.times(), event.event_id);
            if !event.claimed_for.is_empty() {
                effects.send(times, Message::Released { known_as: Arc::clone(&event.claimed_for), behavior_id });
                effects.count(Metric::Released);
            }
            event.claimed_for = Arc::clone(person);
            let payload = event.payload.clone();
            effects.send(times, Message::Claimed { known_as: Arc::clone(person), behavior_id, payload });
            effects.count(Metric::Claimed);
        }
    }

    /// Drops the oldest events until the bounds hold, and gives them back.
    pub(crate) fn trim(&mut self, settings: &IdentitySettings, effects: &mut Effects) -> Vec<KeptEvent> {
        let mut bytes = 0;
        let kept = self.events.iter().rev().take(settings.events_per_identifier).take_while(|event| {
            bytes += event.payload.bytes();
            bytes <= settings.bytes_per_identifier
        });
        let dropped = self.events.len() - kept.count();
        let gone: Vec<KeptEvent> = self.events.drain(..dropped).collect();
        self.note_gone(&gone, Metric::Displaced, settings, effects);
        gone
    }

    /// Drops the events whose time is over at this instant, and gives them back.
    pub(crate) fn expire(&mut self, now_ms: i64, settings: &IdentitySettings, effects: &mut Effects) -> Vec<KeptEvent> {
        let gone: Vec<KeptEvent> =
            self.events.extract_if(.., |event| expires_at_ms(event, settings) <= now_ms).collect();
        self.note_gone(&gone, Metric::Expired, settings, effects);
        gone
    }

    /// Moves the payloads out of the home's state once they are too many to be written with each event: into the bundle
    /// after the last that still has some.
    pub(crate) fn bundle(&mut self, settings: &IdentitySettings, effects: &mut Effects) {
        let here: usize = self.events.iter().map(|event| event.payload.bytes_here()).sum();
        if here <= settings.bytes_beside_decisions {
            return;
        }
        let bundle = self.events.iter().filter_map(|event| event.payload.bundle()).max().unwrap_or(0) + 1;
        for event in &mut self.events {
            let bytes = event.payload.bytes_here();
            if bytes > 0 {
                let payload = std::mem::replace(&mut event.payload, Payload::Bundled { bundle, bytes });
                if let Payload::Here(record) = payload {
                    effects.bundled.push((bundle, event.event_id, record));
                }
            }
        }
    }

    fn note_gone(&mut self, gone: &[KeptEvent], why: Metric, settings: &IdentitySettings, effects: &mut Effects) {
        for event in gone {
            if event.claimed_for.is_empty() {
                effects.count(why);
            }
            if let Some(bundle) = event.payload.bundle() {
                effects.unbundled.push((bundle, event.event_id));
            }
        }
        self.expire_at_ms = self.events.iter().map(|event| expires_at_ms(event, settings)).min();
    }
}

fn expires_at_ms(event: &KeptEvent, settings: &IdentitySettings) -> i64 {
    event.received_at_ms.saturating_add(settings.keep_events_for.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u8, occurred_at_ms: i64, bytes: usize) -> KeptEvent {
        KeptEvent {
            event_id: [n; 16],
            occurred_at_ms,
            received_at_ms: 100,
            payload: Payload::Here(vec![n; bytes]),
            ..KeptEvent::default()
        }
    }

    fn ids(events: &[KeptEvent]) -> Vec<u8> {
        events.iter().map(|event| event.event_id[0]).collect()
    }

    #[test]
    fn events_stand_in_the_order_they_happened_and_once() {
        let mut history = History::default();
        let inserted = [event(3, 7, 1), event(1, 9, 1), event(2, 7, 1), event(1, 9, 1), event(1, 3, 1)]
            .map(|event| history.insert(event));
        assert_eq!((inserted, ids(&history.events)), ([true, true, true, false, false], vec![2, 3, 1]));
    }

    #[test]
    fn the_most_recent_stay_within_count_and_bytes() {
        let settings =
            IdentitySettings { events_per_identifier: 3, bytes_per_identifier: 100, ..IdentitySettings::default() };
        let mut history = History::default();
        for n in 1..=5 {
            history.insert(event(n, i64::from(n), 10));
        }
        let mut effects = Effects::default();
        assert_eq!(ids(&history.trim(&settings, &mut effects)), [1, 2]);
        history.insert(event(9, 9, 85));
        assert_eq!(ids(&history.trim(&settings, &mut effects)), [3, 4]);
        assert_eq!(ids(&history.events), [5, 9]);
        assert_eq!(effects.counts, [Metric::Displaced; 4]);
    }

    #[test]
    fn what_is_assigned_twice_moves_once() {
        let mut history = History::default();
        history.insert(event(1, 1, 1));
        let mut effects = Effects::default();
        history.assign(&[None], &mut effects);
        history.assign(&[Some("u:1".into())], &mut effects);
        history.assign(&[Some("u:1".into())], &mut effects);
        history.assign(&[None], &mut effects);
        history.assign(&[Some("e:a@b.example".into())], &mut effects);
        let times = Times { occurred_at_ms: 1, received_at_ms: 100 };
        let payload = Payload::Here(vec![1]);
        let claimed = |known_as: &str| Message::Claimed {
            known_as: known_as.into(),
            behavior_id: [1; 16],
            payload: payload.clone(),
        };
        let released = Message::Released { known_as: "u:1".into(), behavior_id: [1; 16] };
        assert_eq!(effects.messages, [(times, claimed("u:1")), (times, released), (times, claimed("e:a@b.example"))]);
    }

    #[test]
    fn payloads_leave_for_a_bundle_once_they_are_too_many_and_the_bundle_with_their_event() {
        let settings = IdentitySettings {
            bytes_beside_decisions: 20,
            events_per_identifier: 3,
            bytes_per_identifier: 25,
            ..IdentitySettings::default()
        };
        let mut history = History::default();
        let mut effects = Effects::default();
        for (n, bytes) in [(1, 10), (2, 10), (3, 1), (4, 0), (5, 12), (6, 9)] {
            history.insert(event(n, i64::from(n), bytes));
            history.trim(&settings, &mut effects);
            history.bundle(&settings, &mut effects);
        }
        // The first bundle is empty by then, and its number free.
        assert_eq!(
            (effects.bundled, effects.unbundled),
            (
                vec![
                    (1, [1; 16], vec![1; 10]),
                    (1, [2; 16], vec![2; 10]),
                    (1, [3; 16], vec![3; 1]),
                    (1, [5; 16], vec![5; 12]),
                    (1, [6; 16], vec![6; 9])
                ],
                vec![(1, [1; 16]), (1, [2; 16]), (1, [3; 16])],
            )
        );
        let payloads: Vec<&Payload> = history.events.iter().map(|event| &event.payload).collect();
        let bundled = |bytes| Payload::Bundled { bundle: 1, bytes };
        assert_eq!(payloads, [&Payload::default(), &bundled(12), &bundled(9)]);
    }
}
