//! `scoring-publish`: how long after a playbook was published a million leads are scored by it, while the service runs.
//!
//! From the broker's acknowledgement of the publication until the last lead's score and state are committed, as the service
//! counts them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use prost::Message;
use serde_json::json;
use tasuki_domain::{EventId, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_stream::Emitted;
use tasuki_wire::{Head, Topic, v1};
use uuid::Uuid;

use super::Bench;
use super::process::Process;
use super::report::{Figure, Reach, median};
use super::subject::float;

/// Seconds for a million leads.
const WANTED: f64 = 10.0;
const TIMES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(180);
/// As the service's metrics name it.
const REVISED: &str = "tasuki_kafka_revised_states_total";

/// One publication.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    seconds: f64,
    /// CPU seconds of the service.
    cpu: f64,
}

/// Publishes one playbook after the other to a running service that knows so many leads.
pub(super) fn measure(
    bench: &Bench,
    prefix: &str,
    process: &mut Process,
    metrics: SocketAddr,
    leads: u64,
) -> anyhow::Result<Vec<Published>> {
    let mut all = Vec::new();
    let mut before = revised(metrics)?;
    for version in 2..2 + TIMES {
        bench.say(&format!("publishing version {version} to {leads} leads"));
        bench.cluster.publish(prefix, publication(version))?;
        let (begun, cpu) = (Instant::now(), process.cpu()?);
        let done = loop {
            process.must_run()?;
            let now = revised(metrics)?;
            if now >= before + leads {
                break now;
            }
            if begun.elapsed() > PATIENCE {
                bail!("{} of {leads} leads are scored anew; {}", now - before, process.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        before = done;
        all.push(Published { seconds: begun.elapsed().as_secs_f64(), cpu: process.cpu()? - cpu });
    }
    Ok(all)
}

/// The built-in playbook under another version, with other points for what is done most.
fn publication(version: u32) -> Emitted {
    let text = Playbook::DEFAULT.replacen("version = 1", &format!("version = {version}"), 1).replacen(
        "points = 1\n",
        &format!("points = {version}\n"),
        1,
    );
    let at = Timestamp::from_millis(super::now_ms());
    let head = Head {
        event_id: EventId::new(Uuid::from_u64_pair(at.as_millis().cast_unsigned(), u64::from(version))),
        occurred_at: at,
        received_at: at,
        cause: None,
        lead: None,
        version: Version::default(),
    };
    let published = v1::PlaybookPublished {
        version,
        name: "default".to_owned(),
        text,
        by: "bench".to_owned(),
        because: v1::PublishedBecause::Published.into(),
    };
    let event = Some(v1::playbook_record::Event::Published(published));
    let record = v1::PlaybookRecord { meta: Some(head.to_meta()), event };
    Emitted { topic: Topic::Playbooks, key: version.to_string(), payload: record.encode_to_vec() }
}

/// How many states the service has brought up to date so far.
fn revised(metrics: SocketAddr) -> anyhow::Result<u64> {
    let text =
        ureq::get(format!("http://{metrics}/metrics")).call().context("its metrics")?.body_mut().read_to_string()?;
    let count = |line: &str| line.split_whitespace().last().and_then(|number| number.parse::<u64>().ok());
    Ok(text.lines().filter(|line| line.starts_with(REVISED)).filter_map(count).sum())
}

/// The figure; `all` is empty if it could not be measured.
pub(super) fn figure(leads: u64, all: &[Published], failures: Vec<String>) -> Figure {
    let seconds: Vec<_> = all.iter().map(|one| one.seconds).collect();
    let value = if seconds.is_empty() { f64::NAN } else { median(&seconds) };
    let cpu = median(&all.iter().map(|one| one.cpu).collect::<Vec<_>>());
    let wanted = WANTED * float(leads) / 1e6;
    let told = format!(
        "from the publication until {leads} leads of 3 events and more have a score by it, one worker; {cpu:.1} CPU-seconds of it"
    );
    Figure::new("scoring-publish", value, "s", Some(Reach::Below(wanted)), seconds)
        .telling(told)
        .with("cpu_s", json!(all.iter().map(|one| one.cpu).collect::<Vec<_>>()))
        .because(failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_can_be_used() {
        let record = v1::PlaybookRecord::decode(publication(3).payload.as_slice()).unwrap();
        let Some(v1::playbook_record::Event::Published(published)) = record.event else { unreachable!("{record:?}") };
        let playbook = Playbook::parse(&published.text).unwrap();
        assert_eq!((playbook.version().get(), playbook.rules()[0].points.get()), (3, 3_000));
        assert_ne!(Playbook::DEFAULT, published.text);
    }
}
