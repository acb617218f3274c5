//! The rows that the checkers look at, read by plain SQL.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnectOptions;
use sqlx::types::Uuid;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tasuki_domain::LeadId;
use tasuki_wire::Topic;

/// What is compared of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) leads: BTreeMap<LeadId, LeadRow>,
    /// Whether it was retracted, by lead and behavior event.
    pub(crate) timeline: BTreeMap<(LeadId, Vec<u8>), bool>,
    /// Lead and version, by event.
    pub(crate) decisions: BTreeMap<Vec<u8>, (LeadId, u64)>,
    /// By account id.
    pub(crate) accounts: BTreeMap<String, AccountRow>,
    /// State, by handoff; of those that reached the desk.
    pub(crate) handoffs: BTreeMap<Vec<u8>, String>,
    /// Code, by id; of those on the topic.
    pub(crate) letters: BTreeMap<Vec<u8>, String>,
}

/// One row of `lead_current`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeadRow {
    pub(crate) email: String,
    pub(crate) activities: i64,
    /// Engagement, fit, grade.
    pub(crate) score: (i64, i64, String),
    /// Of activity, scores, qualification, handoff.
    pub(crate) versions: [u64; 4],
    pub(crate) missing: i64,
}

/// One row of `accounts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccountRow {
    pub(crate) version: u64,
    /// Engagement up to the cap, and without it, in millipoints.
    pub(crate) engagement: (i64, i64),
    pub(crate) people: i64,
    /// Each with its number of people, in their order: "2 Sales".
    pub(crate) departments: Vec<String>,
    pub(crate) department_count: i64,
    pub(crate) as_of_ms: i64,
    pub(crate) playbook_version: i64,
}

/// The columns of [`AccountRow`], as Postgres gives them.
type AccountColumns = (String, i64, i64, i64, i64, Vec<String>, i64, i64, i64);

/// The columns of [`LeadRow`], as Postgres gives them.
type Columns = (Uuid, String, i64, i64, i64, String, i64, i64, i64, i64, i64);

/// Reads all of them.
///
/// # Errors
///
/// If Postgres does not answer.
pub(crate) async fn read(url: &str) -> Result<Tables, sqlx::Error> {
    let mut connection = connect(url).await?;
    let mut tables = Tables::default();
    let leads: Vec<Columns> = sqlx::query_as(
        "select lead_id, email, activities, engagement_mp, fit_mp, grade, activity_version, scores_version, \
         qualification_version, handoff_version, missing_versions from tasuki.lead_current",
    )
    .fetch_all(&mut connection)
    .await?;
    for (id, email, activities, engagement, fit, grade, activity, scores, qualification, handoff, missing) in leads {
        let versions = [activity, scores, qualification, handoff].map(i64::unsigned_abs);
        let row = LeadRow { email, activities, score: (engagement, fit, grade), versions, missing };
        tables.leads.insert(LeadId::new(id), row);
    }
    let timeline: Vec<(Uuid, Uuid, bool)> =
        sqlx::query_as("select lead_id, event_id, retracted from tasuki.lead_timeline")
            .fetch_all(&mut connection)
            .await?;
    tables.timeline =
        timeline.into_iter().map(|(lead, id, gone)| ((LeadId::new(lead), id.as_bytes().to_vec()), gone)).collect();
    let decisions: Vec<(Uuid, Uuid, i64)> =
        sqlx::query_as("select event_id, lead_id, version from tasuki.lead_decisions")
            .fetch_all(&mut connection)
            .await?;
    tables.decisions = decisions
        .into_iter()
        .map(|(id, lead, version)| (id.as_bytes().to_vec(), (LeadId::new(lead), version.unsigned_abs())))
        .collect();
    tables.accounts = accounts(&mut connection).await?;
    let handoffs: Vec<(Uuid, String)> =
        sqlx::query_as("select handoff_id, state from tasuki.handoffs").fetch_all(&mut connection).await?;
    tables.handoffs = handoffs.into_iter().map(|(id, state)| (id.as_bytes().to_vec(), state)).collect();
    let letters: Vec<(Uuid, String)> =
        sqlx::query_as("select id, code from tasuki.dead_letters where service <> 'projection'")
            .fetch_all(&mut connection)
            .await?;
    tables.letters = letters.into_iter().map(|(id, code)| (id.as_bytes().to_vec(), code)).collect();
    connection.close().await?;
    Ok(tables)
}

async fn accounts(connection: &mut PgConnection) -> Result<BTreeMap<String, AccountRow>, sqlx::Error> {
    let rows: Vec<AccountColumns> = sqlx::query_as(
        "select account_id, version, engagement_mp, sum_mp, people, array( \
         select concat(item->>'people', ' ', item->>'name') \
         from jsonb_array_elements(departments) with ordinality as list (item, place) order by place), \
         department_count, (extract(epoch from as_of) * 1000)::bigint, playbook_version from tasuki.accounts",
    )
    .fetch_all(connection)
    .await?;
    let read = |row: AccountColumns| {
        let (id, version, engagement, sum, people, departments, department_count, as_of_ms, playbook_version) = row;
        let row = AccountRow {
            version: version.unsigned_abs(),
            engagement: (engagement, sum),
            people,
            departments,
            department_count,
            as_of_ms,
            playbook_version,
        };
        (id, row)
    };
    Ok(rows.into_iter().map(read).collect())
}

/// How far the projection has come.
///
/// # Errors
///
/// If Postgres does not answer, or the tables are not there yet.
pub(crate) async fn watermarks(url: &str) -> Result<BTreeMap<(Topic, u16), i64>, sqlx::Error> {
    let mut connection = connect(url).await?;
    let rows: Vec<(String, i32, i64)> =
        sqlx::query_as("select topic, partition, next_offset from tasuki.projection_watermark")
            .fetch_all(&mut connection)
            .await?;
    connection.close().await?;
    let read = |(topic, partition, next): (String, i32, i64)| {
        Some(((topic.parse().ok()?, u16::try_from(partition).ok()?), next))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    url.parse::<PgConnectOptions>()?.disable_statement_logging().connect().await
}
