//! From what an adapter observed to a behavior record: the rules that are the same for every protocol.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prost::Message;
use tasuki_domain::{CrmId, EmailAddress, EventId, Identifier, InvalidPhone, PhoneNumber, Region, is_placeholder_id};
use tasuki_wire::behavior::{Behavior, Circumstances, Identifiers};
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::{BehaviorRecord, DeadLetterKind};

use crate::circumstances::{complete_from_url, is_bot};
use crate::fingerprint::{Fingerprint, hex};
use crate::json;
use crate::request::RawRequest;
use crate::time::Times;

/// The operation of endpoints where senders sign.
pub(crate) const SIGNED: &str = "webhook";

/// From this size on an event is flagged "large": the limit Segment documents. Clients do send larger ones.
const LARGE: usize = 32 * 1024;

/// Longest identifier that is believed, in bytes.
const MAX_ID: usize = 512;

/// One event as an adapter read it, before the rules that are the same for all protocols.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// Which event it is.
    pub event: Event,
    /// What it says about the person, beside who it was: by standard name.
    pub attributes: BTreeMap<String, String>,
    /// The id the tracker gave it; empty for none.
    pub message_id: Cow<'a, str>,
    /// What the tracker says about time.
    pub times: Times,
    /// Device or browser.
    pub anonymous_id: Option<Cow<'a, str>>,
    /// The person, as the customer's systems know them.
    pub user_id: Option<Cow<'a, str>>,
    /// E-mail address, as written.
    pub email: Option<String>,
    /// Phone number, as written; without it, what the event says about the person counts.
    pub phone: Option<String>,
    /// Id in a CRM system, behind the system and `:`.
    pub crm_id: Option<String>,
    /// Where and how. The IP address is as the event has it; the rules decide what is kept.
    pub circumstances: Circumstances<'a>,
    /// What the person allows, by purpose, as a consent manager had it.
    pub consents: BTreeMap<String, bool>,
    /// The IP address there is the visitor's, whoever sent it.
    pub ip_vouched: bool,
    /// A JSON object, or empty.
    pub properties_json: Cow<'a, str>,
    /// What the event is, without what a re-send changes.
    pub fingerprint: Fingerprint,
    /// Its size as sent, in bytes.
    pub size: usize,
    /// What was noticed or mended.
    pub flags: Vec<&'static str>,
}

/// An event, or a whole body, that is not taken: why, and what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// What kind of fault.
    pub kind: DeadLetterKind,
    /// Short and stable, for filters and metrics.
    pub code: &'static str,
    /// For a person: what was found, what is allowed. Without personal data.
    pub message: String,
    /// Where in the body, as a JSON pointer.
    pub pointer: String,
    /// Which event of the request, counting from 0.
    pub item: u32,
    /// What it was, as it came.
    pub original: Vec<u8>,
    /// Mended before it failed.
    pub repairs: Vec<&'static str>,
}

impl BadRecord {
    /// A fault in the event at `pointer`.
    pub fn new(kind: DeadLetterKind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            pointer: String::new(),
            item: 0,
            original: Vec::new(),
            repairs: Vec::new(),
        }
    }

    /// Says where it was found and what it was.
    #[must_use]
    pub fn found(mut self, pointer: &str, item: u32, original: &[u8], repairs: &[&'static str]) -> Self {
        self.pointer = format!("{pointer}{}", self.pointer);
        self.item = item;
        self.original = original.to_vec();
        self.repairs = repairs.to_vec();
        self
    }
}

impl<'a> Observed<'a> {
    /// An event, nothing else known about it.
    pub fn new(event: Event) -> Self {
        Self {
            event,
            attributes: BTreeMap::new(),
            message_id: Cow::default(),
            times: Times::default(),
            anonymous_id: None,
            user_id: None,
            email: None,
            phone: None,
            crm_id: None,
            circumstances: Circumstances::default(),
            consents: BTreeMap::new(),
            ip_vouched: false,
            properties_json: Cow::default(),
            fingerprint: Fingerprint::default(),
            size: 0,
            flags: Vec::new(),
        }
    }

