//! What a lead may have at most: identifiers, and events that say one was refused.

use std::collections::BTreeSet;

use super::{Lead, is_lead};

/// Refusals that are told of one lead at most: somebody who looks at it has then seen enough.
const MOST_REFUSALS: usize = 20;

impl Lead {
    /// Whether the lead has events of so many homes of its own, and none of this one.
    pub(super) fn has_homes_but_not(&self, home: &str, limit: usize) -> bool {
        if is_lead(home) || self.attributed.len() < limit || self.attributed.iter().any(|it| it.home == home) {
            return false;
        }
        let homes: BTreeSet<&str> =
            self.attributed.iter().map(|it| it.home.as_str()).filter(|it| !is_lead(it)).collect();
        homes.len() >= limit
    }

    /// Notes that a refusal is told; false if it has been, or if so many have been that no more are.
    pub(crate) fn note_refusal(&mut self, told: String) -> bool {
        let new = self.refusals.len() < MOST_REFUSALS && !self.refusals.contains(&told);
        if new {
            self.refusals.push(told);
        }
        new
    }
}
