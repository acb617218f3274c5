//! The faults.

use super::fault::Fault;
use super::stale::Stale;
use super::unknown_outcome::UnknownOutcome;

/// Every fault, in the order of their names.
pub(crate) fn all() -> Vec<Box<dyn Fault>> {
    vec![Box::new(Stale), Box::new(UnknownOutcome)]
}
