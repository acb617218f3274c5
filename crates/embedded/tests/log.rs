//! The log by itself: who may open it, what readers see, what is removed when.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tasuki_domain::Millis;
use tasuki_embedded::{EmbeddedLog, EmbeddedReader, OpenError, RunError};
use tasuki_service::health::Condition;
use tasuki_service::{Clock, Exit, Failure, Health, Shutdown};
use tasuki_stream::log::{LogRecord, Position, PublishError, Publisher, ReadError, Reader};
use tasuki_stream::{Context, Due, Emitted, Input, Poison, Processor, Topology};
use tasuki_testkit::contract::{Count, MORE_ORDERS, ORDERS, Order, PARTITIONS, STEPS, Step, Tally, TestClock, What};
use tasuki_testkit::postgres::fresh_database;
use tasuki_wire::{Partition, PartitionCount, Topic};

async fn open(url: &str, clock: &TestClock) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(url, PARTITIONS, Arc::new(clock.clone()), Health::default().component("log")).await
}

async fn opened() -> (EmbeddedLog, TestClock) {
    let clock = TestClock::default();
    (open(&fresh_database(), &clock).await.unwrap(), clock)
}

fn record(topic: Topic, key: &str, payload: impl Into<Vec<u8>>) -> Emitted {
    Emitted { topic, key: key.to_owned(), payload: payload.into() }
}

async fn from_start(log: &EmbeddedLog, topic: Topic) -> EmbeddedReader {
    let mut reader = log.reader();
    let start: Vec<_> = PARTITIONS.all().map(|partition| Position { topic, partition, offset: 0 }).collect();
    reader.seek(&start).await.unwrap();
    reader
}

/// The next so many records; fails if they do not come.
async fn next(reader: &mut EmbeddedReader, count: usize) -> Vec<LogRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let more = reader.poll(Duration::from_secs(60)).await.unwrap();
        assert!(!more.is_empty(), "only {} of {count} records came", records.len());
        records.extend(more);
    }
    assert_eq!(records.len(), count);
    records
}

