//! Measures what a worker costs: records per CPU-second of this process with a processor that does next to nothing.
//!
//! ```text
//! KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092 cargo run --release -p tasuki-kafka --example stage -- 500000
//! ```
//!
//! 200 bytes come in, 100 go out; the state of each of 100,000 keys holds the latest 50 of 12 bytes each.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a measurement, not a service")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tasuki_kafka::{KafkaLog, Settings};
use tasuki_service::{Clock, Health, Shutdown, SystemClock};
use tasuki_stream::log::Publisher;
use tasuki_stream::{Context, Due, Emitted, Input, Poison, Processor, State, StateError, Topology};
use tasuki_wire::Topic;

const SIGNAL: usize = 12;
const SIGNALS: usize = 50;

struct Stage {
    left: AtomicU64,
    done: Shutdown,
}

#[derive(Default)]
struct Signals(Vec<u8>);

impl State for Signals {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Self(bytes.to_vec()))
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0);
    }
}

impl Processor for Stage {
    type State = Signals;

    fn topology(&self) -> Topology {
        Topology { service: "stage", inputs: &[Topic::Activity], outputs: &[Topic::Scores], state: Topic::ScoringState }
    }

    fn apply(&self, context: &mut Context<'_, Signals>, input: &Input<'_>) -> Result<(), Poison> {
        let key = input.key_str()?;
        let Signals(signals) = context.state(key);
        if signals.len() >= SIGNAL * SIGNALS {
            signals.drain(..SIGNAL);
        }
        signals.extend_from_slice(&input.payload[..SIGNAL]);
        context.emit_bytes(Topic::Scores, key, input.payload[..100].to_vec());
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            for line in threads() {
                println!("{line}");
            }
            self.done.cancel();
        }
        Ok(())
    }

    fn deadline(&self, _: &mut Context<'_, Signals>, _: &Due<'_>) {}
}

/// CPU time of the process, all threads.
fn cpu() -> Duration {
    of_stat(&fs::read_to_string("/proc/self/stat").unwrap())
}

fn of_stat(stat: &str) -> Duration {
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn threads() -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let folder = entry.unwrap().path();
        let name = fs::read_to_string(folder.join("comm")).unwrap();
        let took = of_stat(&fs::read_to_string(folder.join("stat")).unwrap());
        if took > Duration::ZERO {
            lines.push(format!("  {took:>8.2?} {}", name.trim()));
        }
    }
    lines.sort();
    lines
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(500_000, |text| text.parse().unwrap());
    let servers = std::env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap();
    let nanos = SystemClock.now().as_millis();
    let mut settings = Settings::new(servers, format!("stage{nanos}."));
    settings.properties = arguments.map(|text| text.parse().unwrap()).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = runtime.block_on(KafkaLog::open(settings)).unwrap();
    fill(&log, &runtime, records);
    let (shutdown, health) = (Shutdown::new(), Health::default());
    let stage = Arc::new(Stage { left: AtomicU64::new(records), done: shutdown.clone() });
    let (before, begun) = (cpu(), Instant::now());
    let component = health.component("stage");
    let theirs = shutdown.clone();
    let work = move || log.run_worker(&stage, 0, &SystemClock, &component, &theirs);
    let worker = std::thread::Builder::new().name("worker".to_owned()).spawn(work).unwrap();
    if records == 0 {
        idle(&shutdown);
    }
    worker.join().unwrap().unwrap();
    let (took, elapsed) = (cpu() - before, begun.elapsed());
    let memory = fs::read_to_string("/proc/self/status").unwrap();
    let peak = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = records as f64 / took.as_secs_f64();
    println!("{records} records, {took:.2?} CPU, {elapsed:.2?} elapsed: {rate:.0} per CPU-second; {peak}");
}

/// What it costs while there is nothing to do.
fn idle(shutdown: &Shutdown) {
    std::thread::sleep(Duration::from_secs(10));
    let (before, begun) = (cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(20));
    let share = (cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("idle: {:.2} % of a core", share * 100.0);
    for line in threads() {
        println!("{line}");
    }
    shutdown.cancel();
}

/// Writes the input, before anything is measured.
fn fill(log: &KafkaLog, runtime: &tokio::runtime::Runtime, records: u64) {
    let publisher = log.publisher().unwrap();
    for chunk in 0..records.div_ceil(10_000) {
        let of_chunk = (chunk * 10_000..records.min((chunk + 1) * 10_000)).map(|number| {
            // Half of it repeats, as in real events.
            let mut payload = vec![b'x'; 200];
            let mut noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for byte in payload.iter_mut().take(100) {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                *byte = noise.to_le_bytes()[0];
            }
            let key = format!("{:032x}", number.wrapping_mul(7_919) % 100_000);
            Emitted { topic: Topic::Activity, key, payload }
        });
        let of_chunk: Vec<_> = of_chunk.collect();
        // A busy machine may be late; what is written twice does no harm here.
        while let Err(error) = runtime.block_on(publisher.publish(of_chunk.clone())) {
            println!("writing again: {error}");
        }
    }
}
