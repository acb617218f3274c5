//! The broker that is measured against, and what has to be asked of it: topics, groups, how far a group has come.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tasuki_kafka::{KafkaLog, Settings};
use tasuki_stream::Emitted;
use tasuki_stream::log::Publisher;
use tasuki_testkit::kafka::KafkaBroker;
use tokio::runtime::Runtime;

use super::process::{cpu_of, descendants};

/// Of every topic; the default of Tasuki.
pub(super) const PARTITIONS: u16 = 16;
/// How long a worker that was killed keeps its place in the group; its group can be deleted after. The least allowed.
pub(super) const SESSION_TIMEOUT_MS: u64 = 6_000;
/// Deleted segments leave the disk after a second instead of a minute: runs follow each other, and disks are finite.
const SETTINGS: [&str; 2] = ["log.segment.delete.delay.ms=1000", "log.retention.check.interval.ms=5000"];
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker of our own, or one that was named.
pub(super) struct Cluster {
    own: Option<KafkaBroker>,
    /// For `bootstrap.servers`.
    pub(super) servers: String,
    runtime: Runtime,
    admin: AdminClient<DefaultClientContext>,
}

impl Cluster {
    /// Starts a broker, unless one is named.
    pub(super) fn start(named: Option<&str>) -> anyhow::Result<Self> {
        let own = match named {
            Some(_) => None,
            None => Some(KafkaBroker::start_with(&SETTINGS)?),
        };
        let servers = match (&own, named) {
            (Some(broker), _) => broker.bootstrap_servers(),
            (None, named) => named.unwrap_or_default().to_owned(),
        };
        let admin = ClientConfig::new().set("bootstrap.servers", &servers).create()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { own, servers, runtime, admin })
    }

    /// Stops the broker, if it is ours.
    pub(super) fn stop(&mut self) {
        self.own = None;
    }

    /// Makes the topics of an installation.
    pub(super) fn make_installation(&self, prefix: &str) -> anyhow::Result<()> {
        let opened = self.runtime.block_on(KafkaLog::open(settings(&self.servers, prefix)));
        opened.map_err(|error| anyhow!(error.failure()))?;
        Ok(())
    }

    /// Writes a record to a topic of the installation behind this prefix.
    pub(super) fn publish(&self, prefix: &str, record: Emitted) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            let log =
                KafkaLog::open(settings(&self.servers, prefix)).await.map_err(|error| anyhow!(error.failure()))?;
            let publisher = log.publisher().map_err(|error| anyhow!(error.failure()))?;
            Ok(publisher.publish(vec![record]).await?)
        })
    }

    /// Makes a topic.
    pub(super) fn make_topic(&self, name: &str) -> anyhow::Result<()> {
        let topic = NewTopic::new(name, i32::from(PARTITIONS), TopicReplication::Fixed(-1)).set("retention.ms", "-1");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        for made in self.runtime.block_on(self.admin.create_topics([&topic], &options))? {
            made.map_err(|(topic, code)| anyhow!("topic {topic} cannot be made: {code}"))?;
        }
        Ok(())
    }

    /// Deletes the topics whose name is as wanted, and returns when they are gone.
    pub(super) fn delete_topics(&self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let metadata = self.admin.inner().fetch_metadata(None, PATIENCE)?;
            let found: Vec<_> =
                metadata.topics().iter().map(|topic| topic.name()).filter(|name| wanted(name)).collect();
            if found.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("topics are still there after {PATIENCE:?}: {found:?}");
            }
            let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
            for deleted in self.runtime.block_on(self.admin.delete_topics(&found, &options))? {
                match deleted {
                    Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {}
                    Err((topic, code)) => bail!("topic {topic} cannot be deleted: {code}"),
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Deletes a group with its offsets. Its members were killed: the broker finds out when their session times out.
    pub(super) fn delete_group(&self, group: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let results = self.runtime.block_on(self.admin.delete_groups(&[group], &AdminOptions::new()))?;
            match results.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound))) => return Ok(()),
                Some(Err((_, code))) if begun.elapsed() > PATIENCE => bail!("group {group} cannot be deleted: {code}"),
                Some(Err(_)) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// For asking how far a group has come on a topic.
    pub(super) fn progress(&self, group: &str, topic: &str) -> anyhow::Result<Progress> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            // The latest commit, also while a transaction is open.
            .set("isolation.level", "read_uncommitted")
            .create()?;
        Ok(Progress { consumer, topic: topic.to_owned() })
    }

    /// How many records, marks of transactions included, stand on a topic.
    pub(super) fn records(&self, topic: &str) -> anyhow::Result<u64> {
        let client = self.admin.inner();
        let mut sum = 0;
        for partition in 0..i32::from(PARTITIONS) {
            let (first, end) = client.fetch_watermarks(topic, partition, PATIENCE)?;
            sum += u64::try_from(end - first)?;
        }
        Ok(sum)
    }

    /// How many records were ever written to a topic, those that are deleted by now included.
    pub(super) fn written(&self, topic: &str) -> anyhow::Result<u64> {
        let begun = Instant::now();
        let mut sum = 0;
        for partition in 0..i32::from(PARTITIONS) {
            let end = loop {
                match self.admin.inner().fetch_watermarks(topic, partition, PATIENCE) {
                    Ok((_, end)) => break end,
                    // A topic that was made just now may have no leader yet.
                    Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(100)),
                    Err(error) => return Err(error).with_context(|| format!("the end of {topic}/{partition}")),
                }
            };
            sum += u64::try_from(end)?;
        }
        Ok(sum)
    }

    /// Has the broker write a topic in files of so many bytes: it deletes whole files only.
    pub(super) fn in_files_of(&self, topic: &str, bytes: u32) -> anyhow::Result<()> {
        let bytes = bytes.to_string();
        let limits =
            AlterConfig::new(ResourceSpecifier::Topic(topic)).set("retention.ms", "-1").set("segment.bytes", &bytes);
        for altered in self.runtime.block_on(self.admin.alter_configs([&limits], &AdminOptions::new()))? {
            altered.map_err(|(_, code)| anyhow!("the limits of topic {topic} cannot be set: {code}"))?;
        }
        Ok(())
    }

    /// Deletes what is written on a topic so far.
    pub(super) fn sweep(&self, topic: &str) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::from(PARTITIONS) {
            list.add_partition_offset(topic, partition, Offset::End)?;
        }
        self.runtime.block_on(self.admin.delete_records(&list, &AdminOptions::new()))?;
        Ok(())
    }

    /// How many bytes a topic takes on the broker's disk; `None` if the broker is somebody else's.
    pub(super) fn bytes(&self, topic: &str) -> Option<u64> {
        let data = self.data_folder()?.join("log");
        let mut sum = 0;
        for partition in 0..PARTITIONS {
            for file in fs::read_dir(data.join(format!("{topic}-{partition}"))).ok()?.filter_map(Result::ok) {
                if file.path().extension().is_some_and(|extension| extension == "log") {
                    sum += file.metadata().ok()?.len();
                }
            }
        }
        Some(sum)
    }

    /// CPU seconds of the broker; `None` if it is somebody else's.
    pub(super) fn cpu(&self) -> Option<f64> {
        cpu_of(self.process()?).ok()
    }

    /// Our broker among our children.
    fn process(&self) -> Option<u32> {
        self.own.as_ref()?;
        let port = self.servers.rsplit(':').next()?;
        let mine = descendants(std::process::id()).ok()?;
        mine.into_iter().map(|(pid, _)| pid).find(|pid| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let listens = || {
                let file = words.split('\0').find(|word| word.ends_with("server.properties"));
                let settings = fs::read_to_string(file.unwrap_or_default()).unwrap_or_default();
                settings.contains(&format!("127.0.0.1:{port},"))
            };
            words.contains("kafka.Kafka") && listens()
        })
    }

    fn data_folder(&self) -> Option<PathBuf> {
        let words = fs::read_to_string(format!("/proc/{}/cmdline", self.process()?)).ok()?;
        let file = words.split('\0').find(|word| word.ends_with("server.properties"))?.to_owned();
        Some(PathBuf::from(file).parent()?.to_owned())
    }
}

