//! Runs the services of the pipeline on Kafka, exactly once: one Kafka transaction holds the outputs of a service, the
//! changes of its state, its dead letters and the offsets of what it read.
//!
//! [`KafkaLog::open`] checks the broker and makes the topics. [`KafkaLog::run_worker`] runs a [`Processor`] on a thread:
//! `worker` is its loop, `group` what the consumer group says, `partitions` what is kept for each partition, `restore`
//! how state comes back, `producer` the transactions, `poison` what becomes of records that cannot be processed.
//! [`KafkaPublisher`] and [`KafkaReader`] are for those that are no processors.
//!
//! [`Processor`]: tasuki_stream::Processor

mod client;
mod commit;
mod group;
mod metrics;
mod open;
mod outbox;
mod partitions;
mod poison;
mod polled;
mod producer;
mod publisher;
mod reader;
mod restore;
mod settings;
mod topics;
mod watchdog;
mod worker;

pub use metrics::describe as describe_metrics;
pub use open::{KafkaLog, OpenError};
pub use publisher::KafkaPublisher;
pub use reader::KafkaReader;
#[cfg(feature = "drill")]
pub use settings::Rule;
pub use settings::{Fault, InvalidSettings, Property, Settings};
pub use topics::Difference;
pub use worker::WorkerError;
