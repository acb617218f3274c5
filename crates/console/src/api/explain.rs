//! `GET` and `POST /api/v1/leads/{id}/explain`: what a lead is worth as of any instant, by any playbook.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use tasuki_domain::{LeadId, Millipoints, PlaybookVersion, Timestamp};

use super::handoffs::{bounded, read, whole};
use super::leads::{contribution, track};
use super::parameters::Parameters;
use super::playbooks::{LONGEST_TEXT, faults_shown};
use super::{ApiError, instant, known, points};
use crate::explain::{self, By, Expected, ExpectedInTrack, Explanation, Lift, LiftedBy, Unexplained};
use crate::routes::{Console, Shared};
use crate::store::{ContributionRow, TrackRow};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenBody {
    text: String,
    as_of: Option<String>,
}

/// `?as_of=&playbook=`: without `as_of` as of the score that is shown, without `playbook` by the one in force. `playbook` is
/// the version of one that was ever in force.
pub(crate) async fn published(
    State(console): State<Shared>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(&uri, &["as_of", "playbook"])?;
    let as_of: Option<Timestamp> = parameters.parsed("as_of")?;
    let version: Option<u32> = parameters.parsed("playbook")?;
    let by = version.map_or(By::InForce, |version| By::Version(PlaybookVersion::new(version)));
    answer(&console, &id, as_of, by).await
}

/// `{"text", "as_of"?}`: the same by a playbook that is not published; nothing is changed by it.
pub(crate) async fn given(
    State(console): State<Shared>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let GivenBody { text, as_of } = read(&whole(body)?)?;
    let text = bounded("text", text, LONGEST_TEXT)?;
    let instant = |text: String| {
        text.parse().map_err(|error| ApiError::bad_request("bad-parameter", format!("as_of is {text:?}: {error}")))
    };
    let as_of = as_of.map(instant).transpose()?;
    answer(&console, &id, as_of, By::Text(text)).await
}

async fn answer(console: &Shared, id: &str, as_of: Option<Timestamp>, by: By) -> Result<Json<Value>, ApiError> {
    let Ok(lead) = id.parse::<LeadId>() else { return Err(ApiError::not_found("lead", id)) };
    let published = !matches!(by, By::Text(_));
    let explanation = explain::explain(console, lead, as_of, by).await;
    let explanation = explanation.map_err(|error| refused(console, id, as_of, error))?;
    let mut answer = shown(&explanation);
    answer["playbook"]["published"] = json!(published);
    Ok(Json(answer))
}

fn refused(console: &Console, id: &str, as_of: Option<Timestamp>, error: Unexplained) -> ApiError {
    let unusable = |code, message: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    match error {
        Unexplained::NoLead => ApiError::not_found("lead", id),
        Unexplained::NeverPublished(version) => unusable(
            "never-published",
            format!("no playbook of version {version} was ever published; GET /api/v1/playbooks has those that were"),
        ),
        Unexplained::OutOfBounds { first, last } => ApiError::bad_request(
            "out-of-bounds",
            format!("as_of is {}; allowed is from {first} to {last}", as_of.unwrap_or_default()),
        ),
        Unexplained::Faulty(faults) => {
            unusable("faulty-playbook", "the text is no playbook that can be used".to_owned())
                .with("faults", faults_shown(&faults))
        }
        Unexplained::Unusable(faults) => {
            unusable("faulty-playbook", "this release cannot use what was published then".to_owned())
                .with("faults", faults_shown(&faults))
        }
        Unexplained::Store(error) => ApiError::store(console, error),
        Unexplained::Defect => ApiError::defect(),
    }
}

fn shown(explanation: &Explanation) -> Value {
    let Explanation { known: of, playbook, explained, as_of, .. } = explanation;
    let (scored, lead, account) = (&explained.scored, &of.lead, &of.account);
    let contributions = ContributionRow::of(scored);
    let axis = |shown_mp| (points(Millipoints::new(shown_mp)), shown_mp);
    let ((engagement, engagement_mp), (fit, fit_mp)) = (axis(scored.engagement_mp), axis(scored.fit_mp));
    let (total, total_mp) = axis(scored.engagement_mp.saturating_add(scored.fit_mp));
    json!({
        "lead_id": lead.id.to_string(),
        "merged_into": lead.merged_into.map(|id| id.to_string()),
        "as_of": as_of.to_string(),
        "playbook": {
            "name": playbook.name(),
            "version": playbook.version().get(),
            "in_force": explanation.is_in_force,
        },
        "engagement": engagement,
        "engagement_mp": engagement_mp,
        "fit": fit,
        "fit_mp": fit_mp,
        "score": total,
        "score_mp": total_mp,
        "grade": known(&scored.grade),
        "signals": scored.signals,
        "contributions": contributions.iter().map(contribution).collect::<Vec<_>>(),
        "tracks": TrackRow::of(scored).iter().map(|it| track(it, &contributions)).collect::<Vec<_>>(),
        "facts": scored.facts.iter().map(|fact| (fact.name.clone(), json!(fact.value))).collect::<serde_json::Map<_, _>>(),
        "account": {
            "departments": account.departments,
            "people": account.people,
            "engagement": points(account.engagement),
            "engagement_mp": account.engagement.get(),
        },
        "open_routes": explained.open_routes,
        "expected": explained.expected.iter().map(expected).collect::<Vec<_>>(),
        "lifts": explained.lifts.iter().map(lift).collect::<Vec<_>>(),
        "attributes_said_later": explanation.said_later(),
        "shown": {
            "as_of": instant(lead.scored_as_of),
            "playbook_version": lead.playbook_version,
            "engagement": points(lead.engagement),
            "engagement_mp": lead.engagement.get(),
            "fit": points(lead.fit),
            "fit_mp": lead.fit.get(),
            "grade": known(&lead.grade),
        },
    })
}

fn expected(expected: &Expected) -> Value {
    let facts = expected.facts.iter().map(|(name, was, is)| json!({ "name": name, "from": was, "to": is }));
    json!({
        "at": expected.at.to_string(),
        "engagement": points(expected.engagement),
        "engagement_mp": expected.engagement.get(),
        "grade": expected.grade,
        "falls_below": expected.falls_below.iter().copied().map(points).collect::<Vec<_>>(),
        "reaches": expected.reaches.iter().copied().map(points).collect::<Vec<_>>(),
        "tracks": expected.tracks.iter().map(in_track).collect::<Vec<_>>(),
        "facts": facts.collect::<Vec<_>>(),
        "open_routes": expected.open_routes,
    })
}

fn in_track(expected: &ExpectedInTrack) -> Value {
    json!({
        "track": expected.track,
        "engagement": points(expected.engagement),
        "engagement_mp": expected.engagement.get(),
        "grade": expected.grade,
        "falls_below": expected.falls_below.iter().copied().map(points).collect::<Vec<_>>(),
        "reaches": expected.reaches.iter().copied().map(points).collect::<Vec<_>>(),
    })
}

fn lift(lift: &Lift) -> Value {
    let by = |LiftedBy { rule, points: gain, times, ends }: &LiftedBy| {
        json!({
            "rule": rule, "points": points(*gain), "points_mp": gain.get(), "times": times,
            "by": if *ends { "no longer matching" } else { "matching" },
        })
    };
    json!({
        "track": known(&lift.track),
        "axis": crate::explain::axis(lift.axis).name(),
        "to": points(lift.to),
        "missing": points(lift.missing),
        "missing_mp": lift.missing.get(),
        "rules": lift.by.iter().map(by).collect::<Vec<_>>(),
    })
}
