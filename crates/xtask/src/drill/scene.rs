//! One run's pipeline: its topics, its database, its services, its load.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tasuki_kafka::{KafkaLog, Settings};
use tasuki_testkit::ports::free_port;
use tasuki_testkit::postgres::fresh_database;
use tasuki_testkit::proxy::{PostgresProxy, kafka, postgres};
use tasuki_wire::PartitionCount;

use super::Brokers;
use super::attempts::Attempt;
use super::embedded::clients::{Clients, Target};
use super::load::{Feeder, Load, Shape};
use super::model::write_key;
use super::random::Random;
use super::service::{Member, Service};
use super::watch::{Groups, Watch};
use super::world::World;

/// What the installation's secret is.
pub(crate) const SECRET: &str = "a secret that only drills use";

/// The exit code of a service that would go on better after a new start (as in sysexits).
const TEMPORARY_FAILURE: i32 = 75;
/// What a failed assertion of a C library ends a process with.
const ABORTED: i32 = 6;

/// What a run consists of. A fault may change it before anything is started.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) attempt: Attempt,
    pub(crate) brokers: Brokers,
    pub(crate) partitions: u16,
    /// How the load departs from one event after the other.
    pub(crate) shape: Shape,
    /// Arguments for every service.
    pub(crate) arguments: Vec<String>,
    /// Arguments for one service.
    pub(crate) arguments_of: Vec<(Service, String)>,
    /// The services talk to Kafka through the proxy of the world.
    pub(crate) through_kafka_proxy: bool,
    /// The services talk to Postgres through a proxy: [`Scene::postgres`].
    pub(crate) through_postgres_proxy: bool,
    /// Clients send by HTTP as well: ingest runs, and [`Scene::clients`] send to it.
    pub(crate) with_ingest: bool,
    /// How long a storm lasts.
    pub(crate) storm: Duration,
    /// Whether a transaction is left open that nobody but the broker ends: it may take longer to catch up then.
    pub(crate) leaves_a_transaction_open: bool,
}

/// One run's pipeline.
#[derive(Debug)]
pub(crate) struct Scene<'w> {
    pub(crate) world: &'w mut World,
    pub(crate) plan: Plan,
    /// Before every topic, group and transactional id.
    pub(crate) prefix: String,
    /// Logs of the services.
    pub(crate) folder: PathBuf,
    /// For our own clients: straight to the broker.
    pub(crate) settings: Settings,
    /// Straight to the server.
    pub(crate) database_url: String,
    /// Before the server, if the plan wants it.
    pub(crate) postgres: Option<PostgresProxy>,
    pub(crate) members: Vec<Member>,
    pub(crate) feeder: Feeder,
    /// Those that send by HTTP, if the plan wants them.
    pub(crate) clients: Option<Clients>,
    /// Where ingest listens.
    pub(crate) ingest: String,
    /// Reads all that is committed, while it happens.
    pub(crate) watch: Watch,
    /// How far the services have come.
    pub(crate) groups: Groups,
    /// For the schedule of the fault.
    pub(crate) random: Random,
    begun: Instant,
    pub(crate) schedule: Vec<(Duration, String)>,
}

impl<'w> Scene<'w> {
    /// Makes topics and database, starts the services and waits until all of them are ready. No load yet.
    pub(crate) fn set(world: &'w mut World, plan: Plan, load: Load, fault: &str) -> Result<Self> {
        let number = world.next_run();
        let prefix = format!("{}-{number}.", fault.to_lowercase());
        let folder = world.folder.path().join(format!("{}-{number}", fault.to_lowercase()));
        std::fs::create_dir_all(&folder).context("a folder for the run")?;
        let settings = Settings {
            partitions: Some(plan.partitions),
            ..Settings::new(world.servers(plan.brokers)?, prefix.clone())
        };
        world.runtime.block_on(KafkaLog::open(settings.clone())).context("make the topics")?;
        let partitions = PartitionCount::new(plan.partitions).context("at least one partition")?;
        let database_url = fresh_database();
        let postgres = plan.through_postgres_proxy.then(|| PostgresProxy::start(&database_url)).transpose()?;
        let mut scene = Self {
            random: plan.attempt.schedule(),
            feeder: Feeder::new(load, &settings, partitions)?,
            watch: Watch::start(&settings, partitions)?,
            groups: Groups::new(&settings, partitions),
            database_url,
            postgres,
            members: Vec::new(),
            clients: None,
            ingest: free_address()?,
            begun: Instant::now(),
            schedule: Vec::new(),
            world,
            plan,
            prefix,
            folder,
            settings,
        };
        for service in Service::ALL {
            scene.add(service, 0)?;
        }
        if scene.plan.with_ingest {
            scene.add(Service::Ingest, 0)?;
        }
        scene.wait_until_ready()?;
        if scene.plan.with_ingest {
            scene.clients =
                Some(Clients::start(Target { ingest: format!("http://{}", scene.ingest), write_key: write_key() })?);
        }
        Ok(scene)
    }

