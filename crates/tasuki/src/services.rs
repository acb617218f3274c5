//! The services, and what each is made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::ValueEnum;
use tasuki_console::{ApiToken, ConsoleSettings, ConsoleState};
use tasuki_domain::DeploymentSecret;
use tasuki_handoff::{Desk, Handoff, HandoffPolicy};
use tasuki_identity::{Identity, IdentitySettings};
use tasuki_ingest::{Limits, Mapping, Sources, Spool};
use tasuki_playbook::Playbook;
use tasuki_playbook::reps::Reps;
use tasuki_projection::{Projection, Schema};
use tasuki_qualification::Qualification;
use tasuki_scoring::Scoring;
use tasuki_service::{Clock, Health, Shutdown};

use crate::installation;
use crate::listeners::Listener;
use crate::log::Log;
use crate::running::Running;

/// A part of the pipeline that runs on its own or with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Service {
    /// Takes behavior events from trackers.
    Ingest,
    /// Resolves who an event belongs to.
    Identity,
    /// Scores leads.
    Scoring,
    /// Qualifies leads.
    Qualification,
    /// Hands leads to sales and takes the verdict back.
    Handoff,
    /// Writes the tables.
    Projection,
    /// Pages and API.
    Console,
}

impl Service {
    /// Every service, in the order of the flow.
    pub(crate) const ALL: [Self; 7] = [
        Self::Ingest,
        Self::Identity,
        Self::Scoring,
        Self::Qualification,
        Self::Handoff,
        Self::Projection,
        Self::Console,
    ];

    /// Whether it works on the tables.
    pub(crate) const fn needs_tables(self) -> bool {
        match self {
            Self::Projection | Self::Console => true,
            Self::Ingest | Self::Identity | Self::Scoring | Self::Qualification | Self::Handoff => false,
        }
    }
}

/// What services are made of.
pub(crate) struct Parts {
    pub(crate) log: Log,
    pub(crate) tables: Option<sqlx::PgPool>,
    pub(crate) playbook: Arc<Playbook>,
    pub(crate) reps: Reps,
    pub(crate) lead_secret: DeploymentSecret,
    pub(crate) secret_fingerprint: String,
    pub(crate) token: ApiToken,
    pub(crate) sources: Arc<Sources>,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) identity: IdentitySettings,
    pub(crate) limits: Limits,
    pub(crate) spool: Option<Spool>,
    pub(crate) console: ConsoleSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Health,
}

/// Where a service that answers requests does so.
pub(crate) struct Doors {
    pub(crate) ingest: Option<Listener>,
    pub(crate) console: Option<Listener>,
}

/// Starts the services. Those that take requests stop first at the end, so that none is accepted that nobody works on.
pub(crate) async fn start(
    services: &BTreeSet<Service>,
    parts: Parts,
    doors: Doors,
    running: &mut Running,
) -> anyhow::Result<()> {
    let tables = match &parts.tables {
        Some(pool) => {
            let projection = Projection::new(pool.clone(), Schema::default());
            projection.migrate().await?;
            installation::check(pool, &parts.secret_fingerprint).await?;
            Some(projection)
        }
        None => None,
    };
    parts.log.watch(&parts.health, running);
    let mut doors = doors;
    for service in services {
        match service {
            Service::Identity => {
                let identity = Identity::new(parts.lead_secret.clone(), parts.identity.clone());
                parts.log.run(identity, &parts, running)?;
            }
            Service::Scoring => {
                let scoring = Scoring::new(Arc::clone(&parts.playbook)).with_partitions(parts.log.partitions());
                parts.log.run(scoring, &parts, running)?;
            }
            Service::Qualification => {
                parts.log.run(Qualification::new(Arc::clone(&parts.playbook)), &parts, running)?
            }
            Service::Handoff => {
                parts.log.run(Handoff::new(HandoffPolicy::from(&*parts.playbook)), &parts, running)?;
                parts.log.run(Desk::new(parts.reps.clone()), &parts, running)?;
            }
            Service::Projection => {
                if let Some(projection) = tables.clone() {
                    project(projection, &parts, running)?;
                }
            }
            Service::Ingest => {
                if let Some(door) = doors.ingest.take() {
                    ingest(door, &parts, running);
                }
            }
            Service::Console => {
                if let (Some(door), Some(pool)) = (doors.console.take(), parts.tables.clone()) {
                    console(door, pool, &parts, running);
                }
            }
        }
    }
    Ok(())
}

fn project(projection: Projection, parts: &Parts, running: &mut Running) -> anyhow::Result<()> {
    let (reader, partitions) = (parts.log.reader()?, parts.log.partitions());
    let component = parts.health.component("projection");
    running.task("projection", |shutdown: Shutdown| async move {
        projection.run(reader, partitions, component, shutdown).await.map_err(anyhow::Error::from)
    });
    Ok(())
}

fn ingest(door: Listener, parts: &Parts, running: &mut Running) {
    let state = tasuki_ingest::State {
        publisher: parts.log.publisher(),
        spool: parts.spool.clone(),
        sources: Arc::clone(&parts.sources),
        mapping: Arc::clone(&parts.mapping),
        clock: Arc::clone(&parts.clock),
        health: parts.health.clone(),
        limits: parts.limits,
    };
    let limits = parts.limits;
    if let Some(spool) = parts.spool.clone() {
        let (publisher, clock) = (parts.log.publisher(), Arc::clone(&parts.clock));
        let component = parts.health.component("spool");
        running.task("spool", |shutdown: Shutdown| async move {
            spool.replay(publisher, clock, component, shutdown).await;
            Ok(())
        });
    }
    running.door("ingest", |shutdown: Shutdown| async move {
        tasuki_ingest::serve(door.socket, tasuki_ingest::router(state), limits, shutdown)
            .await
            .map_err(anyhow::Error::from)
    });
}

fn console(door: Listener, pool: sqlx::PgPool, parts: &Parts, running: &mut Running) {
    let state = ConsoleState {
        pool,
        publisher: parts.log.publisher(),
        clock: Arc::clone(&parts.clock),
        health: parts.health.clone(),
        token: parts.token.clone(),
        start: Arc::clone(&parts.playbook),
        explainer: crate::explainer::explainer(),
        settings: parts.console.clone(),
    };
    running.door("console", |shutdown: Shutdown| async move {
        tasuki_console::serve(door.socket, tasuki_console::router(state), shutdown).await.map_err(anyhow::Error::from)
    });
}
