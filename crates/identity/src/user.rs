//! A user id: the address it is known by, and the visitors that want to hear of it.

use std::sync::Arc;

use tasuki_domain::Timestamp;
use tasuki_wire::v1::{self, RefusedBecause};

use crate::IdentitySettings;
use crate::effect::{Effects, Message, Times};
use crate::history::{History, KeptEvent, Order};
use crate::metrics::Metric;

/// An event named a user id and an address together.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Link {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    pub(crate) occurred_at_ms: i64,
    #[prost(string, tag = "3")]
    pub(crate) email: String,
}

/// What a user id's state holds beside its events.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct User {
    /// The earliest link: the user id belongs to its address.
    #[prost(message, optional, tag = "1")]
    link: Option<Link>,
    /// Until when it waits for a link.
    #[prost(sint64, optional, tag = "2")]
    settle_at_ms: Option<i64>,
    /// The wait is over.
    #[prost(bool, tag = "3")]
    settled: bool,
    /// The wait was begun anew once.
    #[prost(bool, tag = "4")]
    waited_anew: bool,
    /// Counts up with each change of the answer.
    #[prost(uint64, tag = "5")]
    revision: u64,
    /// Visitors that are told of changes, sorted.
    #[prost(string, repeated, tag = "6")]
    visitors: Vec<String>,
    /// The event that named one visitor too many, until a lead is there to be told of it.
    #[prost(bytes = "vec", tag = "7")]
    refused: Vec<u8>,
}

/// The key of an address.
pub(crate) fn key_of_email(email: &str) -> String {
    format!("e:{email}")
}

/// The key of a user id.
pub(crate) fn key_of_user(user_id: &str) -> String {
    format!("u:{user_id}")
}

impl Link {
    /// The link an event makes, if it names both.
    pub(crate) fn of(event: &KeptEvent) -> Option<Self> {
        (!event.user_id.is_empty() && !event.email.is_empty()).then(|| Self {
            event_id: event.event_id.to_vec(),
            occurred_at_ms: event.occurred_at_ms,
            email: event.email.to_string(),
        })
    }

    fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }

    /// Puts the link in the place of a later one or of none; true if it did.
    pub(crate) fn improve(earliest: &mut Option<Self>, link: Self) -> bool {
        let better = earliest.as_ref().is_none_or(|before| link.order() < before.order());
        if better {
            *earliest = Some(link);
        }
        better
    }
}

impl User {
    /// Nothing needs keeping.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// When the wait for a link ends.
    pub(crate) fn settles_at_ms(&self) -> Option<i64> {
        self.settle_at_ms
    }

    /// An event without a visitor id arrived.
    pub(crate) fn arrived(
        &mut self,
        history: &mut History,
        event: KeptEvent,
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        let (id, user_id, times, link) = (event.event_id, Arc::clone(&event.user_id), event.times(), Link::of(&event));
        if !history.insert(event) {
            effects.count(Metric::Repeated);
            return;
        }
        if self.learn(link, times, settings) {
            self.tell_all(&user_id, times, None, effects);
        }
        self.decide(history, &user_id, effects);
        if history.find(id).is_some_and(|kept| kept.claimed_for.is_empty()) {
            effects.count(Metric::Parked);
        }
        self.tell_refused(&user_id, times, effects);
        history.trim(settings, effects);
    }

