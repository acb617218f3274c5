//! The faults.

use super::fault::Fault;

/// Every fault, in the order of their names.
pub(crate) fn all() -> Vec<Box<dyn Fault>> {
    vec![]
}
