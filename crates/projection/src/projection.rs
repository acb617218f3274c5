//! Reads the log, writes the tables, and outlives its dependencies' absence.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use tasuki_service::{Component, Shutdown};
use tasuki_stream::log::{ReadError, Reader};
use tasuki_wire::PartitionCount;

use crate::schema::{PrepareError, Schema};
use crate::writer::{Watermarks, WriteError, Writer, positions};
use crate::{dump, metrics};

/// How long a poll waits for records; no latency, since it returns with the first.
const POLL: Duration = Duration::from_millis(500);
/// How often an idle projection asks whether Postgres is still there, so that readiness is true within seconds.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How long after a failure the next attempt comes: doubled each time, from the first to the last of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The tables in one schema of one database, and what keeps them up to date.
///
/// The tables are a function of the set of records: neither the order in which topics are read nor where readings were
/// broken off and begun again makes a difference. The migrations in this crate say what each column means.
#[derive(Clone, Debug)]
pub struct Projection {
    pool: PgPool,
    schema: Schema,
}

/// The projection cannot go on, and waiting will not help.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What is to be read next is no longer on the log: rows would be missing for ever without anybody seeing it.
    #[error("the log no longer holds what the tables need next; they have to be built anew from the whole log")]
    Behind(#[source] ReadError),
}

/// Why one round of reading and writing ended.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot read the log")]
    Read(#[source] ReadError),
}

impl From<ReadError> for Interrupted {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl Projection {
    /// The tables in this schema of the database of the pool. Does nothing yet.
    pub fn new(pool: PgPool, schema: Schema) -> Self {
        Self { pool, schema }
    }

    /// Makes the schema and its tables, or brings them up to date. Does nothing if they are; several processes may do
    /// it at once.
    ///
    /// # Errors
    ///
    /// If Postgres cannot be reached or refuses, or if a later release has been at work here.
    pub async fn migrate(&self) -> Result<(), PrepareError> {
        self.schema.prepare(&self.pool).await
    }

    /// Reads the topics and writes the tables until `shutdown`; then what was read is either written or will be read
    /// again. While Postgres or the log is away it waits, says so through `component`, and goes on when they are back.
    ///
    /// Needs the tables ([`Projection::migrate`]) and a connection of its own beside those of the pool. The reader must
    /// take offset 0 for the beginning of a topic, wherever that is by now. Several at once do no harm and no good.
    ///
    /// # Errors
    ///
    /// Only [`RunError::Behind`].
    pub async fn run(
        &self,
        mut reader: Box<dyn Reader>,
        partitions: PartitionCount,
        component: Component,
        shutdown: Shutdown,
    ) -> Result<(), RunError> {
        let mut backoff = BACKOFF.0;
        loop {
            let mut progressed = false;
            let round = self.round(reader.as_mut(), partitions, &component, &mut progressed);
            let interrupted = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Err(interrupted) = round => interrupted,
            };
            if progressed {
                backoff = BACKOFF.0;
            }
            match interrupted {
                Interrupted::Write(WriteError::Superseded) => {
                    metrics::superseded();
                    tracing::warn!("another projection writes the same partitions; reading on from where it is");
                }
                Interrupted::Write(error) => wait_for(&component, "postgres", &error),
                Interrupted::Read(error @ ReadError::Unavailable(_)) => wait_for(&component, "log", &error),
                Interrupted::Read(error @ ReadError::NoSuchPosition(_)) => return Err(RunError::Behind(error)),
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// Everything the tables hold, as text, in one order: two readings of the same records give the same, byte for byte.
    /// For tests and small databases: it is held in memory.
    ///
    /// # Errors
    ///
    /// If Postgres cannot be reached or the tables are not there.
    pub async fn dump(&self) -> Result<String, sqlx::Error> {
        dump::dump(&self.pool, &self.schema).await
    }

    /// SHA-256 of [`Projection::dump`], in hexadecimal, for databases of any size.
    ///
    /// # Errors
    ///
    /// As for [`Projection::dump`].
    pub async fn fingerprint(&self) -> Result<String, sqlx::Error> {
        dump::fingerprint(&self.pool, &self.schema).await
    }

    /// Connects, takes up where the tables are, and moves records until something fails.
    async fn round(
        &self,
        reader: &mut dyn Reader,
        partitions: PartitionCount,
        component: &Component,
        progressed: &mut bool,
    ) -> Result<std::convert::Infallible, Interrupted> {
        let mut writer = Writer::connect(&self.pool, &self.schema, partitions).await?;
        let mut watermarks: Watermarks = writer.watermarks(partitions).await?;
        reader.seek(&positions(&watermarks)).await?;
        let mut last_answer = Instant::now();
        loop {
            let records = reader.poll(POLL).await?;
            if !records.is_empty() {
                writer.write(&records, &mut watermarks).await?;
                last_answer = Instant::now();
            } else if last_answer.elapsed() >= PING_EVERY {
                writer.ping().await?;
                last_answer = Instant::now();
            }
            *progressed = true;
            component.ready();
            metrics::lag(reader.lag());
        }
    }
}

/// Tells operators what is missing; the cause goes to the log, once per attempt.
fn wait_for(component: &Component, dependency: &'static str, error: &(dyn std::error::Error + 'static)) {
    metrics::retry(dependency);
    component.waiting(format!("{dependency} is not available"));
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = format!("{chain}: {cause}");
        source = cause.source();
    }
    tracing::warn!(dependency, error = chain, "trying again");
}
