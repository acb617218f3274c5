//! `hop-latency`, the whole pipeline: from the answer to a tracker to the lead's new score in Postgres, at 2,000 events
//! a second.
//!
//! The load is open: 100 requests a second of 20 page views, each request with its instant. Nineteen of the events are
//! those of known leads in turn; one is that of a lead that does nothing else while latency is measured. When all is
//! done, the last change of such a lead's row is what that event led to, through ingest, identity, scoring and
//! projection; Postgres tells when it was committed, so that nobody has to look all the time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use tasuki_tests::Log;

use super::Bench;
use super::report::{Figure, Reach, quantile};
use super::whole::{Running, wait_for};

const REQUESTS: u32 = 100;
const EVENTS_PER_REQUEST: u32 = 20;
const SENDERS: u32 = 16;
const LEADS: u32 = 5_000;
/// Left out at the beginning, and measured, in seconds; the latter at scale 1.
const WARM_UP: u32 = 20;
const MEASURED: u32 = 60;

const TIMELINE: &str = "select count(*) from tasuki.lead_timeline where source = $1";
const SCORED: &str = "select count(*) from tasuki.lead_current where email like $1 and scores_version > 0";
/// Grows with every record that concerns a probe.
const VERSIONS: &str =
    "select coalesce(sum(activity_version + scores_version), 0)::int8 from tasuki.lead_current where email like $1";
const COMMITTED: &str = "select email, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::float8 \
                         from tasuki.lead_current where email like 'probe-%'";

/// A request that was answered: its number, and in milliseconds since 1970 when it was due and when the answer came.
#[derive(Clone, Copy, Debug)]
struct Answered {
    number: u32,
    due_ms: f64,
    acknowledged_ms: f64,
}

/// Measures the whole pipeline on Kafka.
pub(super) fn measure(bench: &Bench, done: &mut dyn FnMut(Figure)) -> anyhow::Result<()> {
    let seconds = bench.scaled_seconds(MEASURED);
    let running = Running::start(Log::Kafka)?;
    let probes = REQUESTS * seconds;
    bench.say(&format!("making {LEADS} leads and {probes} probes known"));
    make_known(&running, probes)?;
    bench.say(&format!("{} events/s over HTTP, {} s", REQUESTS * EVENTS_PER_REQUEST, WARM_UP + seconds));
    // Requests of the warm-up have no probe.
    let schedule = Schedule::new(REQUESTS * WARM_UP);
    let before = running.shares()?;
    let answered = Mutex::new(Vec::new());
    let total = REQUESTS * (WARM_UP + seconds);
    std::thread::scope(|scope| {
        let sender = |sender| send(&running, schedule, sender, total, &answered);
        let senders: Vec<_> = (0..SENDERS).map(|number| scope.spawn(move || sender(number))).collect();
        senders.into_iter().try_for_each(|sender| sender.join().unwrap_or_else(|_| bail!("a sender panicked")))
    })?;
    let shares = running.shares()?.since(before, f64::from(WARM_UP + seconds));
    wait_for(&running, TIMELINE, "website", LEADS + probes + total * EVENTS_PER_REQUEST, Duration::from_secs(60))?;
    settle(&running)?;
    let answered = answered.into_inner().map_err(|_| anyhow!("a sender panicked"))?;
    let rows: Vec<(String, f64)> = running.runtime.block_on(sqlx::query_as(COMMITTED).fetch_all(&running.database))?;
    let (from_answer, from_schedule) = latencies(&answered, &rows, schedule.first)?;
    running.stop()?;
    let p99 = quantile(&from_answer, 990);
    let told = format!(
        "p99; p50 {:.0} ms; from the instant of sending {:.0} and {:.0} ms; {} events/s in requests of {EVENTS_PER_REQUEST}; {} samples; {}",
        quantile(&from_answer, 500),
        quantile(&from_schedule, 500),
        quantile(&from_schedule, 990),
        REQUESTS * EVENTS_PER_REQUEST,
        from_answer.len(),
        shares.told()
    );
    let hundredths: Vec<f64> = (1..=100).map(|percent| quantile(&from_answer, percent * 10)).collect();
    let figure = Figure::new("hop-latency: whole pipeline", p99, "ms", Some(Reach::Below(400.0)), hundredths)
        .telling(told)
        .with("samples_are", json!("percentiles 1 to 100 of all latencies"))
        .with("p50", json!(quantile(&from_answer, 500)))
        .with("p99", json!(p99))
        .with("p50_from_schedule", json!(quantile(&from_schedule, 500)))
        .with("p99_from_schedule", json!(quantile(&from_schedule, 990)))
        .with("cores", shares.json());
    done(figure);
    Ok(())
}

/// When requests are due.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    begun: Instant,
    /// The same instant, in milliseconds since 1970: Postgres runs by the clock of this machine.
    begun_ms: f64,
    /// The first request with a probe.
    first: u32,
}

