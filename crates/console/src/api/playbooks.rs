//! `GET /api/v1/playbooks` and `/{version}`, `POST /api/v1/playbooks` and `/rollback`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tasuki_domain::PlaybookVersion;
use tasuki_playbook::lint::Lint;
use tasuki_playbook::{Faults, Playbook};

use super::ApiError;
use super::handoffs::{bounded, read, said_by, whole};
use crate::publication::{Outcome, Publication, Published, Refusal};
use crate::routes::Shared;
use crate::store::{self, PublicationRow};

/// Longest text of a playbook, in characters: far more than anybody reads aloud, and far less than a record may have.
pub(super) const LONGEST_TEXT: usize = 200_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishBody {
    text: String,
    by: Option<String>,
    #[serde(default)]
    despite_warnings: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    version: Option<u32>,
    by: Option<String>,
}

/// What is in force, and everything that was published, the latest first.
pub(crate) async fn list(State(console): State<Shared>) -> Result<Json<Value>, ApiError> {
    let rows = store::history(&console.pool).await.map_err(|error| ApiError::store(&console, error))?;
    let in_force = rows.first().map_or_else(|| at_start(&console.start), |row| shown(row, true));
    let items: Vec<_> = rows.iter().enumerate().map(|(place, row)| shown(row, place == 0)).collect();
    Ok(Json(json!({ "in_force": in_force, "items": items })))
}

/// One playbook with its text: as it was last published under this version, or as it is in force from the start.
pub(crate) async fn one(State(console): State<Shared>, Path(version): Path<String>) -> Result<Json<Value>, ApiError> {
    let rows = rows(&console).await?;
    let wanted = version.parse().ok().map(PlaybookVersion::new);
    let found = rows.iter().enumerate().find(|(_, row)| Some(row.version) == wanted);
    let (mut item, text) = match found {
        Some((place, row)) => (shown(row, place == 0), row.text.as_str()),
        None if rows.is_empty() && wanted == Some(console.start.version()) => {
            (at_start(&console.start), console.start.text())
        }
        None => return Err(ApiError::not_found("playbook", &version)),
    };
    item["text"] = json!(text);
    Ok(Json(item))
}

/// `{"text", "by"?, "despite_warnings"?}`: from now on leads are scored by this playbook, those scored before too.
pub(crate) async fn publish(
    State(console): State<Shared>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let PublishBody { text, by, despite_warnings } = read(&whole(body)?)?;
    let (text, by) = (bounded("text", text, LONGEST_TEXT)?, said_by(by)?);
    let rows = rows(&console).await?;
    let published = Published::new(&rows, &console.start);
    let outcome = published.publish(&text, &by, despite_warnings, console.clock.now()).map_err(refused)?;
    bring_about(&console, "publish", &published, outcome).await
}

/// `{"version"?, "by"?}`: the playbook of this version is in force again; without one the highest below that in force.
pub(crate) async fn roll_back(
    State(console): State<Shared>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let body = whole(body)?;
    let RollbackBody { version, by } =
        if body.trim_ascii().is_empty() { RollbackBody::default() } else { read(&body)? };
    let by = said_by(by)?;
    let rows = rows(&console).await?;
    let published = Published::new(&rows, &console.start);
    let wanted = version.map(PlaybookVersion::new);
    let outcome = published.roll_back(wanted, &by, console.clock.now()).map_err(refused)?;
    bring_about(&console, "rollback", &published, outcome).await
}

async fn bring_about(
    console: &Shared,
    verb: &'static str,
    published: &Published<'_>,
    outcome: Outcome,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Outcome::Publish(publications) = outcome else {
        let answer = json!({ "changed": false, "version": published.version().get() });
        return Ok((StatusCode::OK, Json(answer)));
    };
    console.publish(verb, &publications).await.map_err(ApiError::publish)?;
    let asked_for = publications.last().map(answer);
    Ok((StatusCode::ACCEPTED, Json(asked_for.unwrap_or_default())))
}

fn answer(publication: &Publication) -> Value {
    json!({
        "changed": true,
        "id": publication.id.to_string(),
        "version": publication.version.get(),
        "name": publication.name,
        "published_at": publication.at.to_string(),
        "by": publication.by,
    })
}

async fn rows(console: &Shared) -> Result<Vec<PublicationRow>, ApiError> {
    store::publications(&console.pool).await.map_err(|error| ApiError::store(console, error))
}

fn shown<T>(row: &PublicationRow<T>, in_force: bool) -> Value {
    json!({
        "id": row.id.to_string(),
        "version": row.version.get(),
        "name": row.name,
        "published_at": row.published_at.to_string(),
        "published_by": super::known(&row.published_by),
        "because": row.because,
        "in_force": in_force,
    })
}

/// What is in force as long as nothing was published.
fn at_start(start: &Playbook) -> Value {
    json!({
        "id": null,
        "version": start.version().get(),
        "name": start.name(),
        "published_at": null,
        "published_by": null,
        "because": "started",
        "in_force": true,
    })
}

fn refused(refusal: Refusal) -> ApiError {
    let unusable = |code, message: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    match refusal {
        Refusal::Faulty(faults) => unusable("faulty-playbook", "the text is no playbook that can be used".to_owned())
            .with("faults", faults_shown(&faults)),
        Refusal::Doubtful(lints) => unusable(
            "doubtful-playbook",
            "something in it is hardly meant so; correct it, or say despite_warnings".to_owned(),
        )
        .with("lints", lints.iter().map(lint_shown).collect()),
        Refusal::Version { found, highest } => unusable(
            "version-not-raised",
            format!("its version is {found}, and {highest} was there before; allowed is a higher one"),
        ),
        Refusal::NothingThere { wanted: Some(wanted), .. } => {
            unusable("never-published", format!("no playbook of version {wanted} was ever published"))
        }
        Refusal::NothingThere { wanted: None, in_force } => {
            unusable("never-published", format!("version {in_force} is in force, and no lower one was ever published"))
        }
        Refusal::Unusable(faults) => {
            unusable("faulty-playbook", "this release cannot use what was published then".to_owned())
                .with("faults", faults_shown(&faults))
        }
    }
}

pub(super) fn faults_shown(faults: &Faults) -> Value {
    let shown = |fault: &tasuki_playbook::Fault| json!({ "line": fault.line, "column": fault.column, "problem": fault.problem });
    faults.iter().map(shown).collect()
}

fn lint_shown(lint: &Lint) -> Value {
    json!({ "kind": lint.kind.name(), "line": lint.line, "column": lint.column, "problem": lint.problem })
}
