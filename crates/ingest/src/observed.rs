//! From what an adapter observed to a behavior record: the rules that are the same for every protocol.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tasuki_domain::{CrmId, EmailAddress, EventId, Identifier, InvalidPhone, PhoneNumber, Region, is_placeholder_id};
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::{BehaviorRecord, Circumstances, DeadLetterKind, Identifiers, Meta, Origin};

use crate::request::RawRequest;
use crate::time::Times;

/// The operation of endpoints where senders sign.
pub(crate) const SIGNED: &str = "webhook";

/// From this size on an event is flagged "large": the limit Segment documents. Clients do send larger ones.
const LARGE: usize = 32 * 1024;

/// So many bytes of a fingerprint's parts are hashed at once.
const MANY_PARTS: usize = 2 * 1024;

/// Longest identifier that is believed, in bytes.
const MAX_ID: usize = 512;

/// One event as an adapter read it, before the rules that are the same for all protocols.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which event it is.
    pub event: Event,
    /// What it says about the person, beside who it was: by standard name.
    pub attributes: BTreeMap<String, String>,
    /// The id the tracker gave it; empty for none.
    pub message_id: String,
    /// What the tracker says about time.
    pub times: Times,
    /// Device or browser.
    pub anonymous_id: Option<String>,
    /// The person, as the customer's systems know them.
    pub user_id: Option<String>,
    /// E-mail address, as written.
    pub email: Option<String>,
    /// Phone number, as written; without it, what the event says about the person counts.
    pub phone: Option<String>,
    /// Id in a CRM system, behind the system and `:`.
    pub crm_id: Option<String>,
    /// Where and how. The IP address is as the event has it; the rules decide what is kept.
    pub circumstances: Circumstances,
    /// What the person allows, by purpose, as a consent manager had it.
    pub consents: BTreeMap<String, bool>,
    /// The IP address there is the visitor's, whoever sent it.
    pub ip_vouched: bool,
    /// A JSON object, or empty.
    pub properties_json: String,
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

/// SHA-256 over named parts in the order given; adapters give them sorted.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    hash: Sha256,
    /// Small parts are hashed together.
    waiting: Vec<u8>,
}