    /// A visitor saw the user id, in this event, perhaps beside an address.
    pub(crate) fn seen(
        &mut self,
        history: &mut History,
        user_id: &str,
        seen: &v1::UserSeen,
        (event_id, times): (&[u8], Times),
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        let email = seen.email.clone();
        let link = (!email.is_empty()).then(|| Link {
            event_id: event_id.to_vec(),
            occurred_at_ms: times.occurred_at_ms,
            email,
        });
        let changed = self.learn(link, times, settings);
        let subscription = self.subscribe(&seen.anonymous_id, settings);
        // A visitor that just told us the address, and was never told another, need not be told.
        let knows = subscription == Subscription::New && self.email() == Some(seen.email.as_str());
        if changed {
            self.tell_all(user_id, times, knows.then_some(seen.anonymous_id.as_str()), effects);
        }
        match subscription {
            Subscription::Nobody => {}
            Subscription::Refused => {
                effects.count(Metric::VisitorsPerUser);
                self.refused = event_id.to_vec();
                self.tell(&seen.anonymous_id, user_id, times, effects);
            }
            Subscription::New | Subscription::Standing => {
                let decided = self.link.is_some() || self.settled;
                if decided && !changed && !knows {
                    self.tell(&seen.anonymous_id, user_id, times, effects);
                }
            }
        }
        if changed {
            self.decide(history, user_id, effects);
        }
        self.tell_refused(user_id, times, effects);
    }

    /// The wait for a link is over. If the timer comes late, we were stopped, and the link may be under way just like
    /// what made us wait: then the wait begins anew, once. That changes how soon a lead without an address appears, and
    /// nothing else.
    pub(crate) fn settle(
        &mut self,
        history: &mut History,
        user_id: &str,
        (due_at, fired_at): (Timestamp, Timestamp),
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        if self.settle_at_ms.take().is_none() || self.link.is_some() || self.settled {
            return;
        }
        if fired_at.since(due_at) > settings.settle_within && !self.waited_anew {
            self.waited_anew = true;
            self.settle_at_ms = Some((fired_at + settings.settle_within).as_millis());
            return;
        }
        self.settled = true;
        self.revision += 1;
        let times = Times { occurred_at_ms: due_at.as_millis(), received_at_ms: due_at.as_millis() };
        self.tell_all(user_id, times, None, effects);
        self.decide(history, user_id, effects);
        self.tell_refused(user_id, times, effects);
    }

    fn email(&self) -> Option<&str> {
        self.link.as_ref().map(|link| link.email.as_str())
    }

    /// Takes in that the user id was seen, perhaps with a link; true if it is now known by another address.
    fn learn(&mut self, link: Option<Link>, times: Times, settings: &IdentitySettings) -> bool {
        let before = self.email().map(str::to_owned);
        if let Some(link) = link {
            Link::improve(&mut self.link, link);
        }
        if self.link.is_some() {
            self.settle_at_ms = None;
        } else if !self.settled && self.settle_at_ms.is_none() {
            self.settle_at_ms = Some(times.received_at_ms.saturating_add(settings.settle_within.get()));
        }
        let changed = self.email() != before.as_deref();
        if changed {
            self.revision += 1;
        }
        changed
    }

    fn subscribe(&mut self, anonymous_id: &str, settings: &IdentitySettings) -> Subscription {
        if anonymous_id.is_empty() {
            return Subscription::Nobody;
        }
        match self.visitors.binary_search_by(|visitor| visitor.as_str().cmp(anonymous_id)) {
            Ok(_) => Subscription::Standing,
            Err(_) if self.visitors.len() >= settings.visitors_per_user => Subscription::Refused,
            Err(place) => {
                self.visitors.insert(place, anonymous_id.to_owned());
                Subscription::New
            }
        }
    }

    fn tell_all(&self, user_id: &str, times: Times, except: Option<&str>, effects: &mut Effects) {
        for visitor in self.visitors.iter().filter(|visitor| Some(visitor.as_str()) != except) {
            self.tell(visitor, user_id, times, effects);
        }
    }

    fn tell(&self, anonymous_id: &str, user_id: &str, times: Times, effects: &mut Effects) {
        let message = Message::Resolved {
            anonymous_id: anonymous_id.to_owned(),
            user_id: user_id.to_owned(),
            email: self.email().unwrap_or_default().to_owned(),
            revision: self.revision,
        };
        effects.send(times, message);
    }

    /// Lets the lead know that the user id has more visitors than are told of changes.
    fn tell_refused(&mut self, user_id: &str, times: Times, effects: &mut Effects) {
        if self.refused.is_empty() {
            return;
        }
        if let Some(known_as) = self.known_as(user_id) {
            let (because, behavior_id) = (RefusedBecause::VisitorsPerUser, std::mem::take(&mut self.refused));
            effects.send(times, Message::Refused { known_as: Arc::from(known_as), because, behavior_id });
        }
    }

