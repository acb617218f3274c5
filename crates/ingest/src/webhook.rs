//! Webhooks of a source: who sends them, and the secrets by which we know that it was they.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use tasuki_domain::{Millis, Timestamp};

use crate::adapter::Unsigned;

/// How far the time of a signature may be from ours: what Standard Webhooks and HubSpot both say.
const TOLERANCE: Millis = Millis::from_seconds(5 * 60);

/// Senders write base64 with padding; without it means the same.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who sends webhooks: what is signed how, and what the bodies look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Sender {
    /// Whoever follows the Standard Webhooks specification (Svix and what is built on it).
    #[serde(rename = "standard-webhooks")]
    StandardWebhooks,
    /// HubSpot, signature version 3.
    #[serde(rename = "hubspot")]
    HubSpot,
    /// Mautic.
    #[serde(rename = "mautic")]
    Mautic,
}

/// The webhooks of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    sender: Sender,
    secrets: Vec<Secret>,
    public_url: String,
}

/// What both sides know. Not readable in logs.
#[derive(Clone, PartialEq, Eq)]
struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The webhooks of a source as the sources file says them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    sender: Sender,
    secrets: Vec<String>,
    #[serde(default)]
    public_url: String,
}

impl Entry {
    /// The webhooks, unless something is wrong with them; what is, is added to the faults.
    pub(crate) fn check(self, source: &str, faults: &mut Vec<String>) -> Option<Webhook> {
        let before = faults.len();
        let mut fault = |what: &str| faults.push(format!("source {source:?}: {what}"));
        if !source.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) || source.is_empty() {
            fault("webhooks come to /webhooks/NAME, so the name must be of ASCII letters, digits and . _ - only");
        }
        if self.secrets.is_empty() {
            fault("webhook.secrets is empty: without a secret anybody could send");
        }
        let mut secrets = Vec::new();
        for (index, text) in self.secrets.iter().enumerate() {
            match self.sender.secret(text) {
                Ok(secret) => secrets.push(secret),
                Err(why) => fault(&format!("webhook.secrets[{index}] {why}")),
            }
        }
        let public_url = self.public_url.trim_end_matches('/').to_owned();
        if self.sender == Sender::HubSpot && !is_base(&public_url) {
            fault(
                "webhook.public_url must say how ingest is reached from outside, for example \
                 \"https://collect.example.com\": HubSpot signs the address it sends to",
            );
        }
        (faults.len() == before).then_some(Webhook { sender: self.sender, secrets, public_url })
    }
}

/// An address to which a path can be added.
fn is_base(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.query().is_none() && url.fragment().is_none())
}

impl Sender {
    /// The bytes of a secret as this sender shows it to its users.
    fn secret(self, text: &str) -> Result<Secret, &'static str> {
        let bytes = match self {
            Self::StandardWebhooks => BASE64
                .decode(text.strip_prefix("whsec_").unwrap_or(text))
                .map_err(|_| "is not \"whsec_\" and base64 behind it")?,
            Self::HubSpot | Self::Mautic => text.as_bytes().to_vec(),
        };
        if bytes.is_empty() { Err("is empty") } else { Ok(Secret(bytes)) }
    }
}

impl Webhook {
    /// Webhooks that are signed with one of these secrets. `public_url` matters to HubSpot only.
    ///
    /// # Errors
    ///
    /// Says all that is wrong, for a person.
    pub fn new(sender: Sender, secrets: &[&str], public_url: &str) -> Result<Self, String> {
        let secrets = secrets.iter().map(|text| (*text).to_owned()).collect();
        let mut faults = Vec::new();
        let webhook = Entry { sender, secrets, public_url: public_url.to_owned() }.check("webhook", &mut faults);
        webhook.ok_or_else(|| faults.join("; "))
    }

    /// Who sends.
    pub const fn sender(&self) -> Sender {
        self.sender
    }

