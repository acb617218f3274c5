//! What all runs of one drill share: brokers, the binary, a place for logs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tasuki_testkit::kafka::{KafkaBroker, KafkaCluster};
use tasuki_testkit::proxy::KafkaProxy;

use super::{Brokers, Options};
use crate::run::top;

/// What all runs share.
#[derive(Debug)]
pub(crate) struct World {
    /// Started at the first run that needs it.
    kafka: Option<Kafka>,
    cluster: Option<KafkaCluster>,
    /// A copy, so that a build meanwhile changes nothing.
    pub(crate) binary: PathBuf,
    /// Of this drill; a folder in it for each run.
    pub(crate) folder: tempfile::TempDir,
    /// For Postgres.
    pub(crate) runtime: tokio::runtime::Runtime,
    runs: u32,
}

/// A broker, and a second way to it.
#[derive(Debug)]
pub(crate) struct Kafka {
    pub(crate) proxy: KafkaProxy,
    pub(crate) broker: KafkaBroker,
}

impl World {
    /// Builds the binary.
    pub(crate) fn make(options: &Options) -> Result<Self> {
        let kept = top().join("target/drill");
        let folder = if options.keep {
            std::fs::create_dir_all(&kept).context("a folder for logs")?;
            tempfile::Builder::new().prefix("drill-").disable_cleanup(true).tempdir_in(&kept)
        } else {
            tempfile::Builder::new().prefix("tasuki-drill-").tempdir()
        };
        let folder = folder.context("a folder")?;
        eprintln!("drill: logs of the services are in {}", folder.path().display());
        let built = match &options.binary {
            Some(binary) => binary.clone(),
            None => build(options)?,
        };
        let binary = folder.path().join("tasuki");
        std::fs::copy(&built, &binary).with_context(|| format!("copy {}", built.display()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { kafka: None, cluster: None, binary, folder, runtime, runs: 0 })
    }

    /// The broker of all runs; they keep apart by topic prefixes.
    pub(crate) fn kafka(&mut self) -> Result<&mut Kafka> {
        if self.kafka.is_none() {
            let proxy = KafkaProxy::start()?;
            let lines = proxy.server_properties();
            let broker = KafkaBroker::start_with(&lines.each_ref().map(String::as_str))?;
            self.kafka = Some(Kafka { proxy, broker });
        }
        self.kafka.as_mut().context("started above")
    }

    /// Three brokers, as one cluster.
    pub(crate) fn cluster(&mut self) -> Result<&mut KafkaCluster> {
        if self.cluster.is_none() {
            self.cluster = Some(KafkaCluster::start()?);
        }
        self.cluster.as_mut().context("started above")
    }

    /// Ends them: they would take from what comes next.
    pub(crate) fn end_cluster(&mut self) {
        self.cluster = None;
    }

    /// For `bootstrap.servers`, without a proxy.
    pub(crate) fn servers(&mut self, brokers: Brokers) -> Result<String> {
        match brokers {
            Brokers::One => Ok(self.kafka()?.broker.bootstrap_servers()),
            Brokers::Three => Ok(self.cluster()?.bootstrap_servers()),
        }
    }

    /// The number of the next run, from 1.
    pub(crate) fn next_run(&mut self) -> u32 {
        self.runs += 1;
        self.runs
    }
}

/// Builds the binary and says where it is.
fn build(options: &Options) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(top()).args(["build", "--locked", "--quiet", "--package", "tasuki"]);
    if options.release {
        cargo.arg("--release");
    }
    if !options.without.is_empty() {
        cargo.args(["--features", "drill"]);
    }
    let status = cargo.status().context("run cargo")?;
    if !status.success() {
        bail!("cargo build ended with {status}");
    }
    Ok(top().join("target").join(if options.release { "release" } else { "debug" }).join("tasuki"))
}
