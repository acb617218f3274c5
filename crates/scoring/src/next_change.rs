//! When will time alone change something?
//!
//! What the rules that give are worth only falls, and so does what the others take. So a stretch of time is passed over
//! at once if what is given at its end is enough for what is taken at its beginning, and the other way round. What is left
//! is looked at between two instants at which a signal begins to fade or loses points at once. While one of the two is thought to stand still, it is easily found how long
//! the other may go on without crossing a boundary; until then, the real score does not cross it either, and from there
//! one looks again. Where rounding begins to matter, instants are found to the millisecond, with the score itself.

use tasuki_domain::{Millipoints, Millis, Timestamp};

use crate::decay::{ONE, from_f64, millis_f64};
use crate::engagement::Engagement;
use crate::falling::{Falling, Term};

/// Most steps that are tried. Where that does not do (some dozens of signals of rules that never fade; rises and falls
/// that cancel out for long), the answer is an instant up to which nothing changes, at least an hour on: the lead is
/// looked at again then.
const MOST_STEPS: usize = 2_000;
/// What it costs to begin another stretch, in steps.
const STEPS_PER_STRETCH: usize = 30;
/// What it costs to compute the score at one more instant, in steps.
const STEPS_PER_LOOK: usize = 5;
/// What it costs to find an instant to the millisecond, in steps.
const STEPS_PER_INSTANT: usize = 10;
const LOOK_AGAIN: Millis = Millis::from_hours(1);

const MILLISECOND: Millis = Millis::new(1);
const ONE_MILLIPOINT: Millipoints = Millipoints::new(1);

/// The first instant after that of the score at which time alone changes a fact or takes the engagement of the lead or of
/// one of its tracks across a boundary of the playbook; `None` if it never does. `shown` is what is shown of each now.
pub(crate) fn next_change(
    engagement: &Engagement<'_>,
    shown: impl Iterator<Item = (Option<usize>, Millipoints)>,
) -> Option<Timestamp> {
    // What comes later than something that was found need not be found: the lead is looked at then in any case.
    let mut first = next_fact_change(engagement);
    for (track, shown) in shown {
        let crossing = Crossing { engagement, track, as_of: engagement.as_of, before: first }.first(shown);
        first = [first, crossing].into_iter().flatten().min();
    }
    first
}

/// A signal leaves the window of a fact.
fn next_fact_change(engagement: &Engagement<'_>) -> Option<Timestamp> {
    let leaving = engagement.playbook.facts().iter().filter_map(|fact| {
        let within = engagement.within(fact.rule, fact.window)?;
        Some(within.oldest + fact.window + MILLISECOND)
    });
    leaving.min()
}

struct Crossing<'e, 'p> {
    engagement: &'e Engagement<'p>,
    /// Whose engagement; `None`: the lead's own.
    track: Option<usize>,
    as_of: Timestamp,
    before: Option<Timestamp>,
}

/// What the score must not cross: below the one, up to the other.
#[derive(Clone, Copy)]
struct Bounds {
    low: Option<Millipoints>,
    high: Option<Millipoints>,
}

/// What falls in a stretch of time: what rules give, and what rules take.
struct Stretch<'t> {
    start: Timestamp,
    gives: Falling<'t>,
    takes: Falling<'t>,
}

enum Found {
    At(Timestamp),
    Nothing,
    /// Nothing up to this instant.
    OutOfSteps(Timestamp),
}

impl Crossing<'_, '_> {
    fn first(&self, shown: Millipoints) -> Option<Timestamp> {
        let boundaries = self.boundaries();
        let here = self.side(shown);
        let mut own = self.engagement.matched().filter(|matched| matched.rule.counts_for(self.track));
        let nothing_takes = own.all(|matched| matched.rule.points >= Millipoints::ZERO);
        if here == 0 && nothing_takes {
            return None;
        }
        let low = here.checked_sub(1).map(|reached| boundaries[reached]);
        let bounds = Bounds { low, high: boundaries.get(here).copied() };
        let (mut steps, mut start) = (0, self.as_of);
        let mut end = self.engagement.end_of_stretch(self.track)?;
        let mut turns: Option<Vec<Timestamp>> = None;
        loop {
            match self.between(start, end, bounds, &mut steps) {
                Found::At(instant) => return Some(instant),
                Found::OutOfSteps(from) => return Some(from.max(self.as_of + LOOK_AGAIN)),
                Found::Nothing => {}
            }
            if self.before.is_some_and(|before| end >= before) {
                return None;
            }
            let both @ (gives, takes) = self.both_at(end);
            if self.side(gives - takes) != here {
                return Some(end);
            }
            // Mostly something is found before the first turn, and they need not be put in order.
            let turns = turns.get_or_insert_with(|| self.engagement.turns_after(self.track, end));
            let left = &turns[turns.partition_point(|&turn| turn <= end)..];
            (start, end) = self.leap((end, both), left, bounds, &mut steps)?;
        }
    }

