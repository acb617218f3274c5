//! Parts of events as JSON columns. Instants as ISO 8601 in UTC; `null` where there is none.

use serde_json::{Map, Value, json};
use tasuki_domain::{Stage, Timestamp};
use tasuki_wire::evidence::Evidence;
use tasuki_wire::v1;
use tasuki_wire::v1::{handoff_record, identity_record};

use crate::record::Judged;
use crate::text::{clean, optional};

/// `lead_profile.profile`.
pub(crate) fn profile(profile: &v1::Profile) -> Value {
    let attributes: Map<_, _> = profile
        .attributes
        .iter()
        .map(|(name, attribute)| {
            let value = json!({
                "value": clean(&attribute.value),
                "source": clean(&attribute.source),
                // What follows from the address was said by nobody at no time.
                "occurred_at": optional_instant(attribute.occurred_at_ms),
            });
            (clean(name), value)
        })
        .collect();
    json!({
        "email": clean(&profile.email),
        "account_id": clean(&profile.account_id),
        "attributes": attributes,
        "other_emails": profile.other_emails.iter().map(|address| clean(address)).collect::<Vec<_>>(),
    })
}

/// `accounts.departments`.
pub(crate) fn departments(departments: &[v1::EngagedDepartment]) -> Value {
    departments.iter().map(|it| json!({ "name": clean(&it.name), "people": it.people })).collect()
}

/// `lead_profile.contributions`.
pub(crate) fn contributions(scored: &v1::LeadScored) -> Value {
    let evidence = Evidence::of(scored);
    scored.contributions.iter().map(|one| contribution(one, &evidence)).collect()
}

/// `lead_profile.tracks`.
pub(crate) fn tracks(scored: &v1::LeadScored) -> Value {
    let evidence = Evidence::of(scored);
    let track = |track: &v1::TrackScore| {
        json!({
            "track": clean(&track.track),
            "engagement_mp": track.engagement_mp,
            "fit_mp": track.fit_mp,
            "grade": clean(&track.grade),
            "bounds": track.bounds.iter().map(|one| contribution(one, &evidence)).collect::<Vec<_>>(),
        })
    };
    scored.tracks.iter().map(track).collect()
}

/// `lead_profile.facts`.
pub(crate) fn facts(scored: &v1::LeadScored) -> Value {
    Value::Object(scored.facts.iter().map(|fact| (clean(&fact.name), json!(fact.value))).collect())
}

fn contribution(contribution: &v1::Contribution, evidence: &Evidence<'_>) -> Value {
    let evidence: Value = evidence
        .named_by(contribution)
        .map(|(event, points_mp)| {
            json!({
                "behavior_id": id(event.behavior_id),
                "occurred_at": instant(event.occurred_at_ms),
                "what": clean(event.what),
                "points_mp": points_mp,
            })
        })
        .collect();
    let mut row = json!({
        "axis": match contribution.axis() {
            v1::Axis::Unspecified => "",
            v1::Axis::Fit => "fit",
            v1::Axis::Engagement => "engagement",
        },
        "rule": clean(&contribution.rule),
        "points_mp": contribution.points_mp,
        "raw_mp": contribution.raw_mp,
        "matches": contribution.matches,
        "evidence": evidence,
    });
    // Mostly zero, and left out then.
    for (name, by) in [("limit_mp", contribution.limit_mp), ("cap_mp", contribution.cap_mp)] {
        if by != 0 {
            row[name] = json!(by);
        }
    }
    if !contribution.track.is_empty() {
        row["track"] = json!(clean(&contribution.track));
    }
    row
}

/// The whole score, as a decision saw it.
fn score(scored: &v1::LeadScored) -> Value {
    let mut score = json!({
        "playbook_version": scored.playbook_version,
        "as_of": instant(scored.as_of_ms),
        "engagement_mp": scored.engagement_mp,
        "fit_mp": scored.fit_mp,
        "grade": clean(&scored.grade),
        "contributions": contributions(scored),
        "facts": facts(scored),
        "next_change_at": optional_instant(scored.next_change_at_ms),
        "profile": scored.profile.as_ref().map(profile),
        "signals": scored.signals,
        "because": match scored.because() {
            v1::ScoredBecause::Unspecified => "",
            v1::ScoredBecause::Activity => "activity",
            v1::ScoredBecause::Profile => "profile",
            v1::ScoredBecause::Retraction => "retraction",
            v1::ScoredBecause::Time => "time",
            v1::ScoredBecause::Playbook => "playbook",
            v1::ScoredBecause::Account => "account",
        },
    });
    // As they were written before there were tracks.
    if !scored.tracks.is_empty() {
        score["tracks"] = tracks(scored);
    }
    score
}

