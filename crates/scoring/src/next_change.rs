//! When will time alone change something?
//!
//! Between two instants at which a signal starts to decay or stops to count, each rule is worth `c + d * 2^(-t/h)`,
//! one term for all of its signals, so the whole lead is a handful of terms, whatever the number of its signals. Rules
//! that give fall, rules that take rise: the worth of a stretch of time lies between what its two ends allow. So the
//! first crossing is found by halving, also where rises and falls mix, and then checked to the millisecond with the
//! score itself.

use tasuki_domain::{Millipoints, Millis, Timestamp};

use crate::decay::{FINE_BITS, Fine, ONE, capped, from_f64, millis_f64, remaining, rounded, surely_rounded};
use crate::engagement::{Engagement, Matched};

/// Most halvings that are tried. Where that does not do (some dozens of signals of rules that
/// never fade; rises and falls that cancel out for long), the answer is an instant up to which nothing changes, at
/// least an hour on: the lead is looked at again then.
const MOST_STEPS: usize = 2_000;
/// What it costs to begin another stretch, in halvings.
const STEPS_PER_STRETCH: usize = 30;
/// Most guesses between start and end of a stretch. It mostly takes a few.
const MOST_GUESSES: usize = 40;
/// Most losses of a millipoint that are followed one by one.
const MOST_DROPS: usize = 200;
const ONE_MILLIPOINT: Millipoints = Millipoints::new(1);
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
    let leaving = engagement.playbook.facts().iter().filter_map(|fact| {
        let within = engagement.within(fact.rule, fact.window)?;
        Some(within.oldest + fact.window + MILLISECOND)
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
        let nothing_takes = self.engagement.matched().all(|matched| matched.rule.points >= Millipoints::ZERO);
        if here == 0 && nothing_takes {
            return None;
        }
        let mut steps = 0;
        let mut start = self.as_of;
        while let Some(end) = self.engagement.end_of_stretch(start) {
            steps += STEPS_PER_STRETCH;
            let stretch = Stretch::of(self.engagement, start);
            // Up to the last millisecond before the end, and then the end itself, where the terms change.
            let last = end - MILLISECOND;
            if nothing_takes {
                if let Some(instant) = self.fall(&stretch, last, here) {
                    return Some(instant);
                }
            } else {
                match self.within(&stretch, start, last, here, &mut steps) {
                    Found::At(instant) => return Some(self.exactly(&stretch, instant, last, here)),
                    Found::OutOfSteps(from) => return Some(from.max(self.as_of + LOOK_AGAIN)),
                    Found::Nothing => {}
                }
            }
            if self.before.is_some_and(|before| end >= before) {
                return None;
            }
            if self.side(self.engagement.raw_at(end)) != here {
                return Some(end);
            }
            start = end;
        }
        None
    }

    /// How many boundaries are reached. They lie above zero and not above the cap of the axis, whose bounds therefore
    /// make no difference here.
    fn side(&self, engagement: Millipoints) -> usize {
        self.engagement.playbook.boundaries().partition_point(|&boundary| boundary <= engagement)
    }

    /// The first instant after the start of a stretch, up to `to`, below the highest boundary that is reached, where
    /// nothing rises. Without rounding it is easily found; how the rules are rounded there says where to look; whether
    /// that is right says the score.
    fn fall(&self, stretch: &Stretch, to: Timestamp, here: usize) -> Option<Timestamp> {
        let boundary = here.checked_sub(1).map(|reached| self.engagement.playbook.boundaries()[reached])?;
        let above = |instant: Timestamp| {
            let worth = stretch.at(instant);
            boundary <= if worth.sure { worth.gives } else { self.engagement.raw_at(instant) }
        };
        // What is later than the change of a fact need not be found.
        let below = self.before.map_or(to, |before| before.min(to));
        if below <= stretch.start || above(below) {
            return None;
        }
        let inside = stretch.nearly_down_to(boundary, below);
        let guess = stretch.drop_below(boundary, inside).filter(|&guess| inside < guess && guess < below);
        Some(first_below(above, inside, below, guess.unwrap_or(below)))
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

    /// The terms differ from the score by less than their `fuzz`. Where that may matter, finds the neighbours between which
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

/// The first instant that is not above, when `inside` is and `below` is not: looked for around a guess between them.
fn first_below(
    above: impl Fn(Timestamp) -> bool,
    mut inside: Timestamp,
    mut below: Timestamp,
    guess: Timestamp,
) -> Timestamp {
    // Away from the guess in steps that double, towards the side on which it lies.
    let mut step = 1;
    if above(guess) {
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
    below
}

/// What is worth how much, and loses how much in a millisecond, in 2^-32 millipoints and without rounding.
struct Glide {
    value: f64,
    /// The part of it that gets less.
    fading: f64,
    slope: f64,
}

/// When a rule is next rounded to a millipoint less, in milliseconds.
struct Drop {
    at: f64,
    /// What it loses until then.
    excess: f64,
    faded: f64,
    slope: f64,
}

/// In how many milliseconds something that now loses so much in each loses an amount, as something with one half-life
/// does.
fn time_to_lose(amount: f64, of: f64, slope: f64) -> f64 {
    if slope <= 0.0 {
        return f64::INFINITY;
    }
    let part = amount / of;
    let lost = if part < 1e-3 {
        // The first terms of the series of the logarithm are it to within 10^-12.
        part * (1.0 + part * (0.5 + part * (1.0 / 3.0)))
    } else if part < 1.0 {
        -(1.0 - part).ln()
    } else {
        return f64::INFINITY;
    };
    lost * of / slope
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
    /// How far the term is from the sum over the signals at most, with room to spare: for each a unit of rounding here
    /// and there, and some of the last places of its points.
    fuzz: Fine,
}

impl Stretch {
    fn of(engagement: &Engagement<'_>, start: Timestamp) -> Self {
        let mut terms: Vec<_> = engagement.matched().map(|matched| Term::of(&matched)).collect();
        if start != engagement.as_of {
            for (term, (_, constant, fading)) in terms.iter_mut().zip(engagement.sums_at(start)) {
                (term.constant, term.fading) = (constant, millis_f64(fading));
            }
        }
        Self { start, terms }
    }

    /// An instant, before `end`, at which all is worth so little more than a boundary that only rounding may take it
    /// there. If all faded equally fast, the first guess would be right; where a cap misleads it, halving helps.
    fn nearly_down_to(&self, boundary: Millipoints, mut end: Timestamp) -> Timestamp {
        let target = (millis_f64(boundary.get()) + (self.terms.len() as f64 + 1.0) / 2.0) * ONE;
        let (mut inside, mut glide) = (self.start, self.glide(self.start));
        for _ in 0..MOST_GUESSES {
            let excess = glide.value - target;
            let width = end.since(inside);
            // The losses of less than a millipoint that are left are followed one by one.
            if excess < ONE / 2.0 || width <= MILLISECOND {
                break;
            }
            let step = Millis::new(from_f64(time_to_lose(excess, glide.fading, glide.slope).min(1e15)));
            let step = if step < width { step } else { Millis::new(width.get() / 2) };
            if step < MILLISECOND {
                break;
            }
            let guess = inside + step;
            let there = self.glide(guess);
            if there.value >= target { (inside, glide) = (guess, there) } else { end = guess }
        }
        inside
    }

    /// When so many rules have lost a millipoint by rounding that all are below a boundary, going on from an instant
    /// near it; a guess, since it is not computed to the last place.
    fn drop_below(&self, boundary: Millipoints, from: Timestamp) -> Option<Timestamp> {
        let mut drops = Vec::with_capacity(self.terms.len());
        let mut total = Millipoints::ZERO;
        for term in &self.terms {
            let Some(half_life) = term.half_life else {
                total += rounded(capped(term.constant, term.cap));
                continue;
            };
            let faded = term.fading * remaining(half_life, from.since(self.start));
            let worth = millis_f64(term.constant) + faded;
            let points = rounded(capped(from_f64(worth), term.cap));
            total += points;
            let excess = worth - (millis_f64(points.get()) - 0.5) * ONE;
            let slope = faded * std::f64::consts::LN_2 / millis_f64(half_life.get());
            drops.push(Drop { at: time_to_lose(excess, faded, slope), excess, faded, slope });
        }
        let mut last: f64 = 0.0;
        for _ in 0..MOST_DROPS {
            if total < boundary {
                return Some(from + Millis::new(from_f64(last.min(1e15)) + 1));
            }
            let drop = drops.iter_mut().min_by(|a, b| a.at.total_cmp(&b.at))?;
            total = total - ONE_MILLIPOINT;
            last = drop.at;
            drop.excess += ONE;
            drop.at = time_to_lose(drop.excess, drop.faded, drop.slope);
        }
        None
    }

    /// What the rules are worth and how fast they lose it, without rounding.
    fn glide(&self, instant: Timestamp) -> Glide {
        let passed = instant.since(self.start);
        let mut glide = Glide { value: 0.0, fading: 0.0, slope: 0.0 };
        for term in &self.terms {
            let cap = term.cap.map_or(f64::INFINITY, |cap| millis_f64(cap.get()) * ONE);
            let Some(half_life) = term.half_life else {
                glide.value += millis_f64(term.constant).min(cap);
                continue;
            };
            let faded = term.fading * remaining(half_life, passed);
            let worth = millis_f64(term.constant) + faded;
            if worth < cap {
                glide.value += worth;
                glide.fading += faded;
                glide.slope += faded * std::f64::consts::LN_2 / millis_f64(half_life.get());
            } else {
                glide.value += cap;
            }
        }
        glide
    }

    fn at(&self, instant: Timestamp) -> Worth {
        let passed = instant.since(self.start);
        let mut worth = Worth { gives: Millipoints::ZERO, takes: Millipoints::ZERO, sure: true };
        for term in &self.terms {
            let side = if term.takes { &mut worth.takes } else { &mut worth.gives };
            let amount = term.at(passed);
            *side += rounded(amount);
            worth.sure &= surely_rounded(amount, term.fuzz);
        }
        worth
    }
}

impl Term {
    /// As of the instant of the score.
    fn of(Matched { rule, tally, .. }: &Matched<'_>) -> Self {
        let last_places = (rule.points.get().abs() << FINE_BITS) >> 49;
        Self {
            constant: tally.constant,
            fading: millis_f64(tally.fading),
            half_life: rule.half_life,
            cap: rule.cap,
            takes: rule.points < Millipoints::ZERO,
            fuzz: i64::from(tally.matches) * (2 + last_places),
        }
    }

    fn at(&self, passed: Millis) -> Fine {
        let faded = self.half_life.map_or(0, |half_life| from_f64(self.fading * remaining(half_life, passed)));
        capped(self.constant.saturating_add(faded), self.cap)
    }
}