    /// How ingest is reached from outside, without slash at the end.
    pub(crate) fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Whether one of the secrets made one of these signatures (base64) of this message. Takes as long whichever is
    /// right.
    pub(crate) fn signed<'s>(
        &self,
        message: &[&[u8]],
        signatures: impl Iterator<Item = &'s str>,
    ) -> Result<(), Unsigned> {
        let mut given = Unsigned::Missing;
        for signature in signatures {
            given = Unsigned::Wrong;
            let Ok(signature) = BASE64.decode(signature.trim()) else { continue };
            if self.secrets.iter().any(|secret| secret.made(message, &signature)) {
                return Ok(());
            }
        }
        Err(given)
    }
}

impl Secret {
    fn made(&self, message: &[&[u8]], signature: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return false };
        for part in message {
            mac.update(part);
        }
        mac.verify_slice(signature).is_ok()
    }
}

/// Whether a signature's time is near enough to ours.
pub(crate) fn fresh(signed_at: Option<Timestamp>, received_at: Timestamp) -> Result<(), Unsigned> {
    let near = |at: Timestamp| received_at.since(at).get().saturating_abs() <= TOLERANCE.get();
    if signed_at.is_some_and(near) { Ok(()) } else { Err(Unsigned::Stale) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sources;

    #[test]
    fn all_faults_are_said_and_no_secret_with_them() {
        let file = r#"
            [[source]]
            name = "a b"
            webhook = { sender = "standard-webhooks", secrets = ["whsec_not base64, and private"] }
            [[source]]
            name = "hubspot"
            webhook = { sender = "hubspot", secrets = [], public_url = "collect.example.com" }
        "#;
        let said = Sources::from_toml(file).unwrap_err().to_string();
        let faults: Vec<_> = said.split("; ").collect();
        assert_eq!(faults.len(), 4, "{said}");
        assert!(faults[0].starts_with("source \"a b\": webhooks come to /webhooks/NAME"), "{said}");
        assert_eq!(faults[1], "source \"a b\": webhook.secrets[0] is not \"whsec_\" and base64 behind it");
        assert!(faults[2].starts_with("source \"hubspot\": webhook.secrets is empty"), "{said}");
        assert!(faults[3].starts_with("source \"hubspot\": webhook.public_url must say"), "{said}");
        assert!(!said.contains("private"), "{said}");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let webhook = Webhook::new(Sender::Mautic, &["hunter2"], "").unwrap();
        assert!(!format!("{webhook:?}").contains("hunter2"), "{webhook:?}");
    }

    #[test]
    fn any_secret_and_any_signature_may_fit() {
        let webhook = Webhook::new(Sender::Mautic, &["old", "new"], "").unwrap();
        // printf body | openssl dgst -sha256 -hmac new -binary | base64
        let signature = "ny35tNNKhJWVG2yBLFm9kSqJq+EAd8RJ1rtRLMLnUT4=";
        let signed = |signatures: &[&'static str]| webhook.signed(&[b"bo", b"dy"], signatures.iter().copied());
        assert_eq!(signed(&["AAAA", signature]), Ok(()));
        assert_eq!(signed(&["AAAA", "no base64!"]), Err(Unsigned::Wrong));
        assert_eq!(signed(&[]), Err(Unsigned::Missing));
    }

    #[test]
    fn five_minutes_are_near_in_both_directions() {
        let at = |text: &str| Some(text.parse().unwrap());
        let noon = "2026-11-22T12:00:00Z".parse().unwrap();
        for (signed_at, expected) in [
            (at("2026-11-22T11:55:00Z"), Ok(())),
            (at("2026-11-22T12:05:00Z"), Ok(())),
            (at("2026-11-22T11:54:59.999Z"), Err(Unsigned::Stale)),
            (at("2026-11-22T12:05:00.001Z"), Err(Unsigned::Stale)),
            (None, Err(Unsigned::Stale)),
        ] {
            assert_eq!(fresh(signed_at, noon), expected, "{signed_at:?}");
        }
    }
}
