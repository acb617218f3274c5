//! From the answer to a tracker to the row in Postgres, on an idle machine: one event at a time.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;

use super::Running;
use super::report::Measured;

/// The lead of this address has a score: the whole way through ingest, identity, scoring and projection.
const SCORED: &str = "select count(*) from tasuki.lead_current where email = $1 and engagement_mp > 0";
/// It has an owner: the way through qualification, handoff and the desk as well.
const ASSIGNED: &str = "select count(*) from tasuki.lead_current where email = $1 and owner_id <> ''";

pub(crate) fn measure(running: &Running, scale: u32) -> anyhow::Result<Vec<Measured>> {
    let agent = ureq::Agent::new_with_defaults();
    let mut scored = Measured::new(running.name, "ack to score in Postgres", "ms");
    let mut assigned = Measured::new(running.name, "ack to owner in Postgres", "ms");
    // The first ones warm up connections and caches and are left out.
    let warm_up = 20;
    for number in 0..warm_up + 200 * scale {
        let email = format!("person-{number}@company-{number}.example");
        let visitor = format!("visitor-{number}");
        running.send(
            &agent,
            &json!({"batch": [{
                "type": "track", "event": "Form Submitted", "messageId": format!("message-{number}"),
                "anonymousId": visitor, "userId": format!("user-{number}"),
                "properties": {"form": "demo-request", "email": email}, "traits": {"email": email}
            }]}),
        )?;
        let acknowledged = Instant::now();
        let to_score = wait(running, SCORED, &email, acknowledged)?;
        let to_owner = wait(running, ASSIGNED, &email, acknowledged)?;
        if number >= warm_up {
            scored.add(to_score.as_secs_f64() * 1_000.0);
            assigned.add(to_owner.as_secs_f64() * 1_000.0);
        }
    }
    Ok(vec![scored, assigned])
}

fn wait(running: &Running, query: &'static str, email: &str, since: Instant) -> anyhow::Result<Duration> {
    loop {
        if running.number(query, email)? > 0 {
            return Ok(since.elapsed());
        }
        if since.elapsed() > Duration::from_secs(30) {
            bail!("not there after 30 s: {query}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
