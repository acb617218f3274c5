//! Accounts are what their leads' last scores come to on every runner: leads and accounts are in different partitions, and
//! the runner is stopped in the middle.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may panic; clippy sees that only inside of test functions"
)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{DAY, profile};
use prost::Message;
use tasuki_domain::{EventId, LeadId, Millis, Timestamp, Version};
use tasuki_embedded::EmbeddedLog;
use tasuki_kafka::{KafkaLog, Settings, WorkerError};
use tasuki_playbook::Playbook;
use tasuki_scoring::Scoring;
use tasuki_service::{Clock, Health, Shutdown};
use tasuki_stream::Emitted;
use tasuki_stream::log::{Position, Publisher, ReadError, Reader};
use tasuki_stream::memory::Pipeline;
use tasuki_testkit::contract::{PARTITIONS, TestClock};
use tasuki_testkit::eventually::eventually;
use tasuki_testkit::kafka::{KafkaBroker, unique_prefix};
use tasuki_testkit::postgres::fresh_database;
use tasuki_wire::v1::account_record::Event;
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::v1::behavior_record::Event as Behavior;
use tasuki_wire::{Head, Topic, v1};
use tokio::runtime::Runtime;
use uuid::Uuid;

const LEADS: u64 = 60;
const ACCOUNTS: u64 = 7;

fn scoring() -> Scoring {
    Scoring::new(Arc::new(Playbook::built_in())).with_partitions(PARTITIONS)
}

fn activity(number: u64, version: u64, at: i64, event: Activity) -> Emitted {
    let lead = LeadId::new(Uuid::from_u128(1_000 + u128::from(number)));
    let meta = Some(head(lead, u128::from(number) << 32 | u128::from(version), at, version).to_meta());
    let payload = v1::ActivityRecord { meta, identities_version: 0, event: Some(event) }.encode_to_vec();
    Emitted { topic: Topic::Activity, key: lead.to_string(), payload }
}

fn head(lead: LeadId, id: u128, at: i64, version: u64) -> Head {
    Head {
        event_id: EventId::new(Uuid::from_u128(id)),
        occurred_at: Timestamp::from_millis(at),
        received_at: Timestamp::from_millis(at),
        cause: None,
        lead: Some(lead),
        version: Version::new(version),
    }
}

fn is_of(number: u64, version: u64, account: u64, at: i64) -> Emitted {
    let department = ["Sales", "IT", "R&D"][usize::try_from(number % 3).unwrap()];
    let profile = v1::Profile {
        account_id: format!("company-{account}.example"),
        ..profile("a@b.example", &[("department", department)])
    };
    activity(number, version, at, Activity::ProfileChanged(v1::ProfileChanged { profile: Some(profile) }))
}

fn sends(number: u64, version: u64, form: &str, at: i64) -> Emitted {
    let lead = LeadId::new(Uuid::from_u128(1_000 + u128::from(number)));
    let id = 1 << 100 | u128::from(number) << 32 | u128::from(version);
    let behavior = v1::BehaviorRecord {
        meta: Some(head(lead, id, at, 0).to_meta()),
        origin: Some(v1::Origin::default()),
        event: Some(Behavior::FormSubmitted(v1::FormSubmitted { form: form.into() })),
        ..v1::BehaviorRecord::default()
    };
    let attributed = v1::BehaviorAttributed { behavior: Some(behavior), via: "email".into(), unscored: false };
    activity(number, version, at, Activity::Attributed(attributed))
}

/// What all leads do before the runner is stopped, and behind that: every fourth goes to another account, and every fifth
/// sends a second form.
fn story(now: i64) -> (Vec<Emitted>, Vec<Emitted>) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for number in 0..LEADS {
        first.push(is_of(number, 1, number % ACCOUNTS, now));
        first.push(sends(number, 2, if number % 2 == 0 { "demo-request" } else { "newsletter" }, now));
        if number % 4 == 0 {
            second.push(is_of(number, 3, (number + 1) % ACCOUNTS, now + 1));
        } else if number % 5 == 0 {
            second.push(sends(number, 3, "trial", now + 1));
        }
    }
    (first, second)
}

/// Engagement, people and departments of each account.
type Accounts = BTreeMap<String, (i64, u32, BTreeMap<String, u32>)>;

/// What it comes to, by hand: a demo is 40 points (form and demo-request), a trial 40, a newsletter 10, which is too few.
fn expected() -> Accounts {
    let mut accounts = Accounts::new();
    for number in 0..LEADS {
        let moves = number % 4 == 0;
        let trial = if !moves && number % 5 == 0 { 40_000 } else { 0 };
        let points = trial + if number % 2 == 0 { 40_000 } else { 10_000 };
        if points >= 20_000 {
            let account = if moves { (number + 1) % ACCOUNTS } else { number % ACCOUNTS };
            let of_account = accounts.entry(format!("company-{account}.example")).or_default();
            of_account.0 = (of_account.0 + points).min(300_000);
            of_account.1 += 1;
            let department = ["Sales", "IT", "R&D"][usize::try_from(number % 3).unwrap()];
            *of_account.2.entry(department.to_owned()).or_default() += 1;
        }
    }
    accounts
}

