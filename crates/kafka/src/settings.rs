//! What can be set about Kafka, and which values make sense.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tasuki_wire::{PartitionCount, Topic};

/// librdkafka waits at least this long, less 20 %, before it repeats a request unseen. Rule R3 (see `commit`) tells
/// commits that may have been repeated from others by their duration, and would be blind below.
const LEAST_RETRY_BACKOFF_MS: u64 = 100;

/// Settings of everything that talks to Kafka.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct Settings {
    /// Brokers to ask first, as host:port, separated by commas
    #[arg(long = "kafka-bootstrap-servers", env = "KAFKA_BOOTSTRAP_SERVERS", default_value = "127.0.0.1:9092")]
    pub bootstrap_servers: String,

    /// Put before every topic, consumer group and transactional id, so that several deployments can share a cluster
    #[arg(long = "kafka-topic-prefix", env = "KAFKA_TOPIC_PREFIX", default_value = "")]
    pub topic_prefix: String,

    /// Partitions of every topic. Counts at the first start, when the topics are made, and never changes after (default: 16)
    #[arg(long = "kafka-partitions", env = "KAFKA_PARTITIONS")]
    pub partitions: Option<u16>,

    /// Copies of every topic, when the topics are made (default: as the broker has it, default.replication.factor)
    #[arg(long = "kafka-replication-factor", env = "KAFKA_REPLICATION_FACTOR")]
    pub replication_factor: Option<u16>,

    /// Name of this process among those that run the same services, the same after each restart (the ordinal of a
    /// StatefulSet, say). Two processes with the same name throw each other out
    #[arg(long = "kafka-slot", env = "KAFKA_SLOT", default_value = "0")]
    pub slot: String,

    /// Threads per service; more than there are partitions are of no use
    #[arg(long = "kafka-workers", env = "KAFKA_WORKERS", default_value_t = 1)]
    pub workers: u16,

    /// A transaction is not committed sooner than so many milliseconds after the one before, nor sooner than that one took
    #[arg(long = "kafka-commit-interval-ms", env = "KAFKA_COMMIT_INTERVAL_MS", default_value_t = 20)]
    pub commit_interval_ms: u64,

    /// A transaction is committed at the latest after so many milliseconds
    #[arg(long = "kafka-commit-latest-ms", env = "KAFKA_COMMIT_LATEST_MS", default_value_t = 100)]
    pub commit_latest_ms: u64,

    /// The same, while there is a backlog
    #[arg(long = "kafka-commit-catch-up-ms", env = "KAFKA_COMMIT_CATCH_UP_MS", default_value_t = 1_000)]
    pub commit_catch_up_ms: u64,

    /// At most so many records in a transaction
    #[arg(long = "kafka-transaction-records", env = "KAFKA_TRANSACTION_RECORDS", default_value_t = 10_000)]
    pub transaction_records: u32,

    /// At most so many bytes in a transaction, inputs and outputs together (the last record may exceed it)
    #[arg(long = "kafka-transaction-bytes", env = "KAFKA_TRANSACTION_BYTES", default_value_t = 4 * 1024 * 1024)]
    pub transaction_bytes: usize,

    /// Memory for records read ahead, per worker and reader, in KiB
    #[arg(long = "kafka-read-ahead-kib", env = "KAFKA_READ_AHEAD_KIB", default_value_t = 32 * 1024)]
    pub read_ahead_kib: u32,

    /// Memory for records waiting to be written, per worker and publisher, in KiB
    #[arg(long = "kafka-write-queue-kib", env = "KAFKA_WRITE_QUEUE_KIB", default_value_t = 64 * 1024)]
    pub write_queue_kib: u32,

    /// A worker that is not heard of for so long loses its partitions to the others
    #[arg(long = "kafka-session-timeout-ms", env = "KAFKA_SESSION_TIMEOUT_MS", default_value_t = 15_000)]
    pub session_timeout_ms: u64,

    /// The broker ends a transaction that stays open for so long
    #[arg(long = "kafka-transaction-timeout-ms", env = "KAFKA_TRANSACTION_TIMEOUT_MS", default_value_t = 30_000)]
    pub transaction_timeout_ms: u64,

    /// A service stops instead of going on when so many records within a minute, and more than the share of
    /// --kafka-poison-percent, cannot be processed: then the release is broken rather than the records
    #[arg(long = "kafka-poison-limit", env = "KAFKA_POISON_LIMIT", default_value_t = 1_000)]
    pub poison_limit: u32,

    /// Of a hundred records within a minute; see --kafka-poison-limit
    #[arg(long = "kafka-poison-percent", env = "KAFKA_POISON_PERCENT", default_value_t = 50)]
    pub poison_percent: u32,

    /// Further properties of librdkafka for every client, as key=value; repeat it, or separate by commas
    #[arg(long = "kafka-property", env = "KAFKA_PROPERTIES", value_delimiter = ',')]
    pub properties: Vec<Property>,

    /// Rules to work without, for a drill: data are lost
    #[cfg(feature = "drill")]
    #[arg(long = "kafka-without", env = "KAFKA_WITHOUT", value_delimiter = ',', hide = true)]
    pub without: Vec<Rule>,
}

