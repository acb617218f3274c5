//! The events of one identifier: kept in the order they happened, within bounds.

use crate::IdentitySettings;
use crate::effect::{Effects, Message, Times};
use crate::metrics::Metric;

/// Where something stands in the order of what happened: instant, then event id.
pub(crate) type Order<'a> = (i64, &'a [u8]);

/// One behavior event in the state of its home.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeptEvent {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    pub(crate) occurred_at_ms: i64,
    #[prost(sint64, tag = "3")]
    pub(crate) received_at_ms: i64,
    #[prost(string, tag = "4")]
    pub(crate) user_id: String,
    #[prost(string, tag = "5")]
    pub(crate) email: String,
    /// Key of the identifier of the lead that has it; empty while it is parked.
    #[prost(string, tag = "6")]
    pub(crate) claimed_for: String,
    /// As ingest wrote it; empty where it will never move to another lead.
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) record: Vec<u8>,
}

/// Whom an event names, by the strongest identifier it carries beside the visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Person<'a> {
    User(&'a str),
    Email(&'a str),
}

impl<'a> Person<'a> {
    /// The person of these fields; a user id counts for more than an address.
    pub(crate) fn named(user_id: &'a str, email: &'a str) -> Option<Self> {
        if !user_id.is_empty() {
            Some(Self::User(user_id))
        } else if !email.is_empty() {
            Some(Self::Email(email))
        } else {
            None
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
        Person::named(&self.user_id, &self.email)
    }
}

/// The events that an identifier is home to.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct History {
    /// Sorted by [`KeptEvent::order`]; each event id once.
    #[prost(message, repeated, tag = "1")]
    pub(crate) events: Vec<KeptEvent>,
    #[prost(sint64, optional, tag = "2")]
    pub(crate) expire_at_ms: Option<i64>,
}

impl History {
    /// Takes an event in at its place; false if it is there already.
    pub(crate) fn insert(&mut self, event: KeptEvent) -> bool {
        if self.events.iter().any(|kept| kept.event_id == event.event_id) {
            return false;
        }
        let place = self.events.partition_point(|kept| kept.order() < event.order());
        self.events.insert(place, event);
        true
    }

    /// Gives each event to its person, in the order they happened, and takes it from whoever had it before. Where the
    /// person is not known (yet), the event stays as it is.
    pub(crate) fn assign(&mut self, people: &[Option<String>], effects: &mut Effects) {
        for (event, person) in self.events.iter_mut().zip(people) {
            let Some(person) = person else { continue };
            if event.claimed_for == *person {
                continue;
            }
            let times = event.times();
            if !event.claimed_for.is_empty() {
                let behavior_id = event.event_id.clone();
                effects.send(times, Message::Released { known_as: event.claimed_for.clone(), behavior_id });
                effects.count(Metric::Released);
            }
            event.claimed_for.clone_from(person);
            effects.send(times, Message::Claimed { known_as: person.clone(), record: event.record.clone() });
            effects.count(Metric::Claimed);
        }
    }

    /// Drops the oldest events until the bounds hold, and gives them back.
    pub(crate) fn trim(&mut self, settings: &IdentitySettings, effects: &mut Effects) -> Vec<KeptEvent> {
        let mut bytes = 0;
        let kept = self.events.iter().rev().take(settings.events_per_identifier).take_while(|event| {
            bytes += event.record.len();
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

    fn note_gone(&mut self, gone: &[KeptEvent], why: Metric, settings: &IdentitySettings, effects: &mut Effects) {
        for event in gone {
            if event.claimed_for.is_empty() {
                effects.count(why);
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
            event_id: vec![n; 16],
            occurred_at_ms,
            received_at_ms: 100,
            record: vec![n; bytes],
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
        history.assign(&[Some("u:1".to_owned())], &mut effects);
        history.assign(&[Some("u:1".to_owned())], &mut effects);
        history.assign(&[None], &mut effects);
        history.assign(&[Some("e:a@b.example".to_owned())], &mut effects);
        let times = Times { occurred_at_ms: 1, received_at_ms: 100 };
        let claimed = |known_as: &str| Message::Claimed { known_as: known_as.to_owned(), record: vec![1] };
        let released = Message::Released { known_as: "u:1".to_owned(), behavior_id: vec![1; 16] };
        assert_eq!(effects.messages, [(times, claimed("u:1")), (times, released), (times, claimed("e:a@b.example"))]);
    }
}
