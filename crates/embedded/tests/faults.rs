//! Faults of the database in the middle of work: nothing is lost, nothing is done twice.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use prost::Message;
use support::Embedded;
use tasuki_embedded::{PrivatePostgres, PrivateSettings};
use tasuki_service::Health;
use tasuki_stream::Emitted;
use tasuki_stream::log::PublishError;
use tasuki_testkit::contract::{Harness, Order, STEPS, Step, What};
use tasuki_testkit::eventually::eventually;
use tasuki_testkit::postgres::{fresh_database, reachable_folder};
use tasuki_testkit::proxy::PostgresProxy;
use tasuki_testkit::proxy::postgres::{Fate, Moment};
use tasuki_testkit::supervisor::Frozen;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// So many orders, each of which is forwarded once; and the steps that must come of them, in order by key.
fn work(count: u64) -> (Vec<Emitted>, BTreeMap<String, Vec<u64>>) {
    let mut orders = Vec::new();
    let mut expected = BTreeMap::<String, Vec<u64>>::new();
    for number in 1..=count {
        let (from, to) = (format!("from-{}", number % 11), format!("to-{}", number % 11));
        orders.push(Order::record(number, &from, What::Forward(to.clone())));
        expected.entry(from).or_default().push(number);
        expected.entry(to).or_default().push(number);
    }
    (orders, expected)
}

/// The numbers applied, in order by key; versions and totals must fit.
fn steps(harness: &mut impl Harness) -> BTreeMap<String, Vec<u64>> {
    let mut steps = BTreeMap::<String, Vec<u64>>::new();
    for record in harness.records(STEPS) {
        let step = Step::decode(record.payload.as_slice()).unwrap();
        let of_key = steps.entry(step.key).or_default();
        of_key.push(step.number);
        assert_eq!(step.version, u64::try_from(of_key.len()).unwrap());
        assert_eq!(step.total, of_key.iter().sum::<u64>());
    }
    steps
}

fn count(steps: &BTreeMap<String, Vec<u64>>) -> usize {
    steps.values().map(Vec::len).sum()
}

/// Waits until all is done, and then for a marker behind it.
fn finish(harness: &mut impl Harness, mut expected: BTreeMap<String, Vec<u64>>) {
    eventually("all steps", || {
        let steps = steps(harness);
        if count(&steps) >= count(&expected) {
            Ok(())
        } else {
            Err(format!("{} of {}", count(&steps), count(&expected)))
        }
    });
    for key in expected.keys().cloned().collect::<Vec<_>>() {
        harness.publish(vec![Order::add(1_000_000, &key)]);
        expected.get_mut(&key).unwrap().push(1_000_000);
    }
    let steps = eventually("the markers", || {
        let steps = steps(harness);
        if count(&steps) >= count(&expected) {
            Ok(steps)
        } else {
            Err(format!("{} of {}", count(&steps), count(&expected)))
        }
    });
    assert_eq!(steps, expected);
}

#[test]
fn commits_cut_before_they_are_heard_or_before_they_are_answered_are_done_once() {
    let proxy = PostgresProxy::start(&fresh_database()).unwrap();
    // Every third of the writer is cut, by turns before and after; so are those that repeat it.
    let mut commits = 0;
    proxy.decide(move |commit| {
        commits += u32::from(commit.application.starts_with("tasuki log writer"));
        match commits % 6 {
            3 => Fate::Cut(Moment::Before),
            0 => Fate::Cut(Moment::After),
            _ => Fate::Pass,
        }
    });
    let mut harness = Embedded::on(proxy.url().to_owned());
    let (orders, expected) = work(600);
    harness.start();
    for batch in orders.chunks(20) {
        harness.publish(batch.to_vec());
    }
    finish(&mut harness, expected);
    for moment in [Moment::Before, Moment::After] {
        let landed = proxy.landed().iter().filter(|landed| landed.fate == Fate::Cut(moment)).count();
        assert!(landed >= 5, "invalid: only {landed} commits were cut {moment:?} they were done");
    }
    harness.stop();
}

