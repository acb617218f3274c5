//! The edge: what every request passes on its way in and its answer on its way out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{self, Request};
use axum::http::header::ORIGIN;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tasuki_domain::Timestamp;
use tasuki_wire::v1::DeadLetterKind;

use crate::adapter::{
    ADAPTERS, Adapter, Asked, Credentials, Endpoint, Purpose, Refused, SourceBy, TooLarge, UnknownSource,
};
use crate::answer::{self, Refusal};
use crate::body::{self, Arrived, Decoded};
use crate::budget::Reserved;
use crate::cors::{self, Foreign};
use crate::json;
use crate::lasting::Lasting;
use crate::metrics::{self, Tally};
use crate::observed::BadRecord;
use crate::publish::{self, Batch, Place};
use crate::request::{self, RawRequest, Visitor};
use crate::server::Peer;
use crate::source::{Source, Sources};
use crate::state::{Core, State};

/// The source in metrics and dead letters when none is known.
const UNKNOWN: &str = "unknown";

/// What publishing always gets (within the deadline's length), however late the body was.
const LEFT_FOR_PUBLISHING: Duration = Duration::from_secs(1);

/// From this size on a body is worked on outside the threads that serve connections.
const HEAVY: usize = 256 * 1024;

/// Query parameters that hold write keys.
const KEY_PARAMETERS: [&str; 2] = ["writeKey", "writekey"];

/// Query parameters that are not kept: write keys, GA4's `api_secret`, Matomo's `token_auth`.
const SECRET_PARAMETERS: [&str; 4] = ["writeKey", "writekey", "api_secret", "token_auth"];

/// Takes a request and answers it.
pub(crate) async fn handle(extract::State(core): extract::State<Arc<Core>>, request: Request) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    // Some clients join "https://host/" and "/v1/batch".
    let path = format!("/{}", parts.uri.path().trim_matches('/'));
    let preflight = parts.method == Method::OPTIONS;
    let origin = parts.headers.get(ORIGIN).cloned();
    let asked = preflight.then(|| parts.headers.clone());
    let visited = Arc::clone(&core);
    let Core { state: State { sources, .. }, books, .. } = visited.as_ref();
    let found =
        ADAPTERS.iter().find_map(|adapter| adapter.endpoint(&path, sources).map(|endpoint| (*adapter, endpoint)));
    let (protocol, mut answer) = match found {
        None => ("none", Refusal::NoSuchPath.answer()),
        Some((adapter, _)) if preflight => (adapter.name(), answer::empty()),
        Some((adapter, endpoint)) => {
            let visit = Visit { core, adapter, endpoint, parts, path };
            (adapter.name(), visit.answer(body).await)
        }
    };
    let foreign = answer.extensions_mut().remove::<Foreign>().is_some()
        || origin.as_ref().and_then(request::text).is_some_and(|origin| !sources.allow_origin(origin));
    if !foreign {
        cors::mirror(origin, answer.headers_mut());
        if let Some(asked) = asked {
            cors::allow(&asked, answer.headers_mut());
        }
    }
    books.answered(protocol, answer.status().as_u16(), began.elapsed());
    answer
}

/// One request at one endpoint.
struct Visit {
    core: Arc<Core>,
    adapter: &'static dyn Adapter,
    endpoint: Endpoint,
    parts: Parts,
    path: String,
}

/// What is to be written for a request, and what is answered once it is.
struct Digested {
    batch: Batch,
    place: Place,
    answer: Response,
}

impl Visit {
    async fn answer(self, body: Body) -> Response {
        let taken = match self.parts.method {
            Method::GET | Method::HEAD => self.endpoint.get,
            Method::POST => self.endpoint.post,
            _ => false,
        };
        if !taken {
            return answer::no_such_method(&self.endpoint);
        }
        let protocol = self.adapter.name();
        if ["x-retry-count", "rsa-retry-attempt"].iter().any(|name| self.parts.headers.contains_key(*name)) {
            metrics::resent(protocol);
        }
        match self.endpoint.purpose {
            Purpose::Settings => self.settings(),
            Purpose::Document => answer::json_answer(&self.adapter.document()),
            // HEAD asks how GET would be answered; it is no event.
            Purpose::Events if self.parts.method == Method::HEAD => self.success(),
            Purpose::Events | Purpose::Discard => match self.take(body).await {
                Ok(answer) => answer,
                Err(refusal) => refusal.answer(),
            },
        }
    }

