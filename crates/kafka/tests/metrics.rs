//! What a worker tells on `/metrics`: every metric that is described is there, with what happened.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use tasuki_kafka::Settings;
use tasuki_service::telemetry::start_metrics;
use tasuki_stream::{Context, Due, Input, Poison, Processor, Topology};
use tasuki_testkit::contract::{Count, Order, PARTITIONS, STEPS, Tally, TestClock, What};
use tasuki_testkit::eventually::within;
use tasuki_testkit::kafka::KafkaBroker;
use tasuki_testkit::proxy::kafka::Deed;
use tasuki_testkit::proxy::{Api, KafkaProxy, Moment};

use common::{Running, publish, records, settings};

const PATIENCE: Duration = Duration::from_secs(90);

/// The sum of a metric over all labels that the line has to hold.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let is_it = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
    };
    let values: Vec<f64> =
        text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    if values.is_empty() { None } else { Some(values.iter().sum()) }
}

/// The metrics of this process, of which there is one set.
fn rendered() -> String {
    static RENDER: OnceLock<Box<dyn Fn() -> String + Send + Sync>> = OnceLock::new();
    let render = RENDER.get_or_init(|| {
        let metrics = start_metrics().unwrap();
        tasuki_kafka::describe_metrics();
        Box::new(move || metrics.render())
    });
    render()
}

#[test]
fn a_worker_tells_what_it_does_and_what_it_keeps() {
    rendered();
    let settings = settings("metrics");
    let log = common::open(&settings);
    // Each refused record comes right after one that changed its state: that spoils the transaction both are in.
    let adds = (1..=180).map(|number| Order::add(number, &format!("key-{}", number % 20)));
    let refused = |number| Order::record(number, "key-1", What::Refuse(true));
    let pairs = (181..=190).flat_map(|number| [Order::add(number, "key-1"), refused(number)]);
    publish(&log, adds.chain(pairs).collect());
    let running = Running::start(&settings, Tally, 0, TestClock::default());
    within(PATIENCE, "all steps", || match records(&settings, STEPS).len() {
        190 => Ok(()),
        found => Err(found),
    });
    let expect = |name: &str, labels: &[&str], holds: &dyn Fn(f64) -> bool| {
        within(PATIENCE, name, || match value(&rendered(), name, labels) {
            Some(value) if holds(value) => Ok(()),
            found => Err(format!("{found:?}")),
        });
    };
    let worker = ["service=\"tally\"", "worker=\"0\""];
    expect("tasuki_kafka_records_total", &worker[..1], &|records| records == 200.0);
    expect("tasuki_kafka_transactions_total", &[worker[0], "end=\"committed\""], &|ended| ended >= 1.0);
    expect("tasuki_kafka_transactions_total", &[worker[0], "end=\"aborted\""], &|ended| ended >= 1.0);
    expect("tasuki_kafka_aborts_total", &[worker[0], "cause=\"spoiled\""], &|aborts| aborts >= 1.0);
    expect("tasuki_kafka_producer_rebuilds_total", &[worker[0], "reason=\"failed\""], &|rebuilds| rebuilds >= 1.0);
    expect("tasuki_kafka_dead_letters_total", &["service=\"tally\""], &|letters| letters == 10.0);
    expect("tasuki_kafka_transaction_seconds_count", &worker[..1], &|count| count >= 1.0);
    expect("tasuki_kafka_commit_seconds_count", &worker[..1], &|count| count >= 1.0);
    expect("tasuki_kafka_overlay_keys", &worker, &|keys| (1.0..=20.0).contains(&keys));
    expect("tasuki_kafka_in_flight_records", &worker, &|records| records >= 0.0);
    expect("tasuki_kafka_state_keys", &worker, &|keys| keys == 20.0);
    expect("tasuki_kafka_state_bytes", &worker, &|bytes| bytes > 20.0);
    expect("tasuki_kafka_partitions", &worker, &|partitions| partitions >= 1.0);
    expect("tasuki_kafka_poll_age_seconds", &worker, &|seconds| seconds < 10.0);
    expect("tasuki_kafka_lag_records", &[worker[0], "topic="], &|lag| lag == 0.0);
    let keys = PARTITIONS.all().map(|partition| PARTITIONS.key_of(partition).unwrap());
    publish(&log, keys.map(|key| Order::record(0, &key, What::Common(7))).collect());
    expect("tasuki_kafka_revised_states_total", &worker[..1], &|states| states == 20.0);
    expect("tasuki_kafka_deadlines_fired_total", &worker[..1], &|deadlines| deadlines == 0.0);
    running.stop().unwrap();

    // A start with state to be read back, by two processes of one name: the first gives way.
    let first = Running::start(&settings, Tally, 0, TestClock::default());
    expect("tasuki_kafka_restored_records_total", &worker[..1], &|records| records >= 20.0);
    expect("tasuki_kafka_restore_remaining_records", &worker[..1], &|records| records == 0.0);
    expect("tasuki_kafka_restore_partitions", &worker[..1], &|partitions| partitions == 0.0);
    within(PATIENCE, "the first to work", || if first.health.is_ready() { Ok(()) } else { Err("waiting") });
    let second = Running::start(&settings, Tally, 0, TestClock::default());
    within(PATIENCE, "the first to give way", || if first.has_ended() { Ok(()) } else { Err("it runs") });
    expect("tasuki_kafka_fenced_total", &[worker[0], "as=\"member\""], &|fenced| fenced >= 1.0);
    expect("tasuki_kafka_sessions_total", &worker[..1], &|sessions| sessions >= 3.0);
    assert!(first.stop().is_err());
    second.stop().unwrap();
}

