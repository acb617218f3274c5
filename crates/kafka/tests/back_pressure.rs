//! A broker that takes records slowly: what the worker holds stays within its settings, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use tasuki_kafka::Settings;
use tasuki_service::telemetry::start_metrics;
use tasuki_stream::{Context, Due, Input, Poison, Processor, Topology};
use tasuki_testkit::contract::{Count, ORDERS, Order, PARTITIONS, STATE, STEPS, TestClock};
use tasuki_testkit::eventually::within;
use tasuki_testkit::kafka::KafkaBroker;
use tasuki_testkit::proxy::kafka::{Call, Deed};
use tasuki_testkit::proxy::{Api, KafkaProxy, Moment};

use common::{Running, publish, records};

const PATIENCE: Duration = Duration::from_secs(180);
/// Of each output.
const BYTES: usize = 20_000;
const OUTPUTS: u64 = 3_000;
/// Of records given to librdkafka and not acknowledged; the least that can be set. All outputs are sixty times as much.
const QUEUE_KIB: u32 = 1_024;
/// What the process may grow by, in KiB: the queue, what is read ahead, librdkafka's and the proxy's buffers. Less than half
/// of what is written.
const GROWS_AT_MOST_KIB: u64 = 28 * 1_024;

/// Writes [`BYTES`] for each order, with its number first.
struct Large;

impl Processor for Large {
    type State = Count;

    fn topology(&self) -> Topology {
        Topology { service: "large", inputs: &[ORDERS], outputs: &[STEPS], state: STATE }
    }

    fn apply(&self, context: &mut Context<'_, Count>, input: &Input<'_>) -> Result<(), Poison> {
        let order: Order = input.decode()?;
        let mut output = order.number.to_le_bytes().to_vec();
        output.resize(BYTES, b'x');
        context.emit_bytes(STEPS, input.key_str()?, output);
        Ok(())
    }

    fn deadline(&self, _: &mut Context<'_, Count>, _: &Due<'_>) {}
}

#[test]
fn a_slow_broker_makes_the_worker_wait_and_not_grow() {
    let rendered = start_metrics().unwrap();
    let proxy = KafkaProxy::start().unwrap();
    let lines = proxy.server_properties();
    let broker = KafkaBroker::start_with(&lines.each_ref().map(String::as_str)).unwrap();
    let direct = Settings {
        partitions: Some(PARTITIONS.get()),
        read_ahead_kib: 1_024,
        write_queue_kib: QUEUE_KIB,
        // Nothing but the queue is in the way of a transaction with everything in it.
        transaction_records: 1_000_000,
        transaction_bytes: 1 << 30,
        commit_latest_ms: 1_000,
        ..Settings::new(broker.bootstrap_servers(), "slow.")
    };
    let log = common::open(&direct);
    publish(&log, (1..=OUTPUTS).map(|number| Order::add(number, &format!("key-{}", number % 50))).collect());
    let by = Deed::Delay(Moment::After, Duration::from_millis(100));
    let slow = move |call: &Call| if call.api == Api::Produce { by } else { Deed::Pass };
    proxy.decide(slow);
    let before = memory_kib("VmRSS");
    let proxied = Settings { bootstrap_servers: proxy.bootstrap_servers(), ..direct.clone() };
    let running = Running::start(&proxied, Large, 0, TestClock::default());
    let in_flight = || {
        let text = rendered.render();
        let of_worker = text.lines().find(|line| line.starts_with("tasuki_kafka_in_flight_records{"));
        of_worker.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let processed = || {
        let text = rendered.render();
        let records = text.lines().find(|line| line.starts_with("tasuki_kafka_records_total{"));
        records.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let mut most = 0.0_f64;
    within(PATIENCE, "all records to be processed", || {
        most = most.max(in_flight());
        match processed() {
            OUTPUTS => Ok(()),
            fewer => Err(fewer),
        }
    });
    let grown = memory_kib("VmHWM").saturating_sub(before);
    eprintln!("at most {most} records in flight; the process has grown by {grown} KiB");
    let queue = f64::from(QUEUE_KIB) * 1_024.0 / 20_000.0;
    // Full it was: else nothing has been shown. A record more is let in, whatever its size.
    assert!(most > queue / 2.0 && most <= queue + 2.0, "{most} in flight; the queue takes {queue}");
    assert!(grown < GROWS_AT_MOST_KIB, "{grown} KiB more than before, of {} written", OUTPUTS * 20_000 / 1_024);
    let slowed = proxy.done().len();
    assert!(slowed > 30, "{slowed} answers came late");
    let numbers: Vec<_> = records(&direct, STEPS).iter().map(|record| record.payload[0..8].to_vec()).collect();
    let different: BTreeSet<_> = numbers.iter().collect();
    assert_eq!((numbers.len(), different.len()), (3_000, 3_000));
    running.stop().unwrap();
}

/// A figure of this process, as the kernel tells it.
fn memory_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
