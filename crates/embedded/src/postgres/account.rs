//! As whom the server runs: as ourselves, or, when we are root, as somebody with fewer rights, as Postgres demands.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tasuki_service::{Exit, Failure};

/// Accounts that a machine may have for this, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The account the server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Whoever we are.
    Ourselves,
    /// We are root; this one is not.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// The account to use, judged by whom a file that we made belongs to.
    pub(super) fn choose(made_by_us: &Path) -> Result<Self, Failure> {
        let uid = fs::metadata(made_by_us).map(|metadata| metadata.uid()).unwrap_or_default();
        if uid != 0 {
            return Ok(Self::Ourselves);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        UNPRIVILEGED.iter().find_map(|name| Self::look_up(&passwd, name)).ok_or_else(|| {
            Failure::new(
                Exit::NoPermission,
                "Postgres refuses to run as root, and this machine has neither an account `postgres` nor `nobody`",
                "start as an ordinary user, or give the address of a running server in DATABASE_URL",
            )
        })
    }

    fn look_up(passwd: &str, name: &str) -> Option<Self> {
        let fields: Vec<_> = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f[0] == name)?;
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        Some(Self::Other { name: name.to_owned(), uid, gid })
    }

    /// Lets a command run as this account.
    pub(super) fn apply<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        match self {
            Self::Ourselves => command,
            Self::Other { uid, gid, .. } => command.uid(*uid).gid(*gid),
        }
    }

    /// Gives a file or folder to this account.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)),
        }
    }

    /// Makes sure that the account can get to this folder and write there.
    pub(super) fn check_reaches(&self, folder: &Path) -> Result<(), Failure> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd \"$1\" 2>/dev/null && test -w .", "sh"]).arg(folder).current_dir("/");
        let reached = self.apply(&mut command).status().is_ok_and(|status| status.success());
        match self {
            _ if reached => Ok(()),
            Self::Ourselves => Err(Failure::new(
                Exit::CannotCreate,
                format!("the folder {} cannot be written", folder.display()),
                "change its permissions, or choose another --data-dir",
            )),
            Self::Other { name, .. } => Err(Failure::new(
                Exit::CannotCreate,
                format!(
                    "Postgres refuses to run as root, and the account `{name}`, which it runs as then, cannot reach {}",
                    folder.display()
                ),
                "start as an ordinary user, or choose a --data-dir outside of private folders, for example \
                 /var/lib/tasuki",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_an_account_by_its_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        let expected = Account::Other { name: "postgres".into(), uid: 101, gid: 104 };
        assert_eq!(Account::look_up(passwd, "postgres"), Some(expected));
        assert_eq!(Account::look_up(passwd, "nobody"), None);
    }
}
