//! Checkers: one per invariant, each a function of the evidence.

use super::evidence::Evidence;

/// Looks at one invariant.
pub(crate) struct Checker {
    /// `I1`, `I2` ...
    pub(crate) invariant: &'static str,
    /// What is wrong; `None` where the evidence says nothing about it.
    pub(crate) check: fn(&Evidence) -> Option<Vec<String>>,
}

/// All of them.
pub(crate) const CHECKERS: &[Checker] = &[];
