//! One run on the embedded log: its database, the process that works on it, the clients.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};
use tasuki_embedded::{EmbeddedLog, PrivatePostgres, PrivateSettings};
use tasuki_service::{Health, SystemClock};
use tasuki_stream::Emitted;
use tasuki_stream::log::Publisher;
use tasuki_testkit::ports::free_port;
use tasuki_testkit::postgres::{reachable_folder, with_database};
use tasuki_testkit::proxy::PostgresProxy;
use tasuki_testkit::proxy::postgres::Fate;
use tasuki_testkit::supervisor::Supervised;
use tasuki_wire::PartitionCount;

use super::clients::{Clients, Target};
use super::tables::{self, Follower};
use crate::drill::attempts::Attempt;
use crate::drill::history::History;
use crate::drill::load::Load;
use crate::drill::random::Random;
use crate::drill::replay;
use crate::drill::scene::SECRET;
use crate::drill::world::World;

/// How long the process may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How long it may take to end when asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// How long nothing may be left to do before all counts as at rest: a user id without an address waits for one twice
/// three seconds.
const QUIET: Duration = Duration::from_millis(4_500);
const PAUSE: Duration = Duration::from_millis(5);
/// Records that are put on the log at once.
const PORTION: usize = 2_000;

/// The server of all runs, which has nothing to lose but what it has on disk.
#[derive(Debug)]
pub(super) struct Server {
    postgres: PrivatePostgres,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(super) fn start(world: &World) -> Result<Self> {
        let folder = reachable_folder();
        let settings =
            PrivateSettings { folder: folder.path().join("postgres"), programs: None, server_settings: Vec::new() };
        let started = PrivatePostgres::start(&settings, Health::default().component("postgres"));
        let postgres = world.runtime.block_on(started).map_err(|failure| anyhow::anyhow!("{failure}"))?;
        Ok(Self { postgres, _folder: folder })
    }

    /// Its process, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.postgres.pid()
    }

    pub(super) fn stop(self, world: &World) {
        world.runtime.block_on(self.postgres.stop());
    }
}

/// One run.
#[derive(Debug)]
pub(super) struct Stage<'w> {
    pub(super) world: &'w World,
    pub(super) server: &'w Server,
    pub(super) load: Load,
    /// Past the proxy.
    pub(super) url: String,
    pub(super) proxy: PostgresProxy,
    pub(super) process: Supervised,
    pub(super) frozen: bool,
    pub(super) clients: Clients,
    pub(super) follower: Follower,
    pub(super) random: Random,
    pub(super) folder: PathBuf,
    pub(super) schedule: Vec<(Duration, String)>,
    begun: Instant,
}

impl<'w> Stage<'w> {
    /// Puts the load on a new log, and starts the process and the clients.
    pub(super) fn set(world: &'w mut World, server: &'w Server, load: Load, attempt: Attempt) -> Result<Self> {
        let number = world.next_run();
        let world = &*world;
        let folder = world.folder.path().join(format!("embedded-{number}"));
        std::fs::create_dir_all(&folder).context("a folder for the run")?;
        let url = world.runtime.block_on(new_log(server.postgres.url(), &format!("run_{number}"), &load))?;
        let proxy = PostgresProxy::start(&url)?;
        let (mut process, command_folder) = (start(world, proxy.url(), &folder, "tasuki")?, folder);
        let ready = ready(&mut process)?;
        Ok(Self {
            clients: Clients::start(Target::of(&ready)?)?,
            follower: Follower::start(url.clone())?,
            random: attempt.schedule(),
            world,
            server,
            load,
            url,
            proxy,
            process,
            frozen: false,
            folder: command_folder,
            schedule: Vec::new(),
            begun: Instant::now(),
        })
    }

    /// Writes down what happens, for the schedule.
    pub(super) fn note(&mut self, what: impl Into<String>) {
        let (at, what) = (self.begun.elapsed(), what.into());
        eprintln!("    {:6.1} s  {what}", at.as_secs_f64());
        self.schedule.push((at, what));
    }

    /// Starts another process on the same log; does not wait until it is ready.
    pub(super) fn another(&self, name: &str) -> Result<Supervised> {
        start(self.world, self.proxy.url(), &self.folder, name)
    }

