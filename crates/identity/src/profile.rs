//! What the events of a lead say about the person.

use std::collections::BTreeMap;

use tasuki_wire::v1;

use crate::IdentitySettings;
use crate::history::Order;

/// The attribute by which a lead without an address is found. It stays, however many others there are.
const USER_ID: &str = "user_id";

/// An event said what an attribute of the person is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Statement {
    #[prost(string, tag = "1")]
    pub(crate) attribute: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) event_id: Vec<u8>,
    #[prost(sint64, tag = "4")]
    pub(crate) occurred_at_ms: i64,
    #[prost(string, tag = "5")]
    source: String,
    /// Since it occurred.
    #[prost(sint64, tag = "6")]
    received_after_ms: i64,
}

impl Statement {
    fn place(&self) -> (&str, i64, &[u8]) {
        (&self.attribute, self.occurred_at_ms, &self.event_id)
    }
}

/// Of each attribute the most recent value; source and time are those of the first event that said so since another
/// value was said. So saying the same again changes nothing.
pub(crate) fn attributes(statements: &[Statement]) -> BTreeMap<String, v1::AttributeValue> {
    let value = |said: &Statement| v1::AttributeValue {
        value: said.value.clone(),
        source: said.source.clone(),
        occurred_at_ms: said.occurred_at_ms,
    };
    shown(statements).map(|said| (said.attribute.clone(), value(said))).collect()
}

/// The latest receipt of what an attribute is taken from.
pub(crate) fn received_at_ms(statements: &[Statement]) -> Option<i64> {
    shown(statements).map(|said| said.occurred_at_ms.saturating_add(said.received_after_ms)).max()
}

/// Of each attribute the statement it is taken from.
fn shown(statements: &[Statement]) -> impl Iterator<Item = &Statement> {
    statements.chunk_by(|a, b| a.attribute == b.attribute).filter_map(|said| {
        let run = said.chunk_by(|a, b| a.value == b.value).next_back();
        run.and_then(<[Statement]>::first)
    })
}

/// Takes in what an event says: statements stand sorted by attribute, then in the order they were said. Whether some had
/// to be dropped that a retraction may bring back.
pub(crate) fn hear(
    statements: &mut Vec<Statement>,
    order: Order<'_>,
    behavior: &v1::BehaviorRecord,
    settings: &IdentitySettings,
) -> bool {
    let mut dropped = false;
    for statement in said_by(order, behavior, settings.bytes_per_value) {
        let place = statements.partition_point(|said| said.place() < statement.place());
        let attribute = statement.attribute.clone();
        statements.insert(place, statement);
        dropped |= trim_values(statements, &attribute, settings.values_per_attribute);
    }
    let names = statements.chunk_by(|a, b| a.attribute == b.attribute);
    let kept = names.take(settings.attributes_per_lead).map(<[Statement]>::len).sum();
    let beyond = statements.split_off(kept);
    let before = beyond.len();
    statements.extend(beyond.into_iter().filter(|said| said.attribute == USER_ID));
    dropped || statements.len() - kept < before
}

/// Drops what an attribute's values can spare: first from the inside of a run of equal values, whose ends say as
/// much, then the oldest.
fn trim_values(statements: &mut Vec<Statement>, attribute: &str, limit: usize) -> bool {
    let mut dropped = false;
    loop {
        let from = statements.partition_point(|said| said.attribute.as_str() < attribute);
        let said = &statements[from..];
        let said = &said[..said.partition_point(|it| it.attribute == attribute)];
        if said.len() <= limit {
            return dropped;
        }
        let inner = said.windows(3).position(|three| three.iter().all(|it| it.value == three[0].value));
        statements.remove(from + inner.map_or(0, |before| before + 1));
        dropped = true;
    }
}

/// What an event says about the person: its attributes, and the identifiers by which people look somebody up.
fn said_by(order: Order<'_>, behavior: &v1::BehaviorRecord, bytes_per_value: usize) -> Vec<Statement> {
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
    let received_at_ms = behavior.meta.as_ref().map_or(order.0, |meta| meta.received_at_ms);
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
            received_after_ms: received_at_ms.saturating_sub(order.0),
        })
        .collect()
}
