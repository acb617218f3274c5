//! The transactions of a worker.
//!
//! Rules that librdkafka needs (it lacks KIP-890, so a request of an old transaction can end the next one, silently):
//!
//! - R1: after any failure the producer is dropped and a new one made with the same transactional id, whose
//!   initialisation fences whatever the old one may still have under way. Never abort and go on.
//! - R2: offsets are the last thing added before the commit, always with the group's metadata: that call is what stops a
//!   worker that lost its partitions without knowing.
//! - R3: the same replacement after a commit that succeeded, but may have been repeated unseen.
//! - R5: calls that block run under a watchdog.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::util::Timeout;
use tasuki_stream::Topology;
use tasuki_wire::{Partition, Topic};

use crate::client;
use crate::group::{Group, Offsets};
use crate::metrics::{self, Rebuild};
use crate::open::KafkaLog;
use crate::watchdog::Watchdog;

/// librdkafka repeats a request after `retry.backoff.ms` (100 at least, see the settings) less 20 %: what took less than
/// this was not repeated (R3).
const MAY_HAVE_BEEN_REPEATED: Duration = Duration::from_millis(50);

/// A transaction was not committed, or not certainly.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It certainly did not happen.
    Aborted(KafkaError),
    /// It may have happened.
    Unknown(KafkaError),
    /// It certainly did not happen: we gave it up.
    Dropped,
    /// It did not happen, because the log will never take one of its records.
    Content(KafkaError),
}

/// Makes transactions, one at a time.
pub(crate) struct Transactions {
    log: KafkaLog,
    service: &'static str,
    /// Any topic that we may describe.
    state: Topic,
    member: String,
    /// `None` only while it is being replaced.
    producer: Option<ThreadedProducer<Deliveries>>,
    begun: bool,
}

/// What a record is, for the delivery report.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// What a processor emitted to this topic of the catalogue.
    Output(Topic),
    /// A change of the state of this partition.
    State(Partition),
}

/// Counts what is under way, and wakes the worker when nothing is.
struct Deliveries {
    worker: Thread,
    under_way: AtomicUsize,
    failure: Mutex<Option<KafkaError>>,
    /// Per partition: the offset after the last change written to the state topic by this producer, 0 for none.
    state_ends: Vec<AtomicI64>,
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