    /// Goes on from an instant, with what is given and taken at it, as far as the score stays within its bounds whatever it
    /// does in between; gives the stretch that comes then, if there is one.
    fn leap(
        &self,
        (from, (given, taken)): (Timestamp, (Millipoints, Millipoints)),
        turns: &[Timestamp],
        bounds: Bounds,
        steps: &mut usize,
    ) -> Option<(Timestamp, Timestamp)> {
        let passed = turns.partition_point(|&turn| {
            *steps += STEPS_PER_LOOK;
            let (gives, takes) = self.both_at(turn);
            bounds.low.is_none_or(|low| gives - taken >= low) && bounds.high.is_none_or(|high| given - takes < high)
        });
        let start = passed.checked_sub(1).map_or(from, |last| turns[last]);
        let end = *turns.get(passed)?;
        self.before.is_none_or(|before| start < before).then_some((start, end))
    }

    /// The first instant between two turns at which the score crosses one of the bounds.
    fn between(&self, start: Timestamp, end: Timestamp, bounds: Bounds, steps: &mut usize) -> Found {
        *steps += STEPS_PER_STRETCH;
        // Up to the last millisecond before the end; at the end itself the terms change.
        let last = self.before.map_or(end - MILLISECOND, |before| before.min(end - MILLISECOND));
        let (terms, giving) = terms(self.engagement, self.track, start);
        let (gives, takes) = terms.split_at(giving);
        let groups = self.engagement.playbook.groups();
        let (gives, takes) = (Falling::new(start, gives, groups), Falling::new(start, takes, groups));
        self.within(&Stretch { start, gives, takes }, last, bounds, steps)
    }

    /// How many boundaries are reached. They lie above zero and not above the cap of the axis, whose bounds therefore
    /// make no difference here.
    fn side(&self, engagement: Millipoints) -> usize {
        self.boundaries().partition_point(|&boundary| boundary <= engagement)
    }

    fn boundaries(&self) -> &[Millipoints] {
        self.engagement.playbook.boundaries_of(self.track)
    }

    fn both_at(&self, instant: Timestamp) -> (Millipoints, Millipoints) {
        self.engagement.both_at(self.track, instant)
    }

    /// The first instant after the start of a stretch, up to `to`, at which the score crosses one of the bounds.
    fn within(&self, stretch: &Stretch<'_>, to: Timestamp, bounds: Bounds, steps: &mut usize) -> Found {
        let mut from = stretch.start;
        while from < to {
            from = stretch.approach(from, to, bounds, steps);
            if from == to {
                return Found::Nothing;
            }
            *steps += STEPS_PER_INSTANT;
            if *steps > MOST_STEPS {
                return Found::OutOfSteps(from);
            }
            // How long what is given may fall while what is taken stands still, and the other way round.
            let (gives, takes) = (self.gives(stretch, from), self.takes(stretch, from));
            let down = bounds.low.and_then(|low| {
                let least = low + takes;
                first_below(&stretch.gives, |at| self.gives(stretch, at) >= least, least, from, to)
            });
            let until = down.unwrap_or(to);
            let up = bounds.high.filter(|&high| gives >= high).and_then(|high| {
                let least = gives - high + ONE_MILLIPOINT;
                first_below(&stretch.takes, |at| self.takes(stretch, at) >= least, least, from, until)
            });
            let Some(next) = up.or(down) else { return Found::Nothing };
            let score = self.gives(stretch, next) - self.takes(stretch, next);
            if bounds.low.is_some_and(|low| score < low) || bounds.high.is_some_and(|high| score >= high) {
                return Found::At(next);
            }
            from = next;
        }
        Found::Nothing
    }

    fn gives(&self, stretch: &Stretch<'_>, instant: Timestamp) -> Millipoints {
        let worth = stretch.gives.at(instant);
        if worth.sure { worth.points } else { self.both_at(instant).0 }
    }

