//! Phone numbers, in the form in which one line has one text.
//!
//! A rule of our own instead of a port of libphonenumber, whose tables are larger than this crate: what is wanted is one form
//! for one line, not whether the line exists. A number that is not understood is no identifier, and stays an attribute.

use std::fmt;
use std::str::FromStr;

/// A phone number as ITU-T E.164 has it: `+`, country code and national number, at most 15 digits.
///
/// `Debug` does not show it, since debug output reaches logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(String);

/// Why a text is no phone number that somebody can be known by. Does not repeat the text: it may be personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhone {
    /// Signs that no number has, or neither `+` nor what a national number begins with.
    #[error("a phone number is \"+\" and digits, or a national number as it is dialled at home")]
    Form,
    /// More or fewer digits than numbers of the country have.
    #[error("a phone number has as many digits as its country gives it, and at most 15")]
    Length,
    /// The line of a house with somebody's extension: without it everybody's, with it no number.
    #[error("a phone number with an extension is that of a switchboard")]
    Extension,
    /// Typed to be let through: 000-0000-0000, 090-1111-1111, 0123456789.
    #[error("the number is a placeholder")]
    Placeholder,
}

/// A country in which numbers without country code are at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region(&'static Plan);

/// A country whose numbers are not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a country whose phone numbers are known: expected two letters, for example JP, US or DE")]
pub struct UnknownRegion;

/// How numbers of a country are written and dialled.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// ISO 3166-1.
    name: &'static str,
    code: &'static str,
    /// What is dialled before a national number, and stands in no number from abroad.
    trunk: &'static str,
    /// What is dialled to call abroad.
    abroad: &'static str,
    /// Digits of a national number, without trunk prefix.
    digits: (usize, usize),
    /// What numbers begin with that many call and nobody is known by: toll-free, shared cost, premium rate.
    shared: &'static [&'static str],
}

const fn plan(
    name: &'static str,
    code: &'static str,
    (trunk, abroad): (&'static str, &'static str),
    digits: (usize, usize),
    shared: &'static [&'static str],
) -> Plan {
    Plan { name, code, trunk, abroad, digits, shared }
}

const NANP: &[&str] = &["800", "822", "833", "844", "855", "866", "877", "888", "900"];

/// The numbering plans that national regulators publish through the ITU. The first of several with one code stands for
/// all of them.
const PLANS: [Plan; 34] = [
    plan("JP", "81", ("0", "010"), (9, 10), &["120", "800", "570", "990", "180", "170"]),
    plan("US", "1", ("1", "011"), (10, 10), NANP),
    plan("CA", "1", ("1", "011"), (10, 10), NANP),
    plan("KR", "82", ("0", "00"), (8, 10), &["80", "60", "30", "15", "16", "18"]),
    plan("CN", "86", ("0", "00"), (9, 11), &["400", "800"]),
    plan("TW", "886", ("0", "00"), (8, 9), &["800", "809", "20"]),
    plan("HK", "852", ("", "001"), (8, 8), &["800", "900"]),
    plan("SG", "65", ("", "00"), (8, 8), &[]),
    plan("IN", "91", ("0", "00"), (10, 10), &["1800", "1860"]),
    plan("TH", "66", ("0", "00"), (8, 9), &["1800"]),
    plan("VN", "84", ("0", "00"), (9, 10), &["1800", "1900"]),
    plan("ID", "62", ("0", "00"), (8, 12), &["800", "804"]),
    plan("MY", "60", ("0", "00"), (8, 10), &["1800", "1300"]),
    plan("PH", "63", ("0", "00"), (8, 10), &["1800"]),
    plan("AU", "61", ("0", "0011"), (9, 9), &["1800", "1300"]),
    plan("NZ", "64", ("0", "00"), (8, 10), &["800", "508", "900"]),
    plan("GB", "44", ("0", "00"), (9, 10), &["800", "808", "84", "87", "9", "3"]),
    plan("IE", "353", ("0", "00"), (7, 9), &["1800", "1850", "1890"]),
    plan("DE", "49", ("0", "00"), (7, 12), &["800", "180", "137", "900"]),
    plan("AT", "43", ("0", "00"), (7, 12), &["800", "810", "820", "900"]),
    plan("CH", "41", ("0", "00"), (9, 9), &["800", "84", "90"]),
    plan("FR", "33", ("0", "00"), (9, 9), &["80", "81", "82", "89"]),
    plan("BE", "32", ("0", "00"), (8, 9), &["800", "78", "70", "90"]),
    plan("NL", "31", ("0", "00"), (9, 9), &["800", "900", "88"]),
    // A number at home begins with 0, and keeps it from abroad.
    plan("IT", "39", ("", "00"), (8, 11), &["800", "803", "84", "89"]),
    plan("ES", "34", ("", "00"), (9, 9), &["800", "900", "901", "902"]),
    plan("PT", "351", ("", "00"), (9, 9), &["800", "808", "707"]),
    plan("SE", "46", ("0", "00"), (7, 9), &["20", "900"]),
    plan("NO", "47", ("", "00"), (8, 8), &["800", "810", "82"]),
    plan("DK", "45", ("", "00"), (8, 8), &["80", "90"]),
    plan("FI", "358", ("0", "00"), (7, 10), &["800", "600", "700"]),
    plan("PL", "48", ("", "00"), (9, 9), &["800", "801", "70"]),
    plan("BR", "55", ("0", "00"), (10, 11), &["800", "300", "900"]),
    plan("MX", "52", ("", "00"), (10, 10), &["800", "900"]),
];

