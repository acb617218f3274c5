//! CloudEvents 1.0 over HTTP: binary (attributes in headers), structured and batched. Which it is follows from headers
//! and body together: one official SDK sends no Content-Type at all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tasuki_wire::v1::{Circumstances, DeadLetterKind};

use super::reading::{Part, Readable, fault, properties_of, whole};
use super::{
    Adapter, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, SourceBy, Success, TooLarge, UnknownSource,
};
use crate::json;
use crate::mapping::Called;
use crate::observed::{BadRecord, Observed};
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::{Reported, Times};

/// See the module.
#[derive(Debug)]
pub(super) struct CloudEvents;

/// An answer with a body would be taken for an event in reply by brokers, so the 200 has none.
const MANNERS: Manners = Manners {
    success: Success::Empty,
    unknown_source: UnknownSource::Refuse,
    too_large: TooLarge::Refuse,
    source_by: SourceBy::KeyOrPlace,
    refused: Refused::SentAgain,
};

/// Attributes that every event has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

impl Adapter for CloudEvents {
    fn name(&self) -> &'static str {
        "cloudevents"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        (path == "/events").then_some(Endpoint {
            operation: "events",
            get: false,
            post: true,
            purpose: Purpose::Events,
            manners: MANNERS,
        })
    }

    fn credentials(&self, _: &str, _: &str, _: &[u8]) -> Credentials {
        Credentials::default()
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        let content_type = request.header("content-type").unwrap_or_default().to_ascii_lowercase();
        let in_body = content_type.starts_with("application/cloudevents");
        if !in_body
            && request.headers.keys().any(|name| name.as_str() == "ce-specversion" || name.as_str() == "ce-type")
        {
            return Ok(vec![self.read_binary(request, &content_type)]);
        }
        let readable = Readable::of(request.body)?;
        if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(readable.root().get()) {
            let parts = readable.parts(&items, "");
            return Ok(parts.map(|part| part.and_then(|part| self.read_structured(request, &part))).collect());
        }
        let part = match readable.only() {
            Ok(part) => part,
            Err(bad) => return Ok(vec![Err(bad)]),
        };
        if !in_body && part.value.get("specversion").is_none() {
            let message = "neither ce- headers nor a body with \"specversion\": this is no CloudEvent";
            return Err(whole(request.body, "not-a-cloudevent", message));
        }
        Ok(vec![self.read_structured(request, &part)])
    }
}

impl CloudEvents {
    fn read_structured(&self, request: &RawRequest<'_>, part: &Part<'_>) -> Outcome {
        let outcome = part.object().and_then(|object| {
            let attributes = object.iter().filter(|(name, _)| !["data", "data_base64"].contains(&name.as_str()));
            let attributes: BTreeMap<String, String> =
                attributes.filter_map(|(name, value)| Some((name.clone(), json::scalar_of(value)?))).collect();
            let data = match (object.get("data"), object.get("data_base64")) {
                (Some(data), _) => data.clone(),
                (None, Some(encoded)) => decoded(encoded)?,
                (None, None) => Value::Null,
            };
            let mut observed = Event { attributes, data, request }.observe()?;
            part.mark(&mut observed);
            observed.into_record(request, self.name())
        });
        outcome.map_err(|bad| part.found(bad))
    }

    fn read_binary(&self, request: &RawRequest<'_>, content_type: &str) -> Outcome {
        let attributes: BTreeMap<String, String> = request
            .headers
            .iter()
            .filter_map(|(name, value)| {
                Some((name.as_str().strip_prefix("ce-")?.to_owned(), text_of(value.as_bytes())))
            })
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let says_json = content_type.contains("json") || content_type.is_empty();
        let part;
        let readable;
        let (data, part) = match Readable::of(request.body) {
            Ok(read) => {
                readable = read;
                part = readable.only()?;
                (part.value.clone(), Some(&part))
            }
            Err(bad) if bad.code == "empty-body" => (Value::Null, None),
            Err(bad) if says_json => return Err(bad),
            Err(_) => (json!(String::from_utf8_lossy(request.body).replace('\0', "")), None),
        };
        // Half of the event stands in the headers: in one piece it can be read again.
        let in_one_piece = structured(&attributes, &data);
        let found = |bad: BadRecord| bad.found("", 0, in_one_piece.as_bytes(), &[]);
        let mut observed = Event { attributes, data, request }.observe().map_err(found)?;
        observed.size = request.body.len();
        if let Some(part) = part {
            part.mark(&mut observed);
        }
        observed.into_record(request, self.name()).map_err(found)
    }
}

/// The event as a structured one.
fn structured(attributes: &BTreeMap<String, String>, data: &Value) -> String {
    let mut event: Map<String, Value> = attributes.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    event.insert("data".to_owned(), data.clone());
    Value::Object(event).to_string()
}

