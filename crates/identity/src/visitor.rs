//! A visitor: a device or browser, and the people identified on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tasuki_wire::v1::RefusedBecause;

use crate::IdentitySettings;
use crate::effect::{Effects, Message, Times};
use crate::history::{History, KeptEvent, Order, Person};
use crate::metrics::Metric;
use crate::user::{Link, key_of_email};

/// What a visitor's state holds beside its events.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Visitor {
    /// Identifications made by events that are forgotten, in the order they happened.
    #[prost(message, repeated, tag = "1")]
    marks: Vec<Mark>,
    /// The oldest marks were dropped: who had the device before those that are left is not known any more.
    #[prost(bool, tag = "2")]
    marks_dropped: bool,
    /// The aliases named by events or marks as the strongest identifier, in order.
    #[prost(message, repeated, tag = "3")]
    users: Vec<KnownUser>,
}

/// Somebody was identified on the device.
#[derive(Clone, PartialEq, prost::Message)]
struct Mark {
    #[prost(bytes = "vec", tag = "1")]
    event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    occurred_at_ms: i64,
    #[prost(string, tag = "3")]
    user_id: String,
    #[prost(string, tag = "4")]
    email: String,
    #[prost(string, tag = "5")]
    crm_id: String,
    #[prost(string, tag = "6")]
    phone: String,
}

/// An alias named on this device: one of its three fields.
#[derive(Clone, PartialEq, prost::Message)]
struct KnownUser {
    #[prost(string, tag = "1")]
    user_id: String,
    /// The earliest link to an address among the events of this device.
    #[prost(message, optional, tag = "2")]
    link: Option<Link>,
    /// What the alias itself answered.
    #[prost(message, optional, tag = "3")]
    answer: Option<Answer>,
    #[prost(string, tag = "4")]
    crm_id: String,
    #[prost(string, tag = "5")]
    phone: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(uint64, tag = "1")]
    revision: u64,
    /// Empty: there is none.
    #[prost(string, tag = "2")]
    email: String,
    /// The key of a lead that is known neither by an address nor by the alias.
    #[prost(string, tag = "3")]
    known_as: String,
}

impl Mark {
    fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }

    fn person(&self) -> Option<Person<'_>> {
        Person::named(&self.user_id, &self.crm_id, &self.email, &self.phone)
    }
}

impl KnownUser {
    fn of(person: Person<'_>) -> Self {
        let (user_id, crm_id, _, phone) = fields(person);
        Self { user_id, crm_id, phone, ..Self::default() }
    }

    fn person(&self) -> Person<'_> {
        Person::named(&self.user_id, &self.crm_id, "", &self.phone).unwrap_or(Person::User(""))
    }

    /// Key of the identifier the alias is known by as a lead; `None` while it is not decided. The alias's own answer
    /// counts, but that it knows no address does not stand against an address seen here: it will hear of it.
    fn known_as(&self) -> Option<String> {
        match (&self.answer, &self.link) {
            (Some(answer), _) if !answer.email.is_empty() => Some(key_of_email(&answer.email)),
            (_, Some(link)) => Some(key_of_email(&link.email)),
            (Some(answer), None) if !answer.known_as.is_empty() => Some(answer.known_as.clone()),
            (Some(_), None) => Some(self.person().key()),
            (None, None) => None,
        }
    }
}

/// User id, CRM id, address and phone number, of which one is set.
fn fields(person: Person<'_>) -> (String, String, String, String) {
    let mut fields = <(String, String, String, String)>::default();
    match person {
        Person::User(id) => id.clone_into(&mut fields.0),
        Person::Crm(id) => id.clone_into(&mut fields.1),
        Person::Email(address) => address.clone_into(&mut fields.2),
        Person::Phone(number) => number.clone_into(&mut fields.3),
    }
    fields
}

/// Who has the device, after somebody was identified. A phone number may be an office's: it does not take the device
/// from anybody who is known by more.
fn next<'p>(current: Option<Person<'p>>, identified: Option<Person<'p>>) -> Option<Person<'p>> {
    match (current, identified) {
        (Some(Person::User(_) | Person::Crm(_) | Person::Email(_)), Some(Person::Phone(_))) | (_, None) => current,
        (_, Some(_)) => identified,
    }
}

impl Visitor {
    /// Nothing needs keeping.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// An event of this device arrived.
    pub(crate) fn arrived(
        &mut self,
        history: &mut History,
        anonymous_id: &str,
        event: KeptEvent,
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        let id = event.event_id;
        if history.find(id).is_some() {
            effects.count(Metric::Repeated);
            return;
        }
        self.ask(anonymous_id, &event, history, effects);
        history.insert(event);
        self.decide(history, effects);
        if history.find(id).is_some_and(|kept| kept.claimed_for.is_empty()) {
            effects.count(Metric::Parked);
        }
        let gone = history.trim(settings, effects);
        self.forget(&gone, history, settings, effects);
    }

