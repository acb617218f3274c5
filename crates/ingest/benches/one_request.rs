//! What it costs to take one request, without network and log: from its body to records that only have to be written,
//! checks, mapping, ids and accounting included.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use metrics_exporter_prometheus::PrometheusBuilder;
use tasuki_ingest::{Limits, Mapping, Source, Sources, State, WriteKeyHash, router};
use tasuki_service::{Health, SystemClock};
use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, PublishError, Publisher};
use tasuki_testkit::tracker::{self, Run};
use tower::ServiceExt;

/// The program's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Takes everything at once.
#[derive(Debug)]
struct Nowhere;

impl Publisher for Nowhere {
    fn publish(&self, records: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>> {
        black_box(records);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Time on a processor, as the kernel counts it: others on the machine do not count.
struct ProcessorTime;

impl ProcessorTime {
    fn now() -> Duration {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts");
        let nanos = text.split(' ').next().and_then(|first| first.parse().ok()).expect("it begins with nanoseconds");
        Duration::from_nanos(nanos)
    }
}

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, time: &Duration) -> f64 {
        WallTime.to_f64(time)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn collector() -> Router {
    let sources = Sources::new(vec![Source::new("website", WriteKeyHash::of("KEY"))]).expect("one source");
    router(State {
        publisher: Arc::new(Nowhere),
        spool: None,
        sources: Arc::new(sources),
        mapping: Arc::new(Mapping::default()),
        clock: Arc::new(SystemClock),
        health: Health::default(),
        limits: Limits::default(),
    })
}

fn one_request(criterion: &mut Criterion<ProcessorTime>) {
    // Counters are kept, though nobody reads them.
    PrometheusBuilder::new().install_recorder().expect("the only recorder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let router = collector();
    let run = Run { number: 1, at: "2026-11-23T09:00:00.000Z" };
    let requests = [
        ("batch of 100", tracker::Request::batch(run, 1, 100)),
        ("one page view", tracker::Request::single(run, 3)),
        ("one track call", tracker::Request::single(run, 9)),
    ];
    let mut group = criterion.benchmark_group("request to records");
    for (name, request) in requests {
        group.throughput(Throughput::Elements(request.events()));
        let body = Bytes::from(request.body);
        group.bench_function(name, |bencher| {
            let make = || {
                Request::post(request.path)
                    .header("authorization", "Basic S0VZOg==")
                    .header("content-type", "application/json")
                    .body(Body::from(body.clone()))
                    .expect("a request")
            };
            let take = |made: Request<Body>| {
                let answer = runtime.block_on(router.clone().oneshot(made)).expect("an answer");
                assert_eq!(answer.status(), 200);
            };
            bencher.iter_batched(make, take, BatchSize::NumBatches(1));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // The kernel counts from tick to tick: samples must be long against one.
    config = Criterion::default().with_measurement(ProcessorTime).sample_size(20);
    targets = one_request
}
criterion_main!(benches);
