//! A dependency goes away while everything runs: services wait and say so, trackers are told to come back, nothing
//! acknowledged is lost, and it goes on when the dependency is back.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tasuki_testkit::kafka::KafkaBroker;
use tasuki_tests::{Log, PATIENCE, Tasuki, eventually, up};

#[test]
fn postgres_killed_under_the_embedded_log() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &[])?;
    send_many(&tasuki, "before", 50)?;
    let mut killed = 0;
    for _ in 0..3 {
        killed = postmaster_after(folder.path(), killed)?;
        signal(killed, "KILL")?;
        send_many(&tasuki, "meanwhile", 20)?;
    }
    send_many(&tasuki, "after", 50)?;
    every_acknowledged_event_is_there_once(&tasuki)?;
    is_ready(&tasuki, true)?;
    tasuki.stop()
}

#[test]
fn kafka_stopped_and_started_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut broker = KafkaBroker::start()?;
    let mut command = up(folder.path(), &[]);
    command.env("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers());
    let tasuki = Tasuki::start_command(command)?;
    send_many(&tasuki, "before", 50)?;

    // In good order: of what a broker that is alone forgets when it is killed, docs/adr/0008 tells.
    broker.stop()?;
    let answer = send(&tasuki, "refused", 0)?;
    assert_eq!(answer, 503, "a tracker that retries is told to come back");
    is_ready(&tasuki, false)?;

    broker.restart()?;
    is_ready(&tasuki, true)?;
    send_many(&tasuki, "after", 50)?;
    every_acknowledged_event_is_there_once(&tasuki)?;
    tasuki.stop()
}

/// Sends one page view of one lead; the status of the answer.
fn send(tasuki: &Tasuki, phase: &str, number: u32) -> anyhow::Result<u16> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let body = json!({
        "writeKey": tasuki.told("write_key"), "type": "page", "messageId": format!("{phase}-{number}"), "anonymousId": "v",
        "context": {"traits": {"email": "hanako@acme.example"}}, "properties": {"path": format!("/{phase}/{number}")},
    });
    Ok(agent.post(format!("{}/v1/page", tasuki.told("ingest"))).send_json(&body)?.status().as_u16())
}

/// Sends so many, each until it is acknowledged, as trackers do.
fn send_many(tasuki: &Tasuki, phase: &str, count: u32) -> anyhow::Result<()> {
    for number in 0..count {
        eventually(PATIENCE, || Ok((send(tasuki, phase, number)? == 200).then_some(())))
            .with_context(|| format!("event {number} of phase {phase} is not taken"))?;
    }
    Ok(())
}

/// Every event of these tests was sent until it was acknowledged, so each path must show exactly once.
fn every_acknowledged_event_is_there_once(tasuki: &Tasuki) -> anyhow::Result<()> {
    send_many(tasuki, "marker", 1)?;
    let lead = tasuki.lead("hanako@acme.example", |lead| paths(lead).iter().any(|path| path == "/marker/0"))?;
    let mut shown = paths(&lead);
    shown.sort();
    let mut once = shown.clone();
    once.dedup();
    assert_eq!(shown, once, "no event twice");
    for phase in ["before", "after"] {
        let count = shown.iter().filter(|path| path.starts_with(&format!("/{phase}/"))).count();
        assert_eq!(count, 50, "all events of phase {phase}");
    }
    Ok(())
}

fn paths(lead: &Value) -> Vec<String> {
    let timeline = lead["timeline"].as_array().into_iter().flatten();
    timeline.filter_map(|entry| entry["path"].as_str().map(str::to_owned)).collect()
}

fn is_ready(tasuki: &Tasuki, expected: bool) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    eventually(PATIENCE, || {
        let ready = agent.get(format!("{}/health/ready", tasuki.told("metrics"))).call()?.status() == 200;
        Ok((ready == expected).then_some(()))
    })
    .with_context(|| format!("readiness is not {expected}"))
}

/// The process of the server that runs since the one before was killed, which has left its number behind.
fn postmaster_after(data_dir: &Path, before: u32) -> anyhow::Result<u32> {
    eventually(PATIENCE, || {
        let found = Command::new("find").arg(data_dir).args(["-name", "postmaster.pid"]).output()?;
        let text = std::fs::read_to_string(String::from_utf8(found.stdout)?.trim())?;
        let process = text.lines().next().and_then(|line| line.trim().parse().ok());
        Ok(process.filter(|process| *process != before))
    })
}

fn signal(process: u32, name: &str) -> anyhow::Result<()> {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status()?;
    if status.success() { Ok(()) } else { bail!("kill -s {name} {process} failed") }
}
