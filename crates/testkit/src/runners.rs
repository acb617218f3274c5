//! A processor on each of the runners: in memory, on the embedded log, on Kafka. For tests of what holds whichever it is.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tasuki_embedded::EmbeddedLog;
use tasuki_kafka::{KafkaLog, Settings, WorkerError};
use tasuki_service::{Clock, Health, Shutdown};
use tasuki_stream::log::{LogRecord, Position, Publisher, ReadError, Reader};
use tasuki_stream::memory::Pipeline;
use tasuki_stream::{Emitted, Processor};
use tasuki_wire::Topic;
use tokio::runtime::Runtime;

use crate::contract::{PARTITIONS, TestClock};
use crate::kafka::{KafkaBroker, unique_prefix};
use crate::postgres::fresh_database;

/// A log of its own, with a processor on it.
pub trait Runner {
    /// What the processor takes for now.
    fn clock(&self) -> &TestClock;
    /// Lets the processor work.
    fn start(&mut self);
    /// Ends it, as abruptly as can be done in one process.
    fn stop(&mut self);
    /// Writes to the log, whether or not the processor works.
    fn publish(&mut self, records: Vec<Emitted>);
    /// Key and payload of what stands on a topic, in order within each partition.
    fn records(&mut self, topic: Topic) -> Vec<(String, Vec<u8>)>;
}

/// In memory.
pub struct Memory {
    pipeline: Pipeline,
    clock: TestClock,
}

impl Memory {
    /// A log in memory.
    pub fn new<P: Processor + 'static>(processor: P) -> Self {
        let clock = TestClock::default();
        Self { pipeline: Pipeline::new(PARTITIONS, clock.now()).with(processor), clock }
    }
}

impl Runner for Memory {
    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn start(&mut self) {}

    fn stop(&mut self) {
        self.pipeline.restart();
    }

    fn publish(&mut self, records: Vec<Emitted>) {
        records.into_iter().for_each(|record| self.pipeline.publish(record));
    }

    fn records(&mut self, topic: Topic) -> Vec<(String, Vec<u8>)> {
        self.pipeline.advance_to(self.clock.now());
        self.pipeline.records(topic).map(|record| (text(&record.key), record.payload.clone())).collect()
    }
}

/// On tables of Postgres.
pub struct Embedded<F> {
    processor: F,
    url: String,
    clock: TestClock,
    health: Health,
    open: Option<(Runtime, EmbeddedLog)>,
}

impl<F> Embedded<F> {
    /// A database of its own; each start has what this makes.
    pub fn new(processor: F) -> Self {
        let (clock, health) = (TestClock::default(), Health::default());
        Self { processor, url: fresh_database(), clock, health, open: None }
    }

    fn open(&mut self) -> &(Runtime, EmbeddedLog) {
        let Self { url, clock, health, open, .. } = self;
        open.get_or_insert_with(|| {
            let (runtime, clock) = (runtime(), Arc::new(clock.clone()));
            let opened = runtime.block_on(EmbeddedLog::open(url, PARTITIONS, clock, health.component("log")));
            (runtime, opened.expect("a Postgres of its own"))
        })
    }
}

impl<P: Processor + 'static, F: Fn() -> P> Runner for Embedded<F> {
    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn start(&mut self) {
        let (clock, component) = (Arc::new(self.clock.clone()), self.health.component("worker"));
        let processor = (self.processor)();
        let (runtime, log) = self.open();
        drop(runtime.spawn(log.run(processor, component, clock, Shutdown::new())));
    }

    fn stop(&mut self) {
        if let Some((runtime, _)) = self.open.take() {
            runtime.shutdown_background();
        }
    }

    fn publish(&mut self, records: Vec<Emitted>) {
        let (runtime, log) = self.open();
        runtime.block_on(log.publisher().publish(records)).expect("the log takes it");
    }

    fn records(&mut self, topic: Topic) -> Vec<(String, Vec<u8>)> {
        let (runtime, log) = self.open();
        runtime.block_on(read(log.reader(), topic))
    }
}

/// On topics of the shared broker.
pub struct Kafka<F> {
    processor: F,
    runtime: Runtime,
    log: KafkaLog,
    clock: TestClock,
    running: Option<(Shutdown, JoinHandle<Result<(), WorkerError>>)>,
}

impl<F> Kafka<F> {
    /// Topics of its own; each start has what this makes.
    pub fn new(name: &str, processor: F) -> Self {
        let settings = Settings::new(KafkaBroker::shared().bootstrap_servers(), unique_prefix(name));
        let settings = Settings { partitions: Some(PARTITIONS.get()), ..settings };
        let runtime = runtime();
        let log = runtime.block_on(KafkaLog::open(settings)).expect("a Kafka broker");
        Self { processor, runtime, log, clock: TestClock::default(), running: None }
    }
}

impl<P: Processor + 'static, F: Fn() -> P> Runner for Kafka<F> {
    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn start(&mut self) {
        let (log, clock, shutdown) = (self.log.clone(), self.clock.clone(), Shutdown::new());
        let (processor, theirs) = (Arc::new((self.processor)()), shutdown.clone());
        let component = Health::default().component("worker");
        let running = thread::spawn(move || log.run_worker(&processor, 0, &clock, &component, &theirs));
        self.running = Some((shutdown, running));
    }

    fn stop(&mut self) {
        if let Some((shutdown, running)) = mem::take(&mut self.running) {
            shutdown.cancel();
            running.join().expect("a worker does not panic").expect("a worker ends in good order");
        }
    }

    fn publish(&mut self, records: Vec<Emitted>) {
        let publisher = self.log.publisher().expect("a publisher");
        self.runtime.block_on(publisher.publish(records)).expect("the log takes it");
    }

    fn records(&mut self, topic: Topic) -> Vec<(String, Vec<u8>)> {
        let reader = self.log.reader().expect("a reader");
        self.runtime.block_on(read(reader, topic))
    }
}

/// Reads a topic from its beginning to its end.
async fn read(mut reader: impl Reader, topic: Topic) -> Vec<(String, Vec<u8>)> {
    let start: Vec<_> = PARTITIONS.all().map(|partition| Position { topic, partition, offset: 0 }).collect();
    reader.seek(&start).await.expect("the topic is there from its beginning");
    let mut records: Vec<LogRecord> = Vec::new();
    loop {
        match reader.poll(Duration::from_millis(200)).await {
            Ok(more) if more.is_empty() => break,
            Ok(more) => records.extend(more),
            Err(ReadError::Unavailable(_)) => {}
            Err(error) => assert_eq!(format!("{error:?}"), "", "reads"),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records.into_iter().map(|record| (text(&record.key), record.payload)).collect()
}

fn text(key: &[u8]) -> String {
    String::from_utf8(key.to_vec()).expect("keys are text")
}

fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().expect("threads")
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Embedded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("url", &self.url).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Kafka<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("log", &self.log).finish_non_exhaustive()
    }
}
