//! Patterns for texts: with stars, as most people write them, or regular expressions.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

/// Most characters of a regular expression.
const MOST_CHARACTERS: usize = 200;
/// Most bytes that a compiled regular expression may take; with it, reading a playbook and matching stay quick.
const MOST_BYTES: usize = 1 << 18;
/// Groups within each other.
const DEEPEST: u32 = 20;

/// A pattern for whole texts. In one that is written as a text, `*` stands for any run of characters; case is ignored for
/// the letters of ASCII. One that is written as `{ regex = "..." }` is a regular expression, which ignores case, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// What stands between the stars; one part when there is no star.
    Stars(Vec<Box<[u8]>>),
    Regex(Expression),
}

/// Equal, and shown, by its text.
#[derive(Clone)]
struct Expression {
    text: String,
    /// For whole texts.
    regex: Regex,
}

/// The text is no regular expression that is allowed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidRegex {
    #[error("a regular expression has 1 to {MOST_CHARACTERS} characters")]
    Length,
    #[error("not a regular expression: {0}")]
    Syntax(String),
    #[error("a regular expression that takes more than {MOST_BYTES} bytes; count fewer repetitions in it")]
    TooLarge,
}

impl Pattern {
    /// A pattern as it is written in a playbook, with stars.
    pub fn new(text: &str) -> Self {
        Self(Form::Stars(text.split('*').map(|part| part.as_bytes().into()).collect()))
    }

    /// A regular expression for whole texts.
    pub(crate) fn regex(text: &str) -> Result<Self, InvalidRegex> {
        if text.is_empty() || text.chars().count() > MOST_CHARACTERS {
            return Err(InvalidRegex::Length);
        }
        // By itself first: what closes a group that it did not open would otherwise be none the wiser.
        compile(text)?;
        let regex = compile(&format!(r"\A(?:{text})\z"))?;
        Ok(Self(Form::Regex(Expression { text: text.to_owned(), regex })))
    }

    /// The text of a regular expression, if it is one.
    pub(crate) fn expression(&self) -> Option<&str> {
        match &self.0 {
            Form::Stars(_) => None,
            Form::Regex(expression) => Some(&expression.text),
        }
    }

    /// Whether every text that the other matches is matched by this one; never says so wrongly.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            // What stands for any run of characters there can only be taken up by a star here.
            (Form::Stars(_), Form::Stars(_)) => self.matches(&other.to_string().replace('*', "\u{1}")),
            (Form::Stars(parts), Form::Regex(_)) => parts.len() > 1 && parts.iter().all(|part| part.is_empty()),
            (Form::Regex(_), Form::Stars(parts)) => parts.len() == 1 && self.matches(&other.to_string()),
            (Form::Regex(own), Form::Regex(others)) => own == others,
        }
    }

    /// Whether a path can be as it says: paths begin with a slash. Of a regular expression nothing is known.
    pub(crate) fn may_be_path(&self) -> bool {
        match &self.0 {
            Form::Stars(_) => self.to_string().starts_with(['/', '*']),
            Form::Regex(_) => true,
        }
    }

    /// Whether the whole text is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Form::Stars(parts) => match_stars(parts, text.as_bytes()),
            Form::Regex(expression) => expression.regex.is_match(text),
        }
    }
}

fn compile(text: &str) -> Result<Regex, InvalidRegex> {
    let built = RegexBuilder::new(text).case_insensitive(true).size_limit(MOST_BYTES).nest_limit(DEEPEST).build();
    built.map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return InvalidRegex::TooLarge;
        }
        // Several lines, of which the last says what is wrong.
        let text = error.to_string();
        let last = text.lines().next_back().unwrap_or_default();
        InvalidRegex::Syntax(last.trim_start_matches("error: ").to_owned())
    })
}

fn match_stars(parts: &[Box<[u8]>], text: &[u8]) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.first().is_none_or(|only| text.eq_ignore_ascii_case(only));
    };
    if text.len() < first.len() + last.len() {
        return false;
    }
    let (head, rest) = text.split_at(first.len());
    let (mut rest, tail) = rest.split_at(rest.len() - last.len());
    if !head.eq_ignore_ascii_case(first) || !tail.eq_ignore_ascii_case(last) {
        return false;
    }
    for part in middle.iter().filter(|part| !part.is_empty()) {
        let found = rest.windows(part.len()).position(|window| window.eq_ignore_ascii_case(part));
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Stars(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    let star = if index == 0 { "" } else { "*" };
                    write!(f, "{star}{}", String::from_utf8_lossy(part))?;
                }
                Ok(())
            }
            Form::Regex(expression) => write!(f, "regex {}", expression.text),
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            regex: String,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Pattern;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, in which \"*\" stands for any run of characters, or { regex = \"...\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pattern, E> {
                if text.is_empty() {
                    return Err(E::custom("a pattern is not empty; \"*\" stands for any text"));
                }
                Ok(Pattern::new(text))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pattern, A::Error> {
                let Written { regex } = Written::deserialize(MapAccessDeserializer::new(map))?;
                Pattern::regex(&regex).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("/pricing*", "/pricing/enterprise", true),
            ("/pricing*", "/Pricing", true),
            ("/pricing", "/pricing/", false),
            ("*demo*", "Request a DEMO now", true),
            ("*demo*", "dem", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("資料*", "資料請求", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn regular_expressions_match_whole_texts_and_ignore_case() {
        for (regex, text, expected) in [
            ("/p/[0-9]{4}", "/P/1234", true),
            ("/p/[0-9]{4}", "/p/12345", false),
            ("a|b", "ab", false),
            ("(?-i)demo", "Demo", false),
            ("資料.*", "資料請求", true),
        ] {
            assert_eq!(Pattern::regex(regex).unwrap().matches(text), expected, "{regex} on {text}");
        }
    }

    #[test]
    fn regular_expressions_are_bounded_and_say_what_is_wrong() {
        let wrong = |text: &str| Pattern::regex(text).unwrap_err().to_string();
        assert_eq!(wrong("a)(b"), "not a regular expression: unopened group");
        assert_eq!(wrong(""), "a regular expression has 1 to 200 characters");
        assert_eq!(wrong(&"a".repeat(201)), wrong(""));
        assert!(wrong("((a{100}){100}){100}").contains("more than 262144 bytes"));
        assert!(wrong(&format!("{}a{}", "(".repeat(30), ")".repeat(30))).contains("not a regular expression"));
    }

    #[test]
    fn one_covers_another_only_where_that_is_certain() {
        let (stars, regex) = (Pattern::new, |text: &str| Pattern::regex(text).unwrap());
        assert!(
            stars("*").covers(&regex("a+")) && regex("a+").covers(&stars("AA")) && regex("a+").covers(&regex("a+"))
        );
        assert!(
            !stars("a*").covers(&regex("a+")) && !regex("a+").covers(&stars("a*")) && !regex("a+").covers(&regex("a"))
        );
    }
}
