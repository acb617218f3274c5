//! What a worker promises beyond the contract of all runners, on a real broker.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use prost::Message;
use tasuki_domain::{Millis, Timestamp};
use tasuki_kafka::{KafkaLog, Settings, WorkerError};
use tasuki_service::Exit;
use tasuki_stream::log::{Position, ReadError, Reader};
use tasuki_stream::{Context, Due, Emitted, Input, Poison, Processor, State, StateError, Topology};
use tasuki_testkit::contract::{
    Count, ORDERS, Order, PARTITIONS, SERVICE, START, STATE, STEPS, Step, Tally, TestClock, What,
};
use tasuki_testkit::eventually::within;
use tasuki_wire::{Partition, Topic, v1};

use common::{ClockFile, Running, WorkerProcess, publish, records, runtime, settings};

const PATIENCE: Duration = Duration::from_secs(90);

fn wait_for(settings: &Settings, topic: Topic, count: usize) -> Vec<tasuki_stream::log::LogRecord> {
    let found = within(PATIENCE, &format!("{count} records on {topic}"), || {
        let found = records(settings, topic);
        if found.len() >= count { Ok(found) } else { Err(found.len()) }
    });
    assert_eq!(found.len(), count, "too many on {topic}");
    found
}

fn steps(settings: &Settings, count: usize) -> Vec<Step> {
    let records = wait_for(settings, STEPS, count);
    records.iter().map(|record| Step::decode(record.payload.as_slice()).expect("a step")).collect()
}

fn orders(numbers: std::ops::RangeInclusive<u64>) -> Vec<Emitted> {
    numbers.map(|number| Order::add(number, &format!("key-{}", number % 20))).collect()
}

/// Every key has versions 1, 2, 3 ... without a gap: nothing was lost, doubled or done on old state.
fn assert_gapless(steps: &[Step]) {
    let keys: BTreeSet<_> = steps.iter().map(|step| step.key.as_str()).collect();
    for key in keys {
        let versions: Vec<_> = steps.iter().filter(|step| step.key == key).map(|step| step.version).collect();
        let expected: Vec<_> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected, "{key}");
    }
}

/// Orders come all the time while this is done, so that transactions are under way whatever happens. How many came.
fn while_orders_come(log: &KafkaLog, work: impl FnOnce()) -> usize {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Ordering::Acquire) {
                publish(log, orders(sent + 1..=sent + 20));
                sent += 20;
            }
            usize::try_from(sent).unwrap()
        });
        // However the work ends, the orders end with it.
        let outcome = catch_unwind(AssertUnwindSafe(work));
        over.store(true, Ordering::Release);
        let sent = feeder.join().unwrap();
        outcome.map(|()| sent).unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[test]
fn partitions_move_between_workers_and_back_without_loss_or_repetition() {
    // Few commits, so that a transaction is under way when the group decides.
    let (commit_interval_ms, commit_latest_ms) = (500, 1_000);
    let settings = Settings { session_timeout_ms: 6_000, commit_interval_ms, commit_latest_ms, ..settings("moves") };
    let log = common::open(&settings);
    let first = Running::start(&settings, Tally, 0, TestClock::default());
    let done = || records(&settings, STEPS).len();
    let progress = |what: &str| {
        let before = done();
        within(PATIENCE, what, || match done() {
            now if now >= before + 100 => Ok(()),
            now => Err(now),
        });
    };
    let sent = while_orders_come(&log, || {
        progress("the first to work");
        let second = Running::start(&settings, Tally, 1, TestClock::default());
        within(PATIENCE, "the second to work", || if second.health.is_ready() { Ok(()) } else { Err("not yet") });
        progress("both to work");
        // Its partitions go back once its session is over.
        second.stop().unwrap();
        progress("the first to work alone");
    });
    assert_gapless(&steps(&settings, sent));
    first.stop().unwrap();
}

