//! Ctrl-C and `kill`: everything is told to come to an end; asked a second time, the process just ends.

use std::io;

use tasuki_service::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

/// Cancels `shutdown` on the first SIGINT or SIGTERM, and exits on the second.
pub(crate) fn on_signal(shutdown: Shutdown) -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        };
        let first = next().await;
        tracing::info!(signal = first, "stopping");
        shutdown.cancel();
        let second = next().await;
        tracing::warn!(signal = second, "told again: ending at once");
        std::process::exit(130);
    });
    Ok(())
}
