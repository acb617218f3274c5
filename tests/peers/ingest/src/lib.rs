//! What the programs that ingest is measured against have in common: the producer, and the records.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use axum::body::Body;
use axum::http::Request;
use prost::Message;
use rdkafka::ClientConfig;
use tasuki_ingest::{Limits, Mapping, Source, Sources, State, WriteKeyHash, router};
use tasuki_service::{Clock, Health, SystemClock};
use tasuki_stream::Emitted;
use tasuki_stream::log::{BoxFuture, PublishError, Publisher};
use tasuki_testkit::tracker;
use tasuki_wire::v1::BehaviorRecord;
use tower::ServiceExt;

/// A producer set up as that of ingest.
pub fn producer(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("batch.size", "524288")
        .set("linger.ms", "1")
        .set("message.timeout.ms", "3500")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", "500000");
    config
}

/// A record as ingest writes it, whose id can be changed.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    id_at: usize,
    message_id_at: usize,
}

impl Record {
    fn of(emitted: Emitted) -> anyhow::Result<Self> {
        let Emitted { key, payload, .. } = emitted;
        let read = BehaviorRecord::decode(payload.as_slice())?;
        let id = read.meta.context("a record has a head")?.event_id;
        let message_id = read.origin.context("a record has an origin")?.message_id.into_bytes();
        let find = |part: &[u8]| payload.windows(part.len()).position(|window| window == part);
        let id_at = find(&id).context("its id")?;
        let message_id_at = find(&message_id).context("the tracker's id")? + message_id.len() - 12;
        Ok(Self { key, payload, id_at, message_id_at })
    }

    /// Gives it another id.
    pub fn stamp(&mut self, number: u64) {
        self.payload[self.id_at..self.id_at + 8].copy_from_slice(&number.to_be_bytes());
        tracker::stamp(&mut self.payload[self.message_id_at..self.message_id_at + 12], number);
    }
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Emitted>>);

impl Publisher for Kept {
    fn publish(&self, records: Vec<Emitted>) -> BoxFuture<'_, Result<(), PublishError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What ingest makes of requests: exactly the records that it would write.
///
/// # Errors
///
/// If it does not take one of them.
pub async fn records(requests: Vec<tracker::Request>) -> anyhow::Result<Vec<Record>> {
    let kept = Arc::new(Kept::default());
    let state = State {
        publisher: Arc::clone(&kept) as Arc<dyn Publisher>,
        spool: None,
        sources: Arc::new(Sources::new(vec![Source::new("website", WriteKeyHash::of("KEY"))])?),
        mapping: Arc::new(Mapping::default()),
        clock: Arc::new(SystemClock),
        health: Health::default(),
        limits: Limits::default(),
    };
    let router = router(state);
    for request in requests {
        let path = format!("{}?writeKey=KEY", request.path);
        let answer = router.clone().oneshot(Request::post(path).body(Body::from(request.body))?).await?;
        if answer.status() != 200 {
            bail!("ingest answers {}", answer.status());
        }
    }
    let emitted = std::mem::take(&mut *kept.0.lock().unwrap_or_else(PoisonError::into_inner));
    emitted.into_iter().map(Record::of).collect()
}

/// Now, as ISO 8601.
pub fn now() -> String {
    SystemClock.now().to_string()
}
