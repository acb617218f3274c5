//! The address for operators: `/metrics`, `/health/live`, `/health/ready`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::health::{Condition, Health};

/// The routes for operators.
pub fn router(health: Health, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(render).with_state(metrics))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready).with_state(health))
}

async fn render(State(metrics): State<PrometheusHandle>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

/// 200 when every part is ready, else 503; either way the parts with their reasons, as JSON.
pub async fn ready(State(health): State<Health>) -> Response {
    let conditions = health.conditions();
    let ready = conditions.values().all(|condition| *condition == Condition::Ready);
    let parts: serde_json::Map<_, _> = conditions
        .into_iter()
        .map(|(name, condition)| match condition {
            Condition::Ready => (name, json!("ready")),
            Condition::Waiting(why) => (name, json!(why)),
        })
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({ "ready": ready, "parts": parts }))).into_response()
}
