//! A lead: which events are attributed to it, and what they say about the person.

use std::collections::BTreeMap;

use tasuki_domain::{AccountId, Identifier};
use tasuki_wire::v1;

use crate::IdentitySettings;
use crate::account::FreeMail;
use crate::history::Order;

/// The attribute by which a lead without an address is found. It stays, however many others there are.
const USER_ID: &str = "user_id";

/// The state of a lead.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Lead {
    /// Of the last record on `activity`.
    #[prost(uint64, tag = "1")]
    pub(crate) version: u64,
    /// Key of the identifier the lead is known by.
    #[prost(string, tag = "2")]
    known_as: String,
    /// In the order they happened. An event stands here once for each home that claims it.
    #[prost(message, repeated, tag = "3")]
    attributed: Vec<Attributed>,
    /// The most recent of those that are no longer remembered.
    #[prost(message, optional, tag = "4")]
    forgotten: Option<Moment>,
    /// Sorted by attribute, then in the order they were said.
    #[prost(message, repeated, tag = "5")]
    statements: Vec<Statement>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Attributed {
    #[prost(bytes = "vec", tag = "1")]
    event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    occurred_at_ms: i64,
    /// Key of the home that claims it.
    #[prost(string, tag = "3")]
    home: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Moment {
    #[prost(bytes = "vec", tag = "1")]
    event_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    occurred_at_ms: i64,
}

/// An event said what an attribute of the person is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Statement {
    #[prost(string, tag = "1")]
    attribute: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "vec", tag = "3")]
    event_id: Vec<u8>,
    #[prost(sint64, tag = "4")]
    occurred_at_ms: i64,
    #[prost(string, tag = "5")]
    source: String,
}

/// What follows from a claim.
#[derive(Debug, PartialEq)]
pub(crate) enum Claim {
    /// The event is the lead's from now on.
    Attributed,
    /// It was already.
    Repeated,
    /// It is older than all that is remembered: it cannot be told whether it was.
    TooOld,
}

/// What follows from a release.
#[derive(Debug, PartialEq)]
pub(crate) enum Release {
    /// The event is not the lead's any more.
    Retracted,
    /// Another home claims it still.
    StillClaimed,
    /// It never was.
    Unknown,
}

impl Attributed {
    fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }
}

impl Moment {
    fn order(&self) -> Order<'_> {
        (self.occurred_at_ms, &self.event_id)
    }
}

impl Statement {
    fn place(&self) -> (&str, i64, &[u8]) {
        (&self.attribute, self.occurred_at_ms, &self.event_id)
    }
}

impl Lead {
    /// Nothing needs keeping.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A home says that the event is this lead's.
    pub(crate) fn claim(
        &mut self,
        order: Order<'_>,
        home: &str,
        known_as: &str,
        behavior: &v1::BehaviorRecord,
        settings: &IdentitySettings,
    ) -> Claim {
        let mut holders = self.attributed.iter().filter(|it| it.event_id == order.1).peekable();
        let is_first = holders.peek().is_none();
        if holders.any(|it| it.home == home) {
            return Claim::Repeated;
        }
        let full = self.attributed.len() >= settings.events_per_lead;
        if full && self.attributed.first().is_none_or(|oldest| order < oldest.order()) {
            return Claim::TooOld;
        }
        known_as.clone_into(&mut self.known_as);
        let entry = Attributed { event_id: order.1.to_vec(), occurred_at_ms: order.0, home: home.to_owned() };
        let place = self.attributed.partition_point(|it| (it.order(), it.home.as_str()) < (order, home));
        self.attributed.insert(place, entry);
        if full {
            let oldest = self.attributed.remove(0);
            self.forgotten = Some(Moment { event_id: oldest.event_id, occurred_at_ms: oldest.occurred_at_ms });
        }
        if !is_first {
            return Claim::Repeated;
        }
        self.hear(order, behavior, settings);
        Claim::Attributed
    }

    /// A home says that the event is not this lead's after all.
    pub(crate) fn release(&mut self, order: Order<'_>, home: &str) -> Release {
        let Some(place) = self.attributed.iter().position(|it| it.event_id == order.1 && it.home == home) else {
            let was_forgotten = self.forgotten.as_ref().is_some_and(|newest| order <= newest.order());
            return if was_forgotten { self.retract(order.1) } else { Release::Unknown };
        };
        self.attributed.remove(place);
        if self.attributed.iter().any(|it| it.event_id == order.1) {
            return Release::StillClaimed;
        }
        self.retract(order.1)
    }

    fn retract(&mut self, event_id: &[u8]) -> Release {
        self.statements.retain(|statement| statement.event_id != event_id);
        Release::Retracted
    }

    /// Who the lead is, from the events it has: nobody when it has none.
    pub(crate) fn profile(&self, free_mail: &FreeMail) -> v1::Profile {
        if self.attributed.is_empty() {
            return v1::Profile::default();
        }
        let address = match Identifier::from_key(&self.known_as) {
            Ok(Identifier::Email(address)) => Some(address),
            Ok(Identifier::User(_) | Identifier::Anonymous(_)) | Err(_) => None,
        };
        let account = address.as_ref().and_then(|address| free_mail.account(address));
        v1::Profile {
            email: address.map_or_else(String::new, |address| address.as_str().to_owned()),
            account_id: account.as_ref().map_or("", AccountId::as_str).to_owned(),
            attributes: self.attributes(),
        }
    }

