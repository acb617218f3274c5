//! The log itself: opened once in a process, handed to all who write, read or work on it.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tasuki_service::{Clock, Component, Exit, Failure, Shutdown};
use tasuki_stream::Processor;
use tasuki_wire::{PartitionCount, Topic};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::schema::{self, TopicIds};
use crate::session::{Name, Opening, Session};
use crate::tail::Tails;
use crate::worker::{RunError, Worker};
use crate::writer::{Job, Writer};
use crate::{EmbeddedPublisher, EmbeddedReader, retention};

/// How many jobs may wait for the writer.
const QUEUE: usize = 4_096;
/// How much may wait to be written for ingest and console, in KiB.
pub(crate) const WAITING_KIB: usize = 64 * 1024;
/// Connections for reading what is no longer in memory.
const READING_CONNECTIONS: u32 = 6;

/// The log as Postgres tables. Clones are the same log.
#[derive(Clone, Debug)]
pub struct EmbeddedLog {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) jobs: mpsc::Sender<Job>,
    /// One permit for each KiB that may wait.
    pub(crate) waiting: Arc<Semaphore>,
    pub(crate) tails: Arc<Tails>,
    pub(crate) pool: PgPool,
    pub(crate) topics: TopicIds,
    closing: Shutdown,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be read.
    #[error("the address of the database cannot be read")]
    Address(#[source] sqlx::Error),
    /// No server, or it refuses us.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// A server that says nothing.
    #[error("the database does not answer")]
    Silent,
    /// An old server.
    #[error("Postgres {found} is too old: 14 or later is needed")]
    TooOld {
        /// Its major version.
        found: i32,
    },
    /// Somebody else has the log open.
    #[error("another process of tasuki works on this database")]
    InUse,
    /// The log was made with another number of partitions.
    #[error("the log has {found} partitions, the settings say {wanted}")]
    Partitions {
        /// What the log has.
        found: i32,
        /// What the settings say.
        wanted: i32,
    },
    /// The tables cannot be made or brought up to date.
    #[error("the tables of the log cannot be made or brought up to date")]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// A query failed.
    #[error("the database refuses")]
    Query(#[from] sqlx::Error),
}

impl EmbeddedLog {
    /// Opens the log in this database, and makes its tables if they are not there. To be called inside a tokio runtime,
    /// which the writer then runs on. `component` tells whether the log can be written.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached or used, or another process has the log open.
    pub async fn open(
        url: &str,
        partitions: PartitionCount,
        clock: Arc<dyn Clock>,
        component: Component,
    ) -> Result<Self, OpenError> {
        let options: PgConnectOptions = url.parse().map_err(OpenError::Address)?;
        let name = Name::new();
        let mut session = Session::open(&options, &name, Opening::First).await?;
        schema::migrate(&mut session.connection).await?;
        let contents = schema::load(&mut session.connection, partitions).await?;
        let tails = Arc::new(Tails::new(partitions, &contents.ends));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let closing = Shutdown::new();
        let writer = Writer {
            jobs: queue,
            options: options.clone(),
            name,
            session: Some(session),
            topics: contents.topics.clone(),
            commits: contents.commits,
            tails: Arc::clone(&tails),
            clock: Arc::clone(&clock),
            component: component.clone(),
            generations: HashMap::new(),
            closing: closing.clone(),
        };
        let pool = PgPoolOptions::new()
            .max_connections(READING_CONNECTIONS)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options.application_name("tasuki log reader"));
        let retention = retention::run(pool.clone(), contents.topics.clone(), clock, closing.clone());
        let tasks = vec![tokio::spawn(writer.run()), tokio::spawn(retention)];
        component.ready();
        let shared = Shared {
            jobs,
            waiting: Arc::new(Semaphore::new(WAITING_KIB)),
            tails,
            pool,
            topics: contents.topics,
            closing,
            tasks: Mutex::new(tasks),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Writes to the log.
    pub fn publisher(&self) -> EmbeddedPublisher {
        EmbeddedPublisher::new(Arc::clone(&self.shared))
    }

    /// Reads the log. Reads nothing until it is told where to begin.
    pub fn reader(&self) -> EmbeddedReader {
        EmbeddedReader::new(Arc::clone(&self.shared))
    }

    /// How many partitions every topic has.
    pub fn partitions(&self) -> PartitionCount {
        self.shared.tails.partitions()
    }

    /// Lets a processor run on every partition, until `shutdown`: the transaction under way is finished then.
    /// `component` tells whether it runs. Dropping the future is a crash: harmless to the log.
    ///
    /// # Errors
    ///
    /// If its state cannot be read, the log is closed, or the processor is started a second time, which ends the first.
    pub fn run<P: Processor>(
        &self,
        processor: P,
        component: Component,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> impl Future<Output = Result<(), RunError>> + Send + 'static {
        Worker::new(Arc::clone(&self.shared), processor, component, clock, shutdown).run()
    }

    /// Removes what topics keep no longer; what the log does by itself every so often. Says how many records it was.
    ///
    /// # Errors
    ///
    /// If the database does not answer; what was removed by then is.
    pub async fn remove_expired(&self, now: tasuki_domain::Timestamp) -> Result<u64, sqlx::Error> {
        let mut removed = 0;
        for &topic in Topic::ALL {
            removed += retention::remove_expired(&self.shared.pool, &self.shared.topics, topic, now).await?;
        }
        Ok(removed)
    }

    /// Ends the log: what was sent to it before is written, what comes after is refused.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        for task in self.shared.tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the log failed");
            }
        }
        self.shared.pool.close().await;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (exit, mend) = match &error {
            OpenError::Address(_) => {
                (Exit::Config, "write DATABASE_URL as postgres://user:password@host:port/database")
            }
            OpenError::Unreachable(_) | OpenError::Silent => (
                Exit::Unavailable,
                "start the server and see that DATABASE_URL names its host, port, user and database; or unset \
                 DATABASE_URL for a private server",
            ),
            OpenError::TooOld { .. } => {
                (Exit::Unavailable, "upgrade the server, or unset DATABASE_URL for a private one")
            }
            OpenError::InUse => (Exit::TemporaryFailure, "stop the other process first, or use another database"),
            OpenError::Partitions { .. } => {
                (Exit::Config, "set the number of partitions to what the log has: it never changes")
            }
            OpenError::Schema(_) | OpenError::Query(_) => (
                Exit::Unavailable,
                "see that the user may create schemas in the database, and that this release is not older than the \
                 one that ran before",
            ),
        };
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            what = format!("{what}: {cause}");
            source = cause.source();
        }
        Self::new(exit, what, mend)
    }
}
