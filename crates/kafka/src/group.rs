//! A worker's place in the consumer group of its service.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tasuki_stream::Topology;
use tasuki_wire::{Partition, Topic};

use crate::client::{self, Alarm, undelivered};
use crate::metrics;
use crate::open::KafkaLog;

/// How long a move may take that asks nobody but librdkafka itself.
const SEEK_WITHIN: Duration = Duration::from_secs(5);

/// What the group decided. Acted upon by the worker's loop, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// These partitions, of every input topic, are this worker's from now on.
    Assigned(BTreeSet<Partition>),
    /// None is any more. `lost`: others may have them already.
    Revoked { lost: bool },
}

/// The worker's membership. Leaves no trace when dropped: a static member keeps its place for the session timeout.
pub(crate) struct Group {
    consumer: BaseConsumer<GroupContext>,
    inputs: Vec<(String, Topic)>,
}

/// Next offsets by input topic and partition.
pub(crate) type Offsets = BTreeMap<(Topic, Partition), i64>;

/// What librdkafka calls from within `poll`.
///
/// Decisions are only noted down here; the loop acts on them and then assigns or unassigns, on which the group waits. So
/// the transaction of a revoked partition is over before anybody else gets the partition (R4), and no callback has to
/// reach into the loop's state.
struct GroupContext {
    service: &'static str,
    inputs: Vec<(String, Topic)>,
    decisions: Mutex<VecDeque<Decision>>,
    closing: AtomicBool,
    alarm: Arc<Alarm>,
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.alarm.watch(facility);
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        for (name, topic) in &self.inputs {
            metrics::lag(self.service, topic.name(), undelivered(&statistics, name));
        }
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Acquire) {
            // Nobody acts on decisions any more, and closing waits for this.
            if let Err(error) = consumer.unassign() {
                tracing::debug!(service = self.service, %error, "unassign while closing");
            }
            return;
        }
        let decision = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let numbers = list
                .elements()
                .iter()
                .filter_map(|element| u16::try_from(element.partition()).ok())
                .collect::<Vec<_>>();
            Decision::Assigned(numbers.into_iter().map(Partition::new).collect())
        } else {
            Decision::Revoked { lost: consumer.assignment_lost() }
        };
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).push_back(decision);
    }
}

impl Group {
    /// Joins the group of the service.
    pub(crate) fn join(log: &KafkaLog, topology: &Topology, worker: u16, alarm: Arc<Alarm>) -> KafkaResult<Self> {
        let settings = log.settings();
        let service = topology.service;
        let member = settings.member(service, worker);
        let inputs: Vec<_> = topology.inputs.iter().map(|&topic| (settings.topic_name(topic), topic)).collect();
        let mut config = client::consumer(settings, &member, &settings.group(service));
        config
            // KIP-848 commits need the exact member epoch, and abort when it moves between two heartbeats.
            .set("group.protocol", "classic")
            // Gives the same-numbered partitions of all input topics to the same worker; cooperative-sticky does not.
            .set("partition.assignment.strategy", "range")
            // A restart within the session timeout finds its partitions again without anybody else moving.
            .set("group.instance.id", &member)
            .set("session.timeout.ms", settings.session_timeout_ms.to_string())
            .set("max.poll.interval.ms", settings.session_timeout_ms.max(60_000).to_string())
            .set("statistics.interval.ms", "5000");
        let context = GroupContext {
            service,
            inputs: inputs.clone(),
            decisions: Mutex::default(),
            closing: AtomicBool::new(false),
            alarm,
        };
        let consumer = BaseConsumer::from_config_and_context(&config, context)?;
        let names: Vec<_> = inputs.iter().map(|(name, _)| name.as_str()).collect();
        consumer.subscribe(&names)?;
        Ok(Self { consumer, inputs })
    }

    /// The next record, or what went wrong; nothing where there is none, or where the group decided something.
    pub(crate) fn poll(&self, at_most: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.consumer.poll(at_most)
    }

    /// The next decision that was not acted upon.
    pub(crate) fn next_decision(&self) -> Option<Decision> {
        self.consumer.context().decisions.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether there is one.
    pub(crate) fn has_decided(&self) -> bool {
        !self.consumer.context().decisions.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Which input topic goes by this name.
    pub(crate) fn topic(&self, name: &str) -> Option<Topic> {
        self.inputs.iter().find(|(of, _)| of == name).map(|&(_, topic)| topic)
    }

    /// Starts reading here, and nothing else.
    ///
    /// What is being read already goes on elsewhere: to assign it once more would stop and start each partition, and a
    /// revocation in between fails an assertion of librdkafka (confluentinc/librdkafka#5573), which ends the process.
    pub(crate) fn assign(&self, offsets: &Offsets) -> KafkaResult<()> {
        if self.reads(offsets)? {
            let moved = self.consumer.seek_partitions(self.list(offsets)?, SEEK_WITHIN);
            if moved.is_ok_and(|moved| moved.elements().iter().all(|element| element.error().is_ok())) {
                return Ok(());
            }
        }
        self.consumer.assign(&self.list(offsets)?)
    }

    /// Whether these partitions, and no others, are being read.
    fn reads(&self, offsets: &Offsets) -> KafkaResult<bool> {
        let assigned = self.consumer.assignment()?;
        let is_one = |&(topic, partition): &(Topic, Partition)| {
            let name = self.inputs.iter().find(|(_, of)| *of == topic).map_or("", |(name, _)| name);
            assigned.find_partition(name, i32::from(partition.get())).is_some()
        };
        Ok(assigned.count() == offsets.len() && offsets.keys().all(is_one))
    }

    /// Reads nothing any more.
    pub(crate) fn unassign(&self) -> KafkaResult<()> {
        self.consumer.unassign()
    }

    /// The committed offsets of these partitions, once no transaction holds them open; those that have none are left out.
    pub(crate) fn committed(&self, partitions: &BTreeSet<Partition>, at_most: Duration) -> KafkaResult<Offsets> {
        let mut list = TopicPartitionList::new();
        for (name, _) in &self.inputs {
            for partition in partitions {
                list.add_partition(name, i32::from(partition.get()));
            }
        }
        let list = self.consumer.committed_offsets(list, at_most)?;
        let mut offsets = Offsets::new();
        for element in list.elements() {
            element.error()?;
            let (Some(topic), Ok(partition)) = (self.topic(element.topic()), u16::try_from(element.partition())) else {
                continue;
            };
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert((topic, Partition::new(partition)), offset);
            }
        }
        Ok(offsets)
    }

    /// As a list for a transaction.
    pub(crate) fn list(&self, offsets: &Offsets) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (&(topic, partition), &offset) in offsets {
            let name = self.inputs.iter().find(|(_, of)| *of == topic).map_or("", |(name, _)| name);
            list.add_partition_offset(name, i32::from(partition.get()), Offset::Offset(offset))?;
        }
        Ok(list)
    }

    /// Which member of which generation this is: what fences those of older ones.
    pub(crate) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// Asks a broker for anything.
    pub(crate) fn ping(&self, at_most: Duration) -> KafkaResult<()> {
        let name = self.inputs.first().map(|(name, _)| name.as_str());
        self.consumer.fetch_metadata(name, at_most).map(|_| ())
    }

    /// Why the membership is over for good, if it is.
    pub(crate) fn fatal(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.consumer.client().fatal_error()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Release);
    }
}
