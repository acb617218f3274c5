//! What all requests share, and the router over it.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tasuki_service::{Clock, Health, admin};
use tasuki_stream::log::Publisher;
use tokio::sync::Semaphore;

use crate::budget::Budget;
use crate::edge;
use crate::mapping::Mapping;
use crate::metrics::Books;
use crate::policy::Buckets;
use crate::settings::Limits;
use crate::source::Sources;
use crate::spool::Spool;

/// What ingest works with.
#[derive(Clone, Debug)]
pub struct State {
    /// Where events go.
    pub publisher: Arc<dyn Publisher>,
    /// Where events of clients that never send again go while the log is away; `None`: they are refused like others.
    pub spool: Option<Spool>,
    /// Who may send.
    pub sources: Arc<Sources>,
    /// What events mean.
    pub mapping: Arc<Mapping>,
    /// For `received_at`.
    pub clock: Arc<dyn Clock>,
    /// For `/health/ready`.
    pub health: Health,
    /// How much is taken, how long is waited.
    pub limits: Limits,
}

/// The state and what is left of its limits.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) state: State,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) bytes: Arc<Budget>,
    /// Turns for working on large bodies.
    pub(crate) heavy: Semaphore,
    pub(crate) buckets: Buckets,
    pub(crate) books: Books,
}

/// The routes of ingest: all trackers', `/health/live`, `/health/ready`, `/robots.txt`.
pub fn router(state: State) -> Router {
    let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
    let ready = get(admin::ready).with_state(state.health.clone());
    let core = Core {
        requests: permits(state.limits.requests),
        bytes: Budget::new(state.limits.bytes_in_flight),
        heavy: Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        buckets: Buckets::of(&state.sources),
        books: Books::default(),
        state,
    };
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", ready)
        .route("/robots.txt", get(|| async { "User-agent: *\nDisallow: /\n" }))
        .fallback(edge::handle)
        .with_state(Arc::new(core))
}
