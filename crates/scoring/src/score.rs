//! The score of a lead: a pure function of its signals, its profile, the playbook and an instant.

use tasuki_domain::{Millipoints, Timestamp};
use tasuki_playbook::{EMAIL_DOMAIN, EventKind, FitRule, Grade, Playbook, SignalFields};
use tasuki_wire::v1;

use crate::engagement::{Engagement, Matched};
use crate::next_change::next_change;
use crate::signals::{Signals, index};

/// Most pieces of evidence that a contribution names; the newest.
pub const MOST_EVIDENCE: usize = 20;

/// Name of the contribution that stands for what the bounds of an axis take away (or, below zero, give back).
pub const CAP: &str = "cap";

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
    /// Where the points come from: engagement, then fit, each in the order of the playbook, then what the cap takes.
    pub contributions: Vec<v1::Contribution>,
    /// What the playbook's routes ask for, in the order of [`Playbook::facts`].
    pub facts: Vec<i64>,
    /// When time alone will next change a fact or take engagement across a boundary of the playbook.
    pub next_change_at: Option<Timestamp>,
}

/// Scores a lead.
///
/// The order of operations: signals by (occurred_at, event id), those older than 400 days left out → rules that match →
/// decay to `as_of` (what happens later than `as_of` has age 0) → sum and cap of each rule, rounded to millipoints here
/// and only here → bounds of the axis. A grade follows from both axes.
pub fn score(signals: &Signals, profile: &v1::Profile, playbook: &Playbook, as_of: Timestamp) -> Score {
    let matched = Engagement::of(signals, playbook, as_of);
    let mut contributions = Vec::new();
    let rules = matched.matched().map(|rule| behaviour(&rule, signals));
    let engagement = axis(&mut contributions, v1::Axis::Engagement, playbook.engagement_cap(), rules);
    let rules = playbook.fit_rules().iter().filter(|rule| fits(rule, profile)).map(attribute);
    let fit = axis(&mut contributions, v1::Axis::Fit, playbook.fit_cap(), rules);
    Score {
        as_of,
        engagement,
        fit,
        grade: playbook.grades().grade(engagement, fit),
        contributions,
        facts: matched.facts(),
        next_change_at: next_change(&matched, engagement),
    }
}

/// Adds up one axis, and books what its bounds change.
fn axis(
    contributions: &mut Vec<v1::Contribution>,
    axis: v1::Axis,
    cap: Millipoints,
    rules: impl Iterator<Item = v1::Contribution>,
) -> Millipoints {
    let mut raw = Millipoints::ZERO;
    for contribution in rules {
        raw += Millipoints::new(contribution.points_mp);
        contributions.push(contribution);
    }
    let shown = raw.clamp(Millipoints::ZERO, cap);
    if shown != raw {
        contributions.push(v1::Contribution {
            axis: axis.into(),
            rule: CAP.to_owned(),
            points_mp: (shown - raw).get(),
            ..v1::Contribution::default()
        });
    }
    shown
}

fn behaviour(matched: &Matched<'_>, signals: &Signals) -> v1::Contribution {
    let evidence = matched.evidence.iter().map(|piece| {
        let signal = &signals.list[index(piece.signal)];
        v1::Evidence {
            behavior_id: signal.id.as_bytes().to_vec(),
            occurred_at_ms: signal.occurred_at.as_millis(),
            what: in_words(&signals.fields_of(&signals.shapes[index(signal.shape)])),
            points_mp: piece.points.get(),
        }
    });
    v1::Contribution {
        axis: v1::Axis::Engagement.into(),
        rule: matched.rule.name.clone(),
        points_mp: matched.points().get(),
        raw_mp: matched.raw().get(),
        matches: matched.tally.matches,
        evidence: evidence.collect(),
    }
}

/// A signal in the words of the playbook: `FormSubmitted demo-request`, `PageViewed /pricing`.
fn in_words(fields: &SignalFields<'_>) -> String {
    let about = if fields.kind == EventKind::PageViewed { fields.path } else { fields.about };
    let kind = fields.kind.name();
    if about.is_empty() { kind.to_owned() } else { [kind, " ", about].concat() }
}

fn fits(rule: &FitRule, profile: &v1::Profile) -> bool {
    let value = if rule.attribute == EMAIL_DOMAIN {
        profile.email.rsplit_once('@').map(|(_, domain)| domain)
    } else {
        profile.attributes.get(&rule.attribute).map(|attribute| attribute.value.as_str())
    };
    value.is_some_and(|value| rule.matches(value))
}

fn attribute(rule: &FitRule) -> v1::Contribution {
    v1::Contribution {
        axis: v1::Axis::Fit.into(),
        rule: rule.name.clone(),
        points_mp: rule.points.get(),
        raw_mp: rule.points.get(),
        matches: 1,
        evidence: Vec::new(),
    }
}
