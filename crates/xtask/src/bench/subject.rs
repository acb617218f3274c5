//! Who works: Tasuki, its control, and the peer; how each is started, and one run of it over an input.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::Bench;
use super::cluster::{Progress, SESSION_TIMEOUT_MS};
use super::copy::{self, Start};
use super::process::{Memory, Process};
use crate::run::top;

/// How long a subject may stand still.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at how far it has come.
const LOOK: Duration = Duration::from_millis(50);

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `tasuki scoring`, as it comes, one worker.
    Scoring,
    /// The same runner without the scoring.
    Copy,
    /// Kafka Streams at its best here: in-memory store, no cache, serial collector.
    StreamsBest,
    /// Kafka Streams as it comes: RocksDB, cache.
    StreamsDefault,
}

impl Kind {
    /// As figures name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Scoring => "scoring",
            Self::Copy => "copy",
            Self::StreamsBest => "streams-best",
            Self::StreamsDefault => "streams-default",
        }
    }

    /// Whether it is the peer.
    pub(super) const fn is_peer(self) -> bool {
        match self {
            Self::Scoring | Self::Copy => false,
            Self::StreamsBest | Self::StreamsDefault => true,
        }
    }
}

/// A subject at an input: a name for all that it leaves on the broker.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// Before the name of each topic of the installation that holds the input.
    pub(super) prefix: String,
    /// Of the peer: application id and output topic. Ours are named after the prefix.
    pub(super) application: String,
    /// What the control is told of the input.
    pub(super) start_ms: i64,
    pub(super) versions: u64,
    /// The peer's `-Xmx`; the JVM's own choice if not given.
    pub(super) heap: Option<u32>,
    /// Where ours tells its metrics; 0 lets it choose.
    pub(super) metrics_port: u16,
}

impl Place {
    /// The topic it reads.
    pub(super) fn input(&self) -> String {
        format!("{}activity", self.prefix)
    }

    /// The topic it writes scores to.
    pub(super) fn output(&self) -> String {
        if self.kind.is_peer() { format!("{}.scores", self.application) } else { format!("{}scores", self.prefix) }
    }

    fn group(&self) -> String {
        match self.kind {
            Kind::Scoring => format!("{}scoring", self.prefix),
            Kind::Copy => format!("{}{}", self.prefix, copy::SERVICE),
            Kind::StreamsBest | Kind::StreamsDefault => self.application.clone(),
        }
    }

    /// Starts it.
    pub(super) fn start(&self, bench: &Bench) -> anyhow::Result<Process> {
        let folder = bench.folder.path().join(&self.application);
        std::fs::create_dir_all(&folder)?;
        let command = match self.kind {
            Kind::Scoring => self.tasuki(bench, &folder),
            Kind::Copy => self.control(bench)?,
            Kind::StreamsBest | Kind::StreamsDefault => self.peer(bench, &folder),
        };
        Process::start(self.kind.name(), command, &folder)
    }

    fn tasuki(&self, bench: &Bench, folder: &Path) -> Command {
        let mut command = Command::new(&bench.tasuki);
        command.arg("scoring").arg("--data-dir").arg(folder);
        command.args(["--secret", "only-for-this-benchmark"]);
        command.args(["--metrics-listen", &format!("127.0.0.1:{}", self.metrics_port)]);
        command.args(["--kafka-bootstrap-servers", &bench.cluster.servers, "--kafka-topic-prefix", &self.prefix]);
        command.args(["--kafka-session-timeout-ms", &SESSION_TIMEOUT_MS.to_string()]);
        command
    }

    fn control(&self, bench: &Bench) -> anyhow::Result<Command> {
        let start = Start {
            servers: bench.cluster.servers.clone(),
            prefix: self.prefix.clone(),
            start_ms: self.start_ms,
            versions: self.versions,
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "--as-copy", &start.argument()]);
        Ok(command)
    }

    fn peer(&self, bench: &Bench, folder: &Path) -> Command {
        let (store, cache) = match self.kind {
            Kind::StreamsDefault => ("rocksdb", "on"),
            Kind::Scoring | Kind::Copy | Kind::StreamsBest => ("memory", "off"),
        };
        let mut command = java(self.heap, self.kind == Kind::StreamsBest);
        command.arg("tasuki.peer.Scoring");
        command.args(["--bootstrap-servers", &bench.cluster.servers, "--application-id", &self.application]);
        command.args(["--input", &self.input(), "--output", &self.output()]);
        command.arg("--state-dir").arg(folder.join("state"));
        command.args(["--store", store, "--cache", cache, "--threads", "1", "--commit-interval-ms", "100"]);
        command.args(["--instance-id", &format!("{}-0", self.application)]);
        command.arg("--playbook").arg(top().join("crates/playbook/src/default.toml"));
        command
    }

    /// Makes what it needs on the broker. Ours makes its topics itself.
    pub(super) fn prepare(&self, bench: &Bench) -> anyhow::Result<()> {
        if self.kind.is_peer() { bench.cluster.make_topic(&self.output()) } else { Ok(()) }
    }

    /// Deletes all that it left on the broker; the input stays.
    pub(super) fn clean(&self, bench: &Bench) -> anyhow::Result<()> {
        if self.kind.is_peer() {
            let own = format!("{}-", self.application);
            let output = self.output();
            bench.cluster.delete_topics(|name| name == output || name.starts_with(&own))?;
        } else {
            let own = [self.output(), format!("{}scoring.state", self.prefix)];
            bench.cluster.delete_topics(|name| own.iter().any(|own| own == name))?;
        }
        bench.cluster.delete_group(&self.group())?;
        // State of the peer on disk.
        let folder = bench.folder.path().join(&self.application).join("state");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(())
    }

    /// Looks how far it has come.
    pub(super) fn progress(&self, bench: &Bench) -> anyhow::Result<Progress> {
        bench.cluster.progress(&self.group(), &self.input())
    }
}

