//! What the playbook says about handoffs.

use tasuki_domain::Millis;

/// The handoff part of a playbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoffPolicy {
    /// How soon sales is to accept or reject.
    pub accept_within: AcceptWithin,
}

/// A time limit for each urgency a route may have, counted from the receipt of what qualified the lead. Wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptWithin {
    /// For "urgent".
    pub urgent: Millis,
    /// For "high".
    pub high: Millis,
    /// For "normal".
    pub normal: Millis,
}

impl AcceptWithin {
    /// The limit for an urgency as it stands on `LeadQualified`; `None` for one that is not known.
    pub fn of(&self, urgency: &str) -> Option<Millis> {
        match urgency {
            "urgent" => Some(self.urgent),
            "high" => Some(self.high),
            "normal" => Some(self.normal),
            _ => None,
        }
    }
}
