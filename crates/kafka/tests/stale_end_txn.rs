//! A request of a transaction that is over reaches the broker while the next one is under way. librdkafka repeats requests
//! unseen and has no KIP-890, so the broker would take what was given up for a part of the transaction after: R3.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use prost::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, TopicPartitionList};
use tasuki_kafka::{KafkaLog, Settings};
use tasuki_stream::log::Publisher;
use tasuki_testkit::contract::{ORDERS, Order, PARTITIONS, SERVICE, STEPS, Step, Tally, TestClock, What};
use tasuki_testkit::eventually::within;
use tasuki_testkit::kafka::{KafkaBroker, unique_prefix};
use tasuki_testkit::proxy::{Api, KafkaProxy, Landed, Trap};
use tasuki_wire::Partition;

use common::{Running, publish, records, runtime};

const PATIENCE: Duration = Duration::from_secs(90);
/// What a broker answers to a request of a producer that has been replaced.
const INVALID_PRODUCER_EPOCH: i16 = 47;
/// librdkafka repeats after 100 ms less 20 %; what the worker takes for certainly not repeated is below.
const SOONEST_REPETITION: Duration = Duration::from_millis(80);

/// Offsets by partition.
type Offsets = BTreeMap<i32, i64>;

/// A broker, the proxy before it, and settings for both ways to it.
struct Stage {
    proxy: KafkaProxy,
    direct: Settings,
    proxied: Settings,
    log: KafkaLog,
    observer: BaseConsumer,
    _broker: KafkaBroker,
}

impl Stage {
    fn set(name: &str) -> Self {
        let proxy = KafkaProxy::start().unwrap();
        let lines = proxy.server_properties();
        let broker = KafkaBroker::start_with(&lines.each_ref().map(String::as_str)).unwrap();
        let direct = Settings {
            partitions: Some(PARTITIONS.get()),
            // Transactions of many small requests: each has a middle.
            transaction_records: 400,
            properties: vec!["batch.num.messages=20".parse().unwrap()],
            ..Settings::new(broker.bootstrap_servers(), unique_prefix(name))
        };
        let proxied = Settings { bootstrap_servers: proxy.bootstrap_servers(), ..direct.clone() };
        let observer = ClientConfig::new()
            .set("bootstrap.servers", &direct.bootstrap_servers)
            .set("group.id", direct.group(SERVICE))
            .create()
            .unwrap();
        Self { proxy, log: common::open(&direct), direct, proxied, observer, _broker: broker }
    }

    /// Steady input, and in the midst of it these faults; then everything is compared.
    fn disturb(&self, traps: &[Trap]) -> Vec<Landed> {
        let running = Running::start(&self.proxied, Tally, 0, TestClock::default());
        let landed = self.spring(traps);
        self.finish(running);
        // What the worker remembers is as true as what it wrote.
        publish(&self.log, orders(0));
        self.finish(Running::start(&self.proxied, Tally, 0, TestClock::default()));
        landed
    }

    /// Steady input, and in the midst of it these faults.
    fn spring(&self, traps: &[Trap]) -> Vec<Landed> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let (publisher, runtime) = (self.log.publisher().unwrap(), runtime());
                for chunk in (0_u64..).take_while(|_| !over.load(Ordering::Acquire)) {
                    // On a busy machine some may not be taken in time. What counts is what stands on the log.
                    if let Err(error) = runtime.block_on(publisher.publish(orders(chunk * 20))) {
                        eprintln!("orders {chunk}: {error}");
                    }
                }
            });
            // However the closure ends, the input ends with it.
            let _over = Raise(&over);
            let landed = |&trap: &Trap| {
                let mut before = None;
                within(PATIENCE, "steady work", || match self.committed() {
                    Ok(now) if before.as_ref().is_some_and(|before| before != &now) => Ok(()),
                    now => {
                        let refusal = format!("{now:?}");
                        before = now.ok().or(before.take());
                        Err(refusal)
                    }
                });
                self.proxy.hold(trap);
                within(PATIENCE, "what was held to land", || self.proxy.landed())
            };
            traps.iter().map(landed).collect()
        })
    }

    /// Lets the worker do what is left, stops it, and compares what it wrote with what it had to.
    fn finish(&self, running: Running) {
        let ends = self.wait_until_complete();
        running.stop().unwrap();
        assert_eq!(self.committed().unwrap(), ends);
        let (expected, found) = (self.expected_steps(), self.steps());
        for (partition, expected) in &expected {
            let found = found.get(partition).map_or(&[][..], Vec::as_slice);
            let differs = expected.iter().zip(found).position(|(expected, found)| expected != found);
            let at = differs.unwrap_or(expected.len().min(found.len()));
            assert_eq!(
                (found.len(), found.get(at)),
                (expected.len(), expected.get(at)),
                "found and expected of partition {partition}: how many, and the first that differs, at {at}"
            );
        }
        assert_eq!(found.len(), expected.len());
    }

    /// Until the offsets of all orders are committed, which it returns.
    fn wait_until_complete(&self) -> Offsets {
        let ends: Offsets = (0..i32::from(PARTITIONS.get()))
            .map(|partition| {
                let name = self.direct.topic_name(ORDERS);
                (partition, self.observer.fetch_watermarks(&name, partition, PATIENCE).unwrap().1)
            })
            .collect();
        within(PATIENCE, "offsets to be complete", || match self.committed() {
            Ok(committed) if committed == ends => Ok(()),
            committed => Err(format!("{committed:?} of {ends:?}")),
        });
        ends
    }

    /// What follows from the orders, by a fold of our own.
    fn expected_steps(&self) -> BTreeMap<Partition, Vec<Step>> {
        let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut steps: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in records(&self.direct, ORDERS) {
            let key = String::from_utf8(record.key).unwrap();
            let number = Order::decode(record.payload.as_slice()).unwrap().number;
            let (version, total) = counts.entry(key.clone()).or_default();
            (*version, *total) = (*version + 1, *total + number);
            let step = Step { key, version: *version, number, total: *total, due_at: None, fired_at: None, of: 0 };
            steps.entry(record.partition).or_default().push(step);
        }
        steps
    }

    fn steps(&self) -> BTreeMap<Partition, Vec<Step>> {
        let mut steps: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in records(&self.direct, STEPS) {
            steps.entry(record.partition).or_default().push(Step::decode(record.payload.as_slice()).unwrap());
        }
        steps
    }

    fn committed(&self) -> Result<Offsets, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.direct.topic_name(ORDERS), 0, i32::from(PARTITIONS.get()) - 1);
        let committed = self.observer.committed_offsets(list, Duration::from_secs(5))?;
        Ok(committed.elements().iter().map(|of| (of.partition(), of.offset().to_raw().unwrap_or(-1))).collect())
    }
}

