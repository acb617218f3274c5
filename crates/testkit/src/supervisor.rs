//! Programs as child processes that a test kills, stops and continues as it likes.
//!
//! What a program prints on standard output is read line by line ([`Supervised::line`]: the ready line of `tasuki`), what
//! it says on standard error is appended to a file. A program that is dropped is killed, stopped or not.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often the operating system is asked what has become of a process.
const PAUSE: Duration = Duration::from_millis(2);
/// How long the operating system may take to stop a process.
const STOPS_WITHIN: Duration = Duration::from_secs(10);
/// How much of the file is quoted when something goes wrong.
const LAST_LINES: usize = 15;

/// What a process can be told without ending it by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To end in good order, as Ctrl-C asks for.
    Interrupt,
    /// To end in good order, as an init system asks for.
    Terminate,
    /// To do nothing more until it is continued: what a virtual machine that is moved, or a long pause, looks like.
    Stop,
    /// To go on.
    Continue,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// One program, and its process while it runs.
#[derive(Debug)]
pub struct Supervised {
    name: String,
    command: Command,
    log: PathBuf,
    running: Option<Running>,
    starts: u32,
    /// Length of the log when it was last started.
    said_before: usize,
}

#[derive(Debug)]
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Supervised {
    /// Starts the program. Its standard input is empty; standard error goes to the end of the file `log`.
    ///
    /// # Errors
    ///
    /// If there is no such program or no such folder.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let errors = File::options().create(true).append(true).open(log);
        let errors = errors.with_context(|| format!("a file for what {name} says"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let (name, log) = (name.to_owned(), log.to_owned());
        let mut program = Self { name, command, log, running: None, starts: 0, said_before: 0 };
        program.restart()?;
        Ok(program)
    }

    /// Starts it again, as it was started before. Kills it first if it runs.
    ///
    /// # Errors
    ///
    /// As [`Supervised::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.said_before = self.log()?.len();
        let mut child = self.command.spawn().with_context(|| format!("run {:?}", self.command))?;
        let output = child.stdout.take().context("standard output was asked for")?;
        let (sender, lines) = mpsc::channel();
        thread::Builder::new().name(format!("output of {}", self.name)).spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Read on when nobody listens: a full pipe would stop the program.
                sender.send(line).unwrap_or_default();
            }
        })?;
        self.running = Some(Running { child, lines });
        self.starts += 1;
        Ok(())
    }

    /// Its name, as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often it was started.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Its process, unless it has been killed or seen to end.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// What it said on standard error so far, in all its lives.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("what {} said", self.name))
    }

    /// The same, of its latest life only.
    ///
    /// # Errors
    ///
    /// As [`Supervised::log`].
    pub fn said(&self) -> Result<String> {
        let log = self.log()?;
        Ok(log.get(self.said_before..).unwrap_or_default().to_owned())
    }

    /// The next line on standard output.
    ///
    /// # Errors
    ///
    /// If it ends before, or prints none in time; with its last words.
    pub fn line(&mut self, within: Duration) -> Result<String> {
        let Some(running) = &self.running else { bail!("{} does not run", self.name) };
        match running.lines.recv_timeout(within) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} printed nothing in {within:?}: {}", self.name, self.last_words())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("{} ended: {}", self.name, self.last_words()),
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?;
        send(signal, &[pid]).with_context(|| self.name.clone())
    }

    /// Stops it (SIGSTOP), and returns when it has stopped.
    ///
    /// # Errors
    ///
    /// If it does not run, or does not stop.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::Stop)?;
        let pid = self.pid().with_context(|| format!("{} does not run", self.name))?;
        wait_until_stopped(pid)
    }

    /// Lets it go on after [`Supervised::freeze`].
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::Continue)
    }

    /// Kills it (SIGKILL), and returns when it is gone. Nothing happens if it does not run.
    ///
    /// # Errors
    ///
    /// If the operating system refuses.
    pub fn kill9(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.child.kill().with_context(|| format!("kill {}", self.name))?;
            running.child.wait().with_context(|| format!("wait for the end of {}", self.name))?;
        }
        Ok(())
    }

    /// Whether it has ended, and how; `None` while it runs.
    ///
    /// # Errors
    ///
    /// If it was killed by us, or the operating system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(running) = &mut self.running else { bail!("{} was ended before", self.name) };
        let status = running.child.try_wait().with_context(|| format!("look after {}", self.name))?;
        if status.is_some() {
            self.running = None;
        }
        Ok(status)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// If it has not ended in time.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if begun.elapsed() > within {
                bail!("{} has not ended in {within:?}: {}", self.name, self.last_words());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Asks it to end in good order (SIGINT), and waits for that.
    ///
    /// # Errors
    ///
    /// If it does not end in time, or not with success.
    pub fn end(&mut self, within: Duration) -> Result<()> {
        self.signal(Signal::Interrupt)?;
        let status = self.wait(within)?;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.name, self.last_words());
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let mut last: Vec<_> = said.lines().rev().take(LAST_LINES).collect();
        last.reverse();
        last.join("\n")
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Err(error) = self.kill9() {
            eprintln!("{error:#}");
        }
    }
}

