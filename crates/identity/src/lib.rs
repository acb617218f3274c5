//! Identity: whose behavior it was.
//!
//! Trackers name a visitor id, a user id, a CRM id, an e-mail address, a phone number, or several of them; who stands behind them may become known
//! later, from an event in another partition. Each event has one home, the state of the identifier that is its key. The
//! home decides from the links it knows whose the event is, and tells the state of that lead, which alone writes the
//! lead's `activity`: so versions are gapless, though a lead's events come from many homes. A link seen later corrects
//! what was decided before. In the end, who did what is a function of the *set* of events: order of arrival and
//! repetition leave no trace but the trail of corrections.
//!
//! | state of | holds | decides |
//! |---|---|---|
//! | a visitor, `v:` | its events, who was identified on the device and when | an event belongs to the last person identified at or before it; before the first identification, to the first |
//! | a user id, `u:` | events without a visitor id, the earliest link to an address, else to a CRM id, who asked | the user id is the address of its earliest link; without one, the lead of the CRM id; without any, after a short wait, a lead of its own |
//! | a CRM id, `c:` | the same, without a user id too | the same |
//! | a phone number, `p:` | events that name nothing else, what it was named beside, who asked | it is the lead that it was named beside, if that is one; else a lead of its own |
//! | an address, `e:` | which of its events were seen | its events are its lead's |
//! | a lead, `l:` | which events are attributed, what they say about the person, the version | profile: of each attribute the most recent value |
//! | a bundle, `b:` | payloads of one home's events, apart from the home's state | nothing |
//!
//! Identifiers that stand for nobody or for too many do not join people: `guard` says which, and the lead concerned has an
//! event that says so (`IdentifierRefused`).
//!
//! [`Identity`] is the processor, [`IdentitySettings`] its bounds; [`metrics`] says what it counts.

mod account;
mod allow;
mod bundle;
mod columns;
mod consent;
mod effect;
mod guard;
mod history;
mod lead;
mod leads;
mod merges;
pub mod metrics;
mod processor;
mod profile;
mod settings;
mod state;
mod user;
mod visitor;

pub use consent::Required;
pub use guard::{Blocked, InvalidBlocked};
pub use processor::Identity;
pub use settings::{IdentitySettings, PhoneNumbers};
pub use state::IdentityState;