    /// An alias answered by which key its lead is known.
    pub(crate) fn resolved(
        &mut self,
        history: &mut History,
        (alias, known_as, revision): (&str, &str, u64),
        effects: &mut Effects,
    ) {
        let Some(known) = self.users.iter_mut().find(|known| known.person().key() == alias) else { return };
        if known.answer.as_ref().is_some_and(|before| before.revision >= revision) {
            return;
        }
        let email = known_as.strip_prefix("e:").unwrap_or_default().to_owned();
        let other = if email.is_empty() && known_as != alias { known_as } else { "" };
        known.answer = Some(Answer { revision, email, known_as: other.to_owned() });
        self.decide(history, effects);
    }

    /// The time of some events is over.
    pub(crate) fn expire(
        &mut self,
        history: &mut History,
        now_ms: i64,
        settings: &IdentitySettings,
        effects: &mut Effects,
    ) {
        let gone = history.expire(now_ms, settings, effects);
        self.forget(&gone, history, settings, effects);
    }

    /// Lets the aliases of an event know, if there is news for them: this device, for the strongest; or what it was named
    /// beside.
    fn ask(&mut self, anonymous_id: &str, event: &KeptEvent, history: &History, effects: &mut Effects) {
        let alias = event.person().filter(|person| person.is_alias());
        if let Some(alias) = alias {
            let (place, is_new) = match self.place_of(alias) {
                Ok(place) => (place, false),
                Err(place) => {
                    self.users.insert(place, KnownUser::of(alias));
                    (place, true)
                }
            };
            let link = event.links().find(|(of, _)| *of == alias);
            let improved = match Link::of(event) {
                Some(link) => Link::improve(&mut self.users[place].link, link),
                None => link.is_some_and(|link| history.is_news(event, link)),
            };
            if is_new || improved {
                let named = link.map_or_else(String::new, |(_, named)| named.key());
                let asker = format!("v:{anonymous_id}");
                effects.send(event.times(), Message::Seen { to: alias.key(), asker, named });
            }
        }
        for (other, named) in event.links().filter(|link| Some(link.0) != alias) {
            if history.is_news(event, (other, named)) {
                let message = Message::Seen { to: other.key(), asker: String::new(), named: named.key() };
                effects.send(event.times(), message);
            }
        }
    }

    fn place_of(&self, alias: Person<'_>) -> Result<usize, usize> {
        self.users.binary_search_by(|known| known.person().cmp(&alias))
    }

    fn decide(&self, history: &mut History, effects: &mut Effects) {
        let people = self.people(&history.events);
        history.assign(&people, effects);
    }

