//! When will time alone change something?
//!
//! Between two instants at which a signal starts to decay or stops to count, each rule is worth `c + d * 2^(-t/h)`,
//! one term for all of its signals, so the whole lead is a handful of terms, whatever the number of its signals. Rules
//! that give fall, rules that take rise: the worth of a stretch of time lies between what its two ends allow. So the
//! first crossing is found by halving, also where rises and falls mix, and then checked to the millisecond with the
//! score itself.

use tasuki_domain::{Millipoints, Millis, Timestamp};
use tasuki_playbook::KEPT_FOR;

use crate::decay::{Fine, capped, from_f64, millis_f64, remaining, rounded, surely_rounded};
use crate::engagement::{Engagement, Matched};
use crate::signals::age;

/// Most halvings that are tried. Where that does not do (some dozens of signals of rules that
/// never fade; rises and falls that cancel out for long), the answer is an instant up to which nothing changes, at
/// least an hour on: the lead is looked at again then.
const MOST_STEPS: usize = 2_000;
/// How far the terms are from the score at most, with room to spare: half a unit for each of 500 signals, and the last
/// bits of sums of 61 bits. A fifteen-thousandth of a thousandth of a point.
const FUZZ: Fine = 1 << 16;
/// What it costs to begin another stretch, in halvings.
const STEPS_PER_STRETCH: usize = 30;
const LOOK_AGAIN: Millis = Millis::from_hours(1);

const MILLISECOND: Millis = Millis::new(1);

/// The first instant after that of the score at which time alone changes a fact or takes engagement, of which `shown` is
/// shown now, across a boundary of the playbook; `None` if it never does.
pub(crate) fn next_change(engagement: &Engagement<'_>, shown: Millipoints) -> Option<Timestamp> {
    let fact = next_fact_change(engagement);
    // Crossings later than the change of a fact need not be found: the lead is looked at then in any case.
    let crossing = Crossing { engagement, as_of: engagement.as_of, before: fact }.first(shown);
    [fact, crossing].into_iter().flatten().min()
}

/// A signal leaves the window of a fact.
fn next_fact_change(engagement: &Engagement<'_>) -> Option<Timestamp> {
    let as_of = engagement.as_of;
    let leaving = engagement.playbook.facts().iter().flat_map(|fact| {
        let counted = engagement.occurred_under(fact.rule).filter(|&at| age(at, as_of) <= fact.window);
        counted.map(|at| at + fact.window + MILLISECOND)
    });
    leaving.min()
}

struct Crossing<'e, 'p> {
    engagement: &'e Engagement<'p>,
    as_of: Timestamp,
    before: Option<Timestamp>,
}

/// What all rules that give and all rules that take are worth; the second is negative.
#[derive(Clone, Copy)]
struct Worth {
    gives: Millipoints,
    takes: Millipoints,
    /// The score itself, computed signal by signal, says the same.
    sure: bool,
}

impl Crossing<'_, '_> {
    fn first(&self, shown: Millipoints) -> Option<Timestamp> {
        let here = self.side(shown);
        let nothing_takes = self.engagement.rules.iter().all(|matched| matched.rule.points >= Millipoints::ZERO);
        if here == 0 && nothing_takes {
            return None;
        }
        let mut steps = 0;
        let mut start = self.as_of;
        while let Some(end) = self.end_of_stretch(start) {
            steps += STEPS_PER_STRETCH;
            let stretch = Stretch::of(self.engagement, start);
            // Up to the last millisecond before the end, and then the end itself, where the terms change.
            let last = end - MILLISECOND;
            match self.within(&stretch, start, last, here, &mut steps) {
                Found::At(instant) => return Some(self.exactly(&stretch, instant, last, here)),
                Found::OutOfSteps(from) => return Some(from.max(self.as_of + LOOK_AGAIN)),
                Found::Nothing => {}
            }
            if self.side(self.engagement.raw_at(end)) != here {
                return Some(end);
            }
            if self.before.is_some_and(|before| end >= before) {
                return None;
            }
            start = end;
        }
        None
    }

    /// The first instant after `start` at which a signal starts to decay or stops to count.
    fn end_of_stretch(&self, start: Timestamp) -> Option<Timestamp> {
        let ends = self.engagement.rules.iter().flat_map(|matched| {
            let next = |far: Millis| {
                let at = matched.occurred.partition_point(|&at| at + far <= start);
                matched.occurred.get(at).map(|&at| at + far)
            };
            [next(Millis::new(0)), next(Millis::new(KEPT_FOR.get() + 1))].into_iter().flatten()
        });
        ends.min()
    }

