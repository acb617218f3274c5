//! Scores leads: a pure function of their signals, and the processor that keeps the signals.
//!
//! [`score()`] says what a lead is worth as of an instant, with every point accounted for. [`Scoring`] keeps the signals of
//! each lead, compactly, scores it anew with every change, and wakes up when time alone will change something that a
//! route or the grade looks at. [`explain()`] says it as of any instant, and what is expected next.
//! What a lead adds to its account it writes to `accounts`, and reads back as the account.

mod account;
mod accounts;
mod bytes;
mod codec;
mod decay;
mod engagement;
mod explain;
mod falling;
mod fields;
mod fit;
mod input;
mod matching;
mod message;
pub mod metrics;
mod next_change;
mod playbook;
mod processor;
mod profile;
mod record;
mod score;
mod signals;
mod state;

pub use account::MOST_LEADS;
pub use explain::{
    ChangedFact, Expected, ExpectedInTrack, Explanation, Lift, LiftedBy, MOST_EXPECTED, MOST_TIMES, explain,
};
pub use processor::Scoring;
pub use score::{CAP, GROUP_CAP, MOST_EVIDENCE, Score, score};
pub use signals::{MOST_SIGNALS, NewSignal, Signals};
pub use state::ScoringState;
