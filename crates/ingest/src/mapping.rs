//! The mapping file: what track names, schemas and traits mean.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;

/// Of the page in most forms, though an identify's is the person's website.
const PAGE_URL: &str = "url";

/// What the events of trackers mean, read from a mapping file.
#[derive(Clone, Debug)]
pub struct Mapping {
    rules: Vec<Rule>,
    names: HashMap<String, Vec<usize>>,
    structured: HashMap<String, Vec<usize>>,
    schemas: HashMap<String, Vec<usize>>,
    traits: Vec<(String, Vec<String>)>,
    company_traits: Vec<(String, Vec<String>)>,
}

/// The mapping file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMapping {
    /// No TOML, or unknown fields or events.
    #[error("the mapping file cannot be read")]
    Syntax(#[source] Box<toml::de::Error>),
    /// Another version.
    #[error("the mapping file has version {0}; this program reads version 1")]
    Version(u32),
    /// A rule fills a field its event does not have.
    #[error("rule {rule}: {event} has no field {found:?}; allowed are {allowed:?}")]
    Field {
        /// Which rule, counting from 1.
        rule: usize,
        /// Its event.
        event: &'static str,
        /// The field.
        found: String,
        /// The fields of the event.
        allowed: &'static [&'static str],
    },
    /// A rule that never fits.
    #[error("rule {0} names no names, structured or schemas: it would never fit")]
    NeverFits(usize),
}

/// How an event is called where it comes from.
#[derive(Clone, Copy, Debug)]
pub enum Called<'a> {
    /// Name of a track call.
    Name(&'a str),
    /// Snowplow structured event.
    Structured {
        /// `se_ca`
        category: &'a str,
        /// `se_ac`
        action: &'a str,
    },
    /// Snowplow self-describing event.
    Schema {
        /// The vendor in the schema.
        vendor: &'a str,
        /// The schema's name.
        name: &'a str,
    },
}

/// What an event means.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    /// Which event it is.
    pub event: Event,
    /// What it says about the person, by standard name.
    pub attributes: BTreeMap<String, String>,
}

impl Meaning {
    /// An event that says nothing about the person.
    pub const fn of(event: Event) -> Self {
        Self { event, attributes: BTreeMap::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    rule: Vec<Rule>,
    #[serde(default)]
    traits: toml::Table,
    #[serde(default)]
    company_traits: toml::Table,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    event: Kind,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    structured: Vec<String>,
    #[serde(default)]
    schemas: Vec<String>,
    #[serde(default)]
    ends_with: Vec<String>,
    #[serde(default)]
    fields: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    constants: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Kind {
    PageViewed,
    FormSubmitted,
    EmailOpened,
    EmailClicked,
    ContentDownloaded,
    EventAttended,
    SurveyAnswered,
    AssessmentCompleted,
    ReferralReceived,
    InquiryReceived,
    CustomBehavior,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::PageViewed => "PageViewed",
            Self::FormSubmitted => "FormSubmitted",
            Self::EmailOpened => "EmailOpened",
            Self::EmailClicked => "EmailClicked",
            Self::ContentDownloaded => "ContentDownloaded",
            Self::EventAttended => "EventAttended",
            Self::SurveyAnswered => "SurveyAnswered",
            Self::AssessmentCompleted => "AssessmentCompleted",
            Self::ReferralReceived => "ReferralReceived",
            Self::InquiryReceived => "InquiryReceived",
            Self::CustomBehavior => "CustomBehavior",
        }
    }

    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::PageViewed => &["name", "category"],
            Self::FormSubmitted => &["form"],
            Self::EmailOpened => &["email_name"],
            Self::EmailClicked => &["email_name", "target_url"],
            Self::ContentDownloaded => &["content"],
            Self::EventAttended => &["event_name", "kind"],
            Self::SurveyAnswered => &["survey"],
            Self::AssessmentCompleted => &["assessment", "result"],
            Self::ReferralReceived => &["referred_by"],
            Self::InquiryReceived => &["channel", "subject"],
            Self::CustomBehavior => &["name"],
        }
    }

    /// Whether its properties are what somebody filled in about themselves. Those of the others are about a document
    /// or a mail, which have names and titles too.
    const fn describes_person(self) -> bool {
        match self {
            Self::FormSubmitted | Self::EventAttended | Self::InquiryReceived => true,
            Self::PageViewed
            | Self::EmailOpened
            | Self::EmailClicked
            | Self::ContentDownloaded
            | Self::SurveyAnswered
            | Self::AssessmentCompleted
            | Self::ReferralReceived
            | Self::CustomBehavior => false,
        }
    }

    fn event(self, field: impl Fn(&str) -> String) -> Event {
        match self {
            Self::PageViewed => Event::PageViewed(v1::PageViewed { name: field("name"), category: field("category") }),
            Self::FormSubmitted => Event::FormSubmitted(v1::FormSubmitted { form: field("form") }),
            Self::EmailOpened => Event::EmailOpened(v1::EmailOpened { email_name: field("email_name") }),
            Self::EmailClicked => Event::EmailClicked(v1::EmailClicked {
                email_name: field("email_name"),
                target_url: field("target_url"),
            }),
            Self::ContentDownloaded => Event::ContentDownloaded(v1::ContentDownloaded { content: field("content") }),
            Self::EventAttended => {
                Event::EventAttended(v1::EventAttended { event_name: field("event_name"), kind: field("kind") })
            }
            Self::SurveyAnswered => Event::SurveyAnswered(v1::SurveyAnswered { survey: field("survey") }),
            Self::AssessmentCompleted => Event::AssessmentCompleted(v1::AssessmentCompleted {
                assessment: field("assessment"),
                result: field("result"),
            }),
            Self::ReferralReceived => {
                Event::ReferralReceived(v1::ReferralReceived { referred_by: field("referred_by") })
            }
            Self::InquiryReceived => {
                Event::InquiryReceived(v1::InquiryReceived { channel: field("channel"), subject: field("subject") })
            }
            Self::CustomBehavior => Event::CustomBehavior(v1::CustomBehavior { name: field("name") }),
        }
    }
}

