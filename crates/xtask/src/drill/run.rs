//! One run: set the scene, strike, heal, wait until all is at rest, check.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tasuki_wire::PartitionCount;

use super::Options;
use super::check::CHECKERS;
use super::evidence::{Evidence, Liveness};
use super::fault::{Fault, Struck};
use super::load::{Load, Shape};
use super::report::Run;
use super::scene::{Plan, Scene};
use super::service::{PROJECTED, groups};
use super::watch;
use super::world::World;

/// How long nothing may come before all counts as at rest.
const QUIET: Duration = Duration::from_millis(1_500);
/// How long lag may last after everything is healed; more if a transaction was left open.
const CATCH_UP: Duration = Duration::from_secs(60);
const CATCH_UP_WITH_OPEN_TRANSACTION: Duration = Duration::from_secs(90);
/// How long the rest of a load may take, beyond a millisecond or two for each event.
const REST: Duration = Duration::from_secs(120);

/// Runs a fault once.
pub(crate) fn run(world: &mut World, fault: &dyn Fault, seed: u64, options: &Options) -> Run {
    let begun = Instant::now();
    let mut run = Run { fault: fault.name(), seed, ..Run::default() };
    if let Err(error) = perform(world, fault, options, &mut run) {
        run.error = Some(format!("{error:#}"));
    }
    run.took = begun.elapsed();
    run
}

fn perform(world: &mut World, fault: &dyn Fault, options: &Options, run: &mut Run) -> Result<()> {
    let mut plan = Plan {
        seed: run.seed,
        events: options.events,
        partitions: options.partitions,
        shape: Shape::default(),
        arguments: options.without.iter().map(|rule| format!("--kafka-without={rule}")).collect(),
        arguments_of: Vec::new(),
        through_kafka_proxy: false,
        through_postgres_proxy: false,
        storm: Duration::from_secs(options.storm_seconds),
        leaves_a_transaction_open: false,
    };
    fault.prepare(&mut plan);
    let mut scene = Scene::set(world, plan, Load::default(), fault.name())?;
    let Struck { landed, violations } = fault.strike(&mut scene).context("strike")?;
    run.landed = landed;
    run.violations = violations;
    scene.note(if landed { "landed" } else { "did not land" });
    let evidence = settle(&mut scene, run)?;
    for checker in CHECKERS {
        if let Some(found) = (checker.check)(&evidence) {
            run.checked.insert(checker.invariant, found);
        }
    }
    run.schedule = std::mem::take(&mut scene.schedule);
    Ok(())
}

/// Heals, lets the rest of the load come, waits until nothing is left to do, stops everything, and looks.
fn settle(scene: &mut Scene<'_>, run: &mut Run) -> Result<Evidence> {
    scene.heal().context("heal")?;
    let healed = Instant::now();
    let allowed = if scene.plan.leaves_a_transaction_open { CATCH_UP_WITH_OPEN_TRANSACTION } else { CATCH_UP };
    let caught_up = scene.wait(allowed, at_rest)?;
    let within = caught_up.then(|| healed.elapsed().saturating_sub(QUIET));
    scene.feed(usize::MAX)?;
    let rest = REST + Duration::from_millis(5) * u32::try_from(scene.feeder.len()).unwrap_or(u32::MAX);
    if !scene.wait(rest, at_rest)? {
        run.violations.push(format!("not at rest {rest:?} after the load ended"));
    }
    for member in &mut scene.members {
        if let Err(error) = member.end() {
            run.violations.push(format!("{error:#}"));
        }
    }
    let partitions = PartitionCount::new(scene.plan.partitions).context("at least one partition")?;
    Ok(Evidence {
        sent: scene.feeder.load().records.clone(),
        log: watch::read_all(&scene.settings, partitions)?,
        watched: Some(scene.watch.stop()),
        hanging: Some(watch::hanging(&scene.settings, partitions)?),
        caught_up: Some(Liveness { within, allowed }),
    })
}

/// Whether nothing has come for a while, and every service has processed all that has.
pub(crate) fn at_rest(scene: &mut Scene<'_>) -> Result<bool> {
    if scene.watch.quiet_for() < QUIET {
        return Ok(false);
    }
    let ends = scene.watch.ends();
    let partitions = PartitionCount::new(scene.plan.partitions).context("at least one partition")?;
    for (group, inputs) in groups() {
        // While a transaction is under way the broker does not say.
        let Ok(committed) = watch::committed(&scene.settings, group, inputs, partitions) else { return Ok(false) };
        if committed.iter().any(|(place, next)| ends.get(place).is_some_and(|end| next < end)) {
            return Ok(false);
        }
    }
    let Ok(watermarks) = scene.watermarks() else { return Ok(false) };
    Ok(PROJECTED.iter().all(|topic| {
        let of_topic = ends.iter().filter(|((of, _), _)| of == topic);
        of_topic.into_iter().all(|(place, end)| watermarks.get(place).is_some_and(|next| next >= end))
    }))
}
