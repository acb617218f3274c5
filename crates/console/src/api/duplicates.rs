//! `GET /api/v1/leads/{id}/duplicates`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};

use super::parameters::Parameters;
use super::{ApiError, leads};
use crate::routes::Shared;
use crate::store;

/// `?limit=`: leads that may be the same person as this one, with the reasons; `more`, if there are others beside. Nothing
/// is merged unless somebody says so.
pub(crate) async fn of_lead(
    State(console): State<Shared>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let limit = Parameters::read(&uri, &["limit"])?.limit()?;
    let lead = leads::known_lead(&console, &id).await?.ok_or_else(|| ApiError::not_found("lead", &id))?;
    let found =
        store::duplicates(&console.pool, lead, limit).await.map_err(|error| ApiError::store(&console, error))?;
    let item = |row: &store::DuplicateRow| {
        let reasons = row.reasons.iter().map(|reason| json!({ "kind": reason.kind, "common": reason.common }));
        json!({ "lead": leads::lead(&row.lead), "reasons": reasons.collect::<Vec<_>>() })
    };
    Ok(Json(json!({ "items": found.items.iter().map(item).collect::<Vec<_>>(), "more": found.next.is_some() })))
}
