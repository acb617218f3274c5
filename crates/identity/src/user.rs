//! An alias: a user id, a CRM id or a phone number. By whom it is known, and who wants to hear of it.
//!
//! A user id and a CRM id belong to the earliest address that was named beside them; a user id without one, to the earliest CRM
//! id. A phone number may be an office's: it belongs to whom it was named beside as long as that is one lead, and to
//! nobody else once it is several.

use std::sync::Arc;

use tasuki_domain::Timestamp;
use tasuki_wire::v1::RefusedBecause;

use crate::IdentitySettings;
use crate::effect::{Effects, Message, Times};
use crate::history::{History, KeptEvent, Order, Person};
use crate::metrics::Metric;
use crate::settings::PhoneNumbers;

/// Different identifiers remembered beside which a phone number was named; with more it is a shared line. One person has
/// few: an address, a user id, a CRM id.
const MOST_NAMES: usize = 8;

/// An event named an alias and an address together.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Link {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    pub(crate) occurred_at_ms: i64,
    #[prost(string, tag = "3")]
    pub(crate) email: String,
}

/// An event named an alias and another together.
#[derive(Clone, PartialEq, prost::Message)]
struct Beside {
    #[prost(bytes = "vec", tag = "1")]
    event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    occurred_at_ms: i64,
    /// The key of the other; of a phone number an address too.
    #[prost(string, tag = "3")]
    named: String,
    /// By which key the other is known, as it answered; empty while it did not.
    #[prost(string, tag = "4")]
    known_as: String,
    /// Of the answer.
    #[prost(uint64, tag = "5")]
    revision: u64,
}

/// What an alias's state holds beside its events.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct User {
    /// The earliest link: a user id or CRM id belongs to its address.
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
    /// Of a user id, the earliest CRM id named beside it; of a phone number, all that was.
    #[prost(message, repeated, tag = "8")]
    beside: Vec<Beside>,
    /// Keys of other identifiers that are told of changes, sorted.
    #[prost(string, repeated, tag = "9")]
    askers: Vec<String>,
    /// A phone number was named beside more than is remembered.
    #[prost(bool, tag = "10")]
    crowded: bool,
    /// The lead of the phone number was told that it is shared.
    #[prost(bool, tag = "11")]
    told_shared: bool,
}

/// The key of an address.
pub(crate) fn key_of_email(email: &str) -> String {
    Person::Email(email).key()
}

fn is_phone(key: &str) -> bool {
    key.starts_with("p:")
}

