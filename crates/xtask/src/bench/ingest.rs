//! `ingest-batch`, `ingest-single`, `ingest-latency`, `ingest-memory`: `tasuki ingest` against a bare producer of the
//! same records, a plain collector, and, where they are named, collectors of others.
//!
//! The trackers share the machine, so what counts is events per CPU-second of the collector's process. Controls and
//! subject take turns on one broker and one topic. After each run the topic must have grown by exactly what was
//! acknowledged, and Tasuki's own books must say the same.

mod figures;
mod subject;
mod traffic;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use tasuki_testkit::tracker::Run;

use super::Bench;
use super::process::Process;
use super::report::{Figure, quantile};
use super::subject::float;
use figures::{batch, latency, memory, single};
use subject::{Collector, Kind, TOPIC, peer, prepare};
use traffic::{Trackers, Traffic};

/// At the beginning of each run, not measured; and measured, at scale 1.
const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: u32 = 10;
/// How long the memory is watched at scale 1.
const WATCHED: u32 = 600;
const BATCH: usize = 100;
const CONNECTIONS: u32 = 64;
const MANY_CONNECTIONS: u32 = 512;
/// Events a second where latency is measured, far below what can be taken.
const MODERATE: u32 = 1_000;

/// Collectors of others.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Peers {
    /// Measure ingest against Vector too, this program.
    #[arg(long, env = "TASUKI_BENCH_VECTOR", value_name = "PROGRAM")]
    vector: Option<PathBuf>,
    /// Measure ingest against Redpanda Connect too, this program.
    #[arg(long, env = "TASUKI_BENCH_REDPANDA_CONNECT", value_name = "PROGRAM")]
    redpanda_connect: Option<PathBuf>,
}

impl Peers {
    fn kinds(&self) -> Vec<Kind> {
        let vector = self.vector.clone().map(Kind::Vector);
        let redpanda_connect = self.redpanda_connect.clone().map(Kind::RedpandaConnect);
        vector.into_iter().chain(redpanda_connect).collect()
    }
}

/// What one run showed.
#[derive(Clone, Copy, Debug)]
struct Sample {
    per_cpu_second: f64,
    per_second: f64,
    /// From the last byte of the request, or the sending of the record, to the answer; in milliseconds.
    p50: f64,
    p99: f64,
    /// Bytes of a record, where they are known.
    record_bytes: f64,
}

/// Samples by who was measured, one a round.
type Rounds = BTreeMap<&'static str, Vec<Sample>>;

const PRODUCER: &str = "producer";

/// What a benchmark sends.
#[derive(Clone, Copy, Debug)]
struct Load {
    connections: u32,
    together: usize,
    rate: Option<u32>,
}

const BATCHES: Load = Load { connections: CONNECTIONS, together: BATCH, rate: None };
const SINGLES: Load = Load { connections: MANY_CONNECTIONS, together: 1, rate: None };
const STEADY: Load = Load { connections: CONNECTIONS, together: 1, rate: Some(MODERATE) };

/// Measures the benchmark of this name.
pub(super) fn measure(bench: &Bench, peers: &Peers, name: &str, done: &mut dyn FnMut(Figure)) -> anyhow::Result<()> {
    prepare(bench)?;
    let kinds = |others: Vec<Kind>| [vec![Kind::Tasuki, Kind::Plain], others].concat();
    let measured = match name {
        "ingest-batch" => batch(&rounds(bench, BATCHES, &kinds(peers.kinds()), true)?),
        "ingest-single" => single(&rounds(bench, SINGLES, &kinds(peers.kinds()), false)?),
        "ingest-latency" => latency(&rounds(bench, STEADY, &[Kind::Tasuki], true)?, MODERATE),
        "ingest-memory" => memory(&watch(bench)?),
        other => bail!("no benchmark of ingest is called {other}"),
    };
    for figure in measured {
        done(figure);
    }
    bench.cluster.delete_topics(|topic| topic.starts_with(subject::PREFIX))
}

/// Controls and subject in turn, in another order in every other round. A first round of everybody warms up the broker.
fn rounds(bench: &Bench, load: Load, kinds: &[Kind], with_producer: bool) -> anyhow::Result<Rounds> {
    let mut rounds = Rounds::new();
    for round in 0..=bench.pairs {
        bench.say(&if round == 0 { "warming up".to_owned() } else { format!("round {round} of {}", bench.pairs) });
        let mut samples = Vec::new();
        let turn = || -> Vec<Option<&Kind>> {
            let mut turn: Vec<_> = with_producer.then_some(None).into_iter().chain(kinds.iter().map(Some)).collect();
            if round % 2 == 1 {
                turn.reverse();
            }
            turn
        };
        for kind in turn() {
            let (name, sample) = match kind {
                None => (PRODUCER, produce(bench, load)?),
                Some(kind) => (kind.name(), collect(bench, kind, load)?),
            };
            let Sample { per_cpu_second, per_second, p50, p99, .. } = sample;
            eprintln!(
                "    {name:<16} {per_cpu_second:>8.0} events/CPU s  {per_second:>7.0} events/s  p50 {p50:>6.2} ms  p99 {p99:>6.2} ms"
            );
            samples.push((name, sample));
        }
        if round > 0 {
            for (name, sample) in samples {
                rounds.entry(name).or_default().push(sample);
            }
        }
    }
    Ok(rounds)
}

fn lengths(bench: &Bench) -> (Duration, Duration) {
    let measured = Duration::from_secs(u64::from(bench.scaled_count(MEASURED).max(2)));
    (WARM_UP.min(measured), measured)
}

