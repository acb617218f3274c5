//! Measures the running system, started as users start it, and the processors against a control and a peer, and writes
//! the figures as a table.
//!
//! One benchmark that fails says why and does not keep the others from being run; figures are written after each.

mod capacity;
mod cluster;
mod copy;
mod feed;
mod hop;
mod ingest;
mod latency;
mod leads;
mod load;
mod pipeline_latency;
mod process;
mod publish;
mod report;
mod subject;
mod throughput;
mod visitors;
mod whole;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use tasuki_service::{Clock, SystemClock};
use tasuki_tests::Log;
use tempfile::TempDir;

use crate::run::top;
use cluster::Cluster;
use load::Load;
use report::Figure;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which benchmarks, or the first word of several (`ingest`); all when none is named. `--list` names them.
    names: Vec<String>,
    /// Multiplies how much is sent, and how many leads there are; 0.05 is for trying whether everything works.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Pairs of control and subject.
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Begin no further round of the throughput benchmarks after so many minutes; rows say how many pairs there were.
    #[arg(long, value_name = "MINUTES", default_value_t = 33)]
    until: u64,
    /// Use this broker, as host:port, instead of starting one. Topics beginning with `one.`, `four.`, `million.`,
    /// `hop.` and `ingest.` are made and deleted on it.
    #[arg(long)]
    kafka: Option<String>,
    /// Write the figures to this file, as JSON, after each benchmark.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Put the rows of the table into docs/BENCHMARKS.md.
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    peers: ingest::Peers,
    /// Name the benchmarks, say how long each takes, and do nothing.
    #[arg(long)]
    list: bool,
    /// Be the control of `scoring-vs-copy`.
    #[arg(long, hide = true)]
    as_copy: Option<copy::Start>,
}

/// A benchmark, and about how many minutes it takes at scale 1 with 5 pairs on two cores.
struct Benchmark {
    name: &'static str,
    minutes: f64,
    what: &'static str,
}

const BENCHMARKS: [Benchmark; 15] = [
    Benchmark { name: "scoring-vs-copy", minutes: 9.0, what: "scoring against the same runner without the scoring" },
    Benchmark {
        name: "scoring-vs-streams-best",
        minutes: 14.0,
        what: "scoring against Kafka Streams, in memory, no cache",
    },
    Benchmark {
        name: "scoring-vs-streams-default",
        minutes: 14.0,
        what: "scoring against Kafka Streams, RocksDB, cache",
    },
    Benchmark { name: "scoring-memory", minutes: 5.0, what: "memory with 1 M leads, against Kafka Streams" },
    Benchmark {
        name: "scoring-recovery",
        minutes: 6.0,
        what: "back after kill -9 with 1 M leads, against Kafka Streams",
    },
    Benchmark { name: "scoring-publish", minutes: 3.0, what: "1 M leads scored anew by a playbook that was published" },
    Benchmark { name: "hop-latency", minutes: 4.0, what: "one hop and the whole pipeline at 2,000 events/s" },
    Benchmark {
        name: "ingest-batch",
        minutes: 5.5,
        what: "ingest against a bare producer and a plain collector, batches",
    },
    Benchmark { name: "ingest-single", minutes: 4.0, what: "ingest against a plain collector, one event a request" },
    Benchmark { name: "ingest-latency", minutes: 3.5, what: "ingest and a bare producer at 1,000 events/s" },
    Benchmark { name: "ingest-memory", minutes: 10.5, what: "resident memory of ingest at saturation" },
    Benchmark { name: "pipeline-capacity", minutes: 2.5, what: "events/s through the whole pipeline, on both logs" },
    Benchmark { name: "latency-embedded", minutes: 0.5, what: "one event at a time on the embedded log" },
    Benchmark { name: "latency-kafka", minutes: 1.0, what: "one event at a time on Kafka" },
    Benchmark { name: IDENTITY_MEMORY, minutes: 1.5, what: "memory of 1 M unknown visitors with 3 parked events" },
];

/// Needs no broker and none of our programs.
const IDENTITY_MEMORY: &str = "identity-memory";

/// What benchmarks of the processors share.
struct Bench {
    cluster: Cluster,
    /// For state and output of subjects.
    folder: TempDir,
    /// The program that is measured.
    tasuki: PathBuf,
    scale: f64,
    pairs: u32,
    inputs: Vec<Input>,
    begun: Instant,
    /// No further round begins after so long.
    until: Duration,
}

/// Records of activity on the broker, which stay for all runs.
#[derive(Clone, Debug)]
struct Input {
    prefix: String,
    load: Load,
    /// How many there are.
    records: u64,
}

impl Bench {
    /// A number of leads or events at this scale.
    fn scaled(&self, number: u64) -> u64 {
        scaled(number, self.scale)
    }

    fn scaled_count(&self, number: u32) -> u32 {
        u32::try_from(scaled(u64::from(number), self.scale)).unwrap_or(u32::MAX)
    }

    /// Seconds of measuring at this scale; not fewer than ten.
    fn scaled_seconds(&self, seconds: u32) -> u32 {
        self.scaled_count(seconds).max(10)
    }

