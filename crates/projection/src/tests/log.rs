//! A log in memory, and readers that take its topics in any order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, LogRecord, Position, ReadError, Reader};
use tasuki_testkit::eventually::PATIENCE;
use tasuki_wire::{Partition, Topic};
use tokio::sync::watch;

use super::partitions;

type Place = (Topic, Partition);

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    records: Arc<Mutex<BTreeMap<Place, Vec<Emitted>>>>,
    away: Arc<AtomicBool>,
    seeks: Arc<AtomicUsize>,
}

/// In what order, and how much at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) seed: u64,
    pub(super) at_most: usize,
}

#[derive(Debug)]
pub(super) struct MemoryReader {
    log: Log,
    next: BTreeMap<Place, i64>,
    reading: Reading,
    /// How many records the log had when a poll found nothing more: all of them have been dealt with.
    drained: watch::Sender<usize>,
}

pub(super) struct Drained(watch::Receiver<usize>);

impl Drained {
    /// Until this many records have been read and whatever came of them is done.
    pub(super) async fn wait(mut self, records: usize) {
        let waiting = tokio::time::timeout(PATIENCE, self.0.wait_for(|drained| *drained >= records));
        waiting.await.expect("reads to the end in time").unwrap();
    }

    /// How many have been.
    pub(super) fn so_far(&self) -> usize {
        *self.0.borrow()
    }
}

impl Log {
    pub(super) fn of(records: impl IntoIterator<Item = Emitted>) -> Self {
        let log = Self::default();
        log.append(records);
        log
    }

    pub(super) fn append(&self, records: impl IntoIterator<Item = Emitted>) {
        let mut log = self.records.lock().unwrap();
        for record in records {
            let place = (record.topic, partitions().of_key(record.key.as_bytes()));
            log.entry(place).or_default().push(record);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.lock().unwrap().values().map(Vec::len).sum()
    }

    /// From now on no reader reaches the log, or every reader does again.
    pub(super) fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// How often any reader was sent to a position.
    pub(super) fn seeks(&self) -> usize {
        self.seeks.load(Ordering::SeqCst)
    }

    pub(super) fn reader(&self, reading: Reading) -> MemoryReader {
        MemoryReader { log: self.clone(), next: BTreeMap::new(), reading, drained: watch::Sender::new(0) }
    }
}

impl MemoryReader {
    pub(super) fn drained(&self) -> Drained {
        Drained(self.drained.subscribe())
    }

    /// Everything up to the end.
    pub(super) fn take_all(&mut self) -> Vec<LogRecord> {
        std::iter::repeat_with(|| self.take()).take_while(|taken| !taken.is_empty()).flatten().collect()
    }

    /// xorshift64.
    fn random(&mut self, below: usize) -> usize {
        let mut x = self.reading.seed | 1;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.reading.seed = x;
        usize::try_from(x % u64::try_from(below).unwrap()).unwrap()
    }

    /// Some records from here and there, or nothing if all have been read.
    fn take(&mut self) -> Vec<LogRecord> {
        let mut taken = Vec::new();
        let records = Arc::clone(&self.log.records);
        let records = records.lock().unwrap();
        let wanted = 1 + self.random(self.reading.at_most);
        while taken.len() < wanted {
            let left = |(place, next): (&Place, &i64)| {
                let record = records.get(place)?.get(usize::try_from(*next).unwrap())?;
                Some((*place, *next, record.clone()))
            };
            let open: Vec<_> = self.next.iter().filter_map(left).collect();
            if open.is_empty() {
                break;
            }
            let (place, offset, record) = open[self.random(open.len())].clone();
            self.next.insert(place, offset + 1);
            let (topic, partition) = place;
            taken.push(LogRecord { topic, partition, offset, key: record.key.into_bytes(), payload: record.payload });
        }
        if taken.is_empty() {
            self.drained.send_replace(records.values().map(Vec::len).sum());
        }
        taken
    }

    fn available(&self) -> Result<(), ReadError> {
        if self.log.away.load(Ordering::SeqCst) { Err(ReadError::Unavailable("away".into())) } else { Ok(()) }
    }
}

impl Reader for MemoryReader {
    fn seek(&mut self, positions: &[Position]) -> BoxFuture<'_, Result<(), ReadError>> {
        self.log.seeks.fetch_add(1, Ordering::SeqCst);
        self.next = positions.iter().map(|at| ((at.topic, at.partition), at.offset)).collect();
        Box::pin(async { self.available() })
    }

    fn poll(&mut self, _at_most: Duration) -> BoxFuture<'_, Result<Vec<LogRecord>, ReadError>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            self.available().map(|()| self.take())
        })
    }

    fn lag(&self) -> u64 {
        0
    }
}
