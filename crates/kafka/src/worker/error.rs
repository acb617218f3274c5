//! What ends a worker, and what only interrupts it.

use rdkafka::error::KafkaError;
use tasuki_service::{Exit, Failure};
use tasuki_stream::{Poison, StateError};
use tasuki_wire::{Partition, Topic};

use crate::client::chain;
use crate::producer::Failed;

/// A worker ended because waiting would not help. Nothing is lost, and nothing is done twice after another start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// librdkafka refuses a configuration or a call.
    #[error("the Kafka client cannot be used")]
    Client(#[source] KafkaError),
    /// No thread could be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// Another process has the same name.
    #[error("another process runs as {member}: {reason}")]
    Fenced {
        /// Group member and transactional id.
        member: String,
        /// As librdkafka tells it.
        reason: String,
    },
    /// There is state, but no record of how far its inputs were read.
    #[error("consumer group {group} has no offset for {place}, though {state} holds state of it")]
    OffsetsLost {
        /// The group.
        group: String,
        /// Topic and partition.
        place: String,
        /// The state topic.
        state: Topic,
    },
    /// What was to be read next is not on the log any more.
    #[error("records that {service} has not read yet are gone: {reason}")]
    PositionGone {
        /// The service.
        service: &'static str,
        /// As librdkafka tells it.
        reason: String,
    },
    /// The state topic holds what this release cannot read.
    #[error("{topic} partition {partition} offset {offset} cannot be read back")]
    BrokenState {
        /// The state topic.
        topic: Topic,
        /// Its partition.
        partition: Partition,
        /// The record.
        offset: i64,
        /// Why.
        #[source]
        source: StateError,
    },
    /// The processor fails on a deadline, for which there is no dead letter.
    #[error("a deadline of {service} partition {partition} cannot be processed")]
    Deadline {
        /// The service.
        service: &'static str,
        /// The partition.
        partition: Partition,
        /// Why.
        #[source]
        source: Poison,
    },
    /// What follows from a deadline is nothing the log takes.
    #[error("the log does not take what {service} wrote")]
    Output {
        /// The service.
        service: &'static str,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// Most records cannot be processed.
    #[error("{service} could not process {refused} of {of} records within a minute")]
    Flood {
        /// The service.
        service: &'static str,
        /// How many.
        refused: u64,
        /// Of how many.
        of: u64,
    },
    /// The broker forbids what a worker needs.
    #[error("the Kafka broker refuses transactions")]
    Refused(#[source] KafkaError),
}

impl WorkerError {
    /// The same for the person who runs the process: what to mend, and the exit code.
    pub fn failure(&self) -> Failure {
        let (exit, mend) = match self {
            Self::Client(_) => (Exit::Software, "look at --kafka-property; if nothing is set there, report a defect"),
            Self::Thread(_) => (Exit::OsError, "raise the limit on threads (ulimit -u)"),
            Self::Fenced { .. } => (Exit::Config, "end one of the two, or give each a name of its own with KAFKA_SLOT"),
            Self::OffsetsLost { .. } => (
                Exit::Data,
                "the group's offsets have expired (offsets.retention.minutes) or were deleted; set them to where the \
                 service stopped with `kafka-consumer-groups --reset-offsets`, or delete the records of the state topic \
                 as well, to begin from the start",
            ),
            Self::PositionGone { .. } => (
                Exit::Data,
                "the service was stopped for longer than the topic keeps its records; set the group's offsets with \
                 `kafka-consumer-groups --reset-offsets`, knowing that what is gone is lost to it",
            ),
            Self::BrokenState { .. } => (Exit::Data, "run the release that wrote it, or a later one"),
            Self::Deadline { .. } | Self::Output { .. } => {
                (Exit::Software, "report a defect; other partitions stand still too until it is mended")
            }
            Self::Flood { .. } => (
                Exit::Data,
                "look at the latest dead-letters: if the records are right, run another release; if they are wrong \
                 indeed, raise --kafka-poison-limit or --kafka-poison-percent",
            ),
            Self::Refused(_) => (
                Exit::NoPermission,
                "allow us WRITE on our transactional ids (prefix, service, slot, worker), and set \
                 --kafka-transaction-timeout-ms below the broker's transaction.max.timeout.ms",
            ),
        };
        Failure::new(exit, chain(self), mend)
    }
}

/// Why a step of the loop was not done.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The group decided something, or the worker is to stop: look there first.
    Interrupted,
    /// The transaction under way cannot be committed, or was not for certain.
    Failed(Failed),
    /// The consumer cannot go on; a new session can.
    Anew(String),
    /// Nothing can be done from here.
    Fatal(WorkerError),
}

impl From<WorkerError> for Trouble {
    fn from(error: WorkerError) -> Self {
        Self::Fatal(error)
    }
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}
