//! The ledger of a track, out of a score.

use crate::v1;

/// What stands in a ledger for what the bounds of an axis take away or give; no rule is called so.
const BOUNDS: &str = "cap";

impl v1::Contribution {
    /// Whether the rule counts for a track, by its name; for the lead itself (no name) every rule does.
    pub fn counts_for(&self, track: &str) -> bool {
        track.is_empty() || self.track.is_empty() || self.track == track
    }
}

impl v1::LeadScored {
    /// What the score of one of its tracks is made of: per axis, the points add up to it exactly.
    pub fn ledger_of<'s>(&'s self, track: &'s v1::TrackScore) -> impl Iterator<Item = &'s v1::Contribution> {
        let own_bounds = |it: &v1::Contribution| it.track.is_empty() && it.rule == BOUNDS;
        let counts = move |it: &&v1::Contribution| it.counts_for(&track.track) && !own_bounds(it);
        self.contributions.iter().filter(counts).chain(&track.bounds)
    }
}
