//! The passing of a qualified lead to sales: whose it is, until when, and what sales said.
//!
//! Two processors. [`Desk`] decides whose turn it is, one writer per pool. [`Handoff`] keeps each lead's handoffs: it asks
//! the desk, assigns, watches the deadline, takes the verdict, and writes the public contract. Both are pure: the same
//! inputs give the same bytes. What follows from qualifications, decisions and feedback does not depend on how the three
//! topics are interleaved; of the feedback itself, what stands first on its topic counts. When a lead that was handed over
//! is merged into another, or split again, its handoff stays, and its record of the public contract is written again.

mod command;
mod contract;
mod desk;
mod emit;
mod handoff;
pub mod metrics;
mod policy;
mod state;
mod turns;

pub use desk::Desk;
pub use handoff::Handoff;
pub use policy::{AcceptWithin, HandoffPolicy};
pub use state::{DeskState, HandoffState};