#[test]
fn a_worker_that_slept_while_another_did_its_work_takes_nothing_for_granted() {
    let settings = Settings { session_timeout_ms: 6_000, ..settings("sleeper") };
    let log = common::open(&settings);
    let folder = tempfile::tempdir().unwrap();
    let sleeper = WorkerProcess::start(&settings, &ClockFile::new(folder.path(), &TestClock::default()));
    publish(&log, orders(1..=200));
    steps(&settings, 200);
    // Work that it has in hand, or not: either way it may not be done twice.
    publish(&log, orders(201..=400));
    sleeper.signal("STOP");
    let other = Running::start(&settings, Tally, 1, TestClock::default());
    publish(&log, orders(401..=600));
    assert_gapless(&steps(&settings, 600));
    sleeper.signal("CONT");
    publish(&log, orders(601..=800));
    assert_gapless(&steps(&settings, 800));
    // All of it goes back to the sleeper.
    other.stop().unwrap();
    publish(&log, orders(801..=1_000));
    assert_gapless(&steps(&settings, 1_000));
    sleeper.stop();
}

#[test]
#[ignore = "no test, but the process that another one starts and lets sleep"]
fn worker_process() {
    WorkerProcess::be();
}

#[test]
fn two_processes_with_one_name_do_not_both_go_on() {
    let settings = settings("fenced");
    let log = common::open(&settings);
    let first = Running::start(&settings, Tally, 0, TestClock::default());
    publish(&log, orders(1..=20));
    steps(&settings, 20);
    let second = Running::start(&settings, Tally, 0, TestClock::default());
    within(PATIENCE, "the first to give way", || if first.has_ended() { Ok(()) } else { Err("it runs") });
    let error = first.stop().unwrap_err();
    assert!(matches!(error, WorkerError::Fenced { .. }), "{error}");
    assert_eq!(error.failure().exit, Exit::Config);
    publish(&log, orders(21..=40));
    assert_gapless(&steps(&settings, 40));
    second.stop().unwrap();
}

#[test]
fn a_burst_of_deadlines_fires_before_what_comes_later() {
    let settings = Settings { transaction_records: 500, ..settings("burst") };
    let log = common::open(&settings);
    let clock = TestClock::default();
    let due = START + Millis::from_hours(1);
    let wake = |number: u64| Order::record(number, &format!("key-{number}"), What::WakeAt(due.as_millis()));
    let running = Running::start(&settings, Tally, 0, clock.clone());
    // More than a transaction takes of one partition.
    publish(&log, (1..=6_000).map(wake).collect());
    steps(&settings, 6_000);
    running.stop().unwrap();
    clock.advance(Millis::from_hours(2));
    publish(&log, (1..=6_000).map(|number| Order::add(number, &format!("key-{number}"))).collect());
    let running = Running::start(&settings, Tally, 0, clock);
    let all = steps(&settings, 18_000);
    assert_gapless(&all);
    let fired_at = Some((START + Millis::from_hours(2)).as_millis());
    for step in &all {
        let expected = if step.version == 2 { (Some(due.as_millis()), fired_at) } else { (None, None) };
        assert_eq!((step.due_at, step.fired_at), expected, "{step:?}");
    }
    running.stop().unwrap();
}

#[test]
fn offsets_that_are_gone_though_there_is_state_stop_the_worker() {
    let settings = settings("offsets");
    let log = common::open(&settings);
    let running = Running::start(&settings, Tally, 0, TestClock::default());
    publish(&log, orders(1..=20));
    steps(&settings, 20);
    running.stop().unwrap();
    // Another group over the same state, as when the offsets have expired.
    let running = Running::start(&settings, Renamed, 0, TestClock::default());
    within(PATIENCE, "the worker to end", || if running.has_ended() { Ok(()) } else { Err("it runs") });
    let error = running.stop().unwrap_err();
    assert!(matches!(error, WorkerError::OffsetsLost { state: STATE, .. }), "{error}");
    assert_eq!(records(&settings, STEPS).len(), 20);
}

/// [`Tally`] by another name.
struct Renamed;

impl Processor for Renamed {
    type State = Count;

    fn topology(&self) -> Topology {
        Topology { service: "tally-renamed", ..Tally.topology() }
    }

