//! Routes with a dwell: since when they are open, and when the lead has waited long enough.

use tasuki_domain::Timestamp;

use crate::decide::Open;
use crate::state::{OpenRoute, QualificationState};

impl QualificationState {
    /// Since when the route of this name has been open without a break, if it has a dwell and is open.
    pub(crate) fn open_since(&self, route: &str) -> Option<Timestamp> {
        let open = self.open.iter().find(|open| open.route == route);
        open.map(|open| Timestamp::from_millis(open.since_ms))
    }

    /// Takes note of the routes that are open at an instant, and of the next one at which one of them has been for long
    /// enough.
    pub(crate) fn note_open(&mut self, open: &[Open<'_>], at: Timestamp) {
        let dwelling = || open.iter().filter(|open| open.route.dwell.is_some());
        let note = |open: &Open<'_>| OpenRoute { route: open.route.name.clone(), since_ms: open.since.as_millis() };
        self.open = dwelling().map(note).collect();
        self.ripe_at_ms = dwelling().map(Open::ripe_at).filter(|ripe_at| *ripe_at > at).min().map(Timestamp::as_millis);
    }

    /// No route is waited for any more.
    pub(crate) fn close_routes(&mut self) {
        (self.open, self.ripe_at_ms) = (Vec::new(), None);
    }

    /// Whether time has changed the score by this instant: then that score is on its way here, and is decided on when it comes.
    pub(crate) fn awaits_score_of(&self, at: Timestamp) -> bool {
        let next_change = self.latest.as_ref().map_or(0, |latest| latest.scored.next_change_at_ms);
        next_change != 0 && next_change <= at.as_millis()
    }

    /// When a route has been open for long enough, if that is still to come.
    pub(crate) fn ripe_at(&self) -> Option<Timestamp> {
        self.ripe_at_ms.map(Timestamp::from_millis)
    }
}
