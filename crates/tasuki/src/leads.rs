//! `tasuki leads`: who is one person with whom.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tasuki_domain::LeadId;

use crate::ask::Place;

/// Options of `tasuki leads`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Two leads are one person: the first stays, and has what both did and will do.
    Merge(Two),
    /// They are two after all: each has its own again.
    Split(Two),
}

#[derive(Debug, Args)]
struct Two {
    /// Id of the lead that stays.
    #[arg(value_name = "LEAD")]
    into: LeadId,
    /// Id of the other lead.
    #[arg(value_name = "OTHER")]
    from: LeadId,
    /// Who says so.
    #[arg(long, value_name = "NAME", default_value = "tasuki leads")]
    by: String,
    /// The same key twice is one command.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The answer as one JSON object, instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (verb, two) = match &options.action {
        Action::Merge(two) => ("merge", two),
        Action::Split(two) => ("split", two),
    };
    let answer = ask(verb, two)?;
    let id = answer["command_id"].as_str().unwrap_or_default();
    let (into, from) = (two.into, two.from);
    let said = match &options.action {
        _ if two.json => answer.to_string(),
        Action::Merge(_) => format!("{from} goes into {into} (command {id})"),
        Action::Split(_) => format!("{from} comes out of {into} (command {id})"),
    };
    writeln!(std::io::stdout(), "{said}").context("cannot write the answer")
}

/// Gives the command to the console: what it answers once the command is on the log.
fn ask(verb: &str, two: &Two) -> anyhow::Result<Value> {
    let Two { into, from, by, idempotency_key, place, .. } = two;
    let path = format!("/api/v1/leads/{into}/{verb}");
    let body = json!({ "from": from.to_string(), "by": by });
    Ok(place.post(&path, &body, idempotency_key.as_deref())?.good()?)
}
