//! How many events a second go all the way, from HTTP to rows in Postgres, when as many are sent as are taken.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;

use super::Running;
use super::report::Measured;

const ROWS: &str = "select count(*) from tasuki.lead_timeline where source = $1";
const SENDERS: u32 = 4;
const BATCH: u32 = 100;
const LEADS: u32 = 5_000;

pub(crate) fn measure(running: &Running, scale: u32) -> anyhow::Result<Vec<Measured>> {
    let total = 100_000 * scale;
    let mut through = Measured::new(running.name, "events through the whole pipeline", "events/s");
    let mut accepted = Measured::new(running.name, "events acknowledged while sending", "events/s");
    let started = Instant::now();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || send(running, sender, total))).collect();
        senders.into_iter().try_for_each(|sender| sender.join().unwrap_or_else(|_| bail!("a sender panicked")))
    })?;
    accepted.add(f64::from(total) / started.elapsed().as_secs_f64());
    loop {
        if running.number(ROWS, "website")? >= i64::from(total) {
            break;
        }
        if started.elapsed() > Duration::from_secs(900) {
            bail!("{} of {total} events after 900 s", running.number(ROWS, "website")?);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    through.add(f64::from(total) / started.elapsed().as_secs_f64());
    Ok(vec![accepted, through])
}

/// Every `SENDERS`-th batch of page views; each names its lead by e-mail address.
fn send(running: &Running, sender: u32, total: u32) -> anyhow::Result<()> {
    let agent = ureq::Agent::new_with_defaults();
    for batch in (sender..total / BATCH).step_by(SENDERS as usize) {
        let events: Vec<_> = (0..BATCH)
            .map(|index| {
                let number = batch * BATCH + index;
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