async fn steps(log: &EmbeddedLog, count: usize) -> Vec<Step> {
    let records = next(&mut from_start(log, STEPS).await, count).await;
    records.iter().map(|record| Step::decode(record.payload.as_slice()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_has_one_log_open_at_a_time() {
    let (url, clock) = (fresh_database(), TestClock::default());
    let log = open(&url, &clock).await.unwrap();
    let failure = Failure::from(open(&url, &clock).await.unwrap_err());
    assert_eq!(failure.exit, Exit::TemporaryFailure);
    assert_eq!(failure.what, "another process of tasuki works on this database");
    log.publisher().publish(vec![record(Topic::Activity, "a", "1")]).await.unwrap();
    log.close().await;
    let after = log.publisher().publish(vec![record(Topic::Activity, "a", "2")]).await;
    assert!(matches!(after, Err(PublishError::Unavailable(_))), "{after:?}");
    let again = open(&url, &clock).await.unwrap();
    assert_eq!(next(&mut from_start(&again, Topic::Activity).await, 1).await[0].payload, b"1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_partitions_never_changes() {
    let (url, clock) = (fresh_database(), TestClock::default());
    open(&url, &clock).await.unwrap().close().await;
    let eight = PartitionCount::new(8).unwrap();
    let component = Health::default().component("log");
    let error = EmbeddedLog::open(&url, eight, Arc::new(clock), component).await.unwrap_err();
    let failure = Failure::from(error);
    assert_eq!(failure.exit, Exit::Config);
    assert_eq!(failure.what, "the log has 4 partitions, the settings say 8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_said() {
    let error = open("postgres://nobody:wrong@127.0.0.1:1/tasuki", &TestClock::default()).await.unwrap_err();
    let failure = Failure::from(error);
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(failure.what.starts_with("the database cannot be reached: "), "{failure}");
    let failure = Failure::from(open("no address", &TestClock::default()).await.unwrap_err());
    assert_eq!(failure.exit, Exit::Config);
    assert!(failure.what.starts_with("the address of the database cannot be read: "), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_all_in_order_from_the_tables_and_from_memory() {
    let (log, _) = opened().await;
    let mut expected = Vec::new();
    // 9 MB on one partition: far more than stays in memory.
    for batch in 0..90_i64 {
        let payload = |n: i64| format!("{:0>20000}", batch * 5 + n).into_bytes();
        let records = (0..5).map(|n| record(Topic::Activity, "one-key", payload(n)));
        expected.extend((0..5).map(|n| (batch * 5 + n, payload(n))));
        log.publisher().publish(records.collect()).await.unwrap();
    }
    let mut reader = from_start(&log, Topic::Activity).await;
    assert_eq!(reader.lag(), 450);
    let records = next(&mut reader, expected.len()).await;
    assert_eq!(reader.lag(), 0);
    let found: Vec<_> = records.into_iter().map(|record| (record.offset, record.payload)).collect();
    assert!(found == expected);
    assert_eq!(reader.poll(Duration::ZERO).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_reader_wakes_up_when_something_is_written() {
    let (log, _) = opened().await;
    let mut reader = from_start(&log, Topic::Activity).await;
    let (polled, published) = tokio::join!(reader.poll(Duration::from_secs(600)), async {
        tokio::task::yield_now().await;
        log.publisher().publish(vec![record(Topic::Activity, "a", "1")]).await
    });
    published.unwrap();
    let partition = PARTITIONS.of_key(b"a");
    let expected =
        LogRecord { topic: Topic::Activity, partition, offset: 0, key: b"a".to_vec(), payload: b"1".to_vec() };
    assert_eq!(polled.unwrap(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_nowhere_that_is_not() {
    let (log, _) = opened().await;
    let mut reader = log.reader();
    for (partition, offset) in [(0, 1), (0, -1), (4, 0)] {
        let position = Position { topic: Topic::Activity, partition: Partition::new(partition), offset };
        let refused = reader.seek(&[position]).await.unwrap_err();
        assert!(matches!(refused, ReadError::NoSuchPosition(at) if at == position), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_beyond_all_bounds_is_refused_and_one_of_any_key_is_taken() {
    let (log, clock) = opened().await;
    let refused = log.publisher().publish(vec![record(Topic::Activity, "a", vec![0; 9 << 20])]).await;
    assert!(matches!(refused, Err(PublishError::Refused(_))), "{refused:?}");
    // Longer than an index takes, and with what Postgres texts cannot hold; both also as keys of states.
    let (long, zero) = ("k".repeat(10_000), "a\0b".to_owned());
    let stop = Shutdown::new();
    let running = log.run(Tally, Health::default().component("tally"), Arc::new(clock), stop.clone());
    let running = tokio::spawn(running);
    log.publisher().publish(vec![Order::add(1, &long), Order::add(2, &zero), Order::add(3, &long)]).await.unwrap();
    let mut found: Vec<_> = steps(&log, 3).await.into_iter().map(|step| (step.key, step.total)).collect();
    found.sort();
    assert_eq!(found, [(zero, 2), (long.clone(), 1), (long, 4)]);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_of_a_service_ends_the_first() {
    let (log, clock) = opened().await;
    let start = || {
        let component = Health::default().component("tally");
        tokio::spawn(log.run(Tally, component, Arc::new(clock.clone()), Shutdown::new()))
    };
    let first = start();
    log.publisher().publish(vec![Order::add(1, "a")]).await.unwrap();
    steps(&log, 1).await;
    let second = start();
    // Both hear of each of these; only the second may write what follows.
    let mut total = 1;
    while !first.is_finished() {
        total += 1;
        log.publisher().publish(vec![Order::add(1, "a")]).await.unwrap();
        steps(&log, total).await;
    }
    assert!(matches!(first.await.unwrap(), Err(RunError::Replaced("tally"))));
    let steps = steps(&log, total).await;
    assert_eq!(steps.last().unwrap().total, u64::try_from(total).unwrap());
    log.close().await;
    assert!(matches!(second.await.unwrap(), Err(RunError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_days_is_removed_after_them_unless_a_processor_has_yet_to_read_it() {
    let (log, clock) = opened().await;
    let publish = async |topic, count: u8| {
        let records = (1..=count).map(|n| record(topic, "a", [n])).collect();
        log.publisher().publish(records).await.unwrap();
    };
    publish(Topic::IdentityLinks, 3).await;
    publish(Topic::Activity, 3).await;
    assert_eq!(log.remove_expired(clock.now() + Millis::from_days(6)).await.unwrap(), 0);
    clock.advance(Millis::from_days(6));
    publish(Topic::IdentityLinks, 2).await;
    // 7 days after the first; the later ones are younger.
    assert_eq!(log.remove_expired(clock.now() + Millis::from_days(2)).await.unwrap(), 3);
    let offsets = |records: Vec<LogRecord>| records.into_iter().map(|record| record.offset).collect::<Vec<_>>();
    assert_eq!(offsets(next(&mut from_start(&log, Topic::Activity).await, 3).await), [0, 1, 2]);
    // All are old now, but the last stays: it says which offset comes next.
    assert_eq!(log.remove_expired(clock.now() + Millis::from_days(8)).await.unwrap(), 1);

    // Tally reads the links; once it has begun, nothing goes that it has not read.
    let stop = Shutdown::new();
    let running = log.run(Tally, Health::default().component("tally"), Arc::new(clock.clone()), stop.clone());
    let running = tokio::spawn(running);
    log.publisher().publish(vec![Order::add(1, "a")]).await.unwrap();
    steps(&log, 1).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    publish(Topic::IdentityLinks, 2).await;
    assert_eq!(log.remove_expired(clock.now() + Millis::from_days(8)).await.unwrap(), 1);
}

/// Its deadlines cannot be fired; everything else can.
struct Fails;

impl Processor for Fails {
    type State = Count;

    fn topology(&self) -> Topology {
        Topology { service: "fails", inputs: &[ORDERS, MORE_ORDERS], outputs: &[STEPS], state: Topic::ScoringState }
    }

    fn apply(&self, context: &mut Context<'_, Count>, input: &Input<'_>) -> Result<(), Poison> {
        Tally.apply(context, input)
    }

    fn deadline(&self, context: &mut Context<'_, Count>, due: &Due<'_>) {
        assert_ne!(due.key, "bad");
        Tally.deadline(context, due);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_cannot_be_fired_is_told_and_all_else_goes_on() {
    let (log, clock) = opened().await;
    let health = Health::default();
    let running = log.run(Fails, health.component("fails"), Arc::new(clock.clone()), Shutdown::new());
    let running = tokio::spawn(running);
    let wake = |number, key: &str, after| {
        let at = clock.now() + Millis::from_hours(after);
        Order::record(number, key, What::WakeAt(at.as_millis()))
    };
    let bad = PARTITIONS.of_key(b"bad");
    let other = (0..).map(|n| format!("good-{n}")).find(|key| PARTITIONS.of_key(key.as_bytes()) == bad).unwrap();
    log.publisher().publish(vec![wake(1, &other, 1), wake(2, "bad", 2)]).await.unwrap();
    steps(&log, 2).await;
    clock.advance(Millis::from_hours(3));
    steps(&log, 3).await;
    log.publisher().publish(vec![Order::add(3, "bad"), Order::add(4, &other)]).await.unwrap();
    let found: Vec<_> = steps(&log, 5).await.into_iter().map(|step| (step.key, step.number, step.version)).collect();
    let of = |key: &str, number, version| (key.to_owned(), number, version);
    assert_eq!(found, [of(&other, 1, 1), of("bad", 2, 1), of(&other, 0, 2), of("bad", 3, 2), of(&other, 4, 3)]);
    let Condition::Waiting(why) = &health.conditions()["fails"] else { panic!("it claims to be well") };
    assert!(why.starts_with(&format!("deadlines of partition {bad} do not fire: panic")), "{why}");
    running.abort();
}
