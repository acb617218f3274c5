//! What the tests on a real broker share.
#![allow(dead_code, reason = "each test target uses its part")]
#![allow(clippy::unwrap_used, reason = "how a test fails")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tasuki_domain::Timestamp;
use tasuki_kafka::{KafkaLog, Settings, WorkerError};
use tasuki_service::{Clock, Health, Shutdown};
use tasuki_stream::log::LogRecord;
use tasuki_stream::{Emitted, Processor};
use tasuki_testkit::contract::{PARTITIONS, Tally, TestClock};
use tasuki_testkit::eventually::eventually;
use tasuki_testkit::kafka::{KafkaBroker, unique_prefix};
use tasuki_wire::{Partition, Topic};
use tokio::runtime::Runtime;

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Logs to standard error if `RUST_LOG` says so, for whoever looks for a fault.
fn start_logging() {
    if let Ok(filter) = std::env::var("RUST_LOG") {
        tasuki_service::telemetry::start_logging(tasuki_service::telemetry::LogFormat::Text, &filter).unwrap();
    }
}

/// Settings for topics of its own on the shared broker.
pub(crate) fn settings(name: &str) -> Settings {
    let settings = Settings::new(KafkaBroker::shared().bootstrap_servers(), unique_prefix(name));
    Settings { partitions: Some(PARTITIONS.get()), ..settings }
}

pub(crate) fn open(settings: &Settings) -> KafkaLog {
    // A broker that has just started, on a machine that is busy, may need longer than a client waits.
    eventually("the broker to answer", || runtime().block_on(KafkaLog::open(settings.clone())))
}

/// Writes the records, by a client of its own: the publisher gives up after 4 s, which a busy machine may need.
pub(crate) fn publish(log: &KafkaLog, records: Vec<Emitted>) {
    let settings = log.settings();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for Emitted { topic, key, payload } in records {
        let partition = log.partitions().of_key(key.as_bytes());
        let name = settings.topic_name(topic);
        let record = BaseRecord::to(&name).partition(partition.get().into()).key(&key).payload(&payload);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// All that is committed on a topic at this moment, partition by partition, by a client of its own.
pub(crate) fn records(settings: &Settings, topic: Topic) -> Vec<LogRecord> {
    let name = settings.topic_name(topic);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("group.id", "test")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in PARTITIONS.all() {
        list.add_partition_offset(&name, i32::from(partition.get()), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut found: BTreeMap<Partition, Vec<LogRecord>> = BTreeMap::new();
    let mut ends = 0;
    while ends < PARTITIONS.get() {
        match consumer.poll(Duration::from_secs(30)).expect("the broker answers") {
            Ok(message) => {
                let partition = Partition::new(u16::try_from(message.partition()).unwrap());
                found.entry(partition).or_default().push(LogRecord {
                    topic,
                    partition,
                    offset: message.offset(),
                    key: message.key().unwrap_or_default().to_vec(),
                    payload: message.payload().unwrap_or_default().to_vec(),
                });
            }
            Err(KafkaError::PartitionEOF(_)) => ends += 1,
            Err(error) => eprintln!("reading {name}: {error}"),
        }
    }
    found.into_values().flatten().collect()
}

/// A worker on a thread of this process.
pub(crate) struct Running {
    pub(crate) health: Health,
    shutdown: Shutdown,
    thread: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    pub(crate) fn start<P: Processor>(
        settings: &Settings,
        processor: P,
        number: u16,
        clock: impl Clock + 'static,
    ) -> Self {
        start_logging();
        let log = open(settings);
        let (health, shutdown) = (Health::default(), Shutdown::new());
        let (component, theirs) = (health.component("worker"), shutdown.clone());
        let thread = thread::spawn(move || log.run_worker(&Arc::new(processor), number, &clock, &component, &theirs));
        Self { health, shutdown, thread }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn stop(self) -> Result<(), WorkerError> {
        self.shutdown.cancel();
        self.thread.join().expect("a worker does not panic")
    }
}

/// A worker with [`Tally`] in a process of its own, so that it can be killed. Its clock is a file.
#[derive(Debug)]
pub(crate) struct WorkerProcess(Child);

const CLOCK: &str = "TASUKI_TEST_CLOCK";
const SERVERS: &str = "TASUKI_TEST_SERVERS";
const PREFIX: &str = "TASUKI_TEST_PREFIX";

impl WorkerProcess {
    /// Runs the test called `worker_process` of this test target, which must call [`WorkerProcess::be`].
    pub(crate) fn start(settings: &Settings, clock: &ClockFile) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker_process", "--ignored", "--nocapture"])
            .env(SERVERS, &settings.bootstrap_servers)
            .env(PREFIX, &settings.topic_prefix)
            .env(CLOCK, &clock.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Lets it sleep or wake: "STOP" or "CONT".
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.0.id().to_string()).status().unwrap();
        assert!(sent.success(), "{sent}");
    }

    /// Processor time that it has taken so far, its threads together, in ticks of the kernel.
    pub(crate) fn ticks(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // After the name, which is in brackets: user and system time are fields 14 and 15 of all.
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Stops it in good order.
    pub(crate) fn stop(mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"stop").unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// What the process does.
    pub(crate) fn be() {
        let get = |name| std::env::var(name).expect("this is no test, but the process that other tests start and kill");
        let servers = get(SERVERS);
        let settings = Settings {
            partitions: Some(PARTITIONS.get()),
            // Small, so that work takes many transactions and a kill finds it in the middle.
            transaction_records: 20,
            session_timeout_ms: 6_000,
            ..Settings::new(servers, get(PREFIX))
        };
        start_logging();
        let clock = ClockFile(get(CLOCK).into());
        let (component, shutdown) = (Health::default().component("worker"), Shutdown::new());
        let theirs = shutdown.clone();
        thread::spawn(move || {
            let mut said = [0; 4];
            match std::io::stdin().read_exact(&mut said) {
                Ok(()) => theirs.cancel(),
                // Whoever started this process is gone.
                Err(_) => std::process::exit(1),
            }
        });
        open(&settings).run_worker(&Arc::new(Tally), 0, &clock, &component, &shutdown).unwrap();
    }
}

/// A clock that another process can read: the instant in a file.
#[derive(Clone, Debug)]
pub(crate) struct ClockFile(PathBuf);

impl ClockFile {
    pub(crate) fn new(folder: &Path, clock: &TestClock) -> Self {
        let file = Self(folder.join("clock"));
        fs::write(&file.0, clock.now().as_millis().to_le_bytes()).unwrap();
        file
    }

    /// Shows the other process what the clock says here.
    pub(crate) fn set(&self, clock: &TestClock) {
        let mut file = OpenOptions::new().write(true).open(&self.0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&clock.now().as_millis().to_le_bytes()).unwrap();
    }
}

impl Clock for ClockFile {
    fn now(&self) -> Timestamp {
        let mut bytes = [0; 8];
        File::open(&self.0).unwrap().read_exact(&mut bytes).unwrap();
        Timestamp::from_millis(i64::from_le_bytes(bytes))
    }
}
