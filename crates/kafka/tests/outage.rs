//! The broker goes away and comes back: everything waits, says so, and goes on; nothing is lost or done twice.

mod common;

use std::time::{Duration, Instant};

use prost::Message;
use tasuki_kafka::Settings;
use tasuki_stream::log::{Position, PublishError, Publisher, ReadError, Reader};
use tasuki_testkit::contract::{ORDERS, Order, PARTITIONS, STEPS, Step, Tally, TestClock};
use tasuki_testkit::eventually::within;
use tasuki_testkit::kafka::KafkaBroker;

use common::{Running, publish, runtime};

/// Ample for a broker to come back and the group to find together again on a machine that is busy building.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn a_killed_broker_that_comes_back_costs_nothing() {
    let mut broker = KafkaBroker::start().expect("a Kafka broker is needed, see deploy/kafka/start");
    let settings =
        Settings { partitions: Some(PARTITIONS.get()), ..Settings::new(broker.bootstrap_servers(), "outage.") };
    let log = common::open(&settings);
    let (publisher, mut reader) = (log.publisher().unwrap(), log.reader().unwrap());
    let runtime = runtime();
    let starts = |topic| PARTITIONS.all().map(move |partition| Position { topic, partition, offset: 0 });
    let positions: Vec<_> = starts(STEPS).collect();
    runtime.block_on(reader.seek(&positions)).unwrap();
    let running = Running::start(&settings, Tally, 0, TestClock::default());
    let mut steps = Vec::new();
    let mut interrupted = false;
    let mut expect = |count: usize, steps: &mut Vec<u64>| {
        within(PATIENCE, &format!("{count} steps"), || {
            match runtime.block_on(reader.poll(Duration::from_millis(200))) {
                Ok(records) => steps.extend(
                    records.iter().map(|record| Step::decode(record.payload.as_slice()).expect("a step").number),
                ),
                Err(ReadError::Unavailable(_)) => interrupted = true,
                Err(error @ ReadError::NoSuchPosition(_)) => panic!("{error}"),
            }
            if steps.len() >= count { Ok(()) } else { Err(steps.len()) }
        });
    };

    publish(&log, (1..=50).map(|number| Order::add(number, "a")).collect());
    expect(50, &mut steps);
    assert!(running.health.is_ready());
    assert!(publisher.answers(Duration::from_secs(10)));

    broker.kill9().unwrap();
    assert!(!publisher.answers(Duration::from_secs(1)));
    let begun = Instant::now();
    let refused = runtime.block_on(publisher.publish(vec![Order::add(1_000, "a")]));
    assert!(matches!(refused, Err(PublishError::Unavailable(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "answered after {:?}", begun.elapsed());
    within(PATIENCE, "readiness to tell", || if running.health.is_ready() { Err("ready") } else { Ok(()) });

    broker.restart().unwrap();
    within(PATIENCE, "the publisher to work again", || {
        runtime.block_on(publisher.publish((51..=100).map(|number| Order::add(number, "a")).collect()))
    });
    assert!(publisher.answers(Duration::from_secs(10)));
    let written = common::records(&settings, ORDERS).len();
    expect(written, &mut steps);
    within(PATIENCE, "readiness to tell", || if running.health.is_ready() { Ok(()) } else { Err("waiting") });

    // That was a broker with nothing under way. One that is alone and goes in the middle of transactions may forget how they
    // ended (docs/adr/0008): `cluster.rs` and the drill's F5 kill those of three.
    let all = common::records(&settings, STEPS);
    assert_eq!(all.len(), written, "once each");
    assert_eq!(steps.len(), written, "the reader saw the same");
    running.stop().unwrap();
}