    /// Whose each event is: its own person's, else the last person's identified at or before it, else the first one's.
    fn people(&self, events: &[KeptEvent]) -> Vec<Option<Arc<str>>> {
        let first_mark = self.marks.first().map(|mark| (mark.order(), mark.person()));
        let first_event = events.iter().find(|event| event.person().is_some());
        let first = first_mark
            .into_iter()
            .chain(first_event.map(|event| (event.order(), event.person())))
            .min_by_key(|it| it.0);
        let mut current = if self.marks_dropped { None } else { first.and_then(|(_, person)| person) };

        let mut marks = self.marks.iter().peekable();
        let mut people = Vec::with_capacity(events.len());
        // The lead of the one before: events of one person follow each other.
        let mut known: Option<(Person<'_>, Option<Arc<str>>)> = None;
        for event in events {
            while let Some(mark) = marks.next_if(|mark| mark.order() <= event.order()) {
                current = next(current, mark.person());
            }
            current = next(current, event.person());
            people.push(match (current, &known) {
                (None, _) => None,
                (Some(person), Some((before, lead))) if person == *before => lead.clone(),
                (Some(person), _) => {
                    let lead = self.lead_of(person);
                    known.insert((person, lead.map(Arc::from))).1.clone()
                }
            });
        }
        people
    }

    /// By which key the lead of a person is known, if that is decided.
    fn lead_of(&self, person: Person<'_>) -> Option<String> {
        match person {
            Person::Email(email) => Some(key_of_email(email)),
            alias @ (Person::User(_) | Person::Crm(_) | Person::Phone(_)) => {
                self.place_of(alias).ok().and_then(|place| self.users[place].known_as())
            }
        }
    }

    /// Keeps of forgotten events who was identified, and drops user ids that nothing names any more.
    fn forget(&mut self, gone: &[KeptEvent], history: &History, settings: &IdentitySettings, effects: &mut Effects) {
        let Some(received_at_ms) = gone.iter().map(|event| event.received_at_ms).max() else { return };
        for event in gone {
            let Some(person) = event.person() else { continue };
            let place = self.marks.partition_point(|mark| mark.order() < event.order());
            if self.marks.get(place).is_some_and(|mark| mark.order() == event.order()) {
                continue;
            }
            let (user_id, crm_id, email, phone) = fields(person);
            let (event_id, occurred_at_ms) = (event.event_id.to_vec(), event.occurred_at_ms);
            self.marks.insert(place, Mark { event_id, occurred_at_ms, user_id, crm_id, email, phone });
        }
        self.join_marks(&history.events);
        while self.marks.len() > settings.identifications_per_visitor {
            let mark = self.marks.remove(0);
            self.marks_dropped = true;
            effects.count(Metric::IdentificationsPerVisitor);
            let known_as = mark.person().and_then(|person| self.lead_of(person));
            if let Some(known_as) = known_as {
                let (because, behavior_id) = (RefusedBecause::PeoplePerVisitor, mark.event_id.clone());
                let known_as = Arc::from(known_as);
                let times = Times { occurred_at_ms: mark.occurred_at_ms, received_at_ms };
                effects.send(times, Message::Refused { known_as, because, behavior_id });
            }
        }
        let named: BTreeSet<Person<'_>> = (self.marks.iter().filter_map(Mark::person))
            .chain(history.events.iter().filter_map(KeptEvent::person))
            .collect();
        self.users.retain(|known| named.contains(&known.person()));
    }

    /// Of a run of identifications of one person, the first and the last say as much as all of them.
    fn join_marks(&mut self, events: &[KeptEvent]) {
        if self.marks.is_empty() {
            return;
        }
        let mut line: Vec<(Order<'_>, Option<Person<'_>>, Option<usize>)> =
            self.marks.iter().enumerate().map(|(index, mark)| (mark.order(), mark.person(), Some(index))).collect();
        let named = events.iter().filter(|event| event.person().is_some());
        line.extend(named.map(|event| (event.order(), event.person(), None)));
        line.sort_by_key(|it| it.0);
        let inner: BTreeSet<usize> = line
            .windows(3)
            .filter(|three| three[0].1 == three[1].1 && three[1].1 == three[2].1)
            .filter_map(|three| three[1].2)
            .collect();
        let mut index = 0;
        self.marks.retain(|_| {
            index += 1;
            !inner.contains(&(index - 1))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: u8, person: &str) -> Mark {
        let (user_id, email) = if person.contains('@') { ("", person) } else { (person, "") };
        Mark {
            event_id: vec![n; 16],
            occurred_at_ms: i64::from(n),
            user_id: user_id.to_owned(),
            email: email.to_owned(),
            ..Mark::default()
        }
    }

    fn event(n: u8, user_id: &str) -> KeptEvent {
        KeptEvent { event_id: [n; 16], occurred_at_ms: i64::from(n), user_id: user_id.into(), ..KeptEvent::default() }
    }

    #[test]
    fn of_a_run_of_one_person_the_first_and_the_last_identification_stay() {
        let marks = [mark(1, "1"), mark(2, "1"), mark(4, "1"), mark(5, "1"), mark(7, "a@x.example"), mark(8, "1")];
        let mut visitor = Visitor { marks: marks.into(), ..Visitor::default() };
        // Between the second and the third somebody else had the device.
        visitor.join_marks(&[event(3, "2"), event(6, "1"), event(9, "1")]);
        let kept: Vec<u8> = visitor.marks.iter().map(|mark| mark.event_id[0]).collect();
        assert_eq!(kept, [1, 2, 4, 7, 8]);
    }

    #[test]
    fn user_ids_that_nothing_names_any_more_are_forgotten() {
        let settings = IdentitySettings { identifications_per_visitor: 1, ..IdentitySettings::default() };
        let mut visitor = Visitor::default();
        let mut effects = Effects::default();
        let events = [event(1, "1"), event(2, "2"), event(3, "3")];
        events.iter().for_each(|event| visitor.ask("tablet", event, &History::default(), &mut effects));
        let history = History { events: vec![event(3, "3")], ..History::default() };
        visitor.forget(&events[..2], &history, &settings, &mut effects);
        let users: Vec<&str> = visitor.users.iter().map(|known| known.user_id.as_str()).collect();
        assert_eq!((users, visitor.marks_dropped), (vec!["2", "3"], true));
        assert_eq!(effects.counts, [Metric::IdentificationsPerVisitor]);
    }

    #[test]
    fn an_older_answer_never_wins() {
        let mut history = History { events: vec![event(1, "1")], ..History::default() };
        let mut visitor = Visitor::default();
        let mut effects = Effects::default();
        visitor.ask("tablet", &event(1, "1"), &History::default(), &mut effects);
        for (revision, email) in [(2, "b@x.example"), (1, "a@x.example"), (3, "c@x.example")] {
            visitor.resolved(&mut history, ("u:1", &format!("e:{email}"), revision), &mut effects);
        }
        let claims: Vec<&str> = (effects.messages.iter())
            .filter_map(|(_, message)| match message {
                Message::Claimed { known_as, .. } => Some(&**known_as),
                Message::Seen { .. }
                | Message::Resolved { .. }
                | Message::Refused { .. }
                | Message::Released { .. } => None,
            })
            .collect();
        assert_eq!(claims, ["e:b@x.example", "e:c@x.example"]);
    }
}
