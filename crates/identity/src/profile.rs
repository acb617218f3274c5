//! What the events of a lead say about the person, and which of several values counts.
//!
//! The rule of an attribute picks one statement out of the set of them. Beyond a bound, statements are dropped that the
//! rule can spare: of those that are left, read in the order they were said, it picks the same one. What comes late and
//! what is taken back may need them again; then the events themselves are read once more.

use std::collections::{BTreeMap, BTreeSet};

use tasuki_playbook::profile_rules::{ProfileRules, Survivor};
use tasuki_wire::v1;

use crate::IdentitySettings;
use crate::history::Order;

/// The attributes by which a lead without an address is found. They stay, however many others there are.
const USER_ID: &str = "user_id";
const CRM_ID: &str = "crm_id";
const PHONE: &str = "phone";

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

/// Of each attribute the value that counts; source and time are those of the first event that said so since another
/// value counted. So saying the same again changes nothing.
pub(crate) fn attributes(statements: &[Statement], rules: &ProfileRules) -> BTreeMap<String, v1::AttributeValue> {
    let value = |said: &Statement| v1::AttributeValue {
        value: said.value.clone(),
        source: said.source.clone(),
        occurred_at_ms: said.occurred_at_ms,
    };
    shown(statements, rules).map(|said| (said.attribute.clone(), value(said))).collect()
}

/// The latest receipt of what an attribute is taken from.
pub(crate) fn received_at_ms(statements: &[Statement], rules: &ProfileRules) -> Option<i64> {
    shown(statements, rules).map(|said| said.occurred_at_ms.saturating_add(said.received_after_ms)).max()
}

/// Of each attribute the statement it is taken from.
fn shown<'s>(statements: &'s [Statement], rules: &'s ProfileRules) -> impl Iterator<Item = &'s Statement> {
    statements.chunk_by(|a, b| a.attribute == b.attribute).filter_map(|said| survivor(said, rules))
}

/// Which of the statements about one attribute counts.
fn survivor<'s>(said: &'s [Statement], rules: &ProfileRules) -> Option<&'s Statement> {
    let first = said.first()?;
    let rule = rules.of(&first.attribute);
    if *rule == Survivor::First {
        return Some(first);
    }
    let most = said.iter().map(|it| weight(it, rule)).max()?;
    let mut counting = said.iter().rev().filter(|it| weight(it, rule) == most).peekable();
    let latest = *counting.peek()?;
    counting.take_while(|it| it.value == latest.value).last()
}

/// How much a statement counts under a rule; of equal ones the most recent does.
fn weight(said: &Statement, rule: &Survivor) -> usize {
    match rule {
        Survivor::MostRecent | Survivor::First => 0,
        Survivor::MostTrusted(sources) => {
            sources.iter().position(|source| *source == said.source).map_or(0, |place| sources.len() - place)
        }
        Survivor::LongestList => items(&said.value),
    }
}

/// How many different items a list has: a JSON array, as trackers send it, perhaps cut off at its end; else what stands
/// between separators that forms and systems use.
fn items(value: &str) -> usize {
    let value = value.trim();
    let items: BTreeSet<&str> = match value.strip_prefix('[') {
        Some(array) => elements(array.strip_suffix(']').unwrap_or(array)),
        None => value.split([',', ';', '|', '、', '\n']).map(str::trim).collect(),
    };
    items.iter().filter(|item| !item.is_empty()).count()
}

/// What stands between the commas of an array, its own brackets left out.
fn elements(array: &str) -> BTreeSet<&str> {
    let (mut items, mut from, mut depth) = (BTreeSet::new(), 0, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for (at, byte) in array.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                items.insert(array[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    items.insert(array[from..].trim());
    items
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
        dropped |= trim_values(statements, &attribute, settings);
    }
    let names = statements.chunk_by(|a, b| a.attribute == b.attribute);
    let kept = names.take(settings.attributes_per_lead).map(<[Statement]>::len).sum();
    let beyond = statements.split_off(kept);
    let before = beyond.len();
    statements.extend(beyond.into_iter().filter(|said| [USER_ID, CRM_ID, PHONE].contains(&said.attribute.as_str())));
    dropped || statements.len() - kept < before
}

/// Whether what an event says stands before what was said later about the same: then what was dropped in between may
/// have to be heard again.
pub(crate) fn is_late(statements: &[Statement], event_id: &[u8]) -> bool {
    let mut of_attributes = statements.chunk_by(|a, b| a.attribute == b.attribute);
    of_attributes.any(|said| said.iter().rev().skip(1).any(|it| it.event_id == event_id))
}

/// Drops what an attribute's values can spare.
fn trim_values(statements: &mut Vec<Statement>, attribute: &str, settings: &IdentitySettings) -> bool {
    let mut dropped = false;
    loop {
        let from = statements.partition_point(|said| said.attribute.as_str() < attribute);
        let said = &statements[from..];
        let said = &said[..said.partition_point(|it| it.attribute == attribute)];
        if said.len() <= settings.values_per_attribute {
            return dropped;
        }
        statements.remove(from + spare(said, settings.profile_rules.of(attribute)));
        dropped = true;
    }
}

/// Which of the statements about one attribute its rule needs least. The first counts: the last. Else: first the oldest
/// of those that count least; where all count the same, one from the inside of a run of equal values, whose ends say as
/// much, and then the oldest.
fn spare(said: &[Statement], rule: &Survivor) -> usize {
    if *rule == Survivor::First {
        return said.len().saturating_sub(1);
    }
    let weights: Vec<usize> = said.iter().map(|it| weight(it, rule)).collect();
    let least = weights.iter().min().copied().unwrap_or(0);
    if weights.iter().any(|weight| *weight > least) {
        return weights.iter().position(|weight| *weight == least).unwrap_or(0);
    }
    let inner = said.windows(3).position(|three| three.iter().all(|it| it.value == three[0].value));
    inner.map_or(0, |before| before + 1)
}

/// What an event says about the person: its attributes, and the identifiers by which people look somebody up.
fn said_by(order: Order<'_>, behavior: &v1::BehaviorRecord, bytes_per_value: usize) -> Vec<Statement> {
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    if let Some(identifiers) = &behavior.identifiers {
        values.insert(PHONE, &identifiers.phone);
    }
    values.extend(behavior.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if let Some(v1::behavior_record::Event::LeadIdentified(identified)) = &behavior.event {
        values.extend(identified.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    // Last: the id that decided whose the event is counts for more than what somebody filed under the same name.
    if let Some(identifiers) = &behavior.identifiers {
        let ids = [(USER_ID, &identifiers.user_id), (CRM_ID, &identifiers.crm_id)];
        values.extend(ids.into_iter().filter(|(_, id)| !id.is_empty()).map(|(name, id)| (name, id.as_str())));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_those_of_an_array_or_those_between_separators() {
        for (value, count) in [
            ("", 0),
            ("[]", 0),
            (r#"["a"]"#, 1),
            (r#"["a","b, c"]"#, 2),
            (r#"["a","a"]"#, 1),
            (r#"["a]","\",[",{"x":[1,2]}]"#, 3),
            // Cut off at the bound of a value.
            (r#"["a","b","c"#, 3),
            ("pumps", 1),
            ("pumps, valves", 2),
            ("pumps; valves;", 2),
            ("pumps|valves|pumps", 2),
            ("ポンプ、バルブ、弁", 3),
        ] {
            assert_eq!(items(value), count, "{value}");
        }
    }
}
