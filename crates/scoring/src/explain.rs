//! What a lead was, is or will be worth as of any instant and by any playbook, what is expected next, and what would lift it.

use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::{AccountFacts, Grade, MOST_GROUPS, Playbook, Rule};
use tasuki_wire::v1;

use crate::decay::{capped, rounded};
use crate::engagement::{Counted, worth};
use crate::fit::Fit;
use crate::matching::Matching;
use crate::score::{Score, score};
use crate::signals::{Signals, index, is_kept};

/// Most changes by time alone that are foretold.
pub const MOST_EXPECTED: usize = 8;

/// Most instants at which a change is looked for: where [`Score::next_change_at`] is only an instant to look again at, there is
/// none.
const MOST_LOOKS: usize = 64;

/// Most signals of one rule that are tried for a lift.
pub const MOST_TIMES: u32 = 10;

/// A score, with what led to it and what may follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The score. Per axis, the points of its contributions add up to it.
    pub score: Score,
    /// How many signals there were to be scored.
    pub signals: usize,
    /// The routes whose condition holds, in the order of the playbook. Whether the lead qualifies is more than that: see
    /// qualification.
    pub open_routes: Vec<String>,
    /// What time alone changes if nothing else happens, the earliest first.
    pub expected: Vec<Expected>,
    /// For each axis that has a boundary above, what would lift it there: of the lead itself, then of each track.
    pub lifts: Vec<Lift>,
}

/// Time alone changes something that a route or a grade looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// When.
    pub at: Timestamp,
    /// Engagement then.
    pub engagement: Millipoints,
    /// The grade then.
    pub grade: Grade,
    /// The boundaries of the playbook that engagement falls below then, ascending.
    pub falls_below: Vec<Millipoints>,
    /// Those that it reaches then, because what takes points fades.
    pub reaches: Vec<Millipoints>,
    /// The tracks of which engagement falls below a boundary or reaches one.
    pub tracks: Vec<ExpectedInTrack>,
    /// The facts that change.
    pub facts: Vec<ChangedFact>,
    /// The routes whose condition holds then.
    pub open_routes: Vec<String>,
}

/// Time alone changes something in a track.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedInTrack {
    /// Its name.
    pub track: String,
    /// Its engagement then.
    pub engagement: Millipoints,
    /// Its grade then.
    pub grade: String,
    /// The boundaries that it falls below then, ascending.
    pub falls_below: Vec<Millipoints>,
    /// Those that it reaches then.
    pub reaches: Vec<Millipoints>,
}

/// A fact that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFact {
    /// For example `signals.within("demo-request","30d")`.
    pub name: String,
    /// What it is before.
    pub from: i64,
    /// What it is then.
    pub to: i64,
}

/// What an axis is short of, and which rules would give it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lift {
    /// Of which track; empty: of the lead itself.
    pub track: String,
    /// Which axis.
    pub axis: v1::Axis,
    /// The next boundary above: of engagement any of [`Playbook::boundaries_of`], of fit where the next grade begins.
    pub to: Millipoints,
    /// How much is missing, above zero.
    pub missing: Millipoints,
    /// Those that would give something, the most first, and of the same in the order of the playbook.
    pub by: Vec<LiftedBy>,
}

/// One rule that would lift an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiftedBy {
    /// Its name.
    pub rule: String,
    /// How much more the axis would show, after all limits and caps. Of engagement: with one more signal of this rule, and of
    /// no other, at that instant; of fit: if the attribute were (or, see `ends`, were not) as the rule says.
    pub points: Millipoints,
    /// How many times it takes to reach the boundary; `None` if [`MOST_TIMES`] do not.
    pub times: Option<u32>,
    /// It takes points now: they come back when it does not hold any more.
    pub ends: bool,
}