/// An attribute in a header: percent-encoded UTF-8, as the specification says; both official SDKs send raw Latin-1.
fn text_of(bytes: &[u8]) -> String {
    let unescaped = unescape(bytes);
    let text = String::from_utf8(unescaped).unwrap_or_else(|_| bytes.iter().map(|byte| char::from(*byte)).collect());
    text.trim().replace('\0', "")
}

/// Undoes percent-encoding; what is no escape stays.
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let escaped = digits.and_then(|two| std::str::from_utf8(two).ok()).and_then(|two| {
            two.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(two, 16).ok()).flatten()
        });
        match escaped {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Data in base64: JSON if it reads as such, else text.
fn decoded(encoded: &Value) -> Result<Value, BadRecord> {
    let bytes = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| fault("bad-base64", "/data_base64", "\"data_base64\" is no base64"))?;
    let text = String::from_utf8_lossy(&bytes);
    let (mended, _) = json::mend_item(&text);
    Ok(serde_json::from_str(&mended).unwrap_or_else(|_| json!(text.replace('\0', ""))))
}

/// One event, however it came.
struct Event<'a> {
    attributes: BTreeMap<String, String>,
    data: Value,
    request: &'a RawRequest<'a>,
}

impl Event<'_> {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn observe(&self) -> Result<Observed<'static>, BadRecord> {
        if let Some(missing) = REQUIRED.iter().find(|name| self.attribute(name).is_empty()) {
            let message = format!("a CloudEvent has {REQUIRED:?}; \"{missing}\" is missing");
            return Err(fault("no-attribute", &format!("/{missing}"), message));
        }
        if !["1.0", "0.3"].contains(&self.attribute("specversion")) {
            let mut bad = fault("unknown-specversion", "/specversion", "specversion 1.0 and 0.3 are understood");
            bad.kind = DeadLetterKind::Protocol;
            return Err(bad);
        }
        let mapping = self.request.mapping;
        let flat = mapping.lifted(json::flatten(&self.data));
        let meaning = mapping.meaning(Called::Type(self.attribute("type")), &flat);
        let who = mapping.who(&flat);
        let mut observed = Observed::new(meaning.event);
        observed.attributes = meaning.attributes;
        // Source and id together are what is unique.
        observed.message_id = format!("{} {}", self.attribute("source"), self.attribute("id")).into();
        let happened = Reported::read(Some(self.attribute("time")));
        observed.times = Times { happened, ..Times::default() };
        observed.anonymous_id = who.anonymous_id.map(Cow::Owned);
        observed.user_id = who.user_id.map(Cow::Owned);
        observed.email =
            who.email.or_else(|| Some(self.attribute("subject")).filter(|it| it.contains('@')).map(str::to_owned));
        observed.phone = who.phone;
        observed.crm_id = who.crm_id;
        observed.circumstances = circumstances(&self.data).into();
        observed.properties_json = properties_of(self.properties()).into();
        // The same in whichever mode it came.
        for (name, value) in self.attributes.iter().filter(|(name, _)| name.as_str() != "datacontenttype") {
            observed.fingerprint.add(name, value);
        }
        observed.fingerprint.add("data", &self.data.to_string());
        Ok(observed)
    }

    /// The data, and the attributes under "cloudevent".
    fn properties(&self) -> Map<String, Value> {
        let mut properties = match &self.data {
            Value::Object(data) => data.clone(),
            Value::Null => Map::new(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Map::from_iter([("data".to_owned(), other.clone())])
            }
        };
        let known = ["specversion", "id", "time", "datacontenttype"];
        let kept = self.attributes.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let kept: Map<String, Value> = kept.map(|(name, value)| (name.clone(), json!(value))).collect();
        properties.entry("cloudevent").or_insert(Value::Object(kept));
        properties
    }
}

/// Where and how, as far as free data says it by names that mean nothing else.
pub(super) fn circumstances(data: &Value) -> Circumstances {
    let first = |paths: &[&[&str]]| paths.iter().find_map(|path| json::at(data, path)).unwrap_or_default();
    Circumstances {
        url: first(&[&["page_url"], &["pageUrl"], &["page", "url"], &["page_location"]]),
        referrer: first(&[&["referrer"], &["page", "referrer"], &["page_referrer"]]),
        title: first(&[&["page_title"], &["pageTitle"], &["page", "title"]]),
        campaign_name: first(&[&["utm_campaign"]]),
        campaign_source: first(&[&["utm_source"]]),
        campaign_medium: first(&[&["utm_medium"]]),
        campaign_term: first(&[&["utm_term"]]),
        campaign_content: first(&[&["utm_content"]]),
        user_agent: first(&[&["user_agent"], &["userAgent"]]),
        locale: first(&[&["locale"]]),
        time_zone: first(&[&["timezone"], &["time_zone"]]),
        ip: first(&[&["ip"], &["ip_address"]]),
        ..Circumstances::default()
    }
}
