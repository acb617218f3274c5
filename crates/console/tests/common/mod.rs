//! A console on a database of its own, without a socket.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "part of the tests, outside their functions")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use prost::Message;
use serde_json::Value;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tasuki_console::{ApiToken, ConsoleSettings, ConsoleState, router};
use tasuki_domain::Timestamp;
use tasuki_playbook::Playbook;
use tasuki_service::{Clock, Health};
use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, PublishError, Publisher};
use tasuki_wire::v1::SalesFeedback;
use tower::ServiceExt;

#[path = "../fixture/mod.rs"]
pub(crate) mod fixture;

pub(crate) const TOKEN: &str = "test-token-0123456789";
pub(crate) const HANAKO: &str = "a0000000-0000-4000-8000-000000000001";
pub(crate) const HANAKOS_HANDOFF: &str = "b0000000-0000-4000-8000-000000000001";
pub(crate) const MALLORY: &str = "a0000000-0000-4000-8000-000000000007";

/// A log that keeps what it gets, or is away.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) records: Mutex<Vec<Emitted>>,
    pub(crate) away: Mutex<bool>,
}

impl Publisher for Log {
    fn publish(&self, records: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            if *self.away.lock().unwrap() {
                return Err(PublishError::Unavailable("no broker answers".into()));
            }
            self.records.lock().unwrap().extend(records);
            Ok(())
        })
    }
}

impl Log {
    pub(crate) fn feedback(&self) -> Vec<SalesFeedback> {
        let records = self.records.lock().unwrap();
        records.iter().map(|record| SalesFeedback::decode(record.payload.as_slice()).unwrap()).collect()
    }
}

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        fixture::NOW.parse().unwrap()
    }
}

pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) log: Arc<Log>,
    pub(crate) health: Health,
    pub(crate) url: String,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl App {
    /// With tables and some leads in them.
    pub(crate) async fn filled() -> Self {
        let url = tasuki_testkit::postgres::fresh_database();
        fixture::make_tables(&url).await;
        fixture::fill(&url).await;
        Self::on(url)
    }

    /// On a database as it is.
    pub(crate) fn on(url: String) -> Self {
        let pool = PgPoolOptions::new().acquire_timeout(Duration::from_secs(30)).connect_lazy(&url).unwrap();
        Self::with_pool(pool, url)
    }

    fn with_pool(pool: PgPool, url: String) -> Self {
        let (log, health) = (Arc::new(Log::default()), Health::default());
        let state = ConsoleState {
            pool,
            publisher: Arc::clone(&log) as Arc<dyn Publisher>,
            clock: Arc::new(Standing),
            health: health.clone(),
            token: ApiToken::new(TOKEN).unwrap(),
            start: Arc::new(Playbook::built_in()),
            explainer: fixture::explainer::explainer(),
            settings: ConsoleSettings {
                console_listen: "127.0.0.1:0".parse().unwrap(),
                console_time_zone: "Asia/Tokyo".parse().unwrap(),
            },
        };
        Self { router: router(state), log, health, url }
    }

    pub(crate) async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// Asks the API.
    pub(crate) async fn api(&self, target: &str) -> Answer {
        self.send("GET", target, &[("authorization", &format!("Bearer {TOKEN}"))], "").await
    }

    /// Tells the API.
    pub(crate) async fn tell(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let headers: Vec<_> = headers.iter().copied().chain([("authorization", bearer.as_str())]).collect();
        self.send("POST", target, &headers, body).await
    }

    /// Signs in on the page; the cookie.
    pub(crate) async fn sign_in(&self, name: &str) -> String {
        let form = format!("token={TOKEN}&name={name}&next=/leads");
        let answer = self.form("/sign-in", "", &form).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/leads"));
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// Sends a form of one of our pages.
    pub(crate) async fn form(&self, target: &str, cookie: &str, form: &str) -> Answer {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", cookie),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send("POST", target, &headers, form).await
    }

    /// A page, as somebody who has signed in.
    pub(crate) async fn page(&self, target: &str, language: &str) -> Answer {
        let cookie = self.sign_in("Mika").await;
        self.send("GET", target, &[("cookie", &cookie), ("accept-language", language)], "").await
    }
}

/// What a page says, without its markup: a line per piece of text.
pub(crate) fn text_of(page: &str) -> String {
    let body = page.split_once("<main").map_or(page, |(_, body)| body);
    let mut lines = Vec::new();
    for piece in body.split('<').skip(1) {
        let text = piece.split_once('>').map_or("", |(_, text)| text).trim();
        if !text.is_empty() {
            lines.push(text);
        }
    }
    lines.join("\n")
}
