//! One input at work on one lead: its state, and what is written because of it.

use tasuki_domain::{Cycle, EventId, HandoffId, LeadId, Timestamp, Version};
use tasuki_stream::{Context, Publication};
use tasuki_wire::v1::handoff_record::Event;
use tasuki_wire::{Head, Topic, v1};

use crate::contract::{corrected, qualified_lead};
use crate::state::{Assigned, HandoffState};

/// The state of one lead, taken out while an input works on it.
pub(crate) struct Work<'c, 't> {
    context: &'c mut Context<'t, HandoffState>,
    pub(crate) state: HandoffState,
    pub(crate) lead: LeadId,
}

/// Everything that an assignment says.
#[derive(Debug)]
pub(crate) struct Assignment<'a> {
    pub(crate) lead: LeadId,
    pub(crate) handoff: HandoffId,
    pub(crate) qualified: &'a v1::LeadQualified,
    pub(crate) seen: &'a v1::LeadScored,
    pub(crate) decision: &'a v1::DeskDecision,
    pub(crate) qualified_at: Timestamp,
    /// The latest receipt among qualification and decision.
    pub(crate) at: Timestamp,
    pub(crate) accept_by: Timestamp,
    pub(crate) merged_into: Option<LeadId>,
}

/// When something happened and when it was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) occurred_at: Timestamp,
    pub(crate) received_at: Timestamp,
}

impl<'c, 't> Work<'c, 't> {
    /// Takes the lead's state out.
    pub(crate) fn begin(context: &'c mut Context<'t, HandoffState>, lead: LeadId) -> Self {
        let state = std::mem::take(context.state(&lead.to_string()));
        Self { context, state, lead }
    }

    /// Puts it back.
    pub(crate) fn end(self) {
        *self.context.state(&self.lead.to_string()) = self.state;
    }

    /// What is written from here on follows from this event.
    pub(crate) fn caused_by(&mut self, cause: EventId) {
        self.context.caused_by(cause);
    }

    /// The playbook of this version, if it was published.
    pub(crate) fn published(&mut self, version: u32) -> Option<v1::PlaybookRecord> {
        self.context.peek(&Publication::key(version))?.playbook.clone()
    }

    pub(crate) fn count(&mut self, (what, reason): (&'static str, &'static str)) {
        self.context.count(what, reason);
    }

    pub(crate) fn handoff_id(&self, cycle: u32) -> HandoffId {
        HandoffId::of(self.lead, Cycle::new(cycle))
    }

    /// Writes to `handoff`, with the lead's next version.
    pub(crate) fn write(&mut self, cause: EventId, handoff: HandoffId, cycle: u32, times: Times, event: Event) {
        self.state.version += 1;
        let head = self.head(cause, times, self.state.version);
        let record = v1::HandoffRecord {
            meta: Some(head.to_meta()),
            handoff_id: handoff.as_bytes().to_vec(),
            cycle,
            event: Some(event),
        };
        self.context.emit(Topic::Handoff, self.lead.to_string(), &record);
    }

    /// Asks the desk of a pool, or tells it that the verdict is there.
    pub(crate) fn tell_desk(&mut self, cause: EventId, cycle: u32, pool: &str, times: Times, answered: bool) {
        let head = self.head(cause, times, 0);
        let request = v1::DeskRequest {
            meta: Some(head.to_meta()),
            handoff_id: self.handoff_id(cycle).as_bytes().to_vec(),
            cycle,
            pool: pool.to_owned(),
            not_to: Vec::new(),
            answered,
        };
        self.context.emit(Topic::DeskRequests, pool, &request);
    }

    /// Writes the assignment to `handoff` and to the public contract. Says what is to be remembered of it.
    pub(crate) fn write_assignment(&mut self, cause: EventId, assignment: &Assignment<'_>) -> Assigned {
        let decision = assignment.decision;
        let times = Times { occurred_at: assignment.at, received_at: assignment.at };
        let event = Event::Assigned(v1::LeadAssigned {
            owner: decision.owner.clone(),
            pool: decision.pool.clone(),
            reason: decision.reason.clone(),
            accept_by_ms: assignment.accept_by.as_millis(),
        });
        self.write(cause, assignment.handoff, assignment.qualified.cycle, times, event);

        self.state.contract_version += 1;
        let event_id = self.context.next_event_id();
        let record = qualified_lead(assignment, event_id, self.state.contract_version).to_json();
        self.state.contract.clone_from(&record);
        self.context.emit_bytes(Topic::LeadsQualified, self.lead.to_string(), record);

        Assigned {
            pool: decision.pool.clone(),
            owner_id: decision.owner.as_ref().map_or_else(String::new, |rep| rep.id.clone()),
            accept_by_ms: assignment.accept_by.as_millis(),
            received_at_ms: assignment.at.as_millis(),
            overdue: false,
        }
    }

    /// Writes the last record of the public contract again, with the lead that this one is merged into. False if there is
    /// none.
    pub(crate) fn write_correction(&mut self) -> bool {
        if self.state.contract.is_empty() {
            return false;
        }
        let (event_id, version) = (self.context.next_event_id(), self.state.contract_version + 1);
        let merged_into = self.state.merged_into();
        let Some(record) = corrected(&self.state.contract, event_id, version, merged_into) else { return false };
        self.state.contract_version = version;
        self.state.contract = record.to_json();
        self.context.emit_bytes(Topic::LeadsQualified, self.lead.to_string(), self.state.contract.clone());
        true
    }

    fn head(&mut self, cause: EventId, times: Times, version: u64) -> Head {
        Head {
            event_id: self.context.next_event_id(),
            occurred_at: times.occurred_at,
            received_at: times.received_at,
            cause: Some(cause),
            lead: Some(self.lead),
            version: Version::new(version),
        }
    }
}