/// Country codes that are no country's: every number of them is a service's.
const SERVICES: [&str; 4] = ["800", "808", "878", "979"];

/// Fewest digits with country code: all countries' numbers have more.
const FEWEST: usize = 8;
/// Most digits with country code (E.164, 6.1).
const MOST: usize = 15;
/// So many equal digits at its end make a number one that was typed to be let through.
const EQUAL: usize = 7;

impl Region {
    /// Japan.
    pub const JAPAN: Self = Self(&PLANS[0]);

    /// Its two letters (ISO 3166-1).
    pub const fn name(self) -> &'static str {
        self.0.name
    }
}

impl FromStr for Region {
    type Err = UnknownRegion;

    fn from_str(text: &str) -> Result<Self, UnknownRegion> {
        PLANS.iter().find(|plan| plan.name.eq_ignore_ascii_case(text.trim())).map(Self).ok_or(UnknownRegion)
    }
}

impl PhoneNumber {
    /// Reads a number as people write it: `+81 3-1234-5678`, `0081 3 1234 5678`, `03(1234)5678`, `０３－１２３４－５６７８`. One
    /// without country code is of the region.
    ///
    /// # Errors
    ///
    /// If it is none, or nobody's.
    pub fn read(text: &str, region: Region) -> Result<Self, InvalidPhone> {
        let (digits, abroad) = digits(text)?;
        if is_made_up(&digits) {
            return Err(InvalidPhone::Placeholder);
        }
        let dialled_abroad = digits.strip_prefix(region.0.abroad).filter(|rest| !abroad && rest.len() >= FEWEST);
        let number = match (abroad, dialled_abroad) {
            (true, _) => from_abroad(&digits)?,
            // 010-xxxx is dialled abroad; a national number of Japan does not begin so.
            (false, Some(rest)) if plan_of(rest).is_some() => from_abroad(rest)?,
            (false, _) => at_home(region.0, &digits)?,
        };
        Ok(Self(number))
    }

    /// As text: `+` and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a number that many call and nobody is known by: toll-free, shared cost, premium rate.
    pub fn is_shared_line(&self) -> bool {
        let digits = &self.0[1..];
        match plan_of(digits) {
            Some((plan, national)) => plan.shared.iter().any(|begin| national.starts_with(begin)),
            None => SERVICES.iter().any(|code| digits.starts_with(code)),
        }
    }
}