impl Default for Mapping {
    fn default() -> Self {
        Self::from_toml(include_str!("mapping.toml")).expect("the default mapping is tested")
    }
}

impl Mapping {
    /// Reads a mapping file; `src/mapping.toml` of this crate is the default and says how one is written.
    ///
    /// # Errors
    ///
    /// Says which rule is wrong, what was found and what is allowed.
    pub fn from_toml(text: &str) -> Result<Self, InvalidMapping> {
        let file: File = toml::from_str(text).map_err(|error| InvalidMapping::Syntax(Box::new(error)))?;
        if file.version != 1 {
            return Err(InvalidMapping::Version(file.version));
        }
        let (mut names, mut structured, mut schemas) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (index, rule) in file.rule.iter().enumerate() {
            check(rule, index + 1)?;
            for (texts, map) in
                [(&rule.names, &mut names), (&rule.structured, &mut structured), (&rule.schemas, &mut schemas)]
            {
                for text in texts {
                    let entry: &mut Vec<usize> = map.entry(plain_path(text)).or_default();
                    entry.push(index);
                }
            }
        }
        let traits = aliases(file.traits)?;
        let company_traits = aliases(file.company_traits)?;
        Ok(Self { rules: file.rule, names, structured, schemas, traits, company_traits })
    }

    /// What an event called so, with these properties (paths joined with dots), means.
    pub fn meaning(&self, called: Called<'_>, properties: &[(String, String)]) -> Meaning {
        let candidates: Vec<usize> = match called {
            Called::Name(name) => found(&self.names, &plain(name)),
            Called::Structured { category, action } => {
                found(&self.structured, &format!("{}/{}", plain(category), plain(action)))
            }
            Called::Schema { vendor, name } => {
                let mut candidates = found(&self.schemas, &plain(name));
                candidates.extend(found(&self.schemas, &format!("{}/{}", plain(vendor), plain(name))));
                candidates.sort_unstable();
                candidates
            }
        };
        let properties = Lookup::of(properties);
        for rule in candidates.into_iter().map(|index| &self.rules[index]) {
            let field = |name: &str| {
                let filled = rule.fields.get(name).and_then(|from| properties.first(from));
                filled.or_else(|| rule.constants.get(name).cloned()).unwrap_or_default()
            };
            if rule.ends_with.is_empty() || ends_with(rule, &properties) {
                return Meaning { event: rule.event.event(field), attributes: self.of_person(rule, &properties) };
            }
        }
        let name = match called {
            Called::Name(name) => name.to_owned(),
            Called::Structured { category, action } => format!("{category}/{action}"),
            Called::Schema { name, .. } => name.to_owned(),
        };
        Meaning::of(Event::CustomBehavior(v1::CustomBehavior { name }))
    }

