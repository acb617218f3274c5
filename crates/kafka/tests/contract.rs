//! The contract of the runners, on a real broker, with the worker in a process of its own that can be killed.

mod common;

use tasuki_kafka::{KafkaLog, Settings};
use tasuki_stream::Emitted;
use tasuki_stream::log::LogRecord;
use tasuki_testkit::contract::{Harness, TestClock};
use tasuki_wire::Topic;
use tempfile::TempDir;

use common::{ClockFile, WorkerProcess};

struct Kafka {
    settings: Settings,
    log: KafkaLog,
    clock: TestClock,
    shown: ClockFile,
    process: Option<WorkerProcess>,
    _folder: TempDir,
}

impl Kafka {
    fn fresh() -> Self {
        let settings = common::settings("contract");
        let folder = tempfile::tempdir().expect("a folder for the clock");
        let clock = TestClock::default();
        let shown = ClockFile::new(folder.path(), &clock);
        Self { log: common::open(&settings), settings, clock, shown, process: None, _folder: folder }
    }
}

impl Harness for Kafka {
    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn start(&mut self) {
        self.shown.set(&self.clock);
        self.process = Some(WorkerProcess::start(&self.settings, &self.shown));
    }

    fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    fn crash(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    fn publish(&mut self, records: Vec<Emitted>) {
        self.shown.set(&self.clock);
        common::publish(&self.log, records);
    }

    fn records(&mut self, topic: Topic) -> Vec<LogRecord> {
        self.shown.set(&self.clock);
        common::records(&self.settings, topic)
    }
}

tasuki_testkit::contract_suite!(Kafka::fresh());

#[test]
#[ignore = "no test, but the process that the others start and kill"]
fn worker_process() {
    WorkerProcess::be();
}