impl FromStr for PhoneNumber {
    type Err = InvalidPhone;

    /// Reads a number in its one form, and no other.
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        let number =
            if text.starts_with('+') { Self::read(text, Region::JAPAN)? } else { return Err(InvalidPhone::Form) };
        if number.0 == text { Ok(number) } else { Err(InvalidPhone::Form) }
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

/// The digits of a text, and whether they begin with a country code.
fn digits(text: &str) -> Result<(String, bool), InvalidPhone> {
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' | '\u{a0}' => ' ',
        '‐' | '‑' | '−' | '–' | '—' | '―' | 'ー' | 'ｰ' => '-',
        other => other,
    };
    let text: String = text.chars().map(narrow).collect();
    let text = text.trim();
    let text = text.get(..4).filter(|begin| begin.eq_ignore_ascii_case("tel:")).map_or(text, |_| text[4..].trim());
    let (text, abroad) = text.strip_prefix('+').map_or((text, false), |rest| (rest, true));
    // As it is written for both: +81 (0)3 ...
    let text = if abroad { text.replacen("(0)", "", 1) } else { text.to_owned() };
    let mut found = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' => found.push(c),
            ' ' | '-' | '(' | ')' | '.' | '/' => {}
            _ if found.len() >= FEWEST && (c.is_alphabetic() || matches!(c, '#' | ';' | ',' | '*')) => {
                return Err(InvalidPhone::Extension);
            }
            _ => return Err(InvalidPhone::Form),
        }
    }
    if found.len() > MOST + 4 { Err(InvalidPhone::Length) } else { Ok((found, abroad)) }
}

fn is_made_up(digits: &str) -> bool {
    let last = digits.chars().last();
    let equal = digits.chars().rev().take_while(|c| Some(*c) == last).count();
    equal >= EQUAL || matches!(digits, "0123456789" | "1234567890" | "01234567890" | "12345678901")
}

/// The plan of a number with country code, and the number without it.
fn plan_of(digits: &str) -> Option<(&'static Plan, &str)> {
    PLANS.iter().find_map(|plan| Some((plan, digits.strip_prefix(plan.code)?)))
}

fn from_abroad(digits: &str) -> Result<String, InvalidPhone> {
    match plan_of(digits) {
        Some((plan, national)) => {
            // Many write the trunk prefix where it does not belong: +81 03 ... No number begins with it.
            let national = if plan.trunk == "0" { national.strip_prefix('0').unwrap_or(national) } else { national };
            of_plan(plan, national)
        }
        None if digits.starts_with('0') => Err(InvalidPhone::Form),
        None if (FEWEST..=MOST).contains(&digits.len()) => Ok(format!("+{digits}")),
        None => Err(InvalidPhone::Length),
    }
}

fn at_home(plan: &Plan, digits: &str) -> Result<String, InvalidPhone> {
    let national = match digits.strip_prefix(plan.trunk) {
        Some(national) => national,
        // In North America the 1 is dialled, and seldom written.
        None if plan.trunk == "1" => digits,
        // Excel drops leading zeros. Nothing is guessed.
        None => return Err(InvalidPhone::Form),
    };
    of_plan(plan, national)
}