    /// The standard attributes among the properties. What fills a field of the event is no attribute: a title may be
    /// the webinar's. The e-mail address is an identifier.
    fn of_person(&self, rule: &Rule, properties: &Lookup<'_>) -> BTreeMap<String, String> {
        if !rule.event.describes_person() {
            return BTreeMap::new();
        }
        let of_event: Vec<String> = rule.fields.values().filter_map(|from| properties.first_path(from)).collect();
        let allowed = |path: &&String| path.as_str() != PAGE_URL && !of_event.contains(path);
        self.traits
            .iter()
            .filter(|(standard, _)| standard != "email")
            .filter_map(|(standard, from)| {
                let value = from.iter().filter(allowed).find_map(|path| properties.by_plain_path.get(path))?;
                Some((standard.clone(), (*value).to_owned()))
            })
            .collect()
    }

    /// Traits of a person as attributes.
    pub fn attributes(&self, traits: &[(String, String)]) -> Vec<(String, String)> {
        standardised(&self.traits, traits, "")
    }

    /// Traits of a company as attributes.
    pub fn company_attributes(&self, traits: &[(String, String)]) -> Vec<(String, String)> {
        standardised(&self.company_traits, traits, "company.")
    }
}

fn check(rule: &Rule, number: usize) -> Result<(), InvalidMapping> {
    if rule.names.is_empty() && rule.structured.is_empty() && rule.schemas.is_empty() {
        return Err(InvalidMapping::NeverFits(number));
    }
    let allowed = rule.event.fields();
    match rule.fields.keys().chain(rule.constants.keys()).find(|name| !allowed.contains(&name.as_str())) {
        None => Ok(()),
        Some(found) => {
            Err(InvalidMapping::Field { rule: number, event: rule.event.name(), found: found.clone(), allowed })
        }
    }
}

fn aliases(table: toml::Table) -> Result<Vec<(String, Vec<String>)>, InvalidMapping> {
    let syntax = |error| InvalidMapping::Syntax(Box::new(error));
    table
        .into_iter()
        .map(|(standard, from)| {
            let from: Vec<String> = from.try_into().map_err(syntax)?;
            Ok((standard, from.iter().map(|path| plain_path(path)).collect()))
        })
        .collect()
}

fn found(index: &HashMap<String, Vec<usize>>, name: &str) -> Vec<usize> {
    index.get(name).cloned().unwrap_or_default()
}

fn ends_with(rule: &Rule, properties: &Lookup<'_>) -> bool {
    rule.fields.values().any(|from| {
        properties.first(from).is_some_and(|value| {
            // The query of a URL says nothing about the document.
            let path = value.split(['?', '#']).next().unwrap_or_default().to_lowercase();
            rule.ends_with.iter().any(|end| path.ends_with(end))
        })
    })
}

fn standardised(
    standards: &[(String, Vec<String>)],
    traits: &[(String, String)],
    prefix: &str,
) -> Vec<(String, String)> {
    let lookup = Lookup::of(traits);
    let known = |path: &String| standards.iter().any(|(_, from)| from.contains(path));
    let mut attributes: Vec<_> = standards
        .iter()
        .filter_map(|(standard, from)| {
            let value = from.iter().find_map(|path| lookup.by_plain_path.get(path))?;
            Some((standard.clone(), (*value).to_owned()))
        })
        .collect();
    for (path, value) in traits {
        if !known(&plain_path(path)) {
            attributes.push((format!("{prefix}{path}"), value.clone()));
        }
    }
    attributes
}

/// Properties by their plain paths.
struct Lookup<'a> {
    by_plain_path: HashMap<String, &'a str>,
}

impl<'a> Lookup<'a> {
    fn of(properties: &'a [(String, String)]) -> Self {
        let mut by_plain_path = HashMap::new();
        for (path, value) in properties {
            by_plain_path.entry(plain_path(path)).or_insert(value.as_str());
        }
        Self { by_plain_path }
    }

    fn first(&self, names: &[String]) -> Option<String> {
        self.first_path(names).map(|path| self.by_plain_path[&path].to_owned())
    }

    fn first_path(&self, names: &[String]) -> Option<String> {
        names.iter().map(|name| plain_path(name)).find(|path| self.by_plain_path.contains_key(path))
    }
}

/// A name without what makes no difference: case, spaces, punctuation.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A path or a "vendor/name", its parts made plain. Vendors have dots in them, paths too; both are kept as parts.
fn plain_path(path: &str) -> String {
    match path.split_once('/') {
        Some((left, right)) => format!("{}/{}", plain(left), plain(right)),
        None => path.split('.').map(plain).collect::<Vec<_>>().join("."),
    }
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
