//! What each process of Tasuki needs around its real work: a clock, health, logs, metrics, orderly ends.

pub mod admin;
pub mod clock;
pub mod exit;
pub mod health;
pub mod telemetry;

pub use clock::{Clock, SystemClock};
pub use exit::{Exit, Failure};
pub use health::{Component, Health};
/// Tells everything that runs to come to an end; can be asked from threads and awaited in tasks.
pub use tokio_util::sync::CancellationToken as Shutdown;
