//! A real Postgres for tests: one private server for each test binary, a database of its own for each test.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process, thread};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tasuki_embedded::{PrivatePostgres, PrivateSettings};
use tasuki_service::{Exit, Health};
use tokio::runtime::Runtime;

static SERVER: OnceLock<PrivatePostgres> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The address of a new, empty database. It is removed when a later test run finds it.
///
/// # Panics
///
/// If no Postgres server can be started; the message says what to install.
pub fn fresh_database() -> String {
    let server = SERVER.get_or_init(|| on_a_thread(start));
    let name = format!("test_{}_{}", process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
    let url = server.url().to_owned();
    let created = name.clone();
    on_a_thread(move || runtime().block_on(execute(&url, &format!("CREATE DATABASE {created}"))));
    with_database(server.url(), &name)
}

/// A folder that the account of the server can reach also when the tests run as root; removed when dropped.
///
/// # Panics
///
/// If none can be made.
pub fn reachable_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("tasuki-test-").permissions(permissions).tempdir().expect("a temporary folder")
}

/// The same server, another database.
pub fn with_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("an address ends with a database");
    format!("{server}/{name}")
}

/// Tests may run inside a runtime, in which no other can be driven.
fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(work).join().expect("see the message above")
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    })
}

/// Starts the server in the first folder that no other test binary uses. The folders stay, so that only the first run
/// ever pays for making a cluster.
fn start() -> PrivatePostgres {
    let slots = env::temp_dir().join("tasuki-test-postgres");
    for folder in (0..64).map(|slot| slots.join(format!("{slot}"))).filter(|folder| is_free(folder)) {
        let settings = PrivateSettings {
            folder,
            programs: None,
            // Only a crash of the whole machine could tell the difference.
            server_settings: vec!["fsync=off".to_owned(), "max_connections=200".to_owned()],
        };
        let component = Health::default().component("postgres");
        match runtime().block_on(PrivatePostgres::start(&settings, component)) {
            Ok(server) => {
                runtime().block_on(remove_old_databases(server.url()));
                return server;
            }
            // Another binary has looked at the same time, and was sooner.
            Err(failure) if failure.exit == Exit::TemporaryFailure => {}
            Err(failure) => fail(&failure),
        }
    }
    fail(&"64 test binaries run at once, each with a server of its own")
}

#[allow(clippy::panic, reason = "how a test fails")]
fn fail(failure: &dyn Display) -> ! {
    panic!("{failure}")
}

fn is_free(folder: &Path) -> bool {
    match File::options().write(true).open(folder.join("lock")) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => true,
    }
}

async fn remove_old_databases(url: &str) {
    let options: PgConnectOptions = url.parse().expect("our own address");
    let mut connection = options.connect().await.expect("the server has just answered");
    let old = sqlx::query("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'");
    let old = old.fetch_all(&mut connection).await.expect("a query of the catalogue");
    for row in old {
        let name: String = row.get(0);
        connection.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.expect("nobody uses it");
    }
}

async fn execute(url: &str, sql: &str) {
    let options: PgConnectOptions = url.parse().expect("our own address");
    let mut connection = options.disable_statement_logging().connect().await.expect("the server answers");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("a new database");
    connection.close().await.expect("nothing under way");
}