impl Link {
    /// The link an event makes between its strongest alias and an address, if it names both; of a phone number none.
    pub(crate) fn of(event: &KeptEvent) -> Option<Self> {
        let alias = matches!(event.person(), Some(Person::User(_) | Person::Crm(_)));
        (alias && !event.email.is_empty()).then(|| Self {
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

impl Beside {
    fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }

    /// By which key the other is known: an address by its own.
    fn known_as(&self) -> Option<&str> {
        if self.named.starts_with("e:") {
            return Some(&self.named);
        }
        Some(self.known_as.as_str()).filter(|known_as| !known_as.is_empty())
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

    /// An event without a visitor id arrived at the home of this key.
    pub(crate) fn arrived(
        &mut self,
        history: &mut History,
        key: &str,
        event: KeptEvent,
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        let (id, times) = (event.event_id, event.times());
        if history.find(id).is_some() {
            effects.count(Metric::Repeated);
            return;
        }
        let before = self.known_as(key);
        for (alias, named) in event.links() {
            if alias.key() == key {
                self.learn(key, &named.key(), (&id, times), settings, effects);
            } else if history.is_news(&event, (alias, named)) {
                effects.send(times, Message::Seen { to: alias.key(), asker: String::new(), named: named.key() });
            }
        }
        self.wait(times, settings);
        history.insert(event);
        if self.has_changed(key, before.as_deref()) {
            self.tell_all(key, times, None, effects);
        }
        self.decide(history, key, effects);
        if history.find(id).is_some_and(|kept| kept.claimed_for.is_empty()) {
            effects.count(Metric::Parked);
        }
        self.tell_refused(key, times, effects);
        history.trim(settings, effects);
    }

    /// Somebody saw the alias, in this event, perhaps beside another identifier, and perhaps wants to hear of it.
    pub(crate) fn seen(
        &mut self,
        history: &mut History,
        key: &str,
        (asker, named): (&str, &str),
        (event_id, times): (&[u8], Times),
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        let before = self.known_as(key);
        if !named.is_empty() {
            self.learn(key, named, (event_id, times), settings, effects);
        }
        self.wait(times, settings);
        let changed = self.has_changed(key, before.as_deref());
        let subscription = self.subscribe(asker, settings);
        let now = self.known_as(key);
        // Who just told us the address, and was never told another, need not be told.
        let knows = subscription == Subscription::New && named.starts_with("e:") && now.as_deref() == Some(named);
        if changed {
            self.tell_all(key, times, knows.then_some(asker), effects);
        }
        match subscription {
            Subscription::Nobody => {}
            Subscription::Refused => {
                effects.count(Metric::VisitorsPerUser);
                self.refused = event_id.to_vec();
                let (to, alias, revision) = (asker.to_owned(), key.to_owned(), self.revision);
                let known_as = now.unwrap_or_else(|| key.to_owned());
                effects.send(times, Message::Resolved { to, alias, known_as, revision });
            }
            Subscription::New | Subscription::Standing => {
                if !changed && !knows {
                    self.tell(asker, key, times, effects);
                }
            }
        }
        if changed {
            self.decide(history, key, effects);
        }
        self.tell_refused(key, times, effects);
    }

    /// Another that was named beside this one says by which key it is known.
    pub(crate) fn resolved(
        &mut self,
        history: &mut History,
        key: &str,
        (named, known_as, revision): (&str, &str, u64),
        times: Times,
        effects: &mut Effects,
    ) {
        let before = self.known_as(key);
        let Some(beside) = self.beside.iter_mut().find(|it| it.named == named) else { return };
        if beside.revision >= revision {
            return;
        }
        beside.revision = revision;
        known_as.clone_into(&mut beside.known_as);
        if self.has_changed(key, before.as_deref()) {
            self.tell_all(key, times, None, effects);
        }
        self.decide(history, key, effects);
        self.tell_refused(key, times, effects);
    }

    /// The wait for a link is over. If the timer comes late, we were stopped, and the link may be under way just like
    /// what made us wait: then the wait begins anew, once. That changes how soon a lead without an address appears, and
    /// nothing else.
    pub(crate) fn settle(
        &mut self,
        history: &mut History,
        key: &str,
        (due_at, fired_at): (Timestamp, Timestamp),
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        if self.settle_at_ms.take().is_none() || self.has_names() || self.settled {
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
        self.tell_all(key, times, None, effects);
        self.decide(history, key, effects);
        self.tell_refused(key, times, effects);
    }

    fn has_names(&self) -> bool {
        self.link.is_some() || !self.beside.is_empty()
    }

    /// Takes in beside which identifier the alias of this key was named.
    fn learn(
        &mut self,
        key: &str,
        named: &str,
        (event_id, times): (&[u8], Times),
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        let (event_id, occurred_at_ms) = (event_id.to_vec(), times.occurred_at_ms);
        if is_phone(key) {
            if settings.phone_numbers == PhoneNumbers::Linked && self.beside.iter().all(|it| it.named != named) {
                self.name_beside(
                    key,
                    Beside { event_id, occurred_at_ms, named: named.to_owned(), ..Beside::default() },
                    times,
                    effects,
                );
            }
        } else if let Some(email) = named.strip_prefix("e:") {
            Link::improve(&mut self.link, Link { event_id, occurred_at_ms, email: email.to_owned() });
        } else {
            let new = Beside { event_id, occurred_at_ms, named: named.to_owned(), ..Beside::default() };
            match self.beside.first_mut() {
                Some(earliest) if new.order() >= earliest.order() => {}
                Some(earliest) if earliest.named == new.named => {
                    (earliest.event_id, earliest.occurred_at_ms) = (new.event_id, new.occurred_at_ms);
                }
                Some(_) | None => {
                    self.beside.clear();
                    self.name_beside(key, new, times, effects);
                }
            }
        }
    }

    /// Remembers another identifier, and asks it by which lead it is known, unless it is an address.
    fn name_beside(&mut self, key: &str, new: Beside, times: Times, effects: &mut Effects) {
        if self.beside.len() >= MOST_NAMES {
            self.crowded = true;
            return;
        }
        if !new.named.starts_with("e:") {
            let (to, asker) = (new.named.clone(), key.to_owned());
            effects.send(times, Message::Seen { to, asker, named: String::new() });
        }
        let place = self.beside.partition_point(|it| it.named < new.named);
        self.beside.insert(place, new);
    }

    /// Without a link it waits for one, once.
    fn wait(&mut self, times: Times, settings: &IdentitySettings) {
        if self.has_names() {
            self.settle_at_ms = None;
        } else if !self.settled && self.settle_at_ms.is_none() {
            self.settle_at_ms = Some(times.received_at_ms.saturating_add(settings.settle_within.get()));
        }
    }

    /// Whether it is known by another key than before, which is then a new answer.
    fn has_changed(&mut self, key: &str, before: Option<&str>) -> bool {
        let now = self.known_as(key);
        let changed = now.is_some() && now.as_deref() != before;
        if changed {
            self.revision += 1;
        }
        changed
    }

    fn subscribe(&mut self, asker: &str, settings: &IdentitySettings) -> Subscription {
        if asker.is_empty() {
            return Subscription::Nobody;
        }
        let (askers, asker) = match asker.strip_prefix("v:") {
            Some(visitor) => (&mut self.visitors, visitor),
            None => (&mut self.askers, asker),
        };
        match askers.binary_search_by(|it| it.as_str().cmp(asker)) {
            Ok(_) => Subscription::Standing,
            Err(_) if askers.len() >= settings.visitors_per_user => Subscription::Refused,
            Err(place) => {
                askers.insert(place, asker.to_owned());
                Subscription::New
            }
        }
    }

    fn tell_all(&self, key: &str, times: Times, except: Option<&str>, effects: &mut Effects) {
        let visitors = self.visitors.iter().map(|visitor| format!("v:{visitor}"));
        for asker in visitors.chain(self.askers.iter().cloned()).filter(|asker| Some(asker.as_str()) != except) {
            self.tell(&asker, key, times, effects);
        }
    }

    /// Tells by which key the lead is known, once that is decided.
    fn tell(&self, asker: &str, key: &str, times: Times, effects: &mut Effects) {
        if let Some(known_as) = self.known_as(key) {
            let (to, alias, revision) = (asker.to_owned(), key.to_owned(), self.revision);
            effects.send(times, Message::Resolved { to, alias, known_as, revision });
        }
    }

    /// Lets the lead know that the alias has more visitors than are told of changes.
    fn tell_refused(&mut self, key: &str, times: Times, effects: &mut Effects) {
        if self.refused.is_empty() {
            return;
        }
        if let Some(known_as) = self.known_as(key) {
            let (because, behavior_id) = (RefusedBecause::VisitorsPerUser, std::mem::take(&mut self.refused));
            effects.send(times, Message::Refused { known_as: Arc::from(known_as), because, behavior_id });
        }
    }

    /// The key that the lead of the alias is known by; `None` while that is not decided.
    fn known_as(&self, key: &str) -> Option<String> {
        if let Some(link) = &self.link {
            return Some(key_of_email(&link.email));
        }
        if self.crowded {
            return Some(key.to_owned());
        }
        let Some(first) = self.beside.first() else { return self.settled.then(|| key.to_owned()) };
        let known: Option<Vec<&str>> = self.beside.iter().map(Beside::known_as).collect();
        let one = known?.iter().all(|it| Some(*it) == first.known_as());
        if one { first.known_as().map(str::to_owned) } else { Some(key.to_owned()) }
    }

    fn decide(&mut self, history: &mut History, key: &str, effects: &mut Effects) {
        let known_as = self.known_as(key);
        let shared = is_phone(key) && self.has_names() && known_as.as_deref() == Some(key);
        if shared
            && !self.told_shared
            && let Some(event) = history.events.last()
        {
            self.told_shared = true;
            let (because, behavior_id) = (RefusedBecause::SharedLine, event.event_id.to_vec());
            effects.send(event.times(), Message::Refused { known_as: Arc::from(key), because, behavior_id });
        }
        let people = vec![known_as.map(Arc::from); history.events.len()];
        history.assign(&people, effects);
    }
}

/// Whether somebody will be told of changes.
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
        let asker = if anonymous_id.is_empty() { String::new() } else { format!("v:{anonymous_id}") };
        let named = if email.is_empty() { String::new() } else { format!("e:{email}") };
        let times = Times { occurred_at_ms: event.1, ..AT };
        let mut effects = Effects::default();
        let (history, settings) = (&mut History::default(), &IdentitySettings::default());
        user.seen(history, "u:1", (&asker, &named), (&[event.0; 16], times), settings, &mut effects);
        effects.messages.into_iter().map(|(_, message)| message).collect()
    }

    fn settle(user: &mut User, due_at: i64, fired_at: i64) -> Vec<Message> {
        let at = (Timestamp::from_millis(due_at), Timestamp::from_millis(fired_at));
        let mut effects = Effects::default();
        user.settle(&mut History::default(), "u:1", at, &IdentitySettings::default(), &mut effects);
        effects.messages.into_iter().map(|(_, message)| message).collect()
    }

    fn told(anonymous_id: &str, email: &str, revision: u64) -> Message {
        let known_as = if email.is_empty() { "u:1".to_owned() } else { format!("e:{email}") };
        Message::Resolved { to: format!("v:{anonymous_id}"), alias: "u:1".to_owned(), known_as, revision }
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
