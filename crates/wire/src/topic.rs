//! The catalogue of topics: who writes each, how long it is kept, what its key is.

use std::fmt;
use std::str::FromStr;

macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $writer:literal, $keep:expr;)*) => {
        /// One topic of the log.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Topic { $($(#[$doc])* $name,)* }

        impl Topic {
            /// Every topic.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The topic's name on the log, before any prefix.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The one service that writes it; `"all"` for dead letters.
            pub const fn writer(self) -> &'static str {
                match self { $(Self::$name => $writer,)* }
            }

            /// How long its records stay.
            pub const fn keep(self) -> Keep {
                match self { $(Self::$name => $keep,)* }
            }
        }
    };
}

/// How long records stay on a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// For ever: this is the history.
    Forever,
    /// So many days.
    Days(u16),
    /// The last record of each key.
    LastOfKey,
}

topics! {
    /// Every accepted behavior event, as reported. Key: visitor id, else user id, else e-mail address.
    Behavior = "behavior", "ingest", Keep::Forever;
    /// What identity tells itself about links between identifiers. Key: the identifier that must learn of it.
    IdentityLinks = "identity-links", "identity", Keep::Days(7);
    /// Who is who, as a person decided it, as commands. Key: `l:` and the id of the lead that stays.
    LeadCommands = "lead-commands", "console", Keep::Forever;
    /// Whom each lead is merged with. Key: lead id.
    Identities = "identities", "identity", Keep::Forever;
    /// Behavior events attributed to leads; profiles. Key: lead id.
    Activity = "activity", "identity", Keep::Forever;
    /// Scores. Key: lead id.
    Scores = "scores", "scoring", Keep::Forever;
    /// What leads add to their accounts, and what the accounts have of them. Key: account id.
    Accounts = "accounts", "scoring", Keep::Forever;
    /// What accounts tell the leads that belong to them. Key: lead id.
    AccountLinks = "account-links", "scoring", Keep::Days(7);
    /// Marketing's decisions. Key: lead id.
    Qualification = "qualification", "qualification", Keep::Forever;
    /// What qualification tells itself about merged leads. Key: lead id.
    QualificationLinks = "qualification-links", "qualification", Keep::Days(7);
    /// Whose turn is it? Key: pool.
    DeskRequests = "desk-requests", "handoff", Keep::Days(7);
    /// The answer. Key: lead id.
    DeskDecisions = "desk-decisions", "desk", Keep::Days(7);
    /// Assignments, deadlines, verdicts of sales. Key: lead id.
    Handoff = "handoff", "handoff", Keep::Forever;
    /// The public contract for CRM connectors, JSON. Key: lead id.
    LeadsQualified = "leads.qualified.v1", "handoff", Keep::Forever;
    /// What sales did, as commands. Key: lead id.
    SalesFeedback = "sales-feedback", "console", Keep::Forever;
    /// Playbooks that were published or taken up again. Key: their version.
    Playbooks = "playbooks", "console", Keep::Forever;
    /// The same, once in each partition: from there on the partition is scored by it. Key: any of the partition.
    PlaybookMarkers = "playbook-markers", "scoring", Keep::Forever;
    /// What could not be processed. Key: the original's.
    DeadLetters = "dead-letters", "all", Keep::Days(90);
    /// State of identity. Key: identifier, or lead.
    IdentityState = "identity.state", "identity", Keep::LastOfKey;
    /// State of scoring. Key: lead id.
    ScoringState = "scoring.state", "scoring", Keep::LastOfKey;
    /// State of qualification. Key: lead id.
    QualificationState = "qualification.state", "qualification", Keep::LastOfKey;
    /// State of handoff. Key: lead id.
    HandoffState = "handoff.state", "handoff", Keep::LastOfKey;
    /// State of the desks. Key: pool.
    DeskState = "desk.state", "desk", Keep::LastOfKey;
}

/// The text names no topic.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such topic")]
pub struct UnknownTopic;

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Topic {
    type Err = UnknownTopic;
    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        Self::ALL.iter().copied().find(|topic| topic.name() == text).ok_or(UnknownTopic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for topic in Topic::ALL {
            assert_eq!(topic.name().parse(), Ok(*topic));
        }
    }

    #[test]
    fn state_topics_and_only_they_are_compacted() {
        for topic in Topic::ALL {
            assert_eq!(topic.keep() == Keep::LastOfKey, topic.name().ends_with(".state"), "{topic}");
        }
    }
}