    /// The key that the lead of the user id is known by; `None` while that is not decided.
    fn known_as(&self, user_id: &str) -> Option<String> {
        match self.email() {
            Some(email) => Some(key_of_email(email)),
            None => self.settled.then(|| key_of_user(user_id)),
        }
    }

    fn decide(&self, history: &mut History, user_id: &str, effects: &mut Effects) {
        let known_as = self.known_as(user_id);
        let people = vec![known_as.map(Arc::from); history.events.len()];
        history.assign(&people, effects);
    }
}

/// Whether a visitor will be told of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscription {
    /// There is none to be told.
    Nobody,
    New,
    Standing,
    /// Too many already.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Times = Times { occurred_at_ms: 5_000, received_at_ms: 5_000 };

    fn seen_by(user: &mut User, anonymous_id: &str, email: &str, event: (u8, i64)) -> Vec<Message> {
        let seen = v1::UserSeen { anonymous_id: anonymous_id.to_owned(), email: email.to_owned() };
        let times = Times { occurred_at_ms: event.1, ..AT };
        let mut effects = Effects::default();
        let (history, settings) = (&mut History::default(), &IdentitySettings::default());
        user.seen(history, "1", &seen, (&[event.0; 16], times), settings, &mut effects);
        effects.messages.into_iter().map(|(_, message)| message).collect()
    }

    fn settle(user: &mut User, due_at: i64, fired_at: i64) -> Vec<Message> {
        let at = (Timestamp::from_millis(due_at), Timestamp::from_millis(fired_at));
        let mut effects = Effects::default();
        user.settle(&mut History::default(), "1", at, &IdentitySettings::default(), &mut effects);
        effects.messages.into_iter().map(|(_, message)| message).collect()
    }

    fn told(anonymous_id: &str, email: &str, revision: u64) -> Message {
        let (anonymous_id, email) = (anonymous_id.to_owned(), email.to_owned());
        Message::Resolved { anonymous_id, user_id: "1".to_owned(), email, revision }
    }

    #[test]
    fn visitors_are_told_once_something_is_known_and_whenever_it_changes() {
        let mut user = User::default();
        assert_eq!(seen_by(&mut user, "tablet", "", (1, 1)), []);
        assert_eq!(settle(&mut user, 8_000, 8_001), [told("tablet", "", 1)]);
        assert_eq!(seen_by(&mut user, "laptop", "", (2, 2)), [told("laptop", "", 1)]);
        // The phone brings the address itself: it need not be told.
        let both = |email: &str, revision| [told("laptop", email, revision), told("tablet", email, revision)];
        assert_eq!(seen_by(&mut user, "phone", "b@x.example", (4, 4)), both("b@x.example", 2));
        assert_eq!(seen_by(&mut user, "watch", "c@x.example", (5, 5)), [told("watch", "b@x.example", 2)]);
        // An earlier link to the same address changes nothing, to another changes it for everybody.
        assert_eq!(seen_by(&mut user, "", "b@x.example", (3, 3)), []);
        let all = ["laptop", "phone", "tablet", "watch"].map(|visitor| told(visitor, "a@x.example", 3));
        assert_eq!(seen_by(&mut user, "", "a@x.example", (0, 0)), all);
    }

    #[test]
    fn a_timer_that_comes_late_begins_the_wait_anew_but_not_twice() {
        let mut user = User::default();
        seen_by(&mut user, "tablet", "", (1, 1));
        assert_eq!(user.settles_at_ms(), Some(8_000));
        assert_eq!(settle(&mut user, 8_000, 90_000), []);
        assert_eq!(user.settles_at_ms(), Some(93_000));
        assert_eq!(settle(&mut user, 93_000, 200_000), [told("tablet", "", 1)]);
        assert_eq!(user.settles_at_ms(), None);
    }
}
