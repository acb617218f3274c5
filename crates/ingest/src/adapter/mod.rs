//! One adapter per tracker protocol: pure functions from a request to behavior records and bad records.

mod cloudevents;
mod events;
mod ga4;
mod hubspot;
mod jitsu;
mod matomo;
mod mautic;
mod reading;
mod rows;
mod rudder;
mod segment;
mod snowplow;
mod standard_webhooks;

use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::observed::{BadRecord, Record};
use crate::request::RawRequest;
use crate::source::Sources;

pub use self::rows::ROW_CODES;

/// Every protocol. The first whose path fits takes a request.
pub static ADAPTERS: &[&dyn Adapter] = &[
    &segment::Segment,
    &rudder::Rudder,
    &jitsu::Jitsu,
    &snowplow::Snowplow,
    &cloudevents::CloudEvents,
    &standard_webhooks::StandardWebhooks,
    &hubspot::HubSpot,
    &mautic::Mautic,
    &matomo::Matomo,
    &ga4::Ga4,
    &events::Events,
    &rows::Rows,
];

/// What one event of a request became.
pub type Outcome = Result<Record, BadRecord>;

/// One tracker protocol.
pub trait Adapter: Sync {
    /// Its name in records and metrics.
    fn name(&self) -> &'static str;

    /// What is at this path (without trailing slash), if it is this protocol's.
    fn endpoint(&self, path: &str, sources: &Sources) -> Option<Endpoint>;

    /// What a request says about its source, beyond the headers and query that are the same for all protocols.
    fn credentials(&self, path: &str, query: &str, body: &[u8]) -> Credentials;

    /// The events of a request.
    ///
    /// # Errors
    ///
    /// If the body as a whole cannot be read; the client is answered 400, the body is kept as a dead letter.
    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord>;

    /// Whether the request is from whom it says, where senders sign what they send. Asked before anything is read.
    ///
    /// # Errors
    ///
    /// If it is not; the sender is answered 401, nothing is kept.
    fn verify(&self, request: &RawRequest<'_>) -> Result<(), Unsigned> {
        let _: &RawRequest<'_> = request;
        Ok(())
    }

    /// What is answered once all is written, where that depends on what the events became; `None`: as the manners say.
    fn reply(&self, request: &RawRequest<'_>, outcomes: &[Outcome]) -> Option<Reply> {
        let (_, _): (&RawRequest<'_>, &[Outcome]) = (request, outcomes);
        None
    }

    /// The answer of an endpoint that describes an API.
    fn document(&self) -> Value {
        Value::Null
    }

    /// The answer of an endpoint that gives settings to its clients.
    fn settings(&self, asked: &Asked<'_>) -> Value {
        let _: &Asked<'_> = asked;
        Value::Null
    }
}

/// What a request says about its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A write key.
    pub write_key: Option<String>,
    /// The name the page or program gives itself (Snowplow's `aid`).
    pub app_id: Option<String>,
    /// The name of the source itself.
    pub source: Option<String>,
}

/// Why a request does not count as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// There is no signature.
    Missing,
    /// None of its signatures is of one of the source's secrets.
    Wrong,
    /// It was signed too long ago, or in the future.
    Stale,
}

/// An answer in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Value,
}

/// A request for settings.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The write key of the source.
    pub write_key: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// What can be done at a path, and how its clients want to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// In the adapter's own words: "batch", "track" ...
    pub operation: &'static str,
    /// GET and HEAD are taken.
    pub get: bool,
    /// POST is taken.
    pub post: bool,
    /// What it is for.
    pub purpose: Purpose,
    /// How its clients want to be answered.
    pub manners: Manners,
}

/// What an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It takes events.
    Events,
    /// It gives settings.
    Settings,
    /// It describes an API, to whoever asks.
    Document,
    /// It takes what nobody needs (the client's own metrics).
    Discard,
}

/// How the clients of an endpoint understand answers. Measured with the real packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// The body of the 200.
    pub success: Success,
    /// What happens when no source can be found.
    pub unknown_source: UnknownSource,
    /// What happens when the body is too large.
    pub too_large: TooLarge,
    /// How the source is found.
    pub source_by: SourceBy,
    /// What becomes of what is refused for the moment.
    pub refused: Refused,
}

/// The body of a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// `{"success":true}`
    SuccessJson,
    /// `{"ok":true}`
    OkJson,
    /// `ok` for POST, a GIF for GET.
    OkTextOrPixel,
    /// A GIF of one transparent pixel.
    Pixel,
    /// A GIF as for a pixel, or 204 when the query says `send_image=0`.
    PixelUnlessDeclined,
    /// Nothing, with status 204.
    NoContent,
    /// Nothing, with status 200.
    Empty,
}

/// What happens when no source can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownSource {
    /// 401: its clients drop the events and say so.
    Refuse,
    /// 200, and the request is kept as a dead letter: its clients would send it for ever, or never again.
    Quarantine,
}

/// What happens when the body is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// 413: its clients drop it.
    Refuse,
    /// Read to the end, answered 200, and kept (cut) as a dead letter: its clients would retry a 413 for ever.
    Swallow,
}

/// What becomes of events that are refused for the moment (429, 503).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The clients send them again.
    SentAgain,
    /// They are lost: the clients never retry (beacons, pixels, Jitsu). While the log is away such events go to the
    /// spool, and they are never answered 429.
    Lost,
}

/// How the source of a request is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceBy {
    /// By write key.
    WriteKey,
    /// By path, host or app id, else the default source.
    Place,
    /// By write key if there is one (a wrong one finds nothing), else as by place.
    KeyOrPlace,
    /// By its name.
    Name,
}
