//! The Segment HTTP API, which RudderStack and Jitsu share: single calls and batches of
//! `identify`, `page`, `screen`, `track`, `group`, `alias`.

mod item;

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Value as Tree, json};
use tasuki_domain::Timestamp;
use tasuki_wire::v1::DeadLetterKind;

use self::item::Item;
use super::{
    Adapter, Asked, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, SourceBy, Success, TooLarge,
    UnknownSource,
};
use crate::json;
use crate::json::document::{Document, Kind, NotJson, Value};
use crate::observed::BadRecord;
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::Reported;

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
    fn settings(&self, asked: &Asked<'_>) -> Tree {
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
    let text = json::text(body);
    let mended;
    let document = match Document::read(&text, json::MAX_DEPTH) {
        Ok(document) => document,
        Err(NotJson) => {
            let Some((better, _)) = json::mend_body(&text) else { return Credentials::default() };
            mended = better;
            let Ok(document) = Document::read(&mended, json::MAX_DEPTH) else { return Credentials::default() };
            document
        }
    };
    let key_in = |value: Value<'_, '_>| {
        value.get("writeKey").and_then(Value::scalar).filter(|key| !key.contains("***")).map(Cow::into_owned)
    };
    let root = document.root();
    let first = || key_in(root.get("batch")?.elements().next()?);
    Credentials { write_key: key_in(root).or_else(first), ..Credentials::default() }
}

/// The events of a request of the Segment family.
pub(super) fn read(request: &RawRequest<'_>, protocol: &'static str) -> Result<Vec<Outcome>, BadRecord> {
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Err(whole(request, "empty-body", "the body is empty; expected a JSON object".to_owned(), &[]));
    }
    let decoded = json::text(request.body);
    let text = decoded.trim_start_matches('\u{feff}');
    let mut repairs: Vec<&'static str> = Vec::new();
    if matches!(decoded, Cow::Owned(_)) {
        repairs.push("utf-8");
    }
    let mended;
    let document = match Document::read(text, json::MAX_DEPTH) {
        Ok(document) => document,
        Err(NotJson) => {
            let Some((better, made)) = json::mend_body(text) else {
                return Err(whole(request, "not-json", why_not_json(text), &repairs));
            };
            repairs.extend(made);
            mended = better;
            Document::read(&mended, json::MAX_DEPTH)
                .map_err(|NotJson| whole(request, "not-json", why_not_json(&mended), &repairs))?
        }
    };
    let mut envelope = Envelope::of(&document, request, protocol, &repairs)?;
    let context = envelope.context.filter(|_| document.is_unusual()).map(|context| json::mend_item(context.raw()).0);
    let context = context.as_deref().and_then(|text| Document::read(text, json::MAX_DEPTH).ok());
    if let Some(context) = &context {
        envelope.context = Some(context.root());
    }
    let numbered = envelope.items.iter().enumerate();
    Ok(numbered.map(|(index, item)| envelope.read_item(*item, index)).collect())
}

/// A fault of the whole body.
fn whole(request: &RawRequest<'_>, code: &'static str, message: String, repairs: &[&'static str]) -> BadRecord {
    BadRecord::new(DeadLetterKind::Format, code, message).found("", 0, request.body, repairs)
}

/// Where the body is no JSON, and what was expected there.
fn why_not_json(text: &str) -> String {
    match serde_json::from_str::<&RawValue>(text) {
        Err(error) => format!("the body is no JSON: {error}"),
        Ok(_) => "the body is longer than is read".to_owned(),
    }
}

/// What stands around the events of one request.
struct Envelope<'a> {
    request: &'a RawRequest<'a>,
    protocol: &'static str,
    items: Vec<Value<'a, 'a>>,
    in_batch: bool,
    /// Something may have to be mended.
    unusual: bool,
    context: Option<Value<'a, 'a>>,
    sent: Option<Timestamp>,
    repairs: &'a [&'static str],
}

impl<'a> Envelope<'a> {
    fn of(
        document: &'a Document<'a>,
        request: &'a RawRequest<'a>,
        protocol: &'static str,
        repairs: &'a [&'static str],
    ) -> Result<Self, BadRecord> {
        let (root, unusual) = (document.root(), document.is_unusual());
        let header = request.header("sentat").and_then(instant);
        let alone = |items, in_batch| {
            let (context, sent) = (None, header);
            Self { request, protocol, items, in_batch, unusual, context, sent, repairs }
        };
        if root.kind() == Kind::Array {
            return Ok(alone(root.elements().collect(), true));
        }
        if root.kind() != Kind::Object {
            let message = "the body is JSON, but no object".to_owned();
            return Err(whole(request, "not-an-object", message, repairs));
        }
        let Some(batch) = root.get("batch").filter(|_| request.operation == "batch") else {
            return Ok(alone(vec![root], false));
        };
        if batch.kind() != Kind::Array {
            let mut bad = whole(request, "batch-not-an-array", "\"batch\" is no array".to_owned(), repairs);
            "/batch".clone_into(&mut bad.pointer);
            return Err(bad);
        }
        let sent = root.get("sentAt").and_then(Value::scalar).map_or(header, |text| instant(&text));
        Ok(Self { context: root.get("context"), sent, ..alone(batch.elements().collect(), true) })
    }

    fn read_item(&self, item: Value<'_, '_>, index: usize) -> Outcome {
        let sent = item.raw().len();
        let (text, mended) =
            if self.unusual { json::mend_item(item.raw()) } else { (Cow::Borrowed(item.raw()), Vec::new()) };
        let repairs = || [self.repairs, &mended].concat();
        let found = |bad: BadRecord| {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            let pointer = if self.in_batch { format!("/batch/{index}") } else { String::new() };
            bad.found(&pointer, number, item.raw().as_bytes(), &repairs())
        };
        let document;
        let value = match &text {
            Cow::Borrowed(_) => Some(item),
            Cow::Owned(text) => {
                document = Document::read(text, json::MAX_DEPTH);
                document.as_ref().ok().map(Document::root)
            }
        };
        let Some(value) = value.filter(|value| value.kind() == Kind::Object) else {
            return Err(found(BadRecord::new(DeadLetterKind::Format, "not-an-object", "the event is no JSON object")));
        };
        let item = Item::of(value, self.context, self.request);
        let mut observed = item.observe().map_err(found)?;
        observed.times.sent = item.sent_at().map_or(self.sent, |text| instant(&text));
        observed.size = sent;
        observed.flags.extend(self.repairs.iter().chain(&mended).map(|repair| repaired(repair)));
        observed.into_record(self.request, self.protocol).map_err(found)
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    Reported::read(Some(text)).instant()
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