    /// A heap for as many leads as there are at this scale.
    fn scaled_heap(&self, megabytes: u32) -> u32 {
        self.scaled_count(megabytes).min(megabytes)
    }

    /// The input behind this prefix, made at the first call.
    fn input(&mut self, prefix: &str, leads: u64, records: u64) -> anyhow::Result<Input> {
        if let Some(found) = self.inputs.iter().find(|input| input.prefix == prefix) {
            return Ok(found.clone());
        }
        let records = self.scaled(records);
        self.say(&format!("filling {prefix}activity with {records} events of {leads} leads"));
        let load = Load::new(leads, now_ms());
        cluster::needs_space(2.0 + 12.0 * self.scale)?;
        self.cluster.make_installation(prefix)?;
        let topic = format!("{prefix}activity");
        feed::fill(&self.cluster.servers, &topic, load, 0..records)?;
        let found = self.cluster.records(&topic)?;
        if found != records {
            bail!("{found} records are on {topic}, {records} were written: is it left from an earlier run?");
        }
        let input = Input { prefix: prefix.to_owned(), load, records };
        self.inputs.push(input.clone());
        Ok(input)
    }

    /// Says what is being done, and when that was.
    fn say(&self, what: &str) {
        let seconds = self.begun.elapsed().as_secs();
        eprintln!("  {:>3}:{:02} {what}", seconds / 60, seconds % 60);
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of some millions")]
fn scaled(number: u64, scale: f64) -> u64 {
    ((subject::float(number) * scale).round() as u64).max(1)
}

fn now_ms() -> i64 {
    SystemClock.now().as_millis()
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(start) = &options.as_copy {
        return copy::run(start);
    }
    for name in &options.names {
        if !BENCHMARKS.iter().any(|benchmark| is_meant(benchmark.name, name)) {
            let known = BENCHMARKS.each_ref().map(|benchmark| benchmark.name).join(", ");
            bail!("no benchmark is called {name}; there are {known}");
        }
    }
    if !(options.scale > 0.0 && options.scale <= 100.0) || options.pairs == 0 {
        bail!("--scale must be above 0 and at most 100, --pairs at least 1");
    }
    if options.list {
        list(options);
        return Ok(());
    }
    if options.names.iter().all(|name| is_meant(IDENTITY_MEMORY, name)) && !options.names.is_empty() {
        let mut book = Book { options, figures: Vec::new() };
        book.run(&[IDENTITY_MEMORY], |done| visitors::measure(options.scale, done));
        return book.end();
    }
    if cfg!(debug_assertions) {
        return in_release();
    }
    measure(options)
}

/// Builds what is measured, and this program, in release, and goes on in the latter: load that is made by a slow program
/// takes the CPU away from what is measured.
fn in_release() -> anyhow::Result<()> {
    eprintln!("--- building tasuki, its peers and xtask in release");
    // One after the other: together, libraries would be built with what only xtask asks of them.
    for package in ["tasuki", "ingest-peers", "xtask"] {
        let words = ["build", "--release", "--locked", "--package", package];
        let status = Command::new("cargo").args(words).current_dir(top()).status().context("cannot run cargo")?;
        if !status.success() {
            bail!("cargo build --release --package {package} ended with {status}");
        }
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), PathBuf::from);
    let program = target.join("release/xtask");
    let status = Command::new(&program).args(std::env::args_os().skip(1)).status();
    let status = status.with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        bail!("{} ended with {status}", program.display());
    }
    Ok(())
}

fn is_wanted(options: &Options, name: &str) -> bool {
    options.names.is_empty() || options.names.iter().any(|wanted| is_meant(name, wanted))
}

/// Whether a benchmark is what was asked for: by its name, or by the first words of it.
fn is_meant(name: &str, wanted: &str) -> bool {
    name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn list(options: &Options) {
    let mut sum = 0.0;
    for Benchmark { name, minutes, what } in &BENCHMARKS {
        // Half a minute of starting and warming up does not depend on the scale.
        let minutes = (minutes - 0.5).max(0.0) * options.scale * f64::from(options.pairs) / 5.0 + 0.5;
        if is_wanted(options, name) {
            sum += minutes;
        }
        println!("{name:<28} {minutes:>5.1} min  {what}");
    }
    println!("{:<28} {sum:>5.1} min  at scale {} with {} pairs", "all that is asked for", options.scale, options.pairs);
}

/// Figures so far; written down as soon as there is one more.
struct Book<'o> {
    options: &'o Options,
    figures: Vec<Figure>,
}

