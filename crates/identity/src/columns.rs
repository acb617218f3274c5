//! The bytes of a home's events: a column for each field, since most of a column is one value.

use std::collections::BTreeMap;
use std::sync::Arc;

use tasuki_stream::StateError;

use crate::history::{History, KeptEvent, Payload};

/// A [`History`] by columns. An empty column is one of zeros.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Columns {
    /// 16 bytes each.
    #[prost(bytes = "vec", tag = "1")]
    event_ids: Vec<u8>,
    /// Since the event before.
    #[prost(sint64, repeated, tag = "2")]
    occurred_after_ms: Vec<i64>,
    /// Since it occurred.
    #[prost(sint64, repeated, tag = "3")]
    received_after_ms: Vec<i64>,
    /// What the columns of numbers name, counted from 1; 0 is the empty one.
    #[prost(string, repeated, tag = "4")]
    names: Vec<String>,
    #[prost(uint32, repeated, tag = "5")]
    user_ids: Vec<u32>,
    #[prost(uint32, repeated, tag = "6")]
    emails: Vec<u32>,
    #[prost(uint32, repeated, tag = "7")]
    claimed_for: Vec<u32>,
    /// 0: the payload is among `records`.
    #[prost(uint32, repeated, tag = "8")]
    bundles: Vec<u32>,
    #[prost(uint64, repeated, tag = "9")]
    payload_bytes: Vec<u64>,
    /// The payloads that are in no bundle, one after the other.
    #[prost(bytes = "vec", tag = "10")]
    records: Vec<u8>,
    #[prost(sint64, optional, tag = "11")]
    expire_at_ms: Option<i64>,
    #[prost(uint32, repeated, tag = "12")]
    crm_ids: Vec<u32>,
    #[prost(uint32, repeated, tag = "13")]
    phones: Vec<u32>,
}

/// Numbers texts in the order they first appear.
#[derive(Default)]
struct Numbering<'a> {
    names: Vec<String>,
    numbers: BTreeMap<&'a str, u32>,
}

impl<'a> Numbering<'a> {
    fn number(&mut self, name: &'a str) -> u32 {
        *self.numbers.entry(name).or_insert_with(|| {
            self.names.push(name.to_owned());
            u32::try_from(self.names.len()).expect("five for each event at most, and events are bounded")
        })
    }

    fn column(&mut self, names: impl Iterator<Item = &'a str>) -> Vec<u32> {
        let mut before = ("", 0);
        let numbers = names.map(|name| {
            if name.is_empty() {
                return 0;
            }
            if name != before.0 {
                before = (name, self.number(name));
            }
            before.1
        });
        or_empty(numbers.collect())
    }
}

impl Columns {
    pub(crate) fn of(history: &History) -> Self {
        let events = &history.events;
        let mut columns = Self { expire_at_ms: history.expire_at_ms, ..Self::default() };
        let mut before_ms = 0_i64;
        for event in events {
            columns.event_ids.extend_from_slice(&event.event_id);
            columns.occurred_after_ms.push(event.occurred_at_ms.wrapping_sub(before_ms));
            columns.received_after_ms.push(event.received_at_ms.wrapping_sub(event.occurred_at_ms));
            before_ms = event.occurred_at_ms;
            let (bundle, bytes) = match &event.payload {
                Payload::Here(record) => {
                    columns.records.extend_from_slice(record);
                    (0, record.len())
                }
                Payload::Bundled { bundle, bytes } => (*bundle, *bytes),
            };
            columns.bundles.push(bundle);
            columns.payload_bytes.push(u64::try_from(bytes).expect("a record is far smaller"));
        }
        columns.bundles = or_empty(columns.bundles);
        let mut names = Numbering::default();
        columns.user_ids = names.column(events.iter().map(|event| &*event.user_id));
        columns.emails = names.column(events.iter().map(|event| &*event.email));
        columns.claimed_for = names.column(events.iter().map(|event| &*event.claimed_for));
        columns.crm_ids = names.column(events.iter().map(|event| &*event.crm_id));
        columns.phones = names.column(events.iter().map(|event| &*event.phone));
        columns.names = names.names;
        columns
    }

