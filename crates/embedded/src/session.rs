//! The writer's connection. Whoever holds it holds the advisory lock, and is the only one to write.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::OpenError;

/// The oldest server that works, as `server_version_num`.
const OLDEST_SERVER: i32 = 140_000;
/// The advisory lock that says who writes: `tasukilo` as a number.
const LOCK: i64 = 0x7461_7375_6b69_6c6f;
/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The connection of a process that has just been killed may take a moment to end.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// A connection that holds the lock.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: PgConnection,
    /// The server process behind it.
    pub(crate) backend: i32,
}

impl Session {
    /// Connects and takes the lock. `before` is the server process of our own connection before this one: should it
    /// still live, it is ended, so that whatever it was about to commit is decided.
    pub(crate) async fn open(options: &PgConnectOptions, before: Option<i32>) -> Result<Self, OpenError> {
        let options = options.clone().application_name("tasuki log writer").disable_statement_logging();
        let connected = timeout(CONNECT_WITHIN, options.connect()).await;
        let mut connection = connected.map_err(|_| OpenError::Silent)?.map_err(OpenError::Unreachable)?;
        let version: i32 =
            sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(&mut connection).await?;
        if version < OLDEST_SERVER {
            return Err(OpenError::TooOld { found: version / 10_000 });
        }
        // What is acknowledged is on disk, whatever the server's own settings say.
        sqlx::query("SET synchronous_commit = on").execute(&mut connection).await?;
        let backend = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
        if let Some(before) = before {
            end(&mut connection, before).await?;
        }
        let begun = Instant::now();
        while !lock(&mut connection).await? {
            if begun.elapsed() > LOCK_WITHIN {
                let ours = before.is_some() && holder(&mut connection).await? == before;
                return Err(if ours { OpenError::Silent } else { OpenError::InUse });
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { connection, backend })
    }

    /// Makes sure that the server still answers: one message there, one back, no transaction. Has no limit of its own.
    pub(crate) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.connection.ping().await
    }
}

async fn lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(connection).await
}

/// Ends the server process if it is the one that holds the lock; another process may have its number by now.
async fn end(connection: &mut PgConnection, backend: i32) -> Result<(), sqlx::Error> {
    if holder(connection).await? == Some(backend) {
        sqlx::query("SELECT pg_terminate_backend($1)").bind(backend).execute(connection).await?;
    }
    Ok(())
}

/// The server process that holds the lock.
async fn holder(connection: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT pid FROM pg_locks
         WHERE locktype = 'advisory' AND granted AND objsubid = 1
           AND classid::bigint = $1 >> 32 AND objid::bigint = $1 & 4294967295
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .bind(LOCK)
    .fetch_optional(connection)
    .await
}
