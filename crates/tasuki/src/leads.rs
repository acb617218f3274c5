//! `tasuki leads`: who is one person with whom, and why a lead is worth what it is.

mod explain;

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
    /// Say what a lead is worth as of any instant, by any playbook, with every point and what is expected next.
    ///
    /// Ends with 65 if there is no such lead, or the playbook or the instant is not one that there is.
    Explain(explain::Explain),
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
        Action::Explain(asked) => {
            let said = explain::answer(asked)?;
            return write!(std::io::stdout(), "{said}").context("cannot write the answer");
        }
    };
    let answer = ask(verb, two)?;
    let id = answer["command_id"].as_str().unwrap_or_default();
    let (into, from) = (two.into, two.from);
    let said = match &options.action {
        _ if two.json => answer.to_string(),
        Action::Merge(_) => format!("{from} goes into {into} (command {id})"),
        Action::Split(_) | Action::Explain(_) => format!("{from} comes out of {into} (command {id})"),
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
