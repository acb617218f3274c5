//! `scoring-memory`, `scoring-recovery` and `scoring-publish`: a million leads, ours and, but for the last, the peer.
//!
//! Each subject first takes in the same three events of every lead (a profile and two signals, about 350 bytes of state
//! with us). Then it is killed and started again, over and over, on the state it wrote to the broker.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tasuki_testkit::ports::free_port;

use super::feed::{Pace, Steady, fill};
use super::process::{Memory, Process};
use super::publish::{self, Published};
use super::report::{Figure, Reach, median};
use super::subject::{Kind, Place, Run, build_peer, float, run};
use super::{Bench, Input};

const LEADS: u64 = 1_000_000;
/// Events of each lead before anything is measured.
const EVENTS_PER_LEAD: u64 = 3;
/// What is processed after a restart to see how fast it is, at scale 1.
const AFTER_RESTART: u64 = 300_000;
/// Heaps of the peer that are tried, in MB, the largest first. At a smaller scale, so much smaller.
const HEAPS: [u32; 7] = [4_096, 2_560, 1_920, 1_440, 1_080, 810, 608];
/// A heap slows the peer if it does less than this share of what it does with the largest.
const NOT_SLOWER: f64 = 0.9;
/// Below this share no smaller heap is tried. In between one is: a slow run may be chance.
const FAR_SLOWER: f64 = 0.6;
/// Input while a subject is killed and comes back, in events a second.
const RATE: u32 = 2_000;
/// So far behind the input counts as caught up: half a second of it.
const BEHIND: u64 = 1_000;
const RECOVERIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(180);

/// How many events show that a subject that was started again is back.
const BACK_AGAIN: u64 = 1_000;

/// Which of the three are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) memory: bool,
    pub(super) recovery: bool,
    pub(super) publish: bool,
}

/// One recovery, in seconds after the kill.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    first_commit: f64,
    caught_up: f64,
}

/// What was seen of one subject.
#[derive(Debug, Default)]
struct Seen {
    /// Of ours, one; of the peer, by heap.
    memories: Vec<(Option<u32>, Run)>,
    recoveries: Vec<Recovery>,
    publications: Vec<Published>,
    filled: Option<Memory>,
    failures: Vec<String>,
}

/// Measures what is wanted; `done` is told each figure as soon as it stands.
pub(super) fn measure(bench: &mut Bench, wanted: Wanted, done: &mut dyn FnMut(Figure)) -> anyhow::Result<()> {
    let leads = bench.scaled(LEADS);
    let mut input = bench.input("million.", leads, LEADS * EVENTS_PER_LEAD)?;
    let peer_is_built = build_peer();
    let mut ours = Seen::default();
    attempt(&mut ours, |seen| subject(bench, Kind::Scoring, &mut input, wanted, seen));
    if wanted.publish {
        done(publish::figure(leads, &ours.publications, ours.failures.clone()));
    }
    if !wanted.memory && !wanted.recovery {
        return Ok(());
    }
    if let Err(error) = peer_is_built {
        let missing = || Seen { failures: vec![format!("{error:#}")], ..Seen::default() };
        report(wanted, leads, &ours, &missing(), &missing(), done);
        return Ok(());
    }
    let mut best = Seen::default();
    let against = Wanted { publish: false, ..wanted };
    attempt(&mut best, |seen| subject(bench, Kind::StreamsBest, &mut input, against, seen));
    let mut default = Seen::default();
    if wanted.recovery {
        // So that something stands if the rest fails.
        report(wanted, leads, &ours, &best, &default, done);
        let recovery = Wanted { recovery: true, ..Wanted::default() };
        attempt(&mut default, |seen| subject(bench, Kind::StreamsDefault, &mut input, recovery, seen));
    }
    report(wanted, leads, &ours, &best, &default, done);
    Ok(())
}

fn attempt(seen: &mut Seen, work: impl FnOnce(&mut Seen) -> anyhow::Result<()>) {
    if let Err(error) = work(seen) {
        eprintln!("    failed: {error:#}");
        seen.failures.push(format!("{error:#}"));
    }
}

