//! Addresses to listen on, taken before anything else is started.

use std::net::SocketAddr;

use tasuki_service::{Exit, Failure};
use tokio::net::TcpListener;

/// A taken address, and how to call it.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Where connections arrive.
    pub(crate) socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes the address.
    pub(crate) async fn take(option: &str, wanted: SocketAddr) -> Result<Self, Failure> {
        let taken = match TcpListener::bind(wanted).await {
            Ok(socket) => socket.local_addr().map(|address| Self { socket, address }),
            Err(error) => Err(error),
        };
        taken.map_err(|error| {
            Failure::new(
                Exit::Unavailable,
                format!("{option}: cannot listen on {wanted}: {error}"),
                format!("stop what uses it, or choose another address with {option} (port 0 takes any free one)"),
            )
        })
    }

    /// The address as a browser on this machine would call it.
    pub(crate) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }
}