    pub(crate) fn into_history(self) -> Result<History, StateError> {
        let (ids, rest) = self.event_ids.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(StateError("an event id is not whole".to_owned()));
        }
        for length in [self.occurred_after_ms.len(), self.received_after_ms.len(), self.payload_bytes.len()] {
            full(length, ids.len())?;
        }
        let of_names = [&self.user_ids, &self.emails, &self.claimed_for, &self.crm_ids, &self.phones];
        for column in of_names.into_iter().chain([&self.bundles]) {
            if !column.is_empty() {
                full(column.len(), ids.len())?;
            }
        }
        let names: Vec<Arc<str>> =
            std::iter::once("".into()).chain(self.names.iter().map(|it| it.as_str().into())).collect();
        let mut records = self.records.as_slice();
        let mut occurred_at_ms = 0_i64;
        let mut events = Vec::with_capacity(ids.len());
        for (place, id) in ids.iter().enumerate() {
            occurred_at_ms = occurred_at_ms.wrapping_add(self.occurred_after_ms[place]);
            let bytes = usize::try_from(self.payload_bytes[place]).map_err(|error| StateError(error.to_string()))?;
            let payload = match self.bundles.get(place).copied().unwrap_or(0) {
                0 => {
                    let (record, others) = records
                        .split_at_checked(bytes)
                        .ok_or_else(|| StateError("a payload is not whole".to_owned()))?;
                    records = others;
                    Payload::Here(record.to_vec())
                }
                bundle => Payload::Bundled { bundle, bytes },
            };
            events.push(KeptEvent {
                event_id: *id,
                occurred_at_ms,
                received_at_ms: occurred_at_ms.wrapping_add(self.received_after_ms[place]),
                user_id: name(&names, &self.user_ids, place)?,
                crm_id: name(&names, &self.crm_ids, place)?,
                email: name(&names, &self.emails, place)?,
                phone: name(&names, &self.phones, place)?,
                claimed_for: name(&names, &self.claimed_for, place)?,
                payload,
            });
        }
        Ok(History { events, expire_at_ms: self.expire_at_ms })
    }
}

/// A column of zeros is left out.
fn or_empty(column: Vec<u32>) -> Vec<u32> {
    if column.iter().all(|it| *it == 0) { Vec::new() } else { column }
}

fn full(length: usize, events: usize) -> Result<(), StateError> {
    (length == events).then_some(()).ok_or_else(|| StateError(format!("a column has {length} of {events} events")))
}

fn name(names: &[Arc<str>], column: &[u32], place: usize) -> Result<Arc<str>, StateError> {
    let number = column.get(place).copied().unwrap_or(0);
    let name = usize::try_from(number).ok().and_then(|number| names.get(number));
    name.cloned().ok_or_else(|| StateError(format!("name {number} of {}", names.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let event = |n: u8, occurred_at_ms, received_at_ms, payload| KeptEvent {
            event_id: [n; 16],
            occurred_at_ms,
            received_at_ms,
            payload,
            ..KeptEvent::default()
        };
        let named = |event, user_id: &str, email: &str, claimed_for: &str| KeptEvent {
            user_id: user_id.into(),
            email: email.into(),
            claimed_for: claimed_for.into(),
            ..event
        };
        let ana = "e:ana@acme.example";
        let events = vec![
            event(1, i64::MIN, 0, Payload::Bundled { bundle: 7, bytes: 300 }),
            named(event(2, -5, i64::MAX, Payload::Here(vec![1, 2])), "", "ana@acme.example", ana),
            named(event(3, -5, -6, Payload::default()), "4711", "", "u:4711"),
            named(event(4, i64::MAX, i64::MIN, Payload::Here(vec![3])), "4711", "ana@acme.example", ana),
            KeptEvent {
                crm_id: "hubspot:123".into(),
                phone: "+81312345678".into(),
                ..event(5, 7, 8, Payload::default())
            },
        ];
        History { events, expire_at_ms: Some(-1) }
    }

    #[test]
    fn events_read_back_as_they_were() {
        for history in [history(), History::default()] {
            assert_eq!(Columns::of(&history).into_history().unwrap(), history);
        }
    }

    type Break = fn(&mut Columns);

    #[test]
    fn columns_that_do_not_fit_each_other_are_an_error() {
        let broken: [(&str, Break); 7] = [
            ("an event id is not whole", |it| it.event_ids.truncate(79)),
            ("a column has 3 of 5 events", |it| it.occurred_after_ms.truncate(3)),
            ("a column has 6 of 5 events", |it| it.received_after_ms.push(1)),
            ("a column has 0 of 5 events", |it| it.payload_bytes.clear()),
            ("a column has 3 of 5 events", |it| it.bundles.truncate(3)),
            ("name 7 of 7", |it| it.claimed_for[0] = 7),
            ("a payload is not whole", |it| it.records.truncate(2)),
        ];
        for (message, break_it) in broken {
            let mut columns = Columns::of(&history());
            break_it(&mut columns);
            let found = columns.into_history().map_err(|error| error.0);
            assert_eq!(found, Err(message.to_owned()));
        }
    }
}
