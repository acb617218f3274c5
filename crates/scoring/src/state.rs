//! What scoring remembers about a lead.

use tasuki_domain::Timestamp;
use tasuki_playbook::AccountFacts;
use tasuki_stream::{State, StateError};

use crate::account::{self, Account, Told};
use crate::codec;
use crate::fit::Fit;
use crate::matching::Matching;
use crate::playbook::{self, Published};
use crate::profile::CompactProfile;
use crate::signals::{Pruned, Signals};

/// What scoring remembers about a lead.
#[derive(Clone, Debug, Default)]
pub struct ScoringState {
    /// The latest version seen on `activity`.
    pub(crate) seen: u64,
    /// The latest version written to `scores`.
    pub(crate) version: u64,
    pub(crate) signals: Signals,
    /// The rules that they match.
    pub(crate) matching: Matching,
    pub(crate) profile: Option<CompactProfile>,
    /// The playbook, by its fingerprint, under which the lead was scored and `fit` was found; 0 when it has to be found. Of
    /// an account, that whose cap was used.
    pub(crate) revision: u32,
    pub(crate) fit: Fit,
    /// Receipt of what the profile follows from.
    pub(crate) profile_received_at: Option<Timestamp>,
    /// The latest receipt among the signals that had to go.
    pub(crate) dropped_received_at: Option<Timestamp>,
    pub(crate) next_change_at: Option<Timestamp>,
    /// Whether the account that the profile names has something of the lead.
    pub(crate) adds: bool,
    /// Whether the account that the profile names knows that the lead is to hear what it has.
    pub(crate) hears: bool,
    /// What that account told the lead last, if that was anything.
    pub(crate) told: Option<Told>,
    /// The instant at which time alone changed something last, if nothing was received since and the lead hears its account.
    pub(crate) timed_at: Option<Timestamp>,
    /// Of a state that is of no lead but of an account: what its leads add.
    pub(crate) account: Option<Box<Account>>,
    /// Of the one state of a partition that is of no lead: the playbook in force.
    pub(crate) published: Option<Box<Published>>,
}

impl ScoringState {
    /// The instant that the score holds for while nothing new is received: the latest receipt among all of the lead's
    /// events. `None` if there are none.
    pub(crate) fn as_of(&self) -> Option<Timestamp> {
        [self.signals.received_at(), self.profile_received_at, self.dropped_received_at].into_iter().flatten().max()
    }

    /// The account that the profile names; may be empty.
    pub(crate) fn account_id(&self) -> &str {
        self.profile.as_ref().map_or("", CompactProfile::account)
    }

    /// What routes may know of the account.
    pub(crate) fn account_facts(&self) -> AccountFacts {
        self.told.map(|told| told.facts).unwrap_or_default()
    }

    /// Keeps the signals within their bounds, and the receipt of those that go.
    pub(crate) fn prune(&mut self) -> Pruned {
        let Some(as_of) = self.as_of() else { return Pruned::default() };
        let pruned = self.signals.prune(as_of);
        self.dropped_received_at = self.dropped_received_at.max(pruned.received_at);
        pruned
    }
}

impl State for ScoringState {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((&playbook::FORMAT, bytes)) => {
                let published = Some(Box::new(Published::decode(bytes)?));
                Ok(Self { published, ..Self::default() })
            }
            Some((&first, _)) if account::is_format(first) => {
                let (account, revision) = Account::decode(bytes)?;
                Ok(Self { account: Some(Box::new(account)), revision, ..Self::default() })
            }
            Some(_) | None => codec::decode(bytes),
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        match (&self.published, &self.account) {
            (Some(published), _) => published.encode(into),
            (None, Some(account)) => account.encode(self.revision, into),
            (None, None) => codec::encode(self, into),
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.next_change_at
    }

    fn common(&self) -> Option<u32> {
        self.published.as_ref().map(|published| published.revision)
    }

    fn revision(&self) -> u32 {
        self.revision
    }
}
