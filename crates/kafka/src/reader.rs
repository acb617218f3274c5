//! Reads committed records from Kafka for those that are no processors.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::statistics::Statistics;
use rdkafka::{Offset, TopicPartitionList};
use tasuki_stream::log::{BoxFuture, LogRecord, Position, ReadError, Reader};
use tasuki_wire::{Partition, Topic};
use tokio::sync::mpsc as channel;
use tokio::sync::oneshot;

use crate::client::{self, undelivered};
use crate::open::KafkaLog;
use crate::restore::Observer;

/// Records in one answer of `poll`.
const BATCH: usize = 2_000;
/// Answers ready before they are asked for; with librdkafka's own queue this bounds the memory of a reader.
const READY: usize = 2;
const POLL: Duration = Duration::from_millis(100);
/// How long a seek waits for brokers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads committed records of the log, from positions of its own.
///
/// A thread does the reading; a slow caller holds it up, a stopped broker too. It ends when this is dropped.
pub struct KafkaReader {
    commands: mpsc::Sender<Seek>,
    batches: channel::Receiver<Batch>,
    /// Number of the latest seek: batches of earlier ones are dropped.
    epoch: u64,
    shared: Arc<Shared>,
    name: String,
}

#[derive(Debug, Default)]
struct Shared {
    /// On the broker or in librdkafka's queue.
    behind: AtomicU64,
    /// Read, and not polled yet.
    ready: AtomicU64,
    over: AtomicBool,
}

struct Seek {
    epoch: u64,
    positions: Vec<Position>,
    answer: oneshot::Sender<Result<(), ReadError>>,
}

struct Batch {
    epoch: u64,
    records: Result<Vec<LogRecord>, ReadError>,
}

struct ReaderContext {
    shared: Arc<Shared>,
    topics: Vec<String>,
}

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let behind = self.topics.iter().map(|topic| undelivered(&statistics, topic)).sum();
        self.shared.behind.store(behind, Ordering::Relaxed);
    }
}

impl ConsumerContext for ReaderContext {}

impl KafkaReader {
    pub(crate) fn new(log: &KafkaLog) -> KafkaResult<Self> {
        let settings = log.settings();
        let name = settings.member("reader", 0);
        // Positions are the caller's; the group is only a name that librdkafka asks for.
        let mut config = client::consumer(settings, &name, &name);
        config.set("statistics.interval.ms", "1000");
        let shared = Arc::new(Shared::default());
        let topics = Topic::ALL.iter().map(|&topic| settings.topic_name(topic)).collect();
        let context = ReaderContext { shared: Arc::clone(&shared), topics };
        let consumer = BaseConsumer::from_config_and_context(&config, context)?;
        let observer = Observer::new(log, &name)?;
        let (commands, received) = mpsc::channel();
        let (send, batches) = channel::channel(READY);
        let names = Topic::ALL.iter().map(|&topic| (settings.topic_name(topic), topic)).collect();
        let work = Work { consumer, observer, names, commands: received, batches: send, shared: Arc::clone(&shared) };
        let spawned = thread::Builder::new().name("kafka reader".to_owned()).spawn(move || work.run());
        spawned.map_err(|error| KafkaError::ClientCreation(format!("no thread for a reader: {error}")))?;
        Ok(Self { commands, batches, epoch: 0, shared, name })
    }

    async fn go_on_at(&mut self, positions: Vec<Position>) -> Result<(), ReadError> {
        self.epoch += 1;
        let (answer, answered) = oneshot::channel();
        let seek = Seek { epoch: self.epoch, positions, answer };
        if self.commands.send(seek).is_err() {
            return Err(unavailable(KafkaError::Canceled));
        }
        // The thread may be waiting for room: what is ready now is of an earlier seek, and nobody wants it.
        tokio::pin!(answered);
        loop {
            tokio::select! {
                result = &mut answered => return result.unwrap_or_else(|_| Err(unavailable(KafkaError::Canceled))),
                Some(batch) = self.batches.recv() => self.taken(&batch),
            }
        }
    }

    async fn next(&mut self, at_most: Duration) -> Result<Vec<LogRecord>, ReadError> {
        let wait = async {
            while let Some(batch) = self.batches.recv().await {
                self.taken(&batch);
                if batch.epoch == self.epoch {
                    return batch.records;
                }
            }
            Err(unavailable(KafkaError::Canceled))
        };
        tokio::time::timeout(at_most, wait).await.unwrap_or(Ok(Vec::new()))
    }

    fn taken(&self, batch: &Batch) {
        let count = batch.records.as_ref().map_or(0, Vec::len);
        self.shared.ready.fetch_sub(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }
}

impl Reader for KafkaReader {
    fn seek(&mut self, positions: &[Position]) -> BoxFuture<'_, Result<(), ReadError>> {
        let positions = positions.to_vec();
        Box::pin(self.go_on_at(positions))
    }

    fn poll(&mut self, at_most: Duration) -> BoxFuture<'_, Result<Vec<LogRecord>, ReadError>> {
        Box::pin(self.next(at_most))
    }

    fn lag(&self) -> u64 {
        self.shared.behind.load(Ordering::Relaxed) + self.shared.ready.load(Ordering::Relaxed)
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // The thread may be waiting for room.
        self.batches.close();
    }
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReader").field("name", &self.name).field("lag", &self.lag()).finish_non_exhaustive()
    }
}

