//! Dates as people and spreadsheets write them. What could be two dates is none.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use tasuki_domain::Timestamp;

/// Which comes first where the year stands last: 03/04/2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// The month.
    Mdy,
    /// The day.
    Dmy,
}

/// Why a text is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInstant {
    /// It has none of the known forms, or there is no such day or time.
    #[error(
        "is no date; known are 2026-11-03, 2026/11/3 14:05, 2026年11月3日, 令和8年11月3日, 3 Nov 2026, 20261103, Excel's 46329, each with or without a time"
    )]
    Form,
    /// Its year stands last, and it is not said what stands first.
    #[error("could be two dates; say --date-order mdy or dmy, or write the year first")]
    Order,
    /// Its year has two digits.
    #[error("has a year of two digits; write all four")]
    ShortYear,
    /// It has no offset, and no time zone is chosen.
    #[error("does not say its time zone; say --time-zone, for example Asia/Tokyo")]
    Zone,
}

/// How dates are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Where dates without an offset are from.
    pub zone: Option<TimeZone>,
    /// Which comes first where the year stands last.
    pub order: Option<DateOrder>,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Eras by what they are called; their first year.
const ERAS: [(&str, i16); 6] = [("令和", 2019), ("平成", 1989), ("昭和", 1926), ("r", 2019), ("h", 1989), ("s", 1926)];

/// Days of Excel's calendar that are believed to be dates: 1954 to 2064. Smaller numbers are numbers.
const SERIALS: std::ops::Range<f64> = 20_000.0..60_000.0;

impl Reading {
    /// The instant of a text in its plain form (NFKC), and of another that holds its time, if there is one. A date
    /// without a time is its first instant.
    ///
    /// # Errors
    ///
    /// If it is none, or could be several.
    pub fn instant(&self, date: &str, time: Option<&str>) -> Result<Timestamp, NoInstant> {
        let date = without_weekday(date.trim());
        if time.is_none()
            && let Ok(instant) = date.parse::<jiff::Timestamp>()
        {
            return Ok(Timestamp::from_millis(instant.as_millisecond()));
        }
        let (civil, offset) = match (serial(&date), time) {
            (Some(at), None) => (at, None),
            (Some(at), Some(time)) => {
                let (time, offset) = self::time(time)?;
                (at.date().to_datetime(time), offset)
            }
            (None, time) => {
                let (day, own) = split(&date);
                let (time, offset) = match time.or(own) {
                    Some(time) => self::time(time)?,
                    None => (Time::midnight(), None),
                };
                (self.day(day)?.to_datetime(time), offset)
            }
        };
        let zone = match offset {
            Some(offset) => offset.to_time_zone(),
            None => self.zone.clone().ok_or(NoInstant::Zone)?,
        };
        let instant = zone.to_timestamp(civil).map_err(|_| NoInstant::Form)?;
        Ok(Timestamp::from_millis(instant.as_millisecond()))
    }

    fn day(&self, text: &str) -> Result<Date, NoInstant> {
        let lower = text.to_lowercase();
        if lower.len() == 8 && lower.bytes().all(|byte| byte.is_ascii_digit()) {
            return date(&lower[..4], &lower[4..6], &lower[6..]);
        }
        for (era, first) in ERAS {
            if let Some(rest) = lower.strip_prefix(era)
                && rest.starts_with(|next: char| next.is_ascii_digit() || next == '元')
            {
                let parts = parts(&rest.replacen('元', "1", 1));
                let [year, month, day] = parts.as_slice() else { return Err(NoInstant::Form) };
                let year: i16 = year.parse().ok().filter(|year| (1..=99).contains(year)).ok_or(NoInstant::Form)?;
                return date(&(first + year - 1).to_string(), month, day);
            }
        }
        let parts = parts(&lower);
        let [a, b, c] = parts.as_slice() else { return Err(NoInstant::Form) };
        if let Some(index) = parts.iter().position(|part| month(part).is_some()) {
            let month = month(&parts[index]).unwrap_or_default().to_string();
            let others: Vec<&str> =
                parts.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, part)| part.as_str()).collect();
            return match others.as_slice() {
                [day, year] if year.len() == 4 => date(year, &month, day),
                [year, day] if year.len() == 4 => date(year, &month, day),
                _ => Err(NoInstant::ShortYear),
            };
        }
        match (a.len(), c.len(), self.order) {
            (4, ..) => date(a, b, c),
            (_, 4, Some(DateOrder::Mdy)) => date(c, a, b),
            (_, 4, Some(DateOrder::Dmy)) => date(c, b, a),
            (_, 4, None) => date(c, a, b).or_else(|_| date(c, b, a)).and(Err(NoInstant::Order)),
            _ => Err(NoInstant::ShortYear),
        }
    }
}