    fn success(&self) -> Response {
        answer::success(self.endpoint.manners.success, &self.parts.method, self.query())
    }

    fn settings(&self) -> Response {
        let credentials = self.adapter.credentials(&self.path, self.query(), &[]);
        let key = self.write_key().or(credentials.write_key);
        match key.filter(|key| self.core.state.sources.by_write_key(key).is_some()) {
            Some(key) => {
                let asked = Asked { write_key: &key, headers: &self.parts.headers };
                answer::json_answer(&self.adapter.settings(&asked))
            }
            None => Refusal::UnknownKey.answer(),
        }
    }

    /// Takes the body in, has it read, writes what it became.
    async fn take(self, body: Body) -> Result<Response, Refusal> {
        let protocol = self.adapter.name();
        let refuse = |refusal: Refusal| {
            Tally::refusal(refusal.code()).book(UNKNOWN, protocol);
            refusal
        };
        let core = Arc::clone(&self.core);
        let admitted = Arc::clone(&core.requests).try_acquire_owned().map_err(|_| refuse(Refusal::Overloaded))?;
        let mut reserved = Reserved::none(&core.bytes);
        let limits = &core.state.limits;
        let receiving = body::receive(body, &self.parts.headers, limits, &mut reserved);
        let arrived = match tokio::time::timeout(limits.body_timeout, receiving).await {
            Ok(arrived) => arrived.map_err(refuse)?,
            Err(_elapsed) => return Err(refuse(Refusal::BodyTimeout)),
        };
        if self.endpoint.purpose == Purpose::Discard {
            metrics::discarded(protocol, arrived.length);
            return Ok(self.success());
        }
        let at_least = Instant::now() + limits.deadline.min(LEFT_FOR_PUBLISHING);
        let deadline = (arrived.began + limits.deadline).max(at_least);
        let received_at = core.state.clock.now();
        let heavy = arrived.wire.len() > HEAVY;
        let lost_if_refused = self.lost_if_refused();
        let digest = move || (self.digest(&arrived, received_at, &mut reserved), reserved);
        let (digested, reserved) = if heavy {
            // As many as there are processors: more would only hold more memory, for longer.
            let _turn = core.heavy.acquire().await;
            tokio::task::spawn_blocking(digest).await.map_err(|_| refuse(Refusal::Unavailable))?
        } else {
            digest()
        };
        let Digested { batch, place, answer } = digested?;
        // A client that goes away does not leave the books half written.
        let publishing = Lasting::new(async move {
            let Core { state: State { publisher, spool, .. }, books, .. } = core.as_ref();
            let spool = spool.as_ref().filter(|_| lost_if_refused);
            let result = publish::publish(publisher.as_ref(), spool, batch, &place, deadline, books).await;
            drop((admitted, reserved));
            result
        });
        publishing.await.map(|()| answer)
    }

    /// Whether its client never sends again. Nobody reloads an image, so no GET is repeated.
    fn lost_if_refused(&self) -> bool {
        self.endpoint.manners.refused == Refused::Lost || self.parts.method == Method::GET
    }

    /// Whether a request over the rate is kept, whole, as a dead letter: its client would lose it, or send it again at
    /// once and larger (Snowplow's, which do not know 429).
    fn keeps_what_is_too_fast(&self) -> bool {
        self.lost_if_refused() || self.endpoint.manners.too_large == TooLarge::Swallow
    }

