//! A behavior record whose texts stand elsewhere, written without making a tree of texts of its own first.
//!
//! What is written is byte for byte what [`BehaviorRecord`](crate::v1::BehaviorRecord) writes; a test holds the two
//! together, field by field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prost::encoding::{self, WireType, encode_varint, encoded_len_varint};

use crate::v1;
use crate::v1::behavior_record::Event;

/// A [`BehaviorRecord`](crate::v1::BehaviorRecord) as ingest makes it; its fields mean the same.
#[derive(Clone, Debug)]
pub struct Behavior<'a> {
    /// Of the event, 16 bytes.
    pub event_id: [u8; 16],
    /// Milliseconds since 1970.
    pub occurred_at_ms: i64,
    /// Milliseconds since 1970.
    pub received_at_ms: i64,
    /// Name of the source.
    pub source: &'a str,
    /// Name of the adapter.
    pub protocol: &'a str,
    /// The tracker's own id.
    pub message_id: Cow<'a, str>,
    /// Milliseconds since 1970; 0 for unknown.
    pub sent_at_ms: i64,
    /// By whom.
    pub identifiers: Identifiers<'a>,
    /// Where and how.
    pub circumstances: Circumstances<'a>,
    /// A JSON object, or empty.
    pub properties_json: Cow<'a, str>,
    /// Of the event as sent.
    pub payload_hash: [u8; 16],
    /// What was noticed, each once.
    pub flags: Vec<&'static str>,
    /// Of the person, by standard name.
    pub attributes: BTreeMap<String, String>,
    /// By purpose.
    pub consents: BTreeMap<String, bool>,
    /// What happened.
    pub event: Event,
}

/// Texts of a message that has nothing but texts.
macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name<'a> {
            $($(#[$field_doc])* pub $field: Cow<'a, str>,)*
        }

        impl $name<'_> {
            fn fields(&self) -> impl Iterator<Item = (u32, &str)> {
                [$(($number, self.$field.as_ref()),)*].into_iter()
            }
        }

        impl From<v1::$name> for $name<'_> {
            fn from(owned: v1::$name) -> Self {
                Self { $($field: owned.$field.into(),)* }
            }
        }
    };
}

texts! {
    /// By whom; empty for unknown.
    Identifiers {
        /// Device or browser.
        anonymous_id = 1,
        /// The person, as the customer's systems know them.
        user_id = 2,
        /// In its one form.
        email = 3,
        /// E.164.
        phone = 4,
        /// The system, `:` and the id.
        crm_id = 5,
    }
}

texts! {
    /// Where and how; empty for unknown.
    Circumstances {
        /// Of the page.
        url = 1,
        /// With a leading slash.
        path = 2,
        /// Of the page.
        host = 3,
        /// The page before.
        referrer = 4,
        /// Of the page.
        title = 5,
        /// `utm_campaign`
        campaign_name = 6,
        /// `utm_source`
        campaign_source = 7,
        /// `utm_medium`
        campaign_medium = 8,
        /// `utm_term`
        campaign_term = 9,
        /// `utm_content`
        campaign_content = 10,
        /// Of the browser.
        user_agent = 11,
        /// As the tracker writes it.
        locale = 12,
        /// As the tracker writes it.
        time_zone = 13,
        /// As much of it as may be kept.
        ip = 14,
    }
}

impl Behavior<'_> {
    /// The record as it stands on the log.
    pub fn encode(&self) -> Vec<u8> {
        let origin_texts = || [(1, self.source), (2, self.protocol), (3, self.message_id.as_ref())].into_iter();
        let meta = 2 + self.event_id.len() + fixed_len(self.occurred_at_ms) + fixed_len(self.received_at_ms);
        let origin = texts_len(origin_texts()) + fixed_len(self.sent_at_ms);
        let identifiers = texts_len(self.identifiers.fields());
        let circumstances = texts_len(self.circumstances.fields());
        let flags = self.flags.iter().map(|flag| text_len(flag)).sum::<usize>();
        let attributes = encoding::btree_map::encoded_len(
            encoding::string::encoded_len,
            encoding::string::encoded_len,
            8,
            &self.attributes,
        );
        let consents = encoding::btree_map::encoded_len(
            encoding::string::encoded_len,
            encoding::bool::encoded_len,
            10,
            &self.consents,
        );
        let properties = if self.properties_json.is_empty() { 0 } else { text_len(&self.properties_json) };
        let nested = [meta, origin, identifiers, circumstances].map(message_len);
        let hash = 2 + self.payload_hash.len();
        let rest = properties + hash + flags + attributes + consents + self.event.encoded_len();
        let mut into = Vec::with_capacity(nested.iter().sum::<usize>() + rest);

        put_message(&mut into, 1, meta);
        put_bytes(&mut into, 1, &self.event_id);
        put_fixed(&mut into, 2, self.occurred_at_ms);
        put_fixed(&mut into, 3, self.received_at_ms);
        put_message(&mut into, 2, origin);
        put_texts(&mut into, origin_texts());
        put_fixed(&mut into, 4, self.sent_at_ms);
        put_message(&mut into, 3, identifiers);
        put_texts(&mut into, self.identifiers.fields());
        put_message(&mut into, 4, circumstances);
        put_texts(&mut into, self.circumstances.fields());
        put_texts(&mut into, [(5, self.properties_json.as_ref())].into_iter());
        put_bytes(&mut into, 6, &self.payload_hash);
        for flag in &self.flags {
            put_bytes(&mut into, 7, flag.as_bytes());
        }
        encoding::btree_map::encode(
            encoding::string::encode,
            encoding::string::encoded_len,
            encoding::string::encode,
            encoding::string::encoded_len,
            8,
            &self.attributes,
            &mut into,
        );
        encoding::btree_map::encode(
            encoding::string::encode,
            encoding::string::encoded_len,
            encoding::bool::encode,
            encoding::bool::encoded_len,
            10,
            &self.consents,
            &mut into,
        );
        self.event.encode(&mut into);
        into
    }
}

