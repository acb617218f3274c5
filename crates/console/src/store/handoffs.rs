//! Handoffs: what was passed to sales, by when it was to be accepted, and what sales said.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use tasuki_domain::{HandoffId, LeadId, Timestamp};

use super::leads::Owner;
use super::{Page, StoreError, millis, one_more, timestamp};

/// Where a handoff stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandoffState {
    /// Waits for a rep.
    Qualified,
    /// Nobody was free.
    Unassigned,
    /// A rep has it and is to accept it.
    Assigned,
    /// The rep has not accepted it in time.
    Overdue,
    /// Sales took it.
    Accepted,
    /// Sales refused it.
    Rejected,
}

impl HandoffState {
    /// Every state, in the order in which they come.
    pub(crate) const ALL: [Self; 6] =
        [Self::Qualified, Self::Unassigned, Self::Assigned, Self::Overdue, Self::Accepted, Self::Rejected];

    /// As in the tables and in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Qualified => "qualified",
            Self::Unassigned => "unassigned",
            Self::Assigned => "assigned",
            Self::Overdue => "overdue",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }

    /// Sales has not decided yet.
    pub(crate) const fn is_open(self) -> bool {
        match self {
            Self::Qualified | Self::Unassigned | Self::Assigned | Self::Overdue => true,
            Self::Accepted | Self::Rejected => false,
        }
    }

    pub(super) fn read(row: &PgRow, column: &'static str) -> Result<Self, StoreError> {
        let text: &str = row.try_get(column)?;
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or(StoreError::Unreadable { column, source: None })
    }
}

/// Which handoffs are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateFilter {
    /// Those on which sales has not decided yet.
    Open,
    /// Those in this state.
    In(HandoffState),
}

/// The text names no state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such state; allowed are open, qualified, unassigned, assigned, overdue, accepted, rejected")]
pub(crate) struct UnknownState;

impl FromStr for StateFilter {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        if text == "open" {
            return Ok(Self::Open);
        }
        HandoffState::ALL.into_iter().find(|state| state.name() == text).map(Self::In).ok_or(UnknownState)
    }
}

impl StateFilter {
    fn names(self) -> Vec<&'static str> {
        HandoffState::ALL
            .into_iter()
            .filter(|state| match self {
                Self::Open => state.is_open(),
                Self::In(wanted) => *state == wanted,
            })
            .map(HandoffState::name)
            .collect()
    }
}

/// One handoff.
#[derive(Clone, Debug)]
pub(crate) struct HandoffRow {
    pub(crate) id: HandoffId,
    pub(crate) lead: LeadId,
    pub(crate) cycle: i64,
    pub(crate) state: HandoffState,
    pub(crate) route: String,
    /// The track that the route is of; empty where it is of the lead itself.
    pub(crate) track: String,
    pub(crate) urgency: String,
    pub(crate) playbook_version: i64,
    pub(crate) qualified_at: Option<Timestamp>,
    pub(crate) pool: String,
    pub(crate) owner: Option<Owner>,
    /// Why this owner, or why nobody.
    pub(crate) reason: String,
    pub(crate) assigned_at: Option<Timestamp>,
    pub(crate) accept_by: Option<Timestamp>,
    pub(crate) overdue_at: Option<Timestamp>,
    pub(crate) accepted_at: Option<Timestamp>,
    pub(crate) accepted_by: String,
    pub(crate) rejected_at: Option<Timestamp>,
    pub(crate) rejected_by: String,
    pub(crate) reject_reason: String,
    pub(crate) reject_note: String,
}