    fn takes(&self, stretch: &Stretch<'_>, instant: Timestamp) -> Millipoints {
        let worth = stretch.takes.at(instant);
        if worth.sure { worth.points } else { self.both_at(instant).1 }
    }
}

/// What the rules of a track amount to from this instant on, those that give first; and how many those are.
fn terms(engagement: &Engagement<'_>, track: Option<usize>, start: Timestamp) -> (Vec<Term>, usize) {
    let later = (start != engagement.as_of).then(|| engagement.sums_at(start));
    let mut terms = Vec::with_capacity(engagement.matched().len());
    let mut giving = 0;
    for takes in [false, true] {
        for (place, matched) in engagement.matched().enumerate() {
            if (matched.rule.points < Millipoints::ZERO) == takes && matched.rule.counts_for(track) {
                let sum = later.as_ref().map_or(&matched.tally.sum, |sums| &sums[place]);
                terms.push(Term::of(&matched, sum));
            }
        }
        if !takes {
            giving = terms.len();
        }
    }
    let (gives, takes) = terms.split_at_mut(giving);
    gives.sort_unstable_by_key(Term::half_life);
    takes.sort_unstable_by_key(Term::half_life);
    (terms, giving)
}

impl Stretch<'_> {
    /// Goes on from an instant as far as the score surely stays within its bounds, whatever the rounding.
    fn approach(&self, from: Timestamp, to: Timestamp, bounds: Bounds, steps: &mut usize) -> Timestamp {
        let margin = self.gives.margin() + self.takes.margin();
        let least_given = |taken: f64| bounds.low.map(|low| millis_f64(low.get()) * ONE + taken + margin);
        let least_taken = |given: f64| bounds.high.map(|high| given - millis_f64(high.get()) * ONE + margin);
        let mut at = from;
        let (mut gives, mut takes) = (self.gives.glide(at), self.takes.glide(at));
        while at < to && *steps <= MOST_STEPS {
            let (given, taken) = (least_given(takes.value), least_taken(gives.value));
            let down = given.map_or(f64::INFINITY, |least| gives.value - least);
            let up = taken.filter(|&least| least > 0.0).map_or(f64::INFINITY, |least| takes.value - least);
            // The losses of less than a millipoint that are left are followed one by one.
            if down.min(up) < ONE / 2.0 {
                return at;
            }
            let step = gives.time_to_lose(down).min(takes.time_to_lose(up));
            let mut step = Millis::new(from_f64(step.min(1e15))).min(to.since(at));
            loop {
                *steps += 1;
                if step < MILLISECOND {
                    return at;
                }
                let there = at + step;
                let (gives_there, takes_there) = (self.gives.glide(there), self.takes.glide(there));
                let is_safe = given.is_none_or(|least| gives_there.value >= least)
                    && taken.is_none_or(|least| least <= 0.0 || takes_there.value >= least);
                if is_safe {
                    (at, gives, takes) = (there, gives_there, takes_there);
                    break;
                }
                step = Millis::new(step.get() / 2);
            }
        }
        at
    }
}

/// The first instant after `from`, up to `to`, that is not above `least`: looked for around where rounding says.
fn first_below(
    falling: &Falling<'_>,
    above: impl Fn(Timestamp) -> bool,
    least: Millipoints,
    from: Timestamp,
    to: Timestamp,
) -> Option<Timestamp> {
    if from >= to || above(to) {
        return None;
    }
    let guess = falling.drop_below(least, from).filter(|&guess| from < guess && guess < to).unwrap_or(to);
    // Away from the guess in steps that double, towards the side on which it lies.
    let (mut inside, mut below, mut step) = (from, to, 1);
    if guess < to && above(guess) {
        inside = guess;
        while inside + Millis::new(step) < below {
            let probe = inside + Millis::new(step);
            if !above(probe) {
                below = probe;
                break;
            }
            inside = probe;
            step *= 2;
        }
    } else {
        below = guess;
        while below - Millis::new(step) > inside {
            let probe = below - Millis::new(step);
            if above(probe) {
                inside = probe;
                break;
            }
            below = probe;
            step *= 2;
        }
    }
    while below.since(inside) > MILLISECOND {
        let middle = inside + Millis::new(below.since(inside).get() / 2);
        *(if above(middle) { &mut inside } else { &mut below }) = middle;
    }
    Some(below)
}
