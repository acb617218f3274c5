//! The real tracker packages, as `deploy/setup test` installed them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{Tasuki, top};

/// Where the packages are.
pub fn installed() -> PathBuf {
    top().join("target/trackers")
}

fn run(mut command: Command) -> anyhow::Result<String> {
    let output = command
        .current_dir(installed())
        .output()
        .with_context(|| format!("cannot run {:?}; deploy/setup test installs it", command.get_program()))?;
    if !output.status.success() {
        bail!("{:?} failed: {}", command.get_program(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn node(script: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("node");
    command.arg(top().join("tests/trackers").join(script)).args(arguments);
    run(command)
}

fn python(script: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(installed().join("venv/bin/python"));
    command.arg(top().join("tests/trackers").join(script)).args(arguments);
    run(command)
}

/// A person's way on a website by `@segment/analytics-node`: two anonymous page views, identify, a demo request.
///
/// # Errors
///
/// If the package reports an event as lost.
pub fn segment_visit(tasuki: &Tasuki, person: &str) -> anyhow::Result<()> {
    let (visitor, email) = (format!("visitor-{person}"), format!("{person}@acme.example"));
    node("segment.mjs", &[tasuki.told("ingest"), tasuki.told("write_key"), &visitor, person, &email]).map(drop)
}

/// Whether the lead of a [`segment_visit`] shows all that follows from it: topics have no mutual order, so that the owner is
/// shown does not say that the last score is.
pub fn is_complete(lead: &Value) -> bool {
    let matches = |rule: &str| {
        let contributions = lead["contributions"].as_array().into_iter().flatten();
        contributions.filter(|it| it["rule"] == rule).filter_map(|it| it["matches"].as_u64()).sum::<u64>()
    };
    let timeline = lead["timeline"].as_array().map_or(0, Vec::len);
    let identified = lead["fit"].as_f64().is_some_and(|fit| fit > 0.0);
    lead["owner"] != Value::Null
        && timeline >= 4
        && identified
        && matches("page-view") >= 2
        && matches("demo-request") >= 1
}

/// What people did, by `@segment/analytics-node`: its calls, each with `minutesAgo`.
///
/// # Errors
///
/// If the package reports an event as lost.
pub fn people(tasuki: &Tasuki, calls: &Value) -> anyhow::Result<()> {
    people_by(tasuki, "segment", calls)
}

/// The same by `@rudderstack/rudder-sdk-node`.
///
/// # Errors
///
/// As [`people`].
pub fn people_by_rudder(tasuki: &Tasuki, calls: &Value) -> anyhow::Result<()> {
    people_by(tasuki, "rudder", calls)
}

fn people_by(tasuki: &Tasuki, sender: &str, calls: &Value) -> anyhow::Result<()> {
    node("people.mjs", &[tasuki.told("ingest"), tasuki.told("write_key"), &calls.to_string(), sender]).map(drop)
}

/// Page views by `snowplow-tracker`.
///
/// # Errors
///
/// If the package reports an event as lost.
pub fn snowplow_pages(tasuki: &Tasuki, person: &str, count: u32) -> anyhow::Result<()> {
    let address = tasuki.told("ingest").trim_start_matches("http://").to_owned();
    python("snowplow.py", &[&address, person, &count.to_string()]).map(drop)
}

/// The first record of a lead on the public contract, read by `kafka-python`.
///
/// # Errors
///
/// If there is none in 20 s.
pub fn contract_record(tasuki: &Tasuki, lead: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&python("contract.py", &[tasuki.told("bootstrap_servers"), lead, "20"])?)?)
}

/// A rep's way through the console in Chromium; leaves screenshots in the folder.
///
/// # Errors
///
/// If a page does not show what is needed to go on.
pub fn console_visit(tasuki: &Tasuki, email: &str, screenshots: &Path) -> anyhow::Result<Value> {
    let folder = screenshots.to_string_lossy();
    let seen = node("console.mjs", &[tasuki.told("console"), tasuki.told("api_token"), email, &folder])?;
    Ok(serde_json::from_str(&seen)?)
}

/// What the systems of [`other_systems`] sign and send with.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'a> {
    /// The write key of a source.
    pub write_key: &'a str,
    /// Of the webhooks at `/webhooks/generic`.
    pub standard_webhooks: &'a str,
    /// Of the webhooks at `/webhooks/hubspot`.
    pub hubspot: &'a str,
    /// Of the webhooks at `/webhooks/mautic`.
    pub mautic: &'a str,
}

/// What CRM, marketing automation and analytics systems send, by their own packages where there are any: see the scripts.
///
/// # Errors
///
/// If an answer is not the one that its sender understands.
pub fn other_systems(tasuki: &Tasuki, secrets: &Secrets<'_>) -> anyhow::Result<()> {
    let ingest = tasuki.told("ingest");
    let Secrets { write_key, standard_webhooks, hubspot, mautic } = *secrets;
    node("webhooks.mjs", &[ingest, write_key, standard_webhooks])?;
    python("webhooks.py", &[ingest, write_key, standard_webhooks, hubspot, mautic]).map(drop)
}
