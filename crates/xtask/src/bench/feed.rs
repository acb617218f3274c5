//! Writes activity records to a topic: as fast as they are taken, or at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};
use tasuki_wire::PartitionCount;

use super::cluster::PARTITIONS;
use super::load::{Load, Made};

/// Counts what the broker has acknowledged.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    records: AtomicU64,
    failed: AtomicU64,
    /// When each record was acknowledged, in microseconds after `begun`, by its number; if asked for.
    times: Vec<AtomicU64>,
    begun: Option<Instant>,
}

impl Acknowledged {
    /// How many.
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Acquire)
    }

    /// When this record was acknowledged, after the beginning that was given; `None` if it was not.
    pub(super) fn at(&self, number: usize) -> Option<Duration> {
        let micros = self.times.get(number)?.load(Ordering::Acquire);
        (micros > 0).then(|| Duration::from_micros(micros))
    }
}

struct Reports(Arc<Acknowledged>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    /// The record's number.
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, number: usize) {
        if report.is_err() {
            self.0.failed.fetch_add(1, Ordering::AcqRel);
            return;
        }
        if let (Some(slot), Some(begun)) = (self.0.times.get(number), self.0.begun) {
            slot.store(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Release);
        }
        self.0.records.fetch_add(1, Ordering::AcqRel);
    }
}

/// A producer that repeats nothing and reorders nothing.
struct Feed {
    producer: ThreadedProducer<Reports>,
    topic: String,
    partitions: PartitionCount,
}

impl Feed {
    fn new(servers: &str, topic: &str, linger_ms: &str, counts: Arc<Acknowledged>) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", linger_ms)
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072")
            .create_with_context(Reports(counts))?;
        let partitions = PartitionCount::new(PARTITIONS).context("more than no partitions")?;
        Ok(Self { producer, topic: topic.to_owned(), partitions })
    }

    fn send(&self, made: &Made, number: usize) -> anyhow::Result<()> {
        let partition = i32::from(self.partitions.of_key(made.key.as_bytes()).get());
        let mut record = BaseRecord::with_opaque_to(&self.topic, number)
            .partition(partition)
            .key(made.key.as_bytes())
            .payload(made.payload.as_slice());
        let begun = Instant::now();
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if begun.elapsed().as_secs() < 60 =>
                {
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(anyhow!(error).context(format!("cannot write to {}", self.topic))),
            }
        }
    }

    fn finish(&self) -> anyhow::Result<()> {
        self.producer.flush(Duration::from_secs(120)).context("the broker does not take the last records")?;
        match self.producer.context().0.failed.load(Ordering::Acquire) {
            0 => Ok(()),
            failed => bail!("the broker refused {failed} records of {}", self.topic),
        }
    }
}

/// Writes the records of these numbers, as fast as the broker takes them.
pub(super) fn fill(servers: &str, topic: &str, load: Load, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let feed = Feed::new(servers, topic, "20", Arc::default())?;
    for number in numbers {
        feed.send(&load.record(number), 0)?;
    }
    feed.finish()
}

/// A thread that writes records at a steady rate, until it is stopped.
pub(super) struct Steady {
    acknowledged: Arc<Acknowledged>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

/// How a steady input runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Records a second.
    pub(super) rate: u32,
    /// The number of the first record.
    pub(super) first: u64,
    /// So many, then it ends by itself; 0: until stopped.
    pub(super) most: u32,
}

impl Pace {
    /// When the record number `index` (from 0) is to be sent.
    pub(super) fn due(self, index: u32) -> Duration {
        Duration::from_secs_f64(f64::from(index) / f64::from(self.rate.max(1)))
    }
}

impl Steady {
    /// Starts at `begun`, in batches of at most 5 ms, as the transactions of the service before would be. Each record has its instant: when the sender is late it catches up, and whoever measures from
    /// those instants counts that in.
    pub(super) fn start(servers: &str, topic: &str, load: Load, pace: Pace, begun: Instant) -> anyhow::Result<Self> {
        let acknowledged = Arc::new(Acknowledged {
            times: (0..pace.most).map(|_| AtomicU64::new(0)).collect(),
            begun: Some(begun),
            ..Acknowledged::default()
        });
        let feed = Feed::new(servers, topic, "5", Arc::clone(&acknowledged))?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut index = 0_u32;
            while !told.load(Ordering::Acquire) && (pace.most == 0 || index < pace.most) {
                let made = load.record(pace.first + u64::from(index));
                let wait = (begun + pace.due(index)).saturating_duration_since(Instant::now());
                if !wait.is_zero() {
                    std::thread::sleep(wait);
                }
                feed.send(&made, usize::try_from(index)?)?;
                index += 1;
            }
            feed.finish()?;
            Ok(u64::from(index))
        });
        Ok(Self { acknowledged, stop, thread })
    }

    /// What the broker has taken so far.
    pub(super) fn acknowledged(&self) -> Arc<Acknowledged> {
        Arc::clone(&self.acknowledged)
    }

    /// Waits until it has ended by itself.
    pub(super) fn ended(self) -> anyhow::Result<u64> {
        self.thread.join().map_err(|_| anyhow!("the steady input panicked"))?
    }

    /// Stops it; says how many records it wrote.
    pub(super) fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Release);
        self.ended()
    }
}
