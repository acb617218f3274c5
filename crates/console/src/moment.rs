//! Instants and lengths of time as people read them.

use jiff::Zoned;
use tasuki_domain::{Millis, Timestamp};

use crate::language::Language;
use crate::settings::Zone;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An instant on the calendar of the zone, to the minute: `Mon 23 Nov 2026, 18:30` or `2026年11月23日(月) 18:30`.
pub(crate) fn full(instant: Timestamp, zone: &Zone, language: Language) -> String {
    let Some(local) = local(instant, zone) else { return instant.to_string() };
    let (day, clock) = (weekday(&local, language), clock(&local));
    match language {
        Language::En => format!("{day} {} {} {}, {clock}", local.day(), month(local.month()), local.year()),
        Language::Ja => format!("{}年{}月{}日({day}) {clock}", local.year(), local.month(), local.day()),
    }
}

/// How long before or after `now`, in words: `3 h left`, `2 days overdue`.
pub(crate) fn deadline(due: Timestamp, now: Timestamp, language: Language) -> String {
    let left = due.since(now);
    if left.get() >= 0 {
        language.due_in(&length(left, language))
    } else {
        language.overdue_by(&length(now.since(due), language))
    }
}

/// How long ago, in words: `5 min ago`; after thirty days the day itself.
pub(crate) fn ago(instant: Timestamp, now: Timestamp, zone: &Zone, language: Language) -> String {
    let since = now.since(instant);
    if since.get() > 30 * DAY {
        return day(instant, zone, language);
    }
    language.ago(&length(Millis::new(since.get().max(0)), language))
}

/// A length of time in its one or two largest units; hours only up to two days.
pub(crate) fn length(length: Millis, language: Language) -> String {
    let millis = length.get().max(0);
    let (days, hours, minutes) = (millis / DAY, millis / HOUR, millis / MINUTE);
    let joined = |first: String, second: String| match language {
        Language::En => format!("{first} {second}"),
        Language::Ja => format!("{first}{second}"),
    };
    if days >= 2 {
        language.days(days)
    } else if hours >= 10 {
        language.hours(hours)
    } else if hours >= 1 && minutes % 60 > 0 {
        joined(language.hours(hours), language.minutes(minutes % 60))
    } else if hours >= 1 {
        language.hours(hours)
    } else if minutes >= 1 {
        language.minutes(minutes)
    } else {
        language.under_a_minute()
    }
}

/// What somebody says, on the calendar of the zone where it has no zone of its own: `2026-11-23T18:30`,
/// `2026-11-23T09:30:00Z`. `None` if it is no instant.
pub(crate) fn read(text: &str, zone: &Zone) -> Option<Timestamp> {
    let local = || {
        let said: jiff::civil::DateTime = text.parse().ok()?;
        Some(Timestamp::from_millis(said.to_zoned(zone.tz()).ok()?.timestamp().as_millisecond()))
    };
    text.parse().ok().or_else(local)
}

fn day(instant: Timestamp, zone: &Zone, language: Language) -> String {
    let Some(local) = local(instant, zone) else { return instant.to_string() };
    match language {
        Language::En => format!("{} {} {}", local.day(), month(local.month()), local.year()),
        Language::Ja => format!("{}年{}月{}日", local.year(), local.month(), local.day()),
    }
}

fn local(instant: Timestamp, zone: &Zone) -> Option<Zoned> {
    let instant = jiff::Timestamp::from_millisecond(instant.as_millis()).ok()?;
    Some(instant.to_zoned(zone.tz()))
}

fn clock(local: &Zoned) -> String {
    format!("{:02}:{:02}", local.hour(), local.minute())
}

fn weekday(local: &Zoned, language: Language) -> &'static str {
    use jiff::civil::Weekday;
    let (en, ja) = match local.weekday() {
        Weekday::Monday => ("Mon", "月"),
        Weekday::Tuesday => ("Tue", "火"),
        Weekday::Wednesday => ("Wed", "水"),
        Weekday::Thursday => ("Thu", "木"),
        Weekday::Friday => ("Fri", "金"),
        Weekday::Saturday => ("Sat", "土"),
        Weekday::Sunday => ("Sun", "日"),
    };
    match language {
        Language::En => en,
        Language::Ja => ja,
    }
}

fn month(month: i8) -> &'static str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    usize::try_from(month - 1).ok().and_then(|index| NAMES.get(index)).copied().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_stands_on_the_calendar_of_the_zone() {
        let instant: Timestamp = "2026-11-23T20:05:09Z".parse().unwrap();
        let tokyo: Zone = "Asia/Tokyo".parse().unwrap();
        assert_eq!(full(instant, &Zone::utc(), Language::En), "Mon 23 Nov 2026, 20:05");
        assert_eq!(full(instant, &tokyo, Language::En), "Tue 24 Nov 2026, 05:05");
        assert_eq!(full(instant, &tokyo, Language::Ja), "2026年11月24日(火) 05:05");
    }

    #[test]
    fn what_somebody_says_is_on_the_calendar_of_the_zone_unless_it_has_its_own() {
        let tokyo: Zone = "Asia/Tokyo".parse().unwrap();
        let expected: Timestamp = "2026-11-23T09:30:00Z".parse().unwrap();
        for text in ["2026-11-23T18:30", "2026-11-23T18:30:00", "2026-11-23T09:30:00Z", "2026-11-23T10:30:00+01:00"] {
            assert_eq!(read(text, &tokyo), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-11-31T00:00", "2026-11-23T25:00"] {
            assert_eq!(read(text, &tokyo), None, "{text:?}");
        }
    }

    #[test]
    fn lengths_are_said_in_one_or_two_units() {
        for (millis, en, ja) in [
            (0, "under a minute", "1分未満"),
            (MINUTE, "1 min", "1分"),
            (HOUR, "1 h", "1時間"),
            (3 * HOUR + 20 * MINUTE, "3 h 20 min", "3時間20分"),
            (47 * HOUR + 59 * MINUTE, "47 h", "47時間"),
            (2 * DAY, "2 days", "2日"),
        ] {
            assert_eq!(length(Millis::new(millis), Language::En), en);
            assert_eq!(length(Millis::new(millis), Language::Ja), ja);
        }
    }

    #[test]
    fn a_deadline_says_what_is_left_or_how_long_it_is_past() {
        let now = Timestamp::from_millis(1_795_426_200_000);
        assert_eq!(deadline(now + Millis::from_hours(4), now, Language::En), "4 h left");
        assert_eq!(deadline(now - Millis::from_hours(4), now, Language::Ja), "4時間超過");
        assert_eq!(ago(now - Millis::from_days(31), now, &Zone::utc(), Language::En), "23 Oct 2026");
        assert_eq!(ago(now + Millis::from_hours(1), now, &Zone::utc(), Language::En), "under a minute ago");
    }
}
