//! Matomo's tracking API: one event in a query or form, or many in a bulk of queries. Its clients never retry and read
//! nothing but the bulk's answer.
//!
//! Whoever sends a token of the source may say when and from where for others, as in Matomo.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tasuki_domain::{Millis, Timestamp};
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;
use tasuki_wire::v1::{Circumstances, DeadLetterKind};

use super::reading::{Readable, fault};
use super::{
    Adapter, Credentials, Endpoint, Manners, Outcome, Purpose, Refused, Reply, SourceBy, Success, TooLarge,
    UnknownSource,
};
use crate::json::{self, Object};
use crate::mapping::{Called, Meaning};
use crate::observed::{BadRecord, Observed};
use crate::request::RawRequest;
use crate::source::Sources;
use crate::time::{Reported, Times};

/// See the module.
#[derive(Debug)]
pub(super) struct Matomo;

const MANNERS: Manners = Manners {
    success: Success::PixelUnlessDeclined,
    unknown_source: UnknownSource::Quarantine,
    too_large: TooLarge::Swallow,
    source_by: SourceBy::KeyOrPlace,
    refused: Refused::Lost,
};

/// How far back a time is believed without a token: a day, as in Matomo.
const BELIEVED: Millis = Millis::from_seconds(24 * 60 * 60);

/// What is said elsewhere in the event, or says nothing about what happened.
const NO_PROPERTIES: [&str; 36] = [
    "idsite",
    "rec",
    "apiv",
    "rand",
    "r",
    "token_auth",
    "send_image",
    "queuedtracking",
    "url",
    "urlref",
    "action_name",
    "_id",
    "cid",
    "uid",
    "ua",
    "uadata",
    "lang",
    "cip",
    "cdt",
    "cdo",
    "h",
    "m",
    "s",
    "cookie",
    "new_visit",
    "bots",
    "_idts",
    "_idvc",
    "_idn",
    "_viewts",
    "_refts",
    "e_c",
    "e_a",
    "e_n",
    "e_v",
    "ca",
];

/// Parameters of which one is enough to tell an event from the next of the same content.
const TELLING_APART: [&str; 3] = ["rand", "cdt", "s"];

impl Adapter for Matomo {
    fn name(&self) -> &'static str {
        "matomo"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        matches!(path, "/matomo.php" | "/piwik.php").then_some(Endpoint {
            operation: "track",
            get: true,
            post: true,
            purpose: Purpose::Events,
            manners: MANNERS,
        })
    }

    /// The site is a write key, or one of a source's site ids.
    fn credentials(&self, _: &str, query: &str, body: &[u8]) -> Credentials {
        let site = crate::request::query_value(query, &["idsite"]).or_else(|| {
            let text = String::from_utf8_lossy(body);
            let first = match bulk_of(&text) {
                None => text.trim().to_owned(),
                Some(bulk) => bulk.items.first().map(|raw| query_of(raw)).unwrap_or_default(),
            };
            crate::request::query_value(first.trim_start_matches('?'), &["idsite"])
        });
        let app_id = site.as_ref().map(|site| format!("matomo:{site}"));
        Credentials { write_key: site, app_id, ..Credentials::default() }
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        if request.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(vec![self.read_query(request, request.query, "", 0, None)]);
        }
        let text = String::from_utf8_lossy(request.body);
        if !text.trim_start().starts_with('{') {
            let both = format!("{}&{}", request.query, text.trim().trim_start_matches('?'));
            return Ok(vec![self.read_query(request, both.trim_start_matches('&'), "", 0, None)]);
        }
        let readable = match Readable::of(request.body) {
            Ok(readable) => readable,
            // Nobody would send it better.
            Err(bad) => return Ok(vec![Err(bad)]),
        };
        let Some(bulk) = bulk_of(readable.root().get()) else {
            let mut bad = fault("no-requests", "/requests", "a bulk has \"requests\", an array of queries");
            bad.original = request.body.to_vec();
            return Ok(vec![Err(bad)]);
        };
        let numbered = bulk.items.iter().enumerate();
        let token = bulk.token.as_deref();
        Ok(numbered
            .map(|(index, raw)| self.read_query(request, &query_of(raw), &format!("/requests/{index}"), index, token))
            .collect())
    }

    /// What became of a bulk; which of its events were not taken is told to those who have the token.
    fn reply(&self, request: &RawRequest<'_>, outcomes: &[Outcome]) -> Option<Reply> {
        let text = String::from_utf8_lossy(request.body);
        let bulk = bulk_of(&text)?;
        let invalid: Vec<usize> =
            outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_err()).map(|(index, _)| index).collect();
        let mut body = json!({
            "status": "success",
            "tracked": outcomes.len() - invalid.len(),
            "invalid": invalid.len(),
        });
        if bulk.token.is_some_and(|token| request.source.has_matomo_token(&token)) {
            body["invalid_indices"] = json!(invalid);
        }
        Some(Reply { status: axum::http::StatusCode::OK, body })
    }
}

