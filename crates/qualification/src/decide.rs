//! The decisions themselves: pure functions of a score, a state and the playbook.

use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::{Consequence, Playbook, RejectReason, Route, TrackRef};
use tasuki_wire::evidence::Evidence;
use tasuki_wire::v1;

/// What a score leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict<'p> {
    /// No route is open.
    None,
    /// By this route, to sales.
    Qualified(&'p Route),
    /// A route is open, but this exclusion of the playbook applies.
    Excluded(&'p str),
}

/// Decides on a score. A lead that sales refused at `rejected_at` needs something new for a route to be open.
pub(crate) fn decide<'p>(
    playbook: &'p Playbook,
    scored: &v1::LeadScored,
    rejected_at: Option<Timestamp>,
) -> Verdict<'p> {
    let facts = facts(playbook, scored);
    let open = playbook.routes().iter().find(|route| {
        let known = route.asks_for().iter().all(|&fact| facts[fact].is_some());
        let values: Vec<i64> = facts.iter().map(|fact| fact.unwrap_or(0)).collect();
        known
            && axes(route, scored).is_some_and(|(engagement, fit)| route.holds(engagement, fit, &values))
            && rejected_at.is_none_or(|rejected_at| something_new(playbook, route, scored, rejected_at))
    });
    let Some(route) = open else { return Verdict::None };
    let email = scored.profile.as_ref().map_or("", |profile| profile.email.as_str());
    match playbook.exclusion(email) {
        Some(exclusion) => Verdict::Excluded(&exclusion.name),
        None => Verdict::Qualified(route),
    }
}

/// Engagement and fit that the condition of a route is about: those of its track, else of the lead itself. A score that was
/// made by another playbook may not have the track.
fn axes(route: &Route, scored: &v1::LeadScored) -> Option<(Millipoints, Millipoints)> {
    let (engagement_mp, fit_mp) = match &route.track {
        None => (scored.engagement_mp, scored.fit_mp),
        Some(wanted) => {
            let track = scored.tracks.iter().find(|track| track.track == wanted.name)?;
            (track.engagement_mp, track.fit_mp)
        }
    };
    Some((Millipoints::new(engagement_mp), Millipoints::new(fit_mp)))
}

/// What the score says to what the playbook asks. A score that was made by another playbook may not have all of it.
fn facts(playbook: &Playbook, scored: &v1::LeadScored) -> Vec<Option<i64>> {
    let answer = |name: &str| scored.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value);
    playbook.facts().iter().map(|fact| answer(&fact.name)).collect()
}

/// Whether the lead did something after sales refused it that speaks for this route: one of the signals that the route
/// asks for; or, if it asks for none, any signal that gives points, in its track if it is of one.
fn something_new(playbook: &Playbook, route: &Route, scored: &v1::LeadScored, rejected_at: Timestamp) -> bool {
    let asked: Vec<&str> =
        route.asks_for().iter().map(|&fact| playbook.rules()[playbook.facts()[fact].rule].name.as_str()).collect();
    let evidence = Evidence::of(scored);
    let track = TrackRef::name_of(route.track.as_ref());
    scored.contributions.iter().any(|contribution| {
        let speaks = if asked.is_empty() {
            contribution.points_mp > 0 && contribution.counts_for(track)
        } else {
            asked.contains(&contribution.rule.as_str())
        };
        // The newest comes first.
        let newest = evidence.named_by(contribution).next();
        contribution.axis() == v1::Axis::Engagement
            && speaks
            && newest.is_some_and(|(newest, _)| newest.occurred_at_ms > rejected_at.as_millis())
    })
}

/// Whether the behaviour shows any interest. What takes points in one track takes none of that in another.
pub(crate) fn shows_interest(scored: &v1::LeadScored) -> bool {
    scored.engagement_mp > 0 || scored.tracks.iter().any(|track| track.engagement_mp > 0)
}

/// What follows from a rejection, and what to call the reason.
pub(crate) fn after_rejection(playbook: &Playbook, reason: v1::RejectReason) -> (Consequence, &'static str) {
    let reason = match reason {
        v1::RejectReason::Timing => RejectReason::Timing,
        v1::RejectReason::NoBudget => RejectReason::NoBudget,
        v1::RejectReason::NoAuthority => RejectReason::NoAuthority,
        v1::RejectReason::NoNeed => RejectReason::NoNeed,
        v1::RejectReason::Unreachable => RejectReason::Unreachable,
        v1::RejectReason::BadData => RejectReason::BadData,
        v1::RejectReason::Duplicate => RejectReason::Duplicate,
        v1::RejectReason::Competitor => RejectReason::Competitor,
        v1::RejectReason::NotAFit => RejectReason::NotAFit,
        // A reason that this release does not know: as the mildest of those it knows.
        v1::RejectReason::Unspecified => RejectReason::Timing,
    };
    (playbook.after_rejection(reason), reason.name())
}