/// A number that no other run has: ids are unique beyond this benchmark.
fn run_number() -> u32 {
    u32::try_from(super::now_ms() / 100 % i64::from(u32::MAX)).unwrap_or_default()
}

/// Runs a collector under load.
fn collect(bench: &Bench, kind: &Kind, load: Load) -> anyhow::Result<Sample> {
    let before = bench.cluster.written(TOPIC)?;
    let mut collector = Collector::start(bench, kind)?;
    let (warm_up, measured) = lengths(bench);
    let at = tasuki_domain::Timestamp::from_millis(super::now_ms()).to_string();
    let Load { connections, together, rate } = load;
    let traffic = Traffic { connections, together, rate, run: Run { number: run_number(), at: &at } };
    let trackers = Trackers::start(collector.address, traffic)?;
    std::thread::sleep(warm_up);
    let (cpu, acknowledged, begun) = (collector.process.cpu()?, trackers.acknowledged(), Instant::now());
    trackers.measure();
    std::thread::sleep(measured);
    let cpu = collector.process.cpu()? - cpu;
    let (events, seconds) = (trackers.acknowledged() - acknowledged, begun.elapsed().as_secs_f64());
    collector.process.must_run()?;
    let (acknowledged, micros) = trackers.end().with_context(|| collector.process.last_words())?;
    must_have_grown(bench, before, acknowledged)?;
    if *kind == Kind::Tasuki {
        collector.must_have_booked(acknowledged)?;
    }
    let millis: Vec<_> = micros.into_iter().map(|micros| f64::from(micros) / 1e3).collect();
    Ok(Sample {
        per_cpu_second: float(events) / cpu.max(0.01),
        per_second: float(events) / seconds,
        p50: quantile(&millis, 500),
        p99: quantile(&millis, 990),
        record_bytes: f64::NAN,
    })
}

/// Runs the bare producer, with as many records under way.
fn produce(bench: &Bench, load: Load) -> anyhow::Result<Sample> {
    let before = bench.cluster.written(TOPIC)?;
    let (warm_up, measured) = lengths(bench);
    let under_way = usize::try_from(load.connections)? * load.together;
    let mut command = Command::new(peer("bare-producer")?);
    command.args(["--servers", &bench.cluster.servers, "--topic", TOPIC, "--run", &run_number().to_string()]);
    command.args(["--together", &load.together.to_string(), "--under-way", &under_way.to_string()]);
    command.args(["--warm-up-ms", &warm_up.as_millis().to_string()]);
    command.args(["--measured-ms", &measured.as_millis().to_string()]);
    if let Some(rate) = load.rate {
        command.args(["--rate", &rate.to_string()]);
    }
    let folder = bench.folder.path().join("ingest").join(format!("producer-{}", run_number()));
    let said = Process::start(PRODUCER, command, &folder)?.finished(measured + Duration::from_secs(60))?;
    let told: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).with_context(|| said.clone())?;
    let number = |name: &str| told[name].as_f64();
    let acknowledged = told["acknowledged"].as_u64().context("the producer tells what was acknowledged")?;
    if told["failed"] != 0 {
        bail!("records of the bare producer failed: {told}");
    }
    must_have_grown(bench, before, acknowledged)?;
    let known = |name: &str| number(name).with_context(|| format!("the producer tells {name}"));
    Ok(Sample {
        per_cpu_second: known("measured")? / known("cpu")?.max(0.01),
        per_second: known("measured")? / known("seconds")?,
        p50: number("p50").unwrap_or(f64::NAN),
        p99: number("p99").unwrap_or(f64::NAN),
        record_bytes: known("record_bytes")?,
    })
}

fn must_have_grown(bench: &Bench, before: u64, acknowledged: u64) -> anyhow::Result<()> {
    let grown = bench.cluster.written(TOPIC)? - before;
    if grown != acknowledged {
        bail!("{acknowledged} events were acknowledged, {TOPIC} has grown by {grown}");
    }
    bench.cluster.sweep(TOPIC)
}

/// Resident memory at saturation, in MB, second by second; and the most there ever was.
struct Watched {
    resident: Vec<f64>,
    peak: f64,
    per_second: f64,
}

fn watch(bench: &Bench) -> anyhow::Result<Watched> {
    let before = bench.cluster.written(TOPIC)?;
    let mut collector = Collector::start(bench, &Kind::Tasuki)?;
    let at = tasuki_domain::Timestamp::from_millis(super::now_ms()).to_string();
    let Load { connections, together, rate } = BATCHES;
    let traffic = Traffic { connections, together, rate, run: Run { number: run_number(), at: &at } };
    let seconds = bench.scaled_seconds(WATCHED);
    bench.say(&format!("{seconds} s at saturation"));
    let trackers = Trackers::start(collector.address, traffic)?;
    let (begun, mut resident) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(u64::from(seconds)) {
        std::thread::sleep(Duration::from_secs(1));
        collector.process.must_run()?;
        trackers.must_run()?;
        resident.push(collector.process.memory()?.resident_mb);
        if resident.len().is_multiple_of(5) {
            bench.cluster.sweep(TOPIC)?;
        }
    }
    let peak = collector.process.memory()?.peak_mb;
    let (acknowledged, _) = trackers.end().with_context(|| collector.process.last_words())?;
    let per_second = float(acknowledged) / begun.elapsed().as_secs_f64();
    must_have_grown(bench, before, acknowledged)?;
    collector.must_have_booked(acknowledged)?;
    Ok(Watched { resident, peak, per_second })
}
