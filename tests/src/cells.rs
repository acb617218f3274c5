//! The matrix of the conformance suite: which real package goes through what, what must come of it, and how one is run.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, anyhow, ensure};
use serde_json::json;

use crate::faults::{Fault, FaultProxy};
use crate::{PATIENCE, eventually, top, trackers};

/// What runs the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Node.
    Node,
    /// Python.
    Python,
    /// A page in Chromium, of another origin than ingest.
    Browser,
}

/// What a package goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// As its documentation says, everything by default (gzip where that is the default).
    Normal,
    /// Without compression, where that is not the default.
    Plain,
    /// By GET.
    Get,
    /// Many events in few requests.
    Batch,
    /// Values that broke other collectors.
    Hostile,
    /// An event of 5 MB among others.
    Large,
    /// 500 first, then 429 with `Retry-After: 1`.
    Refused,
    /// The events are on the log, and the answer is lost on its way.
    AnswerLost,
    /// Ingest is killed (SIGKILL) when the events are on the log and the tracker has not heard of it, and started again.
    Killed,
    /// The broker does not answer for 2.5 s.
    BrokerSlow,
    /// The broker is stopped before the first event, and back later.
    BrokerDown,
    /// With a write key that does not exist.
    WrongKey,
    /// The page is left in the same task in which the events are handed to the package.
    Leave,
    /// A collector without the CORS headers of ours: what shows that the suite would see it.
    NoCors,
}

impl Scenario {
    /// In tokens and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Plain => "plain",
            Self::Get => "get",
            Self::Batch => "batch",
            Self::Hostile => "hostile",
            Self::Large => "large",
            Self::Refused => "500-429",
            Self::AnswerLost => "answer-lost",
            Self::Killed => "killed",
            Self::BrokerSlow => "broker-slow",
            Self::BrokerDown => "broker-down",
            Self::WrongKey => "wrong-key",
            Self::Leave => "leave",
            Self::NoCors => "no-cors",
        }
    }

    /// How many events are handed to the package.
    pub const fn events(self) -> usize {
        match self {
            Self::Batch => 45,
            Self::Leave => 3,
            Self::Normal
            | Self::Plain
            | Self::Get
            | Self::Hostile
            | Self::Large
            | Self::Refused
            | Self::AnswerLost
            | Self::Killed
            | Self::BrokerSlow
            | Self::BrokerDown
            | Self::WrongKey
            | Self::NoCors => 5,
        }
    }

    fn faults(self) -> Vec<Fault> {
        match self {
            Self::Refused => vec![Fault::Refused(500, None), Fault::Refused(429, Some(1))],
            Self::AnswerLost => vec![Fault::AnswerLost],
            Self::Normal
            | Self::Plain
            | Self::Get
            | Self::Batch
            | Self::Hostile
            | Self::Large
            | Self::Killed
            | Self::BrokerSlow
            | Self::BrokerDown
            | Self::WrongKey
            | Self::Leave
            | Self::NoCors => Vec::new(),
        }
    }
}

/// What must come of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Every event is in `activity` exactly once.
    Once,
    /// Every event but the first is in `activity` exactly once, the first is not.
    FirstLost(&'static str),
    /// No event is in `activity` more than once; how many are lost is the client's design.
    AtMostOnce(&'static str),
    /// None is there, and the client does not try for ever: it sends so many POSTs at most.
    Never(&'static str, u32),
}

/// One package in one scenario.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// As its registry calls it.
    pub package: &'static str,
    /// What runs it.
    pub home: Home,
    /// What it goes through.
    pub scenario: Scenario,
    /// What must come of it.
    pub expected: Expected,
    /// The second time.
    pub again: bool,
}

impl Cell {
    /// Unlike any other's, as a part of a path.
    pub fn name(&self) -> String {
        let package = self.package.replace(['@', '/'], "-");
        let home = match self.home {
            Home::Node => "node",
            Home::Python => "python",
            Home::Browser => "browser",
        };
        let again = if self.again { "-again" } else { "" };
        format!("{}.{home}.{}{again}", package.trim_matches('-'), self.scenario.name())
    }

    /// By which its events are found again.
    pub fn tokens(&self) -> Vec<String> {
        (0..self.scenario.events()).map(|number| format!("/conform/{}/{number:04}", self.name())).collect()
    }

    /// Those of [`Cell::tokens`] that must arrive.
    pub fn awaited(&self) -> Vec<String> {
        match self.expected {
            Expected::Once => self.tokens(),
            Expected::FirstLost(_) => self.tokens().split_off(1),
            Expected::AtMostOnce(_) | Expected::Never(..) => Vec::new(),
        }
    }
}

/// Where the packages send to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Ingest.
    pub ingest: SocketAddr,
    /// Its write key.
    pub key: String,
    /// The browser that all pages share.
    pub browser: String,
}

