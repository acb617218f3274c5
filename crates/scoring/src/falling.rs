//! What several rules are worth together while nothing new comes: it only falls, rule by rule rounded to millipoints.
//!
//! In a stretch of time in which no signal begins or ceases to fade or loses points at once, a rule is worth
//! `c + d * 2^(-t/h)` or `c + d - s * t` up to its cap, one term for all of its signals, and a group of rules their sum up
//! to its own cap. For rules that take points away, the same holds of what they take.

use tasuki_domain::{Millipoints, Millis, Timestamp};
use tasuki_playbook::{Decay, Group, MOST_GROUPS};

use crate::decay::{FINE_BITS, Fine, ONE, capped, from_f64, millis_f64, remaining, rounded, surely_rounded};
use crate::engagement::{Matched, Sum};

/// Most losses of a millipoint that are followed one by one.
const MOST_DROPS: usize = 200;
const ONE_MILLIPOINT: Millipoints = Millipoints::new(1);

/// Terms with the instant from which they hold; those of one half-life stand together, so that what is left at an
/// instant is worked out once for them all.
#[derive(Debug)]
pub(crate) struct Falling<'t> {
    start: Timestamp,
    terms: &'t [Term],
    groups: &'t [Group],
}

/// What a rule is worth, or takes: nothing here is below zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    constant: Fine,
    /// At the start.
    fading: f64,
    half_life: Option<Millis>,
    /// What is lost in each millisecond where that is always the same; zero where there is a half-life.
    loss: f64,
    cap: Option<Millipoints>,
    /// Its place among the groups; behind the last if it is in none.
    group: usize,
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
    /// Some of it gets less evenly.
    evenly: bool,
}

/// When a rule is next rounded to a millipoint less, in milliseconds.
struct Drop {
    at: f64,
    /// What it loses until then.
    excess: f64,
    faded: f64,
    slope: f64,
    evenly: bool,
    group: usize,
}

/// One for each group, and one for the rules that are in none.
type ByGroup<T> = [T; MOST_GROUPS + 1];

impl Term {
    /// Of a rule whose signals are worth so much at the start.
    pub(crate) fn of(matched: &Matched<'_>, &Sum { constant, fading, active, .. }: &Sum) -> Self {
        let (half_life, loss) = match matched.rule.decay {
            Decay::HalfLife(half_life) => (Some(half_life), 0.0),
            Decay::Linear(over) => {
                let points = millis_f64(matched.rule.points.get().abs()) * ONE;
                (None, f64::from(active) * points / millis_f64(over.get()))
            }
            Decay::Stays | Decay::Steps(_) | Decay::Window(_) => (None, 0.0),
        };
        let last_places = (matched.rule.points.get().abs() << FINE_BITS) >> 49;
        Self {
            constant: constant.abs(),
            fading: millis_f64(fading.abs()),
            half_life,
            loss,
            cap: matched.rule.cap,
            group: matched.rule.group.unwrap_or(MOST_GROUPS),
            fuzz: i64::from(matched.tally.matches) * (2 + last_places),
        }
    }

    pub(crate) fn half_life(&self) -> Option<Millis> {
        self.half_life
    }
}

impl<'t> Falling<'t> {
    /// Terms that hold from this instant on, ordered by their half-lives, in these groups.
    pub(crate) fn new(start: Timestamp, terms: &'t [Term], groups: &'t [Group]) -> Self {
        Self { start, terms, groups }
    }

    /// How far all may be from what they are without rounding, and a little more.
    pub(crate) fn margin(&self) -> f64 {
        (self.terms.len() as f64 + 1.0) / 2.0 * ONE
    }

    /// What is left of what fades, for each term.
    #[inline]
    fn faded(&self, instant: Timestamp) -> impl Iterator<Item = (&'t Term, f64)> {
        let passed = instant.since(self.start);
        let (mut half_life, mut left) = (None, 1.0);
        self.terms.iter().map(move |term| {
            if term.half_life != half_life {
                half_life = term.half_life;
                left = half_life.map_or(1.0, |half_life| remaining(half_life, passed));
            }
            (term, (term.fading * left - term.loss * millis_f64(passed.get())).max(0.0))
        })
    }

    pub(crate) fn at(&self, instant: Timestamp) -> Worth {
        let mut sums: ByGroup<Millipoints> = [Millipoints::ZERO; MOST_GROUPS + 1];
        let mut sure = true;
        for (term, faded) in self.faded(instant) {
            let amount = capped(term.constant.saturating_add(from_f64(faded)), term.cap);
            sums[term.group] += rounded(amount);
            sure &= surely_rounded(amount, term.fuzz);
        }
        Worth { points: self.up_to_caps(&sums), sure }
    }

