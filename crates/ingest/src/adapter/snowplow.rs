//! Snowplow tracker protocol 2: flat strings, self-describing events, by POST or as one event in a query.
//!
//! Page pings (`pp`, one every ten seconds of reading) become a `CustomBehavior` named `page_ping`: no rule of the
//! default playbook gives points for it, but what was answered 200 must be found on the log.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::{Circumstances, DeadLetterKind};

use super::segment::repaired;
use super::{
    Adapter, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, SourceBy, Success, TooLarge, UnknownSource,
};
use crate::fingerprint::Fingerprint;
use crate::json::{self, Object};
use crate::mapping::{Called, Meaning};
use crate::observed::{BadRecord, Observed};
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::{Reported, Times};

/// See the module.
#[derive(Debug)]
pub(super) struct Snowplow;

/// Snowplow clients retry everything but 400, 401, 403, 410 and 422, and a growing request at that: never 413.
const MANNERS: Manners = Manners {
    success: Success::OkTextOrPixel,
    unknown_source: UnknownSource::Quarantine,
    too_large: TooLarge::Swallow,
    source_by: SourceBy::Place,
    refused: Refused::SentAgain,
};

/// Node sends base64url without padding, Python with; some send the standard alphabet.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Adapter for Snowplow {
    fn name(&self) -> &'static str {
        "snowplow"
    }

    fn endpoint(&self, path: &str, sources: &Sources) -> Option<Endpoint> {
        let events =
            |post| Some(Endpoint { operation: "tp2", get: true, post, purpose: Purpose::Events, manners: MANNERS });
        if path == "/i" || path == "/ice.png" {
            return events(false);
        }
        let vendor = path.strip_suffix("/tp2").and_then(|path| path.strip_prefix('/'));
        let is_vendor = vendor.is_some_and(|vendor| !vendor.is_empty() && !vendor.contains('/'));
        if is_vendor || sources.has_path(path) { events(true) } else { None }
    }

    fn credentials(&self, _: &str, query: &str, body: &[u8]) -> Credentials {
        let in_body = || {
            let text = std::str::from_utf8(body).ok()?;
            let payload: Object<'_> = serde_json::from_str(text).ok()?;
            let items: Vec<&RawValue> = serde_json::from_str(payload.get("data")?.get()).ok()?;
            let first: Object<'_> = serde_json::from_str(items.first()?.get()).ok()?;
            first.get("aid").and_then(|raw| json::scalar(raw))
        };
        Credentials { app_id: crate::request::query_value(query, &["aid"]).or_else(in_body), ..Credentials::default() }
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        if request.method != axum::http::Method::POST {
            return Ok(vec![self.read_query(request)]);
        }
        if request.body.iter().all(u8::is_ascii_whitespace) {
            let bad = BadRecord::new(DeadLetterKind::Format, "empty-body", "the body is empty");
            return Ok(vec![Err(bad)]);
        }
        let whole = |code, message: String, repairs: &[&'static str]| {
            BadRecord::new(DeadLetterKind::Format, code, message).found("", 0, request.body, repairs)
        };
        let decoded = String::from_utf8_lossy(request.body);
        let mut repairs = Vec::new();
        let mended;
        let body: &RawValue = match serde_json::from_str(&decoded) {
            Ok(body) => body,
            Err(error) => {
                let not_json = |error| whole("not-json", format!("the body is no JSON: {error}"), &[]);
                let Some((better, made)) = json::mend_body(&decoded) else { return Err(not_json(error)) };
                repairs = made;
                mended = better;
                serde_json::from_str(&mended).map_err(not_json)?
            }
        };
        let payload: Object<'_> = serde_json::from_str(body.get())
            .map_err(|_| whole("not-an-object", "the body is JSON, but no object".to_owned(), &repairs))?;
        // One event without the payload around it is taken too: that is how a dead letter is sent again.
        let Some(data) = payload.get("data") else { return Ok(vec![self.read_item(request, body, None, &repairs)]) };
        let items: Vec<&RawValue> = serde_json::from_str(data.get())
            .map_err(|_| whole("data-not-an-array", "\"data\" is no array".to_owned(), &repairs))?;
        let numbered = items.into_iter().enumerate();
        Ok(numbered.map(|(index, item)| self.read_item(request, item, Some(index), &repairs)).collect())
    }
}