/// Raises a flag when dropped.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn orders(after: u64) -> Vec<tasuki_stream::Emitted> {
    (after + 1..=after + 20).map(|number| Order::add(number, &format!("key-{}", number % 50))).collect()
}

/// The repetition had won, the next transaction had begun under a new epoch, and the broker refused what came late.
fn assert_refused(landed: &[Landed]) {
    for landed in landed {
        eprintln!("{landed:?}");
        assert!(landed.repeated_within >= SOONEST_REPETITION, "the worker could not have noticed: {landed:?}");
        assert!(landed.initialised >= 1, "the producer was not replaced: {landed:?}");
        assert!(!landed.answer.is_empty(), "{landed:?}");
        assert!(landed.answer.iter().all(|&answer| answer == INVALID_PRODUCER_EPOCH), "{landed:?}");
    }
}

#[test]
fn a_late_end_of_a_transaction_does_not_end_the_next_one() {
    let stage = Stage::set("late-end");
    let early = Trap { hold: Api::EndTxn, release_after: Api::Produce };
    let late = Trap { hold: Api::EndTxn, release_after: Api::TxnOffsetCommit };
    let landed = stage.disturb(&[early, early, early, late]);
    assert_eq!(landed.len(), 4);
    assert_refused(&landed);
    eprintln!("producers initialised: {}", stage.proxy.initialised());
}

#[test]
fn offsets_that_come_late_do_not_replace_those_of_the_next_transaction() {
    let stage = Stage::set("late-offsets");
    let running = Running::start(&stage.proxied, Tally, 0, TestClock::default());
    publish(&stage.log, orders(0));
    stage.wait_until_complete();
    let landed: Vec<_> = (1..=3)
        .map(|_| {
            stage.proxy.hold(Trap { hold: Api::TxnOffsetCommit, release_after: Api::TxnOffsetCommit });
            publish(&stage.log, orders(20));
            within(PATIENCE, "offsets to be held", || stage.proxy.holds());
            // The next transaction, and none after it that would put its offsets right.
            publish(&stage.log, orders(40));
            let landed = within(PATIENCE, "what was held to land", || stage.proxy.landed());
            stage.wait_until_complete();
            landed
        })
        .collect();
    stage.finish(running);
    assert_eq!(landed.len(), 3);
    assert_refused(&landed);
}

#[test]
fn after_a_transaction_that_was_given_up_the_producer_is_another() {
    let stage = Stage::set("given-up");
    let running = Running::start(&stage.proxied, Tally, 0, TestClock::default());
    publish(&stage.log, orders(0));
    stage.wait_until_complete();
    let before = stage.proxy.initialised();
    // The refused one touches a state that its transaction had changed before: that spoils the transaction.
    let mut orders: Vec<_> = (1..=200).map(|number| Order::add(number, "key-1")).collect();
    orders.push(Order::record(201, "key-1", What::Refuse(true)));
    publish(&stage.log, orders);
    stage.wait_until_complete();
    // On a slow machine other commits make for doubt as well, and for more producers; `metrics.rs` looks at the reasons.
    assert!(stage.proxy.initialised() > before);
    running.stop().unwrap();
}

/// What the rules are for: without them the broker takes the same late requests. (Whether that loses anything depends on
/// what the next transaction was doing.)
#[cfg(feature = "drill")]
#[test]
fn without_the_rules_a_late_end_is_taken_for_the_next_transactions() {
    let mut stage = Stage::set("without");
    stage.proxied.without = vec![tasuki_kafka::Rule::R1, tasuki_kafka::Rule::R3];
    let running = Running::start(&stage.proxied, Tally, 0, TestClock::default());
    let landed = stage.spring(&[Trap { hold: Api::EndTxn, release_after: Api::Produce }]);
    eprintln!("{landed:?}");
    assert_eq!((landed[0].initialised, landed[0].answer.as_slice()), (0, &[0][..]));
    running.stop().unwrap();
}
