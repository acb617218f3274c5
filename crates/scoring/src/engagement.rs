//! The engagement of a lead as a function of time: which signals count under which rule, and what they are worth when.

use tasuki_domain::{Millipoints, Millis, Timestamp};
use tasuki_playbook::{FactQuery, KEPT_FOR, Playbook, Rule};

use crate::decay::{Fine, capped, decayed, rounded};
use crate::matching::Matching;
use crate::score::MOST_EVIDENCE;
use crate::signals::{Signal, Signals, age, index, is_kept, number};

/// A lead's signals, by rule, as of the instant of the score.
///
/// One pass over the signals, newest first, finds all that a score needs.
#[derive(Debug)]
pub(crate) struct Engagement<'a> {
    pub(crate) playbook: &'a Playbook,
    pub(crate) signals: &'a Signals,
    pub(crate) as_of: Timestamp,
    matching: &'a Matching,
    /// One for each rule that matches something, in the order of the playbook.
    tallies: Vec<Tally>,
    /// The same room for each of them.
    evidence: Vec<Piece>,
    /// The signals that are evidence under any rule, newest first, as places among the signals.
    named: Vec<u32>,
}

/// What a rule's signals amount to as of the instant of the score.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    /// Its place in the playbook.
    rule: u32,
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
    /// Its place among those that are named.
    pub(crate) named: u32,
    /// What it is worth, before the cap.
    pub(crate) points: Millipoints,
}

/// Signals of a rule in a window of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within {
    pub(crate) count: i64,
    /// When the oldest of them happened.
    pub(crate) oldest: Timestamp,
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
        rule: 0,
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
    /// Takes every signal that is kept as of this instant.
    pub(crate) fn of(signals: &'a Signals, matching: &'a Matching, playbook: &'a Playbook, as_of: Timestamp) -> Self {
        let (tallies, evidence, named) = tally(signals, matching, playbook, as_of);
        Self { playbook, signals, as_of, matching, tallies, evidence, named }
    }

    /// The signals that are evidence under any rule, newest first.
    pub(crate) fn named(&self) -> impl ExactSizeIterator<Item = &Signal> {
        self.named.iter().map(|&place| &self.signals.list[index(place)])
    }

    /// The rules that match something, in the order of the playbook.
    pub(crate) fn matched(&self) -> impl ExactSizeIterator<Item = Matched<'_>> {
        let rules = self.playbook.rules();
        self.tallies.iter().map(move |tally| Matched {
            rule: &rules[index(tally.rule)],
            tally,
            evidence: self.evidence_of(tally),
        })
    }

    fn evidence_of(&self, tally: &Tally) -> &[Piece] {
        let start = index(tally.evidence);
        &self.evidence[start..start + index(tally.matches).min(MOST_EVIDENCE)]
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
        let matched = self.tallies.iter().map(|tally| index(tally.rule));
        matched.map(|at| (&rules[at], sums[at].0, sums[at].1)).collect()
    }

    /// The sum of all rules at an instant, not before that of the score; the bounds of the axis are not applied.
    pub(crate) fn raw_at(&self, instant: Timestamp) -> Millipoints {
        let sums = self.sums_at(instant);
        sums.into_iter().map(|(rule, constant, fading)| rounded(capped(constant + fading, rule.cap))).sum()
    }

    /// The same of the rules that take nothing away.
    pub(crate) fn gives_at(&self, instant: Timestamp) -> Millipoints {
        let sums = self.sums_at(instant).into_iter().filter(|(rule, ..)| rule.points >= Millipoints::ZERO);
        sums.map(|(rule, constant, fading)| rounded(capped(constant + fading, rule.cap))).sum()
    }

    /// The first instant after `start`, which is not before that of the score, at which a signal begins to decay or
    /// stops to count.
    pub(crate) fn end_of_stretch(&self, start: Timestamp) -> Option<Timestamp> {
        let far = Millis::new(KEPT_FOR.get() + 1);
        let first_goes = self.tallies.iter().map(|tally| tally.oldest + far).min()?;
        if first_goes > start && self.tallies.iter().all(|tally| tally.newest <= start) {
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
        let count = |fact: &FactQuery| self.within(fact.rule, fact.window).map_or(0, |within| within.count);
        self.playbook.facts().iter().map(count).collect()
    }

    /// The signals of a rule that are at most so old; `None` if there are none.
    pub(crate) fn within(&self, rule: usize, window: Millis) -> Option<Within> {
        let tally = self.tallies.iter().find(|tally| index(tally.rule) == rule)?;
        let evidence = self
            .evidence_of(tally)
            .iter()
            .map(|piece| self.signals.list[index(self.named[index(piece.named)])].occurred_at);
        let is_young = |&at: &Timestamp| age(at, self.as_of) <= window;
        let within = Within::of(evidence.take_while(is_young))?;
        if index(tally.matches) <= MOST_EVIDENCE {
            return Some(within);
        }
        // There are more than are evidence.
        let kept = self.signals.list.iter().rev().take_while(|signal| is_kept(signal.occurred_at, self.as_of));
        let own = kept.filter(|signal| self.rules_of(signal).iter().any(|&at| index(at) == rule));
        Within::of(own.map(|signal| signal.occurred_at).take_while(is_young))
    }

    fn rules_of(&self, signal: &Signal) -> &[u32] {
        self.matching.rules_of(signal.shape)
    }
}