/// [`Tally`] by a name of its own, for metrics of its own.
struct Regained;

impl Processor for Regained {
    type State = Count;

    fn topology(&self) -> Topology {
        Topology { service: "regained", ..Tally.topology() }
    }

    fn apply(&self, context: &mut Context<'_, Count>, input: &Input<'_>) -> Result<(), Poison> {
        Tally.apply(context, input)
    }

    fn deadline(&self, context: &mut Context<'_, Count>, due: &Due<'_>) {
        Tally.deadline(context, due);
    }
}

#[test]
fn partitions_that_come_back_unchanged_are_not_restored() {
    rendered();
    let proxy = KafkaProxy::start().unwrap();
    let lines = proxy.server_properties();
    let broker = KafkaBroker::start_with(&lines.each_ref().map(String::as_str)).unwrap();
    let settings =
        Settings { partitions: Some(PARTITIONS.get()), ..Settings::new(broker.bootstrap_servers(), "regained.") };
    let log = common::open(&settings);
    let proxied = Settings { bootstrap_servers: proxy.bootstrap_servers(), ..settings.clone() };
    let add = |numbers: std::ops::RangeInclusive<u64>| {
        publish(&log, numbers.map(|number| Order::add(number, &format!("key-{}", number % 20))).collect());
    };
    let steps = |count: usize| {
        within(PATIENCE, "all steps", || match records(&settings, STEPS).len() {
            found if found == count => Ok(()),
            found => Err(found),
        });
    };
    let running = Running::start(&proxied, Regained, 0, TestClock::default());
    add(1..=100);
    steps(100);
    // The group forgets its member, once, and the member joins again.
    let mut forgotten = false;
    proxy.decide(move |call| {
        if call.api == Api::Heartbeat && !forgotten {
            forgotten = true;
            return Deed::Outdate;
        }
        if call.api == Api::JoinGroup { Deed::Delay(Moment::Before, Duration::ZERO) } else { Deed::Pass }
    });
    within(PATIENCE, "the member to join again", || match proxy.done().last() {
        Some(done) if done.call.api == Api::JoinGroup => Ok(()),
        other => Err(format!("{other:?}")),
    });
    add(101..=200);
    steps(200);
    let of_service = ["service=\"regained\""];
    let told = |name: &str| value(&rendered(), name, &of_service).unwrap_or(0.0);
    let all =
        ["tasuki_kafka_restored_records_total", "tasuki_kafka_sessions_total", "tasuki_kafka_state_keys"].map(told);
    assert_eq!(all, [0.0, 1.0, 20.0]);
    running.stop().unwrap();
    // Somebody who has not had them reads all of it.
    let running = Running::start(&settings, Regained, 0, TestClock::default());
    add(201..=220);
    steps(220);
    assert!(told("tasuki_kafka_restored_records_total") >= 20.0);
    running.stop().unwrap();
}
