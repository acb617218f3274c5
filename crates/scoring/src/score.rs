//! The score of a lead: a pure function of its signals, its profile, the playbook and an instant.

use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::{AccountFacts, EventKind, Grade, Group, Playbook, SignalFields, Track, TrackRef};
use tasuki_wire::evidence::{Named, columns};
use tasuki_wire::v1;

use crate::engagement::{Engagement, Matched};
use crate::fit::Fit;
use crate::matching::Matching;
use crate::next_change::next_change;
use crate::signals::{Signal, Signals, index};

/// Most pieces of evidence that a contribution names; the newest.
pub const MOST_EVIDENCE: usize = 20;

/// Name of the contribution that stands for what the bounds of an axis take away (or, below zero, give back).
pub const CAP: &str = "cap";

/// With the name of a group behind it, that of the contribution that stands for what the cap of the group takes away.
pub const GROUP_CAP: &str = "cap:";

/// The score of a lead as of an instant. Per axis, the points of the contributions add up to what is shown, exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// As of when.
    pub as_of: Timestamp,
    /// How much interest the behaviour shows.
    pub engagement: Millipoints,
    /// How well lead and company match.
    pub fit: Millipoints,
    /// From both.
    pub grade: Grade,
    /// The product lines, in the order of [`Playbook::tracks`].
    pub tracks: Vec<v1::TrackScore>,
    /// Where the points come from: engagement, then fit, each in the order of the playbook, then what the cap takes.
    pub contributions: Vec<v1::Contribution>,
    /// The events that contributions name.
    pub evidence: v1::Evidence,
    /// What the playbook's routes ask for, in the order of [`Playbook::facts`].
    pub facts: Vec<i64>,
    /// When time alone will next change a fact or take engagement across a boundary of the playbook.
    pub next_change_at: Option<Timestamp>,
}

/// Scores a lead.
///
/// The order of operations: signals by (occurred_at, event id), those older than 400 days left out → rules that match →
/// frequency limit of each rule (in each stretch of time the latest count) → decay to `as_of` (what happens later than
/// `as_of` has age 0) → sum and cap of each rule, rounded to millipoints here and only here → caps of the groups → bounds of
/// the axis. A grade follows from both axes. For each track the same with the rules that count for it: signals, limits and the
/// caps of rules and groups are the same whoever looks, since all rules of a group are of one track or of none.
pub fn score(signals: &Signals, profile: &v1::Profile, playbook: &Playbook, as_of: Timestamp) -> Score {
    let fit = Fit::of(profile, playbook);
    let matching = Matching::of(signals, playbook);
    let assessed = Assessed::of(signals, &matching, &fit, playbook, as_of);
    let mut contributions: Vec<_> = assessed.matched.matched().map(|rule| behaviour(&rule)).collect();
    let groups = assessed.by_groups.iter();
    contributions.extend(groups.map(|(group, points)| v1::Contribution {
        axis: v1::Axis::Engagement.into(),
        rule: [GROUP_CAP, &group.name].concat(),
        points_mp: points.get(),
        track: TrackRef::name_of(group.track.as_ref()).to_owned(),
        ..v1::Contribution::default()
    }));
    contributions.extend(cap(v1::Axis::Engagement, assessed.engagement, ""));
    contributions.extend(fit.rules(playbook).map(|rule| v1::Contribution {
        axis: v1::Axis::Fit.into(),
        rule: rule.name.clone(),
        points_mp: rule.points.get(),
        raw_mp: rule.points.get(),
        matches: 1,
        track: TrackRef::name_of(rule.track.as_ref()).to_owned(),
        ..v1::Contribution::default()
    }));
    contributions.extend(cap(v1::Axis::Fit, assessed.fit, ""));
    Score {
        as_of,
        tracks: assessed.tracks.iter().map(track_score).collect(),
        engagement: assessed.engagement.shown,
        fit: assessed.fit.shown,
        grade: assessed.grade,
        contributions,
        evidence: evidence(&assessed.matched),
        facts: assessed.facts,
        next_change_at: assessed.next_change_at,
    }
}

