//! The real tracker packages through everything that goes wrong between them and the log: every event is in `activity`
//! once, and where a client by its own design gives events up, the matrix says so.
//!
//! `CONFORM_ONLY=text` runs the cells whose name contains the text, `CONFORM_OUTAGE_S=30` keeps the broker away for longer.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tasuki_testkit::kafka::KafkaBroker;
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
    let mut ended = Vec::new();
    for wave in cells.chunks(WAVE) {
        let mut runs = start_all(wave, &system.target)?;
        for run in &mut runs {
            run.go()?;
        }
        ended.extend(finish(&system, runs)?);
    }
    judge(&system, &ended)?;
    system.tasuki.stop()
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
    judge(&system, &ended)?;
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
    judge(&system, &ended)?;
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
        let ingest = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
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

/// Compares what is on the log with the matrix, once identity has applied all there is; prints the table.
fn judge(system: &System, finished: &[Finished]) -> anyhow::Result<()> {
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
                if let Some(fault) = fault(ended, &own, &attributed) {
                    let Ended { posts, lost, .. } = ended;
                    faults.push(format!("{}: {fault}; {posts} POSTs, given up: {lost:?}", cell.name()));
                }
            }
            Err(trouble) => faults.push(format!("{}: {trouble}", cell.name())),
        }
    }
    ensure!(faults.is_empty(), "{} of {} cells:\n{}", faults.len(), finished.len(), faults.join("\n"));
    Ok(())
}

/// What is not as the matrix says.
fn fault(it: &Ended, own: &[String], attributed: &BTreeMap<String, usize>) -> Option<String> {
    let times = |wanted: fn(usize) -> bool| own.iter().filter(|token| !wanted(attributed[*token])).collect::<Vec<_>>();
    if !it.landed {
        return Some("invalid: a fault met no POST".to_owned());
    }
    let wrong = match it.cell.expected {
        Expected::Once => times(|times| times == 1),
        Expected::FirstLost(_) if attributed[&own[0]] != 0 => return Some("the first is there".to_owned()),
        Expected::FirstLost(_) => times(|times| times == 1).split_off(1),
        Expected::AtMostOnce(_) => times(|times| times <= 1),
        Expected::Never(_, at_most) if it.posts > at_most => return Some(format!("{} POSTs", it.posts)),
        Expected::Never(..) => times(|times| times == 0),
    };
    (!wrong.is_empty()).then(|| format!("not as expected: {wrong:?}"))
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
