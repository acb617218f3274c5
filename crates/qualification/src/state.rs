//! What qualification remembers about a lead.

use prost::Message;
use tasuki_domain::Timestamp;
use tasuki_stream::{State, StateError};
use tasuki_wire::v1;

/// What qualification remembers about a lead.
#[derive(Clone, PartialEq, Message)]
pub struct QualificationState {
    /// The latest version seen on `scores`.
    #[prost(uint64, tag = "1")]
    pub(crate) scores_seen: u64,
    /// The latest version seen on `handoff`.
    #[prost(uint64, tag = "2")]
    pub(crate) handoff_seen: u64,
    /// The latest version written to `qualification`.
    #[prost(uint64, tag = "3")]
    pub(crate) version: u64,
    /// How often the lead has qualified.
    #[prost(uint32, tag = "4")]
    pub(crate) cycle: u32,
    #[prost(enumeration = "Phase", tag = "5")]
    pub(crate) phase: i32,
    /// Recycled: not before this instant.
    #[prost(sfixed64, tag = "6")]
    pub(crate) not_before_ms: i64,
    /// Recycled: when sales refused.
    #[prost(sfixed64, tag = "7")]
    pub(crate) rejected_at_ms: i64,
    /// The latest score, in the phases that need it later: what happened while sales had the lead counts once it is back.
    #[prost(message, optional, tag = "8")]
    pub(crate) latest: Option<LatestScore>,
    /// The latest version seen on `identities`.
    #[prost(uint64, tag = "9")]
    pub(crate) identities_seen: u64,
    /// The lead that this one is merged into; empty: none.
    #[prost(bytes = "vec", tag = "10")]
    pub(crate) merged_into: Vec<u8>,
    /// What that lead was told last about this one.
    #[prost(message, optional, tag = "11")]
    pub(crate) told: Option<v1::StandingTold>,
    /// How the leads that are merged into this one stand with sales, by id.
    #[prost(message, repeated, tag = "12")]
    pub(crate) others: Vec<v1::StandingTold>,
    /// The version of the playbook by which the lead qualified last; 0: never, or by a release that did not keep it.
    #[prost(uint32, tag = "13")]
    pub(crate) qualified_by: u32,
    /// Of a state that is of no lead: a playbook that was published.
    #[prost(message, optional, tag = "14")]
    pub(crate) playbook: Option<v1::PlaybookRecord>,
    /// The consent without which the lead is not handed over, if it is missing: "scoring" or "contact".
    #[prost(string, tag = "20")]
    pub(crate) no_consent: String,
    /// The latest version of the lead on `identities` that stood there before what the latest scores follow from.
    #[prost(uint64, tag = "22")]
    pub(crate) identities_awaited: u64,
    /// The routes with a dwell that are open, by the latest score that was looked at.
    #[prost(message, repeated, tag = "23")]
    pub(crate) open: Vec<OpenRoute>,
    /// When one of them has been open for long enough, if that is still to come.
    #[prost(sfixed64, optional, tag = "25")]
    pub(crate) ripe_at_ms: Option<i64>,
    /// It was told that the lead is held back.
    #[prost(bool, tag = "21")]
    pub(crate) held_back: bool,
}

/// A score and when it was received.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LatestScore {
    #[prost(message, required, tag = "1")]
    pub(crate) scored: v1::LeadScored,
    #[prost(sfixed64, tag = "2")]
    pub(crate) received_at_ms: i64,
}

/// A route that is open.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OpenRoute {
    /// Its name: another playbook may say something else of it, and it has been open all the same.
    #[prost(string, tag = "1")]
    pub(crate) route: String,
    #[prost(sfixed64, tag = "2")]
    pub(crate) since_ms: i64,
}

/// Where a lead stands, as far as marketing decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Phase {
    /// Has shown no interest yet.
    Subscriber = 0,
    /// Has shown interest.
    Lead = 1,
    /// Qualified; sales has it.
    WithSales = 2,
    /// Back from sales, and must wait.
    Cooling = 3,
    /// Back from sales, has waited, and needs something new.
    Recycled = 4,
    /// Not to be handed over again.
    Disqualified = 5,
}

impl State for QualificationState {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(<Self as Message>::decode(bytes)?)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        self.encode_raw(into);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        match self.phase() {
            Phase::Cooling => Some(Timestamp::from_millis(self.not_before_ms)),
            Phase::Subscriber | Phase::Lead | Phase::Recycled => self.ripe_at(),
            Phase::WithSales | Phase::Disqualified => None,
        }
    }
}