impl Snowplow {
    fn read_query(&self, request: &RawRequest<'_>) -> Outcome {
        let fields = url::form_urlencoded::parse(request.query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.replace('\0', "")))
            .collect();
        let found = |bad: BadRecord| bad.found("", 0, request.query.as_bytes(), &[]);
        let mut observed = Item { fields, request }.observe().map_err(found)?;
        observed.size = request.query.len();
        observed.into_record(request, self.name()).map_err(found)
    }

    fn read_item(
        &self,
        request: &RawRequest<'_>,
        raw: &RawValue,
        index: Option<usize>,
        of_body: &[&'static str],
    ) -> Outcome {
        let (text, mended) = json::mend_item(raw.get());
        let mut repairs = of_body.to_vec();
        repairs.extend(mended);
        let number = u32::try_from(index.unwrap_or(0)).unwrap_or(u32::MAX);
        let pointer = index.map(|index| format!("/data/{index}")).unwrap_or_default();
        let found = |bad: BadRecord| bad.found(&pointer, number, raw.get().as_bytes(), &repairs);
        let object: Object<'_> = serde_json::from_str(&text).map_err(|_| {
            found(BadRecord::new(DeadLetterKind::Format, "not-an-object", "the event is no JSON object"))
        })?;
        let fields =
            object.into_iter().filter_map(|(name, raw)| json::scalar(raw).map(|value| (name, value))).collect();
        let mut observed = Item { fields, request }.observe().map_err(found)?;
        observed.size = raw.get().len();
        observed.flags.extend(repairs.iter().map(|repair| repaired(repair)));
        observed.into_record(request, self.name()).map_err(found)
    }
}

/// One Snowplow event: short names, all values text.
struct Item<'a> {
    fields: BTreeMap<String, String>,
    request: &'a RawRequest<'a>,
}

/// A self-describing event or entity: which schema, what data.
struct SelfDescribing {
    vendor: String,
    name: String,
    data: Value,
}

