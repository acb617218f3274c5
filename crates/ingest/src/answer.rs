//! Answers in the words each client understands. Never 3xx: two Segment clients count any status below 400 as
//! delivered, and Snowplow's retry one without end. Never 202 or 204 where RudderStack's Python client may listen.

use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use crate::adapter::{Endpoint, Reply, Success, Unsigned};
use crate::cors::Foreign;

/// A transparent GIF of one pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\
\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// Seconds after which a client may try again when there is too much to do at the moment.
const AFTER_OVERLOAD: HeaderValue = HeaderValue::from_static("2");

/// The same when the log is away. Some clients try three times and then give up (RudderStack's for Node): ten seconds each
/// let them see an outage of half a minute through.
const AFTER_OUTAGE: HeaderValue = HeaderValue::from_static("10");

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoSuchPath,
    NoSuchMethod,
    UnknownKey,
    Unsigned(Unsigned),
    Origin,
    /// For so many seconds.
    RateLimited(u32),
    TooLarge,
    TooManyEvents,
    BadEncoding,
    BodyTimeout,
    BodyBroken,
    Overloaded,
    Unavailable,
    Deadline,
    SpoolFull,
}

impl Refusal {
    /// For metrics and clients.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::NoSuchPath => "no-such-path",
            Self::NoSuchMethod => "no-such-method",
            Self::UnknownKey => "unknown-key",
            Self::Origin => "origin-not-allowed",
            Self::RateLimited(_) => "rate-limited",
            Self::Unsigned(Unsigned::Missing) => "not-signed",
            Self::Unsigned(Unsigned::Wrong) => "wrong-signature",
            Self::Unsigned(Unsigned::Stale) => "stale-signature",
            Self::TooLarge => "too-large",
            Self::TooManyEvents => "too-many-events",
            Self::BadEncoding => "bad-encoding",
            Self::BodyTimeout => "body-timeout",
            Self::BodyBroken => "body-broken",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Deadline => "deadline",
            Self::SpoolFull => "spool-full",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownKey | Self::Unsigned(_) => StatusCode::UNAUTHORIZED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge | Self::TooManyEvents => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadEncoding | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded | Self::Unavailable | Self::Deadline | Self::SpoolFull => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::NoSuchPath => "there is nothing at this path",
            Self::NoSuchMethod => "this path does not take this method",
            Self::Origin => "this source takes no events of this origin",
            Self::RateLimited(_) => "more events than this source may send; try again later",
            Self::UnknownKey => "the write key is missing or not known here",
            Self::Unsigned(Unsigned::Missing) => "the request is not signed as this source's sender signs",
            Self::Unsigned(Unsigned::Wrong) => "the signature is not of a secret of this source",
            Self::Unsigned(Unsigned::Stale) => "signed more than five minutes before or after now",
            Self::TooLarge => "the body is too large",
            Self::TooManyEvents => "the body has too many events or values",
            Self::BodyTimeout => "the body did not arrive in time",
            Self::BadEncoding => {
                "the body is not what its Content-Encoding says; gzip, deflate, br and zstd are understood"
            }
            Self::BodyBroken => "the body broke off",
            Self::Overloaded => "too much is being worked on; try again",
            Self::Unavailable | Self::Deadline | Self::SpoolFull => "the log does not answer; try again",
        }
    }

    /// The answer.
    pub(crate) fn answer(self) -> Response {
        let mut answer = fault(self.status(), self.code(), self.message());
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            let after = if self == Self::Overloaded { AFTER_OVERLOAD } else { AFTER_OUTAGE };
            answer.headers_mut().insert(header::RETRY_AFTER, after);
        }
        if let Self::RateLimited(seconds) = self {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self == Self::Origin {
            answer.extensions_mut().insert(Foreign);
        }
        answer
    }
}

/// The answer to a method that an endpoint does not take; it says which it takes (RFC 9110, 15.5.6).
pub(crate) fn no_such_method(endpoint: &Endpoint) -> Response {
    let mut answer = Refusal::NoSuchMethod.answer();
    let taken = match (endpoint.get, endpoint.post) {
        (true, true) => "GET, HEAD, POST, OPTIONS",
        (true, false) => "GET, HEAD, OPTIONS",
        (false, true) => "POST, OPTIONS",
        (false, false) => "OPTIONS",
    };
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(taken));
    answer
}

/// A fault as JSON: `{"code", "message"}`.
pub(crate) fn fault(status: StatusCode, code: &str, message: &str) -> Response {
    let mut answer = json_answer(&json!({ "code": code, "message": message }));
    *answer.status_mut() = status;
    answer
}

/// 200 with JSON.
pub(crate) fn json_answer(value: &Value) -> Response {
    with("application/json", Body::from(value.to_string()))
}

/// 200, as the clients of the endpoint like it.
pub(crate) fn success(success: Success, method: &Method, query: &str) -> Response {
    let by_post = method == Method::POST;
    match success {
        Success::SuccessJson => with("application/json", Body::from("{\"success\":true}")),
        Success::OkJson => with("application/json", Body::from("{\"ok\":true}")),
        Success::OkTextOrPixel if by_post => with("text/plain; charset=utf-8", Body::from("ok")),
        Success::PixelUnlessDeclined if query.split('&').any(|pair| pair == "send_image=0") => no_content(),
        Success::OkTextOrPixel | Success::Pixel | Success::PixelUnlessDeclined => with("image/gif", Body::from(PIXEL)),
        Success::NoContent => no_content(),
        Success::Empty => empty(),
    }
}

/// An adapter's own answer.
pub(crate) fn reply(reply: &Reply) -> Response {
    let mut answer = json_answer(&reply.body);
    *answer.status_mut() = reply.status;
    answer
}

fn no_content() -> Response {
    let mut answer = empty();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// The answer to a preflight: the headers are the edge's.
pub(crate) fn empty() -> Response {
    Response::new(Body::empty())
}

fn with(content_type: &'static str, body: Body) -> Response {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    answer
}
