//! Reads the log from its begin into an empty schema, beside the tables in use.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sqlx::PgPool;
use tasuki_projection::{Projection, Schema};
use tasuki_service::{Health, Shutdown};
use tasuki_stream::log::Reader;
use tasuki_wire::PartitionCount;

use super::history::History;
use super::service::PROJECTED;

/// How long it may take: a second for some thousand records.
const WITHIN: Duration = Duration::from_secs(600);

/// Fingerprints of the tables in use and of those read again.
///
/// # Errors
///
/// If log or database do not answer, or the reading does not come to the end of what is on the log.
pub(crate) async fn fingerprints(
    reader: Box<dyn Reader>,
    partitions: PartitionCount,
    database_url: &str,
    log: &History,
) -> Result<[String; 2]> {
    let pool = PgPool::connect(database_url).await.context("connect")?;
    let in_use = Projection::new(pool.clone(), Schema::default()).fingerprint().await.context("the tables in use")?;
    let schema = Schema::new("again").context("a name")?;
    let again = Projection::new(pool.clone(), schema);
    again.migrate().await.context("empty tables")?;
    let (shutdown, health) = (Shutdown::new(), Health::default());
    let reading = again.run(reader, partitions, health.component("again"), shutdown.clone());
    let (read, ended) = tokio::join!(reading, async {
        let ended = until_the_end(&pool, log).await;
        shutdown.cancel();
        ended
    });
    read.context("read again")?;
    ended?;
    let again = again.fingerprint().await.context("the tables read again")?;
    pool.close().await;
    Ok([in_use, again])
}

async fn until_the_end(pool: &PgPool, log: &History) -> Result<()> {
    let begun = Instant::now();
    loop {
        let rows: Vec<(String, i32, i64)> =
            sqlx::query_as("select topic, partition, next_offset from again.projection_watermark")
                .fetch_all(pool)
                .await?;
        let is_read =
            log.partitions().filter(|(topic, ..)| PROJECTED.contains(topic)).all(|(topic, partition, entries)| {
                let next = entries.last().map_or(0, |entry| entry.offset + 1);
                let same = |row: &&(String, i32, i64)| row.0 == topic.name() && row.1 == i32::from(partition);
                rows.iter().find(same).is_some_and(|row| row.2 >= next)
            });
        if is_read {
            return Ok(());
        }
        if begun.elapsed() > WITHIN {
            bail!("not read again in {WITHIN:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
