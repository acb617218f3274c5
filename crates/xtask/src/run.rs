//! Running other programs, with what was run and how long it took in sight.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

/// The top of the workspace.
pub(crate) fn top() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(PathBuf::from).unwrap_or(here)
}

/// One step of a chore.
pub(crate) struct Step {
    name: &'static str,
    command: Command,
}

impl Step {
    /// `cargo` with these words.
    pub(crate) fn cargo(name: &'static str, words: &[&str]) -> Self {
        let mut command = Command::new("cargo");
        command.args(words).current_dir(top());
        Self { name, command }
    }

    /// Some other program.
    pub(crate) fn program(name: &'static str, program: &str, words: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(words).current_dir(top());
        Self { name, command }
    }

    /// With a variable set in the environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it; says how long it took.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        eprintln!("--- {}", self.name);
        let started = Instant::now();
        let status = self.command.status().with_context(|| format!("cannot run {:?}", self.command.get_program()))?;
        eprintln!("--- {}: {:.0} s", self.name, started.elapsed().as_secs_f64());
        if !status.success() {
            bail!("{} failed ({status})", self.name);
        }
        Ok(())
    }
}