/// Settings of Tasuki on this broker, as `tasuki scoring` has them but for the session timeout.
pub(super) fn settings(servers: &str, prefix: &str) -> Settings {
    Settings { partitions: Some(PARTITIONS), session_timeout_ms: SESSION_TIMEOUT_MS, ..Settings::new(servers, prefix) }
}

/// Tells how far a group has come.
pub(super) struct Progress {
    consumer: BaseConsumer,
    topic: String,
}

impl Progress {
    /// How many records of the topic the group has committed. Topics here begin at 0, and hold no transactions.
    pub(super) fn done(&self) -> anyhow::Result<u64> {
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::from(PARTITIONS) {
            list.add_partition(&self.topic, partition);
        }
        let begun = Instant::now();
        let committed = loop {
            match self.consumer.committed_offsets(list.clone(), PATIENCE) {
                Ok(committed) => break committed,
                // The broker makes the topic of offsets for the first group that it hears of.
                Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(100)),
                Err(error) => return Err(error).context("the group's offsets"),
            }
        };
        let mut by_partition = BTreeMap::new();
        for element in committed.elements() {
            if let Offset::Offset(offset) = element.offset() {
                by_partition.insert(element.partition(), u64::try_from(offset)?);
            }
        }
        Ok(by_partition.values().sum())
    }
}

/// Fails if there is less space than this where temporary files go.
pub(super) fn needs_space(gigabytes: f64) -> anyhow::Result<()> {
    let output = std::process::Command::new("df").args(["-kP"]).arg(std::env::temp_dir()).output().context("run df")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let free = text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<f64>().ok());
    let free = free.with_context(|| format!("df says: {text}"))? * 1_024.0 / 1e9;
    if free < gigabytes {
        bail!("{free:.1} GB are free in {}, {gigabytes:.1} GB are needed", std::env::temp_dir().display());
    }
    Ok(())
}
