//! The playbook: the reviewed, versioned agreement between marketing and sales, as a file.
//!
//! [`Playbook::parse`] reads it and says everything that is wrong with it, each with its place. What it gives is ready
//! for use: rules by kind of event, routes as checked CEL, and the list of facts that scoring has to compute for them.
//! [`schema`] describes the file for editors.

mod account;
mod condition;
mod decay;
mod diff;
mod fault;
mod file;
mod kind;
pub mod lint;
mod model;
mod number;
mod pattern;
pub mod profile_rules;
mod read;
pub mod reps;
mod shelf;
mod track;
mod value;
mod words;

use tasuki_domain::Millis;

pub use account::{AccountAsked, AccountFacts, AccountMeasure, MOST_PEOPLE};
pub use condition::Condition;
pub use decay::{Decay, Limit, Step};
pub use diff::{Change, Difference};
pub use fault::{Fault, Faults};
pub use kind::{EventKind, RejectReason, Urgency};
pub use model::{
    AccountPolicy, Consequence, EMAIL_DOMAIN, Exclusion, FactQuery, FitRule, Grade, Grades, Group, Playbook, Route,
    Rule, SignalFields,
};
pub use pattern::Pattern;
pub use shelf::Shelf;
pub use track::{Track, TrackRef};
pub use value::Phrase;
pub use words::{Language, Section};

/// How long a signal counts at all, whatever its half-life; no window of a route is longer.
pub const KEPT_FOR: Millis = Millis::from_days(400);

/// The longest that a route may have to be open before it hands over: who must wait longer has gone cold.
pub const LONGEST_DWELL: Millis = Millis::from_days(30);

/// Most groups of rules in a playbook.
pub const MOST_GROUPS: usize = 15;

/// Most tracks of a playbook: each is scored anew with every event of a lead.
pub const MOST_TRACKS: usize = 8;

impl Playbook {
    /// The text of the playbook that is used when no other is given.
    pub const DEFAULT: &'static str = include_str!("default.toml");

    /// Playbooks that are ready for use, by name: that which is used when no other is given, and one for each of three kinds
    /// of companies.
    pub const READY_MADE: [(&'static str, &'static str); 4] = [
        ("built-in", Self::DEFAULT),
        ("b2b-saas", include_str!("ready/b2b-saas.toml")),
        ("industrial", include_str!("ready/industrial.toml")),
        ("insurance", include_str!("ready/insurance.toml")),
    ];

    /// The text of the ready-made playbook of this name.
    pub fn ready_made(name: &str) -> Option<&'static str> {
        Self::READY_MADE.into_iter().find(|(known, _)| *known == name).map(|(_, text)| text)
    }

    /// [`Playbook::DEFAULT`], read. Its name is `built_in` since it is more than an empty value.
    pub fn built_in() -> Self {
        Self::parse(Self::DEFAULT).expect("a test reads the default playbook")
    }
}

/// The JSON Schema of the file, for editors that complete and check it.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(file::File)
}