/// "(火)", "(Tue)" and "Tuesday," say nothing that the date does not.
fn without_weekday(text: &str) -> String {
    let mut kept = text.to_owned();
    if let (Some(open), Some(close)) = (kept.find('('), kept.find(')'))
        && open < close
        && close - open <= 12
    {
        kept.replace_range(open..=close, " ");
    }
    let first: String = kept.chars().take_while(|next| next.is_alphabetic()).collect();
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    if first.is_ascii() && days.iter().any(|day| first.to_ascii_lowercase().starts_with(day)) {
        kept.replace_range(..first.len(), "");
    }
    kept.trim_matches([' ', ',']).to_owned()
}

/// A day of Excel's calendar (of Windows, from 1900), with its time as a fraction.
fn serial(text: &str) -> Option<DateTime> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let serial: f64 = text.parse().ok().filter(|serial| SERIALS.contains(serial))?;
    // 25569 is 1970-01-01. To the second: fractions of days are no finer.
    #[allow(clippy::cast_possible_truncation, reason = "far within 64 bits: see SERIALS")]
    let seconds = ((serial - 25_569.0) * 86_400.0).round() as i64;
    Some(Offset::UTC.to_datetime(jiff::Timestamp::from_second(seconds).ok()?))
}

/// The day, and the time behind it.
fn split(text: &str) -> (&str, Option<&str>) {
    let time_follows = |rest: &str| {
        let rest = rest.trim_start();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        ["午前", "午後"].iter().any(|half| rest.starts_with(half))
            || ((1..=2).contains(&digits) && rest[digits..].starts_with([':', '時']))
    };
    for (index, character) in text.char_indices() {
        let behind = &text[index + character.len_utf8()..];
        let parts = matches!(character, ' ' | 'T' | 't' | '日' | '\n' | ',');
        if parts && time_follows(behind) {
            return (text[..index].trim(), Some(behind.trim()));
        }
    }
    (text, None)
}

fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut kind = None;
    for character in text.chars() {
        let next = if character.is_ascii_digit() {
            Some(true)
        } else if character.is_ascii_alphabetic() {
            Some(false)
        } else {
            None
        };
        match (next, parts.last_mut()) {
            (None, _) if " -/.,年月日'\t".contains(character) => {}
            // Anything else is no date; a part nobody can read says so.
            (None, _) => parts.push(String::new()),
            (Some(_), Some(part)) if next == kind => part.push(character),
            (Some(_), _) => parts.push(character.to_string()),
        }
        kind = next;
    }
    // "3rd" is 3.
    parts.retain(|part| !["st", "nd", "rd", "th"].contains(&part.as_str()));
    parts
}

fn month(name: &str) -> Option<usize> {
    let full = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let index = MONTHS.iter().position(|month| *month == name).or_else(|| full.iter().position(|month| *month == name));
    index.or((name == "sept").then_some(8)).map(|index| index + 1)
}

fn date(year: &str, month: &str, day: &str) -> Result<Date, NoInstant> {
    let number = |text: &str, digits: usize| (text.len() <= digits).then(|| text.parse::<i16>().ok()).flatten();
    let (year, month, day) = (number(year, 4), number(month, 2), number(day, 2));
    let small = |number: Option<i16>| number.and_then(|number| i8::try_from(number).ok());
    let (Some(year), Some(month), Some(day)) = (year, small(month), small(day)) else { return Err(NoInstant::Form) };
    // Before 1970 nobody was tracked.
    Date::new(year, month, day).ok().filter(|_| year >= 1970).ok_or(NoInstant::Form)
}

/// A time of day, and its offset from UTC if it says one.
fn time(text: &str) -> Result<(Time, Option<Offset>), NoInstant> {
    let mut text = text.trim().to_lowercase();
    let mut half = None;
    for (name, afternoon) in
        [("午前", false), ("午後", true), ("a.m.", false), ("p.m.", true), ("am", false), ("pm", true)]
    {
        if let Some(at) = text.find(name) {
            text.replace_range(at..at + name.len(), " ");
            half = Some(afternoon);
        }
    }
    let text = text.trim();
    if half.is_none()
        && let Some(fraction) =
            text.parse::<f64>().ok().filter(|fraction| (0.0..1.0).contains(fraction) && text.contains('.'))
    {
        // Excel's time of day: a fraction of it.
        return serial(&(SERIALS.start + fraction).to_string()).map(|at| (at.time(), None)).ok_or(NoInstant::Form);
    }
    let end = text.find(|next: char| !next.is_ascii_digit() && !":.時分秒".contains(next)).unwrap_or(text.len());
    let (clock, zone) = (text[..end].trim_end_matches(['分', '秒', '時']), text[end..].trim());
    let offset = match zone {
        "" => None,
        "z" | "utc" | "gmt" => Some(Offset::UTC),
        "jst" => Some(Offset::constant(9)),
        other => Some(offset(other)?),
    };
    let parts: Vec<&str> = clock.split([':', '時', '分']).collect();
    let number = |text: &str| (text.len() <= 2).then(|| text.parse::<i8>().ok()).flatten().ok_or(NoInstant::Form);
    let (hour, minute, second) = match parts.as_slice() {
        [hour] => (number(hour)?, 0, 0),
        [hour, minute] => (number(hour)?, number(minute)?, 0),
        [hour, minute, second] => {
            (number(hour)?, number(minute)?, number(second.split('.').next().unwrap_or_default())?)
        }
        _ => return Err(NoInstant::Form),
    };
    let hour = match half {
        None => hour,
        // 午前0時 and 12 am are midnight.
        Some(afternoon) if (0..=12).contains(&hour) => hour % 12 + if afternoon { 12 } else { 0 },
        Some(_) => return Err(NoInstant::Form),
    };
    Time::new(hour, minute, second, 0).map(|time| (time, offset)).map_err(|_| NoInstant::Form)
}