fn of_plan(plan: &Plan, national: &str) -> Result<String, InvalidPhone> {
    let begins = |with: &[&str]| with.iter().any(|begin| national.starts_with(begin));
    let (fewest, most) = match plan.code {
        // Mobiles, IP phones and 0800 have ten digits; all others nine.
        "81" if begins(&["20", "50", "60", "70", "80", "90"]) => (10, 10),
        "81" => (9, 9),
        _ => plan.digits,
    };
    if !(fewest..=most).contains(&national.len()) {
        return Err(InvalidPhone::Length);
    }
    let unusual = match plan.code {
        // Area and office codes of North America begin with 2 to 9; 555-01xx is for films.
        "1" if begins(&["0", "1"]) => Some(InvalidPhone::Form),
        "1" if national[3..].starts_with("55501") => Some(InvalidPhone::Placeholder),
        _ if plan.trunk == "0" && begins(&["0"]) => Some(InvalidPhone::Form),
        _ => None,
    };
    unusual.map_or_else(|| Ok(format!("+{}{national}", plan.code)), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, region: &str) -> Result<String, InvalidPhone> {
        PhoneNumber::read(text, region.parse().unwrap()).map(|number| number.as_str().to_owned())
    }

    #[test]
    fn one_line_has_one_form_however_it_is_written() {
        for (text, region, number) in [
            ("03-1234-5678", "JP", "+81312345678"),
            ("03(1234)5678", "JP", "+81312345678"),
            ("０３－１２３４－５６７８", "JP", "+81312345678"),
            (" +81 3-1234-5678 ", "JP", "+81312345678"),
            ("+81 (0)3 1234 5678", "DE", "+81312345678"),
            ("+81-03-1234-5678", "US", "+81312345678"),
            ("tel:+81-3-1234-5678", "US", "+81312345678"),
            ("0081 3 1234 5678", "DE", "+81312345678"),
            ("010 1 415 555 2671", "JP", "+14155552671"),
            ("090ー1234ー5678", "JP", "+819012345678"),
            ("0120-123-456", "JP", "+81120123456"),
            ("(415) 555-2671", "US", "+14155552671"),
            ("1-415-555-2671", "CA", "+14155552671"),
            ("030/1234567", "DE", "+49301234567"),
            ("06 1234 5678", "IT", "+390612345678"),
            // Of a country that stands in no table.
            ("+972 3 123 4567", "JP", "+97231234567"),
        ] {
            assert_eq!(read(text, region).as_deref(), Ok(number), "{text}");
            assert_eq!(number.parse::<PhoneNumber>().unwrap().as_str(), number);
        }
    }

    #[test]
    fn what_is_no_number_or_nobodys_is_told_apart() {
        for (text, why) in [
            ("", InvalidPhone::Form),
            ("call me", InvalidPhone::Form),
            ("9012345678", InvalidPhone::Form),
            ("+0312345678", InvalidPhone::Form),
            ("03-1234-567", InvalidPhone::Length),
            ("090-1234-567", InvalidPhone::Length),
            ("+81 3", InvalidPhone::Length),
            ("+1234567890123456", InvalidPhone::Length),
            ("03-1234-5678 内線12", InvalidPhone::Extension),
            ("03-1234-5678 ext. 12", InvalidPhone::Extension),
            ("000-0000-0000", InvalidPhone::Placeholder),
            ("090-0000-0000", InvalidPhone::Placeholder),
            ("0123456789", InvalidPhone::Placeholder),
            ("+1 415 555 0123", InvalidPhone::Placeholder),
        ] {
            assert_eq!(read(text, "JP"), Err(why), "{text}");
        }
        for text in ["03-1234-5678", "+81 312345678", "+810312345678"] {
            assert_eq!(text.parse::<PhoneNumber>().map(|_| ()), Err(InvalidPhone::Form), "{text} has another form");
        }
        assert_eq!("XX".parse::<Region>(), Err(UnknownRegion));
        assert_eq!("jp".parse::<Region>(), Ok(Region::JAPAN));
    }

    #[test]
    fn numbers_that_many_call_are_told() {
        for (number, shared) in [
            ("+81120123456", true),
            ("+818001234567", true),
            ("+81570012345", true),
            ("+18005552671", true),
            ("+80012345678", true),
            ("+81312345678", false),
            ("+818012345678", false),
            ("+14155552671", false),
            ("+97231234567", false),
        ] {
            let number: PhoneNumber = number.parse().unwrap();
            assert_eq!(number.is_shared_line(), shared, "{}", number.as_str());
            assert_eq!(format!("{number:?}"), "PhoneNumber(…)");
        }
    }
}
