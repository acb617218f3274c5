//! The playbooks that were published.

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use tasuki_domain::{EventId, PlaybookVersion, Timestamp};
use uuid::Uuid;

use super::{StoreError, millis, timestamp_always};

/// One publication.
#[derive(Clone, Debug)]
pub(crate) struct PublicationRow {
    pub(crate) id: EventId,
    pub(crate) version: PlaybookVersion,
    pub(crate) name: String,
    /// The file, whole.
    pub(crate) text: String,
    pub(crate) published_at: Timestamp,
    pub(crate) published_by: String,
    /// 'started', 'published' or 'rolled-back'.
    pub(crate) because: String,
}

impl PublicationRow {
    fn read(row: &PgRow) -> Result<Self, StoreError> {
        let version = u32::try_from(row.try_get::<i64, _>("version")?);
        let unreadable =
            |error: std::num::TryFromIntError| StoreError::Unreadable { column: "version", source: Some(error.into()) };
        Ok(Self {
            id: EventId::new(row.try_get::<Uuid, _>("event_id")?),
            version: PlaybookVersion::new(version.map_err(unreadable)?),
            name: row.try_get("name")?,
            text: row.try_get("body")?,
            published_at: timestamp_always(row, "published_at")?,
            published_by: row.try_get("published_by")?,
            because: row.try_get("because")?,
        })
    }
}

/// All publications, the one in force first.
pub(crate) async fn publications(pool: &PgPool) -> Result<Vec<PublicationRow>, StoreError> {
    let rows = sqlx::query(concat!(
        "select event_id, version, name, body, published_by, because, ",
        millis!("published_at"),
        " from tasuki.playbooks order by playbooks.published_at desc, event_id desc"
    ))
    .fetch_all(pool)
    .await?;
    rows.iter().map(PublicationRow::read).collect()
}
