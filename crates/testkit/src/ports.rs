//! Ports of loopback for servers that a test starts, and starts again: free now, and likely to stay so.
//!
//! Ports that the operating system gives out itself (port 0) are those from which it also takes the near end of every
//! connection. One that was free a second ago may be such an end when a broker comes to bind it, or comes back. So these
//! lie below, where nobody takes a port that was not told to. And each is given once: between the moment a port is given and
//! the moment its server has bound it, and while that server is away to come back, nothing but a lock says whose it is.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Below what Linux gives out (32768 and more), above what known servers have.
const OURS: Range<u16> = 15_000..32_000;
const TRIES: usize = 1_000;

/// The locks on what this process was given. The operating system lets go of them when it ends, however it ends.
static GIVEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A free port that is followed by so many others that are free as well. They are this process's as long as it lives: nobody
/// else who asks here is given one of them.
///
/// # Errors
///
/// If there are none, or no files can be made in the folder for temporary ones.
pub fn free_port(followed_by: u16) -> Result<u16> {
    free_within(OURS, followed_by)
}

fn free_within(range: Range<u16>, followed_by: u16) -> Result<u16> {
    for _ in 0..TRIES {
        // The one source of randomness in the standard library.
        let random = RandomState::new().build_hasher().finish();
        let among = u64::from(range.end - range.start - followed_by);
        let first = range.start + u16::try_from(random % among).unwrap_or(0);
        let all = first..=first + followed_by;
        // Looked at once they are locked: who had the lock before may have a server on it that still runs.
        let Some(locks) = all.clone().map(lock).collect::<Result<Option<Vec<_>>>>()? else { continue };
        if all.clone().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            GIVEN.lock().unwrap_or_else(PoisonError::into_inner).extend(locks);
            return Ok(first);
        }
    }
    bail!("no {} neighbouring free ports in {range:?}", followed_by + 1)
}

/// The lock on a port; `None` if somebody has it.
fn lock(port: u16) -> Result<Option<File>> {
    let folder = std::env::temp_dir().join("tasuki-test-ports");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(port.to_string());
    let open = || File::options().create(true).truncate(false).write(true).open(&path);
    let file = open().with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_ours_and_not_always_the_same() {
        let ports: Vec<_> = (0..20).map(|_| free_port(1).unwrap()).collect();
        assert!(ports.iter().all(|port| OURS.contains(port) && OURS.contains(&(port + 1))), "{ports:?}");
        assert!(ports.iter().any(|port| port != &ports[0]), "{ports:?}");
    }

    /// A range of four that nobody else is given.
    fn four() -> Range<u16> {
        let first = free_port(3).unwrap();
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = given.len() - 4;
        given.truncate(kept);
        first..first + 4
    }

    #[test]
    fn a_port_in_use_is_not_given() {
        let range = four();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, range.start + 1)).unwrap();
        assert_eq!(free_within(range.clone(), 1).unwrap(), range.start + 2);
    }

    #[test]
    fn a_port_is_given_once_though_nobody_has_bound_it_yet() {
        let range = four();
        let mut given: Vec<_> = (0..4).map(|_| free_within(range.clone(), 0).unwrap()).collect();
        given.sort_unstable();
        assert_eq!(given, range.clone().collect::<Vec<_>>());
        assert!(free_within(range, 0).is_err());
    }
}
