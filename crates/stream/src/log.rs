//! The log as seen by those that are no processors: ingest and console write to it, the projection reads it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tasuki_wire::{Partition, Topic};

use crate::Emitted;

/// A future that can be awaited on any thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Writes records to the log.
pub trait Publisher: Send + Sync + fmt::Debug {
    /// Writes the records, those of one partition in this order, and returns when all of them are durable.
    ///
    /// # Errors
    ///
    /// Some or all of the records may have been written nevertheless: every consumer drops what it has seen.
    fn publish(&self, records: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>>;

    /// The same for records that the caller keeps, for the case that they cannot be written. A log that only reads them
    /// need not copy them.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    fn publish_kept(&self, records: Arc<Vec<Emitted>>) -> BoxFuture<'_, Result<(), PublishError>> {
        self.publish(Arc::unwrap_or_clone(records))
    }
}

/// Records were not written, or not certainly.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The log does not answer, or not in time. The same call may work later.
    #[error("the log is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Too much is waiting to be written. The same call may work later.
    #[error("too many records are waiting to be written")]
    Overloaded,
    /// The log will never take one of these records.
    #[error("the log refuses the record")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One record as it stands on the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Which topic.
    pub topic: Topic,
    /// Which partition of it.
    pub partition: Partition,
    /// Where in the partition.
    pub offset: i64,
    /// Empty if the record has none.
    pub key: Vec<u8>,
    /// The message.
    pub payload: Vec<u8>,
}

/// Where a reader is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which topic.
    pub topic: Topic,
    /// Which partition of it.
    pub partition: Partition,
    /// The first offset to be read; offsets may have gaps.
    pub offset: i64,
}

/// Reads committed records of the log.
pub trait Reader: Send + fmt::Debug {
    /// Goes on at these positions, and reads nothing else.
    ///
    /// # Errors
    ///
    /// If the log does not know one of them.
    fn seek(&mut self, positions: &[Position]) -> BoxFuture<'_, Result<(), ReadError>>;

    /// The next records, in order within each partition; waits until there are some, at most so long; then empty.
    /// At most some thousand at a time.
    ///
    /// # Errors
    ///
    /// After [`ReadError::Unavailable`] the reader goes on where it was once the log is back.
    fn poll(&mut self, at_most: Duration) -> BoxFuture<'_, Result<Vec<LogRecord>, ReadError>>;

    /// How many records lie between what was last polled and the end of the log, as far as it is known.
    fn lag(&self) -> u64;
}

/// The log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not answer. It may later.
    #[error("the log is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The position is not on the log (any more).
    #[error("{topic} partition {partition} has nothing at offset {offset}", topic = .0.topic, partition = .0.partition, offset = .0.offset)]
    NoSuchPosition(Position),
}