    fn apply(&self, context: &mut Context<'_, Count>, input: &Input<'_>) -> Result<(), Poison> {
        Tally.apply(context, input)
    }

    fn deadline(&self, context: &mut Context<'_, Count>, due: &Due<'_>) {
        Tally.deadline(context, due);
    }
}

/// Keeps the latest input of a key, and writes as many bytes as it says.
struct Writes;

#[derive(Default)]
struct Latest(Vec<u8>, bool);

impl State for Latest {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Self(bytes.to_vec(), true))
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0);
    }

    fn is_empty(&self) -> bool {
        !self.1
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}

impl Processor for Writes {
    type State = Latest;

    fn topology(&self) -> Topology {
        Topology { service: "writes", inputs: &[ORDERS], outputs: &[STEPS], state: STATE }
    }

    fn apply(&self, context: &mut Context<'_, Latest>, input: &Input<'_>) -> Result<(), Poison> {
        let key = input.key_str()?;
        let text = std::str::from_utf8(input.payload).map_err(|error| Poison::new("text", error.to_string()))?;
        match text.split_once(' ') {
            Some(("set", value)) => *context.state(key) = Latest(value.as_bytes().to_vec(), true),
            Some(("forget", _)) => *context.state(key) = Latest::default(),
            Some(("write", bytes)) => {
                let bytes = bytes.parse().map_err(|_| Poison::new("number", "not a number"))?;
                context.emit_bytes(STEPS, key, vec![b'x'; bytes]);
            }
            _ => {
                let Latest(value, known) = context.state(key);
                let shown = if *known { format!("known {}", value.len()) } else { "unknown".to_owned() };
                context.emit_bytes(STEPS, key, shown.into_bytes());
            }
        }
        Ok(())
    }

    fn deadline(&self, _: &mut Context<'_, Latest>, _: &Due<'_>) {}
}

fn say(key: &str, text: &str) -> Emitted {
    Emitted { topic: ORDERS, key: key.to_owned(), payload: text.as_bytes().to_vec() }
}

#[test]
fn an_empty_state_and_a_forgotten_one_are_told_apart_after_a_restart() {
    let settings = settings("empty");
    let log = common::open(&settings);
    let running = Running::start(&settings, Writes, 0, TestClock::default());
    publish(
        &log,
        vec![say("a", "set "), say("b", "set 123"), say("c", "set 1"), say("c", "forget it"), say("a", "show")],
    );
    wait_for(&settings, STEPS, 1);
    running.stop().unwrap();
    let running = Running::start(&settings, Writes, 0, TestClock::default());
    publish(&log, vec![say("a", "show"), say("b", "show"), say("c", "show")]);
    let mut shown: Vec<_> = wait_for(&settings, STEPS, 4)
        .into_iter()
        .map(|record| format!("{} {}", String::from_utf8_lossy(&record.key), String::from_utf8_lossy(&record.payload)))
        .collect();
    shown.sort();
    assert_eq!(shown, ["a known 0", "a known 0", "b known 3", "c unknown"]);
    running.stop().unwrap();
}

#[test]
fn a_record_whose_outputs_the_log_refuses_goes_to_dead_letters_alone() {
    let settings = settings("too-large");
    let log = common::open(&settings);
    let mut inputs: Vec<_> = (0..40).map(|number| say(&format!("key-{number}"), "write 10")).collect();
    // More than a broker takes by default; the state of another key likewise.
    inputs.insert(20, say("large-output", "write 3000000"));
    inputs.insert(30, say("large-state", &format!("set {}", "x".repeat(900_000))));
    publish(&log, inputs);
    let running = Running::start(&settings, Writes, 0, TestClock::default());
    let letters = wait_for(&settings, Topic::DeadLetters, 1);
    let letter = v1::DeadLetter::decode(letters[0].payload.as_slice()).unwrap();
    assert_eq!((letter.code.as_str(), letter.original.as_ref()), ("output-refused", &b"write 3000000"[..]));
    wait_for(&settings, STEPS, 40);
    running.stop().unwrap();
}