impl HandoffRow {
    fn read(row: &PgRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: HandoffId::new(row.try_get("handoff_id")?),
            lead: LeadId::new(row.try_get("lead_id")?),
            cycle: row.try_get("cycle")?,
            state: HandoffState::read(row, "state")?,
            route: row.try_get("route")?,
            track: row.try_get("track")?,
            urgency: row.try_get("urgency")?,
            playbook_version: row.try_get("playbook_version")?,
            qualified_at: timestamp(row, "qualified_at")?,
            pool: row.try_get("pool")?,
            owner: Owner::read(row)?,
            reason: row.try_get("reason")?,
            assigned_at: timestamp(row, "assigned_at")?,
            accept_by: timestamp(row, "accept_by")?,
            overdue_at: timestamp(row, "overdue_at")?,
            accepted_at: timestamp(row, "accepted_at")?,
            accepted_by: row.try_get("accepted_by")?,
            rejected_at: timestamp(row, "rejected_at")?,
            rejected_by: row.try_get("rejected_by")?,
            reject_reason: row.try_get("reject_reason")?,
            reject_note: row.try_get("reject_note")?,
        })
    }
}

/// Behind which handoff a page begins: by deadline, and without one by when it qualified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandoffCursor {
    since: Timestamp,
    id: HandoffId,
}

impl fmt::Display for HandoffCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.since.as_millis(), self.id)
    }
}

impl FromStr for HandoffCursor {
    type Err = super::leads::InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (since, id) = text.split_once('.').ok_or(super::leads::InvalidCursor)?;
        let since = since.parse().map_err(|_| super::leads::InvalidCursor)?;
        Ok(Self { since: Timestamp::from_millis(since), id: id.parse().map_err(|_| super::leads::InvalidCursor)? })
    }
}

macro_rules! handoff_columns {
    () => {
        concat!(
            "select handoff_id, lead_id, cycle, state, route, track, urgency, playbook_version, pool, owner_id, owner_name, ",
            "owner_email, reason, accepted_by, rejected_by, reject_reason, reject_note, ",
            millis!("qualified_at"),
            ", ",
            millis!("assigned_at"),
            ", ",
            millis!("accept_by"),
            ", ",
            millis!("overdue_at"),
            ", ",
            millis!("accepted_at"),
            ", ",
            millis!("rejected_at"),
            " from tasuki.handoffs "
        )
    };
}

const LIST: &str = concat!(
    handoff_columns!(),
    "where state = any($1) and ($2::text is null or owner_id = $2) and ($4::bigint is null or \
     ((extract(epoch from coalesce(accept_by, qualified_at, 'epoch')) * 1000)::bigint, handoff_id) > ($4, $5)) \
     order by coalesce(handoffs.accept_by, handoffs.qualified_at, 'epoch'), handoff_id limit $3"
);

/// At most `limit` handoffs behind `after`, the most pressing first.
pub(crate) async fn handoffs(
    pool: &PgPool,
    state: StateFilter,
    owner: Option<&str>,
    after: Option<HandoffCursor>,
    limit: usize,
) -> Result<Page<HandoffRow, HandoffCursor>, StoreError> {
    let rows = sqlx::query(LIST)
        .bind(state.names())
        .bind(owner.map(|owner| owner.replace('\0', "")))
        .bind(one_more(limit))
        .bind(after.map(|cursor| cursor.since.as_millis()))
        .bind(after.map(|cursor| cursor.id.uuid()))
        .fetch_all(pool)
        .await?;
    let items = rows.iter().map(HandoffRow::read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(items, limit, |handoff| HandoffCursor {
        since: handoff.accept_by.or(handoff.qualified_at).unwrap_or_default(),
        id: handoff.id,
    }))
}

/// The handoffs of a lead, the latest first.
pub(super) async fn of_lead(connection: &mut PgConnection, lead: LeadId) -> Result<Vec<HandoffRow>, StoreError> {
    let rows = sqlx::query(concat!(handoff_columns!(), "where lead_id = $1 order by cycle desc"))
        .bind(lead.uuid())
        .fetch_all(connection)
        .await?;
    rows.iter().map(HandoffRow::read).collect()
}

/// One handoff; `None` if it is not known.
pub(crate) async fn handoff(pool: &PgPool, id: HandoffId) -> Result<Option<HandoffRow>, StoreError> {
    let row =
        sqlx::query(concat!(handoff_columns!(), "where handoff_id = $1")).bind(id.uuid()).fetch_optional(pool).await?;
    row.as_ref().map(HandoffRow::read).transpose()
}
