//! The decisions themselves: pure functions of a score, a state and the playbook.

use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::{AccountFacts, AccountMeasure, Condition, Consequence, Playbook, RejectReason, Route, TrackRef};
use tasuki_wire::evidence::Evidence;
use tasuki_wire::v1;

/// What a score leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict<'p> {
    /// No route is open.
    None,
    /// By this route, to sales.
    Qualified(Open<'p>),
    /// A route is open, but this exclusion of the playbook applies.
    Excluded(&'p str),
}

/// A route that is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open<'p> {
    pub(crate) route: &'p Route,
    /// Since when without a break.
    pub(crate) since: Timestamp,
}

impl Open<'_> {
    /// When it has been open for long enough.
    pub(crate) fn ripe_at(&self) -> Timestamp {
        self.route.dwell.map_or(self.since, |dwell| self.since + dwell)
    }
}

/// The routes that are open by a score which holds from `at`, in the order of the playbook. `since`: since when the route of a
/// name has been open, if it was.
pub(crate) fn open<'p>(
    playbook: &'p Playbook,
    scored: &v1::LeadScored,
    since: impl Fn(&str) -> Option<Timestamp>,
    at: Timestamp,
) -> Vec<Open<'p>> {
    let facts = facts(playbook, scored);
    let values: Vec<i64> = facts.iter().map(|fact| fact.unwrap_or(0)).collect();
    let account = account(scored);
    let knows = |condition: &Condition| {
        condition.asks_for().iter().all(|&fact| facts[fact].is_some())
            && condition.asks_of_account().measures().all(|measure| answer(scored, measure.fact()).is_some())
    };
    let open = |route: &'p Route| {
        if !route.conditions().all(knows) {
            return None;
        }
        let (engagement, fit) = axes(route, scored)?;
        let before = since(&route.name).filter(|_| route.stays(engagement, fit, &values, &account));
        let opens = || route.holds(engagement, fit, &values, &account);
        before.or_else(|| opens().then_some(at)).map(|since| Open { route, since })
    };
    playbook.routes().iter().filter_map(open).collect()
}

/// Decides on a score at an instant, of the routes that are open. A lead that sales refused at `rejected_at` needs something
/// new for a route to be taken.
pub(crate) fn decide<'p>(
    playbook: &'p Playbook,
    scored: &v1::LeadScored,
    rejected_at: Option<Timestamp>,
    open: &[Open<'p>],
    at: Timestamp,
) -> Verdict<'p> {
    let new = |route: &Route| rejected_at.is_none_or(|rejected_at| something_new(playbook, route, scored, rejected_at));
    let taken = open.iter().find(|open| open.ripe_at() <= at && new(open.route));
    let Some(route) = taken.copied() else { return Verdict::None };
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
    playbook.facts().iter().map(|fact| answer(scored, &fact.name)).collect()
}

fn answer(scored: &v1::LeadScored, name: &str) -> Option<i64> {
    scored.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value)
}

/// What the score says of the account.
fn account(scored: &v1::LeadScored) -> AccountFacts {
    let said = |measure: AccountMeasure| (measure, answer(scored, measure.fact()).unwrap_or(0));
    AccountMeasure::ALL.map(said).into_iter().fold(AccountFacts::default(), |all, (it, value)| all.with(it, value))
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
