//! How points fade, in integers.
//!
//! Inside a rule, amounts are millipoints with 32 binary digits behind the point: sums are exact, in any order, and
//! fit: 500 signals of 1,000 points need 61 bits. A rule's amount is rounded to millipoints once, after its cap.

use tasuki_domain::{Millipoints, Millis};

/// Millipoints times 2^32.
pub(crate) type Fine = i64;

const FINE_BITS: u32 = 32;
const ONE: f64 = 4_294_967_296.0;

/// What is left of these points at this age.
pub(crate) fn decayed(points: Millipoints, half_life: Option<Millis>, age: Millis) -> Fine {
    match half_life {
        Some(half_life) if age.get() > 0 => from_f64(millis_f64(points.get()) * ONE * remaining(half_life, age)),
        Some(_) | None => points.get().saturating_mul(1 << FINE_BITS),
    }
}

/// The part that is left at this age: a half after one half-life. The same bits on every machine, since `exp2` is
/// computed by a library and not by the processor.
pub(crate) fn remaining(half_life: Millis, age: Millis) -> f64 {
    libm::exp2(-(millis_f64(age.get()) / millis_f64(half_life.get())))
}

/// Within the cap of a rule, whichever the sign.
pub(crate) fn capped(sum: Fine, cap: Option<Millipoints>) -> Fine {
    match cap {
        Some(cap) => {
            let most = cap.get().saturating_mul(1 << FINE_BITS);
            sum.clamp(-most, most)
        }
        None => sum,
    }
}

/// To millipoints; halves go away from zero.
pub(crate) fn rounded(amount: Fine) -> Millipoints {
    let half = 1 << (FINE_BITS - 1);
    let magnitude = amount.abs().saturating_add(half) >> FINE_BITS;
    Millipoints::new(if amount < 0 { -magnitude } else { magnitude })
}

/// To the nearest whole number. (The library's rounding does the same, ten times slower.)
pub(crate) fn from_f64(amount: f64) -> Fine {
    let half = if amount < 0.0 { -0.5 } else { 0.5 };
    #[allow(clippy::cast_possible_truncation, reason = "cuts off, and sums stay within 61 bits, see above")]
    let whole = (amount + half) as i64;
    whole
}

/// Whether an amount that is known to within `fuzz` is rounded to the same millipoints wherever in there it lies.
pub(crate) fn surely_rounded(amount: Fine, fuzz: Fine) -> bool {
    rounded(amount.saturating_sub(fuzz)) == rounded(amount.saturating_add(fuzz))
}

/// Exact up to 2^53, which is 285,000 years of milliseconds, and beyond what points can be.
pub(crate) fn millis_f64(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_left_after_a_half_life() {
        let (points, half_life) = (Millipoints::from_points(30), Some(Millis::from_days(30)));
        for (age, left) in [(Millis::new(-5), 30_000), (Millis::from_days(30), 15_000), (Millis::from_days(60), 7_500)]
        {
            assert_eq!(rounded(decayed(points, half_life, age)), Millipoints::new(left));
        }
        assert_eq!(rounded(decayed(-points, half_life, Millis::from_days(15))), Millipoints::new(-21_213));
        assert_eq!(decayed(points, None, Millis::from_days(399)), 30_000 << 32);
    }

    #[test]
    fn halves_are_rounded_away_from_zero_and_caps_hold_both_ways() {
        let half = 1 << 31;
        assert_eq!([half, half - 1, -half, 1 - half].map(|fine| rounded(fine).get()), [1, 0, -1, 0]);
        let cap = Some(Millipoints::new(2));
        assert_eq!([9 << 32, -(9 << 32), 1 << 32].map(|sum| rounded(capped(sum, cap)).get()), [2, -2, 1]);
    }
}