/// Many events in one body.
struct Bulk<'a> {
    items: Vec<&'a RawValue>,
    token: Option<String>,
}

fn bulk_of(text: &str) -> Option<Bulk<'_>> {
    let object: Object<'_> = serde_json::from_str(text).ok()?;
    let items = serde_json::from_str(object.get("requests")?.get()).ok()?;
    Some(Bulk { items, token: object.get("token_auth").and_then(|raw| json::scalar(raw)) })
}

/// One event of a bulk as a query; some clients send an object of parameters.
fn query_of(raw: &RawValue) -> String {
    if let Ok(parameters) = serde_json::from_str::<Object<'_>>(&json::mend_item(raw.get()).0) {
        let pairs = parameters.iter().filter_map(|(name, raw)| Some((name, json::scalar(raw)?)));
        return url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    }
    let text: Option<String> = serde_json::from_str(&json::mend_item(raw.get()).0).ok();
    let text = text.unwrap_or_default();
    // Some clients write the whole address.
    text.split_once('?').map_or(text.as_str(), |(_, query)| query).to_owned()
}

/// The query without the token: what is kept of a bad one.
fn without_token(query: &str) -> String {
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("token_auth=")).collect();
    kept.join("&")
}

impl Matomo {
    fn read_query(
        &self,
        request: &RawRequest<'_>,
        query: &str,
        pointer: &str,
        index: usize,
        token: Option<&str>,
    ) -> Outcome {
        let fields: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.replace('\0', "").trim().to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let token = fields.get("token_auth").map(String::as_str).or(token);
        let trusted = token.is_some_and(|token| request.source.has_matomo_token(token));
        let kept = without_token(query);
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let found = |bad: BadRecord| bad.found(pointer, number, kept.as_bytes(), &[]);
        let hit = Hit { fields, trusted, request };
        let mut observed = hit.observe().map_err(found)?;
        observed.size = query.len();
        observed.into_record(request, self.name()).map_err(found)
    }
}

/// One event of Matomo's: parameters with short names.
struct Hit<'a> {
    fields: BTreeMap<String, String>,
    trusted: bool,
    request: &'a RawRequest<'a>,
}

