//! What the checkers look at.

use std::time::Duration;

use super::history::History;
use super::load::Sent;

/// What is known once all is at rest.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// What clients sent and the log acknowledged.
    pub(crate) sent: Vec<Sent>,
    /// Everything committed.
    pub(crate) log: History,
    /// What a reader saw while it happened.
    pub(crate) watched: Option<History>,
    /// Partitions that hold more than is visible.
    pub(crate) hanging: Option<Vec<String>>,
    /// How long after the heal nothing was left to do; `None` inside if that did not come about.
    pub(crate) caught_up: Option<Liveness>,
}

/// Whether all caught up after the heal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    /// How long it took, if it came about.
    pub(crate) within: Option<Duration>,
    /// How long it may take.
    pub(crate) allowed: Duration,
}