    /// Writes down what happens, for the schedule.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        let (at, what) = (self.begun.elapsed(), what.into());
        eprintln!("    {:6.1} s  {what}", at.as_secs_f64());
        self.schedule.push((at, what));
    }

    /// Starts one more process of a service; does not wait until it is ready.
    pub(crate) fn add(&mut self, service: Service, slot: u16) -> Result<()> {
        let command = self.command(service, slot)?;
        self.members.push(Member::start(service, slot, command, &self.folder)?);
        Ok(())
    }

    /// One process.
    ///
    /// # Panics
    ///
    /// If it was never started: a fault knows what it started.
    pub(crate) fn member(&mut self, service: Service, slot: u16) -> &mut Member {
        let found = self.members.iter_mut().find(|member| member.service == service && member.slot == slot);
        found.expect("faults ask for members of the plan and those they have added")
    }

    /// Waits until every process that runs is ready.
    ///
    /// # Errors
    ///
    /// If one is not in time.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        self.members.iter_mut().filter(|member| member.process.pid().is_some()).try_for_each(Member::wait_until_ready)
    }

    /// Lets so many records of the load go, and returns when the broker has them.
    ///
    /// # Errors
    ///
    /// If it does not take them in a minute.
    pub(crate) fn feed(&mut self, records: usize) -> Result<()> {
        self.feeder.feed(records)
    }

    /// The same for a share of the whole load.
    ///
    /// # Errors
    ///
    /// As [`Scene::feed`].
    pub(crate) fn feed_share(&mut self, percent: usize) -> Result<()> {
        self.feed(self.feeder.len() * percent / 100)
    }

    /// Asks until it is so, and says whether it came about in time.
    pub(crate) fn wait(&mut self, at_most: Duration, mut ask: impl FnMut(&mut Self) -> Result<bool>) -> Result<bool> {
        let begun = Instant::now();
        loop {
            if ask(self)? {
                return Ok(true);
            }
            if begun.elapsed() > at_most {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Brings everything back: processes that are stopped or gone, whatever the proxy holds.
    pub(crate) fn heal(&mut self) -> Result<()> {
        self.release_all()?;
        for member in &mut self.members {
            member.revive()?;
        }
        self.wait_until_ready()
    }

    /// Starts processes again that ended because a library failed them: what keeps services running does so too.
    pub(crate) fn start_again_who_gave_up(&mut self) -> Result<()> {
        let mut again = Vec::new();
        for member in self.members.iter_mut().filter(|member| member.process.pid().is_some()) {
            let Some(status) = member.process.ended()? else { continue };
            if status.code() == Some(TEMPORARY_FAILURE) || status.signal() == Some(ABORTED) {
                member.revive()?;
                again.push(format!("{} ended with {status} and was started again", member.process.name()));
            }
        }
        again.into_iter().for_each(|what| self.note(what));
        Ok(())
    }

    /// Lets everything go on that a proxy holds, and everything pass from now on.
    pub(crate) fn release_all(&mut self) -> Result<()> {
        if self.plan.through_kafka_proxy {
            let proxy = &self.world.kafka()?.proxy;
            proxy.decide(|_| kafka::Deed::Pass);
            proxy.let_go();
            proxy.release();
        }
        if let Some(proxy) = &self.postgres {
            proxy.decide(|_| postgres::Fate::Pass);
            proxy.release();
        }
        Ok(())
    }

    /// Ends all services in good order; says which did not end so.
    pub(crate) fn end(&mut self) -> Result<Vec<String>> {
        let ended = self.members.iter_mut().map(Member::end);
        Ok(ended.filter_map(|ended| ended.err().map(|error| format!("{error:#}"))).collect())
    }

    /// The name under which the worker of a member is known to Kafka.
    pub(crate) fn client_of(&mut self, service: Service, slot: u16) -> String {
        let prefix = self.prefix.clone();
        self.member(service, slot).client(&prefix)
    }

    fn command(&mut self, service: Service, slot: u16) -> Result<Command> {
        let servers = if self.plan.through_kafka_proxy {
            self.world.kafka()?.proxy.bootstrap_servers()
        } else {
            self.settings.bootstrap_servers.clone()
        };
        let database = self.postgres.as_ref().map_or(self.database_url.as_str(), PostgresProxy::url);
        let mut command = Command::new(&self.world.binary);
        command
            .arg(service.name())
            .args(["--kafka-bootstrap-servers", &servers])
            .args(["--kafka-topic-prefix", &self.prefix])
            .args(["--kafka-partitions", &self.plan.partitions.to_string()])
            .args(["--kafka-slot", &slot.to_string()])
            .args(["--metrics-listen", "127.0.0.1:0"])
            .args(["--ingest-listen", &self.ingest])
            .args(["--secret", SECRET])
            .args(["--database-url", database])
            .arg("--data-dir")
            .arg(&self.folder)
            .args(&self.plan.arguments)
            .args(self.plan.arguments_of.iter().filter(|(of, _)| *of == service).map(|(_, argument)| argument));
        for set_by_somebody in ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "RUST_LOG", "TASUKI_PLAYBOOK", "TASUKI_REPS"]
        {
            command.env_remove(set_by_somebody);
        }
        Ok(command)
    }
}

/// An address of loopback that is free now, and stays the same after a restart.
fn free_address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", free_port(0)?))
}
