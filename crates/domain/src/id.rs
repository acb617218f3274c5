//! Ids and counters. Each is its own type, so that none can stand where another is meant.

use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};
use uuid::{Builder, Uuid};

/// Bytes or text that are not an id of this kind.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected {expected}")]
pub struct InvalidId {
    kind: &'static str,
    expected: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// This id from its UUID.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// As a UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes that stand in protobuf fields.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the 16 bytes of a protobuf field.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidId> {
                Uuid::from_slice(bytes).map(Self).map_err(|_| InvalidId { kind: stringify!($name), expected: "16 bytes" })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId { kind: stringify!($name), expected: "a UUID" })
            }
        }
    };
}

uuid_id! {
    /// One event. Given by the tracker or ingest for a behavior event, derived for every event after it.
    EventId
}
uuid_id! {
    /// One person known by at least one identifier. Computed from the identifier: `DeploymentSecret::lead_id`.
    LeadId
}
uuid_id! {
    /// The passing of one lead in one cycle to sales. Computed: `HandoffId::of`.
    HandoffId
}
uuid_id! {
    /// One command of sales. Chosen by who sends it; sending it again does nothing more.
    CommandId
}

/// Namespace of all derived event ids.
const DERIVED_EVENTS: Uuid = Uuid::from_u128(0x6ca8_5f6e_91f3_5a6c_b6f0_3c55_29a1_4d07);
/// Namespace of ids made from what a tracker sent.
const REPORTED_EVENTS: Uuid = Uuid::from_u128(0x1d0f_54fb_5e0b_5c7a_9f43_8d7e_7760_11c2);
/// Namespace of handoff ids.
const HANDOFFS: Uuid = Uuid::from_u128(0xe0a1_7c04_88b4_5d52_8a0c_5b21_f2f3_9e48);

impl EventId {
    /// The id of the `position`-th event that `service` lets follow from `cause`. The same work done again gives the
    /// same id; two services following the same cause give different ones.
    pub fn derived(service: &str, cause: EventId, position: u32) -> Self {
        let mut name = Vec::with_capacity(16 + 4 + service.len());
        name.extend_from_slice(cause.as_bytes());
        name.extend_from_slice(&position.to_be_bytes());
        name.extend_from_slice(service.as_bytes());
        Self(named(&DERIVED_EVENTS, &name))
    }

    /// The id of what a source reported under an id of its own, which may be any text.
    pub fn reported(source: &str, message_id: &str) -> Self {
        let mut name = Vec::with_capacity(source.len() + 1 + message_id.len());
        name.extend_from_slice(source.as_bytes());
        name.push(0);
        name.extend_from_slice(message_id.as_bytes());
        Self(named(&REPORTED_EVENTS, &name))
    }
}

impl HandoffId {
    /// The id of the handoff of this lead in this cycle.
    pub fn of(lead: LeadId, cycle: Cycle) -> Self {
        let mut name = [0; 20];
        name[..16].copy_from_slice(lead.as_bytes());
        name[16..].copy_from_slice(&cycle.get().to_be_bytes());
        Self(named(&HANDOFFS, &name))
    }
}

/// UUIDv5 of a name, as [`Uuid::new_v5`] computes it, but with the instructions that processors have for SHA-1: event ids
/// are made by the hundred thousand a second.
fn named(namespace: &Uuid, name: &[u8]) -> Uuid {
    let digest = Sha1::new().chain_update(namespace.as_bytes()).chain_update(name).finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    Builder::from_sha1_bytes(first).into_uuid()
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($int);

        impl $name {
            /// This number.
            pub const fn new(number: $int) -> Self {
                Self(number)
            }

            /// As a plain number.
            pub const fn get(self) -> $int {
                self.0
            }

            /// The one after.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter! {
    /// Which passage of a lead from qualification to its end: 1, 2, 3 ...; 0 before the first.
    Cycle(u32)
}
counter! {
    /// Number of a record among those of its lead on its topic: 1, 2, 3 ...; 0 before the first.
    Version(u64)
}
counter! {
    /// Number of a published playbook.
    PlaybookVersion(u32)
}

/// The company a lead belongs to: its corporate e-mail domain, or the id a tracker gave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

impl AccountId {
    /// An account by its id.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_uuids_of_the_standard() {
        for length in [0, 1, 39, 40, 55, 64, 200] {
            let name = vec![b'n'; length];
            assert_eq!(named(&HANDOFFS, &name), Uuid::new_v5(&HANDOFFS, &name), "{length} bytes");
        }
    }

    #[test]
    fn derived_ids_never_change() {
        let cause = EventId::new(Uuid::from_u128(1));
        // Written down once; a change here would give every event a second identity on replay.
        assert_eq!(EventId::derived("scoring", cause, 0).to_string(), "d8c34166-82b1-502f-ab02-115b64faabb6");
        assert_eq!(EventId::reported("website", "m-1").to_string(), "312568e9-e9ec-5945-8513-1e0cdeb154a1");
        assert_eq!(
            HandoffId::of(LeadId::new(Uuid::from_u128(7)), Cycle::new(1)).to_string(),
            "25b16872-de09-5f68-93f8-c8eb27f6747b"
        );
    }

    #[test]
    fn derived_ids_differ_by_service_cause_and_position() {
        let (a, b) = (EventId::new(Uuid::from_u128(1)), EventId::new(Uuid::from_u128(2)));
        let ids = [
            EventId::derived("scoring", a, 0),
            EventId::derived("scoring", a, 1),
            EventId::derived("scoring", b, 0),
            EventId::derived("identity", a, 0),
        ];
        for (i, left) in ids.iter().enumerate() {
            for right in &ids[i + 1..] {
                assert_ne!(left, right);
            }
        }
    }

    #[test]
    fn says_what_an_id_must_look_like() {
        let error = LeadId::from_slice(&[1, 2, 3]).unwrap_err();
        assert_eq!(error.to_string(), "not a LeadId: expected 16 bytes");
        assert!("nobody".parse::<HandoffId>().is_err());
    }
}
