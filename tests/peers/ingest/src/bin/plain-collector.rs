//! A collector as one would write it in an afternoon: each event goes to Kafka as it came, by a send of its own that is
//! awaited; the answer follows when all are acknowledged. No keys, no ids, no checks, no accounting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use clap::Parser;
use futures_util::future::join_all;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    servers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    listen: SocketAddr,
}

struct Collector {
    producer: FutureProducer,
    topic: String,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let producer = ingest_peers::producer(&options.servers).create()?;
    let collector = Arc::new(Collector { producer, topic: options.topic });
    let router = Router::new().route("/v1/{kind}", post(collect)).with_state(collector);
    axum::serve(tokio::net::TcpListener::bind(options.listen).await?, router).await?;
    Ok(())
}

async fn collect(State(collector): State<Arc<Collector>>, Path(kind): Path<String>, body: Bytes) -> StatusCode {
    let events = if kind == "batch" {
        serde_json::from_slice::<Batch<'_>>(&body).map(|batch| batch.batch)
    } else {
        serde_json::from_slice::<&RawValue>(&body).map(|event| vec![event])
    };
    let Ok(events) = events else { return StatusCode::BAD_REQUEST };
    let sends = events.into_iter().map(|event| {
        let record = FutureRecord::<(), str>::to(&collector.topic).payload(event.get());
        collector.producer.send(record, Duration::from_secs(4))
    });
    let written = join_all(sends).await;
    if written.iter().all(Result::is_ok) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
