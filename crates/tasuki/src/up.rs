//! Runs services: all of them (`tasuki up`) or one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use sqlx::postgres::PgPoolOptions;
use tasuki_console::{ApiToken, ConsoleSettings};
use tasuki_embedded::{PrivatePostgres, PrivateSettings};
use tasuki_identity::IdentitySettings;
use tasuki_ingest::{IngestArgs, Mapping, Source, Sources, WriteKeyHash};
use tasuki_playbook::Playbook;
use tasuki_playbook::reps::Reps;
use tasuki_service::{Clock, Exit, Failure, Health, Shutdown, SystemClock, admin, telemetry};

use crate::identity::IdentityArgs;
use crate::listeners::Listener;
use crate::log::Log;
use crate::running::Running;
use crate::secret::Secret;
use crate::services::{self, Doors, Parts, Service};
use crate::settings::{self, Common, Faults};
use crate::{describe, in_force, ready, stop};

/// Options of `tasuki up`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Use Kafka as the log (KAFKA_BOOTSTRAP_SERVERS says where); else it is tables in Postgres.
    #[arg(long)]
    kafka: bool,
    /// Print one line of JSON with all addresses and keys on standard output once everything is ready.
    #[arg(long)]
    json: bool,
    /// Leave these services out, to run them elsewhere (on Kafka).
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SERVICE")]
    without: Vec<Service>,
    /// Other processes are part of the same installation.
    #[arg(skip)]
    apart: bool,
    #[command(flatten)]
    one: One,
}

/// Options of a single service.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Where trackers send to.
    #[arg(long, env = "TASUKI_INGEST_LISTEN", default_value = "127.0.0.1:8470", value_name = "ADDRESS")]
    ingest_listen: String,
    /// Bearer token of the API; computed from the secret if not given.
    #[arg(long, env = "TASUKI_API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<String>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    console: ConsoleSettings,
    #[command(flatten)]
    ingest: IngestArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    kafka_settings: tasuki_kafka::Settings,
}

impl One {
    /// The same as options of `up`: this service and no other, on Kafka, since services in several processes need it.
    pub(crate) fn into_options(self, only: Service) -> Options {
        let without = Service::ALL.into_iter().filter(|service| *service != only).collect();
        Options { kafka: true, json: false, without, apart: true, one: self }
    }
}

/// Settings that have been read and checked, all of them.
struct Checked {
    ingest_listen: SocketAddr,
    console_listen: SocketAddr,
    metrics_listen: SocketAddr,
    data_dir: PathBuf,
    secret: Secret,
    token: ApiToken,
    token_text: String,
    playbook: Playbook,
    reps: Reps,
    mapping: Mapping,
    sources: Option<Sources>,
    identity: IdentitySettings,
}

