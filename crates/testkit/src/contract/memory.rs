//! The contract on the runner in memory. It works only while it is looked at, one step at a time, so that a crash can
//! find it in the middle.

use std::collections::BTreeMap;

use tasuki_service::Clock;
use tasuki_stream::Emitted;
use tasuki_stream::log::LogRecord;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::Topic;

use super::{Harness, PARTITIONS, START, Tally, TestClock};

/// The runner in memory.
#[derive(Debug)]
pub struct Memory {
    pipeline: Pipeline,
    clock: TestClock,
    running: bool,
}

impl Memory {
    /// An empty pipeline.
    pub fn fresh() -> Self {
        Self { pipeline: Pipeline::new(PARTITIONS, START).with(Tally), clock: TestClock::default(), running: false }
    }
}

impl Harness for Memory {
    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn start(&mut self) {
        self.running = true;
    }

    fn stop(&mut self) {
        if self.running {
            self.pipeline.advance_to(self.clock.now());
        }
        self.crash();
    }

    fn crash(&mut self) {
        self.running = false;
        self.pipeline.restart();
    }

    fn publish(&mut self, records: Vec<Emitted>) {
        for record in records {
            self.pipeline.publish(record);
        }
    }

    fn records(&mut self, topic: Topic) -> Vec<LogRecord> {
        if self.running {
            self.pipeline.set_now(self.clock.now());
            self.pipeline.step();
        }
        let mut lengths = BTreeMap::new();
        self.pipeline
            .records(topic)
            .map(|record| {
                let partition = PARTITIONS.of_key(&record.key);
                let length = lengths.entry(partition).or_insert(0);
                let offset = *length;
                *length += 1;
                LogRecord { topic, partition, offset, key: record.key.clone(), payload: record.payload.clone() }
            })
            .collect()
    }
}
