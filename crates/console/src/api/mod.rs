//! The JSON API for scripts, under `/api/v1`. Points are numbers in points, with the exact thousandths beside them as
//! `..._mp`; instants are RFC 3339 in UTC; what is not known is `null`.

pub(crate) mod accounts;
pub(crate) mod dead_letters;
pub(crate) mod duplicates;
pub(crate) mod explain;
pub(crate) mod handoffs;
pub(crate) mod leads;
pub(crate) mod merges;
pub(crate) mod playbooks;

mod error;
mod parameters;

pub(crate) use error::ApiError;

use serde_json::{Value, json};
use tasuki_domain::Millipoints;

/// Points as a number: `40`, `62.5`, `-0.125`.
fn points(points: Millipoints) -> Value {
    let thousandths = points.get();
    if thousandths % 1_000 == 0 {
        json!(thousandths / 1_000)
    } else {
        #[allow(clippy::cast_precision_loss, reason = "scores are far below 2^53 thousandths, where each is exact")]
        let exact = thousandths as f64;
        json!(exact / 1_000.0)
    }
}

/// An instant or null.
fn instant(at: Option<tasuki_domain::Timestamp>) -> Value {
    at.map_or(Value::Null, |at| Value::String(at.to_string()))
}

/// Text, or null where empty says that it is not known.
fn known(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) }
}