/// `lead_decisions.detail` of who is who.
pub(crate) fn identity(event: &identity_record::Event) -> Value {
    match event {
        identity_record::Event::MergesChanged(event) => json!({
            "merged_into": (!event.merged_into.is_empty()).then(|| id(&event.merged_into)),
            "merged": event.merged.iter().map(|lead| id(lead)).collect::<Vec<_>>(),
            "by": clean(&event.by),
            "command_id": id(&event.command_id),
        }),
        identity_record::Event::CommandRefused(event) => json!({
            "from": id(&event.from),
            "reason": clean(&event.reason),
            "by": clean(&event.by),
            "command_id": id(&event.command_id),
        }),
        identity_record::Event::IdentifierRefused(event) => json!({
            "identifier": clean(&event.kind),
            "because": refused_because(event.because()),
            "value": clean(&event.value),
            "behavior_id": id(&event.behavior_id),
        }),
        identity_record::Event::ConsentsChanged(event) => {
            let consents = event.consents.iter().map(|consent| {
                json!({
                    "purpose": clean(&consent.purpose),
                    "granted": consent.granted,
                    "since": optional_instant(consent.since_ms),
                    "source": clean(&consent.source),
                    "basis": clean(&consent.basis),
                })
            });
            json!({ "consents": consents.collect::<Vec<_>>() })
        }
        identity_record::Event::BehaviorWithheld(event) => {
            let behavior = event.behavior.as_ref();
            json!({
                "purpose": clean(&event.purpose),
                "kind": behavior.and_then(|it| it.event.as_ref()).map_or("", |event| event.kind()),
                "behavior_id": behavior.and_then(|it| it.meta.as_ref()).map(|meta| id(&meta.event_id)),
            })
        }
    }
}

/// Why an identifier was refused, as the API and the metrics call it.
fn refused_because(because: v1::RefusedBecause) -> &'static str {
    match because {
        v1::RefusedBecause::Unspecified => "",
        v1::RefusedBecause::Placeholder => "placeholder",
        v1::RefusedBecause::Invalid => "invalid",
        v1::RefusedBecause::RoleAddress => "role-address",
        v1::RefusedBecause::Blocked => "blocked",
        v1::RefusedBecause::IdentifiersPerLead => "identifiers-per-lead",
        v1::RefusedBecause::VisitorsPerUser => "visitors-per-user",
        v1::RefusedBecause::PeoplePerVisitor => "people-per-visitor",
        v1::RefusedBecause::SharedLine => "shared-line",
    }
}

/// `lead_decisions.detail` of a decision of marketing.
pub(crate) fn qualification(event: &Judged) -> Value {
    match event {
        Judged::Qualified(event) => {
            let mut detail = json!({
                "condition": clean(&event.condition),
                "urgency": clean(&event.urgency),
                "pool": clean(&event.pool),
                "seen": event.seen.as_ref().map(score),
            });
            if !event.track.is_empty() {
                detail["track"] = json!(clean(&event.track));
            }
            detail
        }
        Judged::Recycled(event) => {
            json!({ "reason": clean(&event.reason), "not_before": optional_instant(event.not_before_ms) })
        }
        Judged::Disqualified(event) => json!({ "reason": clean(&event.reason) }),
        Judged::HeldBack(event) => json!({ "reason": clean(&event.reason) }),
        Judged::StageChanged(event) => json!({
            "from": event.from().known().map(Stage::name),
            "to": event.to().known().map(Stage::name),
        }),
    }
}

/// `lead_decisions.detail` of what happened to a handoff.
pub(crate) fn handoff(event: &handoff_record::Event) -> Value {
    use handoff_record::Event;
    match event {
        Event::Assigned(event) => json!({
            "owner": event.owner.as_ref().map(|rep| {
                json!({ "id": clean(&rep.id), "name": clean(&rep.name), "email": clean(&rep.email) })
            }),
            "pool": clean(&event.pool),
            "reason": clean(&event.reason),
            "accept_by": optional_instant(event.accept_by_ms),
        }),
        Event::Overdue(event) => {
            json!({ "due_at": instant(event.due_at_ms), "fired_at": instant(event.fired_at_ms) })
        }
        Event::Accepted(event) => json!({ "by": clean(&event.by) }),
        Event::Rejected(event) => json!({
            "by": clean(&event.by),
            "reason": reject_reason(event.reason()),
            "note": clean(&event.note),
        }),
        Event::Refused(event) => json!({
            "command_id": id(&event.command_id),
            "by": clean(&event.by),
            "reason": clean(&event.reason),
        }),
    }
}

/// Why sales refused a lead, as it stands in tables and in the API.
pub(crate) fn reject_reason(reason: v1::RejectReason) -> &'static str {
    match reason {
        v1::RejectReason::Unspecified => "",
        v1::RejectReason::Timing => "timing",
        v1::RejectReason::NoBudget => "no-budget",
        v1::RejectReason::NoAuthority => "no-authority",
        v1::RejectReason::NoNeed => "no-need",
        v1::RejectReason::Unreachable => "unreachable",
        v1::RejectReason::BadData => "bad-data",
        v1::RejectReason::Duplicate => "duplicate",
        v1::RejectReason::Competitor => "competitor",
        v1::RejectReason::NotAFit => "not-a-fit",
    }
}

/// `dead_letters.http`.
pub(crate) fn http_place(place: &v1::HttpPlace) -> Value {
    json!({
        "source": clean(&place.source),
        "protocol": clean(&place.protocol),
        "method": clean(&place.method),
        "target": clean(&place.target),
        "content_type": clean(&place.content_type),
        "pointer": clean(&place.pointer),
        "item": place.item,
        "request_id": id(&place.request_id),
        "repairs": place.repairs.iter().map(|repair| clean(repair)).collect::<Value>(),
    })
}

fn instant(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

fn optional_instant(millis: i64) -> Option<String> {
    optional(millis).map(|instant| instant.to_string())
}

/// An id as text; `null` if the bytes are none.
fn id(bytes: &[u8]) -> Option<String> {
    sqlx::types::Uuid::from_slice(bytes).ok().map(|id| id.to_string())
}
