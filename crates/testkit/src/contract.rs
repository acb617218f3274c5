//! The contract of the runners: what every log that runs processors promises, as one suite of tests for all of them.
//!
//! A runner proves itself by implementing [`Harness`] and calling [`contract_suite!`](crate::contract_suite) in a test
//! target. The tests publish [`Order`]s, let [`Tally`] work on them, and compare the [`Step`]s that come out with what
//! must come out, whole. Tally does not drop repetitions, so nothing hides what a runner does twice.

mod memory;
mod tally;
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tasuki_domain::{Millis, Timestamp};
use tasuki_service::Clock;
use tasuki_stream::Emitted;
use tasuki_stream::log::LogRecord;
use tasuki_wire::{PartitionCount, Topic};

pub use memory::Memory;
pub use tally::{Count, FORWARDED, MORE_ORDERS, ORDERS, Order, SERVICE, STATE, STEPS, Step, Tally, What};
pub use tests::*;

/// How many partitions every topic of a harness has.
pub const PARTITIONS: PartitionCount = PartitionCount::new(4).expect("4 is not zero");

/// Where the clock of a harness stands at first: 2026-11-23T09:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_795_424_400_000);

/// A log with topics of its own, on which [`Tally`] can be run. Each test has a fresh one.
pub trait Harness {
    /// The clock that the runner was given.
    fn clock(&self) -> &TestClock;

    /// Lets [`Tally`] run on every partition. Need not wait until it does.
    fn start(&mut self);

    /// Stops it in good order, and returns when it has stopped. Does nothing if it is not running.
    fn stop(&mut self);

    /// Stops it as abruptly as can be: what it was about to commit may or may not happen, and it hears nothing more.
    /// After this it can be started again.
    fn crash(&mut self);

    /// Writes the records, each to the partition of its key, and returns when they are durable.
    fn publish(&mut self, records: Vec<Emitted>);

    /// All that is committed on a topic, in order within each partition.
    fn records(&mut self, topic: Topic) -> Vec<LogRecord>;
}

/// A clock that stands until it is moved. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// Moves on by this much.
    pub fn advance(&self, by: Millis) {
        self.0.fetch_add(by.get(), Ordering::SeqCst);
    }
}

impl Default for TestClock {
    /// Stands at [`START`].
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(START.as_millis())))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// All tests of the contract, for the harness that this expression makes; to be called once in a module.
///
/// ```text
/// tasuki_testkit::contract_suite!(MyHarness::fresh());
/// ```
#[macro_export]
macro_rules! contract_suite {
    ($fresh:expr) => {
        $crate::contract_suite! { @each $fresh;
            applies_each_input_once_and_in_order_of_its_key
            state_survives_a_restart
            what_was_written_meanwhile_is_done_after_a_start
            a_crash_midway_loses_and_doubles_nothing
            several_inputs_of_a_key_meet_in_one_state
            what_is_forwarded_reaches_its_key_once_and_in_order
            an_undecodable_record_goes_to_dead_letters_and_its_partition_goes_on
            a_refused_record_takes_back_what_it_changed
            a_refused_record_spares_what_its_transaction_did_before
            a_panic_is_a_refusal
            a_deadline_fires_once_and_not_before_its_time
            a_deadline_passed_while_stopped_fires_before_later_inputs
            what_a_partition_has_in_common_reaches_every_key_once_also_past_crashes
            many_deadlines_passed_while_stopped_all_fire_before_later_inputs
        }
    };
    (@each $fresh:expr; $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $crate::contract::$name(&mut $fresh);
        })*
    };
}

#[cfg(test)]
mod on_memory {
    use super::Memory;

    crate::contract_suite!(Memory::fresh());
}
