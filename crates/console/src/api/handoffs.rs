//! `GET /api/v1/handoffs`, `POST /api/v1/handoffs/{id}/accept` and `/reject`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tasuki_domain::HandoffId;

use super::parameters::Parameters;
use super::{ApiError, instant, known};
use crate::command::{self, Command, LONGEST_BY, LONGEST_NOTE, REASONS, Verdict};
use crate::routes::Shared;
use crate::store::{self, HandoffRow, Owner, StateFilter};

/// Who says so when the caller does not tell.
const CALLER: &str = "api";

/// `?state=&owner=&limit=&after=`: handoffs, the most pressing first; without `state` those on which sales has not
/// decided yet.
pub(crate) async fn list(State(console): State<Shared>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(&uri, &["state", "owner", "limit", "after"])?;
    let state = parameters.parsed("state")?.unwrap_or(StateFilter::Open);
    let (after, limit) = (parameters.parsed("after")?, parameters.limit()?);
    let page = store::handoffs(&console.pool, state, parameters.text("owner"), after, limit)
        .await
        .map_err(|error| ApiError::store(&console, error))?;
    Ok(Json(json!({
        "items": page.items.iter().map(handoff).collect::<Vec<_>>(),
        "next": page.next.map(|cursor| cursor.to_string()),
    })))
}

/// One handoff.
pub(crate) async fn one(State(console): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    find(&console, &id).await.map(|found| Json(handoff(&found)))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AcceptBody {
    by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RejectBody {
    reason: String,
    note: Option<String>,
    by: Option<String>,
}

/// `{"by"?}`: sales takes the lead.
pub(crate) async fn accept(
    State(console): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let body = whole(body)?;
    let AcceptBody { by } = if body.trim_ascii().is_empty() { AcceptBody::default() } else { read(&body)? };
    give(&console, &id, &headers, by, Verdict::Accept).await
}

/// `{"reason", "note"?, "by"?}`: sales refuses it.
pub(crate) async fn reject(
    State(console): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let RejectBody { reason, note, by } = read(&whole(body)?)?;
    let Some(reason) = command::reason(&reason) else {
        return Err(ApiError::not_allowed("reason", &reason, REASONS.map(|(name, _)| name).to_vec()));
    };
    let note = bounded("note", note.unwrap_or_default(), LONGEST_NOTE)?;
    give(&console, &id, &headers, by, Verdict::Reject { reason, note }).await
}

async fn give(
    console: &Shared,
    id: &str,
    headers: &HeaderMap,
    by: Option<String>,
    verdict: Verdict,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let by = said_by(by)?;
    let idempotency_key =
        command::idempotency_key(headers).map_err(|message| ApiError::bad_request("bad-header", message))?;
    let found = find(console, id).await?;
    let command = Command { handoff: found.id, lead: found.lead, verdict, by, idempotency_key };
    let command_id = console.send(&command).await.map_err(ApiError::publish)?;
    let answer = json!({
        "command_id": command_id.to_string(),
        "handoff_id": found.id.to_string(),
        "lead_id": found.lead.to_string(),
        "command": command.verdict.verb(),
        "by": command.by,
    });
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

async fn find(console: &Shared, id: &str) -> Result<HandoffRow, ApiError> {
    let Ok(handoff_id) = id.parse::<HandoffId>() else { return Err(ApiError::not_found("handoff", id)) };
    let found = store::handoff(&console.pool, handoff_id).await.map_err(|error| ApiError::store(console, error))?;
    found.ok_or_else(|| ApiError::not_found("handoff", id))
}

pub(super) fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|error| ApiError::new(error.status(), "bad-body", error.body_text()))
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        ApiError::new(status, "bad-body", format!("the body is not as it must be: {error}"))
    })
}

pub(super) fn bounded(field: &str, text: String, most: usize) -> Result<String, ApiError> {
    let length = text.chars().count();
    if length <= most {
        return Ok(text);
    }
    Err(ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "too-long",
        format!("{field} has {length} characters; allowed are at most {most}"),
    ))
}

/// Who says so, as far as the caller tells.
pub(super) fn said_by(by: Option<String>) -> Result<String, ApiError> {
    bounded("by", by.filter(|by| !by.trim().is_empty()).unwrap_or_else(|| CALLER.to_owned()), LONGEST_BY)
}

/// The rep who has it.
pub(super) fn owner(owner: &Owner) -> Value {
    json!({ "id": owner.id, "name": known(&owner.name), "email": known(&owner.email) })
}

/// One handoff, as it stands in every answer.
pub(super) fn handoff(handoff: &HandoffRow) -> Value {
    json!({
        "id": handoff.id.to_string(),
        "lead_id": handoff.lead.to_string(),
        "cycle": handoff.cycle,
        "state": handoff.state.name(),
        "open": handoff.state.is_open(),
        "route": known(&handoff.route),
        "track": known(&handoff.track),
        "urgency": known(&handoff.urgency),
        "playbook_version": handoff.playbook_version,
        "qualified_at": instant(handoff.qualified_at),
        "pool": known(&handoff.pool),
        "owner": handoff.owner.as_ref().map(owner),
        "reason": known(&handoff.reason),
        "assigned_at": instant(handoff.assigned_at),
        "accept_by": instant(handoff.accept_by),
        "overdue_at": instant(handoff.overdue_at),
        "accepted_at": instant(handoff.accepted_at),
        "accepted_by": known(&handoff.accepted_by),
        "rejected_at": instant(handoff.rejected_at),
        "rejected_by": known(&handoff.rejected_by),
        "reject_reason": known(&handoff.reject_reason),
        "reject_note": known(&handoff.reject_note),
    })
}
