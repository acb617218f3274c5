//! The mapping file: what track names, schemas and traits mean.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use rustc_hash::FxHashMap;
use serde::Deserialize;
use tasuki_domain::{EmailAddress, Region};
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event;

use crate::json;
use crate::json::document::{self, Value};

mod kind;

use kind::Kind;

/// Of the page in most forms, though an identify's is the person's website.
const PAGE_URL: &str = "url";

/// What consent is for.
const PURPOSES: [&str; 3] = ["tracking", "scoring", "contact"];

/// Among the systems of ids: their values name the system themselves.
const WITH_SYSTEM: &str = "any";

/// What the events of trackers mean, read from a mapping file.
#[derive(Clone, Debug)]
pub struct Mapping {
    rules: Vec<Rule>,
    names: Index,
    structured: Index,
    schemas: Index,
    traits: Vec<(String, Vec<String>)>,
    company_traits: Vec<(String, Vec<String>)>,
    who: WhoFrom,
    /// Systems, and the plain paths of their ids.
    crm_ids: Vec<(String, Vec<String>)>,
    /// Purposes, and the plain names of the categories that they need.
    consent: Vec<(String, Vec<String>)>,
    phone_region: Region,
}

/// Rules by a plain name. Only what the file says is in it, so nobody can crowd it.
type Index = FxHashMap<String, Vec<usize>>;

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
    /// Consent for something that is no purpose.
    #[error("consent: {0:?} is no purpose; allowed are tracking, scoring and contact")]
    Purpose(String),
    /// A rule that never fits.
    #[error("rule {0} names no names, structured or schemas: it would never fit")]
    NeverFits(usize),
}

