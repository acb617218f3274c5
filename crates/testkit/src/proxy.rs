//! Proxies that know the protocol that passes through them, for faults that no server would produce on demand.
//!
//! Each tells afterwards whether its fault has landed: a test whose fault did not is invalid, not passed.

pub mod kafka;
pub mod postgres;

pub use kafka::{Api, KafkaProxy, Landed, Trap};
pub use postgres::PostgresProxy;

/// Which side of what the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The server has not heard of it yet.
    Before,
    /// The server has done it, and its answer has reached the proxy.
    After,
}
