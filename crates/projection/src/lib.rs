//! The projection: what stands on the log, as tables in Postgres that the console reads.
//!
//! [`Projection::run`] reads the topics `activity`, `identities`, `scores`, `accounts`, `qualification`, `handoff`, `playbooks` and `dead-letters`, folds each
//! batch in memory and writes it in one transaction with the watermark of what has been read. It is the only writer of
//! the tables, which `migrations/` explains; nothing reads them back into the pipeline.

mod backfill;
mod dump;
mod duplicates;
mod fold;
mod json;
mod lead;
pub mod metrics;
mod projection;
mod record;
mod rows;
mod schema;
mod table;
mod text;
mod writer;

#[cfg(test)]
mod tests;

pub use projection::{Projection, RunError};
pub use schema::{InvalidSchema, PrepareError, Schema};
