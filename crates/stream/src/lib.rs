//! What a service of the pipeline is, whatever runs it.
//!
//! A service is a [`Processor`]: a pure function from a state and an input to a state and outputs. A [`Task`] holds one
//! partition of it: committed state, an overlay for the transaction under way, deadlines. The runners move records
//! between a log and tasks and make each transaction whole: `crates/kafka` in production, `crates/embedded` on Postgres
//! tables, [`memory`] for tests. What they promise alike is written down as a suite in `crates/testkit`.
//!
//! [`log`] is the other side: how those that are no processors (ingest, console, projection) write and read the log.

pub mod log;
pub mod memory;

mod continuity;
mod counters;
mod dead_letter;
mod deadlines;
mod processor;
mod publication;
mod revisions;
mod store;
mod task;

pub use continuity::{Admission, admit};
pub use dead_letter::dead_letter;
pub use processor::{Context, Due, Emitted, Input, Poison, Processor, State, StateError, Topology};
pub use publication::Publication;
pub use store::{KeyHash, Lookup, MemoryStore, StateStore};
pub use task::{Change, Count, Rejected, Task};
