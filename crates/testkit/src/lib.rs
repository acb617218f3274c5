//! What the tests of all crates share.

pub mod contract;
pub mod eventually;
pub mod kafka;
pub mod ports;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod proxy;
#[cfg(feature = "runners")]
pub mod runners;
pub mod supervisor;
pub mod tracker;