/// Explains the score of a lead as of an instant, by all that is known of it now.
///
/// Signals count that had happened by then, whenever they came to be known; of a signal whose tracker says that it happens
/// later than it was received, the receipt decides. So an event that came late counts as if it had been there in time, and as
/// of the instant of the lead's latest score this is that score. The profile and what the account has are taken as given.
pub fn explain(
    signals: &Signals,
    profile: &v1::Profile,
    account: &AccountFacts,
    playbook: &Playbook,
    as_of: Timestamp,
) -> Explanation {
    let signals = signals.happened_by(as_of);
    let score = score(&signals, profile, playbook, as_of);
    let whose = [None].into_iter().chain((0..playbook.tracks().len()).map(Some));
    let lifts =
        whose.flat_map(|of| [engagement_lift(&score, of, &signals, playbook), fit_lift(&score, of, profile, playbook)]);
    Explanation {
        signals: signals.list.iter().filter(|signal| is_kept(signal.occurred_at, as_of)).count(),
        open_routes: open_routes(&score, account, playbook),
        expected: expected(&score, &signals, profile, account, playbook),
        lifts: lifts.flatten().collect(),
        score,
    }
}

fn open_routes(score: &Score, account: &AccountFacts, playbook: &Playbook) -> Vec<String> {
    let open = playbook.routes().iter().filter(|route| {
        let (engagement, fit) = score.axes(route.track.as_ref().map(|track| track.place));
        route.holds(engagement, fit, &score.facts, account)
    });
    open.map(|route| route.name.clone()).collect()
}

fn expected(
    now: &Score,
    signals: &Signals,
    profile: &v1::Profile,
    account: &AccountFacts,
    playbook: &Playbook,
) -> Vec<Expected> {
    let mut found = Vec::new();
    let mut before = now.clone();
    for _ in 0..MOST_LOOKS {
        let Some(at) = before.next_change_at else { break };
        let after = score(signals, profile, playbook, at);
        let between = |of: Option<usize>, from: Millipoints, to: Millipoints| {
            let boundaries = playbook.boundaries_of(of).iter().copied();
            boundaries.filter(|boundary| (from < *boundary) && (*boundary <= to)).collect::<Vec<_>>()
        };
        let in_track = |(place, track): (usize, &v1::TrackScore)| {
            let (was, is) = (before.axes(Some(place)).0, after.axes(Some(place)).0);
            let (falls_below, reaches) = (between(Some(place), is, was), between(Some(place), was, is));
            let (track, grade) = (track.track.clone(), track.grade.clone());
            let changes = !(falls_below.is_empty() && reaches.is_empty());
            changes.then_some(ExpectedInTrack { track, engagement: is, grade, falls_below, reaches })
        };
        let facts = playbook.facts().iter().zip(before.facts.iter().zip(&after.facts));
        let facts = facts.filter(|(_, (from, to))| from != to);
        let change = Expected {
            at,
            engagement: after.engagement,
            grade: after.grade,
            falls_below: between(None, after.engagement, before.engagement),
            reaches: between(None, before.engagement, after.engagement),
            tracks: after.tracks.iter().enumerate().filter_map(in_track).collect(),
            facts: facts.map(|(fact, (&from, &to))| ChangedFact { name: fact.name.clone(), from, to }).collect(),
            open_routes: open_routes(&after, account, playbook),
        };
        let crosses = !(change.falls_below.is_empty() && change.reaches.is_empty() && change.tracks.is_empty());
        if crosses || !change.facts.is_empty() {
            found.push(change);
        }
        if found.len() == MOST_EXPECTED {
            break;
        }
        before = after;
    }
    found
}

/// The name of a track; nothing for the lead itself.
fn name_of(of: Option<usize>, playbook: &Playbook) -> String {
    of.and_then(|of| playbook.tracks().get(of)).map(|track| track.name.clone()).unwrap_or_default()
}

