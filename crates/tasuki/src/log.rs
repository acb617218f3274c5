//! The log the services run on: Kafka, or Postgres tables of this process.

use std::sync::Arc;

use anyhow::Context;
use tasuki_embedded::{EmbeddedLog, OpenError};
use tasuki_kafka::KafkaLog;
use tasuki_service::{Clock, Exit, Failure, Health};
use tasuki_stream::Processor;
use tasuki_stream::log::{Publisher, Reader};
use tasuki_wire::PartitionCount;

use crate::running::Running;
use crate::services::Parts;

/// Either log.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    Embedded(EmbeddedLog),
    Kafka(Arc<KafkaLog>),
}

impl Log {
    /// Kafka, its topics made or checked.
    pub(crate) async fn kafka(settings: tasuki_kafka::Settings) -> Result<Self, Failure> {
        let opened = KafkaLog::open(settings).await.map_err(|error| error.failure())?;
        tasuki_kafka::describe_metrics();
        Ok(Self::Kafka(Arc::new(opened)))
    }

    /// Tables in this database.
    pub(crate) async fn embedded(database_url: &str, clock: Arc<dyn Clock>, health: &Health) -> Result<Self, Failure> {
        let component = health.component("log");
        let opened = EmbeddedLog::open(database_url, PartitionCount::DEFAULT, clock, component).await;
        opened.map(Self::Embedded).map_err(|error| not_opened(&error))
    }

    /// Writes what was sent, and ends.
    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            Self::Kafka(_) => {}
        }
    }

    /// As the ready line calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Kafka(_) => "kafka",
        }
    }

    /// The brokers, if it has any.
    pub(crate) fn bootstrap_servers(&self) -> Option<&str> {
        match self {
            Self::Embedded(_) => None,
            Self::Kafka(log) => Some(&log.settings().bootstrap_servers),
        }
    }

    pub(crate) fn partitions(&self) -> PartitionCount {
        match self {
            Self::Embedded(log) => log.partitions(),
            Self::Kafka(log) => log.partitions(),
        }
    }

    pub(crate) fn publisher(&self) -> anyhow::Result<Arc<dyn Publisher>> {
        Ok(match self {
            Self::Embedded(log) => Arc::new(log.publisher()),
            Self::Kafka(log) => Arc::new(log.publisher().map_err(|error| error.failure())?),
        })
    }

    pub(crate) fn reader(&self) -> anyhow::Result<Box<dyn Reader>> {
        Ok(match self {
            Self::Embedded(log) => Box::new(log.reader()),
            Self::Kafka(log) => Box::new(log.reader().map_err(|error| error.failure())?),
        })
    }

    /// Runs a processor until the process stops.
    pub(crate) fn run(&self, processor: impl Processor, parts: &Parts, running: &mut Running) -> anyhow::Result<()> {
        let service = processor.topology().service;
        let clock = Arc::clone(&parts.clock);
        match self {
            Self::Embedded(log) => {
                let (log, component) = (log.clone(), parts.health.component(service));
                running.task(service, |shutdown| async move {
                    log.run(processor, component, clock, shutdown).await.map_err(anyhow::Error::from)
                });
            }
            Self::Kafka(log) => {
                let processor = Arc::new(processor);
                for worker in 0..log.settings().workers {
                    let component = parts.health.component(format!("{service}-{worker}"));
                    let (log, processor, clock) = (Arc::clone(log), Arc::clone(&processor), Arc::clone(&clock));
                    running
                        .thread(service, move |shutdown| {
                            log.run_worker(&processor, worker, &*clock, &component, &shutdown)
                                .map_err(anyhow::Error::from)
                        })
                        .with_context(|| format!("no thread for {service}"))?;
                }
            }
        }
        Ok(())
    }
}

/// Why the embedded log cannot be opened, for the person who started the process.
fn not_opened(error: &OpenError) -> Failure {
    let (exit, mend) = match error {
        OpenError::Address(_) => (Exit::Config, "write it as postgres://user:password@host:port/database"),
        OpenError::Unreachable(_) | OpenError::Silent => (
            Exit::Unavailable,
            "start it, or name another with DATABASE_URL; without it, `tasuki up` starts one of its own",
        ),
        OpenError::TooOld { .. } => (Exit::Unavailable, "use PostgreSQL 14 or later"),
        OpenError::InUse => (
            Exit::Unavailable,
            "stop the other process, or give this one a database of its own; several processes need Kafka as the log",
        ),
        OpenError::Partitions { .. } => (Exit::Config, "the number of partitions never changes; use another database"),
        OpenError::Schema(_) | OpenError::Query(_) => {
            (Exit::Unavailable, "look at what Postgres says; the user needs the right to make a schema")
        }
    };
    let mut what = format!("DATABASE_URL: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        what = format!("{what}: {cause}");
        source = cause.source();
    }
    Failure::new(exit, what, mend)
}
