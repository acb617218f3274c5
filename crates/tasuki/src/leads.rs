//! `tasuki leads`: who is one person with whom.
//!
//! It asks a running console over HTTP and does not write to the log itself: so it works beside `tasuki up`, and a command
//! passes the same checks as one given on the API.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tasuki_domain::LeadId;
use tasuki_service::{Exit, Failure};

use crate::secret::Secret;

/// The console answers within seconds, or says that it cannot.
const TIMEOUT: Duration = Duration::from_secs(30);

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

/// Which console.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
struct Place {
    /// Where the console is.
    #[arg(long, env = "TASUKI_CONSOLE_URL", default_value = "http://127.0.0.1:8471", value_name = "URL")]
    to: String,
    /// Token of its API; that of the installation if it is here.
    #[arg(long, env = "TASUKI_API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<String>,
    /// Folder of the installation, if it is here.
    #[arg(long, env = "TASUKI_DATA_DIR", default_value = ".tasuki", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// The secret of the installation, if it is not in the data folder.
    #[arg(long, env = "TASUKI_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
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
    if !place.to.starts_with("http://") {
        let what = format!("--to: {:?} is no address that begins with http://", place.to);
        return Err(
            Failure::new(Exit::Usage, what, "this build does not encrypt: give that of the console itself").into()
        );
    }
    let token = match &place.api_token {
        Some(token) => token.clone(),
        None => Secret::load(place.secret.as_deref(), &place.data_dir, false)?.api_token(),
    };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .user_agent(concat!("tasuki-leads/", env!("CARGO_PKG_VERSION")))
        .build();
    let address = format!("{}/api/v1/leads/{into}/{verb}", place.to.trim_end_matches('/'));
    let mut request = config.new_agent().post(&address).header("authorization", format!("Bearer {token}"));
    if let Some(key) = idempotency_key {
        request = request.header("idempotency-key", key);
    }
    let body = json!({ "from": from.to_string(), "by": by }).to_string();
    let mut response = request.header("content-type", "application/json").send(body).map_err(|error| {
        Failure::new(Exit::Unavailable, format!("no console answers at {}: {error}", place.to), "is it running there?")
    })?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().context("the answer of the console breaks off")?;
    let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status == 202 {
        return Ok(answer);
    }
    let message = answer["message"].as_str().unwrap_or("it is not the API of a console");
    let exit = match status {
        401 => Exit::Config,
        503 => Exit::TemporaryFailure,
        _ => Exit::Data,
    };
    Err(Failure::new(exit, format!("the console answers {status}"), message).into())
}
