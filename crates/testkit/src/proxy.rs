//! Proxies that know the protocol that passes through them, for faults that no server would produce on demand.
//!
//! Each tells afterwards whether its fault has landed: a test whose fault did not is invalid, not passed.

pub mod kafka;
pub mod postgres;

pub use kafka::{Api, KafkaProxy, Landed, Trap};
pub use postgres::PostgresProxy;