/// A length as the format counts it.
fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits in 64 bits")
}

/// Of a field with a number below 16.
fn message_len(length: usize) -> usize {
    1 + encoded_len_varint(count(length)) + length
}

fn text_len(text: &str) -> usize {
    message_len(text.len())
}

fn texts_len<'t>(texts: impl Iterator<Item = (u32, &'t str)>) -> usize {
    texts.filter(|(_, text)| !text.is_empty()).map(|(_, text)| text_len(text)).sum()
}

const fn fixed_len(number: i64) -> usize {
    if number == 0 { 0 } else { 9 }
}

fn put_message(into: &mut Vec<u8>, number: u32, length: usize) {
    encoding::encode_key(number, WireType::LengthDelimited, into);
    match u8::try_from(length) {
        // Most are, and then one byte is all.
        Ok(short @ ..0x80) => into.push(short),
        Ok(_) | Err(_) => encode_varint(count(length), into),
    }
}

fn put_bytes(into: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_message(into, number, bytes.len());
    into.extend_from_slice(bytes);
}

fn put_texts<'t>(into: &mut Vec<u8>, texts: impl Iterator<Item = (u32, &'t str)>) {
    for (number, text) in texts.filter(|(_, text)| !text.is_empty()) {
        put_bytes(into, number, text.as_bytes());
    }
}

fn put_fixed(into: &mut Vec<u8>, number: u32, value: i64) {
    if value != 0 {
        encoding::encode_key(number, WireType::SixtyFourBit, into);
        into.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{BehaviorRecord, Meta, Origin, PageViewed};
    use prost::Message;

    /// A record in which every text is another, `length` characters long or empty where its number is in `empty`.
    fn record(length: usize, empty: &[usize], times: [i64; 3]) -> BehaviorRecord {
        let mut number = 0;
        let mut text = || {
            number += 1;
            if empty.contains(&number) { String::new() } else { format!("{number:03}{}", "é".repeat(length)) }
        };
        let map = |texts: usize, text: &mut dyn FnMut() -> String| (0..texts).map(|_| (text(), text())).collect();
        BehaviorRecord {
            meta: Some(Meta {
                event_id: vec![7; 16],
                occurred_at_ms: times[0],
                received_at_ms: times[1],
                ..Meta::default()
            }),
            origin: Some(Origin { source: text(), protocol: text(), message_id: text(), sent_at_ms: times[2] }),
            identifiers: Some(v1::Identifiers {
                anonymous_id: text(),
                user_id: text(),
                email: text(),
                phone: text(),
                crm_id: text(),
            }),
            circumstances: Some(v1::Circumstances {
                url: text(),
                path: text(),
                host: text(),
                referrer: text(),
                title: text(),
                campaign_name: text(),
                campaign_source: text(),
                campaign_medium: text(),
                campaign_term: text(),
                campaign_content: text(),
                user_agent: text(),
                locale: text(),
                time_zone: text(),
                ip: text(),
            }),
            properties_json: text(),
            payload_hash: vec![9; 16],
            flags: vec!["bot".to_owned(), "dnt".to_owned()],
            attributes: map(2, &mut text),
            refused: Vec::new(),
            consents: [(text(), true), (text(), false)].into(),
            event: Some(Event::PageViewed(PageViewed { name: text(), category: text() })),
        }
    }

    fn borrowed(record: &BehaviorRecord) -> Vec<u8> {
        let (meta, origin) = (record.meta.clone().unwrap(), record.origin.clone().unwrap());
        Behavior {
            event_id: meta.event_id.try_into().unwrap(),
            occurred_at_ms: meta.occurred_at_ms,
            received_at_ms: meta.received_at_ms,
            source: &origin.source,
            protocol: &origin.protocol,
            message_id: Cow::Borrowed(&origin.message_id),
            sent_at_ms: origin.sent_at_ms,
            identifiers: record.identifiers.clone().unwrap().into(),
            circumstances: record.circumstances.clone().unwrap().into(),
            properties_json: Cow::Borrowed(&record.properties_json),
            payload_hash: record.payload_hash.clone().try_into().unwrap(),
            flags: if record.flags.is_empty() { vec![] } else { vec!["bot", "dnt"] },
            attributes: record.attributes.clone(),
            consents: record.consents.clone(),
            event: record.event.clone().unwrap(),
        }
        .encode()
    }

    #[test]
    fn it_is_written_as_the_message_is_whichever_fields_are_empty_and_however_long_they_are() {
        for length in [0, 1, 62, 200, 9_000] {
            for times in [[0, 0, 0], [-5, 1_795_322_200_843, 1]] {
                let whole = record(length, &[], times);
                assert_eq!(borrowed(&whole), whole.encode_to_vec(), "{length} characters");
                for number in 1..=32 {
                    let without = record(length, &[number], times);
                    assert_eq!(borrowed(&without), without.encode_to_vec(), "without the text {number}");
                }
            }
        }
        let nothing = BehaviorRecord {
            flags: Vec::new(),
            attributes: BTreeMap::new(),
            consents: BTreeMap::new(),
            ..record(0, &Vec::from_iter(1..=40), [0; 3])
        };
        let written = borrowed(&nothing);
        assert_eq!((written.len(), &written), (written.capacity(), &nothing.encode_to_vec()));
    }
}
