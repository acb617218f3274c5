//! The engagement of a lead as a function of time: which signals count under which rule, and what they are worth when.

use tasuki_domain::{Millipoints, Millis, Timestamp};
use tasuki_playbook::{Playbook, Rule};

use crate::decay::{Fine, capped, decayed, rounded};
use crate::signals::{Signals, age, index, is_kept};

/// A lead's signals, by rule.
#[derive(Debug)]
pub(crate) struct Engagement<'p> {
    pub(crate) playbook: &'p Playbook,
    pub(crate) as_of: Timestamp,
    /// The rules that match something, in the order of the playbook.
    pub(crate) rules: Vec<Matched<'p>>,
}

/// A rule and the signals that match it.
#[derive(Debug)]
pub(crate) struct Matched<'p> {
    pub(crate) index: usize,
    pub(crate) rule: &'p Rule,
    /// Indices of signals, in their order.
    pub(crate) signals: Vec<u32>,
    /// When each happened, ascending.
    pub(crate) occurred: Vec<Timestamp>,
    /// What each is worth as of the instant of the score, before the cap.
    pub(crate) worth: Vec<Fine>,
}

impl<'p> Engagement<'p> {
    /// Matches every signal that is kept as of this instant. Rules are tried once for each shape.
    pub(crate) fn of(signals: &Signals, playbook: &'p Playbook, as_of: Timestamp) -> Self {
        let mut rules: Vec<Matched<'p>> = Vec::new();
        // For each shape, a stretch of `matching`: places in `rules`.
        let (mut matching, mut ends) = (Vec::new(), Vec::with_capacity(signals.shapes.len()));
        for fields in signals.fields() {
            for &at in playbook.rules_for(fields.kind) {
                let rule = &playbook.rules()[at];
                if rule.matches(&fields) {
                    let place = rules.iter().position(|known| known.index == at).unwrap_or_else(|| {
                        rules.push(Matched::of(at, rule));
                        rules.len() - 1
                    });
                    matching.push(place);
                }
            }
            ends.push(matching.len());
        }
        for (number, signal) in (0..).zip(&signals.list) {
            if !is_kept(signal.occurred_at, as_of) {
                continue;
            }
            let shape = index(signal.shape);
            let start = shape.checked_sub(1).map_or(0, |before| ends[before]);
            for &place in &matching[start..ends[shape]] {
                let matched = &mut rules[place];
                matched.signals.push(number);
                matched.occurred.push(signal.occurred_at);
                matched.worth.push(matched.one_at(signal.occurred_at, as_of));
            }
        }
        rules.retain(|matched| !matched.signals.is_empty());
        rules.sort_unstable_by_key(|matched| matched.index);
        Self { playbook, as_of, rules }
    }

    /// The sum of all rules at an instant, not before that of the score; the bounds of the axis are not applied.
    pub(crate) fn raw_at(&self, instant: Timestamp) -> Millipoints {
        self.rules.iter().map(|matched| matched.points_at(instant)).sum()
    }

    /// The answers to what the playbook's routes ask for, in the order of [`Playbook::facts`].
    pub(crate) fn facts(&self) -> Vec<i64> {
        let count = |rule: usize, window: Millis| {
            let counted = self.occurred_under(rule).filter(|&at| age(at, self.as_of) <= window).count();
            i64::try_from(counted).expect("a lead has a few hundred signals")
        };
        self.playbook.facts().iter().map(|fact| count(fact.rule, fact.window)).collect()
    }

    pub(crate) fn occurred_under(&self, rule: usize) -> impl Iterator<Item = Timestamp> {
        let matched = self.rules.iter().find(|matched| matched.index == rule);
        matched.into_iter().flat_map(|matched| matched.occurred.iter().copied())
    }
}

impl<'p> Matched<'p> {
    fn of(index: usize, rule: &'p Rule) -> Self {
        Self { index, rule, signals: Vec::new(), occurred: Vec::new(), worth: Vec::new() }
    }

    /// What all of its signals are worth as of the instant of the score, after the cap.
    pub(crate) fn points(&self) -> Millipoints {
        rounded(capped(self.worth.iter().sum(), self.rule.cap))
    }

    /// What one of its signals is worth at an instant, before the cap.
    pub(crate) fn one_at(&self, occurred_at: Timestamp, instant: Timestamp) -> Fine {
        if is_kept(occurred_at, instant) {
            decayed(self.rule.points, self.rule.half_life, age(occurred_at, instant))
        } else {
            0
        }
    }

    /// What all of its signals are worth at an instant, after the cap.
    pub(crate) fn points_at(&self, instant: Timestamp) -> Millipoints {
        let sum = self.occurred.iter().map(|&at| self.one_at(at, instant)).sum();
        rounded(capped(sum, self.rule.cap))
    }
}
