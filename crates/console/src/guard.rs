//! What every request passes: who may come in, in which language, and the headers of every answer.
//!
//! Closed by default: what is not an asset or the sign-in page needs the bearer token (under `/api`) or a session.

use std::future::Future;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::api::ApiError;
use crate::auth::{is_from_our_page, is_secure};
use crate::language::Language;
use crate::link;
use crate::metrics::{self, Surface};
use crate::pages::{self, Problem, Visit};
use crate::routes::Shared;

/// The pages that need no session.
const OPEN: [&str; 1] = ["/sign-in"];

/// A request that takes longer is answered with 503: somebody is waiting, and the database may never answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Nothing but our own style sheet and pictures, no script at all, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Wraps every route.
pub(crate) async fn guard(State(console): State<Shared>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let surface = surface(request.uri().path());
    let mut response = match surface {
        Surface::Asset => next.run(request).await,
        Surface::Api => api(&console, request, next).await,
        Surface::Page => page(&console, request, next).await,
    };
    harden(surface, response.headers_mut());
    metrics::request(surface, response.status(), started.elapsed());
    response
}

fn surface(path: &str) -> Surface {
    if path == "/api" || path.starts_with("/api/") {
        Surface::Api
    } else if path.starts_with("/assets/") || path == "/favicon.ico" {
        Surface::Asset
    } else {
        Surface::Page
    }
}

async fn api(console: &Shared, request: Request, next: Next) -> Response {
    if !console.token.is_bearer_of(request.headers()) {
        metrics::unauthorized();
        return ApiError::unauthorized().into_response();
    }
    let late = || ApiError::late().into_response();
    in_time(ANSWER_WITHIN, next.run(request), late).await
}

/// What comes of the work, or in its stead once it takes too long. A command that is given up may still be on the log;
/// giving it again is the same command.
async fn in_time(limit: Duration, work: impl Future<Output = Response>, late: impl FnOnce() -> Response) -> Response {
    match tokio::time::timeout(limit, work).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(limit_ms = limit.as_millis(), "a request was given up");
            late()
        }
    }
}

async fn page(console: &Shared, mut request: Request, next: Next) -> Response {
    let asks = request.method() == Method::GET || request.method() == Method::HEAD;
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    if asks && let Some(language) = chosen(&target) {
        let back = Redirect::to(&link::without_language(&target));
        return ([(header::SET_COOKIE, language.remember())], back).into_response();
    }
    let now = console.clock.now();
    let session = console.token.session(request.headers(), now);
    let visit = Visit {
        language: Language::of_request(request.headers()),
        zone: console.settings.console_time_zone.clone(),
        now,
        person: session.map(|session| session.person),
        target,
        style: console.style.clone(),
        secure: is_secure(request.headers()),
    };
    if !asks && !is_from_our_page(request.headers()) {
        return pages::problem(&visit, Problem::ForeignForm);
    }
    if visit.person.is_none() && !OPEN.contains(&request.uri().path()) {
        if asks && comes_from_elsewhere(request.headers()) {
            return pages::sign_in::bounce(&visit);
        }
        let next = if asks { visit.target.as_str() } else { "" };
        return Redirect::to(&link::with_query("/sign-in", &[("next", next)])).into_response();
    }
    request.extensions_mut().insert(visit.clone());
    let response = in_time(ANSWER_WITHIN, next.run(request), || Problem::Late.into_response()).await;
    match response.extensions().get::<Problem>() {
        Some(problem) => pages::problem(&visit, *problem),
        None => response,
    }
}

/// The language that `?lang=` asks for.
fn chosen(target: &str) -> Option<Language> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("lang=")).and_then(Language::from_code)
}

/// Followed a link on another site: then the browser holds our cookie back, although it may have one.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

fn harden(surface: Surface, headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not "no-referrer": browsers would then send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    match surface {
        // Personal data: in no cache.
        Surface::Page | Surface::Api => {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        Surface::Asset => {}
    }
}

/// The answer to an address or method that no route has.
pub(crate) async fn nothing_here(request: Request) -> Response {
    match surface(request.uri().path()) {
        Surface::Api => ApiError::no_route(request.method(), request.uri().path()).into_response(),
        Surface::Page => Problem::NotFound.into_response(),
        Surface::Asset => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The answer to a method that a route does not have.
pub(crate) async fn not_that_way(request: Request) -> Response {
    match surface(request.uri().path()) {
        Surface::Api => ApiError::wrong_method(request.method()).into_response(),
        Surface::Page => Problem::NotFound.into_response(),
        Surface::Asset => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_takes_too_long_is_given_up() {
        let late = || ApiError::late().into_response();
        let never = std::future::pending();
        assert_eq!(in_time(Duration::from_millis(1), never, late).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        let done = async { StatusCode::OK.into_response() };
        assert_eq!(in_time(Duration::from_secs(60), done, late).await.status(), StatusCode::OK);
    }

    #[test]
    fn what_is_neither_api_nor_asset_is_a_page() {
        for (path, expected) in [
            ("/api", Surface::Api),
            ("/api/v2/x", Surface::Api),
            ("/apiary", Surface::Page),
            ("/assets/x", Surface::Asset),
            ("/leads", Surface::Page),
        ] {
            assert_eq!(surface(path), expected, "{path}");
        }
    }
}
