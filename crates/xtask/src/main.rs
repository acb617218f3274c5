//! What developers and CI run: `cargo xtask ci`, `audit`, `bench`, `drill`, `lists`, `soak`.

#![allow(clippy::print_stdout, reason = "what a developer asked for goes to standard output")]

mod audit;
mod bench;
mod ci;
mod drill;
mod lists;
mod run;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Everything that CI checks, in CI's order; `deploy/test` calls it after its set-up.
    Ci(ci::Options),
    /// What takes too long for CI: licences, bans and sources of dependencies, and dependencies nobody uses.
    Audit,
    /// Measures the running system and writes the figures as a table.
    Bench(bench::Options),
    /// Breaks the running pipeline on purpose and looks whether anything was lost or done twice. Ends with 0 when all
    /// runs passed, 1 when something was wrong, 2 when a fault did not land in the middle of work.
    Drill(drill::Options),
    /// Takes over the newest list of free-mail domains (by npm) into crates/identity/data.
    Lists,
    /// Tries the properties of scoring and identity on far more random playbooks and histories than CI does.
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Ci(options) => ci::run(&options),
        Chore::Audit => audit::run(),
        Chore::Bench(options) => bench::run(&options),
        Chore::Lists => lists::refresh(),
        Chore::Soak(options) => soak::run(&options),
        Chore::Drill(options) => return ended(drill::run(&options)),
    };
    ended(outcome.map(|()| ExitCode::SUCCESS))
}

fn ended(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
