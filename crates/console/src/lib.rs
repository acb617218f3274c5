//! The console: pages for people and a JSON API for scripts, over the tables that the projection writes. What sales
//! decides on it goes out as commands on the topic `sales-feedback`; the console itself changes nothing.
//!
//! - To add a page: a file in `pages/` with one handler that takes a `pages::Visit`, and its line in `routes.rs`.
//!   Whoever asks for it has signed in; only what `guard.rs` names is open.
//! - To add a column to the list of leads: the field in `store/leads.rs`, one entry of `COLUMNS` in `pages/leads.rs`,
//!   its heading in `text.rs`, and, for scripts, one line in `api/leads.rs`.
//! - To add a text: one line of `text.rs`, in every language.
//! - To add a language: an arm in `Language` (`language.rs`); the compiler then asks for each text.

mod api;
mod auth;
mod command;
mod explain;
mod guard;
mod language;
mod link;
mod merge;
pub mod metrics;
mod moment;
mod pages;
mod publication;
mod readiness;
mod routes;
mod settings;
mod store;
mod text;

pub use auth::{ApiToken, TokenTooShort};
pub use explain::{Expected, ExpectedInTrack, Explained, Explainer, KnownSignal, Lift, LiftedBy, Question};
pub use routes::{ConsoleState, router, serve};
pub use settings::{ConsoleSettings, UnknownZone, Zone};
