//! The engagement of a lead as a function of time: which signals count under which rule, and what they are worth when.

use tasuki_domain::{Millipoints, Millis, Timestamp};
use tasuki_playbook::{KEPT_FOR, Playbook, Rule};

use crate::decay::{Fine, capped, decayed, rounded};
use crate::score::MOST_EVIDENCE;
use crate::signals::{Signal, Signals, age, index, is_kept, number};

/// A lead's signals, by rule, as of the instant of the score.
///
/// One pass over the signals, newest first, finds all that a score needs. A rule is tried once for each shape.
#[derive(Debug)]
pub(crate) struct Engagement<'a> {
    pub(crate) playbook: &'a Playbook,
    pub(crate) signals: &'a Signals,
    pub(crate) as_of: Timestamp,
    /// For each shape, a stretch of `matching`, which names rules by their index.
    matching: Vec<u32>,
    ends: Vec<u32>,
    /// One for each rule of the playbook.
    tallies: Vec<Tally>,
    /// Room for so many pieces for each rule that matches something.
    evidence: Vec<Piece>,
}

/// What a rule's signals amount to as of the instant of the score.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    /// How many match.
    pub(crate) matches: u32,
    /// Where its evidence begins.
    evidence: u32,
    /// What those are worth that do not fade at this instant, before the cap: because the rule's points stay, or
    /// because they are said to happen later.
    pub(crate) constant: Fine,
    /// What the others are worth, before the cap.
    pub(crate) fading: Fine,
    oldest: Timestamp,
    newest: Timestamp,
}

/// A signal under a rule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Piece {
    /// Its place among the signals.
    pub(crate) signal: u32,
    /// What it is worth, before the cap.
    pub(crate) points: Millipoints,
}

/// A rule that matches something, and what it amounts to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matched<'e> {
    pub(crate) rule: &'e Rule,
    pub(crate) tally: &'e Tally,
    /// The newest signals, newest first.
    pub(crate) evidence: &'e [Piece],
}

impl Tally {
    const NONE: Self = Self {
        matches: 0,
        evidence: 0,
        constant: 0,
        fading: 0,
        oldest: Timestamp::from_millis(0),
        newest: Timestamp::from_millis(0),
    };
}

impl Matched<'_> {
    /// What all of its signals are worth as of the instant of the score, after the cap.
    pub(crate) fn points(&self) -> Millipoints {
        let Tally { constant, fading, .. } = self.tally;
        rounded(capped(constant + fading, self.rule.cap))
    }

    /// What they would be worth without decay and cap.
    pub(crate) fn raw(&self) -> Millipoints {
        Millipoints::new(self.rule.points.get().saturating_mul(i64::from(self.tally.matches)))
    }
}

impl<'a> Engagement<'a> {
    /// Matches every signal that is kept as of this instant.
    pub(crate) fn of(signals: &'a Signals, playbook: &'a Playbook, as_of: Timestamp) -> Self {
        let (matching, ends) = matching(signals, playbook);
        let tallies = vec![Tally::NONE; playbook.rules().len()];
        let mut engagement = Self { playbook, signals, as_of, matching, ends, tallies, evidence: Vec::new() };
        engagement.tally();
        engagement
    }

    fn tally(&mut self) {
        let rules = self.playbook.rules();
        for (place, signal) in self.signals.list.iter().enumerate().rev() {
            if !is_kept(signal.occurred_at, self.as_of) {
                break;
            }
            let shape = index(signal.shape);
            let start = shape.checked_sub(1).map_or(0, |before| index(self.ends[before]));
            for &at in &self.matching[start..index(self.ends[shape])] {
                let at = index(at);
                let (rule, tally) = (&rules[at], &mut self.tallies[at]);
                let worth = worth(rule, signal.occurred_at, self.as_of);
                if tally.matches == 0 {
                    tally.newest = signal.occurred_at;
                    tally.evidence = number(self.evidence.len());
                    self.evidence.resize(self.evidence.len() + MOST_EVIDENCE, Piece::default());
                }
                if let Some(nth) = Some(index(tally.matches)).filter(|&nth| nth < MOST_EVIDENCE) {
                    let piece = Piece { signal: number(place), points: rounded(worth) };
                    self.evidence[index(tally.evidence) + nth] = piece;
                }
                tally.matches += 1;
                tally.oldest = signal.occurred_at;
                *(if fades(rule, signal.occurred_at, self.as_of) { &mut tally.fading } else { &mut tally.constant }) +=
                    worth;
            }
        }
    }

