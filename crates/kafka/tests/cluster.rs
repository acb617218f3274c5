//! Three brokers, and one of them is killed: the one that leads partitions and coordinates transactions and the group.
//! Nothing is lost, done twice, or left hanging.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tasuki_kafka::Settings;
use tasuki_stream::log::Publisher;
use tasuki_testkit::contract::{ORDERS, Order, PARTITIONS, STATE, STEPS, Step, Tally, TestClock};
use tasuki_testkit::eventually::within;
use tasuki_testkit::kafka::KafkaCluster;
use tasuki_wire::Topic;

use common::{Running, publish, records, runtime};

/// Ample for a broker to come back on a machine that is busy building.
const PATIENCE: Duration = Duration::from_secs(90);

/// Every broker in turn; how often in all says TASUKI_TEST_KILLS (1).
#[test]
fn a_killed_broker_of_three_costs_nothing() {
    let kills = std::env::var("TASUKI_TEST_KILLS").map_or(1, |text| text.parse().expect("a number"));
    let mut cluster = KafkaCluster::start().expect("Kafka is needed, see deploy/kafka/start");
    let settings = Settings {
        partitions: Some(PARTITIONS.get()),
        // Many transactions, so that some are under way whenever a broker goes.
        transaction_records: 50,
        ..Settings::new(cluster.bootstrap_servers(), "cluster.")
    };
    let log = &common::open(&settings);
    let running = Running::start(&settings, Tally, 0, TestClock::default());
    let written = AtomicU64::new(0);
    for kill in 0..kills {
        let broker = kill % cluster.brokers();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let (over, written) = (&over, &written);
            scope.spawn(move || {
                let (publisher, runtime) = (log.publisher().unwrap(), runtime());
                for chunk in (0_u64..).take_while(|_| !over.load(Ordering::Acquire)) {
                    let orders = (1..=100).map(|number| Order::add(chunk * 100 + number, &format!("{}", number % 50)));
                    // What was not certainly written is not written again: the log says what is there.
                    if runtime.block_on(publisher.publish(orders.collect())).is_ok() {
                        written.fetch_add(100, Ordering::AcqRel);
                    }
                }
            });
            // However this ends, the input ends with it.
            let _over = Raise(over);
            wait_for_more(written, 1_000);
            cluster.broker(broker).kill9().unwrap();
            // The other two go on without it.
            wait_for_more(written, 1_000);
        });
        let down = Instant::now();
        cluster.broker(broker).restart().unwrap();
        eprintln!("broker {broker} was back after {:?}", down.elapsed());
        wait_until_done(&settings, kill);
    }
    running.stop().unwrap();
    // What the worker remembers is as true as what it wrote.
    let running = Running::start(&settings, Tally, 0, TestClock::default());
    publish(log, (1..=100).map(|number| Order::add(number, &format!("{}", number % 50))).collect());
    wait_until_done(&settings, kills);
    running.stop().unwrap();
}

/// Until so many more records are durable.
fn wait_for_more(written: &AtomicU64, more: u64) {
    let before = written.load(Ordering::Acquire);
    within(PATIENCE, "input", || match written.load(Ordering::Acquire) - before {
        enough if enough >= more => Ok(()),
        less => Err(less),
    });
}

/// Raises a flag when dropped.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Until every order has its step, once and in order, and no transaction is open.
fn wait_until_done(settings: &Settings, kill: usize) {
    let begun = Instant::now();
    let orders = records(settings, ORDERS);
    let steps = within(PATIENCE, "all steps", || {
        let steps = records(settings, STEPS);
        if steps.len() >= orders.len() { Ok(steps) } else { Err(format!("{} of {}", steps.len(), orders.len())) }
    });
    assert_eq!(steps.len(), orders.len(), "once each, after kill {kill}");
    for partition in PARTITIONS.all() {
        let orders = orders.iter().filter(|order| order.partition == partition);
        let orders = orders.map(|order| Order::decode(order.payload.as_slice()).unwrap().number);
        let steps = steps.iter().filter(|step| step.partition == partition);
        let steps = steps.map(|step| Step::decode(step.payload.as_slice()).unwrap().number);
        assert!(orders.eq(steps), "partition {partition} after kill {kill}");
    }
    for topic in [STEPS, STATE] {
        within(PATIENCE, "no open transaction", || open_transaction(settings, topic));
    }
    eprintln!("after kill {kill}: {} orders, all done {:?} after the broker was back", orders.len(), begun.elapsed());
}

/// The last stable offset reaches the end of every partition.
fn open_transaction(settings: &Settings, topic: Topic) -> Result<(), String> {
    let ends = |isolation: &str| -> Result<Vec<i64>, String> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.bootstrap_servers)
            .set("isolation.level", isolation)
            .create()
            .unwrap();
        let name = settings.topic_name(topic);
        let end = |partition| consumer.fetch_watermarks(&name, partition, Duration::from_secs(5)).map(|(_, end)| end);
        (0..i32::from(PARTITIONS.get())).map(end).collect::<Result<_, _>>().map_err(|error| error.to_string())
    };
    let (stable, all) = (ends("read_committed")?, ends("read_uncommitted")?);
    if stable == all { Ok(()) } else { Err(format!("{topic} is stable up to {stable:?} of {all:?}")) }
}