impl Hit<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn own(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().to_owned()
    }

    fn observe(&self) -> Result<Observed<'_>, BadRecord> {
        if self.fields.is_empty() {
            return Err(BadRecord::new(DeadLetterKind::Format, "empty", "there are no parameters"));
        }
        let properties = self.properties();
        let flat = json::flatten(&Value::Object(properties.clone()));
        let meaning = self.meaning(&flat)?;
        let mut observed = Observed::new(meaning.event);
        observed.attributes = meaning.attributes;
        observed.anonymous_id = self.text("cid").or_else(|| self.text("_id")).map(Cow::Borrowed);
        observed.user_id = self.text("uid").map(Cow::Borrowed);
        observed.email = self.request.mapping.who(&flat).email;
        observed.times = self.times(&mut observed.flags);
        observed.circumstances = Circumstances {
            url: self.own("url"),
            referrer: self.own("urlref"),
            title: self.own("action_name"),
            user_agent: self.own("ua"),
            // As a browser asks for languages: the first is the one it likes best.
            locale: self.own("lang").split([',', ';']).next().unwrap_or_default().trim().to_owned(),
            ip: self.own("cip"),
            ..Circumstances::default()
        }
        .into();
        observed.ip_vouched = self.trusted;
        if !properties.is_empty() {
            observed.properties_json = Value::Object(properties).to_string().into();
        }
        for (name, value) in &self.fields {
            if !["token_auth", "send_image", "queuedtracking", "cdo"].contains(&name.as_str()) {
                observed.fingerprint.add(name, value);
            }
        }
        if !TELLING_APART.iter().any(|name| self.fields.contains_key(*name)) {
            observed.fingerprint.add("minute", &minute(self.request.received_at));
        }
        Ok(observed)
    }

    fn meaning(&self, flat: &[(String, String)]) -> Result<Meaning, BadRecord> {
        let mapping = self.request.mapping;
        let of = |category: &str, action: &str| mapping.meaning(Called::Structured { category, action }, flat);
        if let (Some(category), Some(action)) = (self.text("e_c"), self.text("e_a")) {
            return Ok(of(category, action));
        }
        let has = |prefix: &str| self.fields.keys().any(|name| name.starts_with(prefix));
        let own = [
            ("download", "download"),
            ("link", "outlink"),
            ("search", "search"),
            ("c_i", "content-interaction"),
            ("c_n", "content-impression"),
            ("ping", "ping"),
        ];
        if let Some((_, action)) = own.iter().find(|(name, _)| self.fields.contains_key(*name)) {
            return Ok(of("matomo", action));
        }
        if let Some(goal) = self.text("idgoal") {
            return Ok(of("goal", goal));
        }
        // What paid plug-ins send about a page that was counted before.
        for (prefix, action) in [("fa_", "form-analytics"), ("ma_", "media"), ("hsr_", "heatmap")] {
            if has(prefix) {
                return Ok(of("matomo", action));
            }
        }
        if self.text("ca") == Some("1") {
            return Ok(of("matomo", "custom"));
        }
        if self.fields.contains_key("url") || self.fields.contains_key("action_name") {
            let viewed = v1::PageViewed { name: self.own("action_name"), category: String::new() };
            return Ok(Meaning::of(Event::PageViewed(viewed)));
        }
        Err(fault("no-action", "", "neither a page (\"url\", \"action_name\") nor anything that was done there"))
    }

    fn properties(&self) -> Map<String, Value> {
        let event = [("e_c", "category"), ("e_a", "action"), ("e_n", "label"), ("e_v", "value")];
        let event = event.iter().filter_map(|(name, long)| Some(((*long).to_owned(), json!(self.text(name)?))));
        let links = ["download", "link"];
        let links = links.iter().filter_map(|name| Some(("url".to_owned(), json!(self.text(name)?))));
        let rest =
            self.fields.iter().filter(|(name, _)| !NO_PROPERTIES.contains(&name.as_str()) && !name.starts_with("pf_"));
        event.chain(links).chain(rest.map(|(name, value)| (name.clone(), json!(value)))).collect()
    }

    fn times(&self, flags: &mut Vec<&'static str>) -> Times {
        let received = self.request.received_at;
        let offset = self.text("cdo").and_then(|text| text.parse::<i64>().ok()).filter(|seconds| *seconds >= 0);
        let told = match (Reported::read(self.text("cdt")), offset) {
            // By definition in UTC.
            (Reported::AtWithoutZone(at), _) => Reported::At(at),
            (Reported::Absent, Some(seconds)) => {
                let millis = received.as_millis().saturating_sub(seconds.saturating_mul(1000));
                Reported::At(Timestamp::from_millis(millis.max(0)))
            }
            (told, _) => told,
        };
        let old = told.instant().is_some_and(|at| received.since(at).get() > BELIEVED.get());
        if old && !self.trusted {
            flags.push("time-not-vouched");
            return Times::default();
        }
        Times { happened: told, sent: None, vouched: self.trusted }
    }
}

/// The minute of an instant. An event that says neither its time nor anything else of its own counts once in it.
pub(super) fn minute(at: Timestamp) -> String {
    (at.as_millis() / 60_000).to_string()
}
