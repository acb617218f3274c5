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
