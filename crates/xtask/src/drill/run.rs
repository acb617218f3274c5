//! One run: set the scene, strike, heal, wait until all is at rest, check.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tasuki_kafka::KafkaLog;
use tasuki_service::{Clock, SystemClock};
use tasuki_wire::{PartitionCount, Topic};

use super::attempts::Attempt;
use super::check::CHECKERS;
use super::embedded::clients::Ledger;
use super::evidence::{Accounts, Evidence, Liveness};
use super::fault::{Fault, Struck};
use super::load::Shape;
use super::report::Run;
use super::scene::{Plan, Scene};
use super::service::{PROJECTED, Service, groups};
use super::world::World;
use super::{Options, load, replay, tables, watch};

/// How long nothing may come before all counts as caught up.
const QUIET: Duration = Duration::from_millis(1_500);
/// The same before it counts as at rest for good: a user id without an address waits for one twice three seconds.
const QUIET_FOR_GOOD: Duration = Duration::from_millis(4_500);
/// How long lag may last after everything is healed; more if a transaction was left open.
const CATCH_UP: Duration = Duration::from_secs(60);
const CATCH_UP_WITH_OPEN_TRANSACTION: Duration = Duration::from_secs(90);
/// How long the rest of a load may take, beyond some milliseconds for each record.
const REST: Duration = Duration::from_secs(120);

/// Tries a fault once.
pub(crate) fn run(world: &mut World, fault: &dyn Fault, attempt: Attempt, options: &Options) -> Run {
    let begun = Instant::now();
    let mut run = Run { fault: fault.name(), seed: attempt.seed, ..Run::default() };
    if let Err(error) = perform(world, fault, attempt, options, &mut run) {
        run.error = Some(format!("{error:#}"));
    }
    run.took = begun.elapsed();
    run
}

/// What a run consists of.
pub(crate) fn plan(fault: &dyn Fault, attempt: Attempt, options: &Options) -> Plan {
    let mut plan = Plan {
        attempt,
        brokers: options.brokers.unwrap_or(fault.brokers()),
        partitions: options.partitions,
        shape: Shape::default(),
        arguments: options.without.iter().map(|rule| format!("--kafka-without={rule}")).collect(),
        arguments_of: Vec::new(),
        through_kafka_proxy: false,
        through_postgres_proxy: false,
        with_ingest: false,
        storm: Duration::from_secs(options.storm_seconds),
        leaves_a_transaction_open: false,
    };
    fault.prepare(&mut plan);
    plan
}

fn perform(world: &mut World, fault: &dyn Fault, attempt: Attempt, options: &Options, run: &mut Run) -> Result<()> {
    let plan = plan(fault, attempt, options);
    let load = load::load(attempt.seed, attempt.events, plan.shape, SystemClock.now().as_millis());
    let mut scene = Scene::set(world, plan, load, fault.name()).context("set the scene")?;
    scene.note("all services are ready");
    let Struck { landed, violations } = fault.strike(&mut scene).context("strike")?;
    run.landed = landed;
    run.violations = violations;
    scene.note(if landed { "landed" } else { "did not land" });
    // From here on whatever does not work is what the fault did, not what kept it from happening.
    let evidence = settle(&mut scene, run);
    run.schedule = std::mem::take(&mut scene.schedule);
    match evidence {
        Ok(evidence) => {
            for checker in CHECKERS {
                if let Some(found) = (checker.check)(&evidence) {
                    run.checked.insert(checker.invariant, found);
                }
            }
        }
        Err(error) => run.violations.push(format!("does not come to rest: {error:#}")),
    }
    Ok(())
}

