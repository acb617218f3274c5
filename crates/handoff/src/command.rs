//! What sales says, read from `sales-feedback`.

use tasuki_domain::{EventId, HandoffId, Timestamp};
use tasuki_stream::Poison;
use tasuki_wire::v1::sales_feedback::Command as Wire;
use tasuki_wire::{Head, v1};

/// A command of sales.
#[derive(Debug)]
pub(crate) struct Command {
    /// Sending the same one again has no further effect.
    pub(crate) id: EventId,
    pub(crate) handoff: HandoffId,
    pub(crate) by: String,
    pub(crate) occurred_at: Timestamp,
    pub(crate) received_at: Timestamp,
    pub(crate) says: Says,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Accept,
    Reject {
        /// Never unspecified.
        reason: v1::RejectReason,
        note: String,
    },
    /// A rejection whose reason is not of the list.
    RejectWithoutReason,
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    ///
    /// [`Poison`] if it names no handoff or says nothing that this release knows.
    pub(crate) fn read(head: &Head, feedback: &v1::SalesFeedback) -> Result<Self, Poison> {
        let handoff = HandoffId::from_slice(&feedback.handoff_id)
            .map_err(|error| Poison::new("invalid-handoff-id", format!("handoff_id: {error}")))?;
        let says = match &feedback.command {
            Some(Wire::Accept(_)) => Says::Accept,
            Some(Wire::Reject(reject)) => match v1::RejectReason::try_from(reject.reason) {
                Ok(v1::RejectReason::Unspecified) | Err(_) => Says::RejectWithoutReason,
                Ok(reason) => Says::Reject { reason, note: reject.note.clone() },
            },
            None => return Err(Poison::new("no-command", "found no command; allowed are accept and reject")),
        };
        Ok(Self {
            id: head.event_id,
            handoff,
            by: feedback.by.clone(),
            occurred_at: head.occurred_at,
            received_at: head.received_at,
            says,
        })
    }
}
