//! All that is done before the server starts: its folder, account, password, data and port.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tasuki_service::{Exit, Failure};

use super::account::Account;
use super::binaries::{self, Binaries};
use super::{NAME, PrivateSettings, orphan};

/// A second process may come while the first is just ending; it waits so long.
const LOCK_WITHIN: Duration = Duration::from_secs(3);
/// Beyond this size the server's own log is begun anew.
const LOG_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// Below the ports that the operating system gives to connections: a server that was killed comes back at its port, and must
/// not find it taken by the near end of a connection, least of all of one that tries to reach the server itself.
const PORTS: Range<u16> = 10_000..15_000;

/// A folder ready for the server.
pub(super) struct Prepared {
    pub(super) lock: File,
    pub(super) binaries: Binaries,
    pub(super) account: Account,
    pub(super) data: PathBuf,
    pub(super) password: String,
}

pub(super) fn prepare(settings: &PrivateSettings) -> Result<Prepared, Failure> {
    let folder = &settings.folder;
    fs::create_dir_all(folder).map_err(|error| cannot_use(folder, &error))?;
    let folder = &folder.canonicalize().map_err(|error| cannot_use(folder, &error))?;
    let lock_file = folder.join("lock");
    let lock = lock(&lock_file)?;
    let account = Account::choose(&lock_file)?;
    account.own(folder).map_err(|error| cannot_use(folder, &error))?;
    account.check_reaches(folder)?;
    let data = folder.join("data");
    let existing = fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|version| version.trim().parse().ok());
    let binaries = binaries::find(settings.programs.as_deref(), existing)?;
    let password = password(&folder.join("password")).map_err(|error| cannot_use(folder, &error))?;
    if existing.is_none() {
        make_data(folder, &data, &binaries, &account, &password)?;
    }
    orphan::end(&data, &binaries, &account)?;
    let log_file = folder.join("server.log");
    if fs::metadata(&log_file).is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES) {
        fs::remove_file(&log_file).map_err(|error| cannot_use(&log_file, &error))?;
    }
    Ok(Prepared { lock, binaries, account, data, password })
}

/// The port used last if it is free, else any free one of [`PORTS`], else any at all.
pub(super) fn port(folder: &Path, prefer_last: bool) -> Result<u16, Failure> {
    let file = folder.join("port");
    let last = fs::read_to_string(&file).ok().and_then(|port| port.trim().parse().ok()).filter(|_| prefer_last);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    let port = last.into_iter().chain(some_ports()).find_map(|port| free(port).ok());
    let port = port.map_or_else(|| free(0), Ok).map_err(|error| {
        Failure::new(Exit::OsError, format!("no free port on 127.0.0.1: {error}"), "free some, then start again")
    })?;
    fs::write(&file, format!("{}\n", port.port())).map_err(|error| cannot_use(&file, &error))?;
    Ok(port.port())
}

/// A few of [`PORTS`] at random, so that servers that start at the same time do not come upon the same one.
fn some_ports() -> impl Iterator<Item = u16> {
    (0..100).map(|_| {
        // The one source of randomness in the standard library.
        let random = RandomState::new().build_hasher().finish();
        PORTS.start + u16::try_from(random % PORTS.len() as u64).unwrap_or(0)
    })
}

pub(super) fn arguments(data: &Path, port: u16, more: &[String]) -> Vec<String> {
    let mut arguments = vec!["-D".to_owned(), data.display().to_string(), "-p".to_owned(), port.to_string()];
    let settings = [
        "listen_addresses=127.0.0.1",
        // Debian's default folder for sockets is not writable for others.
        "unix_socket_directories=",
        "max_connections=50",
        "logging_collector=off",
        "log_line_prefix=%m [%p] ",
        "max_wal_size=512MB",
        "wal_compression=on",
        "jit=off",
    ];
    for setting in settings.into_iter().map(str::to_owned).chain(more.iter().cloned()) {
        arguments.extend(["-c".to_owned(), setting]);
    }
    arguments
}

/// What was written to the server's log after this many bytes.
pub(super) fn said_since(log_file: &Path, bytes: u64) -> String {
    let mut said = Vec::new();
    let read = File::open(log_file).and_then(|mut file| {
        file.seek(SeekFrom::Start(bytes))?;
        file.take(64 * 1024).read_to_end(&mut said)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&said).into_owned(),
        Err(error) => format!("(its log cannot be read: {error})"),
    }
}

fn lock(path: &Path) -> Result<File, Failure> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| cannot_use(path, &error))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(cannot_use(path, &error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() > LOCK_WITHIN => {
                return Err(Failure::new(
                    Exit::TemporaryFailure,
                    format!("another process of tasuki uses {}", path.parent().unwrap_or(path).display()),
                    "stop it first, or choose another --data-dir",
                ));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The password of the role, made when there is none. Only its owner may read the file.
fn password(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut random = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(password.as_bytes())?;
    file.sync_all()?;
    Ok(password)
}

/// Makes the cluster under another name and renames it when it is whole, so that half of one is never taken for data.
fn make_data(
    folder: &Path,
    data: &Path,
    binaries: &Binaries,
    account: &Account,
    password: &str,
) -> Result<(), Failure> {
    let unfinished = folder.join("data.unfinished");
    let password_file = folder.join("password.initdb");
    let prepare = || {
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        if password_file.exists() {
            fs::remove_file(&password_file)?;
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&password_file)?;
        file.write_all(password.as_bytes())?;
        account.own(&password_file)
    };
    prepare().map_err(|error| cannot_use(folder, &error))?;
    tracing::info!(folder = %folder.display(), version = binaries.major, "making a private postgres cluster");
    let mut initdb = Command::new(binaries.program("initdb"));
    initdb.args(["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-instructions", "--data-checksums"]);
    initdb.arg(format!("--username={NAME}")).arg("--pwfile").arg(&password_file).arg("--pgdata").arg(&unfinished);
    let output = account.apply(&mut initdb).current_dir("/").stdin(Stdio::null()).output();
    let removed = fs::remove_file(&password_file);
    let output = output.map_err(|error| {
        Failure::new(Exit::Unavailable, format!("initdb cannot be run: {error}"), "install the Postgres server again")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(
            Exit::CannotCreate,
            format!("initdb failed ({}): {}", output.status, said.trim()),
            "free space, or choose another --data-dir",
        ));
    }
    removed.and_then(|()| fs::rename(&unfinished, data)).map_err(|error| cannot_use(folder, &error))
}

fn cannot_use(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::CannotCreate,
        format!("cannot use {}: {error}", path.display()),
        "change its permissions, free space, or choose another --data-dir",
    )
}