/// Fills one subject with the leads, and measures it.
fn subject(bench: &Bench, kind: Kind, input: &mut Input, wanted: Wanted, seen: &mut Seen) -> anyhow::Result<()> {
    let mut place = Place {
        kind,
        prefix: input.prefix.clone(),
        application: format!("{}-million", kind.name()),
        start_ms: input.load.start_ms,
        versions: 0,
        heap: None,
        metrics_port: 0,
    };
    place.prepare(bench)?;
    bench.say(&format!("{}: taking in {} events of {} leads", kind.name(), input.records, input.load.leads));
    let (process, filled) = run(bench, &place, 0, input.records)?;
    seen.filled = Some(filled.memory);
    let mut outcome = Ok(process);
    if wanted.recovery {
        for _ in 0..RECOVERIES {
            outcome = outcome.and_then(|process| {
                let (process, recovery) = recover(bench, &place, input, process)?;
                eprintln!(
                    "    {:<16} first commit {:.2} s after the kill, caught up after {:.2} s",
                    kind.name(),
                    recovery.first_commit,
                    recovery.caught_up
                );
                seen.recoveries.push(recovery);
                Ok(process)
            });
        }
    }
    let outcome = outcome.and_then(Process::kill);
    let outcome = outcome.and_then(|()| if wanted.memory { memory(bench, &mut place, input, seen) } else { Ok(()) });
    let outcome = outcome.and_then(|()| if wanted.publish { publications(bench, &place, input, seen) } else { Ok(()) });
    place.clean(bench)?;
    outcome
}

/// Starts ours again, and publishes playbooks once it is back.
fn publications(bench: &Bench, place: &Place, input: &mut Input, seen: &mut Seen) -> anyhow::Result<()> {
    let place = Place { metrics_port: free_port(0)?, ..place.clone() };
    let done = place.progress(bench)?.done()?;
    fill(&bench.cluster.servers, &place.input(), input.load, input.records..input.records + BACK_AGAIN)?;
    input.records += BACK_AGAIN;
    let (mut process, _) = run(bench, &place, done, input.records)?;
    let metrics = (Ipv4Addr::LOCALHOST, place.metrics_port).into();
    seen.publications = publish::measure(bench, &place.prefix, &mut process, metrics, input.load.leads)?;
    process.kill()
}