#[test]
fn a_database_that_goes_away_is_waited_for_and_publishers_are_told() {
    let proxy = PostgresProxy::start(&fresh_database()).unwrap();
    let mut harness = Embedded::on(proxy.url().to_owned());
    let (mut orders, expected) = work(10_000);
    let most = orders.split_off(100);
    harness.start();
    harness.publish(orders);
    eventually("work to have begun", || if count(&steps(&mut harness)) > 0 { Ok(()) } else { Err("no step") });
    harness.publish(most);
    let bring_back = proxy.take_away();
    let done = count(&steps(&mut harness));
    assert!(done < count(&expected), "invalid: all was done before the database went away");
    let health = harness.health.clone();
    eventually("the log to say so", || if health.is_ready() { Err("ready") } else { Ok(()) });
    let refused = eventually("publishers to be refused", || match harness.try_publish(vec![aside()]) {
        Err(error) => Ok(error),
        Ok(()) => Err("taken"),
    });
    assert!(matches!(refused, PublishError::Unavailable(_)), "{refused:?}");
    bring_back();
    eventually("the log to be ready again", || {
        if health.is_ready() { Ok(()) } else { Err(format!("{:?}", health.conditions())) }
    });
    finish(&mut harness, expected);
    harness.stop();
}

/// A server of this test's own, that it may kill; its folder goes with the first of the three.
fn private_server() -> (TempDir, Runtime, PrivatePostgres) {
    let folder = reachable_folder();
    let settings =
        PrivateSettings { folder: folder.path().join("postgres"), programs: None, server_settings: Vec::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let started = PrivatePostgres::start(&settings, Health::default().component("postgres"));
    let server = runtime.block_on(started).unwrap();
    (folder, runtime, server)
}

#[test]
fn a_server_killed_in_the_middle_of_work_loses_and_doubles_nothing() {
    let (_folder, runtime, server) = private_server();
    let mut harness = Embedded::on(server.url().to_owned());
    let (orders, expected) = work(30_000);
    harness.start();
    let (mut landed, mut published) = (0, 0);
    for batch in orders.chunks(10_000) {
        let (first, most) = batch.split_at(100);
        let before = count(&steps(&mut harness));
        harness.publish(first.to_vec());
        eventually("new steps", || if count(&steps(&mut harness)) > before { Ok(()) } else { Err("none") });
        let pid = eventually("the server to run", || server.pid().ok_or("it does not"));
        harness.publish(most.to_vec());
        published += 2 * batch.len();
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        // Asked of the server that follows, which has not had the time for so much work.
        landed += usize::from(count(&steps(&mut harness)) < published);
        eventually("another server", || if server.pid().is_some_and(|now| now != pid) { Ok(()) } else { Err("none") });
        let health = harness.health.clone();
        eventually("the log to take records", || match harness.try_publish(vec![aside()]) {
            Ok(()) => Ok(()),
            Err(error) => Err(format!("{error:?}, {:?}", health.conditions())),
        });
    }
    assert!(landed > 0, "invalid: all work was done before the server was killed");
    finish(&mut harness, expected);
    harness.stop();
    runtime.block_on(server.stop());
}

#[test]
fn a_server_that_falls_silent_is_noticed_though_nobody_writes_and_is_used_again_once_it_answers() {
    let (_folder, runtime, server) = private_server();
    let mut harness = Embedded::on(server.url().to_owned());
    let (orders, expected) = work(20);
    harness.start();
    harness.publish(orders);
    finish(&mut harness, expected);
    let health = harness.health.clone();
    assert!(health.is_ready(), "invalid: {:?}", health.conditions());
    let frozen = Frozen::with_children(server.pid().unwrap()).unwrap();
    // After 2 s idle and 5 s of silence.
    eventually("the log to say so", || if health.is_ready() { Err("ready") } else { Ok(()) });
    assert_eq!(format!("{:?}", health.conditions()["log"]), r#"Waiting("the database does not answer")"#);
    let refused = harness.try_publish(vec![aside()]).unwrap_err();
    assert!(matches!(refused, PublishError::Unavailable(_)), "{refused:?}");
    drop(frozen);
    eventually("the log to be ready again", || {
        if health.is_ready() { Ok(()) } else { Err(format!("{:?}", health.conditions())) }
    });
    let (orders, mut expected) = work(20);
    for numbers in expected.values_mut() {
        let again = numbers.clone();
        numbers.push(1_000_000);
        numbers.extend(again);
    }
    harness.publish(orders);
    finish(&mut harness, expected);
    harness.stop();
    runtime.block_on(server.stop());
}

/// A record that concerns no processor.
fn aside() -> Emitted {
    Emitted { topic: tasuki_wire::Topic::Activity, key: String::new(), payload: Vec::new() }
}
