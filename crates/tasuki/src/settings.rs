//! What a person sets, checked as a whole: every fault is reported at once.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tasuki_playbook::Playbook;
use tasuki_playbook::profile_rules::ProfileRules;
use tasuki_playbook::reps::Reps;
use tasuki_service::{Exit, Failure};

/// What every command of the pipeline takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Folder for the secret and, on the embedded log, for a Postgres of its own.
    #[arg(long, env = "TASUKI_DATA_DIR", default_value = ".tasuki", value_name = "FOLDER")]
    pub(crate) data_dir: PathBuf,
    /// The secret of this installation, at least 16 bytes; made at the first start if not given. It must never change.
    #[arg(long, env = "TASUKI_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) secret: Option<String>,
    /// Postgres to be used, instead of one that is started in the data folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Folder of the programs postgres, initdb and pg_ctl, for a Postgres of its own; the newest on this machine if not given.
    #[arg(long, env = "TASUKI_POSTGRES_BIN", value_name = "FOLDER")]
    pub(crate) postgres_bin: Option<PathBuf>,
    /// The playbook that is in force until one is published (`tasuki playbook publish`), the same for every process of an
    /// installation: a file, or built-in, b2b-saas, industrial, insurance; built-in if not given.
    #[arg(long, env = "TASUKI_PLAYBOOK", value_name = "FILE")]
    pub(crate) playbook: Option<PathBuf>,
    /// Pools and reps that leads are handed to; a built-in example if not given.
    #[arg(long, env = "TASUKI_REPS", value_name = "FILE")]
    pub(crate) reps: Option<PathBuf>,
    /// Which value of an attribute counts when several events say different ones; without it, the most recent.
    #[arg(long, env = "TASUKI_PROFILE_RULES", value_name = "FILE")]
    pub(crate) profile_rules: Option<PathBuf>,
    /// Where metrics and health are served: /metrics, /health/live, /health/ready.
    #[arg(long, env = "TASUKI_METRICS_LISTEN", default_value = "127.0.0.1:8472", value_name = "ADDRESS")]
    pub(crate) metrics_listen: String,
}

/// How much is logged and in which form.
#[derive(Clone, Debug, Args)]
pub(crate) struct Logging {
    /// What is logged, in the syntax of RUST_LOG.
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,sqlx=warn,rdkafka=off,librdkafka=off",
        global = true,
        value_name = "FILTER"
    )]
    pub(crate) log: String,
    /// For people or for programs.
    #[arg(long, env = "TASUKI_LOG_FORMAT", default_value = "text", global = true, value_name = "FORMAT")]
    pub(crate) log_format: Format,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Faults of the settings, gathered so that one run shows them all.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Failure>);

impl Faults {
    /// Keeps the fault, if it is one, and goes on.
    pub(crate) fn check<T>(&mut self, outcome: Result<T, Failure>) -> Option<T> {
        outcome.map_err(|fault| self.0.push(fault)).ok()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The exit code: that of the one fault, or of wrong settings.
    pub(crate) fn exit(&self) -> Exit {
        match self.0.as_slice() {
            [one] => one.exit,
            _ => Exit::Config,
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// An address to listen on, as `host:port`.
pub(crate) fn address(option: &str, text: &str) -> Result<SocketAddr, Failure> {
    text.to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(|| {
        Failure::new(
            Exit::Config,
            format!("{option}: \"{text}\" is no address to listen on"),
            "give host and port, for example 127.0.0.1:8470 (port 0 takes any free one)",
        )
    })
}

/// The playbook of this file or of this name, or the built-in one.
pub(crate) fn playbook(path: Option<&Path>) -> Result<Playbook, Failure> {
    let Some(path) = path else { return Ok(Playbook::built_in()) };
    let text = match path.to_str().and_then(Playbook::ready_made) {
        Some(text) => text.to_owned(),
        None => read("--playbook", path)?,
    };
    Playbook::parse(&text).map_err(|faults| {
        Failure::new(Exit::Config, format!("{}: {faults}", path.display()), "correct the file at the places named")
    })
}

/// The reps of this file, or the built-in example.
pub(crate) fn reps(path: Option<&Path>) -> Result<Reps, Failure> {
    let Some(path) = path else { return Ok(Reps::example()) };
    let text = read("--reps", path)?;
    Reps::parse(&text).map_err(|faults| {
        Failure::new(Exit::Config, format!("{}: {faults}", path.display()), "correct the file at the places named")
    })
}

/// The rules of this file, or that the most recent value of an attribute counts.
pub(crate) fn profile_rules(path: Option<&Path>) -> Result<ProfileRules, Failure> {
    let Some(path) = path else { return Ok(ProfileRules::default()) };
    let text = read("--profile-rules", path)?;
    ProfileRules::parse(&text).map_err(|faults| {
        Failure::new(Exit::Config, format!("{}: {faults}", path.display()), "correct the file at the places named")
    })
}

/// The data folder, made if it is not there.
pub(crate) fn data_dir(path: &Path) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(path).and_then(|()| std::path::absolute(path)).map_err(|error| {
        Failure::new(
            Exit::CannotCreate,
            format!("--data-dir: cannot use {}: {error}", path.display()),
            "give a folder that can be written to",
        )
    })
}

pub(crate) fn read(option: &str, path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Exit::NoInput,
            format!("{option}: cannot read {}: {error}", path.display()),
            "give a file that can be read",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_together() {
        let mut faults = Faults::default();
        faults.check(address("--ingest-listen", "nowhere"));
        faults.check(playbook(Some(Path::new("/does/not/exist.toml"))));
        assert_eq!(faults.check(address("--console-listen", "127.0.0.1:0")), Some("127.0.0.1:0".parse().unwrap()));
        let text = faults.to_string();
        assert!(text.contains("--ingest-listen: \"nowhere\" is no address to listen on"), "{text}");
        assert!(text.contains("--playbook: cannot read /does/not/exist.toml"), "{text}");
        assert_eq!(faults.exit(), Exit::Config);
    }
}
