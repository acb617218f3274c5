//! Who is one person with whom, as commands on the log. What follows is decided by identity, from all commands there are.

use prost::Message;
use tasuki_domain::{CommandId, EventId, LeadId, Timestamp, Version};
use tasuki_stream::Emitted;
use tasuki_wire::v1::{self, lead_command};
use tasuki_wire::{Head, Topic};
use uuid::Uuid;

/// Namespace of the ids of these commands.
const COMMANDS: Uuid = Uuid::from_u128(0x91f2_0b6d_53c4_5e18_8c77_20d4_aa3e_6b95);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The other lead is the same person.
    Merge,
    /// It is not.
    Split,
}

impl Ask {
    /// As in the API's addresses.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Split => "split",
        }
    }
}

/// One command.
#[derive(Clone, Debug)]
pub(crate) struct LeadCommand {
    /// The lead that stays.
    pub(crate) into: LeadId,
    pub(crate) from: LeadId,
    pub(crate) ask: Ask,
    /// Who says so.
    pub(crate) by: String,
    /// Chosen by the caller to tell a repetition from a second command.
    pub(crate) idempotency_key: Option<String>,
}

impl LeadCommand {
    /// Follows from leads, ask and the caller's key; without one from the instant: what was merged and split may be merged
    /// again, and that a click counted twice changes nothing.
    pub(crate) fn id(&self, now: Timestamp) -> CommandId {
        let mut name = self.into.as_bytes().to_vec();
        name.extend_from_slice(self.from.as_bytes());
        let at = now.as_millis().to_string();
        let (kind, key) = match &self.idempotency_key {
            Some(key) => ("key", key.as_str()),
            None => ("at", at.as_str()),
        };
        for part in [self.ask.verb(), kind, key] {
            name.push(0);
            name.extend_from_slice(part.as_bytes());
        }
        CommandId::new(Uuid::new_v5(&COMMANDS, &name))
    }

    pub(crate) fn record(&self, now: Timestamp) -> Emitted {
        let head = Head {
            event_id: EventId::new(self.id(now).uuid()),
            occurred_at: now,
            received_at: now,
            cause: None,
            lead: Some(self.into),
            version: Version::default(),
        };
        let command = v1::LeadCommand {
            meta: Some(head.to_meta()),
            from: self.from.as_bytes().to_vec(),
            by: self.by.clone(),
            command: Some(match self.ask {
                Ask::Merge => lead_command::Command::Merge(v1::MergeLead {}),
                Ask::Split => lead_command::Command::Split(v1::SplitLead {}),
            }),
        };
        // As identity keeps the state of a lead.
        let key = format!("l:{}", self.into);
        Emitted { topic: Topic::LeadCommands, key, payload: command.encode_to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_426_200_000);

    fn merge(key: Option<&str>) -> LeadCommand {
        LeadCommand {
            into: LeadId::new(Uuid::from_u128(1)),
            from: LeadId::new(Uuid::from_u128(2)),
            ask: Ask::Merge,
            by: "mori".to_owned(),
            idempotency_key: key.map(str::to_owned),
        }
    }

    #[test]
    fn a_command_with_a_key_is_the_same_at_any_time_and_one_without_is_another_each_time() {
        let later = Timestamp::from_millis(NOW.as_millis() + 1);
        assert_eq!(merge(Some("k")).id(NOW), merge(Some("k")).id(later));
        assert_ne!(merge(None).id(NOW), merge(None).id(later));
        let split = LeadCommand { ask: Ask::Split, ..merge(Some("k")) };
        assert_ne!(merge(Some("k")).id(NOW), split.id(NOW));
        // Written down once; a change here would let a repeated request count twice across releases.
        assert_eq!(merge(Some("k")).id(NOW).to_string(), "388ffbc4-dd53-5157-92d3-1f4a59c51e59");
    }
}
