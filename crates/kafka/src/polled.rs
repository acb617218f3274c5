//! A producer with a thread that serves its reports at once, for callers that wait for them elsewhere.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, PurgeConfig};

/// How long a poll lasts, and how long the thread may outlive the producer. Reports are served as they come; but at its
/// end each poll of rdkafka 0.39 spins for up to a millisecond, so polls are few. (`ThreadedProducer`, with 10 a second,
/// costs 0.7 % of a core while nothing happens.)
const POLL: Duration = Duration::from_secs(2);

/// The producer. When it is dropped, what is under way is thrown away; its thread ends some time later.
pub(crate) struct PolledProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    over: Arc<AtomicBool>,
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    pub(crate) fn new(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let producer = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let over = Arc::new(AtomicBool::new(false));
        let (polled, told) = (Arc::clone(&producer), Arc::clone(&over));
        let serve = move || {
            while !told.load(Ordering::Acquire) {
                polled.poll(POLL);
            }
        };
        let spawned = thread::Builder::new().name("kafka reports".to_owned()).spawn(serve);
        spawned.map_err(|error| KafkaError::ClientCreation(format!("no thread for reports: {error}")))?;
        Ok(Self { producer, over })
    }
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    /// The producer for a call that may never come back.
    pub(crate) fn shared(&self) -> Arc<BaseProducer<C>> {
        Arc::clone(&self.producer)
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }
}
