//! What adapters of JSON have in common: a body that can be read, its parts with what was mended in them.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tasuki_wire::v1::DeadLetterKind;

use super::segment::repaired;
use crate::json;
use crate::observed::{BadRecord, Observed};

/// A body that is JSON, mended where it must be.
#[derive(Debug)]
pub(super) struct Readable<'b> {
    text: Cow<'b, str>,
    repairs: Vec<&'static str>,
}

/// One event of a body.
#[derive(Debug)]
pub(super) struct Part<'b> {
    /// As it was sent.
    pub(super) raw: &'b str,
    /// As it reads once mended.
    pub(super) value: Value,
    /// Where it stands in the body, as a JSON pointer.
    pub(super) pointer: String,
    number: u32,
    repairs: Vec<&'static str>,
}

/// A fault of the whole body.
pub(super) fn whole(body: &[u8], code: &'static str, message: impl Into<String>) -> BadRecord {
    BadRecord::new(DeadLetterKind::Format, code, message).found("", 0, body, &[])
}

/// A fault of a field, its JSON pointer counted from the event.
pub(super) fn fault(code: &'static str, pointer: &str, message: impl Into<String>) -> BadRecord {
    let mut bad = BadRecord::new(DeadLetterKind::Schema, code, message);
    pointer.clone_into(&mut bad.pointer);
    bad
}

impl<'b> Readable<'b> {
    /// Reads a body as JSON.
    pub(super) fn of(body: &'b [u8]) -> Result<Self, BadRecord> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(whole(body, "empty-body", "the body is empty; expected JSON"));
        }
        let decoded = String::from_utf8_lossy(body);
        let mut repairs = Vec::new();
        if matches!(decoded, Cow::Owned(_)) {
            repairs.push("utf-8");
        }
        let text = match decoded {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_start_matches('\u{feff}')),
            Cow::Owned(text) => Cow::Owned(text.trim_start_matches('\u{feff}').to_owned()),
        };
        let Err(error) = serde_json::from_str::<&RawValue>(&text) else { return Ok(Self { text, repairs }) };
        let not_json = |error| {
            let mut bad = whole(body, "not-json", format!("the body is no JSON: {error}"));
            bad.repairs.clone_from(&repairs);
            bad
        };
        let Some((better, made)) = json::mend_body(&text) else { return Err(not_json(error)) };
        if let Err(error) = serde_json::from_str::<&RawValue>(&better) {
            return Err(not_json(error));
        }
        repairs.extend(made);
        Ok(Self { text: Cow::Owned(better), repairs })
    }

    /// The body.
    pub(super) fn root(&self) -> &RawValue {
        serde_json::from_str(&self.text).expect("it was read as JSON before")
    }

    /// The body as one event.
    pub(super) fn only(&self) -> Result<Part<'_>, BadRecord> {
        self.part(self.root(), String::new(), 0)
    }

    /// The events of an array at this pointer, one by one.
    pub(super) fn parts<'s>(
        &'s self,
        items: &[&'s RawValue],
        pointer: &str,
    ) -> impl Iterator<Item = Result<Part<'s>, BadRecord>> {
        items.iter().enumerate().map(move |(index, raw)| self.part(raw, format!("{pointer}/{index}"), index))
    }

    /// One event of the body.
    pub(super) fn part<'s>(&'s self, raw: &'s RawValue, pointer: String, index: usize) -> Result<Part<'s>, BadRecord> {
        let (text, mended) = json::mend_item(raw.get());
        let mut repairs = self.repairs.clone();
        repairs.extend(mended);
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Part { raw: raw.get(), value, pointer, number, repairs }),
            Err(error) => {
                let message = format!("the event cannot be read: {error}");
                let bad = BadRecord::new(DeadLetterKind::Format, "unreadable", message);
                Err(bad.found(&pointer, number, raw.get().as_bytes(), &repairs))
            }
        }
    }
}

impl Part<'_> {
    /// Says of a fault where it was found.
    pub(super) fn found(&self, bad: BadRecord) -> BadRecord {
        bad.found(&self.pointer, self.number, self.raw.as_bytes(), &self.repairs)
    }

    /// Its fields.
    pub(super) fn object(&self) -> Result<&Map<String, Value>, BadRecord> {
        self.value
            .as_object()
            .ok_or_else(|| BadRecord::new(DeadLetterKind::Format, "not-an-object", "the event is no JSON object"))
    }

    /// Says of an event how large it was and what was mended in it.
    pub(super) fn mark(&self, observed: &mut Observed<'_>) {
        observed.size = self.raw.len();
        observed.flags.extend(self.repairs.iter().map(|repair| repaired(repair)));
    }
}

/// A JSON pointer's part: "~" and "/" in it escaped.
pub(super) fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// An object as text, nothing for an empty one. Addresses of devices are left out: how much of one is kept is the
/// setting's to say, not the sender's.
pub(super) fn properties_of(mut object: Map<String, Value>) -> String {
    object.retain(|name, _| !["ip", "ip_address", "ipAddress"].contains(&name.as_str()));
    if object.is_empty() { String::new() } else { Value::Object(object).to_string() }
}
