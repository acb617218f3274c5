//! The engagement of a lead as a function of time: which signals count under which rule, and what they are worth when.

use tasuki_domain::{Millipoints, Millis, Timestamp};
use tasuki_playbook::{Decay, FactQuery, Group, KEPT_FOR, MOST_GROUPS, Playbook, Rule};

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
    /// What they are worth.
    pub(crate) sum: Sum,
    /// How many the frequency limit passes over: they are worth nothing.
    limited: u32,
    oldest: Timestamp,
    newest: Timestamp,
}

/// How often a rule has counted in the stretch of time that was looked at last; signals come newest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    stretch: i64,
    times: u32,
}

/// What the signals of a rule that are kept at an instant are worth then, before the cap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    /// Those that do not fade at this instant: because the rule's points stay, or because they are said to happen later.
    pub(crate) constant: Fine,
    /// The others.
    pub(crate) fading: Fine,
    /// How many those are.
    pub(crate) active: u32,
    counted: Counted,
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
        sum: Sum::NONE,
        limited: 0,
        oldest: Timestamp::from_millis(0),
        newest: Timestamp::from_millis(0),
    };
}

impl Sum {
    const NONE: Self = Self { constant: 0, fading: 0, active: 0, counted: Counted::NONE };

    /// Takes a signal of the rule, newest first, as of an instant; gives what it is worth, or `None` where the frequency
    /// limit passes over it.
    #[inline]
    fn take(&mut self, rule: &Rule, occurred_at: Timestamp, instant: Timestamp) -> Option<Fine> {
        if !self.counted.counts(rule, occurred_at) {
            return None;
        }
        let worth = worth(rule, occurred_at, instant);
        if fades(rule, occurred_at, instant) {
            (self.fading, self.active) = (self.fading + worth, self.active + 1);
        } else {
            self.constant += worth;
        }
        Some(worth)
    }

    fn all(&self) -> Fine {
        self.constant + self.fading
    }
}