    /// Waits until the process is ready, and turns the clients to it.
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        self.clients.turn_to(Target::of(&ready(&mut self.process)?)?);
        Ok(())
    }

    /// Asks until it is so, and says whether it came about in time.
    pub(super) fn wait(&mut self, at_most: Duration, mut ask: impl FnMut(&mut Self) -> Result<bool>) -> Result<bool> {
        let begun = Instant::now();
        loop {
            if ask(self)? {
                return Ok(true);
            }
            if begun.elapsed() > at_most {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Brings everything back: the process, and whatever the proxy holds.
    pub(super) fn heal(&mut self) -> Result<()> {
        self.proxy.decide(|_| Fate::Pass);
        self.proxy.release();
        if self.frozen {
            self.process.thaw()?;
            self.frozen = false;
        }
        if self.process.pid().is_none() || self.process.ended()?.is_some() {
            self.process.restart()?;
            self.wait_until_ready()?;
        }
        Ok(())
    }

    /// How many records are still to be processed; `None` while the server does not answer.
    pub(super) fn behind(&self) -> Option<i64> {
        self.world.runtime.block_on(tables::behind(&self.url)).ok()
    }

    /// Waits until nothing is left to do, for some time. What the clients send while it is asked does not count.
    pub(super) fn wait_until_at_rest(&mut self, at_most: Duration) -> Result<bool> {
        let mut since: Option<Instant> = None;
        // Of what comes by HTTP a batch or two is always under way.
        let few = 25;
        self.wait(at_most, |stage| {
            if stage.behind().is_some_and(|behind| behind <= few) {
                Ok(since.get_or_insert_with(Instant::now).elapsed() >= QUIET)
            } else {
                since = None;
                Ok(false)
            }
        })
    }

    /// Ends the process in good order; says what was wrong with that.
    pub(super) fn end(&mut self) -> Option<String> {
        self.process.end(ENDS_WITHIN).err().map(|error| format!("{error:#}"))
    }

    /// Everything on the log.
    pub(super) fn read_all(&self) -> Result<History> {
        self.world.runtime.block_on(tables::read_all(&self.url)).context("read the log")
    }
}

/// Makes a database with this load on its log; says its address.
async fn new_log(server: &str, name: &str, load: &Load) -> Result<String> {
    let sql = format!("CREATE DATABASE {name}");
    tables::connect(server).await?.execute(AssertSqlSafe(sql)).await.context("a database")?;
    let url = with_database(server, name);
    let log = open(&url).await?;
    let publisher = log.publisher();
    for portion in load.records.chunks(PORTION) {
        let emitted = portion.iter().map(|sent| Emitted {
            topic: sent.topic,
            key: String::from_utf8_lossy(&sent.key).into_owned(),
            payload: sent.payload.clone(),
        });
        if let Err(error) = publisher.publish(emitted.collect()).await {
            bail!("the log does not take the load: {error:?}");
        }
    }
    log.close().await;
    Ok(url)
}

/// Fingerprints of the tables in use and of those read again, of a log that nobody works on.
pub(super) async fn fingerprints(url: &str, history: &History) -> Result<[String; 2]> {
    let log = open(url).await?;
    let again = replay::fingerprints(Box::new(log.reader()), log.partitions(), url, history).await;
    log.close().await;
    again
}

async fn open(url: &str) -> Result<EmbeddedLog> {
    let clock = std::sync::Arc::new(SystemClock);
    let component = Health::default().component("log");
    EmbeddedLog::open(url, PartitionCount::DEFAULT, clock, component).await.context("open the log")
}

fn start(world: &World, database_url: &str, folder: &std::path::Path, name: &str) -> Result<Supervised> {
    let mut command = Command::new(&world.binary);
    command
        .args(["up", "--json", "--secret", SECRET, "--database-url", database_url])
        .args(["--console-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
        .args(["--ingest-listen", &format!("127.0.0.1:{}", free_port(0)?)])
        .arg("--data-dir")
        .arg(folder.join(name));
    for set_by_somebody in ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "RUST_LOG", "TASUKI_PLAYBOOK", "TASUKI_REPS"] {
        command.env_remove(set_by_somebody);
    }
    Supervised::start(name, command, &folder.join(format!("{name}.log")))
}

/// What it tells once it is ready.
fn ready(process: &mut Supervised) -> Result<Value> {
    let line = process.line(READY_WITHIN)?;
    serde_json::from_str(&line).with_context(|| format!("not a ready line: {line}"))
}
