//! A log in memory, a clock that stands, requests from captures, and records as JSON that a person can check.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_debug_implementations,
    missing_docs,
    reason = "test code"
)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use base64::Engine;
use prost::Message;
use serde_json::{Map, Value, json};
use tasuki_domain::{EventId, Timestamp};
use tasuki_ingest::{Limits, Mapping, Sender, Source, Sources, Spool, State, Webhook, WriteKeyHash, router};
use tasuki_service::{Clock, Health};
use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, PublishError, Publisher};
use tasuki_wire::Topic;
use tasuki_wire::v1::{BehaviorRecord, DeadLetter, DeadLetterKind, dead_letter::FoundAt};
use tower::ServiceExt;

/// What the log does with records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Takes,
    Unavailable,
    Overloaded,
    /// Never answers.
    Hangs,
    /// Refuses records that hold "poison", for good.
    RefusesPoison,
}

#[derive(Debug, Default)]
pub struct Log {
    pub records: Mutex<Vec<Emitted>>,
    pub calls: Mutex<usize>,
    pub mood: Mutex<Mood>,
}

impl Publisher for Log {
    fn publish(&self, records: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>> {
        let mood = *self.mood.lock().unwrap();
        *self.calls.lock().unwrap() += 1;
        Box::pin(async move {
            let poisoned = |record: &Emitted| {
                record.topic == Topic::Behavior && record.payload.windows(6).any(|bytes| bytes == b"poison")
            };
            match mood {
                Mood::Takes => {}
                Mood::Unavailable => return Err(PublishError::Unavailable("no broker".into())),
                Mood::Overloaded => return Err(PublishError::Overloaded),
                Mood::Hangs => std::future::pending().await,
                Mood::RefusesPoison if records.iter().any(poisoned) => {
                    return Err(PublishError::Refused("too large".into()));
                }
                Mood::RefusesPoison => {}
            }
            self.records.lock().unwrap().extend(records);
            Ok(())
        })
    }
}

#[derive(Debug)]
pub struct Standing(pub Timestamp);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Ingest on a log in memory.
pub struct Collector {
    pub log: Arc<Log>,
    pub router: Router,
}

pub const NOON: &str = "2026-11-22T12:00:00Z";

pub fn sources() -> Sources {
    let website = Source::new("website", WriteKeyHash::of("WK"));
    let captured = Source::new("captured", WriteKeyHash::of("WK_test_0001"));
    let jitsu = Source::new("jitsu", WriteKeyHash::of("key"));
    let mut all = vec![website, captured, jitsu];
    for (name, sender, secret) in [
        ("generic", Sender::StandardWebhooks, WHSEC),
        ("hubspot", Sender::HubSpot, "secret"),
        ("mautic", Sender::Mautic, "mautic-secret"),
    ] {
        let webhook = Webhook::new(sender, &["whsec_b3RoZXI=", secret], "http://127.0.0.1:18214").unwrap();
        all.push(Source::new(name, WriteKeyHash::of(name)).with_webhook(webhook));
    }
    Sources::new(all).unwrap()
}

/// The secret of the captured Standard Webhook.
pub const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

impl Collector {
    pub fn new() -> Self {
        Self::with(NOON, sources(), Limits::default())
    }

    pub fn at(now: &str) -> Self {
        Self::with(now, sources(), Limits::default())
    }

    pub fn limited(limits: Limits) -> Self {
        Self::with(NOON, sources(), limits)
    }

    pub fn with(now: &str, sources: Sources, limits: Limits) -> Self {
        Self::complete(now, sources, limits, None)
    }

    /// With a spool; the caller replays it.
    pub fn spooling(spool: Spool, limits: Limits) -> Self {
        Self::complete(NOON, sources(), limits, Some(spool))
    }

    fn complete(now: &str, sources: Sources, limits: Limits, spool: Option<Spool>) -> Self {
        let log = Arc::new(Log::default());
        let state = State {
            publisher: Arc::clone(&log) as Arc<dyn Publisher>,
            spool,
            sources: Arc::new(sources),
            mapping: Arc::new(Mapping::default()),
            clock: Arc::new(Standing(now.parse().unwrap())),
            health: Health::default(),
            limits,
        };
        Self { log, router: router(state) }
    }

    pub fn mood(&self, mood: Mood) {
        *self.log.mood.lock().unwrap() = mood;
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path).header("authorization", basic("WK:")).body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Every record written, as JSON.
    pub fn written(&self) -> Vec<Value> {
        self.log.records.lock().unwrap().iter().map(view).collect()
    }

    pub fn behaviors(&self) -> Vec<BehaviorRecord> {
        let records = self.log.records.lock().unwrap();
        let own = records.iter().filter(|record| record.topic == Topic::Behavior);
        own.map(|record| BehaviorRecord::decode(record.payload.as_slice()).unwrap()).collect()
    }

