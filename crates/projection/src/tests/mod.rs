//! Tests on a real Postgres, with a log in memory.

mod duplicates;
mod faults;
mod log;
mod order;
mod records;
mod story;

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tasuki_service::{Health, Shutdown};
use tasuki_wire::PartitionCount;

use crate::{Projection, Schema};
use log::{Log, Reading};

/// As many as it takes for leads to share some and not others.
fn partitions() -> PartitionCount {
    PartitionCount::new(3).unwrap()
}

/// An empty database.
fn database() -> PgPool {
    pool(&tasuki_testkit::postgres::fresh_database())
}

fn pool(url: &str) -> PgPool {
    // The tests read instants as text.
    let options = url.parse::<PgConnectOptions>().unwrap().options([("timezone", "UTC")]);
    PgPoolOptions::new().connect_lazy_with(options)
}

/// Empty tables in a schema of their own.
async fn fresh(pool: &PgPool) -> (Projection, Schema) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let schema = Schema::new(format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap();
    let projection = Projection::new(pool.clone(), schema.clone());
    projection.migrate().await.unwrap();
    (projection, schema)
}

/// Reads to the end of the log.
async fn catch_up(projection: &Projection, log: &Log, reading: Reading) {
    let shutdown = Shutdown::new();
    let reader = log.reader(reading);
    let drained = reader.drained();
    let running = tokio::spawn({
        let (projection, shutdown) = (projection.clone(), shutdown.clone());
        let component = Health::default().component("projection");
        async move { projection.run(Box::new(reader), partitions(), component, shutdown).await }
    });
    drained.wait(log.len()).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