impl Schedule {
    fn new(first: u32) -> Self {
        let soon = Duration::from_millis(500);
        Self { begun: Instant::now() + soon, begun_ms: super::now_ms() as f64 + soon.as_secs_f64() * 1e3, first }
    }

    fn at_ms(self, instant: Instant) -> f64 {
        self.begun_ms + instant.saturating_duration_since(self.begun).as_secs_f64() * 1e3
    }
}

fn page_view(who: &str, company: u32, id: &str, number: u32) -> Value {
    json!({
        "type": "page", "messageId": id, "anonymousId": format!("visitor-{who}"),
        "context": {"traits": {"email": format!("{who}@company-{company}.example")}},
        "properties": {"path": format!("/products/{}", number % 50)},
    })
}

/// One event of every lead, so that latency is that of known ones.
fn make_known(running: &Running, probes: u32) -> anyhow::Result<()> {
    let agent = ureq::Agent::new_with_defaults();
    let leads = (0..LEADS).map(|lead| (format!("lead-{lead}"), lead));
    let all: Vec<_> = leads.chain((0..probes).map(|probe| (format!("probe-{probe}"), probe))).collect();
    for batch in all.chunks(100) {
        let events: Vec<_> =
            batch.iter().map(|(who, company)| page_view(who, *company, &format!("first-{who}"), 0)).collect();
        let begun = Instant::now();
        while let Err(error) = running.send(&agent, &json!({ "batch": events })) {
            if begun.elapsed() > Duration::from_secs(60) {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    wait_for(running, TIMELINE, "website", LEADS + probes, Duration::from_secs(120))?;
    wait_for(running, SCORED, "probe-%", probes, Duration::from_secs(60))?;
    settle(running)
}

/// Waits until nothing has changed on a probe for two seconds.
fn settle(running: &Running) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (mut last, mut since) = (-1, Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        let now = running.number(VERSIONS, "probe-%")?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("leads still change a minute after the last event");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Every `SENDERS`-th request at its instant.
fn send(
    running: &Running,
    schedule: Schedule,
    sender: u32,
    total: u32,
    answered: &Mutex<Vec<Answered>>,
) -> anyhow::Result<()> {
    let agent = ureq::Agent::new_with_defaults();
    let step = usize::try_from(SENDERS)?;
    for number in (sender..total).step_by(step) {
        let probe = number.checked_sub(schedule.first);
        let known = EVENTS_PER_REQUEST - u32::from(probe.is_some());
        let event = |index: u32| {
            let event = number * EVENTS_PER_REQUEST + index;
            let lead = event % LEADS;
            page_view(&format!("lead-{lead}"), lead, &format!("page-{event}"), event)
        };
        let mut events: Vec<_> = (0..known).map(event).collect();
        events
            .extend(probe.map(|probe| page_view(&format!("probe-{probe}"), probe, &format!("probe-{probe}"), number)));
        let body = json!({ "batch": events });
        let due = schedule.begun + Duration::from_secs_f64(f64::from(number) / f64::from(REQUESTS));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let due_ms = schedule.at_ms(due);
        running.send(&agent, &body).with_context(|| format!("request {number}"))?;
        let one = Answered { number, due_ms, acknowledged_ms: schedule.at_ms(Instant::now()) };
        answered.lock().map_err(|_| anyhow!("a sender panicked"))?.push(one);
    }
    Ok(())
}

/// Of every probe, from the answer and from the instant of sending, in milliseconds.
fn latencies(answered: &[Answered], rows: &[(String, f64)], first: u32) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let (mut from_answer, mut from_schedule) = (Vec::new(), Vec::new());
    let mut requests: Vec<_> = answered.iter().filter(|answered| answered.number >= first).collect();
    requests.sort_by_key(|answered| answered.number);
    for (email, committed_ms) in rows {
        let probe = email.split_once('@').and_then(|(name, _)| name.strip_prefix("probe-")?.parse::<u32>().ok());
        let probe = probe.with_context(|| format!("a probe called {email}"))?;
        let request = requests.binary_search_by_key(&(probe + first), |answered| answered.number);
        let request = requests[request.map_err(|_| anyhow!("probe {probe} was not sent"))?];
        // The row may be there before the answer has reached the tracker.
        from_answer.push((committed_ms - request.acknowledged_ms).max(0.0));
        from_schedule.push(committed_ms - request.due_ms);
    }
    Ok((from_answer, from_schedule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_measured_from_the_answer_to_its_own_request() {
        let answered = [(7, 1_000.0, 1_010.0), (6, 990.0, 1_001.0), (5, 980.0, 985.0)]
            .map(|(number, due_ms, acknowledged_ms)| Answered { number, due_ms, acknowledged_ms });
        let rows =
            [("probe-1@company-1.example".to_owned(), 1_050.0), ("probe-0@company-0.example".to_owned(), 1_000.0)];
        let measured = latencies(&answered, &rows, 6).unwrap();
        assert_eq!(measured, (vec![40.0, 0.0], vec![50.0, 10.0]));
        assert!(latencies(&answered, &[("probe-9@x".to_owned(), 0.0)], 6).is_err());
    }
}
