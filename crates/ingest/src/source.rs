//! Sources: who may send, and how a request says which source it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::policy::{Origins, Rate};
use crate::privacy::PrivacyPolicy;
use crate::webhook::{self, Webhook};

/// The SHA-256 of a write key. Write keys are public (they stand in web pages), but need not stand in our files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteKeyHash([u8; 32]);

/// One source of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name: label of metrics, part of every event id. Must never change.
    pub name: String,
    /// Its events come from the customer's own servers: an IP address in them is the visitor's and is believed.
    pub server: bool,
    write_keys: Vec<WriteKeyHash>,
    app_ids: Vec<String>,
    hosts: Vec<String>,
    paths: Vec<String>,
    matomo_tokens: Vec<WriteKeyHash>,
    webhook: Option<Webhook>,
    pub(crate) origins: Origins,
    pub(crate) rate: Option<Rate>,
    /// What a privacy signal does, where it is not what the settings say.
    pub(crate) privacy: Option<PrivacyPolicy>,
}

/// Every source, and which of them takes what names none.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    all: Vec<Source>,
    by_key: BTreeMap<WriteKeyHash, usize>,
    plain_keys: Vec<(String, WriteKeyHash)>,
    default: Option<usize>,
}

/// The sources file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSources {
    /// No TOML, or unknown fields.
    #[error("the sources file cannot be read")]
    Syntax(#[source] Box<toml::de::Error>),
    /// Two sources of one name.
    #[error("source {0:?} is there twice")]
    SameName(String),
    /// Two sources with one key.
    #[error("sources {0:?} and {1:?} have the same write key")]
    SameKey(String, String),
    /// Not a SHA-256.
    #[error("source {0:?}: write_key_sha256 must be 64 hexadecimal digits")]
    Hash(String),
    /// Settings of webhooks, tokens, origins or rates are wrong: all that are.
    #[error("{}", .0.join("; "))]
    Webhooks(Vec<String>),
    /// The default names no source.
    #[error("default_source {found:?} is none of the sources; allowed are {allowed:?}")]
    Default {
        /// What was found.
        found: String,
        /// The names there are.
        allowed: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default_source: Option<String>,
    #[serde(default)]
    source: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    server: bool,
    #[serde(default)]
    write_key_sha256: Vec<String>,
    #[serde(default)]
    write_keys: Vec<String>,
    #[serde(default)]
    origins: Vec<String>,
    events_per_second: Option<u32>,
    burst: Option<u32>,
    privacy_signal: Option<PrivacyPolicy>,
    #[serde(default)]
    snowplow_app_ids: Vec<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    snowplow_paths: Vec<String>,
    #[serde(default)]
    matomo_site_ids: Vec<String>,
    #[serde(default)]
    matomo_token_sha256: Vec<String>,
    #[serde(default)]
    ga4_measurement_ids: Vec<String>,
    webhook: Option<webhook::Entry>,
}

impl WriteKeyHash {
    /// The hash of a write key.
    pub fn of(write_key: &str) -> Self {
        Self(Sha256::digest(write_key.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut hash = [0; 32];
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::LowerHex for WriteKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for WriteKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteKeyHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

impl Source {
    /// A source with one write key.
    pub fn new(name: impl Into<String>, write_key: WriteKeyHash) -> Self {
        Self {
            name: name.into(),
            server: false,
            write_keys: vec![write_key],
            app_ids: Vec::new(),
            hosts: Vec::new(),
            paths: Vec::new(),
            matomo_tokens: Vec::new(),
            webhook: None,
            origins: Origins::default(),
            rate: None,
            privacy: None,
        }
    }

    /// How its webhooks come, if it has any.
    pub const fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref()
    }

    /// The same source, with webhooks.
    #[must_use]
    pub fn with_webhook(mut self, webhook: Webhook) -> Self {
        self.webhook = Some(webhook);
        self
    }

    /// Whether this is a token with which a Matomo client may say other people's addresses and times.
    pub(crate) fn has_matomo_token(&self, token: &str) -> bool {
        self.matomo_tokens.contains(&WriteKeyHash::of(token))
    }
}

impl Sources {
    /// These sources; the first also takes what names no source (Snowplow has no write keys).
    ///
    /// # Errors
    ///
    /// If two share a name or a key.
    pub fn new(all: Vec<Source>) -> Result<Self, InvalidSources> {
        let default = if all.is_empty() { None } else { Some(0) };
        Self::checked(all, default)
    }

    /// Reads a sources file:
    ///
    /// ```
    /// let sources = tasuki_ingest::Sources::from_toml(r#"
    ///     default_source = "website"       # takes what names no source; left out: such events are kept as dead letters
    ///
    ///     [[source]]
    ///     name = "website"                 # part of every event id: must never change
    ///     write_key_sha256 = [             # printf %s KEY | sha256sum; several while keys change
    ///         "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ///     ]
    ///     write_keys = ["KEY"]             # in plain; taken, and the log says at start what to write instead
    ///     origins = ["https://example.com", "https://*.example.com"]  # pages that may send; left out: all
    ///     events_per_second = 500          # on average; left out: any number
    ///     burst = 5000                     # at once, after a pause; left out: ten times as many
    ///     privacy_signal = "anonymise"     # "ignore", "anonymise" or "drop" what carries Sec-GPC or DNT
    ///     server = false                   # true: sent by your own servers, IP addresses in events are believed
    ///     snowplow_app_ids = ["website"]   # Snowplow's aid
    ///     hosts = ["t.example.com"]        # Snowplow: requests to this host
    ///     snowplow_paths = ["/a/b"]        # Snowplow: custom postPath of this source
    ///     matomo_site_ids = ["1"]          # Matomo's idsite; without: a write key as idsite does too
    ///     matomo_token_sha256 = []         # of token_auth: who has it may say other addresses (cip) and old times (cdt)
    ///     ga4_measurement_ids = ["G-1"]    # GA4; without: a write key as api_secret does too
    ///
    ///     [[source]]
    ///     name = "hubspot"                 # its webhooks go to /webhooks/hubspot
    ///     [source.webhook]
    ///     sender = "hubspot"               # or "standard-webhooks", "mautic": how requests are signed and what they say
    ///     secrets = ["the app's client secret"]          # several while they change
    ///     public_url = "https://collect.example.com"     # HubSpot only: how ingest is reached from outside
    /// "#);
    /// assert!(sources.is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// Says what is wrong and, where TOML can tell, in which line.
    pub fn from_toml(text: &str) -> Result<Self, InvalidSources> {
        let file: File = toml::from_str(text).map_err(|error| InvalidSources::Syntax(Box::new(error)))?;
        let mut all = Vec::new();
        let (mut faults, mut plain_keys) = (Vec::new(), Vec::new());
        for entry in file.source {
            let webhook = entry.webhook.and_then(|webhook| webhook.check(&entry.name, &mut faults));
            let tokens = entry.matomo_token_sha256.iter().filter_map(|text| {
                let hash = WriteKeyHash::from_hex(text);
                if hash.is_none() {
                    faults.push(format!("source {:?}: matomo_token_sha256 must be 64 hexadecimal digits", entry.name));
                }
                hash
            });
            let matomo_tokens = tokens.collect();
            let mut app_ids = entry.snowplow_app_ids;
            app_ids.extend(entry.matomo_site_ids.into_iter().map(|id| format!("matomo:{id}")));
            app_ids.extend(entry.ga4_measurement_ids.into_iter().map(|id| format!("ga4:{id}")));
            let keys: Option<Vec<_>> = entry.write_key_sha256.iter().map(|text| WriteKeyHash::from_hex(text)).collect();
            let Some(mut write_keys) = keys else { return Err(InvalidSources::Hash(entry.name)) };
            for key in &entry.write_keys {
                let hash = WriteKeyHash::of(key);
                plain_keys.push((entry.name.clone(), hash));
                if !write_keys.contains(&hash) {
                    write_keys.push(hash);
                }
            }
            let origins = Origins::read(&entry.origins).unwrap_or_else(|wrong| {
                faults.push(format!(
                    "source {:?}: origins has {wrong:?}; write scheme and host, as in \"https://example.com\" or \
                     \"https://*.example.com\"",
                    entry.name
                ));
                Origins::default()
            });
            let rate = rate(entry.events_per_second, entry.burst).unwrap_or_else(|wrong| {
                faults.push(format!("source {:?}: {wrong}", entry.name));
                None
            });
            all.push(Source {
                name: entry.name,
                server: entry.server,
                write_keys,
                app_ids,
                hosts: entry.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
                paths: entry.snowplow_paths.iter().map(|path| path.trim_end_matches('/').to_owned()).collect(),
                matomo_tokens,
                webhook,
                origins,
                rate,
                privacy: entry.privacy_signal,
            });
        }
        if !faults.is_empty() {
            return Err(InvalidSources::Webhooks(faults));
        }
        let default = match file.default_source {
            None => None,
            Some(found) => match all.iter().position(|source| source.name == found) {
                Some(index) => Some(index),
                None => {
                    let allowed = all.into_iter().map(|source| source.name).collect();
                    return Err(InvalidSources::Default { found, allowed });
                }
            },
        };
        Ok(Self { plain_keys, ..Self::checked(all, default)? })
    }

    fn checked(all: Vec<Source>, default: Option<usize>) -> Result<Self, InvalidSources> {
        let mut names = BTreeSet::new();
        let mut by_key: BTreeMap<WriteKeyHash, usize> = BTreeMap::new();
        for (index, source) in all.iter().enumerate() {
            if !names.insert(source.name.as_str()) {
                return Err(InvalidSources::SameName(source.name.clone()));
            }
            for key in &source.write_keys {
                if let Some(other) = by_key.insert(*key, index) {
                    return Err(InvalidSources::SameKey(all[other].name.clone(), source.name.clone()));
                }
            }
        }
        Ok(Self { all, by_key, plain_keys: Vec::new(), default })
    }

    /// The source of a write key.
    pub fn by_write_key(&self, write_key: &str) -> Option<&Source> {
        self.by_key.get(&WriteKeyHash::of(write_key)).map(|index| &self.all[*index])
    }

    /// Every source.
    pub(crate) fn all(&self) -> &[Source] {
        &self.all
    }

    /// Write keys that stand in plain in the file: of which source, and what could stand there instead.
    pub(crate) fn plain_keys(&self) -> &[(String, WriteKeyHash)] {
        &self.plain_keys
    }

    /// Whether a page of this origin may send to some source; to which, its request will say.
    pub(crate) fn allow_origin(&self, origin: &str) -> bool {
        self.all.is_empty() || self.all.iter().any(|source| source.origins.allow(origin))
    }

    /// The source of this name.
    pub fn by_name(&self, name: &str) -> Option<&Source> {
        self.all.iter().find(|source| source.name == name)
    }

    /// The source of a protocol without keys: by custom path, host or app id, else the default.
    pub fn by_place(&self, path: &str, host: Option<&str>, app_id: Option<&str>) -> Option<&Source> {
        let host = host.map(|host| host.split(':').next().unwrap_or(host).to_ascii_lowercase());
        let named = |wanted: &str, listed: &[String]| listed.iter().any(|entry| entry == wanted);
        self.all
            .iter()
            .find(|source| named(path, &source.paths))
            .or_else(|| self.all.iter().find(|source| app_id.is_some_and(|id| named(id, &source.app_ids))))
            .or_else(|| self.all.iter().find(|source| host.as_ref().is_some_and(|host| named(host, &source.hosts))))
            .or_else(|| self.default.map(|index| &self.all[index]))
    }

    /// Whether some source has this custom Snowplow path.
    pub fn has_path(&self, path: &str) -> bool {
        self.all.iter().any(|source| source.paths.iter().any(|own| own == path))
    }
}

fn rate(per_second: Option<u32>, burst: Option<u32>) -> Result<Option<Rate>, &'static str> {
    match (per_second, burst) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("burst is there without events_per_second"),
        (Some(0), _) | (_, Some(0)) => Err("events_per_second and burst must be at least 1"),
        (Some(per_second), burst) => {
            Ok(Some(Rate { per_second, burst: burst.unwrap_or(per_second.saturating_mul(10)) }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        default_source = "site"
        [[source]]
        name = "site"
        write_key_sha256 = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
        [[source]]
        name = "shop"
        snowplow_app_ids = ["shop-app"]
        hosts = ["T.shop.example"]
        snowplow_paths = ["/a/b/"]
    "#;

    #[test]
    fn finds_a_source_by_the_hash_of_its_key() {
        let sources = Sources::from_toml(FILE).unwrap();
        assert_eq!(sources.by_write_key("test").map(|source| source.name.as_str()), Some("site"));
        assert_eq!(sources.by_write_key("Test"), None);
    }

    #[test]
    fn finds_a_source_without_key_by_path_then_app_then_host_then_default() {
        let sources = Sources::from_toml(FILE).unwrap();
        let name = |path, host, app| sources.by_place(path, host, app).map(|source| source.name.as_str());
        assert_eq!(name("/a/b", None, None), Some("shop"));
        assert_eq!(name("/i", None, Some("shop-app")), Some("shop"));
        assert_eq!(name("/i", Some("t.SHOP.example:443"), Some("x")), Some("shop"));
        assert_eq!(name("/i", Some("other.example"), Some("x")), Some("site"));
    }

    #[test]
    fn a_key_in_plain_is_taken_and_told_with_the_hash_that_does_as_well() {
        let sources = Sources::from_toml("[[source]]\nname = \"site\"\nwrite_keys = [\"test\"]").unwrap();
        assert_eq!(sources.by_write_key("test").map(|source| source.name.as_str()), Some("site"));
        let [(name, hash)] = sources.plain_keys() else { unreachable!("one key") };
        let told = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!((name.as_str(), format!("{hash:x}").as_str()), ("site", told));
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let message = |text: &str| Sources::from_toml(text).unwrap_err().to_string();
        assert_eq!(message("default_source = \"x\""), "default_source \"x\" is none of the sources; allowed are []");
        assert_eq!(message("[[source]]\nname=\"a\"\n[[source]]\nname=\"a\""), "source \"a\" is there twice");
        assert_eq!(
            message("[[source]]\nname=\"a\"\nwrite_key_sha256=[\"12\"]"),
            "source \"a\": write_key_sha256 must be 64 hexadecimal digits"
        );
        assert_eq!(
            message("[[source]]\nname=\"a\"\norigins=[\"example.com\"]\nburst=3"),
            "source \"a\": origins has \"example.com\"; write scheme and host, as in \"https://example.com\" or \
             \"https://*.example.com\"; source \"a\": burst is there without events_per_second"
        );
        assert_eq!(message("[[sources]]\nname=\"a\""), "the sources file cannot be read");
    }
}