/// Kills a subject while input goes on, starts it at once, and waits until it has caught up.
fn recover(bench: &Bench, place: &Place, input: &mut Input, process: Process) -> anyhow::Result<(Process, Recovery)> {
    let pace = Pace { rate: RATE, first: input.records, most: 0 };
    let steady = Steady::start(&bench.cluster.servers, &place.input(), input.load, pace, Instant::now())?;
    let acknowledged = steady.acknowledged();
    let (before, progress) = (input.records, place.progress(bench)?);
    let watch = || -> anyhow::Result<(Process, Recovery)> {
        let mut process = process;
        // It works, for some seconds.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(4) || progress.done()? + BEHIND < before + acknowledged.records() {
            process.must_run()?;
            if begun.elapsed() > PATIENCE {
                bail!("{} does not keep up with {RATE} events/s; {}", place.kind.name(), process.last_words());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let killed = Instant::now();
        process.kill()?;
        let at_kill = progress.done()?;
        let mut process = place.start(bench)?;
        let mut first_commit = None;
        loop {
            let (taken, done) = (before + acknowledged.records(), progress.done()?);
            let after = killed.elapsed().as_secs_f64();
            if done > at_kill {
                first_commit.get_or_insert(after);
            }
            if let Some(first_commit) = first_commit.filter(|_| done + BEHIND >= taken) {
                return Ok((process, Recovery { first_commit, caught_up: after }));
            }
            process.must_run()?;
            if killed.elapsed() > PATIENCE {
                bail!("{} is not back after {PATIENCE:?}; {}", place.kind.name(), process.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let watched = watch();
    input.records += steady.stop()?;
    watched
}

/// Restarts a subject on a backlog, the peer with ever smaller heaps until one slows it.
fn memory(bench: &Bench, place: &mut Place, input: &mut Input, seen: &mut Seen) -> anyhow::Result<()> {
    let heaps: Vec<Option<u32>> = if place.kind.is_peer() {
        let least = 96;
        let mut heaps: Vec<_> = HEAPS.iter().map(|&heap| Some(bench.scaled_heap(heap).max(least))).collect();
        heaps.dedup();
        heaps
    } else {
        vec![None]
    };
    for heap in heaps {
        let backlog = bench.scaled(AFTER_RESTART);
        let done = place.progress(bench)?.done()?;
        fill(&bench.cluster.servers, &place.input(), input.load, input.records..input.records + backlog)?;
        input.records += backlog;
        place.heap = heap;
        let limit = heap.map_or("no limit".to_owned(), |heap| format!("-Xmx{heap}m"));
        bench.say(&format!("{}: restart with {limit}", place.kind.name()));
        match run(bench, place, done, input.records) {
            Ok((process, run)) => {
                process.kill()?;
                let share = seen.memories.first().map_or(1.0, |(_, first)| run.per_second / first.per_second);
                seen.memories.push((heap, run));
                if share < FAR_SLOWER {
                    break;
                }
            }
            // Too small to live: the one before is the smallest.
            Err(error) if seen.memories.len() > 1 => {
                eprintln!("    {limit} is too little: {error:#}");
                break;
            }
            Err(error) => return Err(error).with_context(|| format!("with {limit}")),
        }
    }
    Ok(())
}

impl Seen {
    /// The smallest heap that did not slow it.
    fn smallest(&self) -> Option<&(Option<u32>, Run)> {
        let first = self.memories.first()?.1.per_second;
        self.memories.iter().rfind(|(_, run)| run.per_second >= NOT_SLOWER * first)
    }

    fn typical(&self, figure: impl Fn(&Recovery) -> f64) -> f64 {
        median(&self.recoveries.iter().map(figure).collect::<Vec<_>>())
    }

    fn json(&self) -> Value {
        json!({
            "peak_mb_after_filling": self.filled.map(|memory| memory.peak_mb),
            "restarts": self.memories.iter().map(|(heap, run)| json!({
                "heap_mb": heap, "peak_mb": run.memory.peak_mb, "resident_mb": run.memory.resident_mb,
                "events_per_second": run.per_second, "seconds_to_first_commit": run.first_commit,
            })).collect::<Vec<_>>(),
            "recoveries": self.recoveries.iter().map(|recovery| json!({
                "first_commit_s": recovery.first_commit, "caught_up_s": recovery.caught_up,
            })).collect::<Vec<_>>(),
        })
    }
}

fn report(wanted: Wanted, leads: u64, ours: &Seen, best: &Seen, default: &Seen, done: &mut dyn FnMut(Figure)) {
    if wanted.memory {
        done(memory_figure(leads, ours, best));
    }
    if wanted.recovery {
        done(recovery_figure(leads, ours, best, default));
    }
}

fn memory_figure(leads: u64, ours: &Seen, peer: &Seen) -> Figure {
    let restarted = ours.memories.first().map_or(f64::NAN, |(_, run)| run.memory.peak_mb);
    let mine = ours.filled.map_or(f64::NAN, |filled| filled.peak_mb.max(restarted));
    let (heap, theirs) = peer.smallest().map_or((None, f64::NAN), |(heap, run)| (*heap, run.memory.peak_mb));
    let ratio = mine / theirs;
    let heap = heap.map_or(String::new(), |heap| format!(" at -Xmx{heap}m"));
    let told = format!(
        "most that was ever resident (VmHWM) with {leads} leads of 3 events and more: {mine:.0} MB against {theirs:.0} MB{heap}, \
         in-memory store without cache; {:.0} bytes a lead",
        mine * 1e6 / float(leads)
    );
    Figure::new("scoring-memory", ratio, "ratio", Some(Reach::AtMost(1.0 / 3.0)), vec![ratio])
        .telling(told)
        .with("scoring", ours.json())
        .with("streams", peer.json())
        .because([ours.failures.clone(), peer.failures.clone()].concat())
}

/// The worse of the two ratios: to the first commit, and until caught up. Of the peer's variants the better one counts.
fn recovery_figure(leads: u64, ours: &Seen, best: &Seen, default: &Seen) -> Figure {
    let first = |seen: &Seen| seen.typical(|recovery| recovery.first_commit);
    let caught = |seen: &Seen| seen.typical(|recovery| recovery.caught_up);
    let ratio = |figure: &dyn Fn(&Seen) -> f64| figure(ours) / figure(best).min(figure(default));
    let ratios = [ratio(&first), ratio(&caught)];
    let value = if ratios.iter().any(|ratio| ratio.is_nan()) { f64::NAN } else { ratios[0].max(ratios[1]) };
    let of = |seen: &Seen| match seen.recoveries.len() {
        0 => "(not measured)".to_owned(),
        _ => format!("{:.1} s and {:.1} s", first(seen), caught(seen)),
    };
    let told = format!(
        "from kill -9 to the first commit and until caught up with {RATE} events/s, {leads} leads: {}, against {} in memory \
         and {} with RocksDB; {RECOVERIES} times each",
        of(ours),
        of(best),
        of(default)
    );
    Figure::new("scoring-recovery", value, "ratio", Some(Reach::AtMost(1.0 / 3.0)), ratios.to_vec())
        .telling(told)
        .with("scoring", ours.json())
        .with("streams_memory", best.json())
        .with("streams_rocksdb", default.json())
        .because([ours.failures.clone(), best.failures.clone(), default.failures.clone()].concat())
}
