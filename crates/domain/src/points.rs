//! Points, as integers, so that sums are exact on every machine.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};

/// Thousandths of a point; may be negative. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millipoints(i64);

impl Millipoints {
    /// No points.
    pub const ZERO: Self = Self(0);

    /// So many thousandths of a point.
    pub const fn new(thousandths: i64) -> Self {
        Self(thousandths)
    }

    /// So many whole points.
    pub const fn from_points(points: i32) -> Self {
        // A 32-bit number times a thousand always fits in 64 bits.
        Self(points as i64 * 1_000)
    }

    /// In thousandths of a point.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl Add for Millipoints {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Millipoints {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Millipoints {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Millipoints {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Sum for Millipoints {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Self::add)
    }
}

impl fmt::Display for Millipoints {
    /// In points with exactly as many decimals as needed: `12`, `-0.5`, `3.125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.unsigned_abs() / 1_000, self.0.unsigned_abs() % 1_000);
        let sign = if self.0 < 0 { "-" } else { "" };
        if rest == 0 {
            write!(f, "{sign}{whole}")
        } else {
            write!(f, "{sign}{whole}.{}", format!("{rest:03}").trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_points() {
        for (thousandths, text) in [(12_000, "12"), (-500, "-0.5"), (3_125, "3.125"), (-1_050, "-1.05"), (0, "0")] {
            assert_eq!(Millipoints::new(thousandths).to_string(), text);
        }
    }

    #[test]
    fn sums_saturate() {
        let sum: Millipoints = [Millipoints::new(i64::MAX), Millipoints::from_points(1)].into_iter().sum();
        assert_eq!(sum.get(), i64::MAX);
    }
}
