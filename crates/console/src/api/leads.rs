//! `GET /api/v1/leads` and `GET /api/v1/leads/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use tasuki_domain::LeadId;

use super::parameters::Parameters;
use super::{ApiError, handoffs, instant, known, points};
use crate::routes::Shared;
use crate::store::{self, ContributionRow, DecisionRow, LeadFilter, LeadRow, TimelineRow, TrackRow};

/// `?search=&stage=&owner=&limit=&after=`: leads, who is next first.
pub(crate) async fn list(State(console): State<Shared>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(&uri, &["search", "stage", "owner", "limit", "after"])?;
    let filter = LeadFilter {
        search: parameters.text("search").unwrap_or_default().to_owned(),
        stage: parameters.parsed("stage")?,
        owner: parameters.text("owner").map(str::to_owned),
    };
    let (after, limit) = (parameters.parsed("after")?, parameters.limit()?);
    let page =
        store::leads(&console.pool, &filter, after, limit).await.map_err(|error| ApiError::store(&console, error))?;
    Ok(Json(json!({
        "items": page.items.iter().map(lead).collect::<Vec<_>>(),
        "next": page.next.map(|cursor| cursor.to_string()),
    })))
}

/// Everything about one lead.
pub(crate) async fn one(State(console): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let Ok(lead_id) = id.parse::<LeadId>() else { return Err(ApiError::not_found("lead", &id)) };
    let found = store::lead(&console.pool, lead_id).await.map_err(|error| ApiError::store(&console, error))?;
    let Some(detail) = found else { return Err(ApiError::not_found("lead", &id)) };
    let mut answer = lead(&detail.lead);
    answer["merged"] = detail.merged.iter().map(ToString::to_string).collect();
    answer["profile"] = detail.profile;
    answer["facts"] = detail.facts;
    answer["contributions"] = detail.contributions.iter().map(contribution).collect();
    answer["tracks"] = detail.tracks.iter().map(|it| track(it, &detail.contributions)).collect();
    answer["timeline"] = detail.timeline.iter().map(entry).collect();
    answer["decisions"] = detail.decisions.iter().map(decision).collect();
    answer["handoffs"] = detail.handoffs.iter().map(handoffs::handoff).collect();
    Ok(Json(answer))
}

/// The lead of an id, if it is known.
pub(super) async fn known_lead(console: &Shared, id: &str) -> Result<Option<LeadId>, ApiError> {
    let Ok(lead) = id.parse::<LeadId>() else { return Ok(None) };
    let known = store::is_known(&console.pool, lead).await.map_err(|error| ApiError::store(console, error))?;
    Ok(known.then_some(lead))
}

pub(super) fn lead(lead: &LeadRow) -> Value {
    json!({
        "id": lead.id.to_string(),
        "active": lead.active,
        "merged_into": lead.merged_into.map(|id| id.to_string()),
        "email": known(&lead.email),
        "name": known(&lead.name),
        "company": known(&lead.company),
        "title": known(&lead.title),
        "account_id": known(&lead.account_id),
        "user_id": known(&lead.user_id),
        "stage": lead.stage.name(),
        "cycle": lead.cycle,
        "fit": points(lead.fit),
        "fit_mp": lead.fit.get(),
        "engagement": points(lead.engagement),
        "engagement_mp": lead.engagement.get(),
        "score": points(lead.score),
        "score_mp": lead.score.get(),
        "grade": known(&lead.grade),
        "scored_as_of": instant(lead.scored_as_of),
        "next_change_at": instant(lead.next_change_at),
        "playbook_version": lead.playbook_version,
        "route": known(&lead.route),
        "urgency": known(&lead.urgency),
        "qualified_at": instant(lead.qualified_at),
        "handoff_id": lead.handoff.map(|(id, _)| id.to_string()),
        "handoff_state": lead.handoff.map(|(_, state)| state.name()),
        "owner": lead.owner.as_ref().map(handoffs::owner),
        "accept_by": instant(lead.accept_by),
        "activities": lead.activities,
        "first_activity_at": instant(lead.first_activity_at),
        "last_activity_at": instant(lead.last_activity_at),
    })
}

pub(super) fn contribution(contribution: &ContributionRow) -> Value {
    let evidence: Vec<Value> = contribution
        .evidence
        .iter()
        .map(|evidence| {
            json!({
                "behavior_id": evidence.behavior_id,
                "occurred_at": instant(evidence.occurred_at()),
                "what": evidence.what,
                "points": points(evidence.points()),
                "points_mp": evidence.points().get(),
            })
        })
        .collect();
    json!({
        "axis": contribution.axis.name(),
        "rule": contribution.rule,
        "points": points(contribution.points()),
        "points_mp": contribution.points().get(),
        "raw": points(contribution.raw()),
        "raw_mp": contribution.raw().get(),
        "limit_mp": contribution.by_limit().get(),
        "decay_mp": contribution.by_decay().get(),
        "cap_mp": contribution.by_cap().get(),
        "matches": contribution.matches,
        "evidence": evidence,
        "track": known(&contribution.track),
    })
}

/// The score in one track, with what it is made of: per axis, the points add up to it.
pub(super) fn track(row: &TrackRow, all: &[ContributionRow]) -> Value {
    let line = |row: &ContributionRow| {
        json!({
            "axis": row.axis.name(),
            "rule": row.rule,
            "points": points(row.points()),
            "points_mp": row.points().get(),
        })
    };
    json!({
        "track": row.track,
        "engagement": points(row.engagement()),
        "engagement_mp": row.engagement().get(),
        "fit": points(row.fit()),
        "fit_mp": row.fit().get(),
        "grade": known(&row.grade),
        "contributions": row.ledger(all).into_iter().map(line).collect::<Vec<_>>(),
    })
}

fn entry(entry: &TimelineRow) -> Value {
    json!({
        "id": entry.id.to_string(),
        "occurred_at": entry.occurred_at.to_string(),
        "received_at": entry.received_at.to_string(),
        "kind": entry.kind,
        "about": known(&entry.about),
        "title": known(&entry.title),
        "path": known(&entry.path),
        "source": known(&entry.source),
        "protocol": known(&entry.protocol),
        "via": entry.via,
        "unscored": entry.unscored,
    })
}

fn decision(decision: &DecisionRow) -> Value {
    json!({
        "id": decision.id.to_string(),
        "topic": decision.topic,
        "version": decision.version,
        "occurred_at": decision.occurred_at.to_string(),
        "received_at": decision.received_at.to_string(),
        "kind": decision.kind,
        "cycle": decision.cycle,
        "playbook_version": decision.playbook_version,
        "route": known(&decision.route),
        "detail": decision.detail,
    })
}
