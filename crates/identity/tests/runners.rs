//! The leads are a function of the set of events on every runner: some people on several devices, their events shuffled and
//! repeated, and the runner stopped in the middle.
#![allow(clippy::unwrap_used, reason = "a test may panic; clippy sees that only inside of test functions")]

#[path = "identity/model.rs"]
mod model;
#[path = "identity/support.rs"]
mod support;

use std::fmt::Debug;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;
use tasuki_domain::Millis;
use tasuki_embedded::EmbeddedLog;
use tasuki_identity::{Identity, IdentitySettings};
use tasuki_kafka::{KafkaLog, Settings, WorkerError};
use tasuki_service::{Health, Shutdown};
use tasuki_stream::Emitted;
use tasuki_stream::log::{Position, Publisher, ReadError, Reader};
use tasuki_stream::memory::Pipeline;
use tasuki_testkit::contract::{PARTITIONS, TestClock};
use tasuki_testkit::eventually::eventually;
use tasuki_testkit::kafka::{KafkaBroker, unique_prefix};
use tasuki_testkit::postgres::fresh_database;
use tasuki_wire::{Topic, v1};
use tokio::runtime::Runtime;

use support::{Behavior, Outcome, START, outcome, secret, trails};

/// Groups of people who have nothing to do with each other. Their events stand on the log at once.
const CASES: u8 = 20;

/// What the events of a case are about, in names of its own.
fn apart(case: u8, id: u8, behavior: Behavior) -> Behavior {
    let own =
        |text: &'static str| -> &'static str { if text.is_empty() { text } else { format!("{case}-{text}").leak() } };
    let Behavior { visitor, user, email, crm, phone, .. } = behavior;
    let in_system = |(system, id): (&str, &str)| -> &'static str { format!("{system}:{case}-{id}").leak() };
    let crm = crm.split_once(':').map_or("", in_system);
    let line = |rest: &str| -> &'static str { format!("{rest}{case:02}").leak() };
    let phone = phone.get(..phone.len().saturating_sub(2)).filter(|rest| !rest.is_empty()).map_or("", line);
    Behavior { id, visitor: own(visitor), user: own(user), email: own(email), crm, phone, ..behavior }
}

/// All events, and the same as they arrive: each at least once, in any order.
fn people() -> (Vec<Behavior>, Vec<Behavior>) {
    let mut runner = TestRunner::deterministic();
    let mut all: Vec<Behavior> = Vec::new();
    for case in 1..=CASES {
        for behavior in model::behaviors().new_tree(&mut runner).unwrap().current() {
            let id = u8::try_from(all.len() + 1).unwrap();
            all.push(apart(case, id, behavior));
        }
    }
    let again = prop::collection::vec(prop::sample::select(all.clone()), 40).new_tree(&mut runner).unwrap().current();
    let arrivals = Just(all.iter().cloned().chain(again).collect::<Vec<_>>()).prop_shuffle();
    let arrivals = arrivals.new_tree(&mut runner).unwrap().current();
    (all, arrivals)
}

fn identity() -> Identity {
    // As in the model: no bound is reached.
    let settings = IdentitySettings { values_per_attribute: 12, ..IdentitySettings::default() };
    Identity::new(secret(), settings)
}

/// A log with identity on it.
trait Runner {
    fn clock(&self) -> &TestClock;
    fn start(&mut self);
    /// Ends it, as abruptly as can be done in one process.
    fn stop(&mut self);
    fn publish(&mut self, records: Vec<Emitted>);
    /// What stands on `activity`, in order within each partition.
    fn activity(&mut self) -> Vec<v1::ActivityRecord>;
}

fn the_leads_are_those_of_the_model(runner: &mut impl Runner) {
    let (all, arrivals) = people();
    let expected = model::outcome(&all);
    assert!(expected.len() > 40, "{} leads", expected.len());
    // Later than anything that happens.
    runner.clock().advance(Millis::from_days(1));
    let (first, second) = arrivals.split_at(arrivals.len() / 2);
    runner.start();
    runner.publish(first.iter().map(Behavior::emitted).collect());
    eventually("something to be attributed", || if runner.activity().is_empty() { Err("nothing") } else { Ok(()) });
    runner.stop();
    runner.publish(second.iter().map(Behavior::emitted).collect());
    runner.start();
    eventually("the leads of the model", || {
        // Until user ids have waited for an address.
        runner.clock().advance(Millis::from_seconds(1));
        same(&outcome(trails(runner.activity())), &expected)
    });
    runner.stop();
    runner.start();
    let after = outcome(trails(runner.activity()));
    assert_eq!(same(&after, &expected), Ok(()), "it stays so");
    runner.stop();
}

/// Says of the first lead that is not as expected how it is.
fn same(found: &Outcome, expected: &Outcome) -> Result<(), String> {
    let leads = found.keys().chain(expected.keys());
    let differs = leads.into_iter().find(|lead| found.get(lead) != expected.get(lead));
    let of = |outcome: &Outcome, lead| outcome.get(lead).map_or("nothing".to_owned(), |it| format!("{it:?}"));
    differs.map_or(Ok(()), |lead| Err(format!("{lead} has {}, expected {}", of(found, lead), of(expected, lead))))
}