    /// Of each attribute the most recent value; source and time are those of the first event that said so since another
    /// value was said. So saying the same again changes nothing.
    fn attributes(&self) -> BTreeMap<String, v1::AttributeValue> {
        let mut attributes = BTreeMap::new();
        for said in self.statements.chunk_by(|a, b| a.attribute == b.attribute) {
            let run = said.chunk_by(|a, b| a.value == b.value).next_back();
            if let Some(first) = run.and_then(<[Statement]>::first) {
                let value = v1::AttributeValue {
                    value: first.value.clone(),
                    source: first.source.clone(),
                    occurred_at_ms: first.occurred_at_ms,
                };
                attributes.insert(first.attribute.clone(), value);
            }
        }
        attributes
    }

    fn hear(&mut self, order: Order<'_>, behavior: &v1::BehaviorRecord, settings: &IdentitySettings) {
        for statement in statements(order, behavior, settings.bytes_per_value) {
            let place = self.statements.partition_point(|said| said.place() < statement.place());
            let attribute = statement.attribute.clone();
            self.statements.insert(place, statement);
            self.trim_values(&attribute, settings.values_per_attribute);
        }
        let names = self.statements.chunk_by(|a, b| a.attribute == b.attribute);
        let kept = names.take(settings.attributes_per_lead).map(<[Statement]>::len).sum();
        let beyond = self.statements.split_off(kept);
        self.statements.extend(beyond.into_iter().filter(|said| said.attribute == USER_ID));
    }

    /// Drops what an attribute's values can spare: first from the inside of a run of equal values, whose ends say as
    /// much, then the oldest.
    fn trim_values(&mut self, attribute: &str, limit: usize) {
        loop {
            let from = self.statements.partition_point(|said| said.attribute.as_str() < attribute);
            let said = &self.statements[from..];
            let said = &said[..said.partition_point(|it| it.attribute == attribute)];
            if said.len() <= limit {
                return;
            }
            let inner = said.windows(3).position(|three| three.iter().all(|it| it.value == three[0].value));
            self.statements.remove(from + inner.map_or(0, |before| before + 1));
        }
    }
}

