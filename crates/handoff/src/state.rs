//! What the two processors remember, and how it is stored.

use prost::Message;
use tasuki_domain::{Cycle, HandoffId, LeadId, Timestamp};
use tasuki_stream::{State, StateError};
use tasuki_wire::v1;

/// How many settled handoffs of a lead are kept, so that feedback on them is understood. Older ones are known by their
/// number only.
const KEPT_SETTLED: usize = 16;

/// How many cycles ahead of the last known one feedback may be. Cycles are few; this lets feedback of several cycles be
/// read before the qualifications they belong to, and tells a wrong handoff id at once.
const CYCLES_AHEAD: u32 = 16;

/// How many refused commands of a lead are remembered, so that the same one is not refused twice.
const KEPT_REFUSED: usize = 32;

/// Everything about one lead's handoffs. Key: lead id.
#[derive(Clone, PartialEq, Message)]
pub struct HandoffState {
    /// The last version of `qualification` that was seen.
    #[prost(uint64, tag = "1")]
    pub(crate) qualification_seen: u64,
    /// The last version written to `handoff`.
    #[prost(uint64, tag = "2")]
    pub(crate) version: u64,
    /// The last version written to `leads.qualified.v1`.
    #[prost(uint64, tag = "3")]
    pub(crate) contract_version: u64,
    /// By cycle, the first one first.
    #[prost(message, repeated, tag = "4")]
    pub(crate) handoffs: Vec<OneHandoff>,
    /// The handoffs of cycles up to this one are settled and no longer kept.
    #[prost(uint32, tag = "5")]
    pub(crate) forgotten_up_to: u32,
    /// Ids of refused commands, the latest last.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(crate) refused: Vec<Vec<u8>>,
    /// The last version of `identities` that was seen.
    #[prost(uint64, tag = "7")]
    pub(crate) identities_seen: u64,
    /// The lead that this one is merged into; empty: none.
    #[prost(bytes = "vec", tag = "8")]
    pub(crate) merged_into: Vec<u8>,
    /// The last record of the public contract, to be written again when the lead is merged.
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) contract: Vec<u8>,
    /// Of a state that is of no lead: a playbook that was published.
    #[prost(message, optional, tag = "10")]
    pub(crate) playbook: Option<v1::PlaybookRecord>,
}

/// One cycle's handoff. It begins with whatever is heard of it first.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OneHandoff {
    #[prost(uint32, tag = "1")]
    pub(crate) cycle: u32,
    /// The qualification, until the lead is assigned.
    #[prost(message, optional, tag = "2")]
    pub(crate) qualification: Option<v1::QualificationRecord>,
    /// The desk's decision, until the lead is assigned.
    #[prost(message, optional, tag = "3")]
    pub(crate) decision: Option<v1::DeskDecision>,
    /// Feedback that came before the assignment, in its order.
    #[prost(message, repeated, tag = "4")]
    pub(crate) waiting: Vec<v1::SalesFeedback>,
    #[prost(message, optional, tag = "5")]
    pub(crate) assigned: Option<Assigned>,
    #[prost(message, optional, tag = "6")]
    pub(crate) verdict: Option<Verdict>,
}

/// The lead is given to somebody, or to nobody.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Assigned {
    #[prost(string, tag = "1")]
    pub(crate) pool: String,
    /// Empty when nobody was free.
    #[prost(string, tag = "2")]
    pub(crate) owner_id: String,
    #[prost(sfixed64, tag = "3")]
    pub(crate) accept_by_ms: i64,
    /// The latest receipt that the assignment follows from.
    #[prost(sfixed64, tag = "4")]
    pub(crate) received_at_ms: i64,
    #[prost(bool, tag = "5")]
    pub(crate) overdue: bool,
}

/// What sales said.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Verdict {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) command_id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) by: String,
    /// Unspecified: accepted.
    #[prost(enumeration = "v1::RejectReason", tag = "3")]
    pub(crate) rejected: i32,
}

/// What an id of a handoff says to a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The handoff of this cycle, known or to be known.
    Cycle(u32),
    /// Settled so long ago that it is no longer kept.
    Forgotten,
    /// No handoff of this lead has it, nor will one within the next cycles.
    Nobody,
}

