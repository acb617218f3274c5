//! The writer's connection. Whoever holds it holds the advisory lock, and is the only one to write.

use std::hash::{BuildHasher, RandomState};
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

/// Who writes: under this name the server knows every connection of one opened log, and of no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// One that nobody else has.
    pub(crate) fn new() -> Self {
        Self(format!("tasuki log writer {:016x}", RandomState::new().hash_one(std::process::id())))
    }
}

/// Whether a log is opened, or was open all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A process before us may just be ending.
    First,
    /// We held the lock. Whoever else has it now has taken it from us.
    Again,
}

/// A connection that holds the lock.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: PgConnection,
}

impl Session {
    /// Connects and takes the lock. Should an earlier connection of our own still hold it, that one is ended, so that
    /// whatever it was about to commit is decided.
    pub(crate) async fn open(options: &PgConnectOptions, name: &Name, opening: Opening) -> Result<Self, OpenError> {
        let options = options.clone().application_name(&name.0).disable_statement_logging();
        let connected = timeout(CONNECT_WITHIN, options.connect()).await;
        let mut connection = connected.map_err(|_| OpenError::Silent)?.map_err(OpenError::Unreachable)?;
        let version: i32 =
            sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(&mut connection).await?;
        if version < OLDEST_SERVER {
            return Err(OpenError::TooOld { found: version / 10_000 });
        }
        // What is acknowledged is on disk, whatever the server's own settings say.
        sqlx::query("SET synchronous_commit = on").execute(&mut connection).await?;
        let begun = Instant::now();
        while !lock(&mut connection).await? {
            let holder = holder(&mut connection).await?;
            let ours = holder.as_ref().is_some_and(|(_, of)| of.as_ref() == Some(name));
            match holder {
                Some((backend, _)) if ours => end(&mut connection, backend).await?,
                Some(_) if opening == Opening::Again => return Err(OpenError::InUse),
                Some(_) | None => {}
            }
            if begun.elapsed() > LOCK_WITHIN {
                return Err(if ours { OpenError::Silent } else { OpenError::InUse });
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { connection })
    }

    /// Makes sure that the server still answers: one message there, one back, no transaction. Has no limit of its own.
    pub(crate) async fn ping(&mut self) -> Result<(), sqlx::Error> {
        self.connection.ping().await
    }
}

async fn lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(connection).await
}

async fn end(connection: &mut PgConnection, backend: i32) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_terminate_backend($1)").bind(backend).execute(connection).await.map(|_| ())
}

/// The server process that holds the lock, and whose connection it serves.
async fn holder(connection: &mut PgConnection) -> Result<Option<(i32, Option<Name>)>, sqlx::Error> {
    let found: Option<(i32, Option<String>)> = sqlx::query_as(
        "SELECT l.pid, a.application_name FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.classid::bigint = $1 >> 32 AND l.objid::bigint = $1 & 4294967295
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .bind(LOCK)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(backend, name)| (backend, name.map(Name))))
}
