//! The playbooks that were published.

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use tasuki_domain::{EventId, PlaybookVersion, Timestamp};
use uuid::Uuid;

use super::{StoreError, millis, timestamp_always};

/// One publication; without its text where `T` is `()`.
#[derive(Clone, Debug)]
pub(crate) struct PublicationRow<T = String> {
    pub(crate) id: EventId,
    pub(crate) version: PlaybookVersion,
    pub(crate) name: String,
    /// The file, whole.
    pub(crate) text: T,
    pub(crate) published_at: Timestamp,
    pub(crate) published_by: String,
    /// 'started', 'published' or 'rolled-back'.
    pub(crate) because: String,
}

impl<T> PublicationRow<T> {
    fn read(row: &PgRow, text: T) -> Result<Self, StoreError> {
        let version = u32::try_from(row.try_get::<i64, _>("version")?);
        let unreadable =
            |error: std::num::TryFromIntError| StoreError::Unreadable { column: "version", source: Some(error.into()) };
        Ok(Self {
            id: EventId::new(row.try_get::<Uuid, _>("event_id")?),
            version: PlaybookVersion::new(version.map_err(unreadable)?),
            name: row.try_get("name")?,
            text,
            published_at: timestamp_always(row, "published_at")?,
            published_by: row.try_get("published_by")?,
            because: row.try_get("because")?,
        })
    }
}

macro_rules! publications {
    ($more:literal) => {
        concat!(
            "select event_id, version, name, published_by, because, ",
            $more,
            millis!("published_at"),
            " from tasuki.playbooks order by playbooks.published_at desc, event_id desc"
        )
    };
}

/// All publications, the one in force first.
pub(crate) async fn publications(pool: &PgPool) -> Result<Vec<PublicationRow>, StoreError> {
    let rows = sqlx::query(publications!("body, ")).fetch_all(pool).await?;
    rows.iter().map(|row| PublicationRow::read(row, row.try_get("body")?)).collect()
}

/// The same without the texts, which may be long.
pub(crate) async fn history(pool: &PgPool) -> Result<Vec<PublicationRow<()>>, StoreError> {
    let rows = sqlx::query(publications!("")).fetch_all(pool).await?;
    rows.iter().map(|row| PublicationRow::read(row, ())).collect()
}