impl Matched<'_> {
    /// What all of its signals are worth as of the instant of the score, after the cap.
    pub(crate) fn points(&self) -> Millipoints {
        rounded(capped(self.tally.sum.all(), self.rule.cap))
    }

    /// What they would be worth without limit, decay and cap.
    pub(crate) fn raw(&self) -> Millipoints {
        Millipoints::new(self.rule.points.get().saturating_mul(i64::from(self.tally.matches)))
    }

    /// What the frequency limit does to that.
    pub(crate) fn by_limit(&self) -> Millipoints {
        Millipoints::new(self.rule.points.get().saturating_mul(-i64::from(self.tally.limited)))
    }

    /// What the cap of the rule does to what is left after decay.
    pub(crate) fn by_cap(&self) -> Millipoints {
        self.points() - rounded(self.tally.sum.all())
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
        let matched = |(rule, tally)| Matched { rule, tally, evidence: self.evidence_of(tally) };
        self.rules_of_tallies().zip(&self.tallies).map(matched)
    }

    /// For each tally, its rule.
    fn rules_of_tallies(&self) -> impl ExactSizeIterator<Item = &'a Rule> {
        let rules = self.playbook.rules();
        self.tallies.iter().map(move |tally| &rules[index(tally.rule)])
    }

    fn evidence_of(&self, tally: &Tally) -> &[Piece] {
        let start = index(tally.evidence);
        &self.evidence[start..start + index(tally.matches).min(MOST_EVIDENCE)]
    }

    /// For each rule that matches something, in that order, what its signals are worth at an instant not before that
    /// of the score: those that do not fade then, and those that do.
    pub(crate) fn sums_at(&self, instant: Timestamp) -> Vec<Sum> {
        let rules = self.playbook.rules();
        let mut sums = vec![Sum::NONE; rules.len()];
        for signal in self.signals.list.iter().rev().take_while(|signal| is_kept(signal.occurred_at, instant)) {
            for &at in self.rules_of(signal) {
                sums[index(at)].take(&rules[index(at)], signal.occurred_at, instant);
            }
        }
        self.tallies.iter().map(|tally| sums[index(tally.rule)]).collect()
    }

    /// What the rules of a track that give are worth together at an instant, not before that of the score, and what those
    /// that take take (of the lead itself for `None`); the bounds of the axis are not applied. Neither ever gets more while
    /// nothing new comes: which signals count under a limit does not depend on the instant, since the latest do, and those
    /// are forgotten last.
    pub(crate) fn both_at(&self, track: Option<usize>, instant: Timestamp) -> (Millipoints, Millipoints) {
        let (mut gives, mut takes) = (Total::default(), Total::default());
        for (rule, sum) in self.rules_of_tallies().zip(self.sums_at(instant)) {
            if !rule.counts_for(track) {
                continue;
            }
            let points = rounded(capped(sum.all(), rule.cap));
            if rule.points < Millipoints::ZERO { takes.add(rule, -points) } else { gives.add(rule, points) }
        }
        (gives.capped(self.playbook.groups()), takes.capped(self.playbook.groups()))
    }

    /// What the cap of each group does to the sum of its rules; none if the playbook has no groups.
    pub(crate) fn by_groups(&self) -> Vec<(&'a Group, Millipoints)> {
        let groups = self.playbook.groups();
        if groups.is_empty() {
            return Vec::new();
        }
        let mut total = Total::default();
        self.matched().for_each(|matched| total.add(matched.rule, matched.points()));
        let by_cap = |(group, sum): (&'a Group, Millipoints)| (group, sum.clamp(-group.cap, group.cap) - sum);
        groups.iter().zip(total.groups).map(by_cap).filter(|(_, amount)| *amount != Millipoints::ZERO).collect()
    }

    /// The first instant after that of the score at which something that counts for a track begins to fade, or loses points at
    /// once.
    pub(crate) fn end_of_stretch(&self, track: Option<usize>) -> Option<Timestamp> {
        let own = || self.rules_of_tallies().zip(&self.tallies).filter(|(rule, _)| rule.counts_for(track));
        let first_goes = own().map(|(_, tally)| tally.oldest + FORGOTTEN).min()?;
        let steady = |(rule, tally): (&Rule, &Tally)| {
            tally.newest <= self.as_of && matches!(rule.decay, Decay::Stays | Decay::HalfLife(_))
        };
        if first_goes > self.as_of && own().all(steady) {
            return Some(first_goes);
        }
        let mut end: Option<Timestamp> = None;
        self.each_turn(track, |turn| {
            if turn > self.as_of && end.is_none_or(|end| turn < end) {
                end = Some(turn);
            }
        });
        end
    }

    /// All such instants after one, ascending.
    pub(crate) fn turns_after(&self, track: Option<usize>, start: Timestamp) -> Vec<Timestamp> {
        let mut turns = Vec::with_capacity(self.signals.len());
        self.each_turn(track, |turn| {
            if turn > start {
                turns.push(turn);
            }
        });
        turns.sort_unstable();
        turns.dedup();
        turns
    }

    /// Calls `take` with each instant at which something that counts for a track begins to fade, or loses points at once.
    fn each_turn(&self, track: Option<usize>, mut take: impl FnMut(Timestamp)) {
        let rules = self.playbook.rules();
        let mut counted = vec![Counted::NONE; rules.len()];
        for signal in self.signals.list.iter().rev().take_while(|signal| is_kept(signal.occurred_at, self.as_of)) {
            let mut counts = false;
            for &at in self.rules_of(signal) {
                let rule = &rules[index(at)];
                if rule.counts_for(track) && counted[index(at)].counts(rule, signal.occurred_at) {
                    turns(&rule.decay, signal.occurred_at, &mut take);
                    counts = true;
                }
            }
            if counts {
                take(signal.occurred_at + FORGOTTEN);
            }
        }
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
            let worth = tally.sum.take(rule, signal.occurred_at, as_of);
            if tally.matches == 0 {
                (tally.rule, tally.newest, tally.evidence) = (at, signal.occurred_at, number(evidence.len()));
                evidence.resize(evidence.len() + room, Piece::default());
            }
            let nth = index(tally.matches);
            if nth < MOST_EVIDENCE {
                evidence[index(tally.evidence) + nth] =
                    Piece { named: number(named.len()), points: rounded(worth.unwrap_or(0)) };
                is_named = true;
            }
            tally.matches += 1;
            tally.oldest = signal.occurred_at;
            tally.limited += u32::from(worth.is_none());
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

impl Counted {
    pub(crate) const NONE: Self = Self { stretch: 0, times: 0 };

    /// Whether the rule counts a signal that occurred then; they are asked about newest first.
    #[inline]
    pub(crate) fn counts(&mut self, rule: &Rule, occurred_at: Timestamp) -> bool {
        let Some(limit) = rule.limit else { return true };
        let stretch = occurred_at.as_millis().div_euclid(limit.per.get());
        if self.times == 0 || self.stretch != stretch {
            *self = Self { stretch, times: 0 };
        }
        self.times += 1;
        self.times <= limit.times
    }
}

/// Points by group, and those of rules without one.
#[derive(Debug, Default)]
struct Total {
    groups: [Millipoints; MOST_GROUPS],
    others: Millipoints,
}

impl Total {
    fn add(&mut self, rule: &Rule, points: Millipoints) {
        *rule.group.map_or(&mut self.others, |at| &mut self.groups[at]) += points;
    }

    /// All together, each group up to its cap; nothing here is below zero.
    fn capped(&self, groups: &[Group]) -> Millipoints {
        self.others + groups.iter().zip(self.groups).map(|(group, sum)| sum.min(group.cap)).sum::<Millipoints>()
    }
}

/// How long after it happened a signal is forgotten.
const FORGOTTEN: Millis = Millis::new(KEPT_FOR.get() + 1);

/// What one signal that counts is worth under a rule at an instant at which it is kept, before the cap.
pub(crate) fn worth(rule: &Rule, occurred_at: Timestamp, instant: Timestamp) -> Fine {
    decayed(rule.points, &rule.decay, age(occurred_at, instant))
}

/// Whether it loses worth with every instant from this one on. What lies ahead is worth its full points until it happens.
fn fades(rule: &Rule, occurred_at: Timestamp, instant: Timestamp) -> bool {
    match rule.decay {
        Decay::HalfLife(_) => occurred_at <= instant,
        Decay::Linear(over) => occurred_at <= instant && instant.since(occurred_at) < over,
        Decay::Stays | Decay::Steps(_) | Decay::Window(_) => false,
    }
}

/// Calls `take` with the instants at which a signal begins to fade or ceases to, or loses points at once.
fn turns(decay: &Decay, occurred_at: Timestamp, mut take: impl FnMut(Timestamp)) {
    let a_moment = Millis::new(1);
    match decay {
        Decay::Stays => {}
        Decay::HalfLife(_) => take(occurred_at),
        Decay::Linear(over) => {
            take(occurred_at);
            take(occurred_at + *over);
        }
        Decay::Steps(steps) => steps.iter().for_each(|step| take(occurred_at + step.after + a_moment)),
        Decay::Window(window) => take(occurred_at + *window + a_moment),
    }
}
