//! The schema the tables are in: making it, connecting to it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, SqlSafeStr};

use crate::backfill;

/// Every migration: number, name, statements. Added to, never edited.
const MIGRATIONS: [(i64, &str, &str); 8] = [
    (1, "tables", include_str!("../migrations/0001_tables.sql")),
    (2, "merges", include_str!("../migrations/0002_merges.sql")),
    (3, "duplicates", include_str!("../migrations/0003_duplicates.sql")),
    (4, "consent", include_str!("../migrations/0004_consent.sql")),
    (5, "playbooks", include_str!("../migrations/0005_playbooks.sql")),
    (6, "accounts", include_str!("../migrations/0006_accounts.sql")),
    (7, "crm_keys", include_str!("../migrations/0007_crm_keys.sql")),
    (8, "tracks", include_str!("../migrations/0008_tracks.sql")),
];

/// A connection that does not come about in this time counts as failed.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The name of the Postgres schema the tables are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema(Cow<'static, str>);

/// The text is no name of a schema.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a schema: expected a small letter, then small letters, digits and '_', at most 63 in all")]
pub struct InvalidSchema;

/// The tables could not be made or brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Postgres cannot be reached, or refuses.
    #[error("cannot prepare schema {schema}")]
    Database {
        /// Which schema.
        schema: Schema,
        /// What Postgres or the connection says.
        source: sqlx::Error,
    },
    /// A migration fails, or the schema was made by a later release.
    #[error("cannot bring schema {schema} up to date")]
    Migration {
        /// Which schema.
        schema: Schema,
        /// Which migration, and why.
        source: MigrateError,
    },
}

impl Schema {
    /// A schema of this name.
    ///
    /// # Errors
    ///
    /// If the name would have to be quoted.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidSchema> {
        let name = name.into();
        let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase());
        let all_good = name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
        if starts_well && all_good && name.len() <= 63 { Ok(Self(Cow::Owned(name))) } else { Err(InvalidSchema) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Makes the schema and its tables, or brings them up to date. Does nothing if they are.
    pub(crate) async fn prepare(&self, pool: &PgPool) -> Result<(), PrepareError> {
        let failed = |source| PrepareError::Database { schema: self.clone(), source };
        let mut connection = self.connect(pool).await.map_err(failed)?;
        let create = format!("create schema if not exists {self}");
        // Asked first: `create schema if not exists` needs the right to create even if there is nothing to do.
        let exists = sqlx::query_scalar::<_, bool>("select to_regnamespace($1) is not null").bind(self.as_str());
        if !exists.fetch_one(&mut connection).await.map_err(failed)? {
            sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.map_err(failed)?;
        }
        let migrated = migrator().run_direct(None, &mut connection, false).await;
        migrated.map_err(|source| PrepareError::Migration { schema: self.clone(), source })?;
        backfill::duplicate_keys(&mut connection).await.map_err(failed)?;
        connection.close().await.map_err(failed)
    }

    /// A connection of its own, on which unqualified names are those of this schema.
    pub(crate) async fn connect(&self, pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
        let options = pool.connect_options();
        let connecting = tokio::time::timeout(CONNECT_WITHIN, PgConnection::connect_with(&options));
        let mut connection = connecting.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        sqlx::query("select set_config('search_path', $1, false)").bind(self.as_str()).execute(&mut connection).await?;
        Ok(connection)
    }
}

impl Default for Schema {
    /// `tasuki`.
    fn default() -> Self {
        Self(Cow::Borrowed("tasuki"))
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.to_vec());
    // Others may keep their own tables, and their own migrations, in the same schema.
    migrator.dangerous_set_table_name("projection_migrations");
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_needs_no_quotes() {
        assert_eq!(Schema::new("tasuki_2").map(|schema| schema.to_string()), Ok("tasuki_2".to_owned()));
        for bad in ["", "Tasuki", "2nd", "a-b", "a\"b", &"a".repeat(64)] {
            assert_eq!(Schema::new(bad), Err(InvalidSchema), "{bad}");
        }
    }
}
