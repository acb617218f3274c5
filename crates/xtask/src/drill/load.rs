//! What clients send: seeded, and such that it is evident whose each event is.

mod poison;
mod scripts;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message};
use tasuki_kafka::Settings;
use tasuki_wire::{PartitionCount, Topic};

pub(crate) use scripts::load;

/// How long the broker may take to take what is sent.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(60);

/// How a load departs from one event after the other, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Whole batches again, every fifth event again, some of them much later.
    pub(crate) duplicates: bool,
    /// Shuffled within an hour, one in a hundred 30 days late, some ten minutes in the future.
    pub(crate) disorder: bool,
    /// One in a hundred is nothing that a service can process.
    pub(crate) poison: bool,
}

/// One record that a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) topic: Topic,
    pub(crate) key: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    /// Which service cannot process it, if it is poison, and the code its dead letter has.
    pub(crate) poison: Option<Poison>,
}

/// What is known of poison beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poison {
    pub(crate) service: &'static str,
    pub(crate) code: &'static str,
}

/// All that clients send in one run, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    pub(crate) records: Vec<Sent>,
}

/// Sends the load, as far as it is let.
pub(crate) struct Feeder {
    inner: Arc<Inner>,
}

struct Inner {
    load: Load,
    names: Vec<(Topic, String)>,
    partitions: PartitionCount,
    next: Mutex<usize>,
    producer: ThreadedProducer<Ledger>,
}

/// What the broker has acknowledged: the ledger of the clients.
#[derive(Debug, Default)]
struct Ledger {
    acknowledged: AtomicUsize,
    refused: Mutex<Vec<String>>,
}

impl ClientContext for Ledger {}

impl ProducerContext for Ledger {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Ordering::AcqRel);
            }
            Err((error, record)) => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.push(format!("{}: {error}", record.topic()));
            }
        }
    }
}

impl fmt::Debug for Feeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder").field("sent", &self.sent()).field("of", &self.len()).finish_non_exhaustive()
    }
}

impl Feeder {
    /// Sends nothing yet.
    pub(crate) fn new(load: Load, settings: &Settings, partitions: PartitionCount) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &settings.bootstrap_servers)
            .set("client.id", "clients")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("reconnect.backoff.max.ms", "1000")
            .create_with_context(Ledger::default())
            .context("a producer")?;
        let names = [Topic::Behavior, Topic::SalesFeedback].map(|topic| (topic, settings.topic_name(topic))).to_vec();
        Ok(Self { inner: Arc::new(Inner { load, names, partitions, next: Mutex::new(0), producer }) })
    }

    /// Records in all.
    pub(crate) fn len(&self) -> usize {
        self.inner.load.records.len()
    }

    /// All that clients send.
    pub(crate) fn load(&self) -> &Load {
        &self.inner.load
    }

    /// Sends the next records, and returns when the broker has them.
    ///
    /// # Errors
    ///
    /// If it does not take them in a minute.
    pub(crate) fn feed(&self, records: usize) -> Result<()> {
        self.inner.send(records)?;
        self.inner.producer.flush(ACKNOWLEDGED_WITHIN).context("the broker does not take what clients send")?;
        let refused = self.inner.producer.context().refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = refused.first() {
            bail!("the broker refused {} records; {first}", refused.len());
        }
        Ok(())
    }

    /// Sends so many records a second beside everything else, until it is dropped or all are sent.
    pub(crate) fn trickle(&self, a_second: usize) -> Result<Trickle> {
        let (inner, over) = (Arc::clone(&self.inner), Arc::new(Mutex::new(false)));
        let theirs = Arc::clone(&over);
        let send = move || {
            while !*theirs.lock().unwrap_or_else(PoisonError::into_inner) {
                if let Err(error) = inner.send((a_second / 20).max(1)) {
                    eprintln!("trickle: {error:#}");
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        };
        let thread = thread::Builder::new().name("trickle".to_owned()).spawn(send).context("a thread")?;
        Ok(Trickle { over, thread: Some(thread) })
    }

    /// Records that have been sent.
    pub(crate) fn sent(&self) -> usize {
        *self.inner.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that have been acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.inner.producer.context().acknowledged.load(Ordering::Acquire)
    }
}

impl Inner {
    fn send(&self, records: usize) -> Result<()> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let until = next.saturating_add(records).min(self.load.records.len());
        for sent in &self.load.records[*next..until] {
            let name = self.names.iter().find(|(topic, _)| *topic == sent.topic);
            let (_, name) = name.context("clients write to behavior and sales-feedback")?;
            let partition = i32::from(self.partitions.of_key(&sent.key).get());
            let mut record = BaseRecord::<[u8], [u8]>::to(name).partition(partition).key(&sent.key);
            record.payload = Some(&sent.payload);
            while let Err((error, again)) = self.producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error).context("send");
                }
                thread::sleep(Duration::from_millis(5));
                record = again;
            }
        }
        *next = until;
        Ok(())
    }
}

/// A load that comes by itself. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Trickle {
    over: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Trickle {
    fn drop(&mut self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the trickle panicked");
        }
    }
}