    /// The rules that match something, in the order of the playbook.
    pub(crate) fn matched(&self) -> impl Iterator<Item = Matched<'_>> {
        let all = self.playbook.rules().iter().zip(&self.tallies).filter(|(_, tally)| tally.matches > 0);
        all.map(|(rule, tally)| {
            let start = index(tally.evidence);
            let count = index(tally.matches).min(MOST_EVIDENCE);
            Matched { rule, tally, evidence: &self.evidence[start..start + count] }
        })
    }

    /// For each rule that matches something, in that order, what its signals are worth at an instant not before that
    /// of the score: those that do not fade then, and those that do.
    pub(crate) fn sums_at(&self, instant: Timestamp) -> Vec<(&Rule, Fine, Fine)> {
        let rules = self.playbook.rules();
        let mut sums = vec![(0, 0); rules.len()];
        for signal in self.signals.list.iter().rev().take_while(|signal| is_kept(signal.occurred_at, instant)) {
            for &at in self.rules_of(signal) {
                let (rule, sum) = (&rules[index(at)], &mut sums[index(at)]);
                let fades = fades(rule, signal.occurred_at, instant);
                *(if fades { &mut sum.1 } else { &mut sum.0 }) += worth(rule, signal.occurred_at, instant);
            }
        }
        let matched = rules.iter().zip(sums).zip(&self.tallies).filter(|(_, tally)| tally.matches > 0);
        matched.map(|((rule, (constant, fading)), _)| (rule, constant, fading)).collect()
    }

    /// The sum of all rules at an instant, not before that of the score; the bounds of the axis are not applied.
    pub(crate) fn raw_at(&self, instant: Timestamp) -> Millipoints {
        let sums = self.sums_at(instant);
        sums.into_iter().map(|(rule, constant, fading)| rounded(capped(constant + fading, rule.cap))).sum()
    }

    /// The first instant after `start`, which is not before that of the score, at which a signal begins to decay or
    /// stops to count.
    pub(crate) fn end_of_stretch(&self, start: Timestamp) -> Option<Timestamp> {
        let far = Millis::new(KEPT_FOR.get() + 1);
        let mut matching = self.tallies.iter().filter(|tally| tally.matches > 0);
        let first_goes = matching.clone().map(|tally| tally.oldest + far).min()?;
        if first_goes > start && matching.all(|tally| tally.newest <= start) {
            return Some(first_goes);
        }
        let counted = self
            .signals
            .list
            .iter()
            .filter(|signal| is_kept(signal.occurred_at, self.as_of) && !self.rules_of(signal).is_empty());
        let changes = counted.flat_map(|signal| [signal.occurred_at, signal.occurred_at + far]);
        changes.filter(|&at| at > start).min()
    }

    /// The answers to what the playbook's routes ask for, in the order of [`Playbook::facts`].
    pub(crate) fn facts(&self) -> Vec<i64> {
        let count = |rule: usize, window: Millis| {
            let counted = self.within(rule, window).count();
            i64::try_from(counted).expect("a lead has a few hundred signals")
        };
        self.playbook.facts().iter().map(|fact| count(fact.rule, fact.window)).collect()
    }

    /// When the signals of a rule happened that are at most so old, newest first.
    pub(crate) fn within(&self, rule: usize, window: Millis) -> impl Iterator<Item = Timestamp> {
        let matches = self.tallies[rule].matches > 0;
        let signals = if matches { self.signals.list.as_slice() } else { &[] };
        let young = signals.iter().rev().take_while(move |signal| {
            is_kept(signal.occurred_at, self.as_of) && age(signal.occurred_at, self.as_of) <= window
        });
        let own = young.filter(move |signal| self.rules_of(signal).iter().any(|&at| index(at) == rule));
        own.map(|signal| signal.occurred_at)
    }

    fn rules_of(&self, signal: &Signal) -> &[u32] {
        let shape = index(signal.shape);
        let start = shape.checked_sub(1).map_or(0, |before| index(self.ends[before]));
        &self.matching[start..index(self.ends[shape])]
    }
}

/// For each shape the rules that match, one behind the other, and where those of each end.
fn matching(signals: &Signals, playbook: &Playbook) -> (Vec<u32>, Vec<u32>) {
    let (mut matching, mut ends) = (Vec::new(), Vec::with_capacity(signals.shapes.len()));
    for fields in signals.fields() {
        let own = playbook.rules_for(fields.kind).iter().filter(|&&at| playbook.rules()[at].matches(&fields));
        matching.extend(own.map(|&at| number(at)));
        ends.push(number(matching.len()));
    }
    (matching, ends)
}

/// What one signal is worth under a rule at an instant at which it is kept, before the cap.
fn worth(rule: &Rule, occurred_at: Timestamp, instant: Timestamp) -> Fine {
    decayed(rule.points, rule.half_life, age(occurred_at, instant))
}

/// Whether it loses worth from this instant on. What lies ahead is worth its full points until it happens.
fn fades(rule: &Rule, occurred_at: Timestamp, instant: Timestamp) -> bool {
    rule.half_life.is_some() && occurred_at <= instant
}
