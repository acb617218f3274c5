//! The faults.

mod input;
mod killed;
mod outage;
mod storm;
mod zombie;

use super::fault::Fault;
use super::stale::Stale;
use super::unknown_outcome::UnknownOutcome;

/// Every fault, in the order of their names.
pub(crate) fn all() -> Vec<Box<dyn Fault>> {
    vec![
        Box::new(killed::Killed),
        Box::new(Stale),
        Box::new(zombie::Zombie),
        Box::new(outage::Outage),
        Box::new(UnknownOutcome),
        Box::new(storm::Storm),
        Box::new(input::POISON),
        Box::new(input::DUPLICATES),
        Box::new(input::DISORDER),
    ]
}