/// The last that was said of each account; versions have no gap, and no event stands there twice.
fn outcome(records: Vec<(String, v1::AccountRecord)>) -> Accounts {
    let (mut accounts, mut versions, mut ids) = (Accounts::new(), BTreeMap::<String, u64>::new(), Vec::new());
    for (account, record) in records {
        let head = Head::read(record.meta.as_ref()).unwrap();
        ids.push(head.event_id);
        let Some(Event::Engaged(engaged)) = record.event else { continue };
        let version = versions.entry(account.clone()).or_default();
        *version += 1;
        assert_eq!(head.version.get(), *version, "of {account}");
        let departments = engaged.departments.into_iter().map(|department| (department.name, department.people));
        accounts.insert(account, (engaged.engagement_mp, engaged.people, departments.collect()));
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an event stands there twice");
    accounts
}

/// A log with scoring on it.
trait Runner {
    fn clock(&self) -> &TestClock;
    fn start(&mut self);
    /// Ends it, as abruptly as can be done in one process.
    fn stop(&mut self);
    fn publish(&mut self, records: Vec<Emitted>);
    /// What stands on `accounts`, in order within each partition.
    fn accounts(&mut self) -> Vec<(String, v1::AccountRecord)>;
}

fn accounts_are_what_their_leads_come_to(runner: &mut impl Runner) {
    let (first, second) = story(runner.clock().now().as_millis());
    runner.start();
    runner.publish(first);
    eventually("something to be said", || if runner.accounts().is_empty() { Err("nothing") } else { Ok(()) });
    runner.stop();
    runner.publish(second);
    runner.start();
    let expected = expected();
    eventually("the accounts that were expected", || {
        let found = outcome(runner.accounts());
        if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
    });
    runner.stop();
    // Long enough for all to fall below.
    runner.clock().advance(Millis::new(200 * DAY));
    runner.start();
    eventually("accounts without anybody", || {
        let found = outcome(runner.accounts());
        if found.values().all(|it| *it == (0, 0, BTreeMap::new())) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    runner.stop();
}

/// Reads a topic from its beginning to its end.
async fn read<E: Debug>(reader: Result<impl Reader, E>, topic: Topic) -> Vec<(String, v1::AccountRecord)> {
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
    let of = |key: &[u8], payload: &[u8]| {
        (String::from_utf8(key.to_vec()).unwrap(), v1::AccountRecord::decode(payload).unwrap())
    };
    records.iter().map(|record| of(&record.key, &record.payload)).collect()
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

    fn accounts(&mut self) -> Vec<(String, v1::AccountRecord)> {
        self.pipeline.advance_to(self.clock.now());
        let decode = |payload: &[u8]| v1::AccountRecord::decode(payload).unwrap();
        let records = self.pipeline.records(Topic::Accounts);
        records.map(|it| (String::from_utf8(it.key.clone()).unwrap(), decode(&it.payload))).collect()
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
        let (clock, component) = (Arc::new(self.clock.clone()), self.health.component("scoring"));
        let (runtime, log) = self.open();
        drop(runtime.spawn(log.run(scoring(), component, clock, Shutdown::new())));
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

    fn accounts(&mut self) -> Vec<(String, v1::AccountRecord)> {
        let (runtime, log) = self.open();
        runtime.block_on(read(Ok::<_, ()>(log.reader()), Topic::Accounts))
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
        let component = Health::default().component("scoring");
        let running = thread::spawn(move || log.run_worker(&Arc::new(scoring()), 0, &clock, &component, &theirs));
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

    fn accounts(&mut self) -> Vec<(String, v1::AccountRecord)> {
        let reader = self.log.reader();
        self.runtime.block_on(read(reader, Topic::Accounts))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn accounts_are_what_their_leads_come_to_in_memory() {
    let pipeline = Pipeline::new(PARTITIONS, TestClock::default().now()).with(scoring());
    accounts_are_what_their_leads_come_to(&mut Memory { pipeline, clock: TestClock::default() });
}

#[test]
fn accounts_are_what_their_leads_come_to_on_the_embedded_log() {
    let (clock, health) = (TestClock::default(), Health::default());
    accounts_are_what_their_leads_come_to(&mut Embedded { url: fresh_database(), clock, health, open: None });
}

#[test]
fn accounts_are_what_their_leads_come_to_on_kafka() {
    let settings = Settings::new(KafkaBroker::shared().bootstrap_servers(), unique_prefix("scoring"));
    let settings = Settings { partitions: Some(PARTITIONS.get()), ..settings };
    let runtime = runtime();
    let log = runtime.block_on(KafkaLog::open(settings)).unwrap();
    accounts_are_what_their_leads_come_to(&mut Kafka { runtime, log, clock: TestClock::default(), running: None });
}
