//! `scoring-vs-copy`, `scoring-vs-streams-best`, `scoring-vs-streams-default`: events per CPU-second, in pairs.
//!
//! Control and subject take turns on one broker and one input, which stays; what a run wrote is deleted before the next.
//! The order changes from round to round. A subject that fails is left out of the remaining rounds, and its figure says
//! why; the others go on.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::process::Process;
use super::report::{Figure, Reach, median};
use super::subject::{Kind, Place, Run, build_peer, java, run};
use super::{Bench, Input, copy};

/// Leads of the input, at scale 1.
pub(super) const LEADS: u64 = 100_000;
const SMALL: u64 = 1_000_000;
const LARGE: u64 = 4_000_000;

/// Which of the three are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) copy: bool,
    pub(super) best: bool,
    pub(super) default: bool,
}

/// All runs on one input: by subject, by round.
#[derive(Debug, Default)]
struct Rounds {
    runs: BTreeMap<Kind, BTreeMap<u32, Run>>,
    failed: BTreeMap<Kind, String>,
    count: u32,
}

/// Measures what is wanted; `done` is told each figure as soon as it stands.
pub(super) fn measure(bench: &mut Bench, wanted: Wanted, done: &mut dyn FnMut(Figure)) -> anyhow::Result<()> {
    let mut wanted = wanted;
    if (wanted.best || wanted.default)
        && let Err(error) = build_peer()
    {
        for (name, asked, _, _) in peers(wanted) {
            if asked {
                done(Figure::failed(name, &error));
            }
        }
        (wanted.best, wanted.default) = (false, false);
    }
    if !wanted.copy && !wanted.best && !wanted.default {
        return Ok(());
    }
    let leads = bench.scaled(LEADS);
    let small = bench.input("one.", leads, SMALL)?;
    let proof = warm_up(bench, wanted, &small)?;
    let mut in_small = Rounds::default();
    if wanted.copy {
        eprintln!("  pairs with {} events", small.records);
        in_small = rounds(bench, &small, bench.pairs, |_| vec![Kind::Scoring, Kind::Copy])?;
        // So that something stands if the rest fails.
        done(against_copy(&in_small, &Rounds::default(), &small, None));
    }
    let large = bench.input("four.", leads, LARGE)?;
    let with_copy = bench.pairs.div_ceil(2);
    let count = if wanted.best || wanted.default { bench.pairs } else { with_copy };
    eprintln!("  rounds with {} events", large.records);
    let in_large = rounds(bench, &large, count, |round| {
        let mut kinds = vec![Kind::Scoring];
        for (kind, present) in [
            (Kind::Copy, wanted.copy && round < with_copy),
            (Kind::StreamsBest, wanted.best),
            (Kind::StreamsDefault, wanted.default),
        ] {
            if present {
                kinds.push(kind);
            }
        }
        kinds
    })?;
    if wanted.copy {
        done(against_copy(&in_small, &in_large, &small, Some(&large)));
    }
    for (name, asked, kind, target) in peers(wanted) {
        if asked {
            done(against_peer(name, &in_large, kind, target, &proof));
        }
    }
    Ok(())
}

