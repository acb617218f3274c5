//! The log the services run on: Kafka, or Postgres tables of this process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tasuki_embedded::EmbeddedLog;
use tasuki_kafka::{KafkaLog, KafkaPublisher};
use tasuki_service::{Clock, Failure, Health};
use tasuki_stream::Processor;
use tasuki_stream::log::{Publisher, Reader};
use tasuki_wire::PartitionCount;

use crate::running::Running;
use crate::services::Parts;

/// How long Kafka may take to answer, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// Either log.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    Embedded(EmbeddedLog),
    Kafka {
        log: KafkaLog,
        /// The one producer of this process for what does not come from processors.
        publisher: Arc<KafkaPublisher>,
    },
}

impl Log {
    /// Kafka, its topics made or checked.
    pub(crate) async fn kafka(settings: tasuki_kafka::Settings) -> Result<Self, Failure> {
        let log = KafkaLog::open(settings).await.map_err(|error| error.failure())?;
        let publisher = Arc::new(log.publisher().map_err(|error| error.failure())?);
        tasuki_kafka::describe_metrics();
        Ok(Self::Kafka { log, publisher })
    }

    /// Tables in this database.
    pub(crate) async fn embedded(database_url: &str, clock: Arc<dyn Clock>, health: &Health) -> Result<Self, Failure> {
        tasuki_embedded::metrics::describe();
        let component = health.component("log");
        let opened = EmbeddedLog::open(database_url, PartitionCount::DEFAULT, clock, component).await;
        Ok(Self::Embedded(opened?))
    }

    /// Tells, as component `log`, whether the log answers. The embedded log does so itself; of Kafka it is asked every
    /// other second, since whoever only writes to it would not notice before the next event.
    pub(crate) fn watch(&self, health: &Health, running: &mut Running) {
        let Self::Kafka { publisher, .. } = self else { return };
        let asked = Arc::clone(publisher);
        let component = health.component("log");
        running.task("log", |shutdown| async move {
            loop {
                let asked = Arc::clone(&asked);
                let answers = tokio::task::spawn_blocking(move || asked.answers(PATIENCE)).await?;
                if answers {
                    component.ready();
                } else {
                    component.waiting("kafka does not answer");
                }
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    () = tokio::time::sleep(PATIENCE) => {}
                }
            }
        });
    }

    /// Writes what was sent, and ends.
    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            Self::Kafka { .. } => {}
        }
    }

    /// As the ready line calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Kafka { .. } => "kafka",
        }
    }

    /// The brokers, if it has any.
    pub(crate) fn bootstrap_servers(&self) -> Option<&str> {
        match self {
            Self::Embedded(_) => None,
            Self::Kafka { log, .. } => Some(&log.settings().bootstrap_servers),
        }
    }

    pub(crate) fn partitions(&self) -> PartitionCount {
        match self {
            Self::Embedded(log) => log.partitions(),
            Self::Kafka { log, .. } => log.partitions(),
        }
    }

    pub(crate) fn publisher(&self) -> Arc<dyn Publisher> {
        match self {
            Self::Embedded(log) => Arc::new(log.publisher()),
            Self::Kafka { publisher, .. } => Arc::clone(publisher) as Arc<dyn Publisher>,
        }
    }

    pub(crate) fn reader(&self) -> anyhow::Result<Box<dyn Reader>> {
        Ok(match self {
            Self::Embedded(log) => Box::new(log.reader()),
            Self::Kafka { log, .. } => Box::new(log.reader().map_err(|error| error.failure())?),
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
            Self::Kafka { log, .. } => {
                let processor = Arc::new(processor);
                for worker in 0..log.settings().workers {
                    let component = parts.health.component(format!("{service}-{worker}"));
                    let (log, processor, clock) = (log.clone(), Arc::clone(&processor), Arc::clone(&clock));
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
