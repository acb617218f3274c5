//! What the fuzz targets have in common: how an input is read as a request, and what must hold whatever it is.
//!
//! An input of an adapter is a request as it is written down: `POST /v1/batch?writeKey=WK`, headers, an empty line, the body. So
//! the corpus can be read, and what is found can be sent to a real collector.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use prost::Message;
use tasuki_domain::{EventId, Timestamp};
use tasuki_ingest::adapter::{ADAPTERS, Adapter, Outcome, Purpose};
use tasuki_ingest::{
    IpMode, Limits, Mapping, RawRequest, Sender, Source, Sources, State, Visitor, Webhook, WriteKeyHash, router,
};
use tasuki_service::{Clock, Health};
use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, PublishError, Publisher};
use tasuki_wire::{Topic, v1};
use tokio::runtime::Runtime;
use tower::ServiceExt;

const MAX_EVENT: usize = 900_000;
/// What a body may become; small, so that bombs are met often.
const MAX_DECODED: usize = 256 * 1024;

static SOURCES: LazyLock<Sources> = LazyLock::new(|| {
    let mut all = vec![Source::new("website", WriteKeyHash::of("WK"))];
    for (name, sender, secret) in [
        ("generic", Sender::StandardWebhooks, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("hubspot", Sender::HubSpot, "secret"),
        ("mautic", Sender::Mautic, "secret"),
    ] {
        let webhook = Webhook::new(sender, &[secret], "http://127.0.0.1:18214").expect("a secret as it is written");
        all.push(Source::new(name, WriteKeyHash::of(name)).with_webhook(webhook));
    }
    Sources::new(all).expect("names that differ")
});
static MAPPING: LazyLock<Mapping> = LazyLock::new(Mapping::default);

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a timestamp")
}

/// One request to the adapter of this name, read by its pure functions.
pub fn adapter(name: &str, input: &[u8]) {
    let Some(written) = Written::parse(input) else { return };
    let adapter = *ADAPTERS.iter().find(|adapter| adapter.name() == name).expect("an adapter of this name");
    let (path, query) = written.target.split_once('?').unwrap_or((&written.target, ""));
    let path_without_slash = format!("/{}", path.trim_matches('/'));
    let Some(endpoint) = adapter.endpoint(&path_without_slash, &SOURCES) else { return };
    if endpoint.purpose != Purpose::Events {
        return;
    }
    drop(adapter.credentials(&path_without_slash, query, written.body));
    let request = RawRequest {
        method: &written.method,
        path: &path_without_slash,
        path_as_sent: path,
        operation: endpoint.operation,
        query,
        headers: &written.headers,
        body: written.body,
        source: SOURCES.by_name(if name.contains("webhook") { "generic" } else { "website" }).expect("a source"),
        visitor: &Visitor::of(&written.headers, None, IpMode::Truncated),
        received_at: now(),
        mapping: &MAPPING,
        max_event_bytes: MAX_EVENT,
    };
    // Whether it is signed does not matter: what follows must hold for a sender that has the secret, too.
    let _signed = adapter.verify(&request);
    let first = ids(adapter, &request);
    let again = ids(adapter, &request);
    assert_eq!(first, again, "the same request gives the same events");
}

/// The ids and hashes of a request's events, each checked.
fn ids(adapter: &dyn Adapter, request: &RawRequest<'_>) -> Vec<Option<(Vec<u8>, Vec<u8>)>> {
    let Ok(outcomes) = adapter.read(request) else { return Vec::new() };
    drop(adapter.reply(request, &outcomes));
    outcomes.iter().map(check).collect()
}

fn check(outcome: &Outcome) -> Option<(Vec<u8>, Vec<u8>)> {
    match outcome {
        Err(bad) => {
            assert!(!bad.code.is_empty() && !bad.message.is_empty(), "a bad record says what is wrong");
            None
        }
        Ok(written) => {
            let record = written.read();
            let meta = record.meta.as_ref().expect("every event has an id and times");
            assert!(EventId::from_slice(&meta.event_id).is_ok(), "an id");
            assert!(meta.occurred_at_ms <= meta.received_at_ms, "nothing occurs after it was received");
            assert!(record.event.is_some(), "every event says what it is");
            let by: &v1::Identifiers = record.identifiers.as_ref().expect("every event says who it was");
            let all = [&by.anonymous_id, &by.user_id, &by.email, &by.phone, &by.crm_id];
            assert!(all.iter().any(|id| !id.is_empty()), "an event of nobody is a bad record");
            assert!(record.encode_to_vec() == written.payload, "it is written as everybody writes it");
            assert_eq!(
                (meta.event_id.as_slice(), record.payload_hash.as_slice()),
                (written.event_id.as_bytes().as_slice(), written.payload_hash.as_slice())
            );
            Some((meta.event_id.clone(), record.payload_hash.clone()))
        }
    }
}

/// A body as a client sends it, to the whole collector: the first byte chooses what its `Content-Encoding` says.
pub fn body(input: &[u8]) {
    static COLLECTOR: LazyLock<(Arc<Memory>, Router, Runtime)> = LazyLock::new(collector);
    let Some((choice, body)) = input.split_first() else { return };
    let (memory, router, runtime) = &*COLLECTOR;
    memory.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let mut request = Request::post("/v1/batch?writeKey=WK");
    // The others: none, so that the first bytes say it.
    if let Some(encoding) = ["gzip", "deflate", "br", "zstd", "gzip, br", "identity"].get(usize::from(*choice % 8)) {
        request = request.header("content-encoding", *encoding);
    }
    let request = request.body(Body::from(body.to_vec())).expect("a request");
    let answer = runtime.block_on(router.clone().oneshot(request)).expect("a router always answers");
    let written = memory.0.lock().unwrap_or_else(PoisonError::into_inner);
    match answer.status().as_u16() {
        413 => assert!(written.is_empty(), "what is refused is not kept"),
        400 => assert!(written.iter().all(|record| record.topic == Topic::DeadLetters) && written.len() == 1),
        200 => {}
        status => panic!("answered {status}"),
    }
}

fn collector() -> (Arc<Memory>, Router, Runtime) {
    let memory = Arc::new(Memory::default());
    let state = State {
        publisher: Arc::clone(&memory) as Arc<dyn Publisher>,
        spool: None,
        sources: Arc::new(SOURCES.clone()),
        mapping: Arc::new(Mapping::default()),
        clock: Arc::new(Standing),
        health: Health::default(),
        limits: Limits { decoded_bytes: MAX_DECODED, ..Limits::default() },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    (memory, router(state), runtime)
}

/// A log that only remembers.
#[derive(Debug, Default)]
struct Memory(Mutex<Vec<Emitted>>);

impl Publisher for Memory {
    fn publish(&self, records: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
        Box::pin(async { Ok(()) })
    }
}

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        now()
    }
}

/// A request as it is written down.
struct Written<'a> {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: &'a [u8],
}

impl<'a> Written<'a> {
    /// `None` for what no HTTP server would pass on.
    fn parse(input: &'a [u8]) -> Option<Self> {
        let end = input.windows(2).position(|bytes| bytes == b"\n\n")?;
        let mut lines = input[..end].split(|byte| *byte == b'\n');
        let (method, target) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
            headers.append(HeaderName::from_bytes(&line[..colon]).ok()?, value);
        }
        let target: axum::http::Uri = target.parse().ok()?;
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|it| it == Method::POST || it == Method::GET)?;
        Some(Self { method, target: target.path_and_query()?.to_string(), headers, body: &input[end + 2..] })
    }
}