fn engagement_lift(score: &Score, of: Option<usize>, signals: &Signals, playbook: &Playbook) -> Option<Lift> {
    let (now, _) = score.axes(of);
    let to = playbook.boundaries_of(of).iter().copied().find(|boundary| *boundary > now)?;
    let own = instants_of(signals, playbook, score.as_of);
    let rules = playbook.rules();
    let points: Vec<_> = rules.iter().zip(&own).map(|(rule, own)| amount(rule, own, score.as_of)).collect();
    let lifted = |(place, rule): (usize, &Rule)| {
        let mut instants = own[place].clone();
        // Newest first, and it happens at that instant.
        let at = instants.partition_point(|instant| *instant > score.as_of);
        let mut points = points.clone();
        let mut shown = Vec::new();
        for _ in 0..MOST_TIMES {
            instants.insert(at, score.as_of);
            points[place] = amount(rule, &instants, score.as_of);
            shown.push(total(&points, of, playbook));
        }
        let times = (1..).zip(&shown).find(|(_, shown)| **shown >= to).map(|(times, _)| times);
        let points = shown.first().map_or(Millipoints::ZERO, |shown| *shown - now);
        LiftedBy { rule: rule.name.clone(), points, times, ends: false }
    };
    let by = rules.iter().enumerate().filter(|(_, rule)| rule.counts_for(of)).map(lifted).collect();
    let (track, axis) = (name_of(of, playbook), v1::Axis::Engagement);
    Some(Lift { track, axis, to, missing: to - now, by: most_first(by) })
}

/// For each rule, when its signals happened, newest first.
fn instants_of(signals: &Signals, playbook: &Playbook, as_of: Timestamp) -> Vec<Vec<Timestamp>> {
    let matching = Matching::of(signals, playbook);
    let mut own = vec![Vec::new(); playbook.rules().len()];
    for signal in signals.list.iter().rev().take_while(|signal| is_kept(signal.occurred_at, as_of)) {
        for &rule in matching.rules_of(signal.shape) {
            own[index(rule)].push(signal.occurred_at);
        }
    }
    own
}

/// What signals of these instants, newest first, are worth together under a rule, within its limit and its cap.
fn amount(rule: &Rule, instants: &[Timestamp], as_of: Timestamp) -> Millipoints {
    let mut counted = Counted::NONE;
    let counts = instants.iter().filter(|instant| counted.counts(rule, **instant));
    rounded(capped(counts.map(|instant| worth(rule, *instant, as_of)).sum(), rule.cap))
}

/// What the engagement of a track shows where the rules give this: within the caps of groups and the bounds of the axis.
fn total(points: &[Millipoints], of: Option<usize>, playbook: &Playbook) -> Millipoints {
    let (mut groups, mut all) = ([Millipoints::ZERO; MOST_GROUPS], Millipoints::ZERO);
    for (rule, points) in playbook.rules().iter().zip(points).filter(|(rule, _)| rule.counts_for(of)) {
        *rule.group.map_or(&mut all, |at| &mut groups[at]) += *points;
    }
    for (group, sum) in playbook.groups().iter().zip(groups) {
        all += sum.clamp(-group.cap, group.cap);
    }
    all.clamp(Millipoints::ZERO, playbook.engagement_cap())
}

fn fit_lift(score: &Score, of: Option<usize>, profile: &v1::Profile, playbook: &Playbook) -> Option<Lift> {
    let (_, now) = score.axes(of);
    let to = playbook.grades().fit.into_iter().filter(|boundary| *boundary > now).min()?;
    let fit = Fit::of(profile, playbook);
    let raw: Millipoints = fit.rules(playbook).filter(|rule| rule.counts_for(of)).map(|rule| rule.points).sum();
    let places: Vec<usize> = (0..playbook.fit_rules().len()).collect();
    let holding: Vec<usize> = fit.of_rules(&places).copied().collect();
    let lifted = |(place, rule): (usize, &tasuki_playbook::FitRule)| {
        let ends = holding.contains(&place);
        let then = if ends { raw - rule.points } else { raw + rule.points };
        let points = then.clamp(Millipoints::ZERO, playbook.fit_cap()) - now;
        let times = (now + points >= to).then_some(1);
        LiftedBy { rule: rule.name.clone(), points, times, ends }
    };
    let own = playbook.fit_rules().iter().enumerate().filter(|(_, rule)| rule.counts_for(of));
    let (track, axis) = (name_of(of, playbook), v1::Axis::Fit);
    Some(Lift { track, axis, to, missing: to - now, by: most_first(own.map(lifted).collect()) })
}

/// Those that give something, the most first.
fn most_first(mut by: Vec<LiftedBy>) -> Vec<LiftedBy> {
    by.retain(|by| by.points > Millipoints::ZERO || by.times.is_some());
    by.sort_by_key(|by| std::cmp::Reverse(by.points));
    by
}
