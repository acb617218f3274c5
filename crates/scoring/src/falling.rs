//! What several rules are worth together while nothing new comes: it only falls, rule by rule rounded to millipoints.
//!
//! In a stretch of time in which no signal begins to fade or goes, a rule is worth `c + d * 2^(-t/h)` up to its cap, one
//! term for all of its signals. For rules that take points away, the same holds of what they take.

use tasuki_domain::{Millipoints, Millis, Timestamp};

use crate::decay::{FINE_BITS, Fine, ONE, capped, from_f64, millis_f64, remaining, rounded, surely_rounded};
use crate::engagement::Matched;

/// Most losses of a millipoint that are followed one by one.
const MOST_DROPS: usize = 200;
const ONE_MILLIPOINT: Millipoints = Millipoints::new(1);

/// Terms with the instant from which they hold; those of one half-life stand together, so that what is left at an
/// instant is worked out once for them all.
#[derive(Debug)]
pub(crate) struct Falling<'t> {
    start: Timestamp,
    terms: &'t [Term],
}

/// What a rule is worth, or takes: nothing here is below zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    constant: Fine,
    /// At the start.
    fading: f64,
    half_life: Option<Millis>,
    cap: Option<Millipoints>,
    /// How far the term is from the sum over the signals at most, with room to spare: for each a unit of rounding here
    /// and there, and some of the last places of its points.
    fuzz: Fine,
}

/// What all are worth at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worth {
    pub(crate) points: Millipoints,
    /// The score itself, computed signal by signal, says the same.
    pub(crate) sure: bool,
}

/// What is worth how much, and loses how much in a millisecond, in 2^-32 millipoints and without rounding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glide {
    pub(crate) value: f64,
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

impl Term {
    /// Of a rule whose signals are worth so much: those that do not fade, and those that do.
    pub(crate) fn of(matched: &Matched<'_>, constant: Fine, fading: Fine) -> Self {
        let last_places = (matched.rule.points.get().abs() << FINE_BITS) >> 49;
        Self {
            constant: constant.abs(),
            fading: millis_f64(fading.abs()),
            half_life: matched.rule.half_life,
            cap: matched.rule.cap,
            fuzz: i64::from(matched.tally.matches) * (2 + last_places),
        }
    }

    pub(crate) fn half_life(&self) -> Option<Millis> {
        self.half_life
    }
}

impl<'t> Falling<'t> {
    /// Terms that hold from this instant on, ordered by their half-lives.
    pub(crate) fn new(start: Timestamp, terms: &'t [Term]) -> Self {
        Self { start, terms }
    }

    /// How far all may be from what they are without rounding, and a little more.
    pub(crate) fn margin(&self) -> f64 {
        (self.terms.len() as f64 + 1.0) / 2.0 * ONE
    }

    /// What is left of what fades, for each term.
    #[inline]
    fn faded(&self, instant: Timestamp) -> impl Iterator<Item = (&'t Term, f64)> {
        let passed = instant.since(self.start);
        let (mut half_life, mut left) = (None, 0.0);
        self.terms.iter().map(move |term| {
            if term.half_life != half_life {
                half_life = term.half_life;
                left = half_life.map_or(0.0, |half_life| remaining(half_life, passed));
            }
            (term, term.fading * left)
        })
    }

    pub(crate) fn at(&self, instant: Timestamp) -> Worth {
        let mut worth = Worth { points: Millipoints::ZERO, sure: true };
        for (term, faded) in self.faded(instant) {
            let amount = capped(term.constant.saturating_add(from_f64(faded)), term.cap);
            worth.points += rounded(amount);
            worth.sure &= surely_rounded(amount, term.fuzz);
        }
        worth
    }

    /// What the rules are worth and how fast they lose it, without rounding.
    pub(crate) fn glide(&self, instant: Timestamp) -> Glide {
        let mut glide = Glide { value: 0.0, fading: 0.0, slope: 0.0 };
        for (term, faded) in self.faded(instant) {
            let worth = millis_f64(term.constant) + faded;
            let cap = term.cap.map_or(f64::INFINITY, |cap| millis_f64(cap.get()) * ONE);
            if worth < cap {
                glide.value += worth;
                glide.fading += faded;
                glide.slope += term.half_life.map_or(0.0, |half_life| slope(faded, half_life));
            } else {
                glide.value += cap;
            }
        }
        glide
    }

    /// When so many rules have lost a millipoint by rounding that all are below a number of points, going on from an
    /// instant near it; a guess, since it is not computed to the last place.
    pub(crate) fn drop_below(&self, least: Millipoints, from: Timestamp) -> Option<Timestamp> {
        let mut drops = Vec::with_capacity(self.terms.len());
        let mut total = Millipoints::ZERO;
        for (term, faded) in self.faded(from) {
            let worth = millis_f64(term.constant) + faded;
            let points = rounded(capped(from_f64(worth), term.cap));
            total += points;
            if let Some(half_life) = term.half_life {
                let excess = worth - (millis_f64(points.get()) - 0.5) * ONE;
                let slope = slope(faded, half_life);
                drops.push(Drop { at: time_to_lose(excess, faded, slope), excess, faded, slope });
            }
        }
        let mut last: f64 = 0.0;
        for _ in 0..MOST_DROPS {
            if total < least {
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
}

impl Glide {
    /// In how many milliseconds it has lost this amount, if all of it fades equally fast. Where things fade at several
    /// rates it takes longer; where a cap holds some of them up until then, less.
    pub(crate) fn time_to_lose(&self, amount: f64) -> f64 {
        time_to_lose(amount, self.fading, self.slope)
    }
}

fn slope(faded: f64, half_life: Millis) -> f64 {
    faded * std::f64::consts::LN_2 / millis_f64(half_life.get())
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
