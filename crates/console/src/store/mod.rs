//! What the console reads: the tables that the projection writes, and nothing else. The console never writes them.

mod accounts;
mod dead_letters;
mod duplicates;
mod handoffs;
mod known;
mod lead;
mod leads;
mod playbooks;

pub(crate) use accounts::{AccountCursor, AccountDetail, AccountRow, Department, account, account_of, accounts};
pub(crate) use dead_letters::{DeadLetterRow, dead_letters};
pub(crate) use duplicates::{DuplicateRow, duplicates};
pub(crate) use handoffs::{HandoffRow, HandoffState, StateFilter, handoff, handoffs};
pub(crate) use known::{Known, known};
pub(crate) use lead::{
    AxisOf, ContributionRow, DecisionRow, EvidenceRow, LeadDetail, TimelineRow, TrackRow, is_known, lead,
};
pub(crate) use leads::{Cursor, LeadFilter, LeadRow, Owner, leads};
pub(crate) use playbooks::{PublicationRow, history, publications};

use sqlx::Row;
use sqlx::postgres::PgRow;
use tasuki_domain::{Millipoints, Stage, Timestamp};

/// Rows in one answer when nothing else is asked for, and at most.
pub(crate) const DEFAULT_LIMIT: usize = 50;
pub(crate) const MOST: usize = 500;

/// The tables could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database does not answer, or its tables are not made yet. The same call may work later.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The database refuses the query: a defect.
    #[error("the database refuses the query")]
    Refused(#[source] sqlx::Error),
    /// A row holds what the console does not know: a defect, or a database of a later release.
    #[error("column {column} holds what is not known here")]
    Unreadable {
        /// Which column.
        column: &'static str,
        /// What is wrong with it, if more can be said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // Classes 08 (connection), 53 (resources), 57 (operator) and 58 (system), read-only stand-bys, and tables that
        // the projection is still to make.
        let passing_codes = ["08", "53", "57", "58", "25006", "3F000", "42P01", "3D000"];
        let code = error.as_database_error().and_then(|error| error.code());
        let passing = code.is_some_and(|code| passing_codes.iter().any(|class| code.starts_with(class)))
            || matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::BeginFailed
            );
        if passing { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

/// One page of rows, and where the next begins.
#[derive(Debug)]
pub(crate) struct Page<T, C> {
    /// The rows.
    pub(crate) items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub(crate) next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// A page of at most `limit` out of `limit + 1` rows that were asked for.
    fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

/// Expands to an instant's column in milliseconds, under the same name.
macro_rules! millis {
    ($column:literal) => {
        concat!("(extract(epoch from ", $column, ") * 1000)::bigint as ", $column)
    };
}
pub(crate) use millis;

fn timestamp(row: &PgRow, column: &'static str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
}

fn timestamp_always(row: &PgRow, column: &'static str) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(Timestamp::from_millis)
}

fn points(row: &PgRow, column: &'static str) -> Result<Millipoints, sqlx::Error> {
    row.try_get(column).map(Millipoints::new)
}

fn stage(row: &PgRow, column: &'static str) -> Result<Stage, StoreError> {
    let text: String = row.try_get(column)?;
    text.parse()
        .map_err(|error: tasuki_domain::UnknownStage| StoreError::Unreadable { column, source: Some(error.into()) })
}

/// As many rows as Postgres is to give: one more than shown, to know whether there are more.
fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
