//! Ports of loopback for servers that a test starts, and starts again: free now, and likely to stay so.
//!
//! Ports that the operating system gives out itself (port 0) are those from which it also takes the near end of every
//! connection. One that was free a second ago may be such an end when a broker comes to bind it, or comes back. So these
//! lie below, where nobody takes a port that was not told to.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Result, bail};

/// Below what Linux gives out (32768 and more), above what known servers have.
const OURS: Range<u16> = 15_000..32_000;
const TRIES: usize = 1_000;

/// A free port that is followed by so many others that are free as well. Chosen at random, so that test processes that run
/// at the same time do not come upon the same one.
///
/// # Errors
///
/// If there are none.
pub fn free_port(followed_by: u16) -> Result<u16> {
    free_within(OURS, followed_by)
}

fn free_within(range: Range<u16>, followed_by: u16) -> Result<u16> {
    for _ in 0..TRIES {
        // The one source of randomness in the standard library.
        let random = RandomState::new().build_hasher().finish();
        let among = u64::from(range.end - range.start - followed_by);
        let port = range.start + u16::try_from(random % among).unwrap_or(0);
        if (port..=port + followed_by).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no {} neighbouring free ports in {range:?}", followed_by + 1)
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

    #[test]
    fn a_port_in_use_is_not_given() {
        let first = free_port(3).unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 1)).unwrap();
        for _ in 0..20 {
            assert_eq!(free_within(first..first + 4, 1).unwrap(), first + 2);
        }
        assert!(free_within(first..first + 2, 1).is_err());
    }
}
