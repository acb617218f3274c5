//! The whole pipeline as users start it: `hop-latency` from the answer to a tracker to the row in Postgres, and
//! `pipeline-capacity`.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use tasuki_embedded::{PrivatePostgres, PrivateSettings};
use tasuki_service::Health;
use tasuki_tests::{Log, Tasuki, up};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::process::descendants;
use crate::run::top;

/// A Tasuki of its own for one benchmark, on a Postgres that notes when each transaction was committed.
pub(super) struct Running {
    pub(super) tasuki: Tasuki,
    pub(super) runtime: Runtime,
    pub(super) database: sqlx::PgPool,
    postgres: PrivatePostgres,
    /// Removed last.
    _folder: TempDir,
}

/// CPU seconds since a beginning, by who used them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    pub(super) tasuki: f64,
    pub(super) kafka: f64,
    pub(super) postgres: f64,
    pub(super) load: f64,
}

impl Running {
    /// Starts `deploy/up`, release build, on one of the logs.
    pub(super) fn start(log: Log) -> anyhow::Result<Self> {
        build()?;
        let folder = reachable_folder()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let settings = PrivateSettings {
            folder: folder.path().join("postgres"),
            programs: None,
            // Else as `tasuki up` starts it. The instant of a commit is a few bytes more per transaction.
            server_settings: vec!["track_commit_timestamp=on".to_owned()],
        };
        let started = runtime.block_on(PrivatePostgres::start(&settings, Health::default().component("postgres")));
        let postgres = started.map_err(|failure| anyhow!(failure))?;
        let more: &[&str] = match log {
            Log::Kafka => &["--kafka"],
            Log::Embedded => &[],
        };
        let mut command: Command = up(&folder.path().join("tasuki"), more);
        command.env("DATABASE_URL", postgres.url()).env("RUST_LOG", "warn,rdkafka=off,librdkafka=off");
        let tasuki = Tasuki::start_command(command)?;
        let database = runtime.block_on(sqlx::PgPool::connect(postgres.url()))?;
        Ok(Self { tasuki, runtime, database, postgres, _folder: folder })
    }

    /// Sends a body to the Segment batch route and waits for the 200.
    pub(super) fn send(&self, agent: &ureq::Agent, batch: &Value) -> anyhow::Result<()> {
        let url = format!("{}/v1/batch", self.tasuki.told("ingest"));
        let mut body = batch.clone();
        body["writeKey"] = self.tasuki.ready["write_key"].clone();
        agent.post(url).send_json(&body)?;
        Ok(())
    }

    /// The one number that a query gives.
    pub(super) fn number(&self, query: &'static str, bound: &str) -> anyhow::Result<i64> {
        let row: (i64,) = self.runtime.block_on(sqlx::query_as(query).bind(bound).fetch_one(&self.database))?;
        Ok(row.0)
    }

    /// CPU seconds so far.
    pub(super) fn shares(&self) -> anyhow::Result<Shares> {
        let mut by_name = BTreeMap::<String, f64>::new();
        let me = std::process::id();
        for (pid, stat) in descendants(me)? {
            let name = if pid == me { "load".to_owned() } else { stat.name };
            *by_name.entry(name).or_default() += stat.cpu;
        }
        let of = |name: &str| by_name.get(name).copied().unwrap_or_default();
        // A process waits for its children at their end; ours live as long as this is asked.
        Ok(Shares { tasuki: of("tasuki"), kafka: of("java"), postgres: of("postgres"), load: of("load") })
    }

    /// Stops everything.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.runtime.block_on(self.database.close());
        let stopped = self.tasuki.stop();
        self.runtime.block_on(self.postgres.stop());
        stopped
    }
}

impl Shares {
    /// Used between two looks, in cores.
    pub(super) fn since(self, before: Self, seconds: f64) -> Self {
        let cores = |now: f64, then: f64| (now - then) / seconds.max(0.001);
        Self {
            tasuki: cores(self.tasuki, before.tasuki),
            kafka: cores(self.kafka, before.kafka),
            postgres: cores(self.postgres, before.postgres),
            load: cores(self.load, before.load),
        }
    }

    /// In words.
    pub(super) fn told(self) -> String {
        let Self { tasuki, kafka, postgres, load } = self;
        let kafka = if kafka > 0.0 { format!(", broker {kafka:.2}") } else { String::new() };
        format!("cores: tasuki {tasuki:.2}{kafka}, postgres {postgres:.2}, load {load:.2}")
    }

    pub(super) fn json(self) -> Value {
        let Self { tasuki, kafka, postgres, load } = self;
        json!({ "tasuki": tasuki, "broker": kafka, "postgres": postgres, "load": load })
    }
}

/// Lets `deploy/up` fetch and build what it needs, however long that takes: its start has a limit.
fn build() -> anyhow::Result<()> {
    let output = Command::new(top().join("deploy/up")).arg("--help").output().context("cannot run deploy/up")?;
    if !output.status.success() {
        bail!("deploy/up --help ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Postgres runs under another account when we are root, and must get to its folder.
fn reachable_folder() -> anyhow::Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("tasuki-bench-").permissions(permissions).tempdir().context("a temporary folder")
}

/// Waits until a query gives at least so many.
pub(super) fn wait_for(
    running: &Running,
    query: &'static str,
    bound: &str,
    least: u32,
    at_most: Duration,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let found = running.number(query, bound)?;
        if found >= i64::from(least) {
            return Ok(());
        }
        if begun.elapsed() > at_most {
            bail!("{found} of {least} after {at_most:?}: {query}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
