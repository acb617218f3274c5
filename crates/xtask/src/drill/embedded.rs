//! The drill on the embedded log: one process, its database behind a proxy, and a Postgres server of its own that can be
//! killed.
//!
//! The load lies on the log before the process starts, which then works through it while the fault strikes; beside it
//! clients send events by HTTP the whole time, and keep a ledger of what was acknowledged.

pub(super) mod clients;
mod harm;
mod stage;
mod tables;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tasuki_service::{Clock, SystemClock};

use super::attempts::{Attempt, until_it_lands};
use super::check::CHECKERS;
use super::evidence::{Evidence, Liveness};
use super::fault::Struck;
use super::load::{self, Shape};
use super::report::{Report, Run};
use super::world::World;
use super::{Options, tables as rows};
use harm::Harm;
use stage::{Server, Stage};

/// How long lag may last after everything is healed, beyond some milliseconds for each event of the load.
const CATCH_UP: Duration = Duration::from_secs(60);
const EACH_EVENT: Duration = Duration::from_millis(4);

/// The faults that can happen here, by name and in a line.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    Harm::ALL.into_iter().map(|harm| (harm.name(), harm.about()))
}

/// Runs the faults asked for; all when none is named.
pub(crate) fn run(options: &Options, first_seed: u64) -> Result<Report> {
    let chosen = chosen(&options.faults)?;
    if !options.without.is_empty() {
        bail!("the rules of --without are those of the workers on Kafka; the embedded log has none of them");
    }
    let mut world = World::make(options)?;
    let server = Server::start(&world)?;
    let mut report = Report::default();
    for harm in chosen {
        for repeat in 0..options.repeats {
            let seed = first_seed.wrapping_add(u64::from(repeat));
            eprintln!("--- {} seed {seed}: {}", harm.name(), harm.about());
            let first = Attempt::first(seed, options.events);
            report.runs.push(until_it_lands(first, options.attempts, |attempt| {
                let begun = Instant::now();
                let mut run = Run { fault: harm.name(), seed, ..Run::default() };
                if let Err(error) = perform(&mut world, &server, harm, attempt, &mut run) {
                    run.error = Some(format!("{error:#}"));
                }
                run.took = begun.elapsed();
                run
            }));
        }
    }
    server.stop(&world);
    Ok(report)
}

fn chosen(names: &[String]) -> Result<Vec<Harm>> {
    if names.is_empty() {
        return Ok(Harm::ALL.to_vec());
    }
    let find = |name: &String| {
        let found = Harm::ALL.into_iter().find(|harm| harm.name().eq_ignore_ascii_case(name));
        let known: Vec<_> = Harm::ALL.iter().map(|harm| harm.name()).collect();
        found.with_context(|| format!("{name} cannot happen on the embedded log; there are {}", known.join(", ")))
    };
    names.iter().map(find).collect()
}

fn perform(world: &mut World, server: &Server, harm: Harm, attempt: Attempt, run: &mut Run) -> Result<()> {
    let load = load::load(attempt.seed, attempt.events, Shape::default(), SystemClock.now().as_millis());
    let allowed = CATCH_UP + EACH_EVENT * u32::try_from(load.records.len()).unwrap_or(u32::MAX);
    let mut stage = Stage::set(world, server, load, attempt)?;
    let Struck { landed, violations } = harm.strike(&mut stage).context("strike")?;
    run.landed = landed;
    run.violations = violations;
    stage.note(if landed { "landed" } else { "did not land" });
    stage.heal().context("heal")?;
    let healed = Instant::now();
    let caught_up = stage.wait_until_at_rest(allowed)?;
    let within = caught_up.then(|| healed.elapsed());
    let ledger = stage.clients.stop();
    if !stage.wait_until_at_rest(CATCH_UP)? {
        run.violations.push(format!("not at rest {CATCH_UP:?} after the clients ended"));
    }
    run.violations.extend(stage.end());
    let watched = stage.follower.stop();
    let log = stage.read_all()?;
    run.checked.insert("I1", ledger.missing(&log));
    run.violations.extend(tables::gaps(&log));
    run.figures.insert("acknowledged", f64::from(u32::try_from(ledger.acknowledged_count()).unwrap_or(u32::MAX)));
    let mut sent = stage.load.records.clone();
    sent.extend(ledger.sent(&log));
    let (tables, watermarks, fingerprints) = stage.world.runtime.block_on(async {
        let (tables, watermarks) = (rows::read(&stage.url).await?, rows::watermarks(&stage.url).await?);
        let fingerprints = stage::fingerprints(&stage.url, &log).await?;
        Ok::<_, anyhow::Error>((tables, watermarks, fingerprints))
    })?;
    stage.note("read again from the begin");
    let evidence = Evidence {
        sent,
        missing: Vec::new(),
        accounts: None,
        log,
        watched: Some(watched),
        hanging: None,
        caught_up: Some(Liveness { within, allowed }),
        tables: Some(tables),
        watermarks,
        fingerprints: Some(fingerprints),
    };
    for checker in CHECKERS {
        if let Some(found) = (checker.check)(&evidence) {
            run.checked.entry(checker.invariant).or_default().extend(found);
        }
    }
    run.schedule = std::mem::take(&mut stage.schedule);
    Ok(())
}
