//! Leads that are merged are one person: nobody is handed over twice.
//!
//! A merged lead does not qualify. It tells the lead it is merged into how it stands with sales, and that lead waits as
//! long as the person must not be handed over.

use tasuki_domain::LeadId;
use tasuki_wire::v1;

use crate::state::{Phase, QualificationState};

impl QualificationState {
    /// How this lead stands with sales; `None` if sales has never had to do with it.
    pub(crate) fn standing(&self, lead: LeadId) -> Option<v1::StandingTold> {
        let lead_id = lead.as_bytes().to_vec();
        let (rejected_at_ms, not_before_ms) = (self.rejected_at_ms, self.not_before_ms);
        match self.phase() {
            Phase::Subscriber | Phase::Lead => None,
            Phase::WithSales => Some(v1::StandingTold { lead_id, with_sales: true, ..v1::StandingTold::default() }),
            Phase::Cooling => {
                Some(v1::StandingTold { lead_id, rejected_at_ms, not_before_ms, ..v1::StandingTold::default() })
            }
            Phase::Recycled => Some(v1::StandingTold { lead_id, rejected_at_ms, ..v1::StandingTold::default() }),
            Phase::Disqualified => {
                Some(v1::StandingTold { lead_id, disqualified: true, ..v1::StandingTold::default() })
            }
        }
    }

    /// Takes in how another lead stands that is merged into this one, or was.
    pub(crate) fn hear(&mut self, told: v1::StandingTold) {
        self.others.retain(|other| other.lead_id != told.lead_id);
        if !told.split {
            let place = self.others.partition_point(|other| other.lead_id < told.lead_id);
            self.others.insert(place, told);
        }
    }

    /// Whether the person must not be handed over at present: for what other leads of the same person say, or because not
    /// all has come that was said about it.
    pub(crate) fn must_wait(&self) -> bool {
        let waits = |other: &v1::StandingTold| other.with_sales || other.disqualified || other.not_before_ms != 0;
        self.is_behind() || !self.merged_into.is_empty() || self.others.iter().any(waits)
    }

    /// Whether something was said about the person, ahead of what a score follows from, that has not come yet: scores and
    /// what is said travel on two topics.
    pub(crate) fn is_behind(&self) -> bool {
        self.identities_seen < self.identities_awaited
    }

    /// When sales last refused the person; `None`: never.
    pub(crate) fn refused_at_ms(&self) -> Option<i64> {
        let own = (self.phase() == Phase::Recycled).then_some(self.rejected_at_ms);
        let others = self.others.iter().map(|other| other.rejected_at_ms).filter(|at| *at != 0);
        own.into_iter().chain(others).max()
    }
}
