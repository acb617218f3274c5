//! `GET /api/v1/accounts` and `GET /api/v1/accounts/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};

use super::parameters::Parameters;
use super::{ApiError, instant, known, leads, points};
use crate::routes::Shared;
use crate::store::{self, AccountRow};

/// `?search=&limit=&after=`: accounts with engaged people, those with most engagement first.
pub(crate) async fn list(State(console): State<Shared>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(&uri, &["search", "limit", "after"])?;
    let search = parameters.text("search").unwrap_or_default();
    let (after, limit) = (parameters.parsed("after")?, parameters.limit()?);
    let page =
        store::accounts(&console.pool, search, after, limit).await.map_err(|error| ApiError::store(&console, error))?;
    Ok(Json(json!({
        "items": page.items.iter().map(account).collect::<Vec<_>>(),
        "next": page.next.map(|cursor| cursor.to_string()),
    })))
}

/// One account with its leads, at most 500, those with the highest score first.
pub(crate) async fn one(State(console): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let found = store::account(&console.pool, &id).await.map_err(|error| ApiError::store(&console, error))?;
    let Some(detail) = found else { return Err(ApiError::not_found("account", &id)) };
    let mut answer = account(&detail.account);
    answer["leads"] = detail.leads.iter().map(leads::lead).collect();
    Ok(Json(answer))
}

fn account(account: &AccountRow) -> Value {
    let departments = account.departments.iter();
    json!({
        "id": account.id,
        "company": known(&account.company),
        "engagement": points(account.engagement),
        "engagement_mp": account.engagement.get(),
        "sum": points(account.sum),
        "sum_mp": account.sum.get(),
        "people": account.people,
        "departments": departments.map(|it| json!({ "name": it.name, "people": it.people })).collect::<Vec<_>>(),
        "lead_count": account.leads,
        "as_of": instant(account.as_of),
        "playbook_version": account.as_of.map(|_| account.playbook_version),
    })
}
