//! Commands of the program that a test has running.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::Tasuki;

/// The very program that runs there, to be given another command.
///
/// # Errors
///
/// If it runs no more.
pub fn program(tasuki: &Tasuki) -> anyhow::Result<Command> {
    let path =
        std::fs::read_link(format!("/proc/{}/exe", tasuki.process_id())).context("the program of the process")?;
    let mut command = Command::new(path);
    for set_by_somebody in ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "TASUKI_WRITE_KEY", "TASUKI_IMPORT_TIME_ZONE"] {
        command.env_remove(set_by_somebody);
    }
    Ok(command)
}

/// `tasuki import` of a file with these options, by somebody in Japan who wants JSON.
///
/// # Errors
///
/// As [`program`].
pub fn import(tasuki: &Tasuki, file: &Path, more: &[&str]) -> anyhow::Result<Command> {
    let mut command = program(tasuki)?;
    command.arg("import").arg(file).args(["--to", tasuki.told("ingest"), "--write-key", tasuki.told("write_key")]);
    command.args(["--json", "--time-zone", "Asia/Tokyo"]).args(more);
    Ok(command)
}

/// What a command said, once it has ended with this code: its lines of JSON.
///
/// # Errors
///
/// If it ended with another, or said something else.
pub fn answers(command: &mut Command, code: i32) -> anyhow::Result<Vec<Value>> {
    let Output { status, stdout, stderr } = command.output()?;
    let (said, why) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    ensure!(status.code() == Some(code), "{command:?} ended with {status}, not {code}:\n{said}\n{why}");
    said.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))).collect()
}