    fn delivery(&self, result: &DeliveryResult<'_>, kind: usize) {
        match result {
            Ok(message) => {
                if let Some(end) = kind.checked_sub(1).and_then(|partition| self.state_ends.get(partition)) {
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

impl Transactions {
    /// For this worker; [`Transactions::rebuild`] must succeed before the first transaction.
    pub(crate) fn new(log: &KafkaLog, topology: &Topology, worker: u16) -> Self {
        let member = log.settings().member(topology.service, worker);
        let Topology { service, state, .. } = *topology;
        Self { log: log.clone(), service, state, member, producer: None, begun: false }
    }

    /// Ends the transaction that we give up ourselves while nothing is wrong with the producer. It would end anyhow when
    /// the next producer is initialised, but that costs half a second: librdkafka asks again only then.
    pub(crate) fn give_up(&mut self, watchdog: &Watchdog) {
        let Some(producer) = self.producer.as_ref().filter(|_| self.begun) else { return };
        // Records under way would be purged, and the broker could hear of their partitions after the end.
        if self.drain().is_err() {
            return;
        }
        let ended = watchdog.during("giving a transaction up", || producer.abort_transaction(Duration::from_secs(5)));
        match ended {
            Ok(()) => self.begun = false,
            Err(error) => tracing::debug!(service = self.service, %error, "left to the next producer"),
        }
    }

    /// What a drill does instead of R1: aborts, and says whether the same producer can go on.
    #[cfg(feature = "drill")]
    pub(crate) fn goes_on_without_r1(&mut self, watchdog: &Watchdog) -> bool {
        let Some(producer) = self.producer.as_ref().filter(|_| self.is_without(crate::Rule::R1)) else { return false };
        if self.begun && watchdog.during("aborting", || producer.abort_transaction(Timeout::Never)).is_err() {
            return false;
        }
        // Reports of what the abort has thrown away come in before it returns, or just after.
        while producer.context().under_way.load(Ordering::Acquire) > 0 {
            thread::park_timeout(Duration::from_millis(1));
        }
        producer.context().failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.begun = false;
        true
    }

    #[cfg(feature = "drill")]
    fn is_without(&self, rule: crate::Rule) -> bool {
        self.log.settings().without.contains(&rule)
    }

    /// Drops the producer, makes a new one and initialises it: from then on nothing that an earlier producer of this
    /// name sent has any effect. May be called again after an error.
    pub(crate) fn rebuild(&mut self, why: Option<Rebuild>, watchdog: &Watchdog, at_most: Duration) -> KafkaResult<()> {
        if let Some(why) = why {
            metrics::rebuilt(self.service, why);
        }
        self.begun = false;
        self.producer = None;
        let settings = self.log.settings();
        let mut config = client::producer(settings, &self.member);
        config
            .set("transactional.id", &self.member)
            .set("transaction.timeout.ms", settings.transaction_timeout_ms.to_string())
            .set("linger.ms", "2");
        let deliveries = Deliveries {
            worker: thread::current(),
            under_way: AtomicUsize::new(0),
            failure: Mutex::new(None),
            state_ends: self.log.partitions().all().map(|_| AtomicI64::new(0)).collect(),
        };
        let producer = ThreadedProducer::from_config_and_context(&config, deliveries)?;
        // Without a connection, librdkafka looks for the coordinator once in vain and then waits for 500 ms.
        producer.client().fetch_metadata(Some(&settings.topic_name(self.state)), at_most)?;
        watchdog.during("initialising transactions", || producer.init_transactions(at_most))?;
        self.producer = Some(producer);
        Ok(())
    }

    /// Adds a record to the transaction; opens it if none is.
    pub(crate) fn send(
        &mut self,
        kind: Kind,
        topic: &str,
        partition: Partition,
        key: &[u8],
        payload: Option<&[u8]>,
    ) -> Result<(), Failed> {
        self.begin()?;
        let producer = self.producer()?;
        let tag = match kind {
            Kind::Output(_) => 0,
            Kind::State(partition) => usize::from(partition.get()) + 1,
        };
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, tag).partition(i32::from(partition.get())).key(key);
        record.payload = payload;
        if let (Kind::Output(topic), Some(payload)) = (kind, payload) {
            record.headers = client::headers(topic, payload);
        }
        let deliveries = producer.context();
        let begun = Instant::now();
        loop {
            deliveries.under_way.fetch_add(1, Ordering::AcqRel);
            let (error, returned) = match producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            deliveries.under_way.fetch_sub(1, Ordering::AcqRel);
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) if begun.elapsed() < self.patience() => {
                    // Bounded memory: wait until the broker has taken some.
                    self.check_deliveries()?;
                    thread::park_timeout(Duration::from_millis(2));
                    record = returned;
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => return Err(Failed::Content(error)),
                _ => return Err(Failed::Aborted(error)),
            }
        }
    }

    /// Commits what was sent, together with these offsets. Says whether the producer must be replaced before the next
    /// transaction (R3).
    pub(crate) fn commit(&mut self, group: &Group, offsets: &Offsets, watchdog: &Watchdog) -> Result<bool, Failed> {
        self.begin()?;
        self.drain()?;
        let producer = self.producer()?;
        // R2. Without metadata there is no membership, and nothing may be committed.
        let metadata = group.metadata().ok_or(Failed::Aborted(KafkaError::Canceled))?;
        let list = group.list(offsets).map_err(Failed::Aborted)?;
        let begun = Instant::now();
        watchdog
            .during("sending offsets", || producer.send_offsets_to_transaction(&list, &metadata, Timeout::Never))
            .map_err(Failed::Aborted)?;
        let sent_after = begun.elapsed();
        let begun = Instant::now();
        loop {
            // `Never` means: as long as the transaction may last. A shorter limit aborts what would have succeeded.
            match watchdog.during("committing", || producer.commit_transaction(Timeout::Never)) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_retriable() && begun.elapsed() < self.patience() => {
                    tracing::info!(service = self.service, %error, "commit is being repeated");
                }
                Err(error) => return Err(Failed::Unknown(error)),
            }
        }
        self.begun = false;
        #[cfg(feature = "drill")]
        if self.is_without(crate::Rule::R3) {
            return Ok(false);
        }
        Ok(sent_after >= MAY_HAVE_BEEN_REPEATED || begun.elapsed() >= MAY_HAVE_BEEN_REPEATED)
    }

    /// The offset after the last change that this producer has written to the state topic of a partition.
    pub(crate) fn state_end(&self, partition: Partition) -> Option<i64> {
        let ends = &self.producer.as_ref()?.context().state_ends;
        ends.get(usize::from(partition.get())).map(|end| end.load(Ordering::Acquire)).filter(|&end| end > 0)
    }

    fn begin(&mut self) -> Result<(), Failed> {
        if !self.begun {
            self.producer()?.begin_transaction().map_err(Failed::Aborted)?;
            self.begun = true;
        }
        Ok(())
    }

    /// Waits until everything sent is acknowledged. `commit_transaction` would do so itself, in steps of 100 ms; polling
    /// the producer from here would spin. So the producer's own thread serves the reports and wakes this one.
    fn drain(&self) -> Result<(), Failed> {
        let producer = self.producer()?;
        let deliveries = producer.context();
        let begun = Instant::now();
        while deliveries.under_way.load(Ordering::Acquire) > 0 {
            self.check_deliveries()?;
            if begun.elapsed() > self.patience() {
                return Err(Failed::Aborted(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)));
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        self.check_deliveries()?;
        // The last report wakes us a moment before librdkafka has taken its message off the count that the commit looks
        // at; not to wait for that costs the 100 ms.
        let reported = Instant::now();
        while producer.in_flight_count() > 0 && reported.elapsed() < Duration::from_millis(20) {
            thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    fn check_deliveries(&self) -> Result<(), Failed> {
        let failure = self.producer()?.context().failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
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

    /// Longer than this the broker does not keep a transaction open.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.log.settings().transaction_timeout_ms)
    }

    fn producer(&self) -> Result<&ThreadedProducer<Deliveries>, Failed> {
        self.producer.as_ref().ok_or(Failed::Aborted(KafkaError::Canceled))
    }
}
