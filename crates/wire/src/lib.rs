//! What stands on the log: the events as protobuf, the catalogue of topics, and which partition a key belongs to.
//!
//! The messages in [`v1`] are generated from `proto/`. [`behavior`] writes the first of them without a tree of texts. [`meta`] turns their common head into typed values; [`topic`]
//! says which message stands on which topic. [`contract`] is the one topic that speaks JSON, for everybody outside.

pub mod behavior;
pub mod contract;
pub mod evidence;
pub mod headers;
pub mod meta;
pub mod partition;
pub mod signal;
pub mod topic;
pub mod track;

/// The messages of `proto/tasuki/v1`.
#[allow(missing_docs, clippy::large_enum_variant, reason = "generated; documented in proto/")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/tasuki.v1.rs"));
}

pub use meta::{Head, InvalidHead};
pub use partition::{Partition, PartitionCount};
pub use topic::Topic;
