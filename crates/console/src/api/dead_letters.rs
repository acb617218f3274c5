//! `GET /api/v1/dead-letters`.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use super::parameters::Parameters;
use super::{ApiError, instant};
use crate::routes::Shared;
use crate::store::{self, DeadLetterRow};

/// `?limit=`: the latest dead letters, without the original bytes.
pub(crate) async fn list(State(console): State<Shared>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let limit = Parameters::read(&uri, &["limit"])?.limit()?;
    let letters = store::dead_letters(&console.pool, limit).await.map_err(|error| ApiError::store(&console, error))?;
    Ok(Json(json!({ "items": letters.iter().map(letter).collect::<Vec<_>>() })))
}

fn letter(letter: &DeadLetterRow) -> Value {
    let log = letter
        .log
        .as_ref()
        .map(|(topic, partition, offset)| json!({ "topic": topic, "partition": partition, "offset": offset }));
    json!({
        "id": letter.id.to_string(),
        "service": letter.service,
        "kind": letter.kind,
        "code": letter.code,
        "message": letter.message,
        "received_at": instant(letter.received_at),
        "size": letter.size,
        "log": log,
        "http": letter.http,
    })
}
