//! `pipeline-capacity`: how many events a second go all the way, from HTTP to rows in Postgres, when as many are sent as
//! are taken; and who uses the CPU meanwhile, which tells what limits.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;
use tasuki_tests::Log;

use super::Bench;
use super::report::Figure;
use super::whole::{Running, Shares, wait_for};

const ROWS: &str = "select count(*) from tasuki.lead_timeline where source = $1";
const VERSIONS: &str = "select coalesce(sum(scores_version), 0)::int8 from tasuki.lead_current where email like $1";
const SENDERS: u32 = 4;
const BATCH: u32 = 100;
const LEADS: u32 = 5_000;
/// At scale 1.
const EVENTS: u32 = 150_000;

/// Measures one log.
pub(super) fn measure(bench: &Bench, log: Log, done: &mut dyn FnMut(Figure)) -> anyhow::Result<()> {
    let name = match log {
        Log::Kafka => "pipeline-capacity",
        Log::Embedded => "pipeline-capacity: embedded log",
    };
    let running = Running::start(log)?;
    let total = bench.scaled_count(EVENTS).div_ceil(BATCH) * BATCH;
    // Connections, caches and the JVM of the broker.
    let warm_up = (total / 5).div_ceil(BATCH) * BATCH;
    bench.say(&format!("{name}: {warm_up} events to warm up"));
    go(&running, 0, warm_up)?;
    bench.say(&format!("{name}: {total} events as fast as they are taken"));
    let measured = go(&running, warm_up, total);
    running.stop()?;
    let Measured { through, accepted, shares } = measured?;
    let busy = shares.tasuki + shares.kafka + shares.postgres + shares.load;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let told = format!(
        "{total} events of {LEADS} leads; acknowledged at {accepted:.0} events/s; {}; {busy:.2} of {cores} cores busy",
        shares.told()
    );
    let figure = Figure::new(name, through, "events/s", None, vec![through])
        .telling(told)
        .with("acknowledged_per_second", json!(accepted))
        .with("cores", shares.json());
    done(figure);
    Ok(())
}

struct Measured {
    /// Events a second, the last one's row and score included.
    through: f64,
    accepted: f64,
    shares: Shares,
}

/// Sends so many events, from this number on, and waits for all of their rows.
fn go(running: &Running, first: u32, events: u32) -> anyhow::Result<Measured> {
    let before = running.shares()?;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let senders: Vec<_> =
            (0..SENDERS).map(|sender| scope.spawn(move || send(running, sender, first, events))).collect();
        senders.into_iter().try_for_each(|sender| sender.join().unwrap_or_else(|_| bail!("a sender panicked")))
    })?;
    let accepted = f64::from(events) / started.elapsed().as_secs_f64();
    wait_for(running, ROWS, "website", first + events, Duration::from_secs(600))?;
    // Each event has changed its lead's score; identity adds one record per lead.
    wait_for(running, VERSIONS, "person-%", first + events, Duration::from_secs(600))?;
    let seconds = started.elapsed().as_secs_f64();
    let shares = running.shares()?.since(before, seconds);
    Ok(Measured { through: f64::from(events) / seconds, accepted, shares })
}

/// Every `SENDERS`-th batch of page views; each names its lead by e-mail address.
fn send(running: &Running, sender: u32, first: u32, events: u32) -> anyhow::Result<()> {
    let agent = ureq::Agent::new_with_defaults();
    let step = usize::try_from(SENDERS)?;
    for batch in (sender..events / BATCH).step_by(step) {
        let events: Vec<_> = (0..BATCH)
            .map(|index| {
                let number = first + batch * BATCH + index;
                let lead = number % LEADS;
                json!({
                    "type": "page", "messageId": format!("page-{number}"), "anonymousId": format!("visitor-{lead}"),
                    "context": {"traits": {"email": format!("person-{lead}@company-{lead}.example")}},
                    "properties": {"path": format!("/products/{}", number % 50)},
                })
            })
            .collect();
        // What is told to come back later is sent again, as trackers do.
        let started = Instant::now();
        while let Err(error) = running.send(&agent, &json!({ "batch": events })) {
            if started.elapsed() > Duration::from_secs(60) {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}
