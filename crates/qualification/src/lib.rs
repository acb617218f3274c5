//! Decides which leads are handed to sales, and what becomes of those that come back.
//!
//! Decisions are made on scores alone: each `LeadScored` carries the facts that the playbook's routes ask for, so that
//! what was seen is what is stored. A lead qualifies at most once per cycle. After a rejection the playbook's answer to the
//! reason decides: disqualified, or recycled, with a time to wait. A recycled lead qualifies again once it has
//! waited **and** has done something new that speaks for the route: after the rejection there was one of the signals that the
//! route asks for, or, for a route that asks for none, any signal that gives points.
//!
//! A route may ask to be open for a while first (`dwell`), and stay open by another condition than that by which it opens
//! (`stays_while`). Then the state has since when it is open; a score by which it is not open any more ends that, and
//! without one a deadline hands the lead over.

mod decide;
mod dwell;
mod merged;
pub mod metrics;
mod processor;
mod state;

pub use processor::Qualification;
pub use state::QualificationState;
