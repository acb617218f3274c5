//! The real tracker packages through everything that goes wrong between them and the log: every event is in `activity`
//! once, and where a client by its own design gives events up, the matrix says so.
//!
//! `CONFORM_ONLY=text` runs the cells whose name contains the text, `CONFORM_OUTAGE_S=30` keeps the broker away for longer.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tasuki_testkit::kafka::KafkaBroker;
use tasuki_testkit::ports::free_port;
use tasuki_testkit::postgres::fresh_database;
use tasuki_testkit::proxy::kafka::{Api, Deed, KafkaProxy, Moment};
use tasuki_tests::cells::{Browser, Cell, Ended, Expected, Run, Scenario, Target, row, start_all};
use tasuki_tests::topics::Topics;
use tasuki_tests::{Tasuki, eventually, up};

mod matrix;

/// At once on two cores, so that no client meets its own timeouts for want of time.
const WAVE: usize = 12;
/// The longest a client waits before it sends again, and then some.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a slow broker does not answer.
const SLOW: Duration = Duration::from_millis(2500);

#[test]
fn on_the_way_to_ingest() -> anyhow::Result<()> {
    let system = System::embedded()?;
    let cells =
        matrix::cells(|scenario| !matches!(scenario, Scenario::Killed | Scenario::BrokerSlow | Scenario::BrokerDown));
    let faults = judge(&system, &all_of(&system, &cells)?)?;
    let (lost, faults): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.forgivable);
    for fault in &lost {
        eprintln!("once more: {fault}");
    }
    none(faults)?;
    let again: Vec<_> = lost.into_iter().map(|fault| Cell { again: true, ..fault.cell }).collect();
    none(judge(&system, &all_of(&system, &again)?)?)?;
    system.tasuki.stop()
}

/// Runs these, some at a time.
fn all_of(system: &System, cells: &[Cell]) -> anyhow::Result<Vec<Finished>> {
    let mut ended = Vec::new();
    for wave in cells.chunks(WAVE) {
        let mut runs = start_all(wave, &system.target)?;
        for run in &mut runs {
            run.go()?;
        }
        ended.extend(finish(system, runs)?);
    }
    Ok(ended)
}

#[test]
fn ingest_killed_when_the_log_has_the_events_and_the_trackers_have_no_answer() -> anyhow::Result<()> {
    let mut system = System::embedded()?;
    let mut runs = start_all(&matrix::cells(|scenario| scenario == Scenario::Killed), &system.target)?;
    for run in &mut runs {
        run.proxy.hold_answers();
        run.go()?;
    }
    for run in &runs {
        let answered = || Ok((run.proxy.held() > 0).then_some(()));
        eventually(PATIENCE, answered).with_context(|| format!("{} sends nothing", run.cell.name()))?;
    }
    system.tasuki.signal("KILL")?;
    system.tasuki.ended()?;
    for run in &runs {
        run.proxy.lose_held_answers();
    }
    system.start_again()?;
    let ended = finish(&system, runs)?;
    none(judge(&system, &ended)?)?;
    system.tasuki.stop()
}

#[test]
fn a_slow_broker_and_a_broker_that_is_away() -> anyhow::Result<()> {
    let proxy = KafkaProxy::start()?;
    let properties = proxy.server_properties();
    let mut broker = KafkaBroker::start_with(&properties.each_ref().map(String::as_str))?;
    let system = System::kafka(&proxy, &broker)?;

    // It takes what ingest gives it, and says so only after a while: less than ingest waits for it.
    let slow = matrix::cells(|scenario| scenario == Scenario::BrokerSlow);
    let mut runs = start_all(&slow, &system.target)?;
    proxy.decide(|call| {
        let of_ingest = call.api == Api::Produce && call.client.starts_with("publisher");
        if of_ingest { Deed::Hold(Moment::After) } else { Deed::Pass }
    });
    for run in &mut runs {
        run.go()?;
    }
    if !slow.is_empty() {
        eventually(PATIENCE, || Ok((proxy.waiting() > 0).then_some(()))).context("invalid: the broker was not slow")?;
        std::thread::sleep(SLOW);
    }
    proxy.decide(|_| Deed::Pass);
    proxy.release();
    let mut ended = finish(&system, runs)?;

    let mut runs = start_all(&matrix::cells(|scenario| scenario == Scenario::BrokerDown), &system.target)?;
    broker.stop()?;
    let outage = std::env::var("CONFORM_OUTAGE_S").ok().map_or(Ok(8), |seconds| seconds.parse())?;
    let back = Instant::now() + Duration::from_secs(outage);
    for run in &mut runs {
        run.go()?;
    }
    for run in &runs {
        let asked = || Ok((run.proxy.posts() > 0).then_some(()));
        eventually(PATIENCE, asked).with_context(|| format!("{} sends nothing", run.cell.name()))?;
    }
    std::thread::sleep(back.saturating_duration_since(Instant::now()));
    broker.restart()?;
    ended.extend(finish(&system, runs)?);
    none(judge(&system, &ended)?)?;
    system.tasuki.stop()
}

/// A whole Tasuki with a browser beside it.
struct System {
    tasuki: Tasuki,
    topics: Topics,
    target: Target,
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    /// Ended last.
    _browser: Browser,
}

impl System {
    fn embedded() -> anyhow::Result<Self> {
        let url = fresh_database();
        Self::start(Topics::Embedded(url.clone()), vec![("DATABASE_URL", url)])
    }

