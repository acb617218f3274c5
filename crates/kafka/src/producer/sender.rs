//! One producer of librdkafka: what it was given, and what became of that.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext};
use rdkafka::util::Timeout;
use tasuki_wire::{Partition, PartitionCount};

use super::Failed;
use crate::client;
use crate::metrics;
use crate::polled::PolledProducer;

/// The offsets of a transaction take milliseconds, or half a second where brokers ask for patience.
const OFFSETS_WITHIN: Duration = Duration::from_secs(10);

/// A producer and the transaction it has open, if any.
pub(super) struct Sender {
    pub(super) producer: PolledProducer<Deliveries>,
    pub(super) begun: bool,
    /// Longer than this the broker does not keep a transaction open.
    pub(super) patience: Duration,
    /// Service and worker, for metrics.
    of: (&'static str, u16),
}

/// Counts what is under way, and wakes the worker when nothing is.
pub(super) struct Deliveries {
    worker: Thread,
    under_way: AtomicUsize,
    failure: Mutex<Option<KafkaError>>,
    /// Per partition: the offset after the last change written to the state topic by this producer, 0 for none.
    state_ends: Vec<AtomicI64>,
}

/// What a record is, for the delivery report.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Output,
    /// A change of the state of its partition.
    State,
}

/// One record.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    /// Its topic on the cluster.
    pub(super) topic: &'a str,
    pub(super) partition: Partition,
    pub(super) key: &'a str,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) headers: Option<OwnedHeaders>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What is fatal reaches the worker as the error of its next call, and then this producer is replaced anyhow.
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    /// 0 for outputs, else the partition plus 1.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        match result {
            Ok(message) => {
                if let Some(end) = tag.checked_sub(1).and_then(|partition| self.state_ends.get(partition)) {
                    end.fetch_max(message.offset() + 1, Ordering::AcqRel);
                }
            }
            Err((error, _)) => {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
            }
        }
        if self.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.worker.unpark();
        }
    }
}

impl Sender {
    /// For this thread.
    pub(super) fn new(
        config: &ClientConfig,
        partitions: PartitionCount,
        patience: Duration,
        of: (&'static str, u16),
    ) -> KafkaResult<Self> {
        let deliveries = Deliveries {
            worker: thread::current(),
            under_way: AtomicUsize::new(0),
            failure: Mutex::new(None),
            state_ends: partitions.all().map(|_| AtomicI64::new(0)).collect(),
        };
        let producer = PolledProducer::new(config, deliveries)?;
        Ok(Self { producer, begun: false, patience, of })
    }

    /// Opens a transaction if none is.
    pub(super) fn begin(&mut self) -> Result<(), Failed> {
        if !self.begun {
            self.producer.begin_transaction().map_err(Failed::Aborted)?;
            self.begun = true;
        }
        Ok(())
    }

    /// Adds offsets to the transaction.
    ///
    /// librdkafka keeps to no limit here: where the group's coordinator goes away at the wrong moment, the call never
    /// comes back (confluentinc/librdkafka#5456). So it is made by a thread of its own, which is left behind then,
    /// together with its producer. The worker goes on with a new one, which fences whatever the old one may still send.
    pub(super) fn send_offsets(
        &self,
        offsets: TopicPartitionList,
        metadata: ConsumerGroupMetadata,
    ) -> Result<(), Failed> {
        let producer = self.producer.shared();
        let (tell, told) = mpsc::sync_channel(1);
        let call = move || {
            let sent = producer.send_offsets_to_transaction(&offsets, &metadata, Timeout::Never);
            if tell.send(sent).is_err() {
                tracing::debug!("offsets were sent after all, by a producer that has been replaced");
            }
        };
        let spawned = thread::Builder::new().name("kafka offsets".to_owned()).spawn(call);
        spawned.map_err(|error| Failed::Aborted(KafkaError::ClientCreation(format!("no thread: {error}"))))?;
        let late = KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut);
        told.recv_timeout(OFFSETS_WITHIN).unwrap_or(Err(late)).map_err(Failed::Aborted)
    }

    /// Adds a record to the transaction. Waits while librdkafka's queue is full: that is what bounds our memory when
    /// the broker is slow.
    pub(super) fn send(&mut self, record: Record<'_>) -> Result<(), Failed> {
        self.begin()?;
        let tag = match record.kind {
            Kind::Output => 0,
            Kind::State => usize::from(record.partition.get()) + 1,
        };
        let mut message = BaseRecord::<str, [u8], usize>::with_opaque_to(record.topic, tag)
            .partition(i32::from(record.partition.get()))
            .key(record.key);
        message.payload = record.payload;
        message.headers = record.headers;
        let deliveries = self.producer.context();
        let mut waiting_since = None;
        loop {
            deliveries.under_way.fetch_add(1, Ordering::AcqRel);
            let (error, returned) = match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            deliveries.under_way.fetch_sub(1, Ordering::AcqRel);
            let since = *waiting_since.get_or_insert_with(Instant::now);
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) if since.elapsed() < self.patience => {
                    self.check()?;
                    self.tell_under_way();
                    thread::park_timeout(Duration::from_millis(2));
                    message = returned;
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => return Err(Failed::Content(error)),
                _ => return Err(Failed::Aborted(error)),
            }
        }
    }

    /// Waits until everything sent is acknowledged. `commit_transaction` would do so itself, in steps of 100 ms; polling
    /// the producer from here would spin. So the producer's own thread serves the reports and wakes this one.
    pub(super) fn drain(&self) -> Result<(), Failed> {
        self.tell_under_way();
        let deliveries = self.producer.context();
        let begun = Instant::now();
        while deliveries.under_way.load(Ordering::Acquire) > 0 {
            self.check()?;
            if begun.elapsed() > self.patience {
                return Err(Failed::Aborted(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)));
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        self.check()?;
        // The last report wakes us a moment before librdkafka has taken its message off the count that the commit looks
        // at; not to wait for that costs the 100 ms.
        let reported = Instant::now();
        while self.producer.in_flight_count() > 0 && reported.elapsed() < Duration::from_millis(20) {
            thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    fn tell_under_way(&self) {
        let (service, worker) = self.of;
        metrics::in_flight(service, worker, self.producer.context().under_way.load(Ordering::Acquire));
    }

    /// The offset after the last change that was written to the state topic of a partition.
    pub(super) fn state_end(&self, partition: Partition) -> Option<i64> {
        let ends = &self.producer.context().state_ends;
        ends.get(usize::from(partition.get())).map(|end| end.load(Ordering::Acquire)).filter(|&end| end > 0)
    }

    /// Waits for the reports of an aborted transaction and forgets them.
    #[cfg(feature = "drill")]
    pub(super) fn forget_failure(&self) {
        let deliveries = self.producer.context();
        while deliveries.under_way.load(Ordering::Acquire) > 0 {
            thread::park_timeout(Duration::from_millis(1));
        }
        deliveries.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether a record was refused.
    fn check(&self) -> Result<(), Failed> {
        let failure = self.producer.context().failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match failure {
            None => Ok(()),
            Some(error) => Err(match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::MessageBatchTooLarge
                    | RDKafkaErrorCode::InvalidRecord
                    | RDKafkaErrorCode::InvalidTimestamp,
                ) => Failed::Content(error),
                _ => Failed::Aborted(error),
            }),
        }
    }
}