    /// Everything between body and log: no I/O, no waiting.
    fn digest(&self, arrived: &Arrived, received_at: Timestamp, reserved: &mut Reserved) -> Result<Digested, Refusal> {
        let limits = &self.core.state.limits;
        let refuse = |refusal: Refusal, source: Option<&Source>| {
            Tally::refusal(refusal.code()).book(source.map_or(UNKNOWN, |source| &source.name), self.adapter.name());
            refusal
        };
        let decoded = if arrived.too_large() {
            Decoded::TooLarge
        } else {
            body::decode(&arrived.wire, &self.parts.headers, limits.decoded_bytes, reserved)
                .map_err(|refusal| refuse(refusal, None))?
        };
        let too_many = matches!(&decoded, Decoded::Plain(plain) if json::has_too_many(plain, limits.events));
        let readable: &[u8] = match &decoded {
            Decoded::Plain(plain) if !too_many => plain,
            Decoded::Plain(_) | Decoded::TooLarge | Decoded::Broken => &[],
        };
        let source = self.source(readable);
        let place = self.place(source, &arrived.wire, received_at);
        let only = |bad: BadRecord, answer| {
            let mut batch = Batch::default();
            batch.add_bad(&bad, &place);
            Ok(Digested { batch, place: place.clone(), answer })
        };
        let original = if self.parts.method == Method::POST { arrived.wire.clone() } else { self.query_bytes() };
        let Some(source) = source else {
            if self.endpoint.manners.unknown_source == UnknownSource::Refuse {
                return Err(refuse(Refusal::UnknownKey, None));
            }
            let message = "no source has this write key, path, host or app id";
            let bad = BadRecord::new(DeadLetterKind::Auth, "unknown-source", message);
            return only(bad.found("", 0, &original, &[]), self.success());
        };
        if request::header(&self.parts.headers, "origin").is_some_and(|origin| !source.origins.allow(origin)) {
            return Err(refuse(Refusal::Origin, Some(source)));
        }
        let too_large = |refusal: Refusal, message: String| {
            if self.endpoint.manners.too_large == TooLarge::Refuse {
                return Err(refuse(refusal, Some(source)));
            }
            let bad = BadRecord::new(DeadLetterKind::Size, refusal.code(), message);
            only(bad.found("", 0, &original, &[]), self.success())
        };
        let plain = match decoded {
            Decoded::Plain(_) if too_many => {
                let message = format!("the body has more than {} events, or too many values", limits.events);
                return too_large(Refusal::TooManyEvents, message);
            }
            Decoded::Plain(plain) => plain,
            Decoded::TooLarge => {
                let message = format!(
                    "the body has {} bytes as sent; at most {} as sent and {} decompressed are taken",
                    arrived.length, limits.body_bytes, limits.decoded_bytes
                );
                return too_large(Refusal::TooLarge, message);
            }
            Decoded::Broken => {
                let bad = BadRecord::new(DeadLetterKind::Format, "bad-encoding", "not what its Content-Encoding says");
                return only(bad.found("", 0, &original, &[]), Refusal::BadEncoding.answer());
            }
        };
        let visitor = Visitor::of(&self.parts.headers, self.peer(), limits.ip_mode);
        let request = self.raw_request(&plain, source, &visitor, received_at);
        self.adapter.verify(&request).map_err(|unsigned| refuse(Refusal::Unsigned(unsigned), Some(source)))?;
        match self.adapter.read(&request) {
            Ok(outcomes) => {
                let own = self.adapter.reply(&request, &outcomes);
                let answer = own.map_or_else(|| self.success(), |own| answer::reply(&own));
                let batch = Batch::of(outcomes, &place);
                match self.core.buckets.take(&source.name, batch.tally.received(), Instant::now()) {
                    Ok(()) => Ok(Digested { batch, place, answer }),
                    Err(_) if self.keeps_what_is_too_fast() => {
                        let message = "more events than this source may send";
                        let bad = BadRecord::new(DeadLetterKind::Policy, "rate-limited", message);
                        only(bad.found("", 0, &original, &[]), answer)
                    }
                    Err(seconds) => {
                        let refusal = Refusal::RateLimited(seconds);
                        batch.tally.all_refused(refusal.code()).book(&source.name, self.adapter.name());
                        Err(refusal)
                    }
                }
            }
            Err(mut bad) => {
                let answer = answer::fault(StatusCode::BAD_REQUEST, bad.code, &bad.message);
                bad.original = original.to_vec();
                only(bad, answer)
            }
        }
    }

