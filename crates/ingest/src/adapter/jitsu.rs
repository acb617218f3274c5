//! Jitsu's routes: bodies as Segment's, other paths, another answer. Its clients never retry.
//!
//! A pixel has its event in the query: base64 JSON as `data`, other parameters by their path on top. Told to
//! (`process_headers`), it takes who it was from Jitsu's cookies and the page from the Referer. A `destination_url` is
//! not followed: ingest never redirects.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use tasuki_wire::v1::DeadLetterKind;

use super::segment::{self, MANNERS};
use super::{Adapter, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, Success, UnknownSource};
use crate::json;
use crate::observed::BadRecord;
use crate::request::RawRequest;
use crate::source::Sources;

/// See the module.
#[derive(Debug)]
pub(super) struct Jitsu;

const JITSU: Manners = Manners { success: Success::OkJson, refused: Refused::Lost, ..MANNERS };
const PIXEL: Manners = Manners { success: Success::Pixel, unknown_source: UnknownSource::Quarantine, ..JITSU };

/// Names that a parameter's path may have: more would be no event of Jitsu's, and nested too deep to be read.
const MAX_PATH: usize = 16;

/// Parameters of a pixel that are none of the event's.
const NO_FIELDS: [&str; 6] = ["data", "cookie_domain", "destination_url", "process_headers", "writeKey", "writekey"];

impl Adapter for Jitsu {
    fn name(&self) -> &'static str {
        "jitsu"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        if let Some(operation) = path.strip_prefix("/api/px/").and_then(segment::operation) {
            return Some(Endpoint { operation, get: true, post: false, purpose: Purpose::Events, manners: PIXEL });
        }
        let name = path.strip_prefix("/api/s/")?;
        let name = name.strip_prefix("s2s/").unwrap_or(name);
        let operation = segment::operation(name)?;
        Some(Endpoint { operation, get: false, post: true, purpose: Purpose::Events, manners: JITSU })
    }

    fn credentials(&self, path: &str, query: &str, body: &[u8]) -> Credentials {
        if path.starts_with("/api/px/") {
            return pixel(query, None).map(|event| segment::body_key(event.to_string().as_bytes())).unwrap_or_default();
        }
        segment::body_key(body)
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        if !request.path.starts_with("/api/px/") {
            return segment::read(request, self.name());
        }
        match pixel(request.query, Some(request)) {
            Ok(event) => {
                let body = event.to_string();
                let read = segment::read(&RawRequest { body: body.as_bytes(), ..*request }, self.name());
                // A pixel is answered as one, whatever was wrong.
                Ok(read.unwrap_or_else(|bad| vec![Err(bad)]))
            }
            Err(message) => {
                let bad = BadRecord::new(DeadLetterKind::Format, "bad-data", message);
                Ok(vec![Err(bad.found("", 0, request.query.as_bytes(), &[]))])
            }
        }
    }
}

/// The event of a pixel's query. With the request, also what its headers say, if they are to be asked.
fn pixel(query: &str, request: Option<&RawRequest<'_>>) -> Result<Value, &'static str> {
    let mut event = Value::Object(Map::new());
    let mut process_headers = false;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "data" if !value.is_empty() => {
                // In a query `+` has become a space.
                let bytes = STANDARD.decode(value.replace(' ', "+")).map_err(|_| "\"data\" is no base64")?;
                let text = String::from_utf8_lossy(&bytes);
                let mended = json::mend_body(&text).map_or(text.into_owned(), |(mended, _)| mended);
                event = serde_json::from_str(&json::mend_item(&mended).0)
                    .ok()
                    .filter(Value::is_object)
                    .ok_or("\"data\" is no JSON object in base64")?;
            }
            "process_headers" => process_headers = !["", "0", "false"].contains(&value.as_ref()),
            _ => {}
        }
    }
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !NO_FIELDS.contains(&name.as_ref()) {
            let path: Vec<&str> = name.split('.').take(MAX_PATH).collect();
            set(&mut event, &path, Value::from(value.replace('\0', "")));
        }
    }
    if let Some(request) = request.filter(|_| process_headers) {
        of_headers(request, &mut event);
    }
    Ok(event)
}

/// Sets what stands at a path of names; what stands in its way and is no object gives way.
fn set(at: &mut Value, path: &[&str], value: Value) {
    let [first, rest @ ..] = path else {
        *at = value;
        return;
    };
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    if let Value::Object(object) = at {
        set(object.entry((*first).to_owned()).or_insert(Value::Null), rest, value);
    }
}

/// Who it was by Jitsu's cookies, which page by the Referer; what the event says itself stands.
fn of_headers(request: &RawRequest<'_>, event: &mut Value) {
    let cookies = request.header("cookie").unwrap_or_default();
    let cookie = |name: &str| {
        let pair = cookies.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(own, _)| *own == name)?;
        let decoded = url::form_urlencoded::parse(format!("v={}", pair.1).as_bytes()).next()?.1.into_owned();
        (!decoded.is_empty()).then_some(decoded)
    };
    let mut add = |path: &[&str], value: Option<Value>| {
        let absent = json::at(event, path).is_none();
        if let Some(value) = value.filter(|_| absent) {
            set(event, path, value);
        }
    };
    add(&["anonymousId"], cookie("__eventn_id").map(Value::from));
    add(&["userId"], cookie("__eventn_uid").map(Value::from));
    add(&["context", "page", "url"], request.header("referer").map(Value::from));
    let traits = cookie("__eventn_id_usr").and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok());
    for (name, value) in traits.unwrap_or_default() {
        add(&["context", "traits", &name], Some(value));
    }
}