/// How an event is called where it comes from.
#[derive(Clone, Copy, Debug)]
pub enum Called<'a> {
    /// Name of a track call.
    Name(&'a str),
    /// Type of a CloudEvent or webhook: a name in reverse domain style, "com.acme.form.submitted". Its end decides, the
    /// longest that is known; a version at the end ("v1") says nothing.
    Type(&'a str),
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

/// Who an event is about, as far as its properties say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Device or browser.
    pub anonymous_id: Option<String>,
    /// The person, as the customer's systems know them.
    pub user_id: Option<String>,
    /// E-mail address, as written.
    pub email: Option<String>,
    /// Phone number, as written.
    pub phone: Option<String>,
    /// The person's record in a CRM system: the system, `:` and the id.
    pub crm_id: Option<String>,
}

/// Where properties say who it was.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhoFrom {
    #[serde(default)]
    anonymous_id: Vec<String>,
    #[serde(default)]
    user_id: Vec<String>,
    #[serde(default)]
    persons: Vec<String>,
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
    who: Option<WhoFrom>,
    crm_ids: Option<toml::Table>,
    consent: Option<toml::Table>,
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

/// Somebody said who they are. An address that is none is left out.
pub(crate) fn identified(attributes: impl IntoIterator<Item = (String, String)>) -> Event {
    let mut attributes: BTreeMap<String, String> = attributes.into_iter().collect();
    if let Some(email) = attributes.remove("email")
        && let Ok(address) = email.parse::<EmailAddress>()
    {
        attributes.insert("email".to_owned(), address.as_str().to_owned());
    }
    Event::LeadIdentified(v1::LeadIdentified { attributes: attributes.into_iter().collect() })
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
        let (mut names, mut structured, mut schemas) = (Index::default(), Index::default(), Index::default());
        let mut rules = file.rule;
        for (index, rule) in rules.iter_mut().enumerate() {
            check(rule, index + 1)?;
            for path in rule.fields.values_mut().flatten() {
                *path = plain_path(path);
            }
            index_under(&mut names, rule.names.iter().map(|name| plain(name)), index);
            index_under(&mut structured, rule.structured.iter().map(|text| plain_path(text)), index);
            index_under(&mut schemas, rule.schemas.iter().map(|text| plain_path(text)), index);
        }
        let traits = aliases(file.traits)?;
        let company_traits = aliases(file.company_traits)?;
        let who = file.who.unwrap_or_else(|| built_in().who.expect("the default mapping says who")).plain();
        let crm_ids = file.crm_ids.or_else(|| built_in().crm_ids).unwrap_or_default();
        let consent = aliases(file.consent.or_else(|| built_in().consent).unwrap_or_default())?;
        if let Some((other, _)) = consent.iter().find(|(purpose, _)| !PURPOSES.contains(&purpose.as_str())) {
            return Err(InvalidMapping::Purpose(other.clone()));
        }
        let (crm_ids, phone_region) = (aliases(crm_ids)?, Region::JAPAN);
        Ok(Self { rules, names, structured, schemas, traits, company_traits, who, crm_ids, consent, phone_region })
    }

    /// The same, for phone numbers that are at home there when they have no country code; else it is Japan.
    #[must_use]
    pub fn with_phone_region(self, phone_region: Region) -> Self {
        Self { phone_region, ..self }
    }

    /// Where phone numbers without country code are at home.
    pub(crate) const fn phone_region(&self) -> Region {
        self.phone_region
    }

    /// What categories of a consent manager allow, by purpose: what needs several of them is allowed if none of those that
    /// something was said about is denied.
    pub fn consents<'c>(&self, categories: impl Iterator<Item = (Cow<'c, str>, bool)>) -> BTreeMap<String, bool> {
        let mut consents = BTreeMap::new();
        for (category, granted) in categories {
            let category = plain(&category);
            for (purpose, _) in self.consent.iter().filter(|(_, needed)| needed.contains(&category)) {
                *consents.entry(purpose.clone()).or_insert(true) &= granted;
            }
        }
        consents
    }

    /// The person's record in a CRM system, by traits or properties: the system, `:` and the id.
    pub fn crm_id(&self, properties: &[(String, String)]) -> Option<String> {
        self.crm_id_in(&Lookup::of(properties))
    }

    fn crm_id_in(&self, lookup: &Lookup<'_>) -> Option<String> {
        let of_system = |(system, from): &(String, Vec<String>)| {
            let id = lookup.first(from)?;
            // The system may stand in the value.
            Some(if id.contains(':') || system == WITH_SYSTEM { id } else { format!("{system}:{id}") })
        };
        self.crm_ids.iter().find_map(of_system)
    }

    /// What an event called so, with these properties (paths joined with dots), means. What no rule knows is a
    /// `CustomBehavior`.
    pub fn meaning(&self, called: Called<'_>, properties: &[(String, String)]) -> Meaning {
        self.known(called, properties).unwrap_or_else(|| {
            let name = match called {
                Called::Name(name) | Called::Type(name) => name.to_owned(),
                Called::Structured { category, action } => format!("{category}/{action}"),
                Called::Schema { name, .. } => name.to_owned(),
            };
            Meaning::of(Event::CustomBehavior(v1::CustomBehavior { name }))
        })
    }

    /// Whether a rule may fit a track call of this name.
    pub(crate) fn knows_name(&self, name: &str) -> bool {
        self.names.contains_key(&plain(name))
    }

    /// The attribute of this name among properties, as [`attributes`](Self::attributes) would give it.
    pub(crate) fn attribute(&self, properties: Value<'_, '_>, name: &str) -> Option<String> {
        let from = self.traits.iter().find(|(standard, _)| standard == name).map(|(_, from)| from.as_slice());
        let found = from.unwrap_or_default().iter().find_map(|path| at_plain_path(properties, path));
        if found.is_some() || from.is_some_and(|from| from.iter().any(|path| path == name)) {
            return found;
        }
        // What is named nowhere keeps its name, and may have this one.
        let attributes = self.attributes(&json::flat(properties));
        attributes.into_iter().find(|(standard, _)| standard == name).map(|(_, value)| value)
    }

    /// What an event called so means by the first rule that fits, if any does.
    pub fn known(&self, called: Called<'_>, properties: &[(String, String)]) -> Option<Meaning> {
        let candidates: Cow<'_, [usize]> = match called {
            Called::Name(name) => found(&self.names, &plain(name)),
            Called::Type(name) => {
                ends_of(name).map(|end| found(&self.names, &plain(end))).find(|rules| !rules.is_empty())?
            }
            Called::Structured { category, action } => {
                found(&self.structured, &format!("{}/{}", plain(category), plain(action)))
            }
            Called::Schema { vendor, name } => {
                let mut candidates = found(&self.schemas, &plain(name)).into_owned();
                candidates.extend(found(&self.schemas, &format!("{}/{}", plain(vendor), plain(name))).iter());
                candidates.sort_unstable();
                candidates.into()
            }
        };
        if candidates.is_empty() {
            return None;
        }
        let lookup = Lookup::of(properties);
        let rule = candidates
            .iter()
            .map(|index| &self.rules[*index])
            .find(|rule| rule.ends_with.is_empty() || ends_with(rule, &lookup))?;
        let field = |name: &str| {
            let filled = rule.fields.get(name).and_then(|from| lookup.first(from));
            filled.or_else(|| rule.constants.get(name).cloned()).unwrap_or_default()
        };
        let attributes = || self.attributes(&self.without_persons(properties));
        Some(Meaning { event: rule.event.event(field, attributes), attributes: self.of_person(rule, &lookup) })
    }

    /// Properties of an event that has no fields of its own for who it was. What stands in an object for the person
    /// (`contact`, `user` ...) counts as if it stood at the top too, unless something of that name does.
    pub fn lifted(&self, mut properties: Vec<(String, String)>) -> Vec<(String, String)> {
        let mut lifted = Vec::new();
        for person in &self.who.persons {
            let inside = properties.iter().filter_map(|(path, value)| {
                let (first, rest) = path.split_once('.')?;
                (plain(first) == *person).then(|| (rest.to_owned(), value.clone()))
            });
            lifted.extend(inside);
        }
        properties.extend(lifted);
        properties
    }

    /// Who an event is about, by its properties ([`lifted`](Self::lifted)).
    pub fn who(&self, properties: &[(String, String)]) -> Who {
        let lookup = Lookup::of(properties);
        let standard = |name: &str| {
            let (_, from) = self.traits.iter().find(|(standard, _)| standard == name)?;
            from.iter().find_map(|path| lookup.by_plain_path.get(path)).map(|value| (*value).to_owned())
        };
        Who {
            anonymous_id: lookup.first(&self.who.anonymous_id),
            user_id: lookup.first(&self.who.user_id),
            email: standard("email"),
            phone: standard("phone"),
            crm_id: self.crm_id_in(&lookup),
        }
    }

    fn without_persons(&self, properties: &[(String, String)]) -> Vec<(String, String)> {
        let of_person =
            |path: &str| path.split_once('.').is_some_and(|(first, _)| self.who.persons.contains(&plain(first)));
        properties.iter().filter(|(path, _)| !of_person(path)).cloned().collect()
    }

    /// The standard attributes among the properties. What fills a field of the event is no attribute: a title may be
    /// the webinar's. The e-mail address is an identifier.
    fn of_person(&self, rule: &Rule, properties: &Lookup<'_>) -> BTreeMap<String, String> {
        if !rule.event.describes_person() {
            return BTreeMap::new();
        }
        let of_event: Vec<&str> = rule.fields.values().filter_map(|from| properties.first_path(from)).collect();
        self.standard(properties, |path| path != PAGE_URL && !of_event.contains(&path))
    }

    /// The standard attributes among these and no others, without the e-mail address.
    pub fn standard_attributes(&self, attributes: &[(String, String)]) -> BTreeMap<String, String> {
        self.standard(&Lookup::of(attributes), |_| true)
    }

    fn standard(&self, properties: &Lookup<'_>, allowed: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        self.traits
            .iter()
            .filter(|(standard, _)| standard != "email")
            .filter_map(|(standard, from)| {
                let value =
                    from.iter().filter(|path| allowed(path)).find_map(|path| properties.by_plain_path.get(path))?;
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

fn built_in() -> File {
    toml::from_str(include_str!("mapping.toml")).expect("the default mapping is tested")
}

impl WhoFrom {
    fn plain(self) -> Self {
        let plain_paths = |paths: Vec<String>| paths.iter().map(|path| plain_path(path)).collect();
        Self {
            anonymous_id: plain_paths(self.anonymous_id),
            user_id: plain_paths(self.user_id),
            persons: self.persons.iter().map(|person| plain(person)).collect(),
        }
    }
}

/// The ends of a type, the longest first, without a version.
fn ends_of(name: &str) -> impl Iterator<Item = &str> {
    let is_version = |part: &str| {
        part.strip_prefix(['v', 'V']).unwrap_or(part).chars().all(|c| c.is_ascii_digit()) && !part.is_empty()
    };
    let name = match name.rsplit_once(['.', '/', ':']) {
        Some((rest, last)) if is_version(last) => rest,
        Some(_) | None => name,
    };
    let starts = name.match_indices(['.', '/', ':']).map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).map(|start| &name[start..])
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

fn index_under(map: &mut Index, names: impl Iterator<Item = String>, rule: usize) {
    for name in names {
        map.entry(name).or_default().push(rule);
    }
}

fn found<'m>(index: &'m Index, name: &str) -> Cow<'m, [usize]> {
    index.get(name).map_or(Cow::Borrowed(&[]), |rules| Cow::Borrowed(rules.as_slice()))
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

    /// The property at the first of these plain paths that is there.
    fn first(&self, paths: &[String]) -> Option<String> {
        paths.iter().find_map(|path| self.by_plain_path.get(path)).map(|value| (*value).to_owned())
    }

    fn first_path<'p>(&self, paths: &'p [String]) -> Option<&'p str> {
        paths.iter().map(String::as_str).find(|path| self.by_plain_path.contains_key(*path))
    }
}

