//! What a person is known by, and the lead id that follows from it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::{CrmId, EmailAddress, LeadId, PhoneNumber};

/// Something that stands for a device or a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// The id a tracker gave a device or browser: a visitor.
    Anonymous(String),
    /// The id under which the customer's own systems know a person.
    User(String),
    /// The id of a person's record in a CRM system.
    Crm(CrmId),
    /// An e-mail address.
    Email(EmailAddress),
    /// A phone number, which several people may share.
    Phone(PhoneNumber),
}

/// A key that is not an identifier.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: expected \"v:\", \"u:\", \"c:\", \"e:\" or \"p:\" and something behind it")]
pub struct InvalidIdentifier;

impl Identifier {
    /// The key under which the identifier's state and events are kept: `v:`, `u:`, `c:`, `e:` or `p:` and the identifier.
    pub fn key(&self) -> String {
        match self {
            Self::Anonymous(id) => Self::key_of_visitor(id),
            Self::User(id) => ["u:", id].concat(),
            Self::Crm(id) => ["c:", id.as_str()].concat(),
            Self::Email(address) => ["e:", address.as_str()].concat(),
            Self::Phone(number) => ["p:", number.as_str()].concat(),
        }
    }

    /// The key of an anonymous id.
    pub fn key_of_visitor(anonymous_id: &str) -> String {
        ["v:", anonymous_id].concat()
    }

    /// Reads a key back.
    pub fn from_key(key: &str) -> Result<Self, InvalidIdentifier> {
        match key.split_once(':') {
            Some((_, "")) | None => Err(InvalidIdentifier),
            Some(("v", id)) => Ok(Self::Anonymous(id.to_owned())),
            Some(("u", id)) => Ok(Self::User(id.to_owned())),
            Some(("c", id)) => id.parse().map(Self::Crm).map_err(|_| InvalidIdentifier),
            Some(("p", number)) => number.parse().map(Self::Phone).map_err(|_| InvalidIdentifier),
            Some(("e", address)) => address.parse().map(Self::Email).map_err(|_| InvalidIdentifier),
            Some(_) => Err(InvalidIdentifier),
        }
    }
}

/// The secret of one installation. Lead ids are computed with it, so that they cannot be guessed from an address, and
/// so that every service and every retry agrees without a lookup. It must never change.
#[derive(Clone)]
pub struct DeploymentSecret(Vec<u8>);

/// The secret has too few bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deployment secret has {0} bytes; at least 16 are needed")]
pub struct SecretTooShort(usize);

impl DeploymentSecret {
    /// A secret of at least 16 bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, SecretTooShort> {
        let bytes = bytes.into();
        if bytes.len() < 16 { Err(SecretTooShort(bytes.len())) } else { Ok(Self(bytes)) }
    }

    /// The lead that an identifier stands for: a UUIDv8 of HMAC-SHA256(secret, key of the identifier).
    pub fn lead_id(&self, identifier: &Identifier) -> LeadId {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(identifier.key().as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        // RFC 9562: version 8 in the high half of octet 6, the variant in the two high bits of octet 8.
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        LeadId::new(Uuid::from_bytes(bytes))
    }
}

impl fmt::Debug for DeploymentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeploymentSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> DeploymentSecret {
        DeploymentSecret::new(*b"0123456789abcdef").unwrap()
    }

    #[test]
    fn keys_read_back() {
        for identifier in [
            Identifier::Anonymous("a:b".to_owned()),
            Identifier::User("4711".to_owned()),
            Identifier::Email("ana@acme.example".parse().unwrap()),
            Identifier::Crm("hubspot:123".parse().unwrap()),
            Identifier::Phone("+81312345678".parse().unwrap()),
        ] {
            assert_eq!(Identifier::from_key(&identifier.key()), Ok(identifier));
        }
        for bad in ["", "v:", "x:1", "e:nobody", "u", "c:123", "p:0312345678"] {
            assert_eq!(Identifier::from_key(bad), Err(InvalidIdentifier), "{bad}");
        }
    }

    #[test]
    fn lead_ids_are_version_8_and_never_change() {
        let id = secret().lead_id(&Identifier::Email("ana@acme.example".parse().unwrap()));
        assert_eq!((id.uuid().get_version_num(), id.uuid().get_variant()), (8, uuid::Variant::RFC4122));
        assert_eq!(id.to_string(), "d4eb9311-dca3-8654-9d94-2426d46b8f2a");
    }

    #[test]
    fn lead_ids_differ_by_kind_of_identifier_and_by_secret() {
        let user = Identifier::User("1".to_owned());
        let visitor = Identifier::Anonymous("1".to_owned());
        assert_ne!(secret().lead_id(&user), secret().lead_id(&visitor));
        let other = DeploymentSecret::new(*b"another secret, 16+").unwrap();
        assert_ne!(secret().lead_id(&user), other.lead_id(&user));
        assert_eq!(DeploymentSecret::new(*b"short").unwrap_err(), SecretTooShort(5));
    }
}
