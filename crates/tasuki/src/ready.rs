//! What is told once everything is ready: to people on standard error, to scripts as one line on standard output.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tasuki_service::{Health, Shutdown};

use crate::log::Log;

/// Addresses and keys of this process.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) ingest: Option<String>,
    pub(crate) console: Option<String>,
    pub(crate) metrics: String,
    pub(crate) write_key: String,
    pub(crate) api_token: String,
}

impl Told {
    /// The line for scripts.
    pub(crate) fn describe(&self, log: &Log, database_url: Option<&str>) -> Value {
        json!({
            "ingest": self.ingest,
            "console": self.console,
            "metrics": self.metrics,
            "write_key": self.write_key,
            "api_token": self.api_token,
            "database_url": database_url,
            "log": log.name(),
            "bootstrap_servers": log.bootstrap_servers(),
        })
    }

    fn print(&self) {
        let Self { ingest, console, metrics, write_key, api_token } = self;
        eprintln!();
        if let Some(console) = console {
            eprintln!("  console     {console}\n  API token   {api_token}   (sign in with it)");
        }
        if let Some(ingest) = ingest {
            eprintln!("  ingest      {ingest}\n  write key   {write_key}");
        }
        eprintln!("  metrics     {metrics}/metrics");
        if let Some(ingest) = ingest {
            eprintln!("\nTo send a first lead, paste this into another terminal:\n\n{}", first_lead(ingest, write_key));
        }
        eprintln!("\nCtrl-C stops everything; the data stays.\n");
    }
}

/// One visitor looks at two pages, says who it is, and asks for a demo: as Segment's own trackers write it.
fn first_lead(ingest: &str, write_key: &str) -> String {
    let page = |path: &str| json!({"type": "page", "anonymousId": "first-visitor", "properties": {"path": path}});
    let who = json!({"email": "hanako@acme.example", "name": "Hanako Yamada", "title": "VP Sales",
                     "company": {"name": "Acme", "employees": 250}});
    let batch = json!({"batch": [
        page("/"),
        page("/pricing"),
        {"type": "identify", "anonymousId": "first-visitor", "userId": "4711", "traits": who},
        {"type": "track", "userId": "4711", "event": "Form Submitted", "properties": {"form": "demo-request"}},
    ]});
    format!("  curl -u {write_key}: {ingest}/v1/batch -d '{batch}'")
}

#[allow(clippy::print_stdout, reason = "the line that scripts wait for")]
fn tell_script(described: &Value) {
    println!("{described}");
}

/// Waits until every part is ready and tells; says what it waits for when that takes long.
pub(crate) async fn announce(
    health: Health,
    described: Value,
    told: Told,
    as_json: bool,
    started: Instant,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut said = Instant::now();
    while !health.is_ready() && !shutdown.is_cancelled() {
        if said.elapsed() > Duration::from_secs(5) {
            said = Instant::now();
            tracing::info!(waiting_for = ?health.conditions(), "not ready yet");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if !shutdown.is_cancelled() {
        let seconds = format!("{:.1}", started.elapsed().as_secs_f64());
        tracing::info!(seconds, "everything is ready");
        if as_json {
            tell_script(&described);
        } else {
            told.print();
        }
    }
    shutdown.cancelled().await;
    Ok(())
}
