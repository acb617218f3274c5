//! What the checkers look at.

use std::collections::BTreeMap;
use std::time::Duration;

use tasuki_wire::Topic;

use super::history::History;
use super::load::Sent;
use super::tables::Tables;

/// What is known once all is at rest. What a run cannot know is `None`, and the checkers of it say nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// What clients sent and the log acknowledged.
    pub(crate) sent: Vec<Sent>,
    /// What clients had acknowledged by HTTP and is not on the log.
    pub(crate) missing: Vec<String>,
    /// What ingest says it did with the events it received.
    pub(crate) accounts: Option<Accounts>,
    /// Everything committed.
    pub(crate) log: History,
    /// What a reader saw while it happened.
    pub(crate) watched: Option<History>,
    /// Partitions that hold more than is visible.
    pub(crate) hanging: Option<Vec<String>>,
    /// How long after the heal nothing was left to do.
    pub(crate) caught_up: Option<Liveness>,
    /// Rows of the projection.
    pub(crate) tables: Option<Tables>,
    /// How far the projection says it has come.
    pub(crate) watermarks: BTreeMap<(Topic, u16), i64>,
    /// Fingerprints of the tables as they became, and of a reading from the begin into an empty schema.
    pub(crate) fingerprints: Option<[String; 2]>,
}

/// Whether all caught up after the heal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    /// How long it took, if it came about.
    pub(crate) within: Option<Duration>,
    /// How long it may take.
    pub(crate) allowed: Duration,
}

/// Events, as ingest counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub(crate) received: u64,
    /// Where they went: accepted, bad, refused ...
    pub(crate) booked: BTreeMap<String, u64>,
    /// What clients know to be acknowledged.
    pub(crate) acknowledged: u64,
}
