//! Writes the records that ingest would write, with as many under way, and does nothing else. Tells at the end, as one
//! line of JSON, what it did and what that cost.

#![allow(clippy::print_stdout, reason = "the report")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use ingest_peers::Record;
use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde_json::json;
use tasuki_testkit::tracker::{Request, Run};

/// Different requests that records are made of.
const REQUESTS: u64 = 64;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    servers: String,
    #[arg(long)]
    topic: String,
    /// Part of the ids.
    #[arg(long)]
    run: u32,
    /// Records that are sent at once.
    #[arg(long)]
    together: usize,
    /// Records under way at most.
    #[arg(long)]
    under_way: u64,
    /// Records a second; left out, as many as are taken.
    #[arg(long)]
    rate: Option<u32>,
    /// Not measured, at the beginning.
    #[arg(long)]
    warm_up_ms: u64,
    /// Measured.
    #[arg(long)]
    measured_ms: u64,
}

struct Reports {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    under_way: AtomicU64,
    /// The sender waits until no more than so many are under way.
    enough: u64,
    sender: Thread,
    begun: Instant,
    measuring: AtomicBool,
    micros: Mutex<Vec<u32>>,
}

impl Reports {
    fn micros_since(&self) -> usize {
        usize::try_from(self.begun.elapsed().as_micros()).unwrap_or(usize::MAX)
    }
}

struct Reported(Arc<Reports>);

impl ClientContext for Reported {}

impl ProducerContext for Reported {
    /// When it was sent, in microseconds after the beginning.
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, sent: usize) {
        let reports = &self.0;
        let count = if report.is_ok() { &reports.acknowledged } else { &reports.failed };
        count.fetch_add(1, Ordering::Relaxed);
        if reports.under_way.fetch_sub(1, Ordering::AcqRel) == reports.enough + 1 {
            reports.sender.unpark();
        }
        if reports.measuring.load(Ordering::Relaxed) {
            let took = u32::try_from(reports.micros_since() - sent).unwrap_or(u32::MAX);
            reports.micros.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let at = ingest_peers::now();
    let run = Run { number: options.run, at: &at };
    let requests = (0..REQUESTS).map(|number| match options.together {
        1 => Request::single(run, number * 7_919),
        together => Request::batch(run, number, together),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut records = runtime.block_on(ingest_peers::records(requests.collect()))?;
    drop(runtime);
    let reports = Arc::new(Reports {
        acknowledged: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        under_way: AtomicU64::new(0),
        enough: options.under_way.saturating_sub(u64::try_from(options.together)?),
        sender: thread::current(),
        begun: Instant::now(),
        measuring: AtomicBool::new(false),
        micros: Mutex::default(),
    });
    let config = ingest_peers::producer(&options.servers);
    let producer = config.create_with_context::<_, ThreadedProducer<Reported>>(Reported(Arc::clone(&reports)))?;
    let mut sending = Sending { options: &options, producer, reports, number: 0, next: 0, begun: Instant::now() };
    sending.go_on(&mut records, Duration::from_millis(options.warm_up_ms))?;
    let (cpu, acknowledged, begun) = (cpu()?, sending.acknowledged(), Instant::now());
    // Latencies only where there is a rate: at saturation they are those of the queue, and cost something.
    sending.reports.measuring.store(options.rate.is_some(), Ordering::Relaxed);
    sending.go_on(&mut records, Duration::from_millis(options.warm_up_ms + options.measured_ms))?;
    let (cpu, seconds) = (self::cpu()? - cpu, begun.elapsed().as_secs_f64());
    let measured = sending.acknowledged() - acknowledged;
    sending.reports.measuring.store(false, Ordering::Relaxed);
    sending.producer.flush(Duration::from_secs(10))?;
    let mut micros = std::mem::take(&mut *sending.reports.micros.lock().unwrap_or_else(PoisonError::into_inner));
    micros.sort_unstable();
    let quantile =
        |thousandths: usize| micros.get(micros.len() * thousandths / 1_000).map(|&micros| f64::from(micros) / 1e3);
    let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
    println!(
        "{}",
        json!({
            "acknowledged": sending.acknowledged(),
            "failed": sending.reports.failed.load(Ordering::Relaxed),
            "measured": measured,
            "cpu": cpu,
            "seconds": seconds,
            "p50": quantile(500),
            "p99": quantile(990),
            "record_bytes": bytes / records.len().max(1),
        })
    );
    Ok(())
}

struct Sending<'o> {
    options: &'o Options,
    producer: ThreadedProducer<Reported>,
    reports: Arc<Reports>,
    number: u64,
    next: usize,
    begun: Instant,
}

impl Sending<'_> {
    fn acknowledged(&self) -> u64 {
        self.reports.acknowledged.load(Ordering::Relaxed)
    }

    /// Goes on until so long after the beginning.
    fn go_on(&mut self, records: &mut [Record], until: Duration) -> anyhow::Result<()> {
        while self.begun.elapsed() < until {
            if let Some(rate) = self.options.rate {
                let due = self.begun + Duration::from_nanos(1_000_000_000 / u64::from(rate) * self.number);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            while self.reports.under_way.load(Ordering::Acquire) > self.reports.enough {
                thread::park_timeout(Duration::from_millis(100));
            }
            for _ in 0..self.options.together {
                self.send(records)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, records: &mut [Record]) -> anyhow::Result<()> {
        let count = records.len();
        let record = records.get_mut(self.next).context("there are records")?;
        record.stamp(self.number);
        self.next = (self.next + 1) % count;
        self.number += 1;
        self.reports.under_way.fetch_add(1, Ordering::AcqRel);
        // The clock costs something, too.
        let sent = if self.options.rate.is_some() { self.reports.micros_since() } else { 0 };
        let message = BaseRecord::with_opaque_to(&self.options.topic, sent)
            .key(record.key.as_bytes())
            .payload(record.payload.as_slice());
        if let Err((error, _)) = self.producer.send(message) {
            bail!("not taken: {error}");
        }
        Ok(())
    }
}

/// CPU seconds of this process, user and system.
fn cpu() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = text.rsplit_once(") ").context("/proc/self/stat has a name")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("/proc/self/stat has times")?;
    Ok((user + system) / 100.0)
}
