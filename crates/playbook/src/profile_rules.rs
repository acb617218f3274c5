//! The profile rules file: which value of an attribute counts when several events say different ones.
//!
//! It stands beside the playbook and not in it: which source is to be believed depends on the systems in use, not on the
//! agreement between marketing and sales. `profile-rules.example.toml` shows every key.

use std::collections::BTreeMap;

use serde::Deserialize;
use tasuki_domain::fingerprint_32;
use toml::Spanned;

use crate::Faults;
use crate::fault::Reading;

/// Which value counts, by attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileRules {
    others: Survivor,
    attributes: BTreeMap<String, Survivor>,
}

/// Which of several values counts. "Recent" and "first" are by the order in which things happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Survivor {
    /// The most recent.
    #[default]
    MostRecent,
    /// The first.
    First,
    /// The most recent of the source that stands first in this list; sources that are not in it come last, and alike. At
    /// least one, each once.
    MostTrusted(Vec<String>),
    /// The most recent of those with the most items.
    LongestList,
}

/// Names of rules, as the file has them.
const RULES: &str = "\"most-recent\", \"first\", \"most-trusted\" and \"longest-list\"";

/// Most sources in one list, and most attributes with a rule of their own.
const MOST_SOURCES: usize = 64;
const MOST_ATTRIBUTES: usize = 1_000;

impl ProfileRules {
    /// A file that shows every key.
    pub const EXAMPLE: &'static str = include_str!("../profile-rules.example.toml");

    /// Reads a file. An empty one says what no file says: the most recent value counts.
    ///
    /// # Errors
    ///
    /// [`Faults`]: the place of each fault, what was found there and what is allowed. Where the text is not TOML of this
    /// form, the first one only: what follows it cannot be told apart.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut reading = Reading::new(text);
        let file: RawFile = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                reading.toml(&error);
                return Err(reading.into_faults());
            }
        };
        let RawFile { take, sources, attributes } = file;
        let others = match take {
            Some(take) => survivor(&mut reading, &take, sources),
            None => {
                if let Some(sources) = sources {
                    reading.fault(&sources.span(), "there are sources but no take; write take = \"most-trusted\"");
                }
                Some(Survivor::default())
            }
        };
        if attributes.len() > MOST_ATTRIBUTES {
            let problem = format!("{} attributes have a rule; allowed are {MOST_ATTRIBUTES}", attributes.len());
            reading.fault(&(0..0), problem);
        }
        let mut rules = BTreeMap::new();
        for (name, RawRule { take, sources }) in attributes {
            if name.get_ref().trim().is_empty() {
                reading.fault(&name.span(), "the name of the attribute is empty");
            }
            if let Some(rule) = survivor(&mut reading, &take, sources) {
                rules.insert(name.into_inner(), rule);
            }
        }
        match others {
            Some(others) if reading.is_clean() => Ok(Self { others, attributes: rules }),
            Some(_) | None => Err(reading.into_faults()),
        }
    }

    /// The rule of an attribute.
    pub fn of(&self, attribute: &str) -> &Survivor {
        self.attributes.get(attribute).unwrap_or(&self.others)
    }

    /// A number that other rules most likely do not have: whoever kept something by rules can tell that they changed.
    pub fn fingerprint(&self) -> u32 {
        let mut parts = vec![self.others.name()];
        parts.extend(self.others.sources().iter().map(String::as_str));
        for (name, rule) in &self.attributes {
            parts.extend(["", name, rule.name()]);
            parts.extend(rule.sources().iter().map(String::as_str));
        }
        // No text has a byte 0xff.
        fingerprint_32(parts.iter().flat_map(|part| part.bytes().chain([0xff])))
    }
}