/// Reads a topic from its beginning to its end.
async fn read<E: Debug>(reader: Result<impl Reader, E>, topic: Topic) -> Vec<v1::ActivityRecord> {
    let mut reader = reader.unwrap();
    let start: Vec<_> = PARTITIONS.all().map(|partition| Position { topic, partition, offset: 0 }).collect();
    reader.seek(&start).await.unwrap();
    let mut records = Vec::new();
    loop {
        match reader.poll(Duration::from_millis(200)).await {
            Ok(more) if more.is_empty() => break,
            Ok(more) => records.extend(more),
            Err(ReadError::Unavailable(_)) => {}
            Err(error) => assert_eq!(format!("{error:?}"), "", "reads"),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records.iter().map(|record| v1::ActivityRecord::decode(record.payload.as_slice()).unwrap()).collect()
}

struct Memory {
    pipeline: Pipeline,
    clock: TestClock,
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

    fn activity(&mut self) -> Vec<v1::ActivityRecord> {
        self.pipeline.advance_to(tasuki_service::Clock::now(&self.clock));
        self.pipeline.messages(Topic::Activity)
    }
}

struct Embedded {
    url: String,
    clock: TestClock,
    health: Health,
    open: Option<(Runtime, EmbeddedLog)>,
}

impl Embedded {
    fn open(&mut self) -> &(Runtime, EmbeddedLog) {
        let Self { url, clock, health, open } = self;
        open.get_or_insert_with(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let clock = Arc::new(clock.clone());
            let log = runtime.block_on(EmbeddedLog::open(url, PARTITIONS, clock, health.component("log"))).unwrap();
            (runtime, log)
        })
    }
}

impl Runner for Embedded {
    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn start(&mut self) {
        let (clock, component) = (Arc::new(self.clock.clone()), self.health.component("identity"));
        let (runtime, log) = self.open();
        drop(runtime.spawn(log.run(identity(), component, clock, Shutdown::new())));
    }

    fn stop(&mut self) {
        if let Some((runtime, _)) = self.open.take() {
            runtime.shutdown_background();
        }
    }

    fn publish(&mut self, records: Vec<Emitted>) {
        let (runtime, log) = self.open();
        runtime.block_on(log.publisher().publish(records)).unwrap();
    }

    fn activity(&mut self) -> Vec<v1::ActivityRecord> {
        let (runtime, log) = self.open();
        runtime.block_on(read(Ok::<_, ()>(log.reader()), Topic::Activity))
    }
}

struct Kafka {
    runtime: Runtime,
    log: KafkaLog,
    clock: TestClock,
    running: Option<(Shutdown, JoinHandle<Result<(), WorkerError>>)>,
}

impl Runner for Kafka {
    fn clock(&self) -> &TestClock {
        &self.clock
    }

    fn start(&mut self) {
        let (log, clock, shutdown) = (self.log.clone(), self.clock.clone(), Shutdown::new());
        let theirs = shutdown.clone();
        let component = Health::default().component("identity");
        let running = thread::spawn(move || log.run_worker(&Arc::new(identity()), 0, &clock, &component, &theirs));
        self.running = Some((shutdown, running));
    }

    fn stop(&mut self) {
        if let Some((shutdown, running)) = self.running.take() {
            shutdown.cancel();
            running.join().unwrap().unwrap();
        }
    }

    fn publish(&mut self, records: Vec<Emitted>) {
        let publisher = self.log.publisher().unwrap();
        self.runtime.block_on(publisher.publish(records)).unwrap();
    }

    fn activity(&mut self) -> Vec<v1::ActivityRecord> {
        let reader = self.log.reader();
        self.runtime.block_on(read(reader, Topic::Activity))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn the_leads_are_those_of_the_model_in_memory() {
    let pipeline = Pipeline::new(PARTITIONS, START).with(identity());
    the_leads_are_those_of_the_model(&mut Memory { pipeline, clock: TestClock::default() });
}

#[test]
fn the_leads_are_those_of_the_model_on_the_embedded_log() {
    let (clock, health) = (TestClock::default(), Health::default());
    the_leads_are_those_of_the_model(&mut Embedded { url: fresh_database(), clock, health, open: None });
}

#[test]
fn the_leads_are_those_of_the_model_on_kafka() {
    let settings = Settings::new(KafkaBroker::shared().bootstrap_servers(), unique_prefix("identity"));
    let settings = Settings { partitions: Some(PARTITIONS.get()), ..settings };
    let runtime = runtime();
    let log = runtime.block_on(KafkaLog::open(settings)).unwrap();
    the_leads_are_those_of_the_model(&mut Kafka { runtime, log, clock: TestClock::default(), running: None });
}