/// Runs until told to stop.
pub(crate) fn run(options: Options, kafka_is_named: bool) -> anyhow::Result<()> {
    let on_kafka = options.kafka || kafka_is_named;
    let checked = check(&options, on_kafka)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(serve(&options, checked, on_kafka));
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

/// Reads everything before it complains about anything.
fn check(options: &Options, on_kafka: bool) -> Result<Checked, Faults> {
    let (one, common) = (&options.one, &options.one.common);
    let mut faults = Faults::default();
    let ingest_listen = faults.check(settings::address("--ingest-listen", &one.ingest_listen));
    let console_listen = faults.check(settings::address("--console-listen", &one.console.console_listen));
    let metrics_listen = faults.check(settings::address("--metrics-listen", &common.metrics_listen));
    let playbook = faults.check(settings::playbook(common.playbook.as_deref()));
    let reps = faults.check(settings::reps(common.reps.as_deref()));
    let profile_rules = faults.check(settings::profile_rules(common.profile_rules.as_deref()));
    let mapping = faults.check(one.ingest.mapping());
    let sources = faults.check(one.ingest.sources());
    let identity = one.identity.settings(&mut faults);
    if on_kafka {
        faults.check(one.kafka_settings.check().map_err(|error| {
            Failure::new(Exit::Config, error.to_string(), "change the settings named above; --help lists all of them")
        }));
    }
    let data_dir = faults.check(settings::data_dir(&common.data_dir));
    let secret = data_dir
        .as_deref()
        .and_then(|data_dir| faults.check(Secret::load(common.secret.as_deref(), data_dir, !options.apart)));
    let token = secret.as_ref().and_then(|secret| {
        let text = one.api_token.clone().unwrap_or_else(|| secret.api_token());
        let token = ApiToken::new(text.clone())
            .map_err(|error| Failure::new(Exit::Config, format!("--api-token: {error}"), "give a longer one, or none"));
        faults.check(token).map(|token| (token, text))
    });
    let all = (|| {
        let (token, token_text) = token?;
        Some(Checked {
            ingest_listen: ingest_listen?,
            console_listen: console_listen?,
            metrics_listen: metrics_listen?,
            data_dir: data_dir?,
            secret: secret?,
            token,
            token_text,
            playbook: playbook?,
            reps: reps?,
            mapping: mapping?,
            sources: sources?,
            identity: IdentitySettings { profile_rules: profile_rules?, ..identity },
        })
    })();
    match all {
        Some(checked) if faults.is_empty() => Ok(checked),
        Some(_) | None => Err(faults),
    }
}

async fn serve(options: &Options, checked: Checked, on_kafka: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let services: BTreeSet<Service> =
        Service::ALL.into_iter().filter(|service| !options.without.contains(service)).collect();
    let write_key = checked.secret.write_key();

    // Addresses first, and all of them: a taken one is found before anything has been started.
    let mut faults = Faults::default();
    let ingest = listen(&services, Service::Ingest, "--ingest-listen", checked.ingest_listen).await;
    let console = listen(&services, Service::Console, "--console-listen", checked.console_listen).await;
    let operators = Listener::take("--metrics-listen", checked.metrics_listen).await;
    let taken = (faults.check(ingest), faults.check(console), faults.check(operators));
    let (Some(ingest), Some(console), Some(operators)) = taken else { return Err(faults.into()) };

    let spool = match services.contains(&Service::Ingest) {
        true => options.one.ingest.spool(&checked.data_dir)?,
        false => None,
    };
    let stop = Shutdown::new();
    stop::on_signal(stop.clone()).context("cannot listen to signals")?;
    let metrics = telemetry::start_metrics().context("cannot collect metrics")?;
    describe::all();
    let health = Health::default();
    let mut running = Running::default();
    let told = ready::Told {
        ingest: ingest.as_ref().map(Listener::url),
        console: console.as_ref().map(Listener::url),
        metrics: operators.url(),
        write_key: write_key.clone(),
        api_token: checked.token_text,
    };
    let admin = admin::router(health.clone(), metrics);
    running.task("metrics", |shutdown| async move {
        let serving = axum::serve(operators.socket, admin).with_graceful_shutdown(shutdown.cancelled_owned());
        serving.await.map_err(anyhow::Error::from)
    });

    let needs_database = !on_kafka || services.iter().any(|service| service.needs_tables());
    let (private, database_url) =
        if needs_database { database(&options.one.common, &checked.data_dir, &health).await? } else { (None, None) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let outcome = async {
        let log = match &database_url {
            Some(url) if !on_kafka => Log::embedded(url, Arc::clone(&clock), &health).await?,
            _ => Log::kafka(options.one.kafka_settings.clone()).await?,
        };
        let tables = match &database_url {
            Some(url) if services.iter().any(|service| service.needs_tables()) => Some(connect(url).await?),
            _ => None,
        };
        let playbook = Arc::new(checked.playbook);
        if options.one.common.playbook.is_some() {
            let (log, playbook) = (log.clone(), Arc::clone(&playbook));
            tokio::spawn(async move { in_force::compare(&log, &playbook).await });
        }
        let described = told.describe(&log, database_url.as_deref());
        let parts = Parts {
            log: log.clone(),
            tables,
            playbook,
            reps: checked.reps,
            lead_secret: checked.secret.for_leads(),
            secret_fingerprint: checked.secret.fingerprint(),
            token: checked.token,
            sources: Arc::new(match checked.sources {
                Some(sources) => sources,
                None => Sources::new(vec![Source::new("website", WriteKeyHash::of(&write_key))])
                    .expect("one source shares nothing with another"),
            }),
            mapping: Arc::new(checked.mapping),
            identity: checked.identity,
            limits: options.one.ingest.limits(),
            spool,
            console: options.one.console.clone(),
            clock,
            health: health.clone(),
        };
        services::start(&services, parts, Doors { ingest, console }, &mut running).await?;
        let (json, healthy) = (options.json, health.clone());
        running.task("ready", |shutdown| ready::announce(healthy, described, told, json, started, shutdown));
        let outcome = running.until(&stop, &health).await;
        log.close().await;
        outcome
    }
    .await;
    if let Some(server) = private {
        server.stop().await;
    }
    outcome
}

async fn listen(
    services: &BTreeSet<Service>,
    service: Service,
    option: &str,
    address: SocketAddr,
) -> Result<Option<Listener>, Failure> {
    if services.contains(&service) { Listener::take(option, address).await.map(Some) } else { Ok(None) }
}

/// The database given, or a private one.
async fn database(
    common: &Common,
    data_dir: &Path,
    health: &Health,
) -> anyhow::Result<(Option<PrivatePostgres>, Option<String>)> {
    if let Some(url) = &common.database_url {
        return Ok((None, Some(url.clone())));
    }
    let settings = PrivateSettings {
        folder: data_dir.join("postgres"),
        programs: common.postgres_bin.clone(),
        server_settings: Vec::new(),
    };
    let server = PrivatePostgres::start(&settings, health.component("postgres")).await?;
    let url = server.url().to_owned();
    Ok((Some(server), Some(url)))
}

async fn connect(url: &str) -> Result<sqlx::PgPool, Failure> {
    let connecting = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(5)).connect(url);
    connecting.await.map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            format!("DATABASE_URL: Postgres cannot be reached: {error}"),
            "start it, or name another with DATABASE_URL; without it, `tasuki up` starts one of its own",
        )
    })
}