/// What all signals amount to that are kept as of this instant: for each rule that matches something, in the order of the
/// playbook; the evidence; and the signals that it names.
fn tally(
    signals: &Signals,
    matching: &Matching,
    playbook: &Playbook,
    as_of: Timestamp,
) -> (Vec<Tally>, Vec<Piece>, Vec<u32>) {
    let rules = playbook.rules();
    let mut tallies = vec![Tally::NONE; rules.len()];
    // Most leads match no more than so many rules.
    let room = signals.len().min(MOST_EVIDENCE);
    let mut evidence = Vec::with_capacity(room * rules.len().min(6));
    let mut named = Vec::with_capacity(signals.len());
    for (place, signal) in signals.list.iter().enumerate().rev() {
        if !is_kept(signal.occurred_at, as_of) {
            break;
        }
        let mut is_named = false;
        for &at in matching.rules_of(signal.shape) {
            let (rule, tally) = (&rules[index(at)], &mut tallies[index(at)]);
            let worth = worth(rule, signal.occurred_at, as_of);
            if tally.matches == 0 {
                (tally.rule, tally.newest, tally.evidence) = (at, signal.occurred_at, number(evidence.len()));
                evidence.resize(evidence.len() + room, Piece::default());
            }
            let nth = index(tally.matches);
            if nth < MOST_EVIDENCE {
                evidence[index(tally.evidence) + nth] = Piece { named: number(named.len()), points: rounded(worth) };
                is_named = true;
            }
            tally.matches += 1;
            tally.oldest = signal.occurred_at;
            *(if fades(rule, signal.occurred_at, as_of) { &mut tally.fading } else { &mut tally.constant }) += worth;
        }
        if is_named {
            named.push(number(place));
        }
    }
    tallies.retain(|tally| tally.matches > 0);
    (tallies, evidence, named)
}

impl Within {
    fn of(instants: impl Iterator<Item = Timestamp>) -> Option<Self> {
        instants.fold(None, |before: Option<Self>, oldest| {
            Some(Self { count: before.map_or(0, |before| before.count) + 1, oldest })
        })
    }
}

/// What one signal is worth under a rule at an instant at which it is kept, before the cap.
fn worth(rule: &Rule, occurred_at: Timestamp, instant: Timestamp) -> Fine {
    decayed(rule.points, rule.half_life, age(occurred_at, instant))
}

/// Whether it loses worth from this instant on. What lies ahead is worth its full points until it happens.
fn fades(rule: &Rule, occurred_at: Timestamp, instant: Timestamp) -> bool {
    rule.half_life.is_some() && occurred_at <= instant
}
