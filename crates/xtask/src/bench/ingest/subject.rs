//! Who collects: Tasuki, the plain collector, and whatever programs of others are named; how each is started.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tasuki_testkit::ports::free_port;

use super::super::process::Process;
use super::super::{Bench, cluster};

/// All collectors write here; so topic and broker are the same for all.
pub(super) const PREFIX: &str = "ingest.";
pub(super) const TOPIC: &str = "ingest.behavior";
const PATIENCE: Duration = Duration::from_secs(30);

/// Who collects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `tasuki ingest`, as it comes.
    Tasuki,
    /// `tests/peers/ingest`: a collector without keys, ids, checks, accounting.
    Plain,
    /// Vector, this program.
    Vector(PathBuf),
    /// Redpanda Connect, this program.
    RedpandaConnect(PathBuf),
}

impl Kind {
    /// As figures name it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Tasuki => "tasuki",
            Self::Plain => "plain",
            Self::Vector(_) => "vector",
            Self::RedpandaConnect(_) => "redpanda-connect",
        }
    }
}

/// A collector that runs.
pub(super) struct Collector {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
    metrics: SocketAddr,
}

impl Collector {
    /// Starts it and waits until it takes connections.
    pub(super) fn start(bench: &Bench, kind: &Kind) -> anyhow::Result<Self> {
        let folder = bench.folder.path().join("ingest").join(kind.name());
        fs::create_dir_all(&folder)?;
        let (address, metrics) = (free_address()?, free_address()?);
        let servers = &bench.cluster.servers;
        let command = match kind {
            Kind::Tasuki => tasuki(bench, &folder, address, metrics)?,
            Kind::Plain => {
                let mut command = Command::new(peer("plain-collector")?);
                command.args(["--servers", servers, "--topic", TOPIC, "--listen", &address.to_string()]);
                command
            }
            Kind::Vector(program) => vector(program, &folder, servers, address)?,
            Kind::RedpandaConnect(program) => redpanda_connect(program, &folder, servers, address)?,
        };
        let mut process = Process::start(kind.name(), command, &folder)?;
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            process.must_run()?;
            if begun.elapsed() > PATIENCE {
                bail!("{} takes no connections after {PATIENCE:?}; {}", kind.name(), process.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { process, address, metrics })
    }

    /// Fails unless Tasuki's own books say that so many events were received and accepted, and nothing else became of any.
    pub(super) fn must_have_booked(&self, events: u64) -> anyhow::Result<()> {
        let text = ureq::get(format!("http://{}/metrics", self.metrics)).call()?.body_mut().read_to_string()?;
        let booked = |what: &str| -> u64 {
            let name = format!("tasuki_ingest_{what}_events_total");
            let values = text.lines().filter(|line| line.starts_with(&name)).filter_map(|line| line.rsplit(' ').next());
            values.filter_map(|value| value.parse::<u64>().ok()).sum()
        };
        let others = ["bad", "deduplicated", "refused", "spooled", "dropped"].map(booked);
        if booked("received") != events || booked("accepted") != events || others != [0; 5] {
            bail!(
                "{events} events were acknowledged, but booked are {} received, {} accepted, {others:?} otherwise",
                booked("received"),
                booked("accepted")
            );
        }
        Ok(())
    }
}

/// Makes the topics, in small files: what was written is never read, and deleted soon.
pub(super) fn prepare(bench: &Bench) -> anyhow::Result<()> {
    cluster::needs_space(4.0)?;
    bench.cluster.make_installation(PREFIX)?;
    bench.cluster.in_files_of(TOPIC, 32 << 20)
}

/// A program of `tests/peers/ingest`, built beside this one.
pub(super) fn peer(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    if !program.exists() {
        bail!("{} is not there: `cargo build --release --package ingest-peers` makes it", program.display());
    }
    Ok(program)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port(0)?).into())
}

fn tasuki(bench: &Bench, folder: &Path, address: SocketAddr, metrics: SocketAddr) -> anyhow::Result<Command> {
    let sources = folder.join("sources.toml");
    fs::write(&sources, "[[source]]\nname = \"website\"\nwrite_keys = [\"KEY\"]\n")?;
    let mut command = Command::new(&bench.tasuki);
    command.arg("ingest").arg("--data-dir").arg(folder).arg("--ingest-sources").arg(sources);
    command.args(["--secret", "only-for-this-benchmark", "--metrics-listen", &metrics.to_string()]);
    command.args(["--ingest-listen", &address.to_string()]);
    command.args(["--kafka-bootstrap-servers", &bench.cluster.servers, "--kafka-topic-prefix", PREFIX]);
    Ok(command)
}

fn vector(program: &Path, folder: &Path, servers: &str, address: SocketAddr) -> anyhow::Result<Command> {
    let file = folder.join("vector.toml");
    let text = format!(
        r#"
data_dir = "{folder}"
[sources.http]
type = "http_server"
address = "{address}"
path = "/"
strict_path = false
response_code = 200
decoding.codec = "json"
[transforms.events]
type = "remap"
inputs = ["http"]
source = "if is_array(.batch) {{ . = array!(.batch) }}"
[sinks.kafka]
type = "kafka"
inputs = ["events"]
bootstrap_servers = "{servers}"
topic = "{TOPIC}"
key_field = "anonymousId"
compression = "lz4"
encoding.codec = "json"
acknowledgements.enabled = true
librdkafka_options."enable.idempotence" = "true"
librdkafka_options."linger.ms" = "1"
"#,
        folder = folder.display()
    );
    fs::write(&file, text).context("Vector's configuration")?;
    let mut command = Command::new(program);
    command.arg("--config").arg(file);
    Ok(command)
}

fn redpanda_connect(program: &Path, folder: &Path, servers: &str, address: SocketAddr) -> anyhow::Result<Command> {
    let file = folder.join("connect.yaml");
    let text = format!(
        r#"
http: {{ enabled: false }}
input:
  http_server: {{ address: "{address}", path: "/v1/{{kind}}", timeout: 5s }}
pipeline:
  processors:
    - mapping: 'root = this.batch | [this]'
    - unarchive: {{ format: json_array }}
output:
  kafka_franz:
    seed_brokers: [ "{servers}" ]
    topic: "{TOPIC}"
    key: '${{! this.anonymousId }}'
    compression: lz4
    max_in_flight: 1024
"#
    );
    fs::write(&file, text).context("Redpanda Connect's configuration")?;
    let mut command = Command::new(program);
    command.arg("run").arg(file);
    Ok(command)
}
