//! Runs processors on Postgres tables in one process: the log for those who want to set nothing up.

pub mod postgres;

pub use postgres::{PrivatePostgres, PrivateSettings};
