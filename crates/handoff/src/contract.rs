//! A qualification and a decision as a record of the public contract.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tasuki_domain::{EventId, LeadId, Millipoints, Timestamp};
use tasuki_wire::contract::{Company, Contact, Deed, Owner, QualifiedLead, Reason, Route, SPEC_VERSION, Score, Track};
use tasuki_wire::evidence::Evidence;
use tasuki_wire::v1;

use crate::emit::Assignment;

const REASONS: usize = 5;
const TIMELINE: usize = 10;

/// The record as a whole.
pub(crate) fn qualified_lead(assignment: &Assignment<'_>, event_id: EventId, version: u64) -> QualifiedLead {
    let Assignment { qualified, seen, decision, .. } = assignment;
    let profile = seen.profile.clone().unwrap_or_default();
    QualifiedLead {
        spec_version: SPEC_VERSION.to_owned(),
        event_id,
        occurred_at: assignment.at,
        handoff_id: assignment.handoff,
        lead_id: assignment.lead,
        cycle: qualified.cycle,
        version,
        qualified_at: assignment.qualified_at,
        playbook_version: qualified.playbook_version,
        route: Route { name: qualified.route.clone(), condition: qualified.condition.clone() },
        urgency: qualified.urgency.clone(),
        contact: contact(&profile),
        company: company(&profile),
        score: Score {
            engagement: Millipoints::new(seen.engagement_mp),
            fit: Millipoints::new(seen.fit_mp),
            grade: seen.grade.clone(),
            as_of: Timestamp::from_millis(seen.as_of_ms),
            reasons: reasons(&seen.contributions, &qualified.track),
        },
        timeline: timeline(seen),
        owner: decision.owner.as_ref().map(|rep| Owner {
            id: rep.id.clone(),
            name: rep.name.clone(),
            email: rep.email.clone(),
        }),
        pool: decision.pool.clone(),
        assignment_reason: decision.reason.clone(),
        accept_by: assignment.accept_by,
        merged_into: assignment.merged_into,
        track: seen.tracks.iter().find(|track| track.track == qualified.track).map(track),
    }
}

/// The last record of a lead again, since it is merged into another or no longer: the handoff stays as it is.
pub(crate) fn corrected(
    last: &[u8],
    event_id: EventId,
    version: u64,
    merged_into: Option<LeadId>,
) -> Option<QualifiedLead> {
    let last = QualifiedLead::from_json(last).ok()?;
    Some(QualifiedLead { spec_version: SPEC_VERSION.to_owned(), event_id, version, merged_into, ..last })
}

fn contact(profile: &v1::Profile) -> Contact {
    Contact {
        email: some(&profile.email),
        name: attribute(profile, "name"),
        first_name: attribute(profile, "first_name"),
        last_name: attribute(profile, "last_name"),
        title: attribute(profile, "title"),
        department: attribute(profile, "department"),
        phone: attribute(profile, "phone"),
    }
}

fn company(profile: &v1::Profile) -> Company {
    Company {
        account_id: some(&profile.account_id),
        name: attribute(profile, "company"),
        industry: attribute(profile, "industry"),
        employees: attribute(profile, "employees"),
        country: attribute(profile, "country"),
        region: attribute(profile, "region"),
        website: attribute(profile, "website"),
    }
}

fn attribute(profile: &v1::Profile, name: &str) -> Option<String> {
    profile.attributes.get(name).and_then(|attribute| some(&attribute.value))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn track(score: &v1::TrackScore) -> Track {
    Track {
        name: score.track.clone(),
        engagement: Millipoints::new(score.engagement_mp),
        fit: Millipoints::new(score.fit_mp),
        grade: score.grade.clone(),
    }
}

/// The rules that gave most, in a track if one is named. What takes points away is no reason to call, nor is what a bound gives back.
fn reasons(contributions: &[v1::Contribution], track: &str) -> Vec<Reason> {
    let is_reason = |contribution: &&v1::Contribution| {
        contribution.points_mp > 0 && contribution.raw_mp > 0 && contribution.counts_for(track)
    };
    let mut gave: Vec<_> = contributions.iter().filter(is_reason).collect();
    gave.sort_by_key(|contribution| (Reverse(contribution.points_mp), contribution.axis, &contribution.rule));
    gave.into_iter()
        .take(REASONS)
        .map(|contribution| Reason {
            axis: match contribution.axis() {
                v1::Axis::Fit => "fit",
                v1::Axis::Engagement => "engagement",
                v1::Axis::Unspecified => "",
            }
            .to_owned(),
            rule: contribution.rule.clone(),
            points: Millipoints::new(contribution.points_mp),
            matches: contribution.matches,
        })
        .collect()
}

/// What the lead did, as far as it earned points: each event once, newest first.
fn timeline(seen: &v1::LeadScored) -> Vec<Deed> {
    let evidence = Evidence::of(seen);
    let mut deeds = BTreeMap::new();
    for (event, _) in seen.contributions.iter().flat_map(|contribution| evidence.named_by(contribution)) {
        let Ok(behavior_id) = EventId::from_slice(event.behavior_id) else { continue };
        let occurred_at = Timestamp::from_millis(event.occurred_at_ms);
        deeds.entry((Reverse(occurred_at), behavior_id)).or_insert_with(|| Deed {
            behavior_id,
            occurred_at,
            what: event.what.to_owned(),
        });
    }
    deeds.into_values().take(TIMELINE).collect()
}