/// What an event says about the person: its attributes, and the identifiers by which people look somebody up.
fn statements(order: Order<'_>, behavior: &v1::BehaviorRecord, bytes_per_value: usize) -> Vec<Statement> {
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    if let Some(identifiers) = &behavior.identifiers {
        values.insert("phone", &identifiers.phone);
        values.insert("crm_id", &identifiers.crm_id);
    }
    values.extend(behavior.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if let Some(v1::behavior_record::Event::LeadIdentified(identified)) = &behavior.event {
        values.extend(identified.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    // Last: the id that decided whose the event is counts for more than what somebody filed under the same name.
    if let Some(identifiers) = behavior.identifiers.as_ref().filter(|them| !them.user_id.is_empty()) {
        values.insert(USER_ID, &identifiers.user_id);
    }
    let source = behavior.origin.as_ref().map_or("", |origin| origin.source.as_str());
    values
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(attribute, value)| Statement {
            attribute: attribute.to_owned(),
            value: value[..value.floor_char_boundary(bytes_per_value)].to_owned(),
            event_id: order.1.to_vec(),
            occurred_at_ms: order.0,
            source: source.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN_AS: &str = "e:ana@acme.example";

    fn said(attributes: &[(&str, &str)]) -> v1::BehaviorRecord {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        v1::BehaviorRecord {
            identifiers: Some(v1::Identifiers { phone: "+81 3".to_owned(), ..v1::Identifiers::default() }),
            origin: Some(v1::Origin { source: "import".to_owned(), ..v1::Origin::default() }),
            event: Some(v1::behavior_record::Event::LeadIdentified(v1::LeadIdentified { attributes })),
            ..v1::BehaviorRecord::default()
        }
    }

    fn values(lead: &Lead, attribute: &str) -> Vec<(String, i64)> {
        let said = lead.statements.iter().filter(|said| said.attribute == attribute);
        said.map(|said| (said.value.clone(), said.occurred_at_ms)).collect()
    }

    #[test]
    fn an_event_that_two_homes_claim_is_retracted_when_both_have_released_it() {
        let (mut lead, settings) = (Lead::default(), IdentitySettings::default());
        let order = (1, [7; 16].as_slice());
        let mut claim = |home| lead.claim(order, home, KNOWN_AS, &said(&[]), &settings);
        assert_eq!([claim("v:1"), claim("u:1"), claim("v:1")], [Claim::Attributed, Claim::Repeated, Claim::Repeated]);
        assert_eq!(
            ["v:1", "v:1", "u:1", "u:1"].map(|home| lead.release(order, home)),
            [Release::StillClaimed, Release::Unknown, Release::Retracted, Release::Unknown]
        );
        assert_eq!(lead.profile(&FreeMail::built_in()), v1::Profile::default());
    }

    #[test]
    fn an_event_that_is_not_remembered_any_more_can_still_be_retracted() {
        let mut lead = Lead::default();
        let settings = IdentitySettings { events_per_lead: 1, ..IdentitySettings::default() };
        let (first, second, never) = ((1, [1; 16]), (2, [2; 16]), (3, [3; 16]));
        for (at, id) in [first, second] {
            lead.claim((at, &id), "v:1", KNOWN_AS, &said(&[]), &settings);
        }
        assert_eq!(
            [first, never].map(|(at, id)| lead.release((at, &id), "v:1")),
            [Release::Retracted, Release::Unknown]
        );
    }

    #[test]
    fn of_many_equal_values_the_first_and_the_last_stay() {
        let mut lead = Lead::default();
        let settings = IdentitySettings { values_per_attribute: 3, ..IdentitySettings::default() };
        for (n, title) in [(1, "CTO"), (2, "CTO"), (3, "CTO"), (4, "CTO"), (5, "CEO"), (6, "CFO"), (7, "CFO")] {
            let id = [u8::try_from(n).unwrap(); 16];
            lead.claim((n, id.as_slice()), "v:1", KNOWN_AS, &said(&[("title", title)]), &settings);
            if n == 4 {
                assert_eq!(
                    values(&lead, "title"),
                    [("CTO".to_owned(), 1), ("CTO".to_owned(), 3), ("CTO".to_owned(), 4)]
                );
            }
        }
        assert_eq!(values(&lead, "title"), [("CEO".to_owned(), 5), ("CFO".to_owned(), 6), ("CFO".to_owned(), 7)]);
    }

    #[test]
    fn what_a_form_says_about_the_person_is_in_the_profile_until_the_form_is_retracted() {
        let (mut lead, settings) = (Lead::default(), IdentitySettings::default());
        let form = v1::FormSubmitted { form: "demo-request".to_owned() };
        let behavior = v1::BehaviorRecord {
            origin: Some(v1::Origin { source: "website".to_owned(), ..v1::Origin::default() }),
            attributes: [("company", "Acme"), ("name", "Ana")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            event: Some(v1::behavior_record::Event::FormSubmitted(form)),
            ..v1::BehaviorRecord::default()
        };
        let (page, submitted) = ((1, [6; 16]), (2, [7; 16]));
        lead.claim((page.0, &page.1), "v:1", KNOWN_AS, &v1::BehaviorRecord::default(), &settings);
        let before = lead.profile(&FreeMail::built_in());
        lead.claim((submitted.0, &submitted.1), "v:1", KNOWN_AS, &behavior, &settings);
        let value = |value: &str| v1::AttributeValue {
            value: value.to_owned(),
            source: "website".to_owned(),
            occurred_at_ms: 2,
        };
        let expected = v1::Profile {
            attributes: [("company".to_owned(), value("Acme")), ("name".to_owned(), value("Ana"))].into(),
            ..before.clone()
        };
        assert_eq!(lead.profile(&FreeMail::built_in()), expected);
        lead.release((submitted.0, &submitted.1), "v:1");
        assert_eq!(lead.profile(&FreeMail::built_in()), before);
    }

    #[test]
    fn a_profile_is_bounded_in_names_and_values() {
        let mut lead = Lead::default();
        let settings = IdentitySettings { attributes_per_lead: 2, bytes_per_value: 4, ..IdentitySettings::default() };
        let behavior = said(&[("company", "東京商会"), ("title", "CTO")]);
        lead.claim((1, [7; 16].as_slice()), "v:1", KNOWN_AS, &behavior, &settings);
        let value = |value: &str| v1::AttributeValue {
            value: value.to_owned(),
            source: "import".to_owned(),
            occurred_at_ms: 1,
        };
        assert_eq!(
            lead.profile(&FreeMail::built_in()),
            v1::Profile {
                email: "ana@acme.example".to_owned(),
                account_id: "acme.example".to_owned(),
                attributes: [("company".to_owned(), value("東")), ("phone".to_owned(), value("+81 "))].into(),
            }
        );
    }

    #[test]
    fn the_user_id_stays_beyond_the_bound_and_before_an_attribute_of_its_name() {
        let mut lead = Lead::default();
        let settings = IdentitySettings { attributes_per_lead: 1, ..IdentitySettings::default() };
        let mut behavior = said(&[("company", "Acme"), ("title", "CTO"), ("user_id", "0"), ("zone", "jp")]);
        behavior.identifiers.get_or_insert_default().user_id = "4711".to_owned();
        lead.claim((1, [7; 16].as_slice()), "v:1", "u:4711", &behavior, &settings);
        let attributes = lead.profile(&FreeMail::built_in()).attributes;
        let values: Vec<_> = attributes.iter().map(|(name, it)| (name.as_str(), it.value.as_str())).collect();
        assert_eq!(values, [("company", "Acme"), ("user_id", "4711")]);
    }
}
