//! Tasuki: from the first page view to the sales rep who takes the lead.

mod ask;
mod dead_letters;
mod describe;
mod explainer;
mod identity;
mod import;
mod in_force;
mod installation;
mod leads;
mod listeners;
mod log;
mod playbook;
mod ready;
mod running;
mod secret;
mod services;
mod settings;
mod stop;
mod up;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use tasuki_service::{Exit, Failure, telemetry};

use crate::services::Service;
use crate::settings::{Faults, Format, Logging};

/// Records are made by one thread and freed by another, many times a millisecond; the system's allocator then waits for its
/// own locks. librdkafka uses this one too. `.cargo/config.toml` says how it is set.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Event-sourced lead pipeline: behavior events in, qualified leads out, each with its reasons.
#[derive(Debug, Parser)]
#[command(name = "tasuki", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logging: Logging,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all services in one process.
    Up(Box<up::Options>),
    /// Run one service: takes behavior events from trackers over HTTP.
    Ingest(Box<up::One>),
    /// Run one service: resolves who an event belongs to.
    Identity(Box<up::One>),
    /// Run one service: scores leads.
    Scoring(Box<up::One>),
    /// Run one service: qualifies leads.
    Qualification(Box<up::One>),
    /// Run one service: hands leads to sales and takes the verdict back.
    Handoff(Box<up::One>),
    /// Run one service: writes the tables that people look at.
    Projection(Box<up::One>),
    /// Run one service: pages and API.
    Console(Box<up::One>),
    /// Take people from a file: cards of a trade show, who was at a seminar, answers to a survey.
    Import(Box<import::Options>),
    /// Check a playbook, read it aloud, compare two of them, publish one.
    Playbook(Box<playbook::Options>),
    /// Say that two leads are one person, or two after all, or why a lead is worth what it is.
    Leads(Box<leads::Options>),
    /// List, show and send again what could not be processed.
    DeadLetters(Box<dead_letters::Options>),
}

fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    // Naming brokers means using them.
    let named = innermost(&matches);
    let named = named.try_contains_id("bootstrap_servers").ok().and_then(|_| named.value_source("bootstrap_servers"));
    let kafka_is_named = matches!(named, Some(ValueSource::CommandLine | ValueSource::EnvVariable));
    match run(cli, kafka_is_named) {
        Ok(code) => code,
        Err(error) => report(&error),
    }
}

/// The options of the command itself, however deep it stands.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, options)| innermost(options))
}

fn run(cli: Cli, kafka_is_named: bool) -> anyhow::Result<ExitCode> {
    let format = match cli.logging.log_format {
        Format::Text => telemetry::LogFormat::Text,
        Format::Json => telemetry::LogFormat::Json,
    };
    telemetry::start_logging(format, &cli.logging.log).map_err(|error| {
        Failure::new(
            Exit::Config,
            format!("--log: \"{}\" is no filter: {error}", cli.logging.log),
            "give levels by module, for example info,tasuki_kafka=debug",
        )
    })?;
    let one = |service, options: up::One| up::run(options.into_options(service), kafka_is_named);
    match cli.command {
        Command::Up(options) => up::run(*options, kafka_is_named),
        Command::Ingest(options) => one(Service::Ingest, *options),
        Command::Identity(options) => one(Service::Identity, *options),
        Command::Scoring(options) => one(Service::Scoring, *options),
        Command::Qualification(options) => one(Service::Qualification, *options),
        Command::Handoff(options) => one(Service::Handoff, *options),
        Command::Projection(options) => one(Service::Projection, *options),
        Command::Console(options) => one(Service::Console, *options),
        // Its exit code says what became of the rows.
        Command::Import(options) => return Ok(import::run(&options)),
        Command::Playbook(options) => return Ok(ExitCode::from(playbook::run(*options)?)),
        Command::Leads(options) => leads::run(&options),
        Command::DeadLetters(options) => dead_letters::run(*options, kafka_is_named),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A wrong command line: clap's own message, and the code of sysexits. Asking for help is no error.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::from(Exit::Usage.code()),
    }
}

/// The one place where an error is printed, with its whole chain.
fn report(error: &anyhow::Error) -> ExitCode {
    let exit = if let Some(failure) = find::<Failure>(error) {
        failure.exit
    } else if let Some(faults) = find::<Faults>(error) {
        faults.exit()
    } else {
        Exit::Software
    };
    eprintln!("tasuki: {error:#}");
    ExitCode::from(exit.code())
}

fn find<E: std::error::Error + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref())
}
