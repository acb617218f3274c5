//! Which address leads where, and the server around it.

use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::{get, post};
use sqlx::PgPool;
use tasuki_domain::{CommandId, LeadId};
use tasuki_playbook::Playbook;
use tasuki_service::{Clock, Health, Shutdown};
use tasuki_stream::Emitted;
use tasuki_stream::log::{PublishError, Publisher};
use tokio::net::TcpListener;

use crate::auth::ApiToken;
use crate::command::Command;
use crate::explain::Explainer;
use crate::merge::LeadCommand;
use crate::metrics::{self, CommandOutcome};
use crate::pages::assets;
use crate::publication::Publication;
use crate::readiness::Readiness;
use crate::settings::ConsoleSettings;
use crate::store::StoreError;
use crate::{api, guard, pages};

/// Largest body of a request, in bytes.
const LARGEST_BODY: usize = 64 * 1024;
/// The same where a playbook is published: as JSON text may take several bytes for a character.
const LARGEST_PLAYBOOK: usize = 2 * 1024 * 1024;

/// What the console works with.
#[derive(Clone)]
pub struct ConsoleState {
    /// Reads the tables in schema `tasuki`.
    pub pool: PgPool,
    /// Takes the commands of sales.
    pub publisher: Arc<dyn Publisher>,
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
    /// Learns whether the console can answer, as component `console`.
    pub health: Health,
    /// Lets scripts and people in.
    pub token: ApiToken,
    /// The playbook that is in force until one is published.
    pub start: Arc<Playbook>,
    /// Says what a lead is worth as of any instant, by any playbook.
    pub explainer: Explainer,
    /// What the person who runs it has set.
    pub settings: ConsoleSettings,
}

impl fmt::Debug for ConsoleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleState").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What every handler gets.
pub(crate) struct Console {
    pub(crate) pool: PgPool,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) token: ApiToken,
    pub(crate) start: Arc<Playbook>,
    pub(crate) explainer: Explainer,
    pub(crate) settings: ConsoleSettings,
    pub(crate) readiness: Readiness,
    /// Address of the style sheet, with its content's hash.
    pub(crate) style: Arc<str>,
}

pub(crate) type Shared = Arc<Console>;

/// Pages and API. Must be called inside a tokio runtime: it starts looking for the database, so that readiness is told
/// before the first request.
pub fn router(state: ConsoleState) -> Router {
    let ConsoleState { pool, publisher, clock, health, token, start, explainer, settings } = state;
    let readiness = Readiness::new(pool.clone(), &health);
    readiness.look();
    let console: Shared = Arc::new(Console {
        pool,
        publisher,
        clock,
        token,
        start,
        explainer,
        settings,
        readiness,
        style: assets::style_address().into(),
    });
    Router::new()
        // Pages.
        .route("/", get(|| async { Redirect::to("/leads") }))
        .route("/leads", get(pages::leads::show))
        .route("/leads/{id}", get(pages::lead::show))
        .route("/leads/{id}/explain", get(pages::explain::show))
        .route("/playbook", get(pages::playbook::show))
        .route("/accounts", get(pages::accounts::list))
        .route("/accounts/{id}", get(pages::accounts::show))
        .route("/dead-letters", get(pages::dead_letters::show))
        .route("/handoffs/{id}/accept", post(pages::verdict::accept))
        .route("/handoffs/{id}/reject", post(pages::verdict::reject))
        .route("/sign-in", get(pages::sign_in::show).post(pages::sign_in::sign_in))
        .route("/sign-out", post(pages::sign_in::sign_out))
        .route("/assets/console.css", get(assets::style))
        .route("/assets/icon.svg", get(assets::icon))
        .route("/favicon.ico", get(|| async { Redirect::permanent("/assets/icon.svg") }))
        // API.
        .route("/api/v1/leads", get(api::leads::list))
        .route("/api/v1/leads/{id}", get(api::leads::one))
        .route(
            "/api/v1/leads/{id}/explain",
            get(api::explain::published).post(api::explain::given).layer(DefaultBodyLimit::max(LARGEST_PLAYBOOK)),
        )
        .route("/api/v1/leads/{id}/duplicates", get(api::duplicates::of_lead))
        .route("/api/v1/leads/{id}/merge", post(api::merges::merge))
        .route("/api/v1/leads/{id}/split", post(api::merges::split))
        .route("/api/v1/accounts", get(api::accounts::list))
        .route("/api/v1/accounts/{id}", get(api::accounts::one))
        .route("/api/v1/handoffs", get(api::handoffs::list))
        .route("/api/v1/handoffs/{id}", get(api::handoffs::one))
        .route("/api/v1/handoffs/{id}/accept", post(api::handoffs::accept))
        .route("/api/v1/handoffs/{id}/reject", post(api::handoffs::reject))
        .route(
            "/api/v1/playbooks",
            get(api::playbooks::list).post(api::playbooks::publish).layer(DefaultBodyLimit::max(LARGEST_PLAYBOOK)),
        )
        .route("/api/v1/playbooks/{version}", get(api::playbooks::one))
        .route("/api/v1/playbooks/rollback", post(api::playbooks::roll_back))
        .route("/api/v1/dead-letters", get(api::dead_letters::list))
        .fallback(guard::nothing_here)
        .method_not_allowed_fallback(guard::not_that_way)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(Arc::clone(&console), guard::guard))
        .with_state(console)
}

/// Answers requests until shutdown is asked for; then those under way are still answered.
///
/// # Errors
///
/// If the listener breaks.
pub async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).into_future().await
}

impl Console {
    /// Books a failure of the tables: readiness, and the log of the process. Whether it is one that passes.
    pub(crate) fn failed(&self, error: StoreError) -> bool {
        match &error {
            StoreError::Unavailable(_) => {
                self.readiness.look();
                true
            }
            StoreError::Refused(source) => {
                tracing::error!(error = source as &dyn std::error::Error, "a query was refused");
                false
            }
            StoreError::Unreadable { column, .. } => {
                // Without the error's own text: it quotes what stands in the row.
                tracing::error!(column, "a row cannot be read");
                false
            }
        }
    }

    /// Puts a merge or split on the log; returns once it is durable.
    pub(crate) async fn send_lead_command(&self, command: &LeadCommand) -> Result<CommandId, PublishError> {
        let now = self.clock.now();
        self.put(command.ask.verb(), Some(command.into), vec![command.record(now)]).await?;
        Ok(command.id(now))
    }

    /// Puts publications on the log; returns once they are durable.
    pub(crate) async fn publish(&self, verb: &'static str, publications: &[Publication]) -> Result<(), PublishError> {
        self.put(verb, None, publications.iter().map(Publication::record).collect()).await
    }

    /// Puts a verdict of sales on the log; returns once it is durable.
    pub(crate) async fn send(&self, command: &Command) -> Result<CommandId, PublishError> {
        self.put(command.verdict.verb(), Some(command.lead), vec![command.record(self.clock.now())]).await?;
        Ok(command.id())
    }

    /// Puts what somebody commands on the log, and counts what became of it. The lead's id is logged, never who it is.
    async fn put(&self, verb: &'static str, lead: Option<LeadId>, records: Vec<Emitted>) -> Result<(), PublishError> {
        let sent = self.publisher.publish(records).await;
        metrics::command(verb, CommandOutcome::of(&sent));
        if let Err(PublishError::Refused(source)) = &sent {
            let (lead, error) = (lead.map(tracing::field::display), source.as_ref() as &dyn std::error::Error);
            tracing::error!(lead.id = lead, verb, error, "the log refuses a command");
        }
        sent
    }
}
