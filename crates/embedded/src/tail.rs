//! The end of the log in memory: what was written last, so that those who follow closely ask no database, and the
//! signal that something new is there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tasuki_wire::{Partition, PartitionCount, Topic};
use tokio::sync::watch;

/// How much of each partition is kept in memory.
const KEPT_BYTES: usize = 128 * 1024;
const KEPT_RECORDS: usize = 2_048;

/// One committed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Stored {
    fn bytes(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

/// What a reader finds at its position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It has read all there is.
    Nothing,
    /// The next records.
    Here(Vec<Arc<Stored>>),
    /// They are in the tables only; all before this offset is committed.
    OnDisk { end: i64 },
}

/// The ends of all partitions. One writer, many readers.
#[derive(Debug)]
pub(crate) struct Tails {
    partitions: PartitionCount,
    tails: RwLock<Vec<Tail>>,
    changed: watch::Sender<u64>,
    /// Whether the writer can reach the database.
    available: AtomicBool,
}

#[derive(Debug, Default)]
struct Tail {
    end: i64,
    bytes: usize,
    /// The last ones, without gaps up to `end`.
    records: VecDeque<Arc<Stored>>,
}

impl Tails {
    pub(crate) fn new(partitions: PartitionCount, ends: &[(Topic, Partition, i64)]) -> Self {
        let mut tails = Vec::new();
        tails.resize_with(Topic::ALL.len() * usize::from(partitions.get()), Tail::default);
        let this = Self {
            partitions,
            tails: RwLock::new(tails),
            changed: watch::Sender::new(0),
            available: AtomicBool::new(true),
        };
        {
            let mut tails = this.tails.write().unwrap_or_else(PoisonError::into_inner);
            for &(topic, partition, end) in ends {
                tails[this.slot(topic, partition)].end = end;
            }
        }
        this
    }

    pub(crate) fn partitions(&self) -> PartitionCount {
        self.partitions
    }

    /// Takes in what was committed, and wakes all who wait.
    pub(crate) fn append(&self, records: Vec<(Topic, Partition, Stored)>) {
        if records.is_empty() {
            return;
        }
        {
            let mut tails = self.tails.write().unwrap_or_else(PoisonError::into_inner);
            for (topic, partition, stored) in records {
                tails[self.slot(topic, partition)].push(stored);
            }
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// Tells of every change after this call.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The next records at this position, at most so many, of so many bytes; at least one if there is one.
    pub(crate) fn find(&self, topic: Topic, partition: Partition, from: i64, limit: usize, bytes: usize) -> Found {
        let tails = self.tails.read().unwrap_or_else(PoisonError::into_inner);
        tails[self.slot(topic, partition)].find(from, limit, bytes)
    }

    /// The offset that the next record of the partition will have.
    pub(crate) fn end(&self, topic: Topic, partition: Partition) -> i64 {
        self.tails.read().unwrap_or_else(PoisonError::into_inner)[self.slot(topic, partition)].end
    }

    pub(crate) fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::Relaxed);
    }

    pub(crate) fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    fn slot(&self, topic: Topic, partition: Partition) -> usize {
        topic as usize * usize::from(self.partitions.get()) + usize::from(partition.get())
    }
}

impl Tail {
    fn push(&mut self, stored: Stored) {
        self.end = stored.offset + 1;
        self.bytes += stored.bytes();
        self.records.push_back(Arc::new(stored));
        while self.bytes > KEPT_BYTES || self.records.len() > KEPT_RECORDS {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    fn find(&self, from: i64, limit: usize, bytes: usize) -> Found {
        if from >= self.end {
            return Found::Nothing;
        }
        let Some(skip) = self.records.front().and_then(|first| usize::try_from(from - first.offset).ok()) else {
            return Found::OnDisk { end: self.end };
        };
        let mut found = Vec::new();
        let mut size = 0;
        for stored in self.records.iter().skip(skip).take(limit) {
            size += stored.bytes();
            if size > bytes && !found.is_empty() {
                break;
            }
            found.push(Arc::clone(stored));
        }
        Found::Here(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Topic = Topic::Scores;

    fn tails(end: i64) -> Tails {
        let partitions = PartitionCount::new(2).unwrap();
        Tails::new(partitions, &[(TOPIC, Partition::new(1), end)])
    }

    fn record(offset: i64, size: usize) -> (Topic, Partition, Stored) {
        (TOPIC, Partition::new(1), Stored { offset, key: Vec::new(), payload: vec![0; size] })
    }

    fn offsets(found: &Found) -> Vec<i64> {
        match found {
            Found::Here(records) => records.iter().map(|stored| stored.offset).collect(),
            Found::Nothing | Found::OnDisk { .. } => Vec::new(),
        }
    }

    #[test]
    fn what_was_there_before_is_on_disk_and_what_came_since_is_here() {
        let tails = tails(7);
        let find = |from| tails.find(TOPIC, Partition::new(1), from, 10, 1_000);
        assert_eq!(find(7), Found::Nothing);
        assert_eq!(find(3), Found::OnDisk { end: 7 });
        tails.append(vec![record(7, 1), record(8, 1)]);
        assert_eq!(find(6), Found::OnDisk { end: 9 });
        assert_eq!(offsets(&find(7)), [7, 8]);
        assert_eq!(offsets(&find(8)), [8]);
        assert_eq!(find(9), Found::Nothing);
        assert_eq!(tails.find(TOPIC, Partition::new(0), 0, 10, 1_000), Found::Nothing);
    }

    #[test]
    fn gives_no_more_than_asked_for_but_always_one() {
        let tails = tails(0);
        tails.append((0..5).map(|offset| record(offset, 100)).collect());
        let find = |limit, bytes| offsets(&tails.find(TOPIC, Partition::new(1), 0, limit, bytes));
        assert_eq!(find(2, 1_000), [0, 1]);
        assert_eq!(find(9, 300), [0, 1, 2]);
        assert_eq!(find(9, 1), [0]);
    }

    #[test]
    fn forgets_the_oldest_beyond_its_bounds() {
        let tails = tails(0);
        tails.append(vec![record(0, KEPT_BYTES - 1), record(1, 1), record(2, 1)]);
        let find = |from| tails.find(TOPIC, Partition::new(1), from, 10, 1_000);
        assert_eq!(find(0), Found::OnDisk { end: 3 });
        assert_eq!(offsets(&find(1)), [1, 2]);
        tails.append(vec![record(3, KEPT_BYTES + 1)]);
        assert_eq!(find(1), Found::OnDisk { end: 4 });
        assert_eq!(tails.end(TOPIC, Partition::new(1)), 4);
    }

    #[test]
    fn wakes_those_who_wait() {
        let tails = tails(0);
        let mut watching = tails.watch();
        assert!(!watching.has_changed().unwrap());
        tails.append(vec![record(0, 1)]);
        assert!(watching.has_changed().unwrap());
        watching.mark_unchanged();
        tails.append(Vec::new());
        assert!(!watching.has_changed().unwrap());
    }
}
