//! What is done to the process, to its database, and to what they say to each other.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sqlx::Executor;
use tasuki_testkit::proxy::postgres::{Commit, Fate, Moment};
use tasuki_testkit::supervisor::Frozen;

use super::stage::Stage;
use super::tables;
use crate::drill::fault::Struck;

/// How the `application_name` of the connection that writes the log begins.
const WRITER: &str = "tasuki log writer";
/// How long something may take to come about in the middle of work.
const LANDS_WITHIN: Duration = Duration::from_secs(60);
/// How long a server may take to run again: it repeats what it had not written to its files.
const SERVER_WITHIN: Duration = Duration::from_secs(60);
/// How long somebody who has been replaced may take to notice and end.
const ZOMBIE_ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a server is stopped: longer than its silence counts as being away.
const SILENT_FOR: Duration = Duration::from_secs(7);
/// So many answers are dropped, of the log's COMMITs and of the projection's, which are fewer.
const LOG_DROPS: usize = 12;
const PROJECTION_DROPS: usize = 3;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    KillProcess,
    Zombie,
    Server,
    UnknownOutcome,
}

impl Harm {
    pub(super) const ALL: [Self; 4] = [Self::KillProcess, Self::Zombie, Self::Server, Self::UnknownOutcome];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::KillProcess => "F1",
            Self::Zombie => "F4",
            Self::Server => "F8",
            Self::UnknownOutcome => "F9",
        }
    }

    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::KillProcess => "kill -9 of the process while the log commits, before and after Postgres has done it",
            Self::Zombie => "the process stops in a commit, another takes over, then the first one goes on",
            Self::Server => {
                "kill -9 of Postgres in a commit, before and after it is done; Postgres stops for seven seconds"
            }
            Self::UnknownOutcome => "answers to COMMITs of log and projection are dropped after Postgres has done them",
        }
    }

    /// Does it, and says whether it landed in the middle of work.
    pub(super) fn strike(self, stage: &mut Stage<'_>) -> Result<Struck> {
        match self {
            Self::KillProcess => kill_process(stage).map(Struck::landed),
            Self::Zombie => zombie(stage),
            Self::Server => server(stage).map(Struck::landed),
            Self::UnknownOutcome => unknown_outcome(stage).map(Struck::landed),
        }
    }
}

/// A commit of the log that holds something.
fn is_of_the_log(commit: &Commit) -> bool {
    commit.application.starts_with(WRITER) && commit.rows > 1
}

/// Holds one of the next commits of the log. Says whether it is held, with work left behind it.
fn hold_a_commit(stage: &mut Stage<'_>, moment: Moment) -> Result<bool> {
    // Not the first one: the schedule differs by seed. But soon, since each of four lives does some of the work.
    let mut skip = stage.random.below(6);
    stage.proxy.decide(move |commit| {
        if !is_of_the_log(commit) {
            return Fate::Pass;
        }
        skip = skip.wrapping_sub(1);
        if skip == usize::MAX { Fate::Hold(moment) } else { Fate::Pass }
    });
    let held = stage.wait(LANDS_WITHIN, |stage| Ok(stage.proxy.held() > 0))?;
    let behind = stage.behind().unwrap_or(0);
    stage.note(format!("a commit is held {moment:?} it is done: {held}; {behind} records to be processed"));
    Ok(held && behind > 0)
}

fn kill_process(stage: &mut Stage<'_>) -> Result<bool> {
    let mut landed = true;
    for moment in [Moment::Before, Moment::After, Moment::Before, Moment::After] {
        landed &= hold_a_commit(stage, moment)?;
        stage.process.kill9()?;
        // Before: what it had sent still arrives, or does not.
        if stage.random.percent(50) {
            stage.proxy.release()
        } else {
            stage.proxy.cut_held()
        }
        stage.note("killed");
        stage.heal()?;
    }
    Ok(landed)
}

