//! A worker that has nothing to do costs next to nothing.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod common;

use std::thread;
use std::time::Duration;

use tasuki_testkit::contract::{Order, STEPS, TestClock};
use tasuki_testkit::eventually::within;

use common::{ClockFile, WorkerProcess, publish, records, settings};

const PATIENCE: Duration = Duration::from_secs(90);
/// How long the worker is looked at.
const MEASURED: Duration = Duration::from_secs(8);
/// Of a core. The promise is 1; this leaves room for a debug build on a slow machine, and still finds a loop that spins.
const AT_MOST_PERCENT: f64 = 5.0;
/// The unit of the kernel's figures (`USER_HZ`): the same on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[test]
fn an_idle_worker_costs_next_to_nothing() {
    let settings = settings("idle");
    let log = common::open(&settings);
    let folder = tempfile::tempdir().unwrap();
    let worker = WorkerProcess::start(&settings, &ClockFile::new(folder.path(), &TestClock::default()));
    publish(&log, (1..=100).map(|number| Order::add(number, &format!("key-{}", number % 20))).collect());
    within(PATIENCE, "all steps", || match records(&settings, STEPS).len() {
        100 => Ok(()),
        found => Err(found),
    });
    // The time of nothing that is measured, after that of what follows work: reports, the next heartbeat.
    thread::sleep(Duration::from_secs(2));
    let before = worker.ticks();
    thread::sleep(MEASURED);
    let percent = (worker.ticks() - before) / TICKS_PER_SECOND / MEASURED.as_secs_f64() * 100.0;
    eprintln!("an idle worker takes {percent:.2} % of a core");
    assert!(percent < AT_MOST_PERCENT, "{percent:.2} % of a core");
    // It had not merely stopped.
    publish(&log, (101..=120).map(|number| Order::add(number, "key-1")).collect());
    within(PATIENCE, "the steps after", || match records(&settings, STEPS).len() {
        120 => Ok(()),
        found => Err(found),
    });
    worker.stop();
}

#[test]
#[ignore = "no test, but the process that another one starts and looks at"]
fn worker_process() {
    WorkerProcess::be();
}
