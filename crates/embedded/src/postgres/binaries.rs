//! Finds the machine's own Postgres server programs, which most systems keep outside `PATH`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tasuki_service::{Exit, Failure};

/// The oldest major version that works. Those before are no longer mended by their makers.
pub(super) const OLDEST: u32 = 14;

/// The server programs of one Postgres version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The newest server programs, or those of exactly this major version if data of it exist already.
pub(super) fn find(given: Option<&Path>, needed: Option<u32>) -> Result<Binaries, Failure> {
    let folders = given.map_or_else(usual_folders, |folder| vec![folder.to_owned()]);
    let found: Vec<_> = folders.iter().filter_map(|folder| inspect(folder)).collect();
    choose(found, needed).map_err(|why| failure(&why, given, &folders))
}

#[derive(Debug, PartialEq, Eq)]
enum NotFound {
    Nothing,
    TooOld(u32),
    NotOfData { needed: u32, found: Vec<u32> },
}

fn choose(mut found: Vec<Binaries>, needed: Option<u32>) -> Result<Binaries, NotFound> {
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    let Some(newest) = found.first() else { return Err(NotFound::Nothing) };
    match needed {
        None if newest.major < OLDEST => Err(NotFound::TooOld(newest.major)),
        None => Ok(newest.clone()),
        Some(needed) => found.iter().find(|binaries| binaries.major == needed).cloned().ok_or_else(|| {
            NotFound::NotOfData { needed, found: found.iter().map(|binaries| binaries.major).collect() }
        }),
    }
}

fn failure(why: &NotFound, given: Option<&Path>, folders: &[PathBuf]) -> Failure {
    let mend = "install the server (Debian and Ubuntu: apt-get install postgresql), name the folder of `postgres` and \
                `initdb` with --postgres-bin, or give the address of a running server in DATABASE_URL";
    let places = match given {
        Some(folder) => format!("in {}", folder.display()),
        None => {
            let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
            format!("on PATH, by pg_config, or in any of: {}", folders.join(", "))
        }
    };
    match why {
        NotFound::Nothing => Failure::new(Exit::Unavailable, format!("no Postgres server programs {places}"), mend),
        NotFound::TooOld(major) => Failure::new(
            Exit::Unavailable,
            format!("Postgres {major} is too old: {OLDEST} or later is needed (looked {places})"),
            mend,
        ),
        NotFound::NotOfData { needed, found } => Failure::new(
            Exit::Unavailable,
            format!(
                "the data folder was made by Postgres {needed}, of which there are no server programs {places}; found \
                 are versions {found:?}"
            ),
            format!("install Postgres {needed}, or move the data with pg_upgrade, or choose another --data-dir"),
        ),
    }
}

/// Every folder where a server may be, without repetition.
fn usual_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/usr/local", "pgsql"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
    ] {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        folders.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                .map(|entry| entry.path().join("bin")),
        );
    }
    folders.retain(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file());
    folders.sort();
    folders.dedup();
    folders
}

fn inspect(folder: &Path) -> Option<Binaries> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
    folder.join("initdb").is_file().then(|| Binaries { folder: folder.to_owned(), major })
}

/// The major version in what `postgres --version` prints, for example `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`.
fn major_of(printed: &str) -> Option<u32> {
    let version = printed.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32) -> Binaries {
        Binaries { folder: PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")), major }
    }

    #[test]
    fn reads_the_version_that_servers_print() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("command not found"), None);
    }

    #[test]
    fn takes_the_newest_or_the_one_that_made_the_data() {
        let found = vec![version(13), version(17), version(15)];
        assert_eq!(choose(found.clone(), None), Ok(version(17)));
        assert_eq!(choose(found.clone(), Some(15)), Ok(version(15)));
        assert_eq!(choose(found, Some(16)), Err(NotFound::NotOfData { needed: 16, found: vec![17, 15, 13] }));
    }

    #[test]
    fn says_what_is_missing_and_how_to_mend_it() {
        assert_eq!(choose(Vec::new(), None), Err(NotFound::Nothing));
        assert_eq!(choose(vec![version(13)], None), Err(NotFound::TooOld(13)));
        let failure = find(Some(Path::new("/nowhere")), None).unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(failure.what, "no Postgres server programs in /nowhere");
        assert!(failure.mend.contains("apt-get install postgresql"), "{}", failure.mend);
    }
}