/// A package at work, with a proxy of its own before ingest.
#[derive(Debug)]
pub struct Run {
    /// What it goes through.
    pub cell: Cell,
    /// What goes wrong on its way.
    pub proxy: FaultProxy,
    process: Child,
    /// Its end tells the driver to end.
    input: Option<ChildStdin>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Run {
    /// Starts it, and waits until the package is loaded.
    ///
    /// # Errors
    ///
    /// If it is not in [`PATIENCE`].
    pub fn start(cell: Cell, target: &Target) -> anyhow::Result<Self> {
        let proxy = FaultProxy::start(target.ingest, &cell.scenario.faults())?;
        if cell.scenario == Scenario::NoCors {
            proxy.without_cors();
        }
        let key = if cell.scenario == Scenario::WrongKey { "no-such-key" } else { &target.key };
        let told = json!({
            "package": cell.package, "scenario": cell.scenario.name(), "cell": cell.name(), "count": cell.scenario.events(),
            "endpoint": proxy.endpoint(), "key": key, "browser": target.browser,
        });
        let script = |name: &str| top().join("tests/trackers").join(name);
        let (program, script) = match cell.home {
            Home::Node => ("node".into(), script("conform.mjs")),
            Home::Browser => ("node".into(), script("browser.mjs")),
            Home::Python => (trackers::installed().join("venv/bin/python"), script("conform.py")),
        };
        let mut command = Command::new(program);
        command.arg(script).arg(told.to_string()).current_dir(trackers::installed());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("a tracker")?;
        let output = process.stdout.take().context("standard output was asked for")?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let input = process.stdin.take();
        let run = Self { cell, proxy, process, input, said };
        run.says("ready")?;
        Ok(run)
    }

    /// Lets it send.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn go(&mut self) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("it has not been ended")?;
        input.write_all(b"go\n").with_context(|| format!("{} is gone", self.cell.name()))
    }

    /// What it has said so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it says something that begins so.
    ///
    /// # Errors
    ///
    /// If it does not in [`PATIENCE`].
    pub fn says(&self, word: &str) -> anyhow::Result<()> {
        let heard = || Ok(self.said().iter().any(|line| line.starts_with(word)).then_some(()));
        eventually(PATIENCE, heard)
            .with_context(|| format!("{} does not say {word:?} but {:?}", self.cell.name(), self.said()))
    }

    /// Waits until a client that gives its events up has done all that it will do.
    ///
    /// # Errors
    ///
    /// If it has not in [`PATIENCE`].
    pub fn given_up(&self) -> anyhow::Result<()> {
        self.says("sent")?;
        match self.cell.expected {
            Expected::Once | Expected::FirstLost(_) => Ok(()),
            Expected::Never(..) if self.cell.scenario == Scenario::NoCors => self.says("blocked"),
            Expected::Never(_, posts) => self.posted(posts.min(1)),
            Expected::AtMostOnce(_) if self.cell.scenario == Scenario::Leave => Ok(()),
            // One event alone, and three times again.
            Expected::AtMostOnce(_) if self.cell.scenario == Scenario::BrokerDown => self.posted(4),
            Expected::AtMostOnce(_) => self.posted(u32::try_from(self.cell.scenario.events())?),
        }
    }

    fn posted(&self, posts: u32) -> anyhow::Result<()> {
        eventually(PATIENCE, || Ok((self.proxy.posts() >= posts).then_some(())))
            .with_context(|| format!("{}: {} of {posts} POSTs came", self.cell.name(), self.proxy.posts()))
    }

    /// Ends it; what it said.
    ///
    /// # Errors
    ///
    /// If it does not end in [`PATIENCE`].
    pub fn end(&mut self) -> anyhow::Result<Ended> {
        drop(self.input.take());
        let status = eventually(PATIENCE, || Ok(self.process.try_wait()?));
        if status.is_err() {
            self.process.kill()?;
        }
        let status = status.with_context(|| format!("{} does not end", self.cell.name()))?;
        ensure!(status.success(), "{} ended with {status}", self.cell.name());
        Ok(Ended {
            cell: self.cell,
            posts: self.proxy.posts(),
            landed: self.proxy.all_faults_landed(),
            lost: self.said().into_iter().filter(|line| line.starts_with("lost")).collect(),
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("a tracker was left running: {error}");
        }
    }
}

/// A package that has done its work.
#[derive(Debug)]
pub struct Ended {
    /// What it went through.
    pub cell: Cell,
    /// How many POSTs it sent.
    pub posts: u32,
    /// Whether all faults met a POST.
    pub landed: bool,
    /// What it gave up, in its own words.
    pub lost: Vec<String>,
}

/// The browser that all pages share. Ends with this.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    /// Where drivers find it.
    pub address: String,
}

impl Browser {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If it does not come up.
    pub fn start() -> anyhow::Result<Self> {
        let mut command = Command::new("node");
        command.arg(top().join("tests/trackers/browser.mjs")).current_dir(trackers::installed());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("a browser")?;
        let output = process.stdout.take().context("standard output was asked for")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        let started = Self { process, address: address.trim().to_owned() };
        ensure!(started.address.starts_with("ws:"), "the browser does not start");
        Ok(started)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait() {
            eprintln!("the browser was left running: {error}");
        }
    }
}

/// Starts these, no more at once than the machine bears.
///
/// # Errors
///
/// If one does not start.
pub fn start_all(cells: &[Cell], target: &Target) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for some in cells.chunks(4) {
        let started: Vec<_> = thread::scope(|scope| {
            let starting: Vec<_> = some.iter().map(|cell| scope.spawn(|| Run::start(*cell, target))).collect();
            starting.into_iter().map(|it| it.join().map_err(|_| anyhow!("a thread panicked"))).collect()
        });
        for run in started {
            runs.push(run??);
        }
    }
    Ok(runs)
}

/// A line of the table: what a cell came to.
pub fn row(ended: &Ended, written: usize, attributed: usize) -> String {
    let Ended { cell, posts, lost, .. } = ended;
    let why = match cell.expected {
        Expected::Once => "every event once",
        Expected::FirstLost(why) | Expected::AtMostOnce(why) | Expected::Never(why, _) => why,
    };
    format!(
        "{:<52} {:>2} events {posts:>3} POSTs {written:>3} on behavior {attributed:>2} in activity {:>2} given up; {why}",
        cell.name(),
        cell.scenario.events(),
        lost.len()
    )
}