/// A JVM with the peer's classes; what is not given, it chooses itself.
///
/// The serial collector costs the least CPU and memory on a machine with few cores; on two or more the JVM chooses G1.
pub(super) fn java(heap_mb: Option<u32>, serial: bool) -> Command {
    let mut command = Command::new("java");
    if serial {
        command.arg("-XX:+UseSerialGC");
    }
    if let Some(heap) = heap_mb {
        command.arg(format!("-Xmx{heap}m"));
    }
    // Rather than to struggle on: a run that stands still costs a minute and a half.
    command.arg("-XX:+ExitOnOutOfMemoryError");
    command.arg("-cp").arg(format!("{}/target/peers/kafka-streams/libs/*", top().display()));
    command
}

/// Builds the peer.
pub(super) fn build_peer() -> anyhow::Result<PathBuf> {
    let script = top().join("tests/peers/kafka-streams/build");
    if !script.exists() {
        bail!("{} is not there: the peer cannot be built", script.display());
    }
    let output = Command::new(&script)
        .current_dir(top())
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    if !output.status.success() {
        bail!("{} ended with {}: {}", script.display(), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(script)
}

/// What one look at a running subject showed.
#[derive(Clone, Copy, Debug)]
struct Look {
    done: u64,
    cpu: f64,
    after: f64,
}

/// One run from start to the end of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Events per CPU-second of the process, from its start to the last commit.
    pub(super) per_cpu_second: f64,
    /// The same, from half of the input on.
    pub(super) per_cpu_second_warm: f64,
    /// Events per second from the first commit seen to the last.
    pub(super) per_second: f64,
    /// From the start to the last commit.
    pub(super) seconds: f64,
    /// From the start to the first commit seen.
    pub(super) first_commit: f64,
    pub(super) cpu: f64,
    pub(super) memory: Memory,
}

/// Starts a subject and waits until its group has committed the whole input. It still runs then.
pub(super) fn run(bench: &Bench, place: &Place, from: u64, records: u64) -> anyhow::Result<(Process, Run)> {
    let progress = place.progress(bench)?;
    let begun = Instant::now();
    let mut process = place.start(bench)?;
    let mut looks = vec![Look { done: from, cpu: 0.0, after: 0.0 }];
    let mut moved = Instant::now();
    let last = loop {
        process.must_run()?;
        let done = progress.done()?;
        let look = Look { done, cpu: process.cpu()?, after: begun.elapsed().as_secs_f64() };
        if looks.last().is_none_or(|before| before.done != done) {
            looks.push(look);
            moved = Instant::now();
        }
        if done >= records {
            break look;
        }
        if moved.elapsed() > PATIENCE {
            bail!("{} stands still at {done} of {records}; {}", place.kind.name(), process.last_words());
        }
        std::thread::sleep(LOOK);
    };
    let memory = process.memory()?;
    let first = looks.iter().find(|look| look.done > from).copied().unwrap_or(last);
    let events = float(records - from);
    let half = at(&looks, from + (records - from) / 2);
    let warm = float(last.done - half.done) / (last.cpu - half.cpu).max(0.01);
    let run = Run {
        per_cpu_second: events / last.cpu.max(0.01),
        per_cpu_second_warm: warm,
        per_second: float(last.done - first.done) / (last.after - first.after).max(0.001),
        seconds: last.after,
        first_commit: first.after,
        cpu: last.cpu,
        memory,
    };
    eprintln!(
        "    {:<16} {events:>9.0} events  {:>6.1} s  {:>6.1} s CPU  {:>8.0} events/CPU s (second half {:>8.0})  {:>5.0} MB at most",
        place.kind.name(),
        run.seconds,
        run.cpu,
        run.per_cpu_second,
        run.per_cpu_second_warm,
        run.memory.peak_mb
    );
    Ok((process, run))
}

/// Where it was when it had done so many, between two looks.
fn at(looks: &[Look], done: u64) -> Look {
    let later = looks.iter().position(|look| look.done >= done).unwrap_or(looks.len().saturating_sub(1));
    let (Some(before), Some(after)) = (looks.get(later.saturating_sub(1)), looks.get(later)) else {
        return Look { done, cpu: 0.0, after: 0.0 };
    };
    if after.done == before.done {
        return *after;
    }
    let share = float(done.saturating_sub(before.done)) / float(after.done - before.done);
    let between = |from: f64, to: f64| from + (to - from) * share;
    Look { done, cpu: between(before.cpu, after.cpu), after: between(before.after, after.after) }
}

/// A count as a number to reckon with: far below what a double holds exactly.
pub(super) fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_half_is_found_between_two_looks() {
        let look = |done, cpu| Look { done, cpu, after: cpu * 2.0 };
        let looks = [look(0, 0.0), look(10, 1.0), look(30, 2.0), look(40, 4.0)];
        assert_eq!((at(&looks, 20).cpu, at(&looks, 20).after), (1.5, 3.0));
        assert_eq!(at(&looks, 10).cpu, 1.0);
        assert_eq!(at(&looks, 40).cpu, 4.0);
    }
}
