//! The style sheet and the sign, compiled in.

use std::fmt::Write;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("console.css");
const ICON: &str = include_str!("icon.svg");

/// The address of the style sheet, which changes with its content, so that browsers may keep it for ever.
pub(crate) fn style_address() -> String {
    let mut address = "/assets/console.css?v=".to_owned();
    for byte in Sha256::digest(STYLE).iter().take(6) {
        write!(address, "{byte:02x}").expect("writing to a string cannot fail");
    }
    address
}

/// `GET /assets/console.css`
pub(crate) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, STYLE).into_response()
}

/// `GET /assets/icon.svg`
pub(crate) async fn icon() -> Response {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, ICON).into_response()
}