impl Item<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.fields.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn own(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    fn observe(&self) -> Result<Observed<'static>, BadRecord> {
        let (meaning, mut properties) = self.meaning()?;
        let mut observed = Observed::new(meaning.event);
        observed.attributes = meaning.attributes;
        observed.email = json::at(&Value::Object(properties.clone()), &["email"]);
        match self.described("co", "cx") {
            Ok(Some(Value::Object(contexts))) => {
                if let Some(entities) = contexts.get("data") {
                    properties.entry("contexts").or_insert_with(|| entities.clone());
                }
            }
            Ok(_) => {}
            // The event is good without its entities.
            Err(_) => observed.flags.push("bad-contexts"),
        }
        if !properties.is_empty() {
            observed.properties_json = Value::Object(properties).to_string().into();
        }
        observed.message_id = self.own("eid").into();
        observed.anonymous_id = ["duid", "nuid", "tnuid"].iter().find_map(|name| self.text(name)).map(Cow::Owned);
        observed.user_id = self.text("uid").map(Cow::Owned);
        observed.times = self.times();
        observed.circumstances = Circumstances {
            url: self.own("url"),
            referrer: self.own("refr"),
            title: self.own("page"),
            user_agent: self.own("ua"),
            locale: self.own("lang"),
            time_zone: self.own("tz"),
            ip: self.own("ip"),
            ..Circumstances::default()
        }
        .into();
        let mut fingerprint = Fingerprint::default();
        for (name, value) in &self.fields {
            // `stm` is the sending time, `rand` breaks caches: a re-send changes them.
            if name != "stm" && name != "rand" {
                fingerprint.add(name, value);
            }
        }
        observed.fingerprint = fingerprint;
        Ok(observed)
    }

    fn meaning(&self) -> Result<(Meaning, Map<String, Value>), BadRecord> {
        let custom = |name: &str| Meaning::of(Event::CustomBehavior(v1::CustomBehavior { name: name.to_owned() }));
        let bad = |code, pointer: &str, message: &str| {
            let mut bad = BadRecord::new(DeadLetterKind::Schema, code, message);
            pointer.clone_into(&mut bad.pointer);
            bad
        };
        let kind = self.text("e").ok_or_else(|| bad("no-type", "/e", "the event has no type (\"e\")"))?;
        match kind.as_str() {
            "pv" => Ok((Meaning::of(Event::PageViewed(v1::PageViewed::default())), Map::new())),
            "pp" => Ok((custom("page_ping"), self.named(&["pp_mix", "pp_max", "pp_miy", "pp_may"], "pp_"))),
            "se" => {
                let properties = self.named(&["se_ca", "se_ac", "se_la", "se_pr", "se_va"], "se_");
                let (category, action) = (self.own("se_ca"), self.own("se_ac"));
                if category.is_empty() || action.is_empty() {
                    let message = "a structured event has a category (\"se_ca\") and an action (\"se_ac\")";
                    return Err(bad("no-category-or-action", "", message));
                }
                let called = Called::Structured { category: &category, action: &action };
                let flat = json::flatten(&Value::Object(properties.clone()));
                Ok((self.request.mapping.meaning(called, &flat), properties))
            }
            "ue" => {
                let described =
                    self.unstructured().map_err(|message| bad("bad-self-describing", "/ue_pr", &message))?;
                let called = Called::Schema { vendor: &described.vendor, name: &described.name };
                let meaning = self.request.mapping.meaning(called, &json::flatten(&described.data));
                let properties = match described.data {
                    Value::Object(data) => data,
                    other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                        Map::from_iter([("data".to_owned(), other)])
                    }
                };
                Ok((meaning, properties))
            }
            "tr" => Ok((custom("transaction"), self.all_starting_with("tr_"))),
            "ti" => Ok((custom("transaction_item"), self.all_starting_with("ti_"))),
            _ => {
                let allowed = "no such type of event (\"e\"); allowed are pv, pp, se, ue, tr, ti";
                Err(bad("unknown-type", "/e", allowed))
            }
        }
    }

    /// Some fields as properties, under the names Snowplow's documentation gives them.
    fn named(&self, names: &[&str], prefix: &str) -> Map<String, Value> {
        let long = |name: &str| match name {
            "se_ca" => "category".to_owned(),
            "se_ac" => "action".to_owned(),
            "se_la" => "label".to_owned(),
            "se_pr" => "property".to_owned(),
            "se_va" => "value".to_owned(),
            other => other.trim_start_matches(prefix).to_owned(),
        };
        names.iter().filter_map(|name| Some((long(name), Value::from(self.text(name)?)))).collect()
    }

    fn all_starting_with(&self, prefix: &str) -> Map<String, Value> {
        let own = self.fields.iter().filter(|(name, _)| name.starts_with(prefix));
        own.map(|(name, value)| (name[prefix.len()..].to_owned(), Value::from(value.as_str()))).collect()
    }

    /// The self-describing JSON in a field, plain or base64.
    fn described(&self, plain: &str, encoded: &str) -> Result<Option<Value>, String> {
        let text = match (self.text(plain), self.text(encoded)) {
            (Some(text), _) => text,
            (None, None) => return Ok(None),
            (None, Some(encoded_text)) => {
                // In a query `+` has become a space.
                let url_safe = encoded_text.replace(['+', ' '], "-").replace('/', "_");
                let bytes = BASE64.decode(url_safe).map_err(|_| format!("\"{encoded}\" is no base64"))?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        let mended = json::mend_body(&text).map_or(text, |(mended, _)| mended);
        let (mended, _) = json::mend_item(&mended);
        serde_json::from_str(&mended).map(Some).map_err(|_| format!("\"{plain}\" or \"{encoded}\" is no JSON"))
    }

    fn unstructured(&self) -> Result<SelfDescribing, String> {
        let outer = self.described("ue_pr", "ue_px")?.ok_or("a self-describing event has \"ue_pr\" or \"ue_px\"")?;
        let inner = outer.get("data").ok_or("the self-describing event has no \"data\"")?;
        let schema = inner.get("schema").and_then(Value::as_str).ok_or("the event names no schema")?;
        // iglu:vendor/name/format/version
        let mut parts = schema.strip_prefix("iglu:").unwrap_or(schema).split('/');
        match (parts.next(), parts.next()) {
            (Some(vendor), Some(name)) if !vendor.is_empty() && !name.is_empty() => Ok(SelfDescribing {
                vendor: vendor.to_owned(),
                name: name.to_owned(),
                data: inner.get("data").cloned().unwrap_or(Value::Null),
            }),
            _ => Err("the schema is not \"iglu:vendor/name/format/version\"".to_owned()),
        }
    }

    /// The true time is vouched for. Else the device's time, which only differences of the device's clock correct.
    fn times(&self) -> Times {
        let read = |name: &str| Reported::read(self.text(name).as_deref());
        let sent = read("stm").instant();
        let true_time = read("ttm");
        if true_time == Reported::Absent {
            Times { happened: read("dtm"), sent, vouched: false }
        } else {
            Times { happened: true_time, sent, vouched: true }
        }
    }
}
