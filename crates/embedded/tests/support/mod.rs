//! The contract's harness on the embedded log; shared by the tests of faults.

#![allow(dead_code, reason = "each test target uses some of it")]
#![allow(clippy::unwrap_used, reason = "how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use tasuki_embedded::{EmbeddedLog, RunError};
use tasuki_service::{Health, Shutdown};
use tasuki_stream::Emitted;
use tasuki_stream::log::{LogRecord, Position, Publisher, Reader};
use tasuki_testkit::contract::{Harness, PARTITIONS, Tally, TestClock};
use tasuki_testkit::eventually::PATIENCE;
use tasuki_testkit::postgres::fresh_database;
use tasuki_wire::Topic;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

pub(crate) struct Embedded {
    pub(crate) url: String,
    pub(crate) clock: TestClock,
    pub(crate) health: Health,
    open: Option<Open>,
}

/// A "process": dropped at once by a crash.
struct Open {
    runtime: Runtime,
    log: EmbeddedLog,
    running: Option<(Shutdown, JoinHandle<Result<(), RunError>>)>,
}

impl Embedded {
    pub(crate) fn fresh() -> Self {
        Self::on(fresh_database())
    }

    pub(crate) fn on(url: String) -> Self {
        Self { url, clock: TestClock::default(), health: Health::default(), open: None }
    }

    fn open(&mut self) -> &mut Open {
        let Self { url, clock, health, open } = self;
        open.get_or_insert_with(|| {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let component = health.component("log");
            let log = runtime.block_on(EmbeddedLog::open(url, PARTITIONS, Arc::new(clock.clone()), component)).unwrap();
            Open { runtime, log, running: None }
        })
    }

    pub(crate) fn try_publish(&mut self, records: Vec<Emitted>) -> Result<(), tasuki_stream::log::PublishError> {
        let open = self.open();
        open.runtime.block_on(open.log.publisher().publish(records))
    }
}

impl Harness for Embedded {
    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn start(&mut self) {
        let (clock, component) = (Arc::new(self.clock.clone()), self.health.component("tally"));
        let open = self.open();
        let shutdown = Shutdown::new();
        let running = open.log.run(Tally, component, clock, shutdown.clone());
        open.running = Some((shutdown, open.runtime.spawn(running)));
    }

    fn stop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        if let Some((shutdown, running)) = open.running.take() {
            shutdown.cancel();
            open.runtime.block_on(running).unwrap().unwrap();
        }
        open.runtime.block_on(open.log.close());
    }

    fn crash(&mut self) {
        if let Some(open) = self.open.take() {
            open.runtime.shutdown_background();
        }
    }

    fn publish(&mut self, records: Vec<Emitted>) {
        self.try_publish(records).unwrap();
    }

    fn records(&mut self, topic: Topic) -> Vec<LogRecord> {
        let open = self.open();
        let mut reader = open.log.reader();
        open.runtime.block_on(async {
            let start: Vec<_> = PARTITIONS.all().map(|partition| Position { topic, partition, offset: 0 }).collect();
            reader.seek(&start).await.unwrap();
            let mut records: Vec<LogRecord> = Vec::new();
            let begun = std::time::Instant::now();
            loop {
                match reader.poll(Duration::ZERO).await {
                    Ok(more) if more.is_empty() => break,
                    Ok(more) => records.extend(more),
                    Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
                }
            }
            records.sort_by_key(|record| (record.partition, record.offset));
            records
        })
    }
}
