//! The tables: made and brought up to date, and what the writer has to know of them.

use std::collections::HashMap;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, Row, SqlSafeStr};
use tasuki_wire::{Partition, PartitionCount, Topic};

use crate::OpenError;

/// Only ever added to: a migration that has run somewhere never changes.
const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "log", include_str!("../migrations/0001_log.sql"))];

/// What the writer knows when it starts.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) topics: TopicIds,
    /// The offset after the last record of each partition.
    pub(crate) ends: Vec<(Topic, Partition, i64)>,
    pub(crate) commits: i64,
}

/// The numbers that stand for topics in the tables.
#[derive(Clone, Debug)]
pub(crate) struct TopicIds(HashMap<Topic, i16>);

impl TopicIds {
    pub(crate) fn id(&self, topic: Topic) -> i16 {
        self.0.get(&topic).copied().expect("every topic got a number when the log was opened")
    }
}

pub(crate) async fn migrate(connection: &mut PgConnection) -> Result<(), OpenError> {
    let migrations = MIGRATIONS
        .iter()
        .map(|&(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.create_schema("tasuki_log");
    migrator.dangerous_set_table_name("tasuki_log.migrations");
    migrator.run(connection).await.map_err(OpenError::Schema)
}

pub(crate) async fn load(connection: &mut PgConnection, partitions: PartitionCount) -> Result<Contents, OpenError> {
    let wanted = i32::from(partitions.get());
    sqlx::query("INSERT INTO tasuki_log.settings (partitions) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(wanted)
        .execute(&mut *connection)
        .await?;
    let found: i32 =
        sqlx::query_scalar("SELECT partitions FROM tasuki_log.settings").fetch_one(&mut *connection).await?;
    if found != wanted {
        return Err(OpenError::Partitions { found, wanted });
    }
    let topics = topics(connection).await?;
    let ends = ends(connection, wanted).await?;
    let commits = commits(connection).await?;
    Ok(Contents { topics, ends, commits })
}

pub(crate) async fn commits(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT commits FROM tasuki_log.writer").fetch_one(connection).await
}

async fn topics(connection: &mut PgConnection) -> Result<TopicIds, sqlx::Error> {
    let names: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
    sqlx::query(
        "INSERT INTO tasuki_log.topics (name)
         SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS new (name, n)
         WHERE name NOT IN (SELECT name FROM tasuki_log.topics) ORDER BY n",
    )
    .bind(&names)
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query("SELECT id, name FROM tasuki_log.topics").fetch_all(connection).await?;
    let mut ids = HashMap::new();
    for row in rows {
        // A later release may have had topics that this one does not know.
        if let Ok(topic) = row.try_get::<&str, _>(1)?.parse::<Topic>() {
            ids.insert(topic, row.try_get(0)?);
        }
    }
    Ok(TopicIds(ids))
}

async fn ends(connection: &mut PgConnection, partitions: i32) -> Result<Vec<(Topic, Partition, i64)>, sqlx::Error> {
    let rows = sqlx::query(
        r#"SELECT t.name, p.partition, l."offset" + 1
           FROM tasuki_log.topics t
           CROSS JOIN generate_series(0, $1 - 1) AS p (partition)
           CROSS JOIN LATERAL (
               SELECT r."offset" FROM tasuki_log.records r
               WHERE r.topic = t.id AND r.partition = p.partition ORDER BY r."offset" DESC LIMIT 1
           ) AS l"#,
    )
    .bind(partitions)
    .fetch_all(connection)
    .await?;
    let mut ends = Vec::with_capacity(rows.len());
    for row in rows {
        if let Ok(topic) = row.try_get::<&str, _>(0)?.parse::<Topic>() {
            ends.push((topic, partition(row.try_get(1)?)?, row.try_get(2)?));
        }
    }
    Ok(ends)
}

/// A partition as it stands in the tables.
pub(crate) fn partition(number: i32) -> Result<Partition, sqlx::Error> {
    u16::try_from(number).map(Partition::new).map_err(|error| sqlx::Error::Decode(error.into()))
}
