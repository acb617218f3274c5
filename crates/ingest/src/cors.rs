//! CORS by mirroring: whatever page asks, with whatever headers, may send, unless no source takes events of its origin.
//! Write keys are public, so there is nothing to protect by refusing; one header left out loses events of real clients,
//! and `*` breaks those that send cookies.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// On an answer that the page must not read: its origin is none of the source's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Foreign;

/// Adds what lets the page read the answer.
pub(crate) fn mirror(origin: Option<HeaderValue>, answer: &mut HeaderMap) {
    answer.insert(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    // Without it analytics-next does not see Retry-After and comes back too soon.
    answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
}

/// Adds, on top, what a preflight asks.
pub(crate) fn allow(asked: &HeaderMap, answer: &mut HeaderMap) {
    const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, HEAD, OPTIONS");
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    if let Some(headers) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
    }
    // How a CloudEvents sender asks whether it may send (its webhook specification, "abuse protection").
    if let Some(sender) = asked.get("webhook-request-origin") {
        answer.insert(HeaderName::from_static("webhook-allowed-origin"), sender.clone());
        answer.insert(HeaderName::from_static("webhook-allowed-rate"), HeaderValue::from_static("*"));
    }
    if asked.contains_key("access-control-request-private-network") {
        let name = HeaderName::from_static("access-control-allow-private-network");
        answer.insert(name, HeaderValue::from_static("true"));
    }
}