fn offset(text: &str) -> Result<Offset, NoInstant> {
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(NoInstant::Form),
    };
    let digits: String = text[1..].chars().filter(|digit| *digit != ':').collect();
    let number = |text: &str| text.parse::<i32>().map_err(|_| NoInstant::Form);
    let (hours, minutes) = match digits.len() {
        1 | 2 => (number(&digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        _ => return Err(NoInstant::Form),
    };
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).map_err(|_| NoInstant::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokyo(order: Option<DateOrder>) -> Reading {
        Reading { zone: TimeZone::get("Asia/Tokyo").ok(), order }
    }

    fn read(text: &str) -> Result<String, NoInstant> {
        tokyo(None).instant(text, None).map(|at| at.to_string())
    }

    #[test]
    fn one_day_in_all_the_forms_people_write() {
        for text in [
            "2026-11-03",
            "2026/11/3",
            "2026/11/03",
            "2026.11.3",
            "2026年11月3日",
            "2026年11月3日(火)",
            "令和8年11月3日",
            "R8.11.3",
            "r8/11/3",
            "3 Nov 2026",
            "3-Nov-2026",
            "Nov 3, 2026",
            "November 3rd, 2026",
            "Tuesday, 3 November 2026",
            "20261103",
            "46329",
            "46329.0",
            "2026-11-03 0:00",
            "2026-11-02T15:00:00Z",
            "2026/11/03(火)",
            "2026 Nov 3",
        ] {
            assert_eq!(read(text).as_deref(), Ok("2026-11-02T15:00:00.000Z"), "{text}");
        }
        assert_eq!(read("令和元年5月1日").as_deref(), Ok("2019-04-30T15:00:00.000Z"));
        assert_eq!(read("平成31年4月30日").as_deref(), Ok("2019-04-29T15:00:00.000Z"));
    }

    #[test]
    fn one_instant_in_all_the_forms_people_write() {
        for text in [
            "2026-11-03 14:05",
            "2026/11/3 14:05:00",
            "2026-11-03T14:05",
            "2026年11月3日14時05分",
            "2026年11月3日 午後2:05",
            "2026/11/3(火) 14:05",
            "3 Nov 2026 2:05 PM",
            "Nov 3, 2026, 2:05 pm",
            "2026-11-03 05:05 UTC",
            "2026-11-03T14:05:00+09:00",
            "2026-11-03 06:05 +0100",
            "46329.586805556",
            "2026-11-03T05:05:00.000Z",
            "20261103 14:05",
        ] {
            assert_eq!(read(text).as_deref(), Ok("2026-11-03T05:05:00.000Z"), "{text}");
        }
        let two = |date, time| tokyo(None).instant(date, Some(time)).map(|at| at.to_string());
        for (date, time) in
            [("2026/11/3", "14:05"), ("46329", "14:05"), ("2026/11/3", "0.586805556"), ("2026/11/3", "午後2時5分")]
        {
            assert_eq!(two(date, time).as_deref(), Ok("2026-11-03T05:05:00.000Z"), "{date} {time}");
        }
    }

    #[test]
    fn what_could_be_two_dates_is_none_until_it_is_said_which() {
        assert_eq!(read("3/4/2026"), Err(NoInstant::Order));
        assert_eq!(read("03.11.2026 10:00"), Err(NoInstant::Order));
        let by = |order| tokyo(Some(order)).instant("3/4/2026", None).map(|at| at.to_string());
        assert_eq!(by(DateOrder::Mdy).as_deref(), Ok("2026-03-03T15:00:00.000Z"));
        assert_eq!(by(DateOrder::Dmy).as_deref(), Ok("2026-04-02T15:00:00.000Z"));
        assert_eq!(read("26/11/3"), Err(NoInstant::ShortYear));
        assert_eq!(read("3-Nov-26"), Err(NoInstant::ShortYear));
        assert_eq!(Reading::default().instant("2026-11-03", None), Err(NoInstant::Zone));
        assert!(Reading::default().instant("2026-11-03 10:00+09:00", None).is_ok(), "says its own");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "-",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "2026-11-03 25:00",
            "12",
            "1234567",
            "99999",
            "2026-11",
            "11-03",
            "2026-11-03 10:00 abc",
            "2026-11-03-04",
            "１",
            "令和0年1月1日",
            "2026/11/3 13:00 PM",
            "0026-11-03",
            "#VALUE!",
        ] {
            assert!(matches!(read(text), Err(NoInstant::Form | NoInstant::ShortYear)), "{text}: {:?}", read(text));
        }
    }
}
