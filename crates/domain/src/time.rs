//! Instants and lengths of time. Every instant in Tasuki is data that came with an event.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

/// An instant, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Bounds: years -9999 to 9999 when printed; arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A length of time in whole milliseconds; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(i64);

/// The text is not an instant.
#[derive(Debug, thiserror::Error)]
#[error("not an instant; expected ISO 8601 with a zone, for example 2026-11-23T09:30:00Z: {0}")]
pub struct InvalidTimestamp(jiff::Error);

impl Timestamp {
    /// The instant so many milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; negative if it is before.
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Millis {
    /// So many milliseconds.
    pub const fn new(millis: i64) -> Self {
        Self(millis)
    }

    /// So many seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// So many hours of 3,600 seconds.
    pub const fn from_hours(hours: i64) -> Self {
        Self(hours.saturating_mul(3_600_000))
    }

    /// So many days of 24 hours.
    pub const fn from_days(days: i64) -> Self {
        Self(days.saturating_mul(86_400_000))
    }

    /// In milliseconds.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl Add<Millis> for Timestamp {
    type Output = Self;
    fn add(self, length: Millis) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Self;
    fn sub(self, length: Millis) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads ISO 8601 / RFC 3339 with a zone; what is finer than a millisecond is cut off.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let instant: jiff::Timestamp = text.parse().map_err(InvalidTimestamp)?;
        Ok(Self(instant.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    /// ISO 8601 in UTC with three decimals: `2026-11-23T09:30:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_milliseconds_in_utc() {
        let read: Timestamp = "2026-11-23T18:30:00.1239+09:00".parse().unwrap();
        assert_eq!(read.to_string(), "2026-11-23T09:30:00.123Z");
        assert_eq!(read.as_millis(), 1_795_426_200_123);
    }

    #[test]
    fn refuses_what_has_no_zone() {
        assert!("2026-11-23T18:30:00".parse::<Timestamp>().is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn prints_even_what_no_calendar_holds() {
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), format!("{}ms", i64::MAX));
    }
}
