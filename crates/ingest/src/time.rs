//! When an event happened, from what the tracker's clock and ours say.

use tasuki_domain::{Millis, Timestamp};

/// From this difference on between the tracker's sending time and our receiving time its clock is held to be wrong.
const CLOCK_TOLERANCE: Millis = Millis::from_seconds(5 * 60);

/// What a tracker says about time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When it happened, by the tracker's clock.
    pub happened: Reported,
    /// When the request was sent, by the same clock.
    pub sent: Option<Timestamp>,
    /// The sender vouches for `happened`: not to be corrected.
    pub vouched: bool,
}

/// An instant as a tracker reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reported {
    /// It said nothing.
    #[default]
    Absent,
    /// It said something that is no instant.
    Unreadable,
    /// It said when.
    At(Timestamp),
    /// It said when, without a time zone; UTC is assumed.
    AtWithoutZone(Timestamp),
}

impl Reported {
    /// Reads an instant: ISO 8601, or seconds or milliseconds since 1970.
    pub fn read(text: Option<&str>) -> Self {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Self::Absent };
        if let Ok(number) = text.parse::<f64>() {
            return Self::from_epoch(number);
        }
        let at = |text: &str| text.parse::<Timestamp>().ok().filter(|at| plausible(*at));
        match at(text) {
            Some(instant) => Self::At(instant),
            None => at(&format!("{text}Z")).map_or(Self::Unreadable, Self::AtWithoutZone),
        }
    }

    /// The instant, if there is one.
    pub const fn instant(self) -> Option<Timestamp> {
        match self {
            Self::At(instant) | Self::AtWithoutZone(instant) => Some(instant),
            Self::Absent | Self::Unreadable => None,
        }
    }

    fn from_epoch(number: f64) -> Self {
        // Milliseconds of 1973 and seconds of the year 5138 meet here.
        let millis = if number.abs() >= 1e11 { number } else { number * 1_000.0 };
        if !(0.0..253_402_300_800_000.0).contains(&millis) {
            return Self::Unreadable;
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked to lie between 1970 and 9999, far within 64 bits")]
        Self::At(Timestamp::from_millis(millis as i64))
    }
}

/// Years 1970 to 9999; whatever lies outside is a defect of the sender's.
fn plausible(at: Timestamp) -> bool {
    (0..253_402_300_800_000).contains(&at.as_millis())
}

impl Times {
    /// When it happened, and what was doubted about it.
    ///
    /// The tracker's word is taken, unless its sending time is over five minutes away from our receiving time: then
    /// its clock is wrong, but differences on it are right, so it happened `sent - happened` before we received it.
    /// Nothing happens after it was received.
    pub fn occurred_at(self, received: Timestamp, flags: &mut Vec<&'static str>) -> Timestamp {
        let happened = match self.happened {
            Reported::Absent => return received,
            Reported::Unreadable => {
                flags.push("bad-timestamp");
                return received;
            }
            Reported::At(instant) => instant,
            Reported::AtWithoutZone(instant) => {
                flags.push("time-zone-assumed");
                instant
            }
        };
        let mut occurred = happened;
        if let (Some(sent), false) = (self.sent, self.vouched) {
            let skew = received.since(sent).get().saturating_abs();
            if skew > CLOCK_TOLERANCE.get() {
                flags.push("time-corrected");
                occurred = received - sent.since(happened);
            }
        }
        if occurred > received {
            flags.push("time-clamped");
            return received;
        }
        occurred
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "2026-11-22T12:00:00Z";

    fn occurred(happened: &str, sent: Option<&str>, vouched: bool) -> (String, Vec<&'static str>) {
        let times = Times { happened: Reported::read(Some(happened)), sent: sent.map(|s| s.parse().unwrap()), vouched };
        let mut flags = Vec::new();
        (times.occurred_at(NOON.parse().unwrap(), &mut flags).to_string(), flags)
    }

    #[test]
    fn takes_the_trackers_word_while_its_clock_is_right() {
        assert_eq!(
            occurred("2025-01-02T03:04:05.006Z", Some("2026-11-22T11:56:00Z"), false),
            ("2025-01-02T03:04:05.006Z".to_owned(), vec![])
        );
    }

    #[test]
    fn corrects_by_the_difference_on_the_trackers_clock_when_it_is_wrong() {
        assert_eq!(
            occurred("2026-11-22T08:00:00Z", Some("2026-11-22T08:00:30Z"), false),
            ("2026-11-22T11:59:30.000Z".to_owned(), vec!["time-corrected"])
        );
        assert_eq!(
            occurred("2026-11-22T08:00:00Z", Some("2026-11-22T08:00:30Z"), true),
            ("2026-11-22T08:00:00.000Z".to_owned(), vec![]),
            "a time the sender vouches for stands"
        );
    }

    #[test]
    fn nothing_happens_after_it_was_received() {
        assert_eq!(occurred("2026-11-22T12:00:01Z", None, false), (NOON.replace('Z', ".000Z"), vec!["time-clamped"]));
    }

    #[test]
    fn what_is_no_instant_happened_when_it_was_received() {
        for text in ["yesterday", "-5", "1e300", "NaN", "0000-01-01T00:00:00Z", "2026-13-01T00:00:00Z"] {
            assert_eq!(occurred(text, None, false), (NOON.replace('Z', ".000Z"), vec!["bad-timestamp"]), "{text}");
        }
        let mut flags = Vec::new();
        let received = NOON.parse().unwrap();
        assert_eq!((Times::default().occurred_at(received, &mut flags), flags), (received, vec![]));
    }

    #[test]
    fn reads_the_forms_trackers_use() {
        let read = |text| Reported::read(Some(text)).instant().map(|at| at.to_string());
        let expected = Some("2026-11-22T04:36:40.843Z".to_owned());
        assert_eq!(read("1795322200843"), expected);
        assert_eq!(read("1795322200.8431"), expected);
        assert_eq!(read("2026-11-22T04:36:40.843291+00:00"), expected);
        assert_eq!(read("2026-11-22 04:36:40.843Z"), expected);
        assert_eq!(read("2026-11-22T05:36:40.843+0100"), expected);
        assert_eq!(
            Reported::read(Some("2026-11-22T04:36:40.843")),
            Reported::AtWithoutZone("2026-11-22T04:36:40.843Z".parse().unwrap())
        );
    }
}