    /// The behavior record.
    ///
    /// # Errors
    ///
    /// If it names nobody and no device, or is too large for the log.
    pub fn into_record(mut self, request: &RawRequest<'a>, protocol: &str) -> Result<Record, BadRecord> {
        if self.size > request.max_event_bytes {
            let message = format!("has {} bytes; at most {} are taken", self.size, request.max_event_bytes);
            return Err(BadRecord::new(DeadLetterKind::Size, "event-too-large", message));
        }
        let mut flags = std::mem::take(&mut self.flags);
        let by = self.identifiers(request.mapping.phone_region(), &mut flags);
        let Some(key) = key([&by.anonymous_id, &by.user_id, &by.crm_id, &by.email, &by.phone]) else {
            return Err(BadRecord::new(
                DeadLetterKind::Schema,
                "no-identifier",
                "names nobody: it needs an anonymous id, a user id, a CRM id, an e-mail address or a phone number that is no \
                 placeholder",
            ));
        };
        if self.size > LARGE {
            flags.push("large");
        }
        self.settle_circumstances(request, &mut flags);
        let payload_hash = std::mem::take(&mut self.fingerprint).finish();
        let event_id = if self.message_id.is_empty() {
            EventId::reported(&request.source.name, &format!("sha256:{}", hex(&payload_hash)))
        } else {
            EventId::reported(&request.source.name, &self.message_id)
        };
        let occurred_at = self.times.occurred_at(request.received_at, &mut flags);
        let mut unique = Vec::new();
        for flag in flags {
            if !unique.contains(&flag) {
                unique.push(flag);
            }
        }
        let behavior = Behavior {
            event_id: *event_id.as_bytes(),
            occurred_at_ms: occurred_at.as_millis(),
            received_at_ms: request.received_at.as_millis(),
            source: &request.source.name,
            protocol,
            message_id: self.message_id,
            sent_at_ms: self.times.sent.map_or(0, |at| at.as_millis()),
            identifiers: by,
            circumstances: self.circumstances,
            properties_json: self.properties_json,
            payload_hash,
            flags: unique,
            attributes: self.attributes,
            consents: self.consents,
            event: self.event,
        };
        Ok(Record { event_id, payload_hash, key, payload: behavior.encode() })
    }

    fn identifiers(&mut self, region: Region, flags: &mut Vec<&'static str>) -> Identifiers<'a> {
        let anonymous_id = legal(self.anonymous_id.take(), ["illegal-anonymous-id", "malformed-anonymous-id"], flags);
        let user_id = legal(self.user_id.take(), ["illegal-user-id", "malformed-user-id"], flags);
        let mut email = Cow::default();
        if let Some(text) = self.email.take() {
            match text.parse::<EmailAddress>() {
                Ok(address) => email = address.as_str().to_owned().into(),
                Err(_) => flags.push("invalid-email"),
            }
        }
        if email.is_empty() {
            // Many sites take the address as user id. What parses as an address is one.
            if let Ok(address) = user_id.parse::<EmailAddress>() {
                email = address.as_str().to_owned().into();
                flags.push("email-from-user-id");
            }
        }
        let mut crm_id = Cow::default();
        if let Some(text) = self.crm_id.take() {
            match text.parse::<CrmId>() {
                Ok(id) => crm_id = id.as_str().to_owned().into(),
                Err(_) => flags.push("invalid-crm-id"),
            }
        }
        Identifiers { anonymous_id, user_id, email, phone: self.phone(region, flags).into(), crm_id }
    }

    /// The phone number in its one form, if it is one. As it was written it is an attribute.
    fn phone(&mut self, region: Region, flags: &mut Vec<&'static str>) -> String {
        let identified = if let Event::LeadIdentified(it) = &self.event { it.attributes.get("phone") } else { None };
        let said = identified.or_else(|| self.attributes.get("phone")).cloned();
        let written = self.phone.take().or_else(|| said.clone());
        let Some(written) = written.filter(|text| !text.trim().is_empty()) else { return String::new() };
        let number = match PhoneNumber::read(&written, region) {
            Ok(number) => number.as_str().to_owned(),
            Err(why) => {
                flags.push(if why == InvalidPhone::Placeholder { "placeholder-phone" } else { "invalid-phone" });
                String::new()
            }
        };
        if said.is_none() && number != written {
            self.attributes.insert("phone".to_owned(), written);
        }
        number
    }

    fn settle_circumstances(&mut self, request: &RawRequest<'a>, flags: &mut Vec<&'static str>) {
        let (at, visitor) = (&mut self.circumstances, request.visitor);
        complete_from_url(at);
        if at.user_agent.is_empty() {
            // Only a browser's own header is the visitor's; a server's names its HTTP library.
            if let Some(agent) = request.header("user-agent").filter(|agent| agent.starts_with("Mozilla/")) {
                at.user_agent = agent.into();
            }
        }
        if is_bot(&at.user_agent) {
            flags.push("bot");
        }
        // Of a signed webhook the other end is the sender's server, never the visitor.
        let signed = request.operation == SIGNED;
        let told = if request.source.server || signed || self.ip_vouched { at.ip.parse().ok() } else { None };
        at.ip = match told {
            _ if visitor.anonymous => Cow::default(),
            Some(address) => visitor.ip_mode.keep(address).into(),
            None if signed => Cow::default(),
            None => Cow::Borrowed(&visitor.address),
        };
        flags.extend(visitor.signals.iter().copied());
    }
}

/// A behavior record as it is written, and what else is to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of the event.
    pub event_id: EventId,
    /// Of the event as sent, without what a re-send changes.
    pub payload_hash: [u8; 16],
    /// Of its partition.
    pub key: String,
    /// A [`BehaviorRecord`].
    pub payload: Vec<u8>,
}

impl Record {
    /// The record, read back.
    pub fn read(&self) -> BehaviorRecord {
        BehaviorRecord::decode(self.payload.as_slice()).expect("it was written as one")
    }
}

