//! A process that is measured: started with its output in a file, looked at through /proc, killed at the end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

/// /proc counts CPU time in these (USER_HZ, 100 on every Linux that Rust runs on).
const TICKS_PER_SECOND: f64 = 100.0;
/// How much of its output is told when it fails.
const LAST_LINES: usize = 12;

/// A running process. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

/// Resident memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Now (VmRSS), in MB of 10^6 bytes.
    pub(super) resident_mb: f64,
    /// The most it ever was (VmHWM).
    pub(super) peak_mb: f64,
}

impl Process {
    /// Starts it; what it says goes to a file in the folder.
    pub(super) fn start(name: &str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let output = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&output).context("a file for its output")?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, output })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU seconds, user and system, of all its threads and of children it has waited for.
    pub(super) fn cpu(&self) -> anyhow::Result<f64> {
        cpu_of(self.id()).with_context(|| self.last_words())
    }

    /// Its memory.
    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).with_context(|| self.last_words())?;
        let field = |name: &str| -> anyhow::Result<f64> {
            let line = status.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
            kib.map(|kib| kib * 1_024.0 / 1e6)
                .ok_or_else(|| anyhow!("{} has no {name}; {}", self.name, self.last_words()))
        };
        Ok(Memory { resident_mb: field("VmRSS:")?, peak_mb: field("VmHWM:")? })
    }

    /// Fails with its last words if it has ended.
    pub(super) fn must_run(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}; {}", self.name, self.last_words()),
        }
    }

    /// Waits for its end.
    pub(super) fn finished(mut self, at_most: Duration) -> anyhow::Result<String> {
        let begun = std::time::Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(fs::read_to_string(&self.output)?),
                Some(status) => bail!("{} ended with {status}; {}", self.name, self.last_words()),
                None if begun.elapsed() > at_most => {
                    bail!("{} takes more than {at_most:?}; {}", self.name, self.last_words())
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub(super) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of its output, for messages.
    pub(super) fn last_words(&self) -> String {
        let said = fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        let last = lines.len().saturating_sub(LAST_LINES);
        format!("its last words:\n    {}", lines[last..].join("\n    "))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("cannot end {}: {error}", self.name);
        }
    }
}

/// CPU seconds of a process.
pub(super) fn cpu_of(pid: u32) -> anyhow::Result<f64> {
    Ok(stat(pid)?.cpu)
}

/// What a process is called, whose child it is, and its CPU seconds.
#[derive(Debug)]
pub(super) struct Stat {
    pub(super) name: String,
    pub(super) parent: u32,
    pub(super) cpu: f64,
}

/// Reads /proc/PID/stat.
pub(super) fn stat(pid: u32) -> anyhow::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    // The name stands in parentheses and may hold anything.
    let (head, fields) = text.rsplit_once(") ").context("/proc/PID/stat has a name")?;
    let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
    let fields: Vec<_> = fields.split_whitespace().collect();
    let number = |index: usize| -> anyhow::Result<f64> {
        let field = fields.get(index).context("/proc/PID/stat has more fields")?;
        field.parse().with_context(|| format!("/proc/{pid}/stat: {field}"))
    };
    // utime, stime, cutime and cstime: fields 14 to 17 of proc(5), of which the first two are not in `fields`.
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    let parent = fields.get(1).and_then(|parent| parent.parse().ok()).context("/proc/PID/stat has a parent")?;
    Ok(Stat { name, parent, cpu: ticks / TICKS_PER_SECOND })
}

/// All processes that descend from this one, itself included.
pub(super) fn descendants(of: u32) -> anyhow::Result<Vec<(u32, Stat)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // It may end while we look.
        if let Ok(stat) = stat(pid) {
            all.push((pid, stat));
        }
    }
    let (mut found, mut others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(pid, _)| *pid == of);
    let mut next = vec![of];
    while let Some(parent) = next.pop() {
        let (children, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, stat)| stat.parent == parent);
        next.extend(children.iter().map(|(pid, _)| *pid));
        found.extend(children);
        others = rest;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_a_child_uses() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; sleep 60"]);
        let mut process = Process::start("counter", command, folder.path()).unwrap();
        while !process.last_words().contains("done") {
            process.must_run().unwrap();
        }
        assert!(process.cpu().unwrap() > 0.0);
        let memory = process.memory().unwrap();
        assert!(memory.resident_mb > 0.1 && memory.peak_mb >= memory.resident_mb, "{memory:?}");
        let ours = descendants(std::process::id()).unwrap();
        assert!(ours.iter().any(|(pid, stat)| *pid == process.id() && stat.name == "sh"), "{ours:?}");
        process.kill().unwrap();
    }

    #[test]
    fn an_end_comes_with_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo too bad >&2; exit 3"]);
        let failed = Process::start("failing", command, folder.path()).unwrap().finished(Duration::from_secs(10));
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("exit status: 3") && message.contains("too bad"), "{message}");
    }
}