    /// How many boundaries are reached. They lie above zero and not above the cap of the axis, whose bounds therefore
    /// make no difference here.
    fn side(&self, engagement: Millipoints) -> usize {
        self.engagement.playbook.boundaries().partition_point(|&boundary| boundary <= engagement)
    }

    /// The first instant after `from`, up to `to`, on another side, by the terms of the stretch.
    fn within(&self, stretch: &Stretch, from: Timestamp, to: Timestamp, here: usize, steps: &mut usize) -> Found {
        let mut from = (from, stretch.at(from));
        let mut ahead = vec![(to, stretch.at(to))];
        while let Some(&to) = ahead.last() {
            *steps += 1;
            if *steps > MOST_STEPS {
                return Found::OutOfSteps(from.0);
            }
            let most = from.1.gives + to.1.takes;
            let least = to.1.gives + from.1.takes;
            let width = to.0.since(from.0).get();
            let stays = self.side(most) == here && self.side(least) == here;
            if stays || width <= 0 {
                from = to;
                ahead.pop();
            } else if width == 1 {
                if self.side(to.1.gives + to.1.takes) != here {
                    return Found::At(to.0);
                }
                from = to;
                ahead.pop();
            } else {
                let middle = from.0 + Millis::new(width / 2);
                ahead.push((middle, stretch.at(middle)));
            }
        }
        Found::Nothing
    }

    /// The terms differ from the score by less than [`FUZZ`]. Where that may matter, finds the neighbours between which
    /// the score itself crosses.
    fn exactly(&self, stretch: &Stretch, near: Timestamp, to: Timestamp, here: usize) -> Timestamp {
        if stretch.at(near - MILLISECOND).sure && stretch.at(near).sure {
            return near;
        }
        let from = stretch.start;
        let crossed = |instant: Timestamp| self.side(self.engagement.raw_at(instant)) != here;
        let (mut inside, mut outside) = (near - MILLISECOND, near);
        let mut step = 1;
        while crossed(inside) && inside > from {
            outside = inside;
            inside = (inside - Millis::new(step)).max(from);
            step *= 2;
        }
        let mut step = 1;
        while !crossed(outside) && outside < to {
            inside = outside;
            outside = (outside + Millis::new(step)).min(to);
            step *= 2;
        }
        while outside.since(inside) > MILLISECOND {
            let middle = inside + Millis::new(outside.since(inside).get() / 2);
            if crossed(middle) { outside = middle } else { inside = middle }
        }
        outside
    }
}

enum Found {
    At(Timestamp),
    Nothing,
    /// Nothing up to this instant.
    OutOfSteps(Timestamp),
}

/// A stretch of time in which every rule is one term.
struct Stretch {
    start: Timestamp,
    terms: Vec<Term>,
}

struct Term {
    constant: Fine,
    /// At the start of the stretch.
    fading: f64,
    half_life: Option<Millis>,
    cap: Option<Millipoints>,
    takes: bool,
}

impl Stretch {
    fn of(engagement: &Engagement<'_>, start: Timestamp) -> Self {
        Self {
            start,
            terms: engagement.rules.iter().map(|matched| Term::of(matched, start, engagement.as_of)).collect(),
        }
    }

    fn at(&self, instant: Timestamp) -> Worth {
        let passed = instant.since(self.start);
        let mut worth = Worth { gives: Millipoints::ZERO, takes: Millipoints::ZERO, sure: true };
        for term in &self.terms {
            let side = if term.takes { &mut worth.takes } else { &mut worth.gives };
            let amount = term.at(passed);
            *side += rounded(amount);
            worth.sure &= surely_rounded(amount, FUZZ);
        }
        worth
    }
}

impl Term {
    fn of(matched: &Matched<'_>, start: Timestamp, as_of: Timestamp) -> Self {
        let half_life = matched.rule.half_life;
        let (mut constant, mut fading) = (0, 0);
        for (&at, &worth) in matched.occurred.iter().zip(&matched.worth) {
            let worth = if start == as_of { worth } else { matched.one_at(at, start) };
            // What lies ahead is worth its full points until the stretch ends.
            let fades = half_life.is_some() && at <= start;
            *(if fades { &mut fading } else { &mut constant }) += worth;
        }
        let takes = matched.rule.points < Millipoints::ZERO;
        Self { constant, fading: millis_f64(fading), half_life, cap: matched.rule.cap, takes }
    }

    fn at(&self, passed: Millis) -> Fine {
        let faded = self.half_life.map_or(0, |half_life| from_f64(self.fading * remaining(half_life, passed)));
        capped(self.constant.saturating_add(faded), self.cap)
    }
}
