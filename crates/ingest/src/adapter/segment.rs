//! The Segment HTTP API, which RudderStack and Jitsu share: single calls and batches of
//! `identify`, `page`, `screen`, `track`, `group`, `alias`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::{Circumstances, DeadLetterKind};

use super::{
    Adapter, Asked, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, SourceBy, Success, TooLarge,
    UnknownSource,
};
use crate::json::{self, Object};
use crate::mapping::{Called, identified};
use crate::observed::{BadRecord, Fingerprint, Observed};
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::{Reported, Times};

/// See the module.
#[derive(Debug)]
pub(super) struct Segment;

/// Segment and RudderStack clients drop what is answered 400, 401 or 413, and retry 429 and 5xx.
pub(super) const MANNERS: Manners = Manners {
    success: Success::SuccessJson,
    unknown_source: UnknownSource::Refuse,
    too_large: TooLarge::Refuse,
    source_by: SourceBy::WriteKey,
    refused: Refused::SentAgain,
};

/// What a re-send changes, and what ingest adds: not part of what the event is.
const VOLATILE: [&str; 6] = ["sentAt", "sent_at", "_metadata", "writeKey", "receivedAt", "request_ip"];

impl Adapter for Segment {
    fn name(&self) -> &'static str {
        "segment"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        let post =
            |operation| Endpoint { operation, get: false, post: true, purpose: Purpose::Events, manners: MANNERS };
        let settings = Endpoint { get: true, post: false, purpose: Purpose::Settings, ..post("settings") };
        if project_of(path).is_some() {
            return Some(settings);
        }
        if path == "/v1/m" {
            return Some(Endpoint { purpose: Purpose::Discard, ..post("metrics") });
        }
        let name = path.strip_prefix("/v1/").or_else(|| path.strip_prefix('/').filter(|name| is_batch(name)))?;
        operation(name).map(post)
    }

    fn credentials(&self, path: &str, _: &str, body: &[u8]) -> Credentials {
        match project_of(path) {
            Some(key) => Credentials { write_key: Some(key.to_owned()), ..Credentials::default() },
            None => body_key(body),
        }
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        read(request, self.name())
    }

    /// What `cdn.segment.com` answers, as far as analytics-next needs it to start: without it, it sends nothing.
    fn settings(&self, asked: &Asked<'_>) -> Value {
        let mut segment_io = json!({
            "apiKey": asked.write_key,
            "unbundledIntegrations": [],
            "addBundledMetadata": true,
            "versionSettings": { "version": "4.4.7", "componentTypes": ["browser"] },
        });
        if let Some(host) = crate::request::header(asked.headers, "host") {
            segment_io["apiHost"] = json!(format!("{host}/v1"));
            segment_io["protocol"] = json!(scheme(asked));
        }
        json!({
            "integrations": { "Segment.io": segment_io },
            "plan": { "track": { "__default": { "enabled": true, "integrations": {} } } },
            "edgeFunction": {},
            "analyticsNextEnabled": true,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            "metrics": { "sampleRate": 0 },
            "legacyVideoPluginsEnabled": false,
            "remotePlugins": [],
        })
    }
}

/// How the page reaches us: a proxy in front may speak https for us, and a page of https may not send to http.
fn scheme(asked: &Asked<'_>) -> &'static str {
    let header = |name| crate::request::header(asked.headers, name);
    let forwarded = header("x-forwarded-proto").map(|proto| proto.eq_ignore_ascii_case("https"));
    let secure_page = || header("origin").or(header("referer")).is_some_and(|page| page.starts_with("https:"));
    if forwarded.unwrap_or_else(secure_page) { "https" } else { "http" }
}

/// The write key in `/v1/projects/{key}/settings`.
fn project_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1").unwrap_or(path);
    let key = rest.strip_prefix("/projects/")?.strip_suffix("/settings")?;
    (!key.is_empty() && !key.contains('/')).then_some(key)
}

fn is_batch(name: &str) -> bool {
    matches!(name, "batch" | "b")
}

/// The operation of a route's last part, with its short forms.
pub(super) fn operation(name: &str) -> Option<&'static str> {
    Some(match name {
        "batch" | "b" | "import" => "batch",
        "track" | "t" => "track",
        "page" | "p" => "page",
        "screen" | "s" => "screen",
        "identify" | "i" => "identify",
        "group" | "g" => "group",
        "alias" | "a" => "alias",
        "merge" => "merge",
        _ => return None,
    })
}