#[test]
fn a_flood_of_poison_stops_the_worker_before_the_topic_is_empty() {
    let settings = Settings { poison_limit: 100, transaction_records: 10, ..settings("flood") };
    let log = common::open(&settings);
    let broken = |number: u64| Emitted { payload: b"\xff".to_vec(), ..Order::add(number, &format!("key-{number}")) };
    publish(&log, (1..=500).map(broken).collect());
    let running = Running::start(&settings, Tally, 0, TestClock::default());
    within(PATIENCE, "the worker to end", || if running.has_ended() { Ok(()) } else { Err("it runs") });
    let error = running.stop().unwrap_err();
    assert!(matches!(error, WorkerError::Flood { service: SERVICE, refused: 100, of: 100 }), "{error}");
    let failure = error.failure();
    assert_eq!(failure.what, "tally could not process 100 of 100 records within a minute");
    assert!(failure.mend.starts_with("look at the latest dead-letters"), "{}", failure.mend);
    // Those of the transaction in which it stopped are not there: ten at the most, fewer where a poll came back empty before.
    let letters = records(&settings, Topic::DeadLetters).len();
    assert!((90..100).contains(&letters), "{letters} dead letters");
}

fn read(log: &KafkaLog, at: &[Position], count: usize) -> Vec<u64> {
    let runtime = runtime();
    let mut reader = log.reader().unwrap();
    runtime.block_on(reader.seek(at)).unwrap();
    let mut numbers = Vec::new();
    within(PATIENCE, "records", || {
        let records = runtime.block_on(reader.poll(Duration::from_millis(100))).expect("the broker is there");
        numbers.extend(records.iter().map(|record| Order::decode(record.payload.as_slice()).expect("an order").number));
        if numbers.len() >= count { Ok(()) } else { Err(numbers.len()) }
    });
    within(PATIENCE, "no lag", || {
        let more = runtime.block_on(reader.poll(Duration::from_millis(10))).expect("the broker is there");
        assert!(more.is_empty());
        if reader.lag() == 0 { Ok(()) } else { Err(reader.lag()) }
    });
    numbers
}

#[test]
fn a_reader_goes_on_where_it_is_told_and_knows_what_is_not_there() {
    let settings = settings("reader");
    let log = common::open(&settings);
    publish(&log, (1..=30).map(|number| Order::add(number, "a")).collect());
    let partition = PARTITIONS.of_key(b"a");
    let at = |offset| Position { topic: ORDERS, partition, offset };
    assert_eq!(read(&log, &[at(0)], 30), (1..=30).collect::<Vec<_>>());
    assert_eq!(read(&log, &[at(25)], 5), (26..=30).collect::<Vec<_>>());
    assert_eq!(read(&log, &[at(30)], 0), Vec::<u64>::new());
    let runtime = runtime();
    let mut reader = log.reader().unwrap();
    for unknown in [at(31), Position { partition: Partition::new(PARTITIONS.get()), ..at(0) }] {
        let error = runtime.block_on(reader.seek(&[at(0), unknown])).unwrap_err();
        assert!(matches!(error, ReadError::NoSuchPosition(position) if position == unknown), "{error}");
    }
    // One seek after the other: what was ready for the first is not told after the second.
    runtime.block_on(reader.seek(&[at(0)])).unwrap();
    let first = within(PATIENCE, "a record", || match runtime.block_on(reader.poll(Duration::from_millis(50))) {
        Ok(records) if records.is_empty() => Err("none".to_owned()),
        Ok(records) => Ok(records[0].offset),
        Err(error) => Err(error.to_string()),
    });
    assert_eq!(first, 0);
    runtime.block_on(reader.seek(&[at(28)])).unwrap();
    let next = within(PATIENCE, "a record", || match runtime.block_on(reader.poll(Duration::from_millis(50))) {
        Ok(records) if records.is_empty() => Err("none".to_owned()),
        Ok(records) => Ok(records[0].offset),
        Err(error) => Err(error.to_string()),
    });
    assert_eq!(next, 28);
}
