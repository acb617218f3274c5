//! `hop-latency`, one hop: what `tasuki scoring` adds between the broker's receipt of an activity record and the score
//! at a consumer that reads committed records, at 2,000 events a second.
//!
//! The load is open: each record has its instant, and is sent then whether or not earlier ones have come back. Latency
//! counts from the broker's acknowledgement, and beside it from the instant at which the record was to be sent.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use prost::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::json;
use tasuki_wire::v1;

use super::Bench;
use super::cluster::PARTITIONS;
use super::feed::{Acknowledged, Pace, Steady};
use super::load::{Load, number_of};
use super::process::Process;
use super::report::{Figure, Reach, quantile};
use super::subject::{Kind, Place, float};

const RATE: u32 = 2_000;
const LEADS: u64 = 20_000;
/// Left out at the beginning (the service starts meanwhile), and measured, in seconds; the latter at scale 1.
const WARM_UP: u32 = 15;
const MEASURED: u32 = 60;

/// Measures one hop of the real service.
pub(super) fn measure(bench: &Bench, done: &mut dyn FnMut(Figure)) -> anyhow::Result<()> {
    let prefix = "hop.";
    bench.cluster.make_installation(prefix)?;
    let seconds = WARM_UP + bench.scaled_seconds(MEASURED);
    let load = Load::new(LEADS, super::now_ms());
    let place = Place {
        kind: Kind::Scoring,
        prefix: prefix.to_owned(),
        application: "hop".to_owned(),
        start_ms: load.start_ms,
        versions: 0,
        heap: None,
        metrics_port: 0,
    };
    let mut process = place.start(bench)?;
    let consumer = from_here_on(&bench.cluster.servers, &place.output())?;
    bench.say(&format!("one hop at {RATE} events/s, {seconds} s"));
    let pace = Pace { rate: RATE, first: 0, most: RATE * seconds };
    let begun = Instant::now() + Duration::from_millis(500);
    let (own, broker) = (process.cpu()?, bench.cluster.cpu());
    let steady = Steady::start(&bench.cluster.servers, &place.input(), load, pace, begun)?;
    let acknowledged = steady.acknowledged();
    let received = receive(&consumer, &mut process, pace, begun)?;
    steady.ended()?;
    let took = begun.elapsed().as_secs_f64();
    let own = (process.cpu()? - own) / took;
    let broker = bench.cluster.cpu().zip(broker).map(|(now, before)| (now - before) / took);
    process.kill()?;
    bench.cluster.delete_topics(|name| name.starts_with(prefix))?;
    done(figure(&received, &acknowledged, pace, own, broker)?);
    Ok(())
}

fn from_here_on(servers: &str, topic: &str) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "bench-hop")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::from(PARTITIONS) {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// When the first score that follows from each record came, after `begun`.
fn receive(
    consumer: &BaseConsumer,
    process: &mut Process,
    pace: Pace,
    begun: Instant,
) -> anyhow::Result<Vec<Option<Duration>>> {
    let mut received: Vec<Option<Duration>> = vec![None; usize::try_from(pace.most)?];
    let (mut missing, mut last) = (received.len(), Instant::now());
    while missing > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let now = begun.elapsed();
                let score = v1::ScoreRecord::decode(message.payload().unwrap_or_default())?;
                let cause = score.meta.map(|meta| meta.cause_id).unwrap_or_default();
                let number = number_of(&cause).and_then(|number| usize::try_from(number).ok());
                if let Some(slot) = number.and_then(|number| received.get_mut(number)).filter(|slot| slot.is_none()) {
                    *slot = Some(now);
                    missing -= 1;
                }
                last = Instant::now();
            }
            Some(Err(error)) => return Err(error).context("reading scores"),
            None => process.must_run()?,
        }
        // Some change nothing (the same profile again) and have no score.
        if begun.elapsed() > pace.due(pace.most) && last.elapsed() > Duration::from_secs(3) {
            if missing > received.len() / 10 {
                bail!("{missing} of {} records led to no score; {}", received.len(), process.last_words());
            }
            break;
        }
    }
    Ok(received)
}

fn figure(
    received: &[Option<Duration>],
    acknowledged: &Acknowledged,
    pace: Pace,
    own: f64,
    broker: Option<f64>,
) -> anyhow::Result<Figure> {
    let (mut from_receipt, mut from_schedule) = (Vec::new(), Vec::new());
    let left_out = usize::try_from(pace.rate * WARM_UP)?;
    for (index, received) in received.iter().enumerate().skip(left_out) {
        let (Some(received), Some(acknowledged)) = (received, acknowledged.at(index)) else { continue };
        // The consumer may be told before the producer is.
        from_receipt.push(received.saturating_sub(acknowledged).as_secs_f64() * 1e3);
        from_schedule.push(received.saturating_sub(pace.due(u32::try_from(index)?)).as_secs_f64() * 1e3);
    }
    let p99 = quantile(&from_receipt, 990);
    let told = format!(
        "p99; p50 {:.0} ms; from the instant of sending {:.0} and {:.0} ms; {} events/s for {:.0} s; CPU: scoring {own:.2}, broker {} of a core",
        quantile(&from_receipt, 500),
        quantile(&from_schedule, 500),
        quantile(&from_schedule, 990),
        pace.rate,
        float(u64::try_from(from_receipt.len())?) / f64::from(pace.rate),
        broker.map_or("-".to_owned(), |broker| format!("{broker:.2}")),
    );
    let hundredths: Vec<f64> = (1..=100).map(|percent| quantile(&from_receipt, percent * 10)).collect();
    Ok(Figure::new("hop-latency", p99, "ms", Some(Reach::Below(70.0)), hundredths)
        .telling(told)
        .with("samples_are", json!("percentiles 1 to 100 of all latencies"))
        .with("p50", json!(quantile(&from_receipt, 500)))
        .with("p99", json!(p99))
        .with("p999", json!(quantile(&from_receipt, 999)))
        .with("p50_from_schedule", json!(quantile(&from_schedule, 500)))
        .with("p99_from_schedule", json!(quantile(&from_schedule, 990)))
        .with("measured", json!(from_receipt.len())))
}