/// Heals, lets the rest of the load come, waits until nothing is left to do, stops everything, and looks.
fn settle(scene: &mut Scene<'_>, run: &mut Run) -> Result<Evidence> {
    scene.heal().context("heal")?;
    let healed = Instant::now();
    let ledger = scene.clients.take().map(|mut clients| clients.stop());
    let allowed = if scene.plan.leaves_a_transaction_open { CATCH_UP_WITH_OPEN_TRANSACTION } else { CATCH_UP };
    let caught_up = scene.wait(allowed + QUIET, |scene| at_rest(scene, QUIET))?;
    let within = caught_up.then(|| healed.elapsed().saturating_sub(QUIET));
    scene.note(format!("caught up: {caught_up}"));
    scene.feed(usize::MAX)?;
    let records = u32::try_from(scene.feeder.len()).unwrap_or(u32::MAX);
    let rest = REST + Duration::from_millis(5) * records;
    if !scene.wait(rest, |scene| at_rest(scene, QUIET_FOR_GOOD))? {
        run.violations.push(format!("not at rest {rest:?} after the load ended"));
    }
    scene.note(format!("at rest, {records} records sent, {} seen", scene.watch.records()));
    run.figures.insert("records_sent", f64::from(records));
    let acknowledged = u32::try_from(scene.feeder.acknowledged()).unwrap_or(u32::MAX);
    run.figures.insert("records_acknowledged", f64::from(acknowledged));
    run.figures.insert("caught_up_seconds", within.map_or(-1.0, |within| within.as_secs_f64()));
    let accounts = ledger.as_ref().map(|ledger| accounts(scene, ledger)).transpose()?;
    run.violations.extend(scene.end()?);
    let partitions = partitions(scene)?;
    let log = watch::read_all(&scene.settings, partitions)?;
    scene.wait(Duration::from_secs(10), |scene| Ok(scene.watch.records() >= log.len()))?;
    let watched = scene.watch.stop();
    let hanging = watch::hanging(&scene.settings, partitions)?;
    let settings = scene.settings.clone();
    let (tables, watermarks, fingerprints) = scene.world.runtime.block_on(async {
        let (tables, watermarks) =
            (tables::read(&scene.database_url).await?, tables::watermarks(&scene.database_url).await?);
        let kafka = KafkaLog::open(settings).await.context("open the log")?;
        let reader = Box::new(kafka.reader().context("a reader")?);
        let fingerprints = replay::fingerprints(reader, partitions, &scene.database_url, &log).await?;
        Ok::<_, anyhow::Error>((tables, watermarks, fingerprints))
    })?;
    scene.note("read again from the begin");
    let mut sent = scene.feeder.load().records.clone();
    sent.extend(ledger.iter().flat_map(|ledger| ledger.sent(&log)));
    Ok(Evidence {
        sent,
        missing: ledger.iter().flat_map(|ledger| ledger.missing(&log)).collect(),
        accounts,
        log,
        watched: Some(watched),
        hanging: Some(hanging),
        caught_up: Some(Liveness { within, allowed }),
        tables: Some(tables),
        watermarks,
        fingerprints: Some(fingerprints),
    })
}

/// What ingest says on its metrics, beside what its clients know.
fn accounts(scene: &mut Scene<'_>, ledger: &Ledger) -> Result<Accounts> {
    let text = scene.member(Service::Ingest, 0).metrics()?;
    let sum = |name: &str| {
        let start = format!("tasuki_ingest_{name}_events_total");
        let of_name = text.lines().filter(|line| line.starts_with(&start));
        of_name.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let booked = ["accepted", "bad", "deduplicated", "refused", "spooled", "dropped"];
    Ok(Accounts {
        received: sum("received"),
        booked: booked.map(|name| (name.to_owned(), sum(name))).into(),
        acknowledged: ledger.acknowledged_count(),
    })
}

/// Whether nothing has come for so long, and every service has processed all that has.
fn at_rest(scene: &mut Scene<'_>, quiet: Duration) -> Result<bool> {
    scene.start_again_who_gave_up()?;
    if scene.watch.quiet_for() < quiet {
        return Ok(false);
    }
    for (group, inputs) in groups() {
        if !lag_is_gone(scene, group, inputs)? {
            return Ok(false);
        }
    }
    let Ok(watermarks) = scene.world.runtime.block_on(tables::watermarks(&scene.database_url)) else {
        return Ok(false);
    };
    let ends = scene.watch.ends();
    let mut projected = ends.iter().filter(|((topic, _), _)| PROJECTED.contains(topic));
    Ok(projected.all(|(place, end)| watermarks.get(place).is_some_and(|next| next >= end)))
}

/// Whether a group has processed all that the watch has seen of what it reads.
pub(crate) fn lag_is_gone(scene: &mut Scene<'_>, group: &str, inputs: &[Topic]) -> Result<bool> {
    let ends = scene.watch.ends();
    // While a transaction is under way the broker does not say.
    let Ok(committed) = scene.groups.committed(group, inputs) else { return Ok(false) };
    Ok(committed.iter().all(|(place, next)| ends.get(place).is_none_or(|end| next >= end)))
}

fn partitions(scene: &Scene<'_>) -> Result<PartitionCount> {
    PartitionCount::new(scene.plan.partitions).context("at least one partition")
}
