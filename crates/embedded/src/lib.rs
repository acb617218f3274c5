//! Runs processors on Postgres tables in one process: the log for those who want to set nothing up.
//!
//! [`EmbeddedLog`] is the log: topics, positions and states as tables of the schema `tasuki_log`. One writer gives the
//! offsets and commits all that waits in one SQL transaction; what a processor has done with some inputs (outputs,
//! states, positions, dead letters) is always in the same one. Readers follow the end in memory and wake up with each
//! commit. [`PrivatePostgres`] starts a server where there is none.

pub mod metrics;
pub mod postgres;

mod batch;
mod log;
mod portion;
mod publisher;
mod reader;
mod retention;
mod schema;
mod session;
mod tail;
mod worker;
mod writer;

pub use log::{EmbeddedLog, OpenError};
pub use postgres::{PrivatePostgres, PrivateSettings};
pub use publisher::EmbeddedPublisher;
pub use reader::EmbeddedReader;
pub use worker::RunError;