/// The key of the partition an event with these identifiers belongs to; `None` when all are empty.
pub(crate) fn key_of(by: &v1::Identifiers) -> Option<String> {
    key([&by.anonymous_id, &by.user_id, &by.crm_id, &by.email, &by.phone])
}

/// Of the visitor, else the user, else the record in the CRM system, else the e-mail address, else the phone number.
fn key([anonymous_id, user_id, crm_id, email, phone]: [&str; 5]) -> Option<String> {
    let identifier = if !anonymous_id.is_empty() {
        return Some(Identifier::key_of_visitor(anonymous_id));
    } else if !user_id.is_empty() {
        Identifier::User(user_id.to_owned())
    } else if !crm_id.is_empty() {
        Identifier::Crm(crm_id.parse().ok()?)
    } else if !email.is_empty() {
        Identifier::Email(email.parse().ok()?)
    } else {
        Identifier::Phone(phone.parse().ok()?)
    };
    Some(identifier.key())
}

/// An identifier if it can be one; else empty, and a flag: the first for a placeholder, the second for what cannot be one.
fn legal<'a>(
    id: Option<Cow<'a, str>>,
    [placeholder, malformed]: [&'static str; 2],
    flags: &mut Vec<&'static str>,
) -> Cow<'a, str> {
    let Some(id) = id.map(json::trimmed).filter(|id| !id.is_empty()) else { return Cow::default() };
    // Of ASCII the control characters can be told from many bytes at once.
    let (control, other) = id
        .bytes()
        .fold((false, false), |(control, other), byte| (control | byte.is_ascii_control(), other | !byte.is_ascii()));
    if id.len() > MAX_ID || control || (other && id.chars().any(char::is_control)) {
        flags.push(malformed);
        return Cow::default();
    }
    if is_placeholder_id(&id) {
        flags.push(placeholder);
        return Cow::default();
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_flagged_and_count_as_absent() {
        let mut flags = Vec::new();
        let legal = |id: &str, flags: &mut Vec<&'static str>| {
            legal(Some(id.to_owned().into()), ["illegal", "malformed"], flags)
        };
        for id in ["null", "Undefined", "[object Object]", "0"] {
            assert_eq!(legal(id, &mut flags), "", "{id}");
        }
        assert_eq!(flags, ["illegal"; 4]);
        flags.clear();
        assert_eq!((legal("a\u{7}b", &mut flags), legal(&"x".repeat(513), &mut flags)), Default::default());
        assert_eq!(flags, ["malformed"; 2]);
        flags.clear();
        assert_eq!(legal(" u-1 ", &mut flags), "u-1");
        assert_eq!(legal("  ", &mut flags), "");
        assert!(flags.is_empty());
    }

    #[test]
    fn a_phone_number_is_an_identifier_in_one_form_and_an_attribute_as_it_was_written() {
        let of = |phone: &str| {
            let mut observed = Observed::new(Event::PageViewed(Default::default()));
            observed.phone = Some(phone.to_owned());
            let mut flags = Vec::new();
            let number = observed.phone(Region::JAPAN, &mut flags);
            (number, observed.attributes.get("phone").cloned().unwrap_or_default(), flags)
        };
        let text = str::to_owned;
        assert_eq!(of("０３－１２３４－５６７８"), (text("+81312345678"), text("０３－１２３４－５６７８"), vec![]));
        assert_eq!(of("+81312345678"), (text("+81312345678"), text(""), vec![]));
        assert_eq!(of("000-0000-0000"), (text(""), text("000-0000-0000"), vec!["placeholder-phone"]));
        assert_eq!(of("+81 3"), (text(""), text("+81 3"), vec!["invalid-phone"]));
        assert_eq!(of(" "), (text(""), text(""), vec![]));
        let mut form = Observed::new(Event::FormSubmitted(Default::default()));
        form.attributes.insert("phone".to_owned(), "03-1234-5678".to_owned());
        assert_eq!(form.phone(Region::JAPAN, &mut Vec::new()), "+81312345678");
    }

    #[test]
    fn the_key_is_the_visitors_else_the_users_else_the_crm_systems_else_the_address_else_the_number() {
        let of = |anonymous: &str, user: &str, email: &str| {
            key_of(&v1::Identifiers {
                anonymous_id: anonymous.to_owned(),
                user_id: user.to_owned(),
                email: email.to_owned(),
                ..v1::Identifiers::default()
            })
        };
        assert_eq!(of("a", "u", "x@acme.example"), Some("v:a".to_owned()));
        assert_eq!(of("", "u", "x@acme.example"), Some("u:u".to_owned()));
        assert_eq!(of("", "", "x@acme.example"), Some("e:x@acme.example".to_owned()));
        assert_eq!(of("", "", ""), None);
        let mut others = v1::Identifiers { phone: "+81312345678".to_owned(), ..v1::Identifiers::default() };
        assert_eq!(key_of(&others), Some("p:+81312345678".to_owned()));
        others.email = "x@acme.example".to_owned();
        others.crm_id = "hubspot:1".to_owned();
        assert_eq!(key_of(&others), Some("c:hubspot:1".to_owned()));
    }
}
