//! The forms by which sales accepts or rejects a lead.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::response::Redirect;
use serde::Deserialize;
use tasuki_domain::HandoffId;

use super::{Problem, Visit};
use crate::command::{self, Command, LONGEST_NOTE, Verdict};
use crate::routes::Shared;
use crate::store;

/// Who says so when they have not told their name.
const SOMEBODY: &str = "console";

/// `POST /handoffs/{id}/accept`
pub(crate) async fn accept(
    State(console): State<Shared>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Redirect, Problem> {
    give(&console, &visit, &id, Verdict::Accept).await
}

#[derive(Deserialize)]
pub(crate) struct Rejection {
    reason: String,
    #[serde(default)]
    note: String,
}

/// `POST /handoffs/{id}/reject`
pub(crate) async fn reject(
    State(console): State<Shared>,
    visit: Visit,
    Path(id): Path<String>,
    form: Result<Form<Rejection>, FormRejection>,
) -> Result<Redirect, Problem> {
    let Ok(Form(Rejection { reason, note })) = form else { return Err(Problem::BadForm) };
    let reason = command::reason(&reason).ok_or(Problem::BadForm)?;
    let note = note.trim().to_owned();
    if note.chars().count() > LONGEST_NOTE {
        return Err(Problem::BadForm);
    }
    give(&console, &visit, &id, Verdict::Reject { reason, note }).await
}

/// Sends the verdict, then shows the lead again, which waits for what becomes of it.
async fn give(console: &Shared, visit: &Visit, id: &str, verdict: Verdict) -> Result<Redirect, Problem> {
    let id: HandoffId = id.parse().map_err(|_| Problem::NotFound)?;
    let found = store::handoff(&console.pool, id).await.map_err(|error| Problem::store(console, error))?;
    let found = found.ok_or(Problem::NotFound)?;
    let by = visit.person.as_deref().filter(|name| !name.is_empty()).unwrap_or(SOMEBODY).to_owned();
    let command = Command { handoff: found.id, lead: found.lead, verdict, by, idempotency_key: None };
    console.send(&command).await.map_err(|error| match error {
        tasuki_stream::log::PublishError::Unavailable(_) | tasuki_stream::log::PublishError::Overloaded => {
            Problem::LogDown
        }
        tasuki_stream::log::PublishError::Refused(_) => Problem::Defect,
    })?;
    Ok(Redirect::to(&format!("/leads/{}?sent=1", found.lead)))
}