impl Score {
    /// Engagement and fit of a track, as an index into [`Playbook::tracks`], or of the lead itself.
    pub fn axes(&self, track: Option<usize>) -> (Millipoints, Millipoints) {
        match track.and_then(|track| self.tracks.get(track)) {
            Some(track) => (Millipoints::new(track.engagement_mp), Millipoints::new(track.fit_mp)),
            None => (self.engagement, self.fit),
        }
    }

    /// As it stands on the log, but for what stands beside it there: the profile, and why it was scored. `signals`: how many
    /// there were to be scored by this playbook. `account`: what the account of the lead has.
    pub fn recorded(self, playbook: &Playbook, signals: usize, account: &AccountFacts) -> v1::LeadScored {
        let facts = playbook.facts().iter().zip(&self.facts);
        let facts = facts.map(|(fact, &value)| v1::Fact { name: fact.name.clone(), value });
        let (asked, account) = (playbook.account_asked(), playbook.account_asked().reached(account));
        let of_account = asked.measures().map(|it| v1::Fact { name: it.fact().to_owned(), value: account.value(it) });
        v1::LeadScored {
            playbook_version: playbook.version().get(),
            as_of_ms: self.as_of.as_millis(),
            engagement_mp: self.engagement.get(),
            fit_mp: self.fit.get(),
            grade: self.grade.to_string(),
            facts: facts.chain(of_account).collect(),
            contributions: self.contributions,
            tracks: self.tracks,
            next_change_at_ms: self.next_change_at.map_or(0, Timestamp::as_millis),
            signals: u32::try_from(signals).unwrap_or(u32::MAX),
            evidence: Some(self.evidence),
            ..v1::LeadScored::default()
        }
    }
}

/// All that a score says, before it is put into words.
#[derive(Debug)]
pub(crate) struct Assessed<'a> {
    pub(crate) matched: Engagement<'a>,
    /// What the caps of groups change.
    pub(crate) by_groups: Vec<(&'a Group, Millipoints)>,
    pub(crate) engagement: Amount,
    pub(crate) fit: Amount,
    pub(crate) grade: Grade,
    pub(crate) tracks: Vec<InTrack<'a>>,
    pub(crate) facts: Vec<i64>,
    pub(crate) next_change_at: Option<Timestamp>,
}

/// What the score of a track says.
#[derive(Debug)]
pub(crate) struct InTrack<'a> {
    pub(crate) track: &'a Track,
    pub(crate) engagement: Amount,
    pub(crate) fit: Amount,
    pub(crate) grade: Grade,
}

/// What an axis shows, and what its bounds took away (below zero) or gave for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) shown: Millipoints,
    pub(crate) by_bounds: Millipoints,
}

impl<'a> Assessed<'a> {
    pub(crate) fn of(
        signals: &'a Signals,
        matching: &'a Matching,
        fit: &Fit,
        playbook: &'a Playbook,
        as_of: Timestamp,
    ) -> Self {
        let matched = Engagement::of(signals, matching, playbook, as_of);
        let by_groups = matched.by_groups();
        let points = matched.matched().map(|rule| rule.points()).chain(by_groups.iter().map(|(_, points)| *points));
        let engagement = Amount::of(points, playbook.engagement_cap());
        let of_track = |(place, track)| InTrack::of(&matched, &by_groups, fit, place, track);
        let tracks: Vec<_> = (0..).zip(playbook.tracks()).map(of_track).collect();
        let fit = Amount::of(fit.rules(playbook).map(|rule| rule.points), playbook.fit_cap());
        let grade = playbook.grades().grade(engagement.shown, fit.shown);
        let of_tracks = (0..).zip(&tracks).map(|(place, track)| (Some(place), track.engagement.shown));
        let next_change_at = next_change(&matched, [(None, engagement.shown)].into_iter().chain(of_tracks));
        let facts = matched.facts();
        Self { matched, by_groups, engagement, fit, grade, tracks, facts, next_change_at }
    }
}