/// The write key in a body: at the top, else in the first event of a batch. Jitsu masks it; a masked one is none.
pub(super) fn body_key(body: &[u8]) -> Credentials {
    let text = String::from_utf8_lossy(body);
    let key_in = |object: &Object<'_>| {
        object.get("writeKey").and_then(|raw| json::scalar(raw)).filter(|key| !key.contains("***"))
    };
    let mended;
    let text = match serde_json::from_str::<Object<'_>>(&text) {
        Ok(_) => text.as_ref(),
        Err(_) => match json::mend_body(&text) {
            Some((better, _)) => {
                mended = better;
                mended.as_str()
            }
            None => return Credentials::default(),
        },
    };
    let Ok(object) = serde_json::from_str::<Object<'_>>(text) else { return Credentials::default() };
    let first = || {
        let items: Vec<&RawValue> = serde_json::from_str(object.get("batch")?.get()).ok()?;
        key_in(&serde_json::from_str(items.first()?.get()).ok()?)
    };
    Credentials { write_key: key_in(&object).or_else(first), ..Credentials::default() }
}

/// The events of a request of the Segment family.
pub(super) fn read(request: &RawRequest<'_>, protocol: &'static str) -> Result<Vec<Outcome>, BadRecord> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Err(whole(request, "empty-body", "the body is empty; expected a JSON object".to_owned(), &[]));
    }
    let decoded = String::from_utf8_lossy(request.body);
    let text = decoded.trim_start_matches('\u{feff}');
    let mut repairs: Vec<&'static str> = Vec::new();
    if matches!(decoded, std::borrow::Cow::Owned(_)) {
        repairs.push("utf-8");
    }
    let mended;
    let body: &RawValue = match serde_json::from_str(text) {
        Ok(body) => body,
        Err(error) => {
            let not_json = |error| format!("the body is no JSON: {error}");
            let Some((better, made)) = json::mend_body(text) else {
                return Err(whole(request, "not-json", not_json(error), &repairs));
            };
            repairs.extend(made);
            mended = better;
            serde_json::from_str(&mended).map_err(|error| whole(request, "not-json", not_json(error), &repairs))?
        }
    };
    let envelope = Envelope::of(body, request, protocol, &repairs)?;
    let numbered = envelope.items.iter().enumerate();
    Ok(numbered.map(|(index, item)| envelope.read_item(item, index)).collect())
}

/// A fault of the whole body.
fn whole(request: &RawRequest<'_>, code: &'static str, message: String, repairs: &[&'static str]) -> BadRecord {
    BadRecord::new(DeadLetterKind::Format, code, message).found("", 0, request.body, repairs)
}

/// What stands around the events of one request.
struct Envelope<'a> {
    request: &'a RawRequest<'a>,
    protocol: &'static str,
    items: Vec<&'a RawValue>,
    in_batch: bool,
    context: Option<Value>,
    sent: Option<String>,
    repairs: &'a [&'static str],
}

impl<'a> Envelope<'a> {
    fn of(
        body: &'a RawValue,
        request: &'a RawRequest<'a>,
        protocol: &'static str,
        repairs: &'a [&'static str],
    ) -> Result<Self, BadRecord> {
        let header = request.header("sentat").map(str::to_owned);
        let alone = |items, in_batch| Self { request, protocol, items, in_batch, context: None, sent: header, repairs };
        if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(body.get()) {
            return Ok(alone(items, true));
        }
        let Ok(object) = serde_json::from_str::<Object<'a>>(body.get()) else {
            let message = "the body is JSON, but no object".to_owned();
            return Err(whole(request, "not-an-object", message, repairs));
        };
        let Some(batch) = object.get("batch").filter(|_| request.operation == "batch") else {
            return Ok(alone(vec![body], false));
        };
        let items = serde_json::from_str::<Vec<&RawValue>>(batch.get()).map_err(|_| {
            let mut bad = whole(request, "batch-not-an-array", "\"batch\" is no array".to_owned(), repairs);
            "/batch".clone_into(&mut bad.pointer);
            bad
        })?;
        let context = object.get("context").map(|raw| value_of(raw));
        let sent = object.get("sentAt").and_then(|raw| json::scalar(raw));
        Ok(Self { context, sent: sent.or(header_of(request)), ..alone(items, true) })
    }

    fn read_item(&self, raw: &RawValue, index: usize) -> Outcome {
        let (text, mended) = json::mend_item(raw.get());
        let mut repairs = self.repairs.to_vec();
        repairs.extend(mended);
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let pointer = if self.in_batch { format!("/batch/{index}") } else { String::new() };
        let found = |bad: BadRecord| bad.found(&pointer, number, raw.get().as_bytes(), &repairs);
        let object: Object<'_> = serde_json::from_str(&text).map_err(|_| {
            found(BadRecord::new(DeadLetterKind::Format, "not-an-object", "the event is no JSON object"))
        })?;
        let item = Item { context: self.context_of(&object), object, request: self.request };
        let mut observed = item.observe().map_err(found)?;
        observed.times.sent =
            item.text("sentAt").or_else(|| self.sent.clone()).and_then(|text| Reported::read(Some(&text)).instant());
        observed.size = raw.get().len();
        observed.flags.extend(repairs.iter().map(|repair| repaired(repair)));
        observed.into_record(self.request, self.protocol).map_err(found)
    }

    /// The context of the batch, overlaid with the event's own.
    fn context_of(&self, item: &Object<'_>) -> Value {
        let own = item.get("context").map(|raw| value_of(raw));
        match (self.context.clone(), own) {
            (Some(Value::Object(mut common)), Some(Value::Object(own))) => {
                common.extend(own);
                Value::Object(common)
            }
            (_, Some(own)) => own,
            (Some(common), None) => common,
            (None, None) => Value::Null,
        }
    }
}

