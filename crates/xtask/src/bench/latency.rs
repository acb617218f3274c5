//! `latency-embedded`, `latency-kafka`: from the answer to a tracker to the row in Postgres, on an idle machine: one
//! event at a time.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;
use tasuki_tests::Log;

use super::Bench;
use super::report::{Figure, quantile};
use super::whole::Running;

/// The lead of this address has a score: the whole way through ingest, identity, scoring and projection.
const SCORED: &str = "select count(*) from tasuki.lead_current where email = $1 and engagement_mp > 0";
/// It has an owner: the way through qualification, handoff and the desk as well.
const ASSIGNED: &str = "select count(*) from tasuki.lead_current where email = $1 and owner_id <> ''";
/// The first ones warm up connections and caches and are left out.
const WARM_UP: u32 = 20;

pub(super) fn measure(bench: &Bench, log: Log, done: &mut dyn FnMut(Figure)) -> anyhow::Result<()> {
    let name = match log {
        Log::Kafka => "latency-kafka",
        Log::Embedded => "latency-embedded",
    };
    let running = Running::start(log)?;
    let agent = ureq::Agent::new_with_defaults();
    let (mut scored, mut assigned) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + bench.scaled_count(200) {
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
        let to_score = wait(&running, SCORED, &email, acknowledged)?;
        let to_owner = wait(&running, ASSIGNED, &email, acknowledged)?;
        if number >= WARM_UP {
            scored.push(to_score.as_secs_f64() * 1e3);
            assigned.push(to_owner.as_secs_f64() * 1e3);
        }
    }
    running.stop()?;
    for (what, samples) in [("ack to score in Postgres", scored), ("ack to owner in Postgres", assigned)] {
        let (p50, p99) = (quantile(&samples, 500), quantile(&samples, 990));
        let told = format!("p50; p99 {p99:.0} ms; {} samples, one at a time", samples.len());
        done(Figure::new(format!("{name}: {what}"), p50, "ms", None, samples).telling(told).with("p99", json!(p99)));
    }
    Ok(())
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
