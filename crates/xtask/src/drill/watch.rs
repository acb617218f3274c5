//! Readers of what is committed: one beside the services while they work, and one of everything afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tasuki_kafka::Settings;
use tasuki_wire::{PartitionCount, Topic};

use super::history::{Entry, History};

/// How long a full reading may take without anything new.
const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Topics that hold history; those with states are compacted, and say nothing about what happened.
pub(crate) fn topics() -> impl Iterator<Item = Topic> {
    Topic::ALL.iter().copied().filter(|topic| !topic.name().ends_with(".state"))
}

/// Reads along until it is stopped.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    over: AtomicBool,
}

/// What a reader has seen.
#[derive(Debug, Default)]
struct Seen {
    history: History,
    latest: Option<Instant>,
}

impl Watch {
    /// Starts at the begin of all topics.
    pub(crate) fn start(settings: &Settings, partitions: PartitionCount) -> Result<Self> {
        let consumer = consumer(settings)?;
        let names: BTreeMap<_, _> = topics().map(|topic| (settings.topic_name(topic), topic)).collect();
        assign(&consumer, names.keys(), partitions)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let read = move || {
            while !theirs.over.load(Ordering::Acquire) {
                // Errors pass: the consumer goes on by itself when the broker is back.
                let Some(Ok(message)) = consumer.poll(POLL) else { continue };
                let Some(&topic) = names.get(message.topic()) else { continue };
                let mut seen = theirs.seen();
                seen.history.push(topic, partition(&message), entry(&message));
                seen.latest = Some(Instant::now());
            }
        };
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(read).context("a thread")?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How long nothing has come.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.shared.seen().latest.map_or(Duration::ZERO, |latest| latest.elapsed())
    }

    /// Records seen on a topic.
    pub(crate) fn count(&self, topic: Topic) -> usize {
        self.shared.seen().history.of(topic).count()
    }

    /// Records seen in all.
    pub(crate) fn records(&self) -> usize {
        self.shared.seen().history.len()
    }

    /// After the last record seen, for each partition that holds something.
    pub(crate) fn ends(&self) -> BTreeMap<(Topic, u16), i64> {
        let seen = self.shared.seen();
        let last = |(topic, partition, entries): (Topic, u16, &[Entry])| {
            entries.last().map(|entry| ((topic, partition), entry.offset + 1))
        };
        seen.history.partitions().filter_map(last).collect()
    }

    /// Stops, and gives back what was seen.
    pub(crate) fn stop(&mut self) -> History {
        self.shared.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the watch panicked");
        }
        std::mem::take(&mut self.shared.seen().history)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything committed on all topics of history, by a reader of its own. Nobody may write meanwhile.
///
/// # Errors
///
/// If the broker is silent before the end of a partition is reached: a transaction that hangs does not do that, its
/// records are merely not shown.
pub(crate) fn read_all(settings: &Settings, partitions: PartitionCount) -> Result<History> {
    let mut history = History::default();
    let consumer = consumer(settings)?;
    let names: BTreeMap<_, _> = topics().map(|topic| (settings.topic_name(topic), topic)).collect();
    assign(&consumer, names.keys(), partitions)?;
    // The end of a partition is told once for each topic, without the topic's name.
    let mut open = names.len() * usize::from(partitions.get());
    let mut latest = Instant::now();
    while open > 0 {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                let Some(&topic) = names.get(message.topic()) else { continue };
                history.push(topic, partition(&message), entry(&message));
                latest = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(_)) | None if latest.elapsed() > SILENCE => bail!("the ends of {open} partitions do not come"),
            Some(Err(_)) | None => {}
        }
    }
    Ok(history)
}

/// Partitions of which more is written than is visible, once nothing is under way any more: with what is visible, and
/// what is written.
///
/// # Errors
///
/// If the broker does not answer.
pub(crate) fn hanging(settings: &Settings, partitions: PartitionCount) -> Result<Vec<String>> {
    let stable = consumer(settings)?;
    let written: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("group.id", "drill")
        .set("isolation.level", "read_uncommitted")
        .create()
        .context("a reader")?;
    let mut hanging = Vec::new();
    for topic in Topic::ALL {
        for partition in partitions.all() {
            let (name, number) = (settings.topic_name(*topic), i32::from(partition.get()));
            let (_, visible) = stable.fetch_watermarks(&name, number, SILENCE).with_context(|| name.clone())?;
            let (_, end) = written.fetch_watermarks(&name, number, SILENCE).with_context(|| name.clone())?;
            if visible != end {
                hanging.push(format!("{topic} partition {partition}: visible up to {visible}, written up to {end}"));
            }
        }
    }
    Ok(hanging)
}

/// Asks how far consumer groups have come.
pub(crate) struct Groups {
    settings: Settings,
    partitions: PartitionCount,
    /// A client for each group asked about.
    clients: BTreeMap<String, BaseConsumer>,
}

impl Groups {
    /// Asks nothing yet.
    pub(crate) fn new(settings: &Settings, partitions: PartitionCount) -> Self {
        Self { settings: settings.clone(), partitions, clients: BTreeMap::new() }
    }

    /// How far a group has come with its inputs; -1 where it has not begun.
    ///
    /// # Errors
    ///
    /// If the broker does not say, as while a transaction is under way.
    pub(crate) fn committed(&mut self, group: &str, inputs: &[Topic]) -> Result<BTreeMap<(Topic, u16), i64>> {
        if !self.clients.contains_key(group) {
            let client = ClientConfig::new()
                .set("bootstrap.servers", &self.settings.bootstrap_servers)
                .set("group.id", self.settings.group(group))
                .set("enable.auto.commit", "false")
                .set("reconnect.backoff.max.ms", "1000")
                .create()
                .context("a client")?;
            self.clients.insert(group.to_owned(), client);
        }
        let client = self.clients.get(group).context("made above")?;
        let mut found = BTreeMap::new();
        for &topic in inputs {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&self.settings.topic_name(topic), 0, i32::from(self.partitions.get()) - 1);
            let answer = client.committed_offsets(list, Duration::from_secs(5)).with_context(|| group.to_owned())?;
            for (number, of) in (0..).zip(answer.elements()) {
                found.insert((topic, number), of.offset().to_raw().unwrap_or(-1));
            }
        }
        Ok(found)
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("asked", &self.clients.keys()).finish_non_exhaustive()
    }
}

fn consumer(settings: &Settings) -> Result<BaseConsumer> {
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("client.id", "drill")
        .set("group.id", "drill")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("reconnect.backoff.max.ms", "1000")
        .set("fetch.wait.max.ms", "100")
        .create();
    consumer.context("a reader")
}

fn assign<'n>(
    consumer: &BaseConsumer,
    names: impl Iterator<Item = &'n String>,
    partitions: PartitionCount,
) -> Result<()> {
    let mut list = TopicPartitionList::new();
    for name in names {
        for partition in partitions.all() {
            list.add_partition_offset(name, i32::from(partition.get()), Offset::Beginning)?;
        }
    }
    consumer.assign(&list).context("assign a reader")
}

fn partition(message: &BorrowedMessage<'_>) -> u16 {
    u16::try_from(message.partition()).expect("the topics have a few partitions")
}

fn entry(message: &BorrowedMessage<'_>) -> Entry {
    Entry {
        offset: message.offset(),
        key: message.key().unwrap_or_default().to_vec(),
        payload: message.payload().unwrap_or_default().to_vec(),
    }
}
