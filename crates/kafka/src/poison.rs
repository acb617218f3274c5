//! Records that cannot be processed: which, and whether they are too many.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tasuki_stream::Poison;
use tasuki_wire::{Partition, Topic};

use crate::group::Offsets;

const WINDOW: Duration = Duration::from_secs(60);

/// What is known about records that cannot be processed.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Records whose refusal spoiled the transaction they were in. When they come again, they go to dead letters untried.
    left_out: BTreeMap<(Topic, Partition, i64), Poison>,
    /// Codes of those in the transaction under way.
    in_transaction: Vec<&'static str>,
}

/// Stops a broken release before it has emptied a topic into dead letters.
#[derive(Debug)]
pub(crate) struct FloodGuard {
    limit: u32,
    percent: u32,
    since: Instant,
    refused: u64,
    of: u64,
}

/// More records are refused than can be explained by the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flood {
    pub(crate) refused: u64,
    pub(crate) of: u64,
}

impl Refusals {
    /// The record is to be left out when it comes again.
    pub(crate) fn leave_out(&mut self, topic: Topic, partition: Partition, offset: i64, poison: Poison) {
        self.left_out.insert((topic, partition, offset), poison);
    }

    /// Why a record is to be left out.
    pub(crate) fn left_out(&self, topic: Topic, partition: Partition, offset: i64) -> Option<&Poison> {
        self.left_out.get(&(topic, partition, offset))
    }

    /// A dead letter was added to the transaction.
    pub(crate) fn note(&mut self, code: &'static str) {
        self.in_transaction.push(code);
    }

    /// How many there are in the transaction.
    pub(crate) fn noted(&self) -> usize {
        self.in_transaction.len()
    }

    /// The transaction is over, up to these offsets: the codes of its dead letters.
    pub(crate) fn committed(&mut self, next: &Offsets) -> Vec<&'static str> {
        self.left_out
            .retain(|&(topic, partition, offset), _| next.get(&(topic, partition)).is_none_or(|&next| offset >= next));
        std::mem::take(&mut self.in_transaction)
    }

    /// The transaction did not happen.
    pub(crate) fn aborted(&mut self) {
        self.in_transaction.clear();
    }
}

impl FloodGuard {
    /// A flood is so many records within a minute, and more than so many of a hundred.
    pub(crate) fn new(limit: u32, percent: u32, now: Instant) -> Self {
        Self { limit, percent, since: now, refused: 0, of: 0 }
    }

    /// Counts a transaction's records before it is committed.
    pub(crate) fn check(&mut self, refused: usize, of: u32, now: Instant) -> Result<(), Flood> {
        if now - self.since > WINDOW {
            *self = Self::new(self.limit, self.percent, now);
        }
        self.refused += u64::try_from(refused).unwrap_or(u64::MAX);
        self.of += u64::from(of);
        if self.refused >= u64::from(self.limit) && self.refused * 100 > self.of * u64::from(self.percent) {
            return Err(Flood { refused: self.refused, of: self.of });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_many_and_most_within_a_minute() {
        let begun = Instant::now();
        let mut guard = FloodGuard::new(10, 50, begun);
        assert_eq!(guard.check(9, 9, begun), Ok(()));
        assert_eq!(guard.check(5, 40, begun), Ok(()), "fewer than half");
        let later = begun + WINDOW + Duration::from_secs(1);
        assert_eq!(guard.check(9, 9, later), Ok(()), "another minute");
        assert_eq!(guard.check(1, 1, later), Err(Flood { refused: 10, of: 10 }));
        let mut guard = FloodGuard::new(10, 20, begun);
        assert_eq!(guard.check(20, 100, begun), Ok(()), "no more than a fifth");
        assert_eq!(guard.check(1, 1, begun), Err(Flood { refused: 21, of: 101 }));
    }

    #[test]
    fn what_is_left_out_is_remembered_until_it_is_past() {
        let mut refusals = Refusals::default();
        let (topic, partition) = (Topic::Behavior, Partition::new(3));
        refusals.leave_out(topic, partition, 7, Poison::new("a", "b"));
        refusals.note("a");
        refusals.aborted();
        assert_eq!(refusals.committed(&Offsets::from([((topic, partition), 7)])), Vec::<&str>::new());
        assert_eq!(refusals.left_out(topic, partition, 7), Some(&Poison::new("a", "b")));
        refusals.note("a");
        assert_eq!(refusals.committed(&Offsets::from([((topic, partition), 8)])), ["a"]);
        assert_eq!(refusals.left_out(topic, partition, 7), None);
    }
}