    fn kafka(proxy: &KafkaProxy, broker: &KafkaBroker) -> anyhow::Result<Self> {
        let servers = ("KAFKA_BOOTSTRAP_SERVERS", proxy.bootstrap_servers());
        Self::start(Topics::Kafka(broker.bootstrap_servers()), vec![servers, ("DATABASE_URL", fresh_database())])
    }

    fn start(topics: Topics, variables: Vec<(&'static str, String)>) -> anyhow::Result<Self> {
        let browser = Browser::start()?;
        let folder = tempfile::tempdir()?;
        // The same after a restart.
        let ingest = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(0)?));
        let tasuki = started(folder.path(), ingest, &variables)?;
        let target = Target { ingest, key: tasuki.told("write_key").to_owned(), browser: browser.address.clone() };
        Ok(Self { tasuki, topics, target, folder, variables, _browser: browser })
    }

    fn start_again(&mut self) -> anyhow::Result<()> {
        self.tasuki = started(self.folder.path(), self.target.ingest, &self.variables)?;
        Ok(())
    }
}

fn started(folder: &Path, ingest: SocketAddr, variables: &[(&str, String)]) -> anyhow::Result<Tasuki> {
    let mut command = up(folder, &["--ingest-listen", &ingest.to_string()]);
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    Tasuki::start_command(command)
}

/// Waits until all that is awaited of these is in `activity`, and ends them. One in trouble does not end the others.
fn finish(system: &System, mut runs: Vec<Run>) -> anyhow::Result<Vec<Finished>> {
    let awaited: Vec<_> = runs.iter().flat_map(|run| run.cell.awaited()).collect();
    let until = Instant::now() + PATIENCE;
    let mut missing = awaited.clone();
    while !missing.is_empty() && Instant::now() < until {
        let counts = system.topics.count("activity", &awaited);
        missing = counts?.into_iter().filter(|(_, times)| *times == 0).map(|(token, _)| token).collect();
        std::thread::sleep(Duration::from_millis(100));
    }
    let finish = |run: &mut Run| {
        let given_up = run.given_up();
        let said = run.said();
        let outcome = run.end().and_then(|ended| given_up.map(|()| ended));
        (run.cell, outcome.map_err(|error| format!("{error:#}; it said {said:?}")))
    };
    Ok(runs.iter_mut().map(finish).collect())
}

/// A cell, and how its package ended, or what hindered it.
type Finished = (Cell, Result<Ended, String>);

/// A cell that is not as the matrix says.
struct Fault {
    cell: Cell,
    what: String,
    /// Whether the package may try once more. It is not ours, and has races of its own: what it has not sent we cannot have.
    /// What is there twice, or though it must not be, is ours, and nothing excuses it.
    forgivable: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.cell.name(), self.what)
    }
}

/// Fails if there is a fault.
fn none(faults: Vec<Fault>) -> anyhow::Result<()> {
    let told: Vec<_> = faults.iter().map(Fault::to_string).collect();
    ensure!(faults.is_empty(), "cells that are not as they must be: {}\n{}", faults.len(), told.join("\n"));
    Ok(())
}

/// Compares what is on the log with the matrix, once identity has applied all there is; prints the table.
fn judge(system: &System, finished: &[Finished]) -> anyhow::Result<Vec<Fault>> {
    eventually(PATIENCE, || Ok(system.topics.identity_is_through()?.then_some(())))?;
    let tokens: Vec<_> = finished.iter().flat_map(|(cell, _)| cell.tokens()).collect();
    let (written, attributed) = (system.topics.count("behavior", &tokens)?, system.topics.count("activity", &tokens)?);
    let mut faults = Vec::new();
    for (cell, outcome) in finished {
        let own = cell.tokens();
        let sum = |counts: &BTreeMap<String, usize>| own.iter().map(|token| counts[token]).sum::<usize>();
        match outcome {
            Ok(ended) => {
                eprintln!("{}", row(ended, sum(&written), sum(&attributed)));
                faults.extend(fault(ended, &own, &attributed));
            }
            Err(trouble) => faults.push(Fault { cell: *cell, what: trouble.clone(), forgivable: true }),
        }
    }
    Ok(faults)
}

/// What is not as the matrix says.
fn fault(it: &Ended, own: &[String], attributed: &BTreeMap<String, usize>) -> Option<Fault> {
    let Ended { cell, posts, lost, .. } = it;
    let found = |what: &str, forgivable| {
        let counts: Vec<_> = own.iter().map(|token| attributed[token]).collect();
        let what = format!("{what}; of each event in activity {counts:?}; {posts} POSTs, given up: {lost:?}");
        Some(Fault { cell: *cell, what, forgivable })
    };
    let most = own.iter().map(|token| attributed[token]).max().unwrap_or(0);
    let missing = own.iter().filter(|token| attributed[*token] == 0).count();
    if most > 1 {
        return found("there more than once", false);
    }
    if !it.landed {
        return found("invalid: a fault met no POST", true);
    }
    match cell.expected {
        Expected::Once if missing > 0 => found("missing", true),
        Expected::FirstLost(_) if attributed[&own[0]] != 0 => found("the first is there", false),
        Expected::FirstLost(_) if missing > 1 => found("missing", true),
        Expected::Never(_, at_most) if *posts > at_most => found("tries too often", true),
        Expected::Never(..) if missing < own.len() => found("there, and must not be", false),
        Expected::Once | Expected::FirstLost(_) | Expected::AtMostOnce(_) | Expected::Never(..) => None,
    }
}

/// Only to be sure that a cell is named once.
#[test]
fn every_cell_has_a_name_of_its_own() {
    let cells = matrix::cells(|_| true);
    let mut names: Vec<_> = cells.iter().map(Cell::name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cells.len());
}
