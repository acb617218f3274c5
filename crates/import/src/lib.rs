//! From a file of people (cards of a trade show, who was at a seminar, answers to a survey) to behavior events. Pure: what
//! a row becomes depends on the row and on the [`Plan`], not on when or how often it is read.
//!
//! The stations of a file: [`Detected`] says what its bytes are, [`Text`] and [`Rows`] give rows with their bytes,
//! [`guess_all`] or a [`Mapping`] says what the columns are, and [`Plan::events`] makes of each row events or a [`Fault`].
//! The events are in the words of the API (`POST /v1/events`), each with an id that follows from the row: whatever is
//! imported twice counts once.

mod cell;
mod charset;
mod column;
mod fault;
mod instant;
mod mapping;
mod plan;
mod rows;

pub use charset::{Charset, Detected, DetectedBy, Text, UnknownCharset};
pub use column::{Field, guess, guess_all};
pub use fault::{Code, Fault};
pub use instant::{DateOrder, NoInstant, Reading};
/// The time zones dates are read in.
pub use jiff::tz::TimeZone;
pub use mapping::{BadPhones, InvalidMapping, Kind, Mapping};
pub use plan::{Column, Events, Plan, PlanFault, headers};
pub use rows::{Row, Rows, SEPARATORS};
