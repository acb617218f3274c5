//! What the end-to-end tests share: a whole Tasuki started as its users start it, and the real trackers.

pub mod cells;
pub mod commands;
pub mod faults;
pub mod topics;
pub mod trackers;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

/// How long a whole Tasuki may take to be ready, with a Kafka of its own on a machine that is busy building.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// How long anything may take that only has to happen: ample, since nobody waits for it longer than it takes.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Which log carries the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Postgres tables, one process.
    Embedded,
    /// A real Apache Kafka.
    Kafka,
}

/// A running Tasuki, started by `deploy/up`. Killed when dropped.
#[derive(Debug)]
pub struct Tasuki {
    process: Child,
    /// What it printed once ready.
    pub ready: Value,
}

/// The top of the workspace.
pub fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// `deploy/up` with these arguments and every address free to choose.
pub fn up(data_dir: &Path, arguments: &[&str]) -> Command {
    // TASUKI_PROGRAM names one that is built already, for trying a test out.
    let mut command = Command::new(top().join("deploy/up"));
    if let Some(program) = std::env::var_os("TASUKI_PROGRAM") {
        command = Command::new(program);
        command.arg("up");
    }
    command.current_dir(top()).arg("--data-dir").arg(data_dir).arg("--json");
    for listen in ["--ingest-listen", "--console-listen", "--metrics-listen"] {
        if !arguments.contains(&listen) {
            command.args([listen, "127.0.0.1:0"]);
        }
    }
    command.args(arguments);
    for set_by_somebody in ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"] {
        command.env_remove(set_by_somebody);
    }
    command
}

impl Tasuki {
    /// Starts everything in this folder and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in three minutes. Its log is on the test's standard error.
    pub fn start(log: Log, data_dir: &Path, more: &[&str]) -> anyhow::Result<Self> {
        let mut arguments = more.to_vec();
        if log == Log::Kafka {
            arguments.push("--kafka");
        }
        Self::start_command(up(data_dir, &arguments))
    }

    /// Starts this command, which must print a ready line.
    ///
    /// # Errors
    ///
    /// As [`Tasuki::start`].
    pub fn start_command(mut command: Command) -> anyhow::Result<Self> {
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start deploy/up")?;
        let output = process.stdout.take().context("standard output was asked for")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut started = Self { process, ready: Value::Null };
        let line = lines.recv_timeout(READY_WITHIN).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("no ready line in {} s", READY_WITHIN.as_secs()),
            RecvTimeoutError::Disconnected => anyhow!("it ended before it was ready"),
        })?;
        started.ready = serde_json::from_str(&line).with_context(|| format!("not a ready line: {line}"))?;
        Ok(started)
    }

    /// The number of the process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// A text of the ready line.
    pub fn told(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_default()
    }

    /// An answer of the API.
    ///
    /// # Errors
    ///
    /// If it is no 2xx with JSON.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = ureq::get(format!("{}{path}", self.told("console")))
            .header("authorization", format!("Bearer {}", self.told("api_token")))
            .call();
        Ok(answer?.body_mut().read_json()?)
    }

    /// Posts a command to the API.
    ///
    /// # Errors
    ///
    /// If the answer is no 2xx with JSON.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = ureq::post(format!("{}{path}", self.told("console")))
            .header("authorization", format!("Bearer {}", self.told("api_token")))
            .send_json(body);
        Ok(answer?.body_mut().read_json()?)
    }

    /// The one lead that a search finds, whole, once `holds` says it is as awaited.
    ///
    /// # Errors
    ///
    /// If it is not so within [`PATIENCE`]; says what was there last.
    pub fn lead(&self, search: &str, holds: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        eventually(PATIENCE, || {
            let found = self.get(&format!("/api/v1/leads?search={search}"))?;
            let items = found["items"].as_array().cloned().unwrap_or_default();
            last = found;
            let [item] = items.as_slice() else { return Ok(None) };
            let id = item["id"].as_str().context("a lead has an id")?;
            last = self.get(&format!("/api/v1/leads/{id}"))?;
            Ok(holds(&last).then(|| last.clone()))
        })
        .with_context(|| format!("lead {search}; last seen: {last:#}"))
    }

    /// Sends a signal to the process: "INT", "KILL", "STOP" ...
    ///
    /// # Errors
    ///
    /// If `kill` cannot be run or refuses.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { bail!("kill -s {name} failed") }
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    ///
    /// If it has not within [`PATIENCE`].
    pub fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        eventually(PATIENCE, || Ok(self.process.try_wait()?))
    }

    /// Ends it as Ctrl-C does.
    ///
    /// # Errors
    ///
    /// If it does not end with success.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.signal("INT")?;
        let status = self.ended()?;
        if status.success() { Ok(()) } else { bail!("ended with {status}") }
    }
}

impl Drop for Tasuki {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("cannot end tasuki: {error}");
        }
    }
}

/// Asks until there is an answer.
///
/// # Errors
///
/// The last error, or that there was none in time.
pub fn eventually<T>(at_most: Duration, mut ask: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let until = Instant::now() + at_most;
    loop {
        let answer = ask();
        if let Ok(Some(answer)) = answer {
            return Ok(answer);
        }
        if Instant::now() > until {
            return answer.and_then(|_| Err(anyhow!("not in {} s", at_most.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