impl HandoffState {
    /// Which handoff of the lead an id means.
    pub(crate) fn whose(&self, lead: LeadId, id: HandoffId) -> Whose {
        let known = self.handoffs.iter().filter(|handoff| handoff.is_known()).map(|handoff| handoff.cycle).max();
        let last = known.unwrap_or(0).max(self.forgotten_up_to).saturating_add(CYCLES_AHEAD);
        match (1..=last).find(|&cycle| HandoffId::of(lead, Cycle::new(cycle)) == id) {
            Some(cycle) if cycle <= self.forgotten_up_to => Whose::Forgotten,
            Some(cycle) => Whose::Cycle(cycle),
            None => Whose::Nobody,
        }
    }

    /// The handoff of a cycle, a new one if nothing is known of it. Not for forgotten cycles.
    pub(crate) fn of_cycle(&mut self, cycle: u32) -> &mut OneHandoff {
        let index = match self.handoffs.binary_search_by_key(&cycle, |handoff| handoff.cycle) {
            Ok(index) => index,
            Err(index) => {
                self.handoffs.insert(index, OneHandoff { cycle, ..OneHandoff::default() });
                index
            }
        };
        &mut self.handoffs[index]
    }

    /// Lets go of settled handoffs beyond those that are kept.
    pub(crate) fn forget_settled(&mut self) {
        while self.handoffs.len() > KEPT_SETTLED && self.handoffs[0].verdict.is_some() {
            self.forgotten_up_to = self.handoffs.remove(0).cycle;
        }
    }

    /// The lead that this one is merged into.
    pub(crate) fn merged_into(&self) -> Option<LeadId> {
        LeadId::from_slice(&self.merged_into).ok()
    }

    /// Remembers that a command was refused.
    pub(crate) fn remember_refused(&mut self, command_id: Vec<u8>) {
        if self.refused.len() >= KEPT_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(command_id);
    }
}

impl OneHandoff {
    /// Heard of from qualification or desk, not from feedback alone.
    fn is_known(&self) -> bool {
        self.qualification.is_some() || self.decision.is_some() || self.assigned.is_some()
    }

    /// The deadline that is running.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let assigned = self.assigned.as_ref().filter(|assigned| !assigned.overdue && self.verdict.is_none())?;
        Some(Timestamp::from_millis(assigned.accept_by_ms))
    }

    /// Qualification and decision, once both are here, and never again.
    pub(crate) fn take_complete(&mut self) -> Option<(v1::QualificationRecord, v1::DeskDecision)> {
        if self.qualification.is_none() || self.decision.is_none() {
            return None;
        }
        self.qualification.take().zip(self.decision.take())
    }
}

impl State for HandoffState {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Message::decode(bytes)?)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        Message::encode(self, into).expect("a vector grows as needed");
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.handoffs.iter().filter_map(OneHandoff::deadline).min()
    }
}

/// Whose turn it is in one pool. Key: pool.
#[derive(Clone, PartialEq, Message)]
pub struct DeskState {
    /// Of reps who have been considered; those who left the pool are dropped.
    #[prost(message, repeated, tag = "1")]
    pub(crate) turns: Vec<Turn>,
    /// The latest answers, the newest last.
    #[prost(message, repeated, tag = "2")]
    pub(crate) answers: Vec<v1::DeskDecision>,
    /// Handoffs that wait for the verdict of a rep with a capacity.
    #[prost(message, repeated, tag = "3")]
    pub(crate) open: Vec<Open>,
}

/// How much a rep's turn is due.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Turn {
    #[prost(string, tag = "1")]
    pub(crate) rep_id: String,
    /// Grows by the rep's weight with each decision the rep is free for; falls by the weights of all who were free when
    /// the rep is chosen.
    #[prost(sint64, tag = "2")]
    pub(crate) credit: i64,
}

/// A handoff that waits for a rep's verdict.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Open {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) handoff_id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) rep_id: String,
}

impl State for DeskState {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Message::decode(bytes)?)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        Message::encode(self, into).expect("a vector grows as needed");
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
