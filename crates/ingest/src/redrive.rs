//! A second try for dead letters, after what was wrong has been put right: a mapping, a limit, a source, a defect. Pure.
//!
//! An event that is read this time has the id it would have had the first time, and the instant it was received then;
//! it is flagged "redriven". So whatever is tried twice counts once.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use bytes::Bytes;
use prost::Message;
use tasuki_domain::Timestamp;
use tasuki_stream::Emitted;
use tasuki_wire::Topic;
use tasuki_wire::v1::dead_letter::FoundAt;
use tasuki_wire::v1::{BehaviorRecord, DeadLetter, HttpPlace, LogPosition};
use tokio::sync::Semaphore;

use crate::adapter::ADAPTERS;
use crate::body::{self, Decoded};
use crate::budget::{Budget, Reserved};
use crate::mapping::Mapping;
use crate::observed::key_of;
use crate::publish::CUT;
use crate::request::{RawRequest, Visitor};
use crate::settings::Limits;
use crate::source::Sources;

/// The flag of events that were dead letters before.
const REDRIVEN: &str = "redriven";

/// Why a dead letter cannot be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRedriven {
    /// The letter says neither where nor what.
    #[error("the letter does not say where it was found")]
    NoPlace,
    /// Not all of it was kept.
    #[error("the original was not kept, or is cut")]
    Cut,
    /// Nothing here takes requests of this path any more.
    #[error("no protocol has the path {0:?}")]
    NoEndpoint(String),
    /// Its source is not known, and no other takes what names none.
    #[error("source {0:?} is none of the sources")]
    NoSource(String),
    /// It is compressed, and nobody knows how.
    #[error("the original cannot be decompressed")]
    Compressed,
    /// It is as wrong as it was.
    #[error("it still cannot be read: {code}: {message}")]
    StillBad {
        /// As on the letter.
        code: &'static str,
        /// As on the letter.
        message: String,
    },
    /// It comes from a topic that only our services write: they would not take it a second time.
    #[error("records of {0} are not sent again: their versions have gone on without them")]
    Internal(String),
}

/// What a dead letter becomes: records for the log, and how many of its events still cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Redriven {
    /// For the log, in order.
    pub records: Vec<Emitted>,
    /// Events that stay where they are: in the letter.
    pub still_bad: usize,
}

/// Reads a dead letter again.
///
/// # Errors
///
/// If nothing of it can be sent again.
pub fn redrive(
    letter: &DeadLetter,
    sources: &Sources,
    mapping: &Mapping,
    limits: &Limits,
) -> Result<Redriven, NotRedriven> {
    if letter.message.contains(CUT) {
        return Err(NotRedriven::Cut);
    }
    match &letter.found_at {
        None => Err(NotRedriven::NoPlace),
        Some(FoundAt::Log(place)) => from_log(letter, place),
        Some(FoundAt::Http(_)) if letter.code == "log-refused" => from_record(&letter.original),
        Some(FoundAt::Http(place)) => from_http(letter, place, sources, mapping, limits),
    }
}

fn from_log(letter: &DeadLetter, place: &LogPosition) -> Result<Redriven, NotRedriven> {
    let internal = || NotRedriven::Internal(place.topic.clone());
    let topic: Topic = place.topic.parse().map_err(|_| internal())?;
    // What comes from outside has ids of its own and may come as often as it likes; everything else has versions.
    if topic != Topic::Behavior && topic != Topic::SalesFeedback {
        return Err(internal());
    }
    if topic == Topic::Behavior && BehaviorRecord::decode(letter.original.as_ref()).is_ok() {
        return from_record(&letter.original);
    }
    let key = String::from_utf8(place.key.clone()).map_err(|_| NotRedriven::Cut)?;
    Ok(Redriven { records: vec![Emitted { topic, key, payload: letter.original.to_vec() }], still_bad: 0 })
}

fn from_record(payload: &[u8]) -> Result<Redriven, NotRedriven> {
    let record = BehaviorRecord::decode(payload).map_err(|_| NotRedriven::Cut)?;
    Ok(Redriven { records: emitted(record).into_iter().collect(), still_bad: 0 })
}

fn from_http(
    letter: &DeadLetter,
    place: &HttpPlace,
    sources: &Sources,
    mapping: &Mapping,
    limits: &Limits,
) -> Result<Redriven, NotRedriven> {
    let (path, query) = place.target.split_once('?').unwrap_or((&place.target, ""));
    let found = ADAPTERS.iter().find_map(|adapter| adapter.endpoint(path, sources).map(|endpoint| (adapter, endpoint)));
    let (adapter, endpoint) = found.ok_or_else(|| NotRedriven::NoEndpoint(path.to_owned()))?;
    let source = sources.by_name(&place.source).or_else(|| sources.by_place(path, None, None));
    let source = source.ok_or_else(|| NotRedriven::NoSource(place.source.clone()))?;
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&place.content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let method = if place.method == "GET" { Method::GET } else { Method::POST };
    let original = if method == Method::POST { letter.original.as_ref() } else { &[] };
    if method == Method::POST && original.is_empty() {
        return Err(NotRedriven::Cut);
    }
    let mut room = Reserved::none(&Budget::new(Semaphore::MAX_PERMITS));
    let wire = Bytes::copy_from_slice(original);
    let Ok(Decoded::Plain(plain)) = body::decode(&wire, &headers, limits.decoded_bytes, &mut room) else {
        return Err(NotRedriven::Compressed);
    };
    let request = RawRequest {
        method: &method,
        path,
        path_as_sent: path,
        operation: endpoint.operation,
        query,
        headers: &headers,
        body: &plain,
        source,
        visitor: &Visitor::of(&headers, None, limits.ip_mode),
        received_at: Timestamp::from_millis(letter.received_at_ms),
        mapping,
        max_event_bytes: limits.event_bytes,
    };
    let outcomes =
        adapter.read(&request).map_err(|bad| NotRedriven::StillBad { code: bad.code, message: bad.message })?;
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(record) => records.extend(emitted(record.read())),
            Err(fault) => bad.push(fault),
        }
    }
    match bad.first() {
        Some(first) if records.is_empty() => {
            Err(NotRedriven::StillBad { code: first.code, message: first.message.clone() })
        }
        _ => Ok(Redriven { records, still_bad: bad.len() }),
    }
}

fn emitted(mut record: BehaviorRecord) -> Option<Emitted> {
    let key = record.identifiers.as_ref().and_then(key_of)?;
    if !record.flags.iter().any(|flag| flag == REDRIVEN) {
        record.flags.push(REDRIVEN.to_owned());
    }
    Some(Emitted { topic: Topic::Behavior, key, payload: record.encode_to_vec() })
}