    pub fn letters(&self) -> Vec<DeadLetter> {
        let records = self.log.records.lock().unwrap();
        let own = records.iter().filter(|record| record.topic == Topic::DeadLetters);
        own.map(|record| DeadLetter::decode(record.payload.as_slice()).unwrap()).collect()
    }

    /// Code and pointer of every dead letter.
    pub fn faults(&self) -> Vec<(String, String)> {
        self.letters()
            .into_iter()
            .map(|letter| match letter.found_at {
                Some(FoundAt::Http(place)) => (letter.code, place.pointer),
                other => panic!("not from HTTP: {other:?}"),
            })
            .collect()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["code"].as_str().unwrap().to_owned()
    }
}

pub fn basic(user_and_password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user_and_password))
}

/// The requests of a capture file, byte for byte.
pub fn captured(file: &str) -> Vec<Request<Body>> {
    let path = format!("{}/tests/captures/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let capture: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let requests = capture["requests"].as_array().unwrap();
    requests
        .iter()
        .map(|request| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let mut built = Request::builder().method(text(&request["method"]).as_str()).uri(text(&request["path"]));
            for header in request["headers"].as_array().unwrap() {
                // Captures say the bytes of a header as Latin-1.
                let bytes: Vec<u8> = text(&header[1]).chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
                built = built.header(text(&header[0]), HeaderValue::from_bytes(&bytes).unwrap());
            }
            let body = match (&request["body_base64_as_sent"], &request["body_text"]) {
                (Value::String(encoded), _) => base64::engine::general_purpose::STANDARD.decode(encoded).unwrap(),
                (_, Value::String(body)) => body.clone().into_bytes(),
                _ => Vec::new(),
            };
            built.body(body.into()).unwrap()
        })
        .collect()
}

/// A record as a person reads it: what is empty left out.
pub fn view(record: &Emitted) -> Value {
    match record.topic {
        Topic::Behavior => behavior(&record.key, &BehaviorRecord::decode(record.payload.as_slice()).unwrap()),
        Topic::DeadLetters => letter(&record.key, &DeadLetter::decode(record.payload.as_slice()).unwrap()),
        other => panic!("ingest does not write to {other}"),
    }
}

fn behavior(key: &str, record: &BehaviorRecord) -> Value {
    let meta = record.meta.clone().unwrap();
    let origin = record.origin.clone().unwrap();
    let (by, at) = (record.identifiers.clone().unwrap(), record.circumstances.clone().unwrap());
    let instant = |ms: i64| if ms == 0 { String::new() } else { Timestamp::from_millis(ms).to_string() };
    full(json!({
        "key": key,
        "id": EventId::from_slice(&meta.event_id).unwrap().to_string(),
        "occurred_at": instant(meta.occurred_at_ms),
        "received_at": instant(meta.received_at_ms),
        "origin": format!("{} by {}", origin.source, origin.protocol),
        "message_id": origin.message_id,
        "sent_at": instant(origin.sent_at_ms),
        "identifiers": full(json!({
            "anonymous_id": by.anonymous_id, "user_id": by.user_id, "email": by.email, "phone": by.phone,
            "crm_id": by.crm_id,
        })),
        "circumstances": full(json!({
            "url": at.url, "path": at.path, "host": at.host, "referrer": at.referrer, "title": at.title,
            "campaign_name": at.campaign_name, "campaign_source": at.campaign_source,
            "campaign_medium": at.campaign_medium, "campaign_term": at.campaign_term,
            "campaign_content": at.campaign_content, "user_agent": at.user_agent, "locale": at.locale,
            "time_zone": at.time_zone, "ip": at.ip,
        })),
        "properties": record.properties_json,
        "payload_hash": record.payload_hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "flags": record.flags,
        "attributes": record.attributes,
        "consents": record.consents,
        "event": format!("{:?}", record.event.as_ref().unwrap()),
    }))
}

fn letter(key: &str, letter: &DeadLetter) -> Value {
    let Some(FoundAt::Http(place)) = &letter.found_at else { panic!("not from HTTP") };
    full(json!({
        "dead letter": letter.code,
        "key": key,
        "kind": DeadLetterKind::try_from(letter.kind).unwrap().as_str_name(),
        "message": letter.message,
        "original": String::from_utf8_lossy(&letter.original),
        "origin": format!("{} by {}", place.source, place.protocol),
        "request": format!("{} {}", place.method, place.target),
        "content_type": place.content_type,
        "pointer": place.pointer,
        "item": place.item,
        "repairs": place.repairs,
    }))
}

/// Without what is empty.
fn full(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let there = fields.into_iter().filter(|(_, field)| match field {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    });
    Value::Object(there.collect::<Map<_, _>>())
}