fn peers(wanted: Wanted) -> [(&'static str, bool, Kind, f64); 2] {
    [
        ("scoring-vs-streams-best", wanted.best, Kind::StreamsBest, 2.5),
        ("scoring-vs-streams-default", wanted.default, Kind::StreamsDefault, 4.0),
    ]
}

fn place(kind: Kind, input: &Input, run: &str) -> Place {
    Place {
        kind,
        prefix: input.prefix.clone(),
        application: format!("{}-{run}", kind.name()),
        start_ms: input.load.start_ms,
        versions: input.records.div_ceil(input.load.leads),
        heap: None,
        metrics_port: 0,
    }
}

/// Every subject once, unmeasured: a cold broker costs up to three times the CPU. What ours and the peer wrote is
/// compared, as proof that both did the same work.
fn warm_up(bench: &Bench, wanted: Wanted, input: &Input) -> anyhow::Result<Value> {
    eprintln!("  warming up the broker, not measured");
    let ours = place(Kind::Scoring, input, "warm-up");
    drop(run_once(bench, &ours, input)?);
    let mut proof = Value::Null;
    for (kind, present) in [(Kind::StreamsBest, wanted.best), (Kind::StreamsDefault, wanted.default)] {
        if !present {
            continue;
        }
        let peer = place(kind, input, "warm-up");
        let compared = run_once(bench, &peer, input).and_then(|process| {
            drop(process);
            compare(bench, &ours.output(), &peer.output())
        });
        peer.clean(bench)?;
        // A difference is told with the figures: it makes them worthless, but they may help to find it.
        let compared = compared.unwrap_or_else(|error| json!({ "error": format!("{error:#}") }));
        eprintln!("    {} and {} compared: {compared}", kind.name(), Kind::Scoring.name());
        proof[kind.name()] = compared;
    }
    ours.clean(bench)?;
    if wanted.copy {
        let copy = place(Kind::Copy, input, "warm-up");
        drop(run_once(bench, &copy, input)?);
        copy.clean(bench)?;
    }
    Ok(proof)
}

fn run_once(bench: &Bench, place: &Place, input: &Input) -> anyhow::Result<Process> {
    place.prepare(bench)?;
    Ok(run(bench, place, 0, input.records)?.0)
}

/// Runs the peer's own comparison of two topics.
fn compare(bench: &Bench, ours: &str, theirs: &str) -> anyhow::Result<Value> {
    let mut command = java(Some(4_000), true);
    command.args(["tasuki.peer.Compare", "--bootstrap-servers", &bench.cluster.servers]);
    command.args(["--left", ours, "--right", theirs]);
    let said = Process::start("compare", command, bench.folder.path())?.finished(Duration::from_secs(300))?;
    // Its output is appended to a file that may hold an earlier one; logs may stand before.
    let line = said.lines().rev().find(|line| line.starts_with('{')).context("compare prints a line of JSON")?;
    let mut compared: Value = serde_json::from_str(line)?;
    if let Some(differences) = compared["differences"].as_array_mut() {
        differences.truncate(5);
    }
    Ok(compared)
}

/// Rounds of runs. Fails only where no further run is possible.
fn rounds(bench: &Bench, input: &Input, count: u32, kinds: impl Fn(u32) -> Vec<Kind>) -> anyhow::Result<Rounds> {
    let mut all = Rounds { count, ..Rounds::default() };
    let sizes = copy::expected_bytes(input.load, input.records)?;
    eprintln!(
        "    scoring writes {:.2} GB of scores and at most {:.2} GB of state",
        gigabytes(sizes.0),
        gigabytes(sizes.1)
    );
    for round in 0..count {
        if round > 0 && bench.begun.elapsed() > bench.until {
            bench.say(&format!("no time for more than {round} of {count} rounds"));
            break;
        }
        let mut order = kinds(round);
        // ABCD, DCBA, ABCD ...: whoever came last comes first.
        if round % 2 == 1 {
            order.reverse();
        }
        for kind in order {
            if all.failed.contains_key(&kind) {
                continue;
            }
            bench.say(&format!("round {} of {count}: {}", round + 1, kind.name()));
            let place = place(kind, input, &format!("{}{round}", input.prefix));
            let outcome = one(bench, &place, input);
            place.clean(bench).with_context(|| format!("after {}", kind.name()))?;
            match outcome {
                Ok(run) => {
                    all.runs.entry(kind).or_default().insert(round, run);
                }
                Err(error) => {
                    eprintln!("    {} failed: {error:#}", kind.name());
                    all.failed.insert(kind, format!("{error:#}"));
                }
            }
        }
        if all.failed.contains_key(&Kind::Scoring) {
            break;
        }
    }
    Ok(all)
}

fn gigabytes(bytes: u64) -> f64 {
    super::subject::float(bytes / 1_000_000) / 1_000.0
}

fn one(bench: &Bench, place: &Place, input: &Input) -> anyhow::Result<Run> {
    place.prepare(bench)?;
    let (process, run) = run(bench, place, 0, input.records)?;
    process.kill()?;
    let scores = bench.cluster.records(&place.output())?;
    if scores < input.records / 2 {
        bail!("only {scores} records came out of {}", input.records);
    }
    if let Some(bytes) = bench.cluster.bytes(&place.output()) {
        eprintln!("    {scores} records with marks and {:.2} GB on {}", gigabytes(bytes), place.output());
    }
    Ok(run)
}

impl Rounds {
    /// Ratios of the rounds in which both ran to the end.
    fn ratios(&self, of: Kind, to: Kind, figure: impl Fn(&Run) -> f64) -> Vec<f64> {
        let (Some(ours), Some(theirs)) = (self.runs.get(&of), self.runs.get(&to)) else { return Vec::new() };
        ours.iter().filter_map(|(round, run)| Some(figure(run) / figure(theirs.get(round)?))).collect()
    }

    fn samples(&self, kind: Kind) -> Value {
        let runs = self.runs.get(&kind).into_iter().flatten();
        runs.map(|(round, run)| {
            json!({
                "round": round,
                "events_per_cpu_second": run.per_cpu_second,
                "events_per_cpu_second_second_half": run.per_cpu_second_warm,
                "events_per_second": run.per_second,
                "seconds": run.seconds,
                "cpu_seconds": run.cpu,
                "peak_mb": run.memory.peak_mb,
            })
        })
        .collect()
    }

    fn failures(&self, kinds: &[Kind]) -> Vec<String> {
        let failed = kinds.iter().filter_map(|kind| Some(format!("{}: {}", kind.name(), self.failed.get(kind)?)));
        failed.collect()
    }

    fn typical(&self, kind: Kind, figure: impl Fn(&Run) -> f64) -> f64 {
        median(&self.runs.get(&kind).into_iter().flatten().map(|(_, run)| figure(run)).collect::<Vec<_>>())
    }
}

/// The lower of the two medians: 1 M and 4 M events both count.
fn against_copy(in_small: &Rounds, in_large: &Rounds, small: &Input, large: Option<&Input>) -> Figure {
    let all = |run: &Run| run.per_cpu_second;
    let mut value = f64::NAN;
    let (mut samples, mut told, mut details) = (Vec::new(), Vec::new(), Vec::new());
    for (rounds, input) in [(in_small, Some(small)), (in_large, large)] {
        let ratios = rounds.ratios(Kind::Scoring, Kind::Copy, all);
        let Some(input) = input.filter(|_| !ratios.is_empty()) else { continue };
        value = value.min(median(&ratios));
        told.push(format!(
            "{} events of {} leads: {:.2} ({} pairs; {:.0} against {:.0} events per CPU-second)",
            input.records,
            input.load.leads,
            median(&ratios),
            ratios.len(),
            rounds.typical(Kind::Scoring, all),
            rounds.typical(Kind::Copy, all)
        ));
        details.push(json!({
            "events": input.records, "leads": input.load.leads, "ratios": ratios,
            "scoring": rounds.samples(Kind::Scoring), "copy": rounds.samples(Kind::Copy),
        }));
        samples.extend(ratios);
    }
    let failures = [in_small, in_large].map(|rounds| rounds.failures(&[Kind::Scoring, Kind::Copy])).concat();
    Figure::new("scoring-vs-copy", value, "ratio", Some(Reach::AtLeast(0.75)), samples)
        .telling(told.join("; "))
        .with("inputs", json!(details))
        .because(failures)
}

fn against_peer(name: &'static str, rounds: &Rounds, peer: Kind, target: f64, proof: &Value) -> Figure {
    let warm = |run: &Run| run.per_cpu_second_warm;
    let ratios = rounds.ratios(Kind::Scoring, peer, warm);
    let differences = proof[peer.name()]["differences"].as_array().map_or("not compared".to_owned(), |differences| {
        if differences.is_empty() { "same scores".to_owned() } else { "SCORES DIFFER".to_owned() }
    });
    let told = format!(
        "second half: {:.0} against {:.0} events per CPU-second, {} pairs of {}; {differences}",
        rounds.typical(Kind::Scoring, warm),
        rounds.typical(peer, warm),
        ratios.len(),
        rounds.count,
    );
    Figure::new(name, median(&ratios), "ratio", Some(Reach::AtLeast(target)), ratios)
        .telling(told)
        .with("scoring", rounds.samples(Kind::Scoring))
        .with("streams", rounds.samples(peer))
        .with("compared", proof[peer.name()].clone())
        .because(rounds.failures(&[Kind::Scoring, peer]))
}