/// What the thread has.
struct Work {
    consumer: BaseConsumer<ReaderContext>,
    observer: Observer,
    names: Vec<(String, Topic)>,
    commands: mpsc::Receiver<Seek>,
    batches: channel::Sender<Batch>,
    shared: Arc<Shared>,
}

/// Where the reading is.
#[derive(Default)]
struct Place {
    next: BTreeMap<(Topic, Partition), i64>,
    /// One of them is not there any more, which is still to be told.
    lost: Option<KafkaError>,
}

impl Work {
    fn run(self) {
        let mut epoch = 0;
        let mut at = Place::default();
        while !self.shared.over.load(Ordering::Acquire) {
            while let Ok(seek) = self.commands.try_recv() {
                epoch = seek.epoch;
                let result = self.seek(&seek.positions);
                let next = seek.positions.iter().map(|at| ((at.topic, at.partition), at.offset)).collect();
                at = Place { next, lost: None };
                if seek.answer.send(result).is_err() {
                    tracing::debug!("whoever sought has gone away");
                }
            }
            let records = self.read(&mut at);
            if matches!(&records, Ok(records) if records.is_empty()) {
                continue;
            }
            let count = records.as_ref().map_or(0, Vec::len);
            self.shared.ready.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            if self.batches.blocking_send(Batch { epoch, records }).is_err() {
                return;
            }
        }
    }

    /// What is there, waiting a little where nothing is.
    ///
    /// An outage leaves many errors behind, one for each broker and partition. They are told as one, and only if no
    /// record follows them: then the trouble is over. A lost position is never passed over.
    fn read(&self, at: &mut Place) -> Result<Vec<LogRecord>, ReadError> {
        if let Some(error) = at.lost.take() {
            return Err(self.explain(error, &at.next));
        }
        let (mut records, mut trouble) = (Vec::new(), None);
        let mut wait = POLL;
        while records.len() < BATCH {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    if let Some(record) = self.record(&message) {
                        at.next.insert((record.topic, record.partition), record.offset + 1);
                        records.push(record);
                    }
                    wait = Duration::ZERO;
                }
                Some(Err(error)) if is_lost(&error) => {
                    // What was read before is told first.
                    at.lost = Some(error);
                    break;
                }
                Some(Err(error)) => trouble = Some(error),
                None => break,
            }
        }
        match trouble {
            Some(error) if records.is_empty() && at.lost.is_none() => Err(unavailable(error)),
            Some(_) | None => Ok(records),
        }
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Option<LogRecord> {
        let topic = self.names.iter().find(|(name, _)| name == message.topic()).map(|&(_, topic)| topic)?;
        Some(LogRecord {
            topic,
            partition: Partition::new(u16::try_from(message.partition()).ok()?),
            offset: message.offset(),
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
        })
    }

    fn seek(&self, positions: &[Position]) -> Result<(), ReadError> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for &position in positions {
            let name = self.name_of(position.topic);
            let (first, end) = match self.bounds(&name, position.partition) {
                Ok(bounds) => bounds,
                Err(error) if is_unknown(&error) => return Err(ReadError::NoSuchPosition(position)),
                Err(error) => return Err(unavailable(error)),
            };
            // 0 is the beginning, wherever that is by now. Anything else that is not there any more was missed.
            let known = position.offset == 0 || (first..=end).contains(&position.offset);
            if !known {
                return Err(ReadError::NoSuchPosition(position));
            }
            let offset = Offset::Offset(position.offset.max(first));
            list.add_partition_offset(&name, i32::from(position.partition.get()), offset).map_err(unavailable)?;
        }
        // What is still in the queue is of another place, or tells of an outage that is over: the brokers just answered.
        self.consumer.unassign().map_err(unavailable)?;
        while self.consumer.poll(Duration::ZERO).is_some() {}
        self.consumer.assign(&list).map_err(unavailable)
    }

    /// Asks again for a while: leaders change, and those of new topics are not known at once.
    fn bounds(&self, name: &str, partition: Partition) -> KafkaResult<(i64, i64)> {
        let begun = Instant::now();
        loop {
            match self.observer.bounds(name, partition) {
                Ok(bounds) => return Ok(bounds),
                Err(error) if is_unknown(&error) || begun.elapsed() > PATIENCE => return Err(error),
                Err(error) if self.shared.over.load(Ordering::Acquire) => return Err(error),
                Err(error) => tracing::debug!(%error, kafka.topic = name, "asking again for the bounds of a partition"),
            }
            thread::sleep(POLL);
        }
    }

    /// Which position is lost: librdkafka does not say.
    fn explain(&self, error: KafkaError, next: &BTreeMap<(Topic, Partition), i64>) -> ReadError {
        for (&(topic, partition), &offset) in next {
            let bounds = self.observer.bounds(&self.name_of(topic), partition);
            if bounds.is_ok_and(|(first, end)| !(first..=end).contains(&offset)) {
                return ReadError::NoSuchPosition(Position { topic, partition, offset });
            }
        }
        unavailable(error)
    }

    fn name_of(&self, topic: Topic) -> String {
        self.names.iter().find(|(_, of)| *of == topic).map_or_else(String::new, |(name, _)| name.clone())
    }
}

fn is_lost(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}

fn is_unknown(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

fn unavailable(error: KafkaError) -> ReadError {
    ReadError::Unavailable(Box::new(error))
}
