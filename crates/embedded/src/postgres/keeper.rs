//! Keeps the server running: one thread that starts it, waits for its end, and starts it again.
//!
//! The server is to end when we end, even by `kill -9`. `setpriv --pdeathsig` asks the kernel for that; the kernel means
//! the *thread* that started the child, hence a thread of its own that lives as long as the server.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::account::Account;

/// How the server is started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) account: Account,
    pub(super) log_file: PathBuf,
}

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    /// Not yet, or not at present.
    No,
    /// As this process.
    Yes(u32),
    /// It has ended so often without being asked.
    Failed(u32),
    /// It has ended as it was asked to.
    Stopped,
}

/// The thread's other end.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) running: watch::Receiver<Running>,
    stopping: Arc<AtomicBool>,
}

/// The longest pause before a server that ended is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Keeper {
    pub(super) fn start(launch: Launch) -> io::Result<Self> {
        let (tell, running) = watch::channel(Running::No);
        let stopping = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopping);
        thread::Builder::new().name("postgres".to_owned()).spawn(move || keep(&launch, &flag, &tell))?;
        Ok(Self { running, stopping })
    }

    /// From now on an end of the server is no accident.
    pub(super) fn expect_end(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn pid(&self) -> Option<u32> {
        match *self.running.borrow() {
            Running::Yes(pid) => Some(pid),
            Running::No | Running::Failed(_) | Running::Stopped => None,
        }
    }
}

fn keep(launch: &Launch, stopping: &AtomicBool, tell: &watch::Sender<Running>) {
    let mut failures = 0;
    while !stopping.load(Ordering::SeqCst) {
        let ended = match spawn(launch) {
            Ok(mut child) => {
                tell.send_replace(Running::Yes(child.id()));
                // Reaped before the next one starts: an unreaped process still counts as owner of the data folder.
                child.wait().map(|status| status.to_string())
            }
            Err(error) => Err(error),
        };
        if stopping.load(Ordering::SeqCst) {
            break;
        }
        failures += 1;
        tell.send_replace(Running::Failed(failures));
        match ended {
            Ok(status) => {
                tracing::error!(status, failures, log = %launch.log_file.display(), "postgres ended, starting it again")
            }
            Err(error) => tracing::error!(%error, failures, "postgres cannot be started"),
        }
        let pause = Duration::from_millis(50 << failures.min(7));
        thread::sleep(pause.min(LONGEST_PAUSE));
    }
    tell.send_replace(Running::Stopped);
}

fn spawn(launch: &Launch) -> io::Result<std::process::Child> {
    let log = File::options().create(true).append(true).open(&launch.log_file)?;
    let start = |mut command: Command| {
        launch
            .account
            .apply(&mut command)
            .args(&launch.arguments)
            .current_dir("/")
            // Ctrl-C at the terminal is meant for us; we stop the server when our own work is done.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()
    };
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "INT", "--"]).arg(&launch.program);
    match start(tied) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!("setpriv is not installed: postgres goes on running should this process be killed");
            start(Command::new(&launch.program))
        }
        started => started,
    }
}