impl Fingerprint {
    /// Adds a part.
    pub fn add(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            if self.waiting.len() + text.len() > MANY_PARTS {
                self.hash.update(&self.waiting);
                self.waiting.clear();
            } else if self.waiting.capacity() == 0 {
                self.waiting.reserve(MANY_PARTS);
            }
            let length = u64::try_from(text.len()).expect("a length fits in 64 bits");
            self.waiting.extend_from_slice(&length.to_be_bytes());
            if text.len() > MANY_PARTS {
                self.hash.update(&self.waiting);
                self.waiting.clear();
                self.hash.update(text.as_bytes());
            } else {
                self.waiting.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn finish(mut self) -> [u8; 16] {
        self.hash.update(&self.waiting);
        let mut first = [0; 16];
        first.copy_from_slice(&self.hash.finalize()[..16]);
        first
    }
}

impl Observed {
    /// An event, nothing else known about it.
    pub fn new(event: Event) -> Self {
        Self {
            event,
            attributes: BTreeMap::new(),
            message_id: String::new(),
            times: Times::default(),
            anonymous_id: None,
            user_id: None,
            email: None,
            phone: None,
            crm_id: None,
            circumstances: Circumstances::default(),
            consents: BTreeMap::new(),
            ip_vouched: false,
            properties_json: String::new(),
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
    pub fn into_record(mut self, request: &RawRequest<'_>, protocol: &str) -> Result<BehaviorRecord, BadRecord> {
        if self.size > request.max_event_bytes {
            let message = format!("has {} bytes; at most {} are taken", self.size, request.max_event_bytes);
            return Err(BadRecord::new(DeadLetterKind::Size, "event-too-large", message));
        }
        let mut flags = std::mem::take(&mut self.flags);
        let identifiers = self.identifiers(request.mapping.phone_region(), &mut flags);
        if key_of(&identifiers).is_none() {
            return Err(BadRecord::new(
                DeadLetterKind::Schema,
                "no-identifier",
                "names nobody: it needs an anonymous id, a user id, a CRM id, an e-mail address or a phone number that is no \
                 placeholder",
            ));
        }
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
            if !unique.iter().any(|seen| seen == flag) {
                unique.push(flag.to_owned());
            }
        }
        Ok(BehaviorRecord {
            meta: Some(Meta {
                event_id: event_id.as_bytes().to_vec(),
                occurred_at_ms: occurred_at.as_millis(),
                received_at_ms: request.received_at.as_millis(),
                ..Meta::default()
            }),
            origin: Some(Origin {
                source: request.source.name.clone(),
                protocol: protocol.to_owned(),
                message_id: self.message_id,
                sent_at_ms: self.times.sent.map_or(0, |at| at.as_millis()),
            }),
            identifiers: Some(identifiers),
            circumstances: Some(self.circumstances),
            properties_json: self.properties_json,
            payload_hash: payload_hash.to_vec(),
            flags: unique,
            attributes: self.attributes,
            refused: Vec::new(),
            consents: self.consents,
            event: Some(self.event),
        })
    }

    fn identifiers(&mut self, region: Region, flags: &mut Vec<&'static str>) -> Identifiers {
        let anonymous_id = legal(self.anonymous_id.take(), ["illegal-anonymous-id", "malformed-anonymous-id"], flags);
        let user_id = legal(self.user_id.take(), ["illegal-user-id", "malformed-user-id"], flags);
        let mut email = String::new();
        if let Some(text) = self.email.take() {
            match text.parse::<EmailAddress>() {
                Ok(address) => address.as_str().clone_into(&mut email),
                Err(_) => flags.push("invalid-email"),
            }
        }
        if email.is_empty() {
            // Many sites take the address as user id. What parses as an address is one.
            if let Ok(address) = user_id.parse::<EmailAddress>() {
                address.as_str().clone_into(&mut email);
                flags.push("email-from-user-id");
            }
        }
        let mut crm_id = String::new();
        if let Some(text) = self.crm_id.take() {
            match text.parse::<CrmId>() {
                Ok(id) => id.as_str().clone_into(&mut crm_id),
                Err(_) => flags.push("invalid-crm-id"),
            }
        }
        Identifiers { anonymous_id, user_id, email, phone: self.phone(region, flags), crm_id }
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

    fn settle_circumstances(&mut self, request: &RawRequest<'_>, flags: &mut Vec<&'static str>) {
        let at = &mut self.circumstances;
        complete_from_url(at);
        if at.user_agent.is_empty() {
            // Only a browser's own header is the visitor's; a server's names its HTTP library.
            if let Some(agent) = request.header("user-agent").filter(|agent| agent.starts_with("Mozilla/")) {
                agent.clone_into(&mut at.user_agent);
            }
        }
        if is_bot(&at.user_agent) {
            flags.push("bot");
        }
        // Of a signed webhook the other end is the sender's server, never the visitor.
        let signed = request.operation == SIGNED;
        let told = if request.source.server || signed || self.ip_vouched { at.ip.parse().ok() } else { None };
        let anonymous = request.headers.contains_key("sp-anonymous");
        at.ip = match told.or(request.peer.filter(|_| !signed)) {
            Some(address) if !anonymous => request.ip_mode.keep(address),
            Some(_) | None => String::new(),
        };
        for (header, flag) in [("sec-gpc", "gpc"), ("dnt", "dnt")] {
            if request.header(header) == Some("1") {
                flags.push(flag);
            }
        }
    }
}

/// The key of the partition an event with these identifiers belongs to: of the visitor, else the user, else the record in
/// the CRM system, else the e-mail address, else the phone number. `None` when all are empty.
pub(crate) fn key_of(identifiers: &Identifiers) -> Option<String> {
    let identifier = if !identifiers.anonymous_id.is_empty() {
        Identifier::Anonymous(identifiers.anonymous_id.clone())
    } else if !identifiers.user_id.is_empty() {
        Identifier::User(identifiers.user_id.clone())
    } else if !identifiers.crm_id.is_empty() {
        Identifier::Crm(identifiers.crm_id.parse().ok()?)
    } else if !identifiers.email.is_empty() {
        Identifier::Email(identifiers.email.parse().ok()?)
    } else {
        Identifier::Phone(identifiers.phone.parse().ok()?)
    };
    Some(identifier.key())
}

/// An identifier if it can be one; else empty, and a flag: the first for a placeholder, the second for what cannot be one.
fn legal(id: Option<String>, [placeholder, malformed]: [&'static str; 2], flags: &mut Vec<&'static str>) -> String {
    let Some(mut id) = id.filter(|id| !id.trim().is_empty()) else { return String::new() };
    if id.trim().len() < id.len() {
        id = id.trim().to_owned();
    }
    let has_control =
        if id.is_ascii() { id.bytes().any(|byte| byte.is_ascii_control()) } else { id.chars().any(char::is_control) };
    if id.len() > MAX_ID || has_control {
        flags.push(malformed);
        return String::new();
    }
    if is_placeholder_id(&id) {
        flags.push(placeholder);
        return String::new();
    }
    id
}

/// Path, host and campaign from the URL, where the tracker did not say them itself.
fn complete_from_url(at: &mut Circumstances) {
    let url = std::mem::take(&mut at.url);
    match usual_url(&url).filter(|_| !at.path.is_empty()) {
        Some((host, query)) => {
            if at.host.is_empty() {
                host.clone_into(&mut at.host);
            }
            if may_name_a_campaign(query) {
                complete_campaign(at, url::form_urlencoded::parse(query.as_bytes()));
            }
        }
        None => {
            if let Ok(url) = url::Url::parse(&url) {
                if at.path.is_empty() {
                    url.path().clone_into(&mut at.path);
                }
                if at.host.is_empty() {
                    url.host_str().unwrap_or_default().clone_into(&mut at.host);
                }
                complete_campaign(at, url.query_pairs());
            }
        }
    }
    at.url = url;
    if !at.path.is_empty() && !at.path.starts_with('/') {
        at.path.insert(0, '/');
    }
}

/// Host and query of a URL of which one need not be a browser to tell them: a name in small letters behind `https://` or
/// `http://`, without user, port, and characters that a browser would write in another way.
fn usual_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (host, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_name = host.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    let top = host.rsplit('.').next().unwrap_or_default();
    // What ends in a number is an address.
    let is_top = top.len() > 1 && top.bytes().all(|byte| byte.is_ascii_lowercase());
    if !is_name || !is_top || host.contains("xn--") {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    Some((host, rest.split_once('?').map_or("", |(_, query)| query)))
}

/// Whether a parameter may be one of a campaign. Their names may be written with escapes.
fn may_name_a_campaign(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        name.starts_with("utm_") || name.contains('%')
    })
}

fn complete_campaign<'q>(at: &mut Circumstances, pairs: impl Iterator<Item = (Cow<'q, str>, Cow<'q, str>)>) {
    for (name, value) in pairs {
        let field = match name.as_ref() {
            "utm_campaign" => &mut at.campaign_name,
            "utm_source" => &mut at.campaign_source,
            "utm_medium" => &mut at.campaign_medium,
            "utm_term" => &mut at.campaign_term,
            "utm_content" => &mut at.campaign_content,
            _ => continue,
        };
        if field.is_empty() {
            *field = value.into_owned();
        }
    }
}

/// Whether a user agent says it is a program. Such events are flagged, never dropped.
fn is_bot(user_agent: &str) -> bool {
    let agent = user_agent.as_bytes();
    let begins = |at: usize, word: &str| {
        agent.get(at..at + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    agent.iter().enumerate().any(|(at, byte)| match byte | 0x20 {
        b'b' => begins(at, "bot"),
        b'c' => begins(at, "crawler"),
        b's' => begins(at, "spider"),
        b'h' => begins(at, "headless"),
        _ => false,
    })
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_flagged_and_count_as_absent() {
        let mut flags = Vec::new();
        let legal =
            |id: &str, flags: &mut Vec<&'static str>| legal(Some(id.to_owned()), ["illegal", "malformed"], flags);
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
            key_of(&Identifiers {
                anonymous_id: anonymous.to_owned(),
                user_id: user.to_owned(),
                email: email.to_owned(),
                ..Identifiers::default()
            })
        };
        assert_eq!(of("a", "u", "x@acme.example"), Some("v:a".to_owned()));
        assert_eq!(of("", "u", "x@acme.example"), Some("u:u".to_owned()));
        assert_eq!(of("", "", "x@acme.example"), Some("e:x@acme.example".to_owned()));
        assert_eq!(of("", "", ""), None);
        let mut others = Identifiers { phone: "+81312345678".to_owned(), ..Identifiers::default() };
        assert_eq!(key_of(&others), Some("p:+81312345678".to_owned()));
        others.email = "x@acme.example".to_owned();
        others.crm_id = "hubspot:1".to_owned();
        assert_eq!(key_of(&others), Some("c:hubspot:1".to_owned()));
    }

    #[test]
    fn the_url_fills_in_what_was_not_said() {
        let mut at = Circumstances {
            url: "https://example.com/pricing?utm_source=google&utm_campaign=spring%20x".to_owned(),
            campaign_source: "own".to_owned(),
            ..Circumstances::default()
        };
        complete_from_url(&mut at);
        assert_eq!((at.path.as_str(), at.host.as_str()), ("/pricing", "example.com"));
        assert_eq!((at.campaign_source.as_str(), at.campaign_name.as_str()), ("own", "spring x"));
        let mut at = Circumstances { path: "pricing".to_owned(), ..Circumstances::default() };
        complete_from_url(&mut at);
        assert_eq!(at.path, "/pricing");
    }

    #[test]
    fn a_browser_is_asked_about_urls_that_are_not_usual() {
        for (url, usual) in [
            ("https://www.tasuki.example/a?utm_source=x&b=%20c#utm_term=y", true),
            ("http://a-b.c.example", true),
            ("https://example.com?x=1", true),
            ("https://localhost/", true),
            ("https://EXAMPLE.com/", false),
            ("https://127.0.0.1/", false),
            ("https://0x7f.1/", false),
            ("https://a.b0/", false),
            ("https://user@example.com/", false),
            ("https://example.com:8443/", false),
            ("https://xn--wgv71a119e.example/", false),
            ("https://example.com/a b", false),
            ("https://example.com/é", false),
            ("ftp://example.com/", false),
            ("https:///x", false),
        ] {
            assert_eq!(usual_url(url).is_some(), usual, "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_told_of_a_usual_url_is_what_a_browser_tells(
            host in "[a-z0-9.-]{1,12}", rest in "([/?#][ -~]{0,30})?", utm in "(utm_source=[!-~]{0,8})?",
        ) {
            let url = format!("https://{host}{rest}{utm}");
            if let Some((host, query)) = usual_url(&url) {
                let read = url::Url::parse(&url).unwrap();
                proptest::prop_assert_eq!(read.host_str(), Some(host), "{}", url);
                let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
                proptest::prop_assert_eq!(read.query_pairs().collect::<Vec<_>>(), pairs, "{}", url);
            }
        }
    }

    #[test]
    fn programs_are_told_by_their_names() {
        for (agent, bot) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1)", true),
            ("HeadlessChrome/141", true),
            ("a SPIDER", true),
            ("some CrawleR", true),
            ("bo", false),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", false),
        ] {
            assert_eq!(is_bot(agent), bot, "{agent}");
        }
    }
}
