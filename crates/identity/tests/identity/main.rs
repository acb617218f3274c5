//! Identity as a whole, on a log in memory.
#![allow(clippy::unwrap_used, reason = "a test may panic; clippy sees that only inside of test functions")]

mod as_one;
mod bounds;
mod consent;
mod guards;
mod merges;
mod model;
mod properties;
mod scenarios;
mod size;
mod support;
mod survivors;
