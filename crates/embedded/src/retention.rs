//! Removes records that their topic keeps no longer, a little at a time.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tasuki_domain::{Millis, Timestamp};
use tasuki_service::{Clock, Shutdown};
use tasuki_wire::Topic;
use tasuki_wire::topic::Keep;
use tokio::time::sleep;

use crate::metrics;
use crate::schema::TopicIds;

/// How often, and the first time how soon after a start.
const EVERY: Duration = Duration::from_secs(600);
/// How many of the oldest records of a partition one statement looks at.
const SLICE: i64 = 1_000;
/// How many statements one round takes for a topic; the next round goes on.
const SLICES: usize = 100;

pub(crate) async fn run(pool: PgPool, topics: TopicIds, clock: Arc<dyn Clock>, closing: Shutdown) {
    loop {
        tokio::select! {
            () = closing.cancelled() => return,
            () = sleep(EVERY) => {}
        }
        for &topic in Topic::ALL {
            match remove_expired(&pool, &topics, topic, clock.now()).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(kafka.topic = topic.name(), removed, "removed old records"),
                Err(error) => tracing::warn!(%error, kafka.topic = topic.name(), "old records cannot be removed now"),
            }
        }
    }
}

/// Removes what the topic keeps no longer. Never the last record of a partition, which says what offset comes next; and
/// nothing that a processor, once it has begun to read the topic, has still before it.
pub(crate) async fn remove_expired(
    pool: &PgPool,
    topics: &TopicIds,
    topic: Topic,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let days = match topic.keep() {
        Keep::Days(days) => days,
        Keep::Forever | Keep::LastOfKey => return Ok(0),
    };
    let before = now - Millis::from_days(days.into());
    let mut total = 0;
    for _ in 0..SLICES {
        // The oldest of a partition come first in its offsets, so nothing is looked at twice.
        let removed = sqlx::query(
            r#"DELETE FROM tasuki_log.records r USING (
                   SELECT o.partition, o."offset"
                   FROM (SELECT generate_series(0, s.partitions - 1) AS partition FROM tasuki_log.settings s) AS p
                   CROSS JOIN LATERAL (
                       SELECT l."offset" AS last FROM tasuki_log.records l
                       WHERE l.topic = $1 AND l.partition = p.partition ORDER BY l."offset" DESC LIMIT 1
                   ) AS l
                   CROSS JOIN LATERAL (
                       SELECT o.partition, o."offset", o.written_at FROM tasuki_log.records o
                       WHERE o.topic = $1 AND o.partition = p.partition ORDER BY o."offset" LIMIT $3
                   ) AS o
                   WHERE o.written_at < $2 AND o."offset" < l.last
                     AND NOT EXISTS (
                         SELECT 1 FROM tasuki_log.positions c
                         WHERE c.topic = $1 AND c.partition = o.partition AND c.next_offset <= o."offset"
                     )
               ) AS old
               WHERE r.topic = $1 AND r.partition = old.partition AND r."offset" = old."offset""#,
        )
        .bind(topics.id(topic))
        .bind(before.as_millis())
        .bind(SLICE)
        .execute(pool)
        .await?
        .rows_affected();
        total += removed;
        if removed == 0 {
            break;
        }
    }
    if total > 0 {
        metrics::removed(topic.name(), total);
    }
    Ok(total)
}
