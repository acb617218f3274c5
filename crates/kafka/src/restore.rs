//! Reads state back from its topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tasuki_stream::{Processor, StateError, Task};
use tasuki_wire::{Partition, Topic};

use crate::client::{self, Quiet};
use crate::metrics;
use crate::open::KafkaLog;
use crate::worker::{Trouble, WorkerError};

const PATIENCE: Duration = Duration::from_secs(5);
/// How often progress is told, and the group's consumer served.
const PROGRESS: Duration = Duration::from_secs(5);
/// Longer than a transaction may last and brokers take to end it after that.
const HANGS: Duration = Duration::from_secs(60);
const PULSE: Duration = Duration::from_millis(200);

/// Sees the log as it is, transactions that are not over included.
pub(crate) struct Observer(BaseConsumer<Quiet>);

impl Observer {
    pub(crate) fn new(log: &KafkaLog, member: &str) -> KafkaResult<Self> {
        let mut config = client::base(log.settings(), &format!("{member}-observer"));
        config.set("isolation.level", "read_uncommitted");
        Ok(Self(BaseConsumer::from_config_and_context(&config, Quiet)?))
    }

    /// The first offset of a partition, and the one after its last.
    pub(crate) fn bounds(&self, topic: &str, partition: Partition) -> KafkaResult<(i64, i64)> {
        self.0.fetch_watermarks(topic, i32::from(partition.get()), PATIENCE)
    }
}

/// A partition whose state is to be read back, up to this end.
pub(crate) struct Restoring<P: Processor> {
    pub(crate) task: Task<P>,
    pub(crate) end: i64,
    position: i64,
    done: bool,
}

impl<P: Processor> Restoring<P> {
    pub(crate) fn new(task: Task<P>, end: i64) -> Self {
        Self { task, end, position: 0, done: false }
    }
}

/// Fills the tasks from their partitions of the state topic. `pulse` is called several times a second; its error ends
/// the restore.
///
/// The ends were read *uncommitted*: a transaction whose offsets are committed can still lack its end mark here, and
/// reading committed would stop before it without a sign. So: first wait until the last stable offset has reached the
/// end, then read committed until librdkafka says that there is nothing more. Comparing offsets would not do for that:
/// marks take offsets and are never delivered.
pub(crate) fn restore<P: Processor>(
    log: &KafkaLog,
    state: Topic,
    service: &'static str,
    member: &str,
    partitions: &mut BTreeMap<Partition, Restoring<P>>,
    pulse: &mut dyn FnMut() -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    for restoring in partitions.values_mut() {
        restoring.done = restoring.end == 0;
    }
    let mut left = partitions.values().filter(|restoring| !restoring.done).count();
    if left == 0 {
        return Ok(());
    }
    let settings = log.settings();
    let name = settings.topic_name(state);
    let mut config = client::consumer(settings, &format!("{member}-restore"), &format!("{member}-restore"));
    config.set("enable.partition.eof", "true");
    let consumer = BaseConsumer::from_config_and_context(&config, Quiet).map_err(WorkerError::Client)?;
    metrics::restoring(service, left, remaining(partitions));
    wait_until_stable(&consumer, &name, partitions, pulse)?;

    let mut list = TopicPartitionList::new();
    for (partition, _) in partitions.iter().filter(|(_, restoring)| !restoring.done) {
        list.add_partition_offset(&name, i32::from(partition.get()), Offset::Beginning).map_err(WorkerError::Client)?;
    }
    consumer.assign(&list).map_err(WorkerError::Client)?;
    let begun = Instant::now();
    let (mut told, mut pulsed, mut records, mut counted) = (begun, begun, 0_u64, 0_u64);
    while left > 0 {
        match consumer.poll(PULSE) {
            Some(Ok(message)) => {
                records += 1;
                take(state, &message, partitions)?;
            }
            Some(Err(KafkaError::PartitionEOF(number))) => {
                let partition = u16::try_from(number).ok().map(Partition::new);
                if let Some(restoring) = partition.and_then(|partition| partitions.get_mut(&partition)) {
                    left -= usize::from(!restoring.done);
                    restoring.done = true;
                }
            }
            // The brokers are away; librdkafka goes on when they are back, and `pulse` says so.
            Some(Err(error)) => tracing::debug!(service, %error, "restore is waiting"),
            None => {}
        }
        if pulsed.elapsed() >= PULSE {
            pulsed = Instant::now();
            metrics::restored(service, records - counted);
            metrics::restoring(service, left, remaining(partitions));
            counted = records;
            pulse()?;
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            tracing::info!(
                service,
                records,
                remaining = remaining(partitions),
                partitions = left,
                "reading state back"
            );
        }
    }
    metrics::restored(service, records - counted);
    metrics::restoring(service, 0, 0);
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(service, records, partitions = partitions.len(), duration_ms = took, "state is read back");
    Ok(())
}

/// Records, or marks in their place, that are still to be read.
fn remaining<P: Processor>(partitions: &BTreeMap<Partition, Restoring<P>>) -> i64 {
    let left = |restoring: &Restoring<P>| if restoring.done { 0 } else { (restoring.end - restoring.position).max(0) };
    partitions.values().map(left).sum()
}

/// Waits until no transaction is open below the ends.
fn wait_until_stable<P: Processor>(
    consumer: &BaseConsumer<Quiet>,
    name: &str,
    partitions: &BTreeMap<Partition, Restoring<P>>,
    pulse: &mut dyn FnMut() -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let begun = Instant::now();
    let mut told = false;
    for (partition, restoring) in partitions.iter().filter(|(_, restoring)| !restoring.done) {
        loop {
            // This client reads committed: the end that it is told is the last stable offset.
            match consumer.fetch_watermarks(name, i32::from(partition.get()), PATIENCE) {
                Ok((_, stable)) if stable >= restoring.end => break,
                Ok((_, stable)) => {
                    tracing::debug!(
                        kafka.topic = name,
                        kafka.partition = partition.get(),
                        stable,
                        end = restoring.end,
                        "waiting for a transaction to end"
                    );
                    if !told && begun.elapsed() > HANGS {
                        told = true;
                        tracing::error!(
                            kafka.topic = name,
                            kafka.partition = partition.get(),
                            kafka.offset = stable,
                            "a transaction has been open for longer than it may last, and nothing ends it; \
                             kafka-transactions.sh find-hanging and abort do"
                        );
                    }
                }
                Err(error) => tracing::debug!(kafka.topic = name, %error, "restore is waiting"),
            }
            pulse()?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn take<P: Processor>(
    state: Topic,
    message: &BorrowedMessage<'_>,
    partitions: &mut BTreeMap<Partition, Restoring<P>>,
) -> Result<(), Trouble> {
    let partition = Partition::new(u16::try_from(message.partition()).unwrap_or(u16::MAX));
    let Some(restoring) = partitions.get_mut(&partition) else { return Ok(()) };
    restoring.position = message.offset() + 1;
    let key = std::str::from_utf8(message.key().unwrap_or_default());
    let restored = key
        .map_err(|error| StateError(format!("its key is not UTF-8: {error}")))
        .and_then(|key| restoring.task.restore(key, message.payload()));
    restored.map_err(|source| {
        Trouble::Fatal(WorkerError::BrokenState { topic: state, partition, offset: message.offset(), source })
    })
}
