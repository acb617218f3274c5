//! The single values of a playbook file: names, points, shares, lengths of time, phrases.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use tasuki_domain::{Millipoints, Millis};

use crate::pattern::Pattern;

/// Most points that one rule may give or take for one signal.
pub(crate) const MOST_POINTS: i32 = 1_000;

/// Name of a rule, a route, a pool: `demo-request`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) String);

/// Points with at most three decimals, between -1,000 and 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Points(pub(crate) Millipoints);

/// What is left of points, in percent: a whole number from 0 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share(pub(crate) u8);

/// A length of time: a whole number of minutes, hours or days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) Millis);

/// The text is no length of time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length of time is a whole number above 0 and m, h or d, for example \"30d\"")]
pub(crate) struct InvalidLength;

impl Length {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidLength> {
        let unit = text.chars().next_back().ok_or(InvalidLength)?;
        let minutes = match unit {
            'm' => 1,
            'h' => 60,
            'd' => 1_440,
            _ => return Err(InvalidLength),
        };
        let number = &text[..text.len() - unit.len_utf8()];
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidLength);
        }
        let number: i64 = number.parse().map_err(|_| InvalidLength)?;
        // Ten thousand years: what is longer is a slip, and arithmetic with it would saturate.
        if number == 0 || number > 10_000 * 366 * 1_440 / minutes {
            return Err(InvalidLength);
        }
        Ok(Self(Millis::from_seconds(number * minutes * 60)))
    }
}

impl fmt::Display for Length {
    /// In the largest unit that gives a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.get() / 60_000;
        match minutes {
            m if m % 1_440 == 0 => write!(f, "{}d", m / 1_440),
            m if m % 60 == 0 => write!(f, "{}h", m / 60),
            m => write!(f, "{m}m"),
        }
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Name {
    const RULE: &'static str = "a name is lower-case letters, digits and \"-\", begins with a letter, has at most 60 \
                                characters, and is not \"cap\"";
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        // "cap" stands in the ledger for what the cap of an axis takes away.
        if begins && text.len() <= 60 && text.bytes().all(allowed) && text != "cap" {
            Ok(Self(text))
        } else {
            Err(de::Error::custom(Self::RULE))
        }
    }
}

impl Points {
    const RULE: &'static str = "points are a number between -1000 and 1000 with at most three decimals";

    /// Exactly so many points; `None` outside the bounds or with more than three decimals.
    pub(crate) fn from_f64(points: f64) -> Option<Self> {
        let thousandths = points * 1_000.0;
        let rounded = thousandths.round();
        let near = (thousandths - rounded).abs() < 1e-6;
        if !near || points.abs() > f64::from(MOST_POINTS) {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "a whole number of at most a million, as was just checked")]
        let thousandths = rounded as i64;
        Some(Self(Millipoints::new(thousandths)))
    }
}

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Points;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of points")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Points, E> {
                let points = i32::try_from(number).ok().filter(|points| points.abs() <= MOST_POINTS);
                points.map(|points| Points(Millipoints::from_points(points))).ok_or_else(|| E::custom(Points::RULE))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Points, E> {
                Points::from_f64(number).ok_or_else(|| E::custom(Points::RULE))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// A phrase to be found in a text as whole words; case is ignored. Where the phrase begins or ends with something
/// that is no letter or digit of ASCII (`部長`), there is no word to be whole, and it is found anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase(String);

impl Phrase {
    /// A phrase as it is written in a playbook.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    /// Whether the text, which must be lower-case, mentions it. "cto" is not mentioned by "director".
    pub fn is_in(&self, text: &str) -> bool {
        let inside = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let (opens, closes) = (inside(self.0.chars().next()), inside(self.0.chars().next_back()));
        text.match_indices(&self.0).any(|(at, found)| {
            let glued_before = opens && inside(text[..at].chars().next_back());
            let glued_behind = closes && inside(text[at + found.len()..].chars().next());
            !glued_before && !glued_behind
        })
    }
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Phrase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let phrase = Self::new(&String::deserialize(deserializer)?);
        if phrase.0.is_empty() { Err(de::Error::custom("a phrase is not empty")) } else { Ok(phrase) }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = i64::deserialize(deserializer)?;
        let percent = u8::try_from(percent).ok().filter(|percent| *percent < 100);
        percent.map(Self).ok_or_else(|| de::Error::custom("what is left is a whole number of percent from 0 to 99"))
    }
}

macro_rules! schema_of {
    ($($type:ty, $name:literal, { $($schema:tt)* };)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ $($schema)* })
            }
        }
    )*};
}

schema_of! {
    Name, "Name", { "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 60, "not": { "const": "cap" } };
    Points, "Points", { "type": "number", "minimum": -1000, "maximum": 1000, "multipleOf": 0.001 };
    Length, "Length", {
        "type": "string", "pattern": "^[0-9]+[mhd]$", "description": "Minutes, hours or days: \"90m\", \"4h\", \"30d\"."
    };
    Share, "Share", { "type": "integer", "minimum": 0, "maximum": 99, "description": "In percent of the points." };
    Pattern, "Pattern", {
        "description": "A text in which \"*\" stands for any run of characters, or a regular expression for the whole text; \
                        upper and lower case are the same.",
        "anyOf": [
            { "type": "string", "minLength": 1 },
            {
                "type": "object", "additionalProperties": false, "required": ["regex"],
                "properties": { "regex": { "type": "string", "minLength": 1, "maxLength": 200 } }
            }
        ]
    };
    Phrase, "Phrase", { "type": "string", "minLength": 1, "description": "Found as whole words; case is ignored." };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_and_print_in_the_largest_unit() {
        for (text, printed) in [("30d", "30d"), ("48h", "2d"), ("90m", "90m"), ("120m", "2h")] {
            assert_eq!(Length::parse(text).unwrap().to_string(), printed);
        }
        for text in ["", "d", "0d", "-1d", "1.5h", "30", "30 d", "30日", "99999999999d"] {
            assert_eq!(Length::parse(text), Err(InvalidLength), "{text}");
        }
    }

    #[test]
    fn phrases_are_whole_words_where_there_are_words() {
        for (phrase, text, expected) in [
            ("CTO", "cto", true),
            ("cto", "director", false),
            ("VP", "vp sales", true),
            ("head of", "global head of marketing", true),
            ("部長", "営業部長", true),
            ("ceo", "ceo/founder", true),
        ] {
            assert_eq!(Phrase::new(phrase).is_in(text), expected, "{phrase} in {text}");
        }
    }

    #[test]
    fn points_have_at_most_three_decimals() {
        assert_eq!(Points::from_f64(0.125).unwrap().0, Millipoints::new(125));
        assert_eq!(Points::from_f64(0.1).unwrap().0, Millipoints::new(100));
        assert_eq!(Points::from_f64(0.0001), None);
        assert_eq!(Points::from_f64(1000.5), None);
        assert_eq!(Points::from_f64(f64::NAN), None);
    }
}