/// A process that is not our child, and its own children, stopped: a Postgres server and its backends. They go on when
/// this is dropped, so that a failed test leaves nothing stopped behind.
#[derive(Debug)]
pub struct Frozen(Vec<u32>);

impl Frozen {
    /// Stops the process and its children, and returns when they have stopped.
    ///
    /// # Errors
    ///
    /// If there is no such process.
    pub fn with_children(pid: u32) -> Result<Self> {
        let mut frozen = Self(vec![pid]);
        // First the one that starts all others.
        send(Signal::Stop, &frozen.0)?;
        wait_until_stopped(pid)?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).context("its children")?;
        let children: Vec<u32> = children.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        for child in children {
            // One that has just ended by itself needs no stopping.
            if send(Signal::Stop, &[child]).is_ok() {
                frozen.0.push(child);
            }
        }
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for &pid in &self.0 {
            // One that was killed meanwhile cannot go on.
            send(Signal::Continue, &[pid]).unwrap_or_default();
        }
    }
}

fn send(signal: Signal, pids: &[u32]) -> Result<()> {
    let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
    let sent = Command::new("kill").args(["-s", signal.name()]).args(&pids).stderr(Stdio::null()).status();
    let sent = sent.context("run kill")?;
    if !sent.success() {
        bail!("kill -s {} {} ended with {sent}", signal.name(), pids.join(" "));
    }
    Ok(())
}

/// As the kernel tells it: the third field of `stat`, after the name in brackets.
fn wait_until_stopped(pid: u32) -> Result<()> {
    let begun = Instant::now();
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
        if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
            return Ok(());
        }
        if begun.elapsed() > STOPS_WITHIN {
            bail!("process {pid} does not stop");
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    /// Long enough for `cat` to pass a line on, had it not been stopped.
    const SILENCE: Duration = Duration::from_millis(300);

    fn shell(script: &str, folder: &Path) -> Supervised {
        // Where the tests run in the background, SIGINT is ignored, and a shell cannot take that back by itself.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT", "sh", "-c", script]);
        Supervised::start("a shell", command, &folder.join("log")).unwrap()
    }

    #[test]
    fn a_stopped_program_does_nothing_until_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell("n=0; while :; do n=$((n + 1)); echo $n; sleep 0.01; done", folder.path());
        assert_eq!(program.line(PATIENCE).unwrap(), "1");
        program.freeze().unwrap();
        while program.line(SILENCE).is_ok() {}
        assert!(program.ended().unwrap().is_none());
        program.thaw().unwrap();
        program.line(PATIENCE).unwrap();
    }

    #[test]
    fn a_killed_program_starts_again_with_the_same_command_and_the_same_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell("echo here >&2; echo ready; exec sleep 1000", folder.path());
        assert_eq!(program.line(PATIENCE).unwrap(), "ready");
        let first = program.pid().unwrap();
        program.kill9().unwrap();
        assert_eq!(program.pid(), None);
        assert!(!Path::new(&format!("/proc/{first}")).exists());
        program.restart().unwrap();
        assert_eq!(program.line(PATIENCE).unwrap(), "ready");
        assert_eq!((program.log().unwrap(), program.starts()), ("here\nhere\n".to_owned(), 2));
        assert_eq!(program.said().unwrap(), "here\n");
        assert_ne!(program.pid(), Some(first));
    }

    #[test]
    fn the_end_is_reported_with_the_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell("echo out of disk >&2; exit 3", folder.path());
        let refusal = program.line(PATIENCE).unwrap_err().to_string();
        assert_eq!(refusal, "a shell ended: out of disk");
        assert_eq!(program.wait(PATIENCE).unwrap().code(), Some(3));
        let mut program = shell("trap 'exit 0' INT; echo ready; while :; do sleep 0.01; done", folder.path());
        assert_eq!(program.line(PATIENCE).unwrap(), "ready");
        program.end(PATIENCE).unwrap();
        assert_eq!(program.pid(), None);
    }

    #[test]
    fn a_family_stops_and_goes_on_together() {
        let folder = tempfile::tempdir().unwrap();
        let script = "(while :; do echo child; sleep 0.01; done) & while :; do sleep 0.01; done";
        let mut program = shell(script, folder.path());
        program.line(PATIENCE).unwrap();
        let frozen = Frozen::with_children(program.pid().unwrap()).unwrap();
        assert!(frozen.0.len() >= 2, "{frozen:?}");
        while program.line(SILENCE).is_ok() {}
        drop(frozen);
        program.line(PATIENCE).unwrap();
        // The child would live on: its parent is killed, not the family.
        drop(program);
    }
}