    fn raw_request<'a>(
        &'a self,
        body: &'a [u8],
        source: &'a Source,
        visitor: &'a Visitor,
        received_at: Timestamp,
    ) -> RawRequest<'a> {
        let state = &self.core.state;
        RawRequest {
            method: &self.parts.method,
            path: &self.path,
            path_as_sent: self.parts.uri.path(),
            operation: self.endpoint.operation,
            query: self.query(),
            headers: &self.parts.headers,
            body,
            source,
            visitor,
            received_at,
            mapping: &state.mapping,
            max_event_bytes: state.limits.event_bytes,
        }
    }

    fn source(&self, body: &[u8]) -> Option<&Source> {
        let sources: &Sources = &self.core.state.sources;
        let in_body = || self.adapter.credentials(&self.path, self.query(), body);
        match self.endpoint.manners.source_by {
            SourceBy::WriteKey => {
                let key = self.write_key().or_else(|| in_body().write_key);
                key.and_then(|key| sources.by_write_key(&key))
            }
            SourceBy::Name => in_body().source.and_then(|name| sources.by_name(&name)),
            SourceBy::Place => self.source_by_place(in_body().app_id.as_deref()),
            SourceBy::KeyOrPlace => match self.write_key() {
                Some(key) => sources.by_write_key(&key),
                None => {
                    let Credentials { write_key, app_id, .. } = in_body();
                    let by_key = write_key.and_then(|key| sources.by_write_key(&key));
                    by_key.or_else(|| self.source_by_place(app_id.as_deref()))
                }
            },
        }
    }

    fn source_by_place(&self, app_id: Option<&str>) -> Option<&Source> {
        let host = request::header(&self.parts.headers, "host");
        self.core.state.sources.by_place(&self.path, host, app_id)
    }

    /// The write key of headers and query: Basic, `X-Write-Key`, `writeKey`, the first that is there.
    fn write_key(&self) -> Option<String> {
        let header = |name| request::header(&self.parts.headers, name);
        let basic = || {
            let (scheme, encoded) = header("authorization")?.split_once(' ')?;
            let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
            before_colon(&String::from_utf8(decoded).ok()?)
        };
        basic()
            .or_else(|| before_colon(header("x-write-key")?))
            .or_else(|| before_colon(&request::query_value(self.query(), &KEY_PARAMETERS)?))
    }

    /// The visitor's address: the peer's, or what the outermost trusted proxy says.
    fn peer(&self) -> Option<IpAddr> {
        let direct = self.parts.extensions.get::<Peer>().map(|peer| peer.0);
        let trusted = self.core.state.limits.trusted_proxies;
        if trusted == 0 {
            return direct;
        }
        let values = self.parts.headers.get_all("x-forwarded-for").iter();
        let hops: Vec<&str> =
            values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim).collect();
        let hop = hops.len().checked_sub(trusted).and_then(|index| hops.get(index));
        hop.and_then(|hop| hop.parse().ok()).or(direct)
    }

    fn place(&self, source: Option<&Source>, wire: &Bytes, received_at: Timestamp) -> Place {
        Place {
            source: source.map_or(UNKNOWN, |source| &source.name).to_owned(),
            protocol: self.adapter.name(),
            method: self.parts.method.to_string(),
            target: self.target(),
            content_type: request::header(&self.parts.headers, "content-type").unwrap_or_default().to_owned(),
            received_at,
            wire: wire.clone(),
            max_bytes: self.core.state.limits.event_bytes,
            privacy: source
                .and_then(|source| source.privacy)
                .unwrap_or(self.core.state.limits.privacy)
                .for_request(&self.parts.headers),
        }
    }

    /// Path and query without write keys.
    fn target(&self) -> String {
        let kept: Vec<&str> = self
            .query()
            .split('&')
            .filter(|pair| !SECRET_PARAMETERS.contains(&pair.split('=').next().unwrap_or_default()))
            .filter(|pair| !pair.is_empty())
            .collect();
        if kept.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, kept.join("&")) }
    }

    fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    fn query_bytes(&self) -> Bytes {
        // Write keys are public, and who sends a dead letter again needs them; Matomo's token is neither.
        let kept: Vec<&str> = self.query().split('&').filter(|pair| !pair.starts_with("token_auth=")).collect();
        kept.join("&").into()
    }
}

/// A key that may have a secret behind a colon.
fn before_colon(text: &str) -> Option<String> {
    let key = text.split(':').next().unwrap_or_default().trim();
    (!key.is_empty()).then(|| key.to_owned())
}
