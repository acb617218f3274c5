//! A Postgres of the test's own, from the machine's binaries, gone when the test is.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};

/// Postgres refuses to run as root; `nobody` on Debian.
const UNPRIVILEGED: u32 = 65_534;

pub(super) struct Cluster {
    folder: tempfile::TempDir,
    server: Child,
    pub(super) pool: PgPool,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("projection-").tempdir_in("/tmp").unwrap();
        if is_root() {
            chown(folder.path(), Some(UNPRIVILEGED), None).unwrap();
        }
        let made = command("initdb", folder.path())
            .args(["--pgdata", "data", "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-sync"])
            .status();
        assert!(made.unwrap().success(), "initdb");
        let options =
            PgConnectOptions::new_without_pgpass().socket(folder.path()).username("postgres").database("postgres");
        let server = serve(folder.path());
        let cluster = Self { server, pool: PgPoolOptions::new().connect_lazy_with(options), folder };
        cluster.answers().await;
        cluster
    }

    /// kill -9 of the postmaster: what was not flushed is lost.
    pub(super) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again after [`Cluster::kill`].
    pub(super) async fn restart(&mut self) {
        // The processes of the dead server leave one after another; until then the new one ends at once.
        loop {
            self.server = serve(self.folder.path());
            loop {
                if self.connects().await {
                    return;
                }
                if self.server.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    async fn answers(&self) {
        while !self.connects().await {
            tokio::task::yield_now().await;
        }
    }

    async fn connects(&self) -> bool {
        match PgConnection::connect_with(&self.pool.connect_options()).await {
            Ok(connection) => connection.close().await.is_ok(),
            Err(_) => false,
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

fn serve(folder: &Path) -> Child {
    command("postgres", folder)
        .args(["-D", "data", "-c", "listen_addresses=", "-c", "max_connections=40", "-c", "timezone=UTC", "-k"])
        .arg(folder)
        .spawn()
        .unwrap()
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(binaries().join(program));
    command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    if is_root() {
        command.uid(UNPRIVILEGED);
    }
    command
}

/// The newest of the machine's Postgres releases.
fn binaries() -> PathBuf {
    let releases = std::fs::read_dir("/usr/lib/postgresql").expect("install postgresql");
    let mut releases: Vec<_> = releases.map(|entry| entry.unwrap().path()).collect();
    releases.sort();
    releases.pop().expect("install postgresql").join("bin")
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|owner| std::os::unix::fs::MetadataExt::uid(&owner) == 0)
}