/// The property whose plain path is this one, the first by its own path of several.
fn at_plain_path(properties: Value<'_, '_>, path: &str) -> Option<String> {
    let mut fitting: Vec<(Cow<'_, str>, Value<'_, '_>, &str)> = Vec::new();
    for (name, value) in properties.members() {
        let name = name.string();
        if !may_begin(&name, path) {
            continue;
        }
        // Of a path with a slash the parts are others; no trait has one.
        if let Some(rest) = rest_of(path, &name).filter(|_| !name.contains('/')) {
            fitting.retain(|(other, ..)| *other != name);
            fitting.push((name, value, rest));
        }
    }
    fitting.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    fitting.into_iter().find_map(|(_, value, rest)| match (value.kind(), rest) {
        (document::Kind::Object, "") => None,
        (document::Kind::Object, rest) => at_plain_path(value, rest),
        (_, "") => value.property().map(Cow::into_owned),
        (_, _) => None,
    })
}

/// Whether a path with this name may come to this plain path: by its first letter, which most do not share.
fn may_begin(name: &str, plain_path: &str) -> bool {
    match name.bytes().find(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii()) {
        Some(letter) if letter.is_ascii() => plain_path.as_bytes().first() == Some(&letter.to_ascii_lowercase()),
        Some(_) | None => true,
    }
}

/// What is left of a plain path after the parts of this name, if it begins with them.
fn rest_of<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let mut rest = Some(path);
    for part in name.split('.') {
        let (first, after) = match rest?.split_once('.') {
            Some((first, after)) => (first, Some(after)),
            None => (rest?, None),
        };
        if !is_plain(part, first) {
            return None;
        }
        rest = after;
    }
    Some(rest.unwrap_or_default())
}

/// Whether this is what a name is without what makes no difference.
fn is_plain(name: &str, plainly: &str) -> bool {
    if !name.is_ascii() {
        return plain(name) == plainly;
    }
    let mut letters = name.bytes().filter(u8::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase());
    plainly.bytes().all(|wanted| letters.next() == Some(wanted)) && letters.next().is_none()
}

/// A name without what makes no difference: case, spaces, punctuation.
fn plain(name: &str) -> String {
    if !name.is_ascii() {
        return name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    }
    let mut plain = String::with_capacity(name.len());
    plain.extend(name.bytes().filter(u8::is_ascii_alphanumeric).map(|letter| char::from(letter.to_ascii_lowercase())));
    plain
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
