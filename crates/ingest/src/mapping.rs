//! The mapping file: what track names, schemas and traits mean.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;

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

    /// What an event called so, with these properties (paths joined with dots), is.
    pub fn event(&self, called: Called<'_>, properties: &[(String, String)]) -> Event {
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
                return rule.event.event(field);
            }
        }
        let name = match called {
            Called::Name(name) => name.to_owned(),
            Called::Structured { category, action } => format!("{category}/{action}"),
            Called::Schema { name, .. } => name.to_owned(),
        };
        Event::CustomBehavior(v1::CustomBehavior { name })
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
        names.iter().find_map(|name| self.by_plain_path.get(&plain_path(name))).map(|value| (*value).to_owned())
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
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_fit_without_case_spaces_and_underscores() {
        let mapping = Mapping::default();
        for name in ["Form Submitted", "form_submitted", "formSubmitted", "FORM-SUBMITTED"] {
            assert_eq!(
                mapping.event(Called::Name(name), &pairs(&[("formId", "demo-request")])),
                Event::FormSubmitted(v1::FormSubmitted { form: "demo-request".to_owned() }),
                "{name}"
            );
        }
        assert_eq!(
            mapping.event(Called::Name("Page Peek"), &[]),
            Event::CustomBehavior(v1::CustomBehavior { name: "Page Peek".to_owned() })
        );
    }

    #[test]
    fn snowplow_events_fit_by_category_and_action_or_by_schema() {
        let mapping = Mapping::default();
        let opened = mapping.event(Called::Structured { category: "Email", action: "open" }, &[]);
        assert_eq!(opened, Event::EmailOpened(v1::EmailOpened { email_name: String::new() }));
        let submitted = Called::Schema { vendor: "com.acme", name: "form_submitted" };
        assert_eq!(
            mapping.event(submitted, &pairs(&[("form", "demo-request")])),
            Event::FormSubmitted(v1::FormSubmitted { form: "demo-request".to_owned() })
        );
    }

    #[test]
    fn a_link_to_a_document_is_a_download_and_any_other_link_is_not() {
        let mapping = Mapping::default();
        let click = Called::Schema { vendor: "com.snowplowanalytics.snowplow", name: "link_click" };
        let pdf = "https://example.com/whitepaper.PDF?x=1";
        assert_eq!(
            mapping.event(click, &pairs(&[("targetUrl", pdf)])),
            Event::ContentDownloaded(v1::ContentDownloaded { content: pdf.to_owned() })
        );
        assert_eq!(
            mapping.event(click, &pairs(&[("targetUrl", "https://example.com/a")])),
            Event::CustomBehavior(v1::CustomBehavior { name: "link_click".to_owned() })
        );
        let elsewhere = Called::Schema { vendor: "com.acme", name: "link_click" };
        assert_eq!(
            mapping.event(elsewhere, &pairs(&[("targetUrl", pdf)])),
            Event::CustomBehavior(v1::CustomBehavior { name: "link_click".to_owned() })
        );
    }

    #[test]
    fn a_constant_stands_in_for_a_missing_property() {
        let mapping = Mapping::default();
        assert_eq!(
            mapping.event(Called::Name("Webinar Attended"), &pairs(&[("title", "CRM")])),
            Event::EventAttended(v1::EventAttended { event_name: "CRM".to_owned(), kind: "webinar".to_owned() })
        );
    }

    #[test]
    fn traits_get_standard_names_and_the_others_keep_theirs() {
        let mapping = Mapping::default();
        assert_eq!(
            mapping.attributes(&pairs(&[
                ("firstName", "Ana"),
                ("company.name", "Acme"),
                ("company.plan", "gold"),
                ("address.country", "DE"),
            ])),
            pairs(&[("company", "Acme"), ("country", "DE"), ("first_name", "Ana"), ("company.plan", "gold")])
        );
        assert_eq!(
            mapping.company_attributes(&pairs(&[("name", "Acme"), ("plan", "gold")])),
            pairs(&[("company", "Acme"), ("company.plan", "gold")])
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let message = |text: &str| Mapping::from_toml(text).unwrap_err().to_string();
        assert_eq!(message("version = 2"), "the mapping file has version 2; this program reads version 1");
        assert_eq!(
            message("version = 1\n[[rule]]\nevent = \"FormSubmitted\"\nnames = [\"x\"]\nfields.from = [\"a\"]"),
            "rule 1: FormSubmitted has no field \"from\"; allowed are [\"form\"]"
        );
        assert_eq!(
            message("version = 1\n[[rule]]\nevent = \"FormSubmitted\""),
            "rule 1 names no names, structured or schemas: it would never fit"
        );
    }
}
