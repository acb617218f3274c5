//! Leads that may be the same person as another, by the keys they have in common.

use serde::Deserialize;
use sqlx::types::Json;
use sqlx::{PgPool, Row};
use tasuki_domain::LeadId;

use super::leads::lead_columns;
use super::{LeadRow, Page, StoreError, millis, one_more};

/// A lead that may be the same person.
#[derive(Debug)]
pub(crate) struct DuplicateRow {
    pub(crate) lead: LeadRow,
    /// Why; at least one, sorted by kind.
    pub(crate) reasons: Vec<Reason>,
}

/// What two leads have in common.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reason {
    /// `crm`, `email`, `name`, `phone` or `reading`.
    pub(crate) kind: String,
    /// What both have, made alike.
    pub(crate) common: String,
}

/// Leads that may be the same person as this one, those with the most reasons first. Leads that are merged already are
/// not among them, and a lead that is merged has none.
pub(crate) async fn duplicates(
    pool: &PgPool,
    id: LeadId,
    limit: usize,
) -> Result<Page<DuplicateRow, LeadId>, StoreError> {
    let rows = sqlx::query(concat!(
        "select ",
        lead_columns!(),
        ", d.reasons from ( \
         select other.lead_id, count(distinct other.kind) as kinds, \
         json_agg(json_build_object('kind', other.kind, 'common', other.key) order by other.kind, other.key) as reasons \
         from tasuki.lead_duplicate_keys mine join tasuki.lead_duplicate_keys other using (kind, key) \
         where mine.lead_id = $1 and other.lead_id <> $1 group by other.lead_id \
         ) d join tasuki.lead_current l on l.lead_id = d.lead_id \
         where l.active and l.merged_into is null order by d.kinds desc, l.lead_id limit $2"
    ))
    .bind(id.uuid())
    .bind(one_more(limit))
    .fetch_all(pool)
    .await?;
    let read = |row| {
        let Json(reasons) = Row::try_get(row, "reasons")?;
        Ok(DuplicateRow { lead: LeadRow::read(row)?, reasons })
    };
    let items = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Page::cut(items, limit, |row| row.lead.id))
}