/// A rule that a drill can switch off, to show that it is needed.
#[cfg(feature = "drill")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rule {
    /// After a failure: abort, and go on with the same producer.
    #[value(name = "R1")]
    R1,
    /// After a commit that may have been repeated unseen: go on with the same producer.
    #[value(name = "R3")]
    R3,
}

/// One property of librdkafka. Its value may be a password: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl FromStr for Property {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected key=value, for example security.protocol=ssl")?;
        Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=...", self.key)
    }
}

/// One setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// As on the command line, without dashes.
    pub setting: &'static str,
    /// What was found.
    pub found: String,
    /// What is allowed, and why.
    pub allowed: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{} is {}; allowed: {}", self.setting, self.found, self.allowed)
    }
}

/// Settings that make no sense, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSettings(pub Vec<Fault>);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Fault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for InvalidSettings {}

impl Settings {
    /// Settings for this broker and prefix, everything else as it is by default.
    pub fn new(bootstrap_servers: impl Into<String>, topic_prefix: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic_prefix: topic_prefix.into(),
            partitions: None,
            replication_factor: None,
            slot: "0".to_owned(),
            workers: 1,
            commit_interval_ms: 20,
            commit_latest_ms: 100,
            commit_catch_up_ms: 1_000,
            transaction_records: 10_000,
            transaction_bytes: 4 * 1024 * 1024,
            read_ahead_kib: 32 * 1024,
            write_queue_kib: 64 * 1024,
            session_timeout_ms: 15_000,
            transaction_timeout_ms: 30_000,
            poison_limit: 1_000,
            poison_percent: 50,
            properties: Vec::new(),
            #[cfg(feature = "drill")]
            without: Vec::new(),
        }
    }

    /// Whether the settings make sense together.
    ///
    /// # Errors
    ///
    /// All faults at once.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, setting: &'static str, found: String, allowed: &'static str| {
            if !holds {
                faults.push(Fault { setting, found, allowed });
            }
        };
        let name = |text: &str| {
            text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let servers = &self.bootstrap_servers;
        let is_server = |server: &str| {
            server.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        check(servers.split(',').all(is_server), "kafka-bootstrap-servers", quoted(servers), "host:port,host:port ...");
        let topic = "at most 100 of a-z A-Z 0-9 . _ -";
        check(name(&self.topic_prefix), "kafka-topic-prefix", quoted(&self.topic_prefix), topic);
        check(name(&self.slot) && !self.slot.is_empty(), "kafka-slot", quoted(&self.slot), topic);
        check(self.partitions != Some(0), "kafka-partitions", "0".to_owned(), "1 or more");
        check(self.replication_factor != Some(0), "kafka-replication-factor", "0".to_owned(), "1 or more");
        check(self.workers > 0, "kafka-workers", "0".to_owned(), "1 or more");
        // Librdkafka 2.12 stalls on transactions that follow each other faster.
        check(
            self.commit_interval_ms >= 20,
            "kafka-commit-interval-ms",
            self.commit_interval_ms.to_string(),
            "20 or more",
        );
        check(
            (self.commit_interval_ms..=1_000).contains(&self.commit_latest_ms),
            "kafka-commit-latest-ms",
            self.commit_latest_ms.to_string(),
            "from kafka-commit-interval-ms to 1000",
        );
        check(
            (self.commit_latest_ms..=1_000).contains(&self.commit_catch_up_ms),
            "kafka-commit-catch-up-ms",
            self.commit_catch_up_ms.to_string(),
            "from kafka-commit-latest-ms to 1000",
        );
        check(self.transaction_records > 0, "kafka-transaction-records", "0".to_owned(), "1 or more");
        check(self.transaction_bytes > 0, "kafka-transaction-bytes", "0".to_owned(), "1 or more");
        check(self.read_ahead_kib >= 1_024, "kafka-read-ahead-kib", self.read_ahead_kib.to_string(), "1024 or more");
        check(self.write_queue_kib >= 1_024, "kafka-write-queue-kib", self.write_queue_kib.to_string(), "1024 or more");
        check(
            (10_000..=900_000).contains(&self.transaction_timeout_ms),
            "kafka-transaction-timeout-ms",
            self.transaction_timeout_ms.to_string(),
            "10000 (a busy machine needs that long) to 900000 (the broker's own limit)",
        );
        check(
            (6_000..=300_000).contains(&self.session_timeout_ms),
            "kafka-session-timeout-ms",
            self.session_timeout_ms.to_string(),
            "6000 to 300000 (the broker's own limits are 6000 and 1800000)",
        );
        check(
            self.poison_percent < 100,
            "kafka-poison-percent",
            self.poison_percent.to_string(),
            "0 to 99: more than all cannot fail",
        );
        self.check_properties(&mut check);
        if faults.is_empty() { Ok(()) } else { Err(InvalidSettings(faults)) }
    }

    fn check_properties(&self, check: &mut impl FnMut(bool, &'static str, String, &'static str)) {
        for Property { key, value } in &self.properties {
            match key.as_str() {
                "retry.backoff.ms" => {
                    let enough = value.parse::<u64>().is_ok_and(|backoff| backoff >= LEAST_RETRY_BACKOFF_MS);
                    let allowed = "retry.backoff.ms of 100 or more: below, a commit repeated unseen goes unnoticed";
                    check(enough, "kafka-property", quoted(&format!("{key}={value}")), allowed);
                }
                "isolation.level"
                | "enable.auto.commit"
                | "enable.auto.offset.store"
                | "auto.offset.reset"
                | "group.id"
                | "group.protocol"
                | "group.instance.id"
                | "transactional.id"
                | "acks"
                | "enable.idempotence"
                | "partitioner"
                | "partition.assignment.strategy"
                | "enable.partition.eof" => {
                    let allowed = "what nothing depends on: exactly-once would break";
                    check(false, "kafka-property", quoted(key), allowed);
                }
                _ => {}
            }
        }
    }

    /// How many partitions the topics get when they are made.
    pub(crate) fn partitions_of_new_topics(&self) -> PartitionCount {
        self.partitions.and_then(PartitionCount::new).unwrap_or(PartitionCount::DEFAULT)
    }

    /// The name of a topic on this cluster.
    pub fn topic_name(&self, topic: Topic) -> String {
        format!("{}{}", self.topic_prefix, topic.name())
    }

    /// The consumer group of a service.
    pub fn group(&self, service: &str) -> String {
        format!("{}{service}", self.topic_prefix)
    }

    /// The name of a worker, the same after each restart: it is its transactional id and its static membership.
    pub(crate) fn member(&self, service: &str, worker: u16) -> String {
        format!("{}{service}-{}-{worker}", self.topic_prefix, self.slot)
    }

    pub(crate) fn commit_interval(&self) -> Duration {
        Duration::from_millis(self.commit_interval_ms)
    }

    pub(crate) fn commit_latest(&self) -> Duration {
        Duration::from_millis(self.commit_latest_ms)
    }

    pub(crate) fn commit_catch_up(&self) -> Duration {
        Duration::from_millis(self.commit_catch_up_ms)
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn parse(arguments: &[&str]) -> Settings {
        let command = Settings::augment_args(clap::Command::new("test"));
        let matches = command.get_matches_from([&["test"], arguments].concat());
        Settings::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn what_is_not_given_is_as_new_has_it_and_makes_sense() {
        let given = parse(&["--kafka-bootstrap-servers=a:1", "--kafka-topic-prefix=p."]);
        assert_eq!(format!("{given:?}"), format!("{:?}", Settings::new("a:1", "p.")));
        assert_eq!(given.check(), Ok(()));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let settings = Settings { workers: 0, commit_interval_ms: 5, ..Settings::new("nowhere", "with space ") };
        let faults = settings.check().unwrap_err();
        let names: Vec<_> = faults.0.iter().map(|fault| fault.setting).collect();
        assert_eq!(
            names,
            ["kafka-bootstrap-servers", "kafka-topic-prefix", "kafka-workers", "kafka-commit-interval-ms"]
        );
        assert!(faults.to_string().starts_with("--kafka-bootstrap-servers is \"nowhere\"; allowed: host:port"));
    }

    #[test]
    fn a_short_retry_backoff_is_refused() {
        let with = |property: &str| {
            let settings = Settings { properties: vec![property.parse().unwrap()], ..Settings::new("a:1", "") };
            settings.check().is_ok()
        };
        assert!(!with("retry.backoff.ms=99"));
        assert!(with("retry.backoff.ms=100"));
        assert!(!with("isolation.level=read_uncommitted"));
        assert!(with("security.protocol=ssl"));
    }

    #[test]
    fn a_transaction_has_a_limit_that_a_busy_machine_keeps_and_brokers_allow() {
        let allowed = |ms| Settings { transaction_timeout_ms: ms, ..Settings::new("a:1", "") }.check().is_ok();
        assert_eq!([9_999, 10_000, 900_000, 900_001].map(allowed), [false, true, true, false]);
    }

    #[test]
    fn properties_hide_their_values() {
        let settings = parse(&["--kafka-property=sasl.password=hunter2,security.protocol=sasl_ssl"]);
        assert_eq!(settings.properties.len(), 2);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