fn header_of(request: &RawRequest<'_>) -> Option<String> {
    request.header("sentat").map(str::to_owned)
}

fn value_of(raw: &RawValue) -> Value {
    serde_json::from_str(&json::mend_item(raw.get()).0).unwrap_or(Value::Null)
}

/// The flag of a repair.
pub(super) fn repaired(repair: &str) -> &'static str {
    match repair {
        "nan" => "repaired-nan",
        "nul" => "repaired-nul",
        "depth" => "repaired-depth",
        "lone-surrogate" => "repaired-lone-surrogate",
        "control-character" => "repaired-control-character",
        _ => "repaired-utf-8",
    }
}

/// One event of the Segment family.
struct Item<'a> {
    object: Object<'a>,
    context: Value,
    request: &'a RawRequest<'a>,
}

impl Item<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.object.get(name).and_then(|raw| json::scalar(raw))
    }

    fn observe(&self) -> Result<Observed, BadRecord> {
        // On a route for one kind of event the route names the kind.
        let kind = match self.request.operation {
            "batch" => self.text("type").ok_or_else(|| {
                let mut bad = BadRecord::new(DeadLetterKind::Schema, "no-type", "the event has no type");
                "/type".clone_into(&mut bad.pointer);
                bad
            })?,
            kind => kind.to_owned(),
        };
        let properties = self.container("properties");
        let traits = self.traits(&kind);
        let mut observed = self.observe_kind(&kind, &properties, &traits)?;
        if self.object.get("properties").is_some_and(|raw| !matches!(raw.get().as_bytes()[0], b'{' | b'n')) {
            observed.flags.push("properties-not-an-object");
        }
        observed.message_id = self.text("messageId").unwrap_or_default();
        // Where both are there, `timestamp` is what the caller said and `originalTimestamp` when the SDK was called.
        let happened = self.text("timestamp").or_else(|| self.text("originalTimestamp"));
        observed.times = Times { happened: Reported::read(happened.as_deref()), ..Times::default() };
        observed.anonymous_id = self.text("anonymousId");
        observed.user_id = self.text("userId");
        observed.phone = if kind == "identify" { attribute(&traits, self, "phone") } else { None };
        observed.email = self.email(&kind, &properties, &traits);
        if kind == "alias" {
            self.observe_alias(&mut observed);
        }
        observed.circumstances = self.circumstances(&kind, &properties);
        observed.fingerprint = self.fingerprint(&kind);
        Ok(observed)
    }

    fn observe_kind(&self, kind: &str, properties: &Value, traits: &Value) -> Result<Observed, BadRecord> {
        let named = |name: &str| self.text(name).or_else(|| json::at(properties, &[name])).unwrap_or_default();
        let mut attributes = BTreeMap::new();
        let event = match kind {
            "page" | "screen" => Event::PageViewed(v1::PageViewed { name: named("name"), category: named("category") }),
            "track" => {
                let name = self.text("event").ok_or_else(|| {
                    let mut bad = BadRecord::new(DeadLetterKind::Schema, "no-event", "a track call names its event");
                    "/event".clone_into(&mut bad.pointer);
                    bad
                })?;
                let meaning = self.request.mapping.meaning(Called::Name(&name), &json::flatten(properties));
                attributes = meaning.attributes;
                meaning.event
            }
            "identify" => identified(self.request.mapping.attributes(&json::flatten(traits))),
            "group" => {
                let mut attributes = self.request.mapping.company_attributes(&json::flatten(traits));
                attributes.extend(self.text("groupId").map(|id| ("group_id".to_owned(), id)));
                identified(attributes)
            }
            "alias" => identified(Vec::new()),
            "merge" => Event::CustomBehavior(v1::CustomBehavior { name: "merge".to_owned() }),
            _ => {
                let allowed = "identify, page, screen, track, group, alias, merge";
                let message = format!("no such type of event; allowed are {allowed}");
                let mut bad = BadRecord::new(DeadLetterKind::Schema, "unknown-type", message);
                "/type".clone_into(&mut bad.pointer);
                return Err(bad);
            }
        };
        let mut observed = Observed::new(event);
        observed.attributes = attributes;
        if let (Some(raw), "page" | "screen" | "track") = (self.object.get("properties"), kind)
            && properties.as_object().is_some_and(|object| !object.is_empty())
        {
            raw.get().clone_into(&mut observed.properties_json);
        }
        if let (Some(raw), "merge") = (self.object.get("mergeProperties"), kind) {
            observed.properties_json = format!("{{\"mergeProperties\":{}}}", raw.get());
        }
        Ok(observed)
    }

    /// An alias says that `previousId` is `userId` too; most often it is the anonymous id.
    fn observe_alias(&self, observed: &mut Observed) {
        let Some(previous) = self.text("previousId") else { return };
        observed.flags.push("alias");
        observed.properties_json = json!({ "previousId": previous }).to_string();
        if observed.anonymous_id.is_none() && observed.user_id.as_ref() != Some(&previous) {
            observed.anonymous_id = Some(previous);
        }
    }

    /// Traits of the person (or of the company, in a group call). `context.traits` are always the person's;
    /// RudderStack's Python SDK sends an identify's traits only there.
    fn traits(&self, kind: &str) -> Value {
        let own = self.container("traits");
        if kind != "identify" {
            return own;
        }
        match (self.context.get("traits").cloned(), own) {
            (Some(Value::Object(mut common)), Value::Object(own)) => {
                common.extend(own);
                Value::Object(common)
            }
            (Some(common @ Value::Object(_)), _) => common,
            (_, own) => own,
        }
    }

    fn email(&self, kind: &str, properties: &Value, traits: &Value) -> Option<String> {
        let own = match kind {
            "identify" => attribute(traits, self, "email"),
            "group" => None,
            _ => attribute(properties, self, "email"),
        };
        own.or_else(|| self.context.get("traits").and_then(|traits| attribute(traits, self, "email")))
    }

    fn container(&self, name: &str) -> Value {
        self.object.get(name).map_or(Value::Null, |raw| serde_json::from_str(raw.get()).unwrap_or(Value::Null))
    }

    fn circumstances(&self, kind: &str, properties: &Value) -> Circumstances {
        let context = |path: &[&str]| json::at(&self.context, path).unwrap_or_default();
        // A page call carries the page in its properties; `context.page` may already be the next one.
        let page = |name: &str| {
            let own = if kind == "page" { json::at(properties, &[name]) } else { None };
            own.or_else(|| json::at(&self.context, &["page", name])).unwrap_or_default()
        };
        let url = page("url");
        // The path must be of the same page as the URL: only together.
        let path = if url.is_empty() || json::at(properties, &["url"]).is_none() || kind != "page" {
            page("path")
        } else {
            json::at(properties, &["path"]).unwrap_or_default()
        };
        Circumstances {
            url,
            path,
            host: context(&["page", "host"]),
            referrer: page("referrer"),
            title: page("title"),
            campaign_name: context(&["campaign", "name"]),
            campaign_source: context(&["campaign", "source"]),
            campaign_medium: context(&["campaign", "medium"]),
            campaign_term: context(&["campaign", "term"]),
            campaign_content: context(&["campaign", "content"]),
            user_agent: context(&["userAgent"]),
            locale: context(&["locale"]),
            time_zone: context(&["timezone"]),
            ip: context(&["ip"]),
        }
    }

    fn fingerprint(&self, kind: &str) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add("type", kind);
        for (name, raw) in &self.object {
            if name != "type" && !VOLATILE.contains(&name.as_str()) {
                fingerprint.add(name, raw.get());
            }
        }
        fingerprint
    }
}

/// A standard attribute among traits or properties.
fn attribute(traits: &Value, item: &Item<'_>, name: &str) -> Option<String> {
    let attributes = item.request.mapping.attributes(&json::flatten(traits));
    attributes.into_iter().find(|(standard, _)| standard == name).map(|(_, value)| value)
}
