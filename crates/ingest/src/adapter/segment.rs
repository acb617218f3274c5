//! The Segment HTTP API, which RudderStack and Jitsu share: single calls and batches of
//! `identify`, `page`, `screen`, `track`, `group`, `alias`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value as Tree, json};
use tasuki_domain::Timestamp;
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::{Circumstances, DeadLetterKind};

use super::{
    Adapter, Asked, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, SourceBy, Success, TooLarge,
    UnknownSource,
};
use crate::json;
use crate::json::document::{Document, Kind, NotJson, Value};
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
        let members = value.sorted();
        let own = value_in(&members, "context");
        let context = Context { own, common: self.context };
        let item = Item { members, context, request: self.request };
        let mut observed = item.observe().map_err(found)?;
        observed.times.sent = item.text("sentAt").map_or(self.sent, |text| instant(&text));
        observed.size = sent;
        observed.flags.extend(repairs().iter().map(|repair| repaired(repair)));
        observed.into_record(self.request, self.protocol).map_err(found)
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    Reported::read(Some(text)).instant()
}

fn value_in<'d, 't>(members: &[(Cow<'t, str>, Value<'d, 't>)], name: &str) -> Option<Value<'d, 't>> {
    members.iter().find(|(found, _)| found == name).map(|(_, value)| *value)
}

/// The context of the batch, overlaid with the event's own.
#[derive(Clone, Copy)]
struct Context<'d, 't> {
    own: Option<Value<'d, 't>>,
    common: Option<Value<'d, 't>>,
}

impl<'d, 't> Context<'d, 't> {
    fn get(self, name: &str) -> Option<Value<'d, 't>> {
        let is_object = |value: &Value<'_, '_>| value.kind() == Kind::Object;
        match (self.own, self.common) {
            (Some(own), Some(common)) if is_object(&own) && is_object(&common) => {
                own.get(name).or_else(|| common.get(name))
            }
            (Some(only), _) | (None, Some(only)) => only.get(name),
            (None, None) => None,
        }
    }
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
struct Item<'a, 'd, 't> {
    /// Sorted by name.
    members: Vec<(Cow<'t, str>, Value<'d, 't>)>,
    context: Context<'d, 't>,
    request: &'a RawRequest<'a>,
}

impl<'d, 't> Item<'_, 'd, 't> {
    fn get(&self, name: &str) -> Option<Value<'d, 't>> {
        value_in(&self.members, name)
    }

    fn text(&self, name: &str) -> Option<Cow<'t, str>> {
        self.get(name).and_then(Value::scalar)
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(Cow::into_owned)
    }

    fn observe(&self) -> Result<Observed, BadRecord> {
        // On a route for one kind of event the route names the kind.
        let kind = match self.request.operation {
            "batch" => self.text("type").ok_or_else(|| {
                let mut bad = BadRecord::new(DeadLetterKind::Schema, "no-type", "the event has no type");
                "/type".clone_into(&mut bad.pointer);
                bad
            })?,
            kind => Cow::Borrowed(kind),
        };
        let properties = self.get("properties");
        let traits = self.traits(&kind);
        let mut observed = self.observe_kind(&kind, properties, &traits)?;
        if properties.is_some_and(|value| !matches!(value.kind(), Kind::Object | Kind::Null)) {
            observed.flags.push("properties-not-an-object");
        }
        observed.message_id = self.owned("messageId").unwrap_or_default();
        // Where both are there, `timestamp` is what the caller said and `originalTimestamp` when the SDK was called.
        let happened = self.text("timestamp").or_else(|| self.text("originalTimestamp"));
        observed.times = Times { happened: Reported::read(happened.as_deref()), ..Times::default() };
        observed.anonymous_id = self.owned("anonymousId");
        observed.user_id = self.owned("userId");
        if kind == "identify" {
            observed.phone = first_of(&self.request.mapping.attributes(&traits), "phone");
            observed.crm_id = self.request.mapping.crm_id(&traits);
        }
        observed.email = self.email(&kind, properties, &traits);
        if kind == "alias" {
            self.observe_alias(&mut observed);
        }
        observed.circumstances = self.circumstances(&kind, properties);
        observed.consents = self.consents();
        observed.fingerprint = self.fingerprint(&kind);
        Ok(observed)
    }

    fn observe_kind(
        &self,
        kind: &str,
        properties: Option<Value<'d, 't>>,
        traits: &[(String, String)],
    ) -> Result<Observed, BadRecord> {
        let named = |name: &str| {
            let property = || properties?.get(name)?.plain_scalar();
            self.text(name).or_else(property).unwrap_or_default().into_owned()
        };
        let mapping = self.request.mapping;
        let mut attributes = BTreeMap::new();
        let event = match kind {
            "page" | "screen" => Event::PageViewed(v1::PageViewed { name: named("name"), category: named("category") }),
            "track" => {
                let name = self.text("event").ok_or_else(|| {
                    let mut bad = BadRecord::new(DeadLetterKind::Schema, "no-event", "a track call names its event");
                    "/event".clone_into(&mut bad.pointer);
                    bad
                })?;
                let called = Called::Name(&name);
                let flat = if mapping.knows_name(&name) { properties.map(json::flat) } else { None };
                let meaning = mapping.meaning(called, &flat.unwrap_or_default());
                attributes = meaning.attributes;
                meaning.event
            }
            "identify" => identified(mapping.attributes(traits)),
            "group" => {
                let mut attributes = mapping.company_attributes(traits);
                attributes.extend(self.owned("groupId").map(|id| ("group_id".to_owned(), id)));
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
        if let (Some(properties), "page" | "screen" | "track") = (properties, kind)
            && properties.members().next().is_some()
        {
            properties.raw().clone_into(&mut observed.properties_json);
        }
        if let (Some(value), "merge") = (self.get("mergeProperties"), kind) {
            observed.properties_json = format!("{{\"mergeProperties\":{}}}", value.raw());
        }
        Ok(observed)
    }

    /// An alias says that `previousId` is `userId` too; most often it is the anonymous id.
    fn observe_alias(&self, observed: &mut Observed) {
        let Some(previous) = self.owned("previousId") else { return };
        observed.flags.push("alias");
        observed.properties_json = json!({ "previousId": previous }).to_string();
        if observed.anonymous_id.is_none() && observed.user_id.as_ref() != Some(&previous) {
            observed.anonymous_id = Some(previous);
        }
    }

    /// Traits of the person (or of the company, in a group call), flat. `context.traits` are always the person's;
    /// RudderStack's Python SDK sends an identify's traits only there.
    fn traits(&self, kind: &str) -> Vec<(String, String)> {
        let own = || self.get("traits").map_or(Tree::Null, Value::tree);
        let traits = match kind {
            "identify" => match (self.context.get("traits").map(Value::tree), own()) {
                (Some(Tree::Object(mut common)), Tree::Object(own)) => {
                    common.extend(own);
                    Tree::Object(common)
                }
                (Some(common @ Tree::Object(_)), _) => common,
                (_, own) => own,
            },
            "group" => own(),
            _ => return Vec::new(),
        };
        json::flatten(&traits)
    }

    fn email(&self, kind: &str, properties: Option<Value<'_, '_>>, traits: &[(String, String)]) -> Option<String> {
        let mapping = self.request.mapping;
        let own = match kind {
            "identify" => first_of(&mapping.attributes(traits), "email"),
            "group" => None,
            _ => properties.and_then(|properties| mapping.attribute(properties, "email")),
        };
        own.or_else(|| mapping.attribute(self.context.get("traits")?, "email"))
    }

    fn circumstances(&self, kind: &str, properties: Option<Value<'d, 't>>) -> Circumstances {
        let text = |value: Option<Value<'d, 't>>| value.and_then(Value::plain_scalar).map(Cow::into_owned);
        let context = |name: &str| text(self.context.get(name)).unwrap_or_default();
        let (of_page, of_campaign) = (self.context.get("page"), self.context.get("campaign"));
        let campaign = |name: &str| text(of_campaign.and_then(|campaign| campaign.get(name))).unwrap_or_default();
        // A page call carries the page in its properties; `context.page` may already be the next one.
        let viewed = properties.filter(|_| kind == "page");
        let own = |name: &str| text(viewed.and_then(|viewed| viewed.get(name)));
        let page = |name: &str| own(name).or_else(|| text(of_page.and_then(|page| page.get(name)))).unwrap_or_default();
        // The path must be of the same page as the URL: only together.
        let (url, path) = match own("url") {
            Some(url) => (url, own("path").unwrap_or_default()),
            None => (page("url"), page("path")),
        };
        Circumstances {
            url,
            path,
            host: text(of_page.and_then(|page| page.get("host"))).unwrap_or_default(),
            referrer: page("referrer"),
            title: page("title"),
            campaign_name: campaign("name"),
            campaign_source: campaign("source"),
            campaign_medium: campaign("medium"),
            campaign_term: campaign("term"),
            campaign_content: campaign("content"),
            user_agent: context("userAgent"),
            locale: context("locale"),
            time_zone: context("timezone"),
            ip: context("ip"),
        }
    }

    /// What the person allows by the consent manager: an object of categories, or lists of those allowed and denied.
    fn consents(&self) -> BTreeMap<String, bool> {
        let preferences = self.context.get("consent").and_then(|consent| consent.get("categoryPreferences"));
        let said = preferences.into_iter().flat_map(Value::members).filter_map(|(category, value)| {
            let granted = value.scalar()?.parse().ok()?;
            Some((category.string(), granted))
        });
        let management = self.context.get("consentManagement");
        let listed =
            [("allowedConsentIds", true), ("deniedConsentIds", false)].into_iter().flat_map(|(name, granted)| {
                let list = management.and_then(|management| management.get(name));
                list.into_iter().flat_map(Value::elements).filter_map(move |id| Some((id.scalar()?, granted)))
            });
        self.request.mapping.consents(said.chain(listed))
    }

    fn fingerprint(&self, kind: &str) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add("type", kind);
        for (name, value) in &self.members {
            if name != "type" && !VOLATILE.contains(&name.as_ref()) {
                fingerprint.add(name, value.raw());
            }
        }
        fingerprint
    }
}

/// The first attribute of this name.
fn first_of(attributes: &[(String, String)], name: &str) -> Option<String> {
    attributes.iter().find(|(standard, _)| standard == name).map(|(_, value)| value.clone())
}
