//! A private Postgres server, from the machine's own programs, for those who have none: data in a folder of ours, on a
//! free port of the loopback interface, ended with us.
//!
//! Its folder holds `data` (the cluster), `password`, `port` (so that a second start is reached at the same address),
//! `lock` (held while in use) and `server.log`.

mod account;
mod binaries;
mod keeper;
mod orphan;
mod prepare;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tasuki_service::{Component, Exit, Failure};
use tokio::time::{Instant, sleep, timeout};

use account::Account;
use binaries::Binaries;
use keeper::{Keeper, Launch, Running};

/// The role and the database that are ours.
const NAME: &str = "tasuki";
/// How long a start may take: after a crash the server first repeats what it had not yet written to its files.
const START_WITHIN: Duration = Duration::from_secs(120);
/// How long an orderly stop may take before it is made a hurried one, which loses nothing but time at the next start.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Where and how the private server runs.
#[derive(Clone, Debug)]
pub struct PrivateSettings {
    /// Its folder; made if it is not there.
    pub folder: PathBuf,
    /// The folder of the programs `postgres`, `initdb` and `pg_ctl`; if not given, the newest the machine has.
    pub programs: Option<PathBuf>,
    /// Further settings of the server, as `name=value`.
    pub server_settings: Vec<String>,
}

/// A running private server. Ends when dropped; [`PrivatePostgres::stop`] also waits for it.
#[derive(Debug)]
pub struct PrivatePostgres {
    keeper: Keeper,
    data: PathBuf,
    binaries: Binaries,
    account: Account,
    url: String,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl PrivatePostgres {
    /// Starts the server, on new or on existing data, and returns when it answers. Should it crash later, it is
    /// started again. `component` tells whether it runs.
    ///
    /// # Errors
    ///
    /// If the programs are missing or too old, the folder cannot be used or is in use, or the server does not start;
    /// the failure says how to mend it.
    pub async fn start(settings: &PrivateSettings, component: Component) -> Result<Self, Failure> {
        let owned = settings.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare::prepare(&owned)).await.map_err(|error| {
            Failure::new(Exit::Software, format!("preparing postgres failed: {error}"), "report this as a defect")
        })??;
        for attempt in 1.. {
            let port = prepare::port(&settings.folder, attempt == 1)?;
            let launch = Launch {
                program: prepared.binaries.program("postgres"),
                arguments: prepare::arguments(&prepared.data, port, &settings.server_settings),
                account: prepared.account.clone(),
                log_file: settings.folder.join("server.log"),
            };
            let log_file = launch.log_file.clone();
            let logged = std::fs::metadata(&log_file).map_or(0, |metadata| metadata.len());
            let keeper = Keeper::start(launch)
                .map_err(|error| Failure::new(Exit::OsError, format!("no thread: {error}"), "free some memory"))?;
            let options = options(port, &prepared.password);
            match answers(&options, &keeper).await {
                Ok(()) => {
                    let url = format!("postgres://{NAME}:{}@127.0.0.1:{port}/{NAME}", prepared.password);
                    let pid = keeper.pid();
                    let server = Self {
                        keeper,
                        data: prepared.data,
                        binaries: prepared.binaries,
                        account: prepared.account,
                        url,
                        _lock: prepared.lock,
                    };
                    create_database(&options).await?;
                    server.report(component);
                    tracing::info!(port, pid, version = server.binaries.major, "private postgres runs");
                    return Ok(server);
                }
                Err(why) => {
                    keeper.expect_end();
                    orphan::stop(&prepared.data, &prepared.binaries, &prepared.account, "fast");
                    let said = prepare::said_since(&log_file, logged);
                    let port_taken = said.contains("could not bind") || said.contains("Address already in use");
                    if !(port_taken && attempt < 3) {
                        return Err(did_not_start(&why, &said, &log_file));
                    }
                }
            }
        }
        unreachable!("the loop returns")
    }

    /// The address, with the password: not for logs.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.keeper.pid()
    }

    /// Ends the server in good order, and returns when it has ended.
    pub async fn stop(self) {
        let mut running = self.keeper.running.clone();
        self.keeper.expect_end();
        orphan::stop(&self.data, &self.binaries, &self.account, "fast");
        let ended = async { running.wait_for(|now| matches!(now, Running::Stopped)).await.is_ok() };
        if timeout(STOP_WITHIN, ended).await.is_err() {
            tracing::warn!("postgres takes long to end, hurrying it");
            orphan::stop(&self.data, &self.binaries, &self.account, "immediate");
            if timeout(STOP_WITHIN, running.wait_for(|now| matches!(now, Running::Stopped))).await.is_err() {
                tracing::error!("postgres does not end");
            }
        }
    }

    /// Tells of the server's fate, for as long as there is one.
    fn report(&self, component: Component) {
        let mut running = self.keeper.running.clone();
        let options = self.url.parse::<PgConnectOptions>().map(|options| options.ssl_mode(PgSslMode::Disable));
        tokio::spawn(async move {
            loop {
                let now = *running.borrow_and_update();
                match (now, &options) {
                    (Running::Yes(_), Ok(options)) => {
                        while connect(options).await.is_err() {
                            sleep(Duration::from_millis(50)).await;
                            if running.has_changed().unwrap_or(true) {
                                break;
                            }
                        }
                        component.ready();
                    }
                    (Running::Yes(_), Err(_)) | (Running::No, _) => {}
                    (Running::Failed(times), _) => {
                        component.waiting(format!("postgres ended by itself ({times} so far) and is being restarted"));
                    }
                    (Running::Stopped, _) => return component.waiting("postgres is stopped"),
                }
                if running.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if !matches!(*self.keeper.running.borrow(), Running::Stopped) {
            self.keeper.expect_end();
            orphan::stop(&self.data, &self.binaries, &self.account, "fast");
        }
    }
}

fn options(port: u16, password: &str) -> PgConnectOptions {
    // Nothing of the user's own PGHOST, PGPASSWORD ... is meant for this server.
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(NAME)
        .password(password)
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    timeout(Duration::from_secs(5), options.clone().disable_statement_logging().connect())
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Waits until the server answers; says why not if it has ended or taken too long.
async fn answers(options: &PgConnectOptions, keeper: &Keeper) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let refused = match connect(options).await {
            Ok(connection) => return connection.close().await.map_err(|error| error.to_string()),
            Err(error) => error,
        };
        if matches!(*keeper.running.borrow(), Running::Failed(_) | Running::Stopped) {
            return Err("it ended at once".to_owned());
        }
        if begun.elapsed() > START_WITHIN {
            return Err(format!("it does not answer after {START_WITHIN:?}: {refused}"));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn create_database(options: &PgConnectOptions) -> Result<(), Failure> {
    let create = async {
        let mut connection = connect(options).await?;
        let exists = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(NAME);
        if exists.fetch_optional(&mut connection).await?.is_none() {
            connection.execute(AssertSqlSafe(format!("CREATE DATABASE {NAME}"))).await?;
        }
        connection.close().await
    };
    create.await.map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            format!("the private postgres has no database `{NAME}`, and none can be made: {error}"),
            "see server.log in its folder",
        )
    })
}

fn did_not_start(why: &str, said: &str, log_file: &Path) -> Failure {
    let last: Vec<_> = said.lines().rev().take(5).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    Failure::new(
        Exit::Unavailable,
        format!("the private postgres does not start: {why}. It said last:\n    {}", last.join("\n    ")),
        format!("see {}; if the data is of no use any more, remove the folder", log_file.display()),
    )
}
