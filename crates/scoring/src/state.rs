//! What scoring remembers about a lead.

use tasuki_domain::Timestamp;
use tasuki_stream::{State, StateError};

use crate::codec;
use crate::fit::Fit;
use crate::matching::Matching;
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
    /// What the profile matches by the fit rules of this fingerprint; 0 when that has to be found.
    pub(crate) fit_rules: u32,
    pub(crate) fit: Fit,
    /// Receipt of what the profile follows from.
    pub(crate) profile_received_at: Option<Timestamp>,
    /// The latest receipt among the signals that had to go.
    pub(crate) dropped_received_at: Option<Timestamp>,
    pub(crate) next_change_at: Option<Timestamp>,
}

impl ScoringState {
    /// The instant that the score holds for while nothing new is received: the latest receipt among all of the lead's
    /// events. `None` if there are none.
    pub(crate) fn as_of(&self) -> Option<Timestamp> {
        [self.signals.received_at(), self.profile_received_at, self.dropped_received_at].into_iter().flatten().max()
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
        codec::decode(bytes)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        codec::encode(self, into);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.next_change_at
    }
}