impl Survivor {
    /// As in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MostRecent => "most-recent",
            Self::First => "first",
            Self::MostTrusted(_) => "most-trusted",
            Self::LongestList => "longest-list",
        }
    }

    fn sources(&self) -> &[String] {
        match self {
            Self::MostTrusted(sources) => sources,
            Self::MostRecent | Self::First | Self::LongestList => &[],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    take: Option<Spanned<String>>,
    sources: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    attributes: BTreeMap<Spanned<String>, RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    take: Spanned<String>,
    sources: Option<Spanned<Vec<Spanned<String>>>>,
}

/// The rule that a table of the file names; `None` if it is at fault.
fn survivor(
    reading: &mut Reading<'_>,
    take: &Spanned<String>,
    sources: Option<Spanned<Vec<Spanned<String>>>>,
) -> Option<Survivor> {
    let rule = match take.get_ref().as_str() {
        "most-recent" => Survivor::MostRecent,
        "first" => Survivor::First,
        "longest-list" => Survivor::LongestList,
        "most-trusted" => return trusted(reading, take, sources).map(Survivor::MostTrusted),
        other => {
            reading.fault(&take.span(), format!("there is no rule {other:?}; allowed are {RULES}"));
            return None;
        }
    };
    if let Some(sources) = sources {
        let problem = format!("{:?} asks no source; only \"most-trusted\" has a list of sources", take.get_ref());
        reading.fault(&sources.span(), problem);
    }
    Some(rule)
}

/// Sources, the most trusted first.
fn trusted(
    reading: &mut Reading<'_>,
    take: &Spanned<String>,
    sources: Option<Spanned<Vec<Spanned<String>>>>,
) -> Option<Vec<String>> {
    let Some(sources) = sources else {
        reading.fault(&take.span(), "\"most-trusted\" needs sources = [...], the most trusted first");
        return None;
    };
    let at = sources.span();
    let sources = sources.into_inner();
    if sources.is_empty() || sources.len() > MOST_SOURCES {
        reading.fault(&at, format!("there are {} sources; allowed are 1 to {MOST_SOURCES}", sources.len()));
    }
    let mut names: Vec<String> = Vec::with_capacity(sources.len());
    for source in sources {
        let name = source.get_ref();
        if name.trim().is_empty() {
            reading.fault(&source.span(), "the name of the source is empty");
        }
        if names.contains(name) {
            reading.fault(&source.span(), format!("the source {name:?} stands twice; its first place would count"));
        }
        names.push(source.into_inner());
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        ProfileRules::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_example_is_read() {
        let rules = ProfileRules::parse(ProfileRules::EXAMPLE).unwrap();
        let trusted = ["crm", "import", "website"].map(str::to_owned).to_vec();
        assert_eq!(
            ["company", "first_campaign", "interests", "title"].map(|name| rules.of(name).clone()),
            [Survivor::MostTrusted(trusted), Survivor::First, Survivor::LongestList, Survivor::MostRecent]
        );
    }

    #[test]
    fn an_empty_file_is_no_file() {
        assert_eq!(ProfileRules::parse("# later\n"), Ok(ProfileRules::default()));
        assert_eq!(ProfileRules::default().of("title"), &Survivor::MostRecent);
    }

    #[test]
    fn the_rule_at_the_top_is_for_all_that_are_not_named() {
        let text = "take = \"most-trusted\"\nsources = [\"crm\"]\nattributes.title = { take = \"first\" }\n";
        let rules = ProfileRules::parse(text).unwrap();
        assert_eq!(rules.of("company"), &Survivor::MostTrusted(vec!["crm".to_owned()]));
        assert_eq!(rules.of("title"), &Survivor::First);
    }

    #[test]
    fn every_wrong_value_is_named_at_once_with_its_place() {
        let text = r#"
take = "newest"
[attributes.company]
take = "most-trusted"
[attributes.title]
take = "first"
sources = ["crm"]
[attributes.industry]
take = "most-trusted"
sources = ["crm", " ", "crm"]
[attributes.region]
take = "most-trusted"
sources = []
[attributes.""]
take = "first"
"#;
        assert_eq!(
            faults(text),
            [
                r#"line 2, column 8: there is no rule "newest"; allowed are "most-recent", "first", "most-trusted" and "longest-list""#,
                r#"line 4, column 8: "most-trusted" needs sources = [...], the most trusted first"#,
                r#"line 7, column 11: "first" asks no source; only "most-trusted" has a list of sources"#,
                "line 10, column 19: the name of the source is empty",
                r#"line 10, column 24: the source "crm" stands twice; its first place would count"#,
                "line 13, column 11: there are 0 sources; allowed are 1 to 64",
                "line 14, column 13: the name of the attribute is empty",
            ]
        );
        assert_eq!(
            faults("sources = [\"crm\"]\n"),
            ["line 1, column 11: there are sources but no take; write take = \"most-trusted\""]
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_what_is_allowed() {
        assert_eq!(
            faults("[attributes.title]\ntkae = \"first\"\n"),
            ["line 2, column 1: unknown field `tkae`, expected `take` or `sources`"]
        );
    }

    #[test]
    fn other_rules_have_another_fingerprint() {
        let texts = [
            "",
            "take = \"first\"",
            "attributes.title = { take = \"first\" }",
            "attributes.titles = { take = \"first\" }",
            "attributes.title = { take = \"most-trusted\", sources = [\"a\", \"b\"] }",
            "attributes.title = { take = \"most-trusted\", sources = [\"b\", \"a\"] }",
            "attributes.title = { take = \"most-trusted\", sources = [\"ab\"] }",
        ];
        let prints: std::collections::BTreeSet<u32> =
            texts.iter().map(|text| ProfileRules::parse(text).unwrap().fingerprint()).collect();
        assert_eq!(prints.len(), texts.len());
    }
}
