//! Writes records to Kafka for those that are no processors.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext};
use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, PublishError, Publisher};
use tasuki_wire::Topic;
use tokio::sync::oneshot;

use crate::client;
use crate::metrics;
use crate::open::KafkaLog;
use crate::polled::PolledProducer;

/// Writes records to Kafka: idempotently, acknowledged by all replicas in sync, each record to the partition of its key.
///
/// A call is answered within about 4 s, also when no broker is there. One call costs one wake-up, however many records
/// it has.
pub struct KafkaPublisher {
    log: KafkaLog,
    producer: Mutex<Arc<PolledProducer<Calls>>>,
}

/// One call of `publish`, shared by its records.
#[derive(Debug)]
struct Call {
    /// Records not reported yet, and 1 for the call itself until it has sent all.
    waiting: AtomicUsize,
    failure: Mutex<Option<KafkaError>>,
    done: Mutex<Option<oneshot::Sender<Option<KafkaError>>>>,
}

/// Tells calls of what became of their records.
struct Calls;

impl ClientContext for Calls {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }
}

impl ProducerContext for Calls {
    type DeliveryOpaque = Arc<Call>;

    fn delivery(&self, result: &DeliveryResult<'_>, call: Arc<Call>) {
        if let Err((error, _)) = result {
            call.fail(error);
        }
        call.one_less();
    }
}

impl Call {
    fn new() -> (Arc<Self>, oneshot::Receiver<Option<KafkaError>>) {
        let (done, answer) = oneshot::channel();
        let call = Self { waiting: AtomicUsize::new(1), failure: Mutex::default(), done: Mutex::new(Some(done)) };
        (Arc::new(call), answer)
    }

    fn fail(&self, error: &KafkaError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
    }

    fn one_less(&self) {
        if self.waiting.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if done.is_some_and(|done| done.send(failure).is_err()) {
            tracing::debug!("whoever published has gone away");
        }
    }
}

impl KafkaPublisher {
    pub(crate) fn new(log: &KafkaLog) -> KafkaResult<Self> {
        Ok(Self { producer: Mutex::new(Arc::new(producer(log)?)), log: log.clone() })
    }

    /// Whether Kafka answers this publisher at present: asks for the metadata of one of our topics over the connection
    /// that records take, and waits at most so long. Blocks: not for threads that run tasks.
    ///
    /// Says nothing of replicas: Kafka may answer and still refuse records while too few replicas are in sync.
    pub fn answers(&self, at_most: Duration) -> bool {
        let topic = self.log.settings().topic_name(Topic::Behavior);
        match self.current().client().fetch_metadata(Some(&topic), at_most) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "kafka does not answer the publisher");
                false
            }
        }
    }

    fn current(&self) -> Arc<PolledProducer<Calls>> {
        Arc::clone(&self.producer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces a producer that can no longer keep its promise of no repetitions; consumers drop what they have seen.
    fn replace_if_fatal(&self, used: &Arc<PolledProducer<Calls>>) {
        let Some((_, reason)) = used.client().fatal_error() else { return };
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, used) {
            return;
        }
        tracing::warn!(reason, "the publisher's producer is replaced");
        match producer(&self.log) {
            Ok(new) => *current = Arc::new(new),
            Err(error) => tracing::error!(%error, "it cannot be replaced"),
        }
    }

    /// Hands all records to librdkafka. An error means that some were not taken.
    fn send(&self, producer: &PolledProducer<Calls>, records: &[Emitted], call: &Arc<Call>) -> Result<(), KafkaError> {
        let mut named: Option<(Topic, String)> = None;
        for record in records {
            let partition = self.log.partitions().of_key(record.key.as_bytes());
            // Records of one call are nearly always of one topic.
            let (_, topic) = match named.take().filter(|(topic, _)| *topic == record.topic) {
                Some(same) => named.insert(same),
                None => named.insert((record.topic, self.log.settings().topic_name(record.topic))),
            };
            call.waiting.fetch_add(1, Ordering::AcqRel);
            let mut message = BaseRecord::with_opaque_to(topic, Arc::clone(call))
                .partition(i32::from(partition.get()))
                .key(record.key.as_bytes())
                .payload(record.payload.as_slice());
            message.headers = client::headers(record.topic, &record.payload);
            let sent = producer.send(message);
            if let Err((error, _)) = sent {
                call.one_less();
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write(&self, records: &[Emitted]) -> Result<(), PublishError> {
        let producer = self.current();
        let (call, answer) = Call::new();
        let sent = self.send(&producer, records, &call);
        call.one_less();
        let result = match sent {
            Err(error) => Err(error),
            Ok(()) => match answer.await {
                Ok(None) => Ok(()),
                Ok(Some(error)) => Err(error),
                Err(_) => Err(KafkaError::Canceled),
            },
        };
        result.map_err(|error| {
            self.replace_if_fatal(&producer);
            explain(error)
        })
    }
}

fn producer(log: &KafkaLog) -> KafkaResult<PolledProducer<Calls>> {
    let settings = log.settings();
    let mut config = client::producer(settings, &settings.member("publisher", 0));
    config
        .set("linger.ms", "1")
        // Ingest answers 503 before trackers give up waiting; librdkafka needs `linger` to be below.
        .set("message.timeout.ms", "3500");
    PolledProducer::new(&config, Calls)
}

fn explain(error: KafkaError) -> PublishError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => PublishError::Overloaded,
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::TopicAuthorizationFailed,
        ) => PublishError::Refused(Box::new(error)),
        Some(_) | None => PublishError::Unavailable(Box::new(error)),
    }
}

impl Publisher for KafkaPublisher {
    fn publish(&self, records: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>> {
        self.publish_kept(Arc::new(records))
    }

    fn publish_kept(&self, records: Arc<Vec<Emitted>>) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            let count = records.len();
            let result = self.write(&records).await;
            metrics::published(
                match &result {
                    Ok(()) => "durable",
                    Err(PublishError::Overloaded) => "overloaded",
                    Err(PublishError::Unavailable(_) | PublishError::Refused(_)) => "failed",
                },
                count,
            );
            result
        })
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPublisher").field("log", &self.log).finish_non_exhaustive()
    }
}
