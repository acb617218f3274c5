//! Measures the running system, started as users start it, and writes the figures as a table.

mod capacity;
mod latency;
mod report;

use anyhow::bail;
use clap::Args;
use tasuki_tests::{Log, Tasuki};

use report::Measured;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which benchmarks; all when none is named: latency-embedded, latency-kafka, capacity-embedded, capacity-kafka.
    names: Vec<String>,
    /// Multiplies how much is sent.
    #[arg(long, default_value_t = 1)]
    scale: u32,
    /// Write the figures to this file, as JSON.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
    /// Put the table of figures into docs/BENCHMARKS.md.
    #[arg(long)]
    write: bool,
}

type Benchmark = fn(&Running, u32) -> anyhow::Result<Vec<Measured>>;

const BENCHMARKS: [(&str, Log, Benchmark); 4] = [
    ("latency-embedded", Log::Embedded, latency::measure),
    ("latency-kafka", Log::Kafka, latency::measure),
    ("capacity-embedded", Log::Embedded, capacity::measure),
    ("capacity-kafka", Log::Kafka, capacity::measure),
];

/// A Tasuki of its own for one benchmark, and a connection to its database.
struct Running {
    tasuki: Tasuki,
    runtime: tokio::runtime::Runtime,
    database: sqlx::PgPool,
    name: &'static str,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    for name in &options.names {
        if !BENCHMARKS.iter().any(|(known, _, _)| known == name) {
            bail!("no benchmark is called {name}; there are {}", BENCHMARKS.map(|(known, _, _)| known).join(", "));
        }
    }
    let mut measured = Vec::new();
    for (name, log, measure) in BENCHMARKS {
        if !options.names.is_empty() && !options.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("--- {name}");
        let folder = tempfile::tempdir()?;
        let tasuki = Tasuki::start(log, folder.path(), &[])?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let database = runtime.block_on(sqlx::PgPool::connect(tasuki.told("database_url")))?;
        let running = Running { tasuki, runtime, database, name };
        let figures = measure(&running, options.scale)?;
        for figure in &figures {
            eprintln!("{figure}");
        }
        measured.extend(figures);
        running.runtime.block_on(running.database.close());
        running.tasuki.stop()?;
    }
    report::write(&measured, options.json.as_deref(), options.write)
}

impl Running {
    /// Sends a body to the Segment batch route and waits for the 200.
    fn send(&self, agent: &ureq::Agent, batch: &serde_json::Value) -> anyhow::Result<()> {
        let url = format!("{}/v1/batch", self.tasuki.told("ingest"));
        let mut body = batch.clone();
        body["writeKey"] = self.tasuki.ready["write_key"].clone();
        agent.post(url).send_json(&body)?;
        Ok(())
    }

    /// The one number that a query gives.
    fn number(&self, query: &'static str, bound: &str) -> anyhow::Result<i64> {
        let row: (i64,) = self.runtime.block_on(sqlx::query_as(query).bind(bound).fetch_one(&self.database))?;
        Ok(row.0)
    }
}