fn zombie(stage: &mut Stage<'_>) -> Result<Struck> {
    let landed = hold_a_commit(stage, Moment::Before)?;
    stage.process.freeze()?;
    stage.proxy.decide(|_| Fate::Pass);
    stage.proxy.release();
    // What the server does when a client is silent for long: the lock goes with the connection.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    stage.world.runtime.block_on(async { tables::connect(&stage.url).await?.execute(end).await })?;
    let mut successor = stage.another("successor")?;
    std::mem::swap(&mut stage.process, &mut successor);
    stage.wait_until_ready()?;
    let behind = stage.behind().unwrap_or(0);
    stage.note(format!("another process has taken over, {behind} records are left to it"));
    let mut zombie = successor;
    zombie.thaw()?;
    let begun = Instant::now();
    let mut violations = Vec::new();
    match zombie.wait(ZOMBIE_ENDS_WITHIN) {
        Ok(status) => {
            stage.note(format!("the first one ended {:.1} s after it went on: {status}", begun.elapsed().as_secs_f64()))
        }
        Err(_) => {
            violations.push(format!("a process whose log another one writes still runs after {ZOMBIE_ENDS_WITHIN:?}"))
        }
    }
    Ok(Struck { landed: landed && behind > 0, violations })
}

fn server(stage: &mut Stage<'_>) -> Result<bool> {
    let mut landed = true;
    for moment in [Moment::Before, Moment::After] {
        landed &= hold_a_commit(stage, moment)?;
        stage.proxy.decide(|_| Fate::Pass);
        let pid = stage.server.pid().context("the server runs")?;
        let killed = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status().context("run kill")?;
        if !killed.success() {
            bail!("kill -9 of the server ended with {killed}");
        }
        stage.proxy.cut_held();
        let again = stage.wait(SERVER_WITHIN, |stage| {
            Ok(stage.server.pid().is_some_and(|now| now != pid) && stage.behind().is_some())
        })?;
        stage.note(format!("the server is killed; runs again: {again}"));
    }
    let before = stage.clients.acknowledged();
    landed &= stage.wait(LANDS_WITHIN, |stage| Ok(stage.clients.acknowledged() > before))?;
    landed &= stage.behind().is_some_and(|behind| behind > 0);
    let frozen = Frozen::with_children(stage.server.pid().context("the server runs")?)?;
    stage.note("the server is stopped");
    let begun = Instant::now();
    stage.wait(SILENT_FOR * 2, |_| Ok(begun.elapsed() >= SILENT_FOR))?;
    drop(frozen);
    stage.note("the server goes on");
    Ok(landed)
}

fn unknown_outcome(stage: &mut Stage<'_>) -> Result<bool> {
    let between = 2 + stage.random.below(4);
    let (mut of_log, mut of_projection) = (Drops::new(LOG_DROPS, between), Drops::new(PROJECTION_DROPS, 2));
    stage.proxy.decide(move |commit| {
        // All others than the log's that write anything are the projection's.
        let drops = if commit.application.starts_with(WRITER) { &mut of_log } else { &mut of_projection };
        if drops.takes(commit) { Fate::Cut(Moment::After) } else { Fate::Pass }
    });
    let landed = stage.wait(LANDS_WITHIN, |stage| Ok(stage.proxy.landed().len() >= LOG_DROPS + PROJECTION_DROPS))?;
    stage.proxy.decide(|_| Fate::Pass);
    let rows = |of_log: bool| -> Vec<u64> {
        let landed = stage.proxy.landed().into_iter().map(|landed| landed.commit);
        landed.filter(|commit| commit.application.starts_with(WRITER) == of_log).map(|commit| commit.rows).collect()
    };
    let (log, projection) = (rows(true), rows(false));
    stage.note(format!("answers dropped after commits of {log:?} rows (log) and {projection:?} rows (projection)"));
    Ok(landed)
}

/// Every so manieth commit that writes something, up to a number of them.
struct Drops {
    left: usize,
    between: usize,
    commits: usize,
}

impl Drops {
    fn new(left: usize, between: usize) -> Self {
        Self { left, between, commits: 0 }
    }

    fn takes(&mut self, commit: &Commit) -> bool {
        if commit.rows <= 1 || self.left == 0 {
            return false;
        }
        self.commits += 1;
        let takes = self.commits.is_multiple_of(self.between);
        self.left -= usize::from(takes);
        takes
    }
}
