//! Breaks the running pipeline on purpose, and looks whether anything was lost, doubled or made up.
//!
//! A run is one fault on one seeded load: real broker, real Postgres, the real binary, one process per service. While
//! they work, the [`fault::Fault`] strikes; afterwards everything is healed, and when all is at rest the
//! [`check::CHECKERS`] compare what is on the log and in the tables with what has to be there. A run whose fault did not
//! land in the middle of work proves nothing: it is tried again with more work ([`attempts`]), and then it is invalid, not
//! passed.

mod attempts;
mod check;
mod embedded;
mod evidence;
mod fault;
mod faults;
mod history;
mod load;
mod model;
mod random;
mod replay;
mod report;
mod run;
mod scene;
mod service;
mod stale;
mod tables;
mod unknown_outcome;
mod watch;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use tasuki_service::{Clock, SystemClock};

use attempts::{Attempt, until_it_lands};
use fault::Fault;
use random::Random;
use report::Report;
use world::World;

/// What to drill.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Faults by name; all of the log when none is named. `--list` names them.
    #[arg(long = "fault", num_args = 1.., value_delimiter = ',', value_name = "FAULT")]
    faults: Vec<String>,
    /// Runs of each fault, each with a seed of its own.
    #[arg(long, default_value_t = 1)]
    repeats: u32,
    /// Seed of the first run; the same seed gives the same load and the same schedule. From the clock if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Which log the services run on.
    #[arg(long, value_enum, default_value = "kafka")]
    log: Log,
    /// How many brokers the log on Kafka has; by default three for F5, which kills them, and one for all others.
    #[arg(long, value_enum)]
    brokers: Option<Brokers>,
    /// Rules of the worker to switch off (R1, R3): the drill must fail then. Builds the binary with the feature `drill`.
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "RULE")]
    without: Vec<String>,
    /// Behavior events in each run.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// How often a run is tried whose fault does not land in the middle of work, with twice the events each time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=8))]
    attempts: u32,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 4)]
    partitions: u16,
    /// How long a storm of rebalances lasts, in seconds.
    #[arg(long, default_value_t = 300)]
    storm_seconds: u64,
    /// Drill the release build.
    #[arg(long)]
    release: bool,
    /// Drill this binary, instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Write the verdict to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Name the faults and do nothing.
    #[arg(long)]
    list: bool,
    /// Leave the logs of the services in target/drill.
    #[arg(long)]
    keep: bool,
}

/// Which log the services run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// Apache Kafka.
    Kafka,
    /// Tables in Postgres.
    Embedded,
}

/// How many brokers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Brokers {
    /// One, with a proxy before it.
    #[value(name = "1")]
    One,
    /// Three copies of everything, two of them in sync.
    #[value(name = "3")]
    Three,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.list {
        for fault in fault::all() {
            println!("{:4} {}", fault.name(), fault.about());
        }
        for (name, about) in embedded::names() {
            println!("{name:4} --log embedded: {about}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let first = options.seed.unwrap_or_else(|| Random::new(SystemClock.now().as_millis().unsigned_abs()).next() >> 32);
    eprintln!("drill: seed {first}, {} events a run", options.events);
    let report = match options.log {
        Log::Kafka => on_kafka(options, first)?,
        Log::Embedded => embedded::run(options, first)?,
    };
    report.tell(options.json.as_deref())
}

fn on_kafka(options: &Options, first: u64) -> anyhow::Result<Report> {
    let faults = chosen(options)?;
    if options.brokers == Some(Brokers::Three) {
        let attempt = Attempt::first(first, options.events);
        let needs_proxy = |fault: &&dyn Fault| run::plan(*fault, attempt, options).through_kafka_proxy;
        let names: Vec<_> = faults.iter().map(AsRef::as_ref).filter(needs_proxy).map(Fault::name).collect();
        if !names.is_empty() {
            bail!("the proxy that {} needs stands before one broker; leave --brokers 3 away", names.join(", "));
        }
    }
    let mut world = World::make(options)?;
    let mut report = Report::default();
    for fault in &faults {
        for repeat in 0..options.repeats {
            let seed = first.wrapping_add(u64::from(repeat));
            eprintln!("--- {} seed {seed}: {}", fault.name(), fault.about());
            let first = Attempt::first(seed, options.events);
            let attempt = |attempt| run::run(&mut world, fault.as_ref(), attempt, options);
            report.runs.push(until_it_lands(first, options.attempts, attempt));
        }
        world.end_cluster();
    }
    Ok(report)
}

/// The faults asked for, in the order asked; all when none is.
fn chosen(options: &Options) -> anyhow::Result<Vec<Box<dyn Fault>>> {
    if options.faults.is_empty() {
        return Ok(fault::all());
    }
    let find = |name: &String| {
        let found = fault::all().into_iter().find(|fault| fault.name().eq_ignore_ascii_case(name));
        found.with_context(|| format!("no fault is called {name}; there are {}", fault::names().join(", ")))
    };
    options.faults.iter().map(find).collect()
}