    fn up_to_caps(&self, sums: &ByGroup<Millipoints>) -> Millipoints {
        let [in_groups @ .., others] = sums;
        *others + self.groups.iter().zip(in_groups).map(|(group, sum)| group.cap.min(*sum)).sum::<Millipoints>()
    }

    /// What the rules are worth and how fast they lose it, without rounding.
    pub(crate) fn glide(&self, instant: Timestamp) -> Glide {
        let mut others = Glide::NOTHING;
        if self.groups.is_empty() {
            self.faded(instant).for_each(|(term, faded)| others.add(term.glide(faded)));
            return others;
        }
        let mut glides: ByGroup<Glide> = [Glide::NOTHING; MOST_GROUPS + 1];
        self.faded(instant).for_each(|(term, faded)| glides[term.group].add(term.glide(faded)));
        let [in_groups @ .., mut all] = glides;
        for (group, glide) in self.groups.iter().zip(in_groups) {
            all.add(glide.up_to(millis_f64(group.cap.get()) * ONE));
        }
        all
    }

    /// When so many rules have lost a millipoint by rounding that all are below a number of points, going on from an
    /// instant near it; a guess, since it is not computed to the last place.
    pub(crate) fn drop_below(&self, least: Millipoints, from: Timestamp) -> Option<Timestamp> {
        let mut drops = Vec::with_capacity(self.terms.len());
        let mut sums: ByGroup<Millipoints> = [Millipoints::ZERO; MOST_GROUPS + 1];
        for (term, faded) in self.faded(from) {
            let worth = millis_f64(term.constant) + faded;
            let points = rounded(capped(from_f64(worth), term.cap));
            sums[term.group] += points;
            let (slope, evenly) = (term.slope(faded), term.loss > 0.0);
            if slope > 0.0 {
                let excess = worth - (millis_f64(points.get()) - 0.5) * ONE;
                let at = time_to_lose(excess, faded, slope, evenly);
                drops.push(Drop { at, excess, faded, slope, evenly, group: term.group });
            }
        }
        let mut last: f64 = 0.0;
        for _ in 0..MOST_DROPS {
            if self.up_to_caps(&sums) < least {
                return Some(from + Millis::new(from_f64(last.min(1e15)) + 1));
            }
            let drop = drops.iter_mut().min_by(|a, b| a.at.total_cmp(&b.at))?;
            sums[drop.group] = sums[drop.group] - ONE_MILLIPOINT;
            last = drop.at;
            drop.excess += ONE;
            drop.at = time_to_lose(drop.excess, drop.faded, drop.slope, drop.evenly);
        }
        None
    }
}

impl Term {
    /// How much it loses in a millisecond while so much of it fades.
    fn slope(&self, faded: f64) -> f64 {
        match self.half_life {
            Some(half_life) => faded * std::f64::consts::LN_2 / millis_f64(half_life.get()),
            None if faded > 0.0 => self.loss,
            None => 0.0,
        }
    }

    /// While so much of it fades.
    #[inline]
    fn glide(&self, faded: f64) -> Glide {
        let glide = Glide {
            value: millis_f64(self.constant) + faded,
            fading: faded,
            slope: self.slope(faded),
            evenly: self.loss > 0.0,
        };
        glide.up_to(self.cap.map_or(f64::INFINITY, |cap| millis_f64(cap.get()) * ONE))
    }
}

impl Glide {
    const NOTHING: Self = Self { value: 0.0, fading: 0.0, slope: 0.0, evenly: false };

    fn add(&mut self, other: Self) {
        self.value += other.value;
        self.fading += other.fading;
        self.slope += other.slope;
        self.evenly |= other.evenly;
    }

    /// What is above a cap does not lose anything yet.
    fn up_to(self, cap: f64) -> Self {
        if self.value < cap { self } else { Self { value: cap, ..Self::NOTHING } }
    }

    /// In how many milliseconds it has lost this amount, if all of it fades equally fast. Where things fade at several
    /// rates it takes longer; where a cap holds some of them up until then, less.
    pub(crate) fn time_to_lose(&self, amount: f64) -> f64 {
        time_to_lose(amount, self.fading, self.slope, self.evenly)
    }
}

/// In how many milliseconds something that now loses so much in each loses an amount: as something with one half-life
/// does, or evenly.
fn time_to_lose(amount: f64, of: f64, slope: f64, evenly: bool) -> f64 {
    if slope <= 0.0 {
        return f64::INFINITY;
    }
    let part = amount / of;
    let lost = if part >= 1.0 {
        return f64::INFINITY;
    } else if evenly {
        part
    } else if part < 1e-3 {
        // The first terms of the series of the logarithm are it to within 10^-12.
        part * (1.0 + part * (0.5 + part * (1.0 / 3.0)))
    } else {
        -(1.0 - part).ln()
    };
    lost * of / slope
}
