//! What is known of a lead that its score follows from.

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use tasuki_domain::{EventId, LeadId, Millipoints, Timestamp};
use tasuki_playbook::AccountFacts;
use tasuki_wire::v1;
use uuid::Uuid;

use super::leads::lead_columns;
use super::{LeadRow, StoreError, millis, timestamp_always};
use crate::explain::KnownSignal;

/// As many signals as scoring keeps of a lead; the newest.
const MOST_SIGNALS: i64 = 500;

/// What a score follows from.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) lead: LeadRow,
    pub(crate) profile: v1::Profile,
    pub(crate) signals: Vec<KnownSignal>,
    /// What its account has now.
    pub(crate) account: AccountFacts,
}

/// What is known of a lead, and of what it did what had happened by an instant (or, where its tracker dates it later, was
/// received by then); all of it as of one instant of the tables. `None` if there is no such lead.
pub(crate) async fn known(pool: &PgPool, id: LeadId, as_of: Option<Timestamp>) -> Result<Option<Known>, StoreError> {
    let mut snapshot = pool.begin_with("begin isolation level repeatable read read only").await?;
    let known = read(&mut snapshot, id, as_of).await?;
    snapshot.commit().await?;
    Ok(known)
}

async fn read(
    connection: &mut PgConnection,
    id: LeadId,
    as_of: Option<Timestamp>,
) -> Result<Option<Known>, StoreError> {
    let row = sqlx::query(concat!(
        "select ",
        lead_columns!(),
        ", coalesce(p.profile, '{}') as profile, coalesce(a.people, 0) as account_people, \
         coalesce(a.engagement_mp, 0) as account_mp, coalesce(jsonb_array_length(a.departments), 0) as account_departments \
         from tasuki.lead_current l left join tasuki.lead_profile p using (lead_id) \
         left join tasuki.accounts a using (account_id) where lead_id = $1"
    ))
    .bind(id.uuid())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let lead = LeadRow::read(&row)?;
    let until = as_of.or(lead.scored_as_of).map_or(i64::MAX, Timestamp::as_millis);
    let rows = sqlx::query(concat!(
        "select event_id, kind, about, path, source, campaign, ",
        millis!("occurred_at"),
        ", ",
        millis!("received_at"),
        " from tasuki.lead_timeline t where lead_id = $1 and not retracted and not unscored \
         and (extract(epoch from least(t.occurred_at, t.received_at)) * 1000)::bigint <= $2 \
         order by t.occurred_at desc, event_id desc limit $3"
    ))
    .bind(id.uuid())
    .bind(until)
    .bind(MOST_SIGNALS)
    .fetch_all(connection)
    .await?;
    let signals = rows.iter().map(signal).collect::<Result<_, StoreError>>()?;
    Ok(Some(Known { lead, profile: profile(&row.try_get("profile")?), signals, account: account(&row)? }))
}

fn account(row: &PgRow) -> Result<AccountFacts, StoreError> {
    Ok(AccountFacts {
        departments: u32::try_from(row.try_get::<i32, _>("account_departments")?).unwrap_or(0),
        people: u32::try_from(row.try_get::<i64, _>("account_people")?).unwrap_or(0),
        engagement: Millipoints::new(row.try_get("account_mp")?),
    })
}

fn signal(row: &PgRow) -> Result<KnownSignal, StoreError> {
    Ok(KnownSignal {
        id: EventId::new(row.try_get::<Uuid, _>("event_id")?),
        occurred_at: timestamp_always(row, "occurred_at")?,
        received_at: timestamp_always(row, "received_at")?,
        kind: row.try_get("kind")?,
        about: row.try_get("about")?,
        path: row.try_get("path")?,
        source: row.try_get("source")?,
        campaign: row.try_get("campaign")?,
    })
}

/// The profile as it stands in the table.
fn profile(stored: &Value) -> v1::Profile {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attribute = |value: &Value| v1::AttributeValue {
        value: text(&value["value"]),
        source: text(&value["source"]),
        occurred_at_ms: value["occurred_at"].as_str().and_then(|at| at.parse().ok()).map_or(0, Timestamp::as_millis),
    };
    let attributes = stored["attributes"].as_object().into_iter().flatten();
    v1::Profile {
        email: text(&stored["email"]),
        account_id: text(&stored["account_id"]),
        attributes: attributes.map(|(name, value)| (name.clone(), attribute(value))).collect(),
        ..v1::Profile::default()
    }
}
