//! What a worker tells on `/metrics`: every metric that is described is there, with what happened.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod common;

use std::time::Duration;

use tasuki_service::telemetry::start_metrics;
use tasuki_testkit::contract::{Order, STEPS, Tally, TestClock, What};
use tasuki_testkit::eventually::within;

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

#[test]
fn a_worker_tells_what_it_does_and_what_it_keeps() {
    let rendered = start_metrics().unwrap();
    tasuki_kafka::describe_metrics();
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
        within(PATIENCE, name, || match value(&rendered.render(), name, labels) {
            Some(value) if holds(value) => Ok(()),
            found => Err(format!("{found:?}")),
        });
    };
    let worker = ["service=\"tally\"", "worker=\"0\""];
    expect("tasuki_kafka_records_total", &worker[..1], &|records| records == 200.0);
    expect("tasuki_kafka_transactions_total", &["end=\"committed\""], &|ended| ended >= 1.0);
    expect("tasuki_kafka_transactions_total", &["end=\"aborted\""], &|ended| ended >= 1.0);
    expect("tasuki_kafka_aborts_total", &["cause=\"spoiled\""], &|aborts| aborts >= 1.0);
    expect("tasuki_kafka_producer_rebuilds_total", &["reason=\"failed\""], &|rebuilds| rebuilds >= 1.0);
    expect("tasuki_kafka_dead_letters_total", &["service=\"tally\""], &|letters| letters == 10.0);
    expect("tasuki_kafka_transaction_seconds_count", &worker[..1], &|count| count >= 1.0);
    expect("tasuki_kafka_commit_seconds_count", &worker[..1], &|count| count >= 1.0);
    expect("tasuki_kafka_overlay_keys", &worker, &|keys| (1.0..=20.0).contains(&keys));
    expect("tasuki_kafka_in_flight_records", &worker, &|records| records >= 0.0);
    expect("tasuki_kafka_state_keys", &worker, &|keys| keys == 20.0);
    expect("tasuki_kafka_state_bytes", &worker, &|bytes| bytes > 20.0);
    expect("tasuki_kafka_partitions", &worker, &|partitions| partitions >= 1.0);
    expect("tasuki_kafka_poll_age_seconds", &worker, &|seconds| seconds < 10.0);
    expect("tasuki_kafka_lag_records", &["topic="], &|lag| lag == 0.0);
    running.stop().unwrap();

    // A start with state to be read back, by two processes of one name: the first gives way.
    let first = Running::start(&settings, Tally, 0, TestClock::default());
    expect("tasuki_kafka_restored_records_total", &worker[..1], &|records| records >= 20.0);
    expect("tasuki_kafka_restore_remaining_records", &worker[..1], &|records| records == 0.0);
    expect("tasuki_kafka_restore_partitions", &worker[..1], &|partitions| partitions == 0.0);
    within(PATIENCE, "the first to work", || if first.health.is_ready() { Ok(()) } else { Err("waiting") });
    let second = Running::start(&settings, Tally, 0, TestClock::default());
    within(PATIENCE, "the first to give way", || if first.has_ended() { Ok(()) } else { Err("it runs") });
    expect("tasuki_kafka_fenced_total", &["as=\"member\""], &|fenced| fenced >= 1.0);
    expect("tasuki_kafka_sessions_total", &worker[..1], &|sessions| sessions >= 3.0);
    assert!(first.stop().is_err());
    second.stop().unwrap();
}
