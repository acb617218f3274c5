//! Connections: accepted up to a limit, held as long as they behave, ended without losing a request.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tasuki_service::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tower::ServiceExt;

use crate::patience::{Activity, Patient};
use crate::settings::Limits;

/// The address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Largest head that is read: Snowplow's numbers are 20 KB for the first line and 40 KB for the headers.
const MAX_HEAD: usize = 64 * 1024;

/// Serves until shutdown, then takes no new connections, finishes the requests there are, and returns.
///
/// # Errors
///
/// If the listener has no address any more.
pub async fn serve(mut listener: TcpListener, router: Router, limits: Limits, shutdown: Shutdown) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "ingest listens");
    let connections = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    // Nobody sends on it: once every connection has dropped its end, all have ended.
    let (alive, mut all_ended) = mpsc::channel::<Infallible>(1);
    loop {
        let accepted = async {
            let slot = Arc::clone(&connections).acquire_owned().await;
            (slot, Listener::accept(&mut listener).await)
        };
        let (slot, (stream, peer)) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => break,
        };
        let (router, shutdown, alive) = (router.clone(), shutdown.clone(), alive.clone());
        tokio::spawn(async move {
            connection(stream, Peer(peer.ip()), router, &limits, &shutdown).await;
            drop((slot, alive));
        });
    }
    drop((listener, alive));
    tracing::info!("ingest takes no more connections");
    all_ended.recv().await;
    Ok(())
}

async fn connection(stream: TcpStream, peer: Peer, router: Router, limits: &Limits, shutdown: &Shutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no delay cannot be set");
    }
    let activity = Activity::default();
    let io = TokioIo::new(Patient::new(stream, activity.clone(), limits));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        let working = activity.working();
        async move {
            let (parts, body) = request.into_parts();
            let mut request = Request::from_parts(parts, Body::new(body));
            request.extensions_mut().insert(peer);
            let answer = router.oneshot(request).await;
            drop(working);
            // hyper reads again only when something wakes it; the read is what sets the timer for idleness.
            poll_fn(|context| {
                context.waker().wake_by_ref();
                Poll::Ready(())
            })
            .await;
            answer
        }
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD);
    let connection = builder.serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients go away; nothing to be done about it.
        tracing::trace!(error = &error as &dyn std::error::Error, "connection ended");
    }
}
