//! The log on Kafka, opened: the broker answers and is new enough, the topics are there and as they must be.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use tasuki_service::{Clock, Component, Exit, Failure, Shutdown};
use tasuki_stream::Processor;
use tasuki_wire::PartitionCount;

use crate::client::{self, Quiet, chain};
use crate::publisher::KafkaPublisher;
use crate::reader::KafkaReader;
use crate::settings::{InvalidSettings, Settings};
use crate::topics::{self, Difference};
use crate::worker::{self, WorkerError};

/// How long a broker may take to describe itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// The oldest Kafka with fencing by consumer group generation (KIP-447), on which the exactly-once of a worker rests.
const OLDEST: (u32, u32) = (2, 5);

/// The log on Kafka. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KafkaLog {
    settings: Arc<Settings>,
    partitions: PartitionCount,
}

/// The log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// librdkafka refuses the configuration.
    #[error("the Kafka client cannot be set up")]
    Client(#[source] KafkaError),
    /// Nobody answers.
    #[error("no Kafka broker answers at {servers}")]
    Unreachable {
        /// Who was asked.
        servers: String,
        /// What happened.
        #[source]
        source: KafkaError,
    },
    /// The broker lacks what exactly-once needs.
    #[error("the Kafka broker is too old: it works as version {found}, and {}.{} or later is needed", OLDEST.0, OLDEST.1)]
    TooOld {
        /// What it says of itself.
        found: String,
    },
    /// Topics exist and are not as they must be.
    #[error("topics exist with other settings:\n{}", .0.iter().map(Difference::to_string).collect::<Vec<_>>().join("\n"))]
    Different(Vec<Difference>),
    /// A topic could not be made.
    #[error("topic {topic} cannot be made")]
    NotMade {
        /// Its name on the cluster.
        topic: String,
        /// What the broker said.
        #[source]
        reason: RDKafkaErrorCode,
    },
    /// The broker refused another administrative request.
    #[error("the Kafka broker refuses to describe or make topics")]
    Admin(#[source] KafkaError),
}

impl OpenError {
    /// The same for the person who started the process: what to mend, and the exit code.
    pub fn failure(&self) -> Failure {
        let (exit, mend) = match self {
            Self::Settings(_) => (Exit::Config, "change the settings named above; --help lists all of them"),
            Self::Client(_) => {
                (Exit::Config, "look at --kafka-property: librdkafka's CONFIGURATION.md lists all of them")
            }
            Self::Unreachable { .. } => (
                Exit::Unavailable,
                "start the broker, or name another with KAFKA_BOOTSTRAP_SERVERS; without it, `deploy/up` runs on the \
                 embedded log and `deploy/up --kafka` starts a broker of its own",
            ),
            Self::TooOld { .. } => (Exit::Unavailable, "use Apache Kafka 2.5 or later; 4.x is what is tested"),
            Self::Different(_) => (
                Exit::Config,
                "set them with `kafka-configs --alter`, or keep apart from what is there with KAFKA_TOPIC_PREFIX; a \
                 partition count can never change: set KAFKA_PARTITIONS to the one that is there",
            ),
            Self::NotMade { .. } => (
                Exit::Unavailable,
                "look at what the broker says: it may lack permissions for us, or brokers for KAFKA_REPLICATION_FACTOR",
            ),
            Self::Admin(_) => (Exit::NoPermission, "allow us DESCRIBE_CONFIGS and CREATE on these topics"),
        };
        Failure::new(exit, chain(self), mend)
    }
}

impl KafkaLog {
    /// Checks settings and broker, makes the topics that are missing, and compares those that are there.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was made then unless it says otherwise.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        settings.check()?;
        let config = client::base(&settings, &settings.member("open", 0));
        let admin = AdminClient::from_config_and_context(&config, Quiet).map_err(OpenError::Client)?;
        let admin = Arc::new(admin);
        refuse_old_broker(&admin, &topics::metadata(&admin, &settings).await?).await?;
        let partitions = topics::ensure(&admin, &settings).await?;
        Ok(Self { settings: Arc::new(settings), partitions })
    }

    /// How many partitions every topic has.
    pub fn partitions(&self) -> PartitionCount {
        self.partitions
    }

    /// What was set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A publisher; one per process is enough.
    ///
    /// # Errors
    ///
    /// If librdkafka refuses the configuration.
    pub fn publisher(&self) -> Result<KafkaPublisher, OpenError> {
        KafkaPublisher::new(self).map_err(OpenError::Client)
    }

    /// A reader with positions of its own.
    ///
    /// # Errors
    ///
    /// If librdkafka refuses the configuration.
    pub fn reader(&self) -> Result<KafkaReader, OpenError> {
        KafkaReader::new(self).map_err(OpenError::Client)
    }

    /// Runs a processor on the partitions that its consumer group gives to this worker, until `shutdown`. Blocks: each
    /// worker (0, 1, 2 ... below [`Settings::workers`]) has a thread of its own.
    ///
    /// When brokers go away it waits, says so through `component`, and goes on when they are back.
    ///
    /// # Errors
    ///
    /// [`WorkerError`] where waiting would not help. Nothing is lost then, and nothing done twice after another start.
    pub fn run_worker<P: Processor>(
        &self,
        processor: &Arc<P>,
        worker: u16,
        clock: &dyn Clock,
        component: &Component,
        shutdown: &Shutdown,
    ) -> Result<(), WorkerError> {
        worker::run(self, processor, worker, clock, component, shutdown)
    }
}

/// Brokers before 4.0 say as which version they work together; later ones do not have that setting any more.
async fn refuse_old_broker(admin: &AdminClient<Quiet>, metadata: &Metadata) -> Result<(), OpenError> {
    let Some(broker) = metadata.brokers().first() else { return Ok(()) };
    let specifier = ResourceSpecifier::Broker(broker.id());
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).broker_id(broker.id());
    let described = admin.describe_configs([&specifier], &options).await;
    let found = match described.map(|mut results| results.pop()) {
        Ok(Some(Ok(resource))) => {
            resource.entry_map().get("inter.broker.protocol.version").and_then(|entry| entry.value.clone())
        }
        // Before 0.11 there is no such request.
        Err(KafkaError::AdminOp(RDKafkaErrorCode::UnsupportedFeature)) => Some("0.10 or earlier".to_owned()),
        Ok(Some(Err(code))) => {
            tracing::info!(%code, "the broker does not tell its version; taken to be new enough");
            None
        }
        Err(error) => {
            tracing::info!(%error, "the broker does not tell its version; taken to be new enough");
            None
        }
        Ok(None) => None,
    };
    match found {
        Some(found) if is_too_old(&found) => Err(OpenError::TooOld { found }),
        Some(_) | None => Ok(()),
    }
}

/// For example `2.4-IV1` or `3.9`.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', ' ']).map_while(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) < OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_brokers_are_too_old() {
        for old in ["0.10 or earlier", "0.11.0-IV2", "1.1", "2.4-IV1"] {
            assert!(is_too_old(old), "{old}");
        }
        for new in ["2.5-IV0", "3.9-IV0", "4.3", "a version of the future"] {
            assert!(!is_too_old(new), "{new}");
        }
    }
}
