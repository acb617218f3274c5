//! Reading the log: from memory close to its end, else from the tables.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgPool, Row};
use tasuki_stream::log::{BoxFuture, LogRecord, Position, ReadError, Reader};
use tasuki_wire::{Partition, Topic};
use tokio::time::{Instant, timeout_at};

use crate::log::Shared;
use crate::schema::TopicIds;
use crate::tail::{Found, Stored, Tails};

/// How many records one poll gives at most.
const POLLED_RECORDS: usize = 2_000;
/// How much of one partition a poll takes.
const PAGE: Page = Page { records: 500, bytes: 512 * 1024 };

/// How much is read of a partition at once: so many records, and no more of them once they have so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// Reads the embedded log.
#[derive(Debug)]
pub struct EmbeddedReader {
    shared: Arc<Shared>,
    positions: Vec<Position>,
    /// Who is asked first next time, so that none is forgotten.
    turn: usize,
}

impl EmbeddedReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, positions: Vec::new(), turn: 0 }
    }

    fn set(&mut self, positions: &[Position]) -> Result<(), ReadError> {
        for position in positions {
            let known = position.partition.get() < self.shared.tails.partitions().get();
            let end = if known { self.shared.tails.end(position.topic, position.partition) } else { 0 };
            if !known || position.offset < 0 || position.offset > end {
                return Err(ReadError::NoSuchPosition(*position));
            }
        }
        self.positions = positions.to_vec();
        self.turn = 0;
        Ok(())
    }

    async fn next(&mut self, at_most: Duration) -> Result<Vec<LogRecord>, ReadError> {
        let until = Instant::now() + at_most;
        let mut changed = self.shared.tails.watch();
        loop {
            changed.mark_unchanged();
            let records = self.collect().await?;
            if !records.is_empty() {
                return Ok(records);
            }
            match timeout_at(until, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
            }
        }
    }

    /// What there is now, from each position in turn.
    async fn collect(&mut self) -> Result<Vec<LogRecord>, ReadError> {
        let mut records = Vec::new();
        let mut moved = Vec::new();
        for step in 0..self.positions.len() {
            let index = (self.turn + step) % self.positions.len();
            let Position { topic, partition, offset } = self.positions[index];
            let page = Page { records: PAGE.records.min(POLLED_RECORDS - records.len()), ..PAGE };
            if page.records == 0 {
                self.turn = index;
                break;
            }
            let (found, next) = read(&self.shared, topic, partition, offset, page)
                .await
                .map_err(|error| ReadError::Unavailable(error.into()))?;
            records.extend(found.into_iter().map(|stored| {
                let stored = Arc::unwrap_or_clone(stored);
                LogRecord { topic, partition, offset: stored.offset, key: stored.key, payload: stored.payload }
            }));
            moved.push((index, next));
        }
        // Only now, so that a poll that fails or is given up loses nothing.
        for (index, next) in moved {
            self.positions[index].offset = next;
        }
        Ok(records)
    }
}

impl Reader for EmbeddedReader {
    fn seek(&mut self, positions: &[Position]) -> BoxFuture<'_, Result<(), ReadError>> {
        let sought = self.set(positions);
        Box::pin(async move { sought })
    }

    fn poll(&mut self, at_most: Duration) -> BoxFuture<'_, Result<Vec<LogRecord>, ReadError>> {
        Box::pin(self.next(at_most))
    }

    fn lag(&self) -> u64 {
        self.positions.iter().map(|position| behind(&self.shared.tails, position)).sum()
    }
}

fn behind(tails: &Tails, position: &Position) -> u64 {
    u64::try_from(tails.end(position.topic, position.partition) - position.offset).unwrap_or(0)
}

/// The next records of a partition, and where to go on after them.
pub(crate) async fn read(
    shared: &Shared,
    topic: Topic,
    partition: Partition,
    from: i64,
    page: Page,
) -> Result<(Vec<Arc<Stored>>, i64), sqlx::Error> {
    match shared.tails.find(topic, partition, from, page.records, page.bytes) {
        Found::Nothing => Ok((Vec::new(), from)),
        Found::Here(records) => {
            let next = records.last().map_or(from, |stored| stored.offset + 1);
            Ok((records, next))
        }
        Found::OnDisk { end } => {
            let records = from_tables(&shared.pool, &shared.topics, (topic, partition), from..end, page).await?;
            // Nothing up to `end`: it was removed.
            let next = records.last().map_or(end, |stored| stored.offset + 1);
            Ok((records, next))
        }
    }
}

async fn from_tables(
    pool: &PgPool,
    topics: &TopicIds,
    (topic, partition): (Topic, Partition),
    offsets: std::ops::Range<i64>,
    page: Page,
) -> Result<Vec<Arc<Stored>>, sqlx::Error> {
    // The sum ends the page early where records are large; the window runs over one page at most.
    let rows = sqlx::query(
        r#"SELECT "offset", key, payload FROM (
               SELECT "offset", key, payload,
                      sum(length(payload)) OVER (ORDER BY "offset") - length(payload) AS bytes_before
               FROM (
                   SELECT "offset", key, payload FROM tasuki_log.records
                   WHERE topic = $1 AND partition = $2 AND "offset" >= $3 AND "offset" < $4
                   ORDER BY "offset" LIMIT $5
               ) AS page
           ) AS summed
           WHERE bytes_before < $6 ORDER BY "offset""#,
    )
    .bind(topics.id(topic))
    .bind(i32::from(partition.get()))
    .bind(offsets.start)
    .bind(offsets.end)
    .bind(i64::try_from(page.records).unwrap_or(i64::MAX))
    .bind(i64::try_from(page.bytes).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Arc::new(Stored { offset: row.try_get(0)?, key: row.try_get(1)?, payload: row.try_get(2)? })))
        .collect()
}
