//! `POST /api/v1/leads/{id}/merge` and `/split`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::handoffs::{read, said_by, whole};
use super::leads::known_lead;
use crate::command;
use crate::merge::{Ask, LeadCommand};
use crate::routes::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeBody {
    from: String,
    by: Option<String>,
}

/// `{"from", "by"?}`: the lead `from` is the same person as this one, which has from now on what both did and will do.
pub(crate) async fn merge(
    State(console): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    give(&console, &id, &headers, body, Ask::Merge).await
}

/// `{"from", "by"?}`: they are two after all, and each has its own again.
pub(crate) async fn split(
    State(console): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    give(&console, &id, &headers, body, Ask::Split).await
}

async fn give(
    console: &Shared,
    id: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    ask: Ask,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let MergeBody { from, by } = read(&whole(body)?)?;
    let by = said_by(by)?;
    let idempotency_key =
        command::idempotency_key(headers).map_err(|message| ApiError::bad_request("bad-header", message))?;
    let into = known_lead(console, id).await?.ok_or_else(|| ApiError::not_found("lead", id))?;
    let unusable = |message: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-lead", message);
    let from = known_lead(console, &from)
        .await?
        .ok_or_else(|| unusable(format!("from: no lead with id {from:?} is known")))?;
    if from == into {
        return Err(unusable("from is the lead itself; allowed is another one".to_owned()));
    }
    let command = LeadCommand { into, from, ask, by, idempotency_key };
    let command_id = console.send_lead_command(&command).await.map_err(ApiError::publish)?;
    let answer = json!({
        "command_id": command_id.to_string(),
        "lead_id": into.to_string(),
        "from": from.to_string(),
        "command": ask.verb(),
        "by": command.by,
    });
    Ok((StatusCode::ACCEPTED, Json(answer)))
}
