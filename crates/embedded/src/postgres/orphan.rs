//! A server left behind by a process that was killed: it is asked to end before another one is started on its data.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tasuki_service::{Exit, Failure};

use super::account::Account;
use super::binaries::Binaries;

/// How long a server may take to end by itself: it writes all it has in memory to disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the end of a server that still works on this data folder, and takes away what a dead one left.
pub(super) fn end(data: &Path, binaries: &Binaries, account: &Account) -> Result<(), Failure> {
    let Some(pid) = recorded_pid(data) else { return Ok(()) };
    if !works_on(pid, data) {
        // Postgres itself would believe in any live process of that number, for example after a restart of the machine.
        if Path::new("/proc").join(pid.to_string()).exists() {
            tracing::info!(pid, "the process named in postmaster.pid is another program");
            remove_pid_file(data)?;
        }
        return Ok(());
    }
    tracing::warn!(pid, "stopping the postgres that an earlier run left behind");
    stop(data, binaries, account, "fast");
    let begun = Instant::now();
    let mut hurried = false;
    while works_on(pid, data) {
        if begun.elapsed() > PATIENCE && !hurried {
            hurried = true;
            stop(data, binaries, account, "immediate");
        }
        if begun.elapsed() > PATIENCE * 2 {
            return Err(Failure::new(
                Exit::TemporaryFailure,
                format!("the postgres that an earlier run left behind (process {pid}) does not end"),
                format!("end it by hand (kill -QUIT {pid}), then start again"),
            ));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Asks the server on this data folder to end, and does not wait.
pub(super) fn stop(data: &Path, binaries: &Binaries, account: &Account, mode: &str) {
    let mut command = Command::new(binaries.program("pg_ctl"));
    command.args(["stop", "--silent", "--no-wait", "--mode", mode, "--pgdata"]).arg(data).current_dir("/");
    let asked = account.apply(&mut command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if let Err(error) = asked {
        tracing::warn!(%error, "pg_ctl cannot be run");
    }
}

fn recorded_pid(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// Whether this process is a server on this data folder: a postmaster's working directory is its data folder.
fn works_on(pid: u32, data: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    match (fs::read_link(process.join("cwd")), data.canonicalize()) {
        (Ok(cwd), Ok(data)) => cwd == data,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn remove_pid_file(data: &Path) -> Result<(), Failure> {
    fs::remove_file(data.join("postmaster.pid")).map_err(|error| {
        Failure::new(
            Exit::OsError,
            format!("cannot remove {}: {error}", data.join("postmaster.pid").display()),
            "remove it by hand, then start again",
        )
    })
}
