//! What could not be processed.

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use tasuki_domain::Timestamp;
use uuid::Uuid;

use super::{StoreError, millis, timestamp};

/// One dead letter, without the original bytes: they may hold personal data.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetterRow {
    pub(crate) id: Uuid,
    pub(crate) service: String,
    pub(crate) kind: String,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) received_at: Option<Timestamp>,
    pub(crate) size: i64,
    /// On the log: topic, partition, offset.
    pub(crate) log: Option<(String, i32, i64)>,
    /// In a request: see the table.
    pub(crate) http: Option<serde_json::Value>,
}

impl DeadLetterRow {
    fn read(row: &PgRow) -> Result<Self, StoreError> {
        let log = match row.try_get::<Option<String>, _>("log_topic")? {
            Some(topic) => Some((
                topic,
                row.try_get::<Option<i32>, _>("log_partition")?.unwrap_or_default(),
                row.try_get::<Option<i64>, _>("log_offset")?.unwrap_or_default(),
            )),
            None => None,
        };
        Ok(Self {
            id: row.try_get("id")?,
            service: row.try_get("service")?,
            kind: row.try_get("kind")?,
            code: row.try_get("code")?,
            message: row.try_get("message")?,
            received_at: timestamp(row, "received_at")?,
            size: row.try_get("size")?,
            log,
            http: row.try_get("http")?,
        })
    }
}

/// The latest dead letters.
pub(crate) async fn dead_letters(pool: &PgPool, limit: usize) -> Result<Vec<DeadLetterRow>, StoreError> {
    let rows = sqlx::query(concat!(
        "select id, service, kind, code, message, octet_length(original)::bigint as size, log_topic, log_partition, \
         log_offset, http, ",
        millis!("received_at"),
        " from tasuki.dead_letters order by dead_letters.received_at desc nulls first, id limit $1"
    ))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    rows.iter().map(DeadLetterRow::read).collect()
}