impl Book<'_> {
    /// Takes a figure, in the place of an earlier one of the same name.
    fn add(&mut self, figure: Figure) {
        eprintln!("{}", figure.row());
        match self.figures.iter_mut().find(|known| known.name() == figure.name()) {
            Some(known) => *known = figure,
            None => self.figures.push(figure),
        }
        if let Some(path) = &self.options.json
            && let Err(error) = report::write_json(&self.figures, path)
        {
            eprintln!("the figures so far are not written: {error:#}");
        }
        if self.options.write
            && let Err(error) = report::write_docs(&self.figures)
        {
            eprintln!("the figures so far are not in the docs: {error:#}");
        }
    }

    /// Runs a benchmark; if it fails, its figures say so unless they stand already.
    fn run(&mut self, names: &[&str], work: impl FnOnce(&mut dyn FnMut(Figure)) -> anyhow::Result<()>) {
        let started = Instant::now();
        eprintln!("--- {}", names.join(", "));
        if let Err(error) = work(&mut |figure| self.add(figure)) {
            eprintln!("{} failed: {error:#}", names.join(", "));
            for name in names {
                match self.figures.iter_mut().find(|known| known.name() == *name) {
                    Some(known) => {
                        let incomplete = known.clone().because(vec![format!("{error:#}")]);
                        self.add(incomplete);
                    }
                    None => self.add(Figure::failed(name, &error)),
                }
            }
        }
        eprintln!("--- {}: {:.1} min", names.join(", "), started.elapsed().as_secs_f64() / 60.0);
    }

    /// Prints the table, and says whether all was measured.
    fn end(&self) -> anyhow::Result<()> {
        println!("{}", report::table(&self.figures));
        let failed = self.figures.iter().filter(|figure| !figure.is_whole()).count();
        if failed > 0 {
            bail!("{failed} figures could not be measured as they should; see above");
        }
        Ok(())
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut book = Book { options, figures: Vec::new() };
    let wanted = |name| is_wanted(options, name);
    let tasuki = std::env::current_exe()?.with_file_name("tasuki");
    if !tasuki.exists() {
        bail!("{} is not there: `cargo build --release --package tasuki` makes it", tasuki.display());
    }
    let mut bench = Bench {
        cluster: Cluster::start(options.kafka.as_deref())?,
        folder: tempfile::Builder::new().prefix("tasuki-bench-").tempdir()?,
        tasuki,
        scale: options.scale,
        pairs: options.pairs,
        inputs: Vec::new(),
        begun,
        until: Duration::from_secs(60 * options.until),
    };
    let against = throughput::Wanted {
        copy: wanted("scoring-vs-copy"),
        best: wanted("scoring-vs-streams-best"),
        default: wanted("scoring-vs-streams-default"),
    };
    let names =
        ["scoring-vs-copy", "scoring-vs-streams-best", "scoring-vs-streams-default"].map(|name| (name, wanted(name)));
    let names: Vec<_> = names.into_iter().filter_map(|(name, wanted)| wanted.then_some(name)).collect();
    if !names.is_empty() {
        book.run(&names, |done| throughput::measure(&mut bench, against, done));
        bench.forget("one.");
        bench.forget("four.");
    }
    let with_leads = leads::Wanted {
        memory: wanted("scoring-memory"),
        recovery: wanted("scoring-recovery"),
        publish: wanted("scoring-publish"),
    };
    let names = ["scoring-memory", "scoring-recovery", "scoring-publish"].map(|name| (name, wanted(name)));
    let names: Vec<_> = names.into_iter().filter_map(|(name, wanted)| wanted.then_some(name)).collect();
    if !names.is_empty() {
        book.run(&names, |done| leads::measure(&mut bench, with_leads, done));
        bench.forget("million.");
    }
    if wanted("hop-latency") {
        book.run(&["hop-latency"], |done| hop::measure(&bench, done));
    }
    for name in ["ingest-batch", "ingest-single", "ingest-latency", "ingest-memory"] {
        if wanted(name) {
            book.run(&[name], |done| ingest::measure(&bench, &options.peers, name, done));
        }
    }
    // The others start brokers of their own: ours must not be in their way.
    bench.cluster.stop();
    if wanted("hop-latency") {
        book.run(&["hop-latency: whole pipeline"], |done| pipeline_latency::measure(&bench, done));
    }
    if wanted("pipeline-capacity") {
        book.run(&["pipeline-capacity"], |done| capacity::measure(&bench, Log::Kafka, done));
        book.run(&["pipeline-capacity: embedded log"], |done| capacity::measure(&bench, Log::Embedded, done));
    }
    if wanted("latency-embedded") {
        book.run(&["latency-embedded"], |done| latency::measure(&bench, Log::Embedded, done));
    }
    if wanted("latency-kafka") {
        book.run(&["latency-kafka"], |done| latency::measure(&bench, Log::Kafka, done));
    }
    if wanted(IDENTITY_MEMORY) {
        book.run(&[IDENTITY_MEMORY], |done| visitors::measure(options.scale, done));
    }
    let minutes = Duration::as_secs_f64(&begun.elapsed()) / 60.0;
    eprintln!("--- all: {minutes:.1} min");
    book.end()
}

impl Bench {
    /// Deletes an input and all of its installation, to free the disk.
    fn forget(&mut self, prefix: &str) {
        if let Err(error) = self.cluster.delete_topics(|name| name.starts_with(prefix)) {
            eprintln!("topics of {prefix} stay: {error:#}");
        }
        self.inputs.retain(|input| input.prefix != prefix);
    }
}