impl<'a> InTrack<'a> {
    fn of(
        matched: &Engagement<'a>,
        by_groups: &[(&Group, Millipoints)],
        fit: &Fit,
        place: usize,
        track: &'a Track,
    ) -> Self {
        let (playbook, of) = (matched.playbook, Some(place));
        let own = matched.matched().filter(|matched| matched.rule.counts_for(of)).map(|rule| rule.points());
        let groups = by_groups.iter().filter(|(group, _)| group.counts_for(of)).map(|(_, points)| *points);
        let engagement = Amount::of(own.chain(groups), playbook.engagement_cap());
        let fit = fit.rules(playbook).filter(|rule| rule.counts_for(of)).map(|rule| rule.points);
        let fit = Amount::of(fit, playbook.fit_cap());
        let grade = playbook.grades().grade(engagement.shown, fit.shown);
        Self { track, engagement, fit, grade }
    }
}

impl Amount {
    fn of(points: impl Iterator<Item = Millipoints>, cap: Millipoints) -> Self {
        let raw: Millipoints = points.sum();
        let shown = raw.clamp(Millipoints::ZERO, cap);
        Self { shown, by_bounds: shown - raw }
    }
}

fn behaviour(matched: &Matched<'_>) -> v1::Contribution {
    v1::Contribution {
        axis: v1::Axis::Engagement.into(),
        rule: matched.rule.name.clone(),
        points_mp: matched.points().get(),
        raw_mp: matched.raw().get(),
        matches: matched.tally.matches,
        evidence: matched.evidence.iter().map(|piece| piece.named).collect(),
        evidence_mp: matched.evidence.iter().map(|piece| piece.points.get()).collect(),
        limit_mp: matched.by_limit().get(),
        cap_mp: matched.by_cap().get(),
        track: TrackRef::name_of(matched.rule.track.as_ref()).to_owned(),
    }
}

fn track_score(InTrack { track, engagement, fit, grade }: &InTrack<'_>) -> v1::TrackScore {
    let bounds = [(v1::Axis::Engagement, *engagement), (v1::Axis::Fit, *fit)];
    v1::TrackScore {
        track: track.name.clone(),
        engagement_mp: engagement.shown.get(),
        fit_mp: fit.shown.get(),
        grade: grade.to_string(),
        bounds: bounds.into_iter().filter_map(|(axis, amount)| cap(axis, amount, &track.name)).collect(),
    }
}

fn evidence(matched: &Engagement<'_>) -> v1::Evidence {
    let words =
        |signal: &Signal| in_words(&matched.signals.fields_of(&matched.signals.shapes[index(signal.shape)])).concat();
    let words: Vec<_> = matched.named().map(words).collect();
    let named = matched.named().zip(&words).map(|(signal, what)| Named {
        behavior_id: signal.id.as_bytes(),
        occurred_at_ms: signal.occurred_at.as_millis(),
        what,
    });
    columns(matched.as_of.as_millis(), named)
}

fn cap(axis: v1::Axis, amount: Amount, track: &str) -> Option<v1::Contribution> {
    (amount.by_bounds != Millipoints::ZERO).then(|| v1::Contribution {
        axis: axis.into(),
        rule: CAP.to_owned(),
        points_mp: amount.by_bounds.get(),
        track: track.to_owned(),
        ..v1::Contribution::default()
    })
}

/// A signal in the words of the playbook: `FormSubmitted demo-request`, `PageViewed /pricing`.
pub(crate) fn in_words<'s>(fields: &SignalFields<'s>) -> [&'s str; 3] {
    let about = if fields.kind == EventKind::PageViewed { fields.path } else { fields.about };
    [fields.kind.name(), if about.is_empty() { "" } else { " " }, about]
}
