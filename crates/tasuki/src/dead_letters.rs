//! `tasuki dead-letters`: what could not be processed, and a second try once the cause is gone.

mod letters;
mod shown;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use tasuki_domain::{EventId, Timestamp};
use tasuki_embedded::{PrivatePostgres, PrivateSettings};
use tasuki_ingest::{IngestArgs, Limits, Mapping, Sources, redrive};
use tasuki_service::{Exit, Failure, Health, SystemClock};
use tasuki_stream::log::Publisher;
use tasuki_wire::v1::DeadLetter;

use self::letters::Letters;
use crate::log::Log;
use crate::settings::{self, Faults};

/// How often it is said how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// Records written with one call.
const PORTION: usize = 500;

/// Options of `tasuki dead-letters`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List dead letters, those of one source in the order they came.
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        place: Place,
    },
    /// Show one dead letter whole. Its original may hold personal data.
    Show {
        /// Its id, as the list says it.
        #[arg(value_name = "ID")]
        id: EventId,
        #[command(flatten)]
        place: Place,
    },
    /// Send dead letters again, read anew with the present mapping, sources and limits.
    ///
    /// An event keeps its id and its times and is flagged "redriven"; sent twice it counts once. The letters stay.
    Redrive {
        #[command(flatten)]
        which: Which,
        /// Say what would become of each, and write nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        ingest: Box<IngestArgs>,
        #[command(flatten)]
        place: Place,
    },
}

/// Which dead letters; each filter narrows, none means all.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which")]
struct Which {
    /// Those with these ids.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    id: Vec<EventId>,
    /// Those with one of these causes, for example no-identifier,not-json.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    code: Vec<String>,
    /// Those of one of these services: ingest, identity ...
    #[arg(long, value_name = "SERVICE", value_delimiter = ',')]
    service: Vec<String>,
    /// Those that came by HTTP from one of these sources.
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    source: Vec<String>,
    /// Those received at this instant or later, for example 2026-11-23T09:00:00Z.
    #[arg(long, value_name = "INSTANT")]
    since: Option<Timestamp>,
    /// Those received before this instant.
    #[arg(long, value_name = "INSTANT")]
    until: Option<Timestamp>,
}

/// Which log, and how it is answered.
#[derive(Debug, Args)]
struct Place {
    /// One JSON object a line, instead of text.
    #[arg(long)]
    json: bool,
    /// Use Kafka as the log (KAFKA_BOOTSTRAP_SERVERS says where). Else it is the tables in Postgres, which only one
    /// process may use: stop `tasuki up` before.
    #[arg(long)]
    kafka: bool,
    /// Folder with the Postgres of its own, if it has one.
    #[arg(long, env = "TASUKI_DATA_DIR", default_value = ".tasuki", value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Postgres to be used, instead of the one in the data folder.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Folder of the programs of Postgres; the newest on this machine if not given.
    #[arg(long, env = "TASUKI_POSTGRES_BIN", value_name = "FOLDER")]
    postgres_bin: Option<PathBuf>,
    #[command(flatten)]
    kafka_settings: tasuki_kafka::Settings,
}

/// What is needed to read a letter again.
struct Reading {
    sources: Sources,
    mapping: Mapping,
    limits: Limits,
}

/// How many letters there were, and what became of them.
#[derive(Debug, Default)]
struct Count {
    letters: u64,
    events: u64,
    left: u64,
}

/// Runs the command.
pub(crate) fn run(options: Options, kafka_is_named: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(act(options.action, kafka_is_named));
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

async fn act(action: Action, kafka_is_named: bool) -> anyhow::Result<()> {
    match action {
        Action::List { which, place } => {
            let opened = open(&place, kafka_is_named).await?;
            let listed = Box::pin(list(&opened.log, &which, place.json)).await;
            opened.close().await;
            listed
        }
        Action::Show { id, place } => {
            let opened = open(&place, kafka_is_named).await?;
            let found = Box::pin(find(&opened.log, id)).await;
            opened.close().await;
            let letter = found?.ok_or_else(|| nothing(format!("no dead letter has the id {id}")))?;
            shown::show(&letter, place.json)
        }
        Action::Redrive { which, dry_run, ingest, place } => {
            let reading = reading(&ingest)?;
            let opened = open(&place, kafka_is_named).await?;
            let redriven = Box::pin(redrive_all(&opened.log, &which, &reading, dry_run, place.json)).await;
            opened.close().await;
            redriven
        }
    }
}

async fn list(log: &Log, which: &Which, json: bool) -> anyhow::Result<()> {
    let mut letters = Letters::of(log).await?;
    let mut out = std::io::stdout().lock();
    loop {
        let some = letters.next().await?;
        if some.is_empty() {
            return Ok(());
        }
        for letter in some.iter().filter(|letter| which.wants(letter)) {
            let line = if json { shown::summary(letter).to_string() } else { shown::line(letter) };
            writeln!(out, "{line}")?;
        }
    }
}

async fn find(log: &Log, id: EventId) -> anyhow::Result<Option<DeadLetter>> {
    let mut letters = Letters::of(log).await?;
    loop {
        let some = letters.next().await?;
        if some.is_empty() {
            return Ok(None);
        }
        if let Some(letter) = some.into_iter().find(|letter| letter.id == id.as_bytes()) {
            return Ok(Some(letter));
        }
    }
}

fn reading(ingest: &IngestArgs) -> Result<Reading, Faults> {
    let mut faults = Faults::default();
    let (sources, mapping) = (faults.check(ingest.sources()), faults.check(ingest.mapping()));
    match (sources, mapping) {
        (Some(sources), Some(mapping)) => {
            // As `tasuki up` has it when no file is named: one source, which takes everything.
            let sources = sources.unwrap_or_else(|| {
                Sources::from_toml("default_source = \"website\"\n[[source]]\nname = \"website\"")
                    .expect("a file of one source is right")
            });
            Ok(Reading { sources, mapping, limits: ingest.limits() })
        }
        _ => Err(faults),
    }
}

async fn redrive_all(log: &Log, which: &Which, reading: &Reading, dry_run: bool, json: bool) -> anyhow::Result<()> {
    let publisher = log.publisher();
    let mut count = Count::default();
    let mut letters = Letters::of(log).await?;
    let mut told = Instant::now();
    loop {
        let some = letters.next().await?;
        if some.is_empty() {
            break;
        }
        let mut records = Vec::new();
        for letter in some.iter().filter(|letter| which.wants(letter)) {
            records.extend(again(letter, reading, &mut count, json)?);
            if records.len() >= PORTION {
                publish(&*publisher, std::mem::take(&mut records), dry_run).await?;
            }
            if told.elapsed() > TOLD_EVERY {
                told = Instant::now();
                eprintln!("{} letters so far, {} events", count.letters, count.events);
            }
        }
        publish(&*publisher, records, dry_run).await?;
    }
    let Count { letters, events, left } = count;
    let did = if dry_run { "would be sent" } else { "were sent" };
    eprintln!("{letters} letters read; {events} events {did}; {left} are left");
    if letters == 0 {
        return Err(nothing("no dead letter fits the filters".to_owned()).into());
    }
    if left > 0 {
        let mend = "see the reasons above: correct the mapping, the sources or the limits, and redrive once more";
        return Err(Failure::new(Exit::Data, format!("{left} could not be sent again"), mend).into());
    }
    Ok(())
}

/// Reads a letter again, and says what became of it.
fn again(
    letter: &DeadLetter,
    reading: &Reading,
    count: &mut Count,
    json: bool,
) -> anyhow::Result<Vec<tasuki_stream::Emitted>> {
    let (records, left, why) = match redrive(letter, &reading.sources, &reading.mapping, &reading.limits) {
        Ok(redriven) => (redriven.records, redriven.still_bad, None),
        Err(why) => (Vec::new(), 1, Some(why.to_string())),
    };
    let events = records.len();
    count.letters += 1;
    count.events += u64::try_from(events)?;
    count.left += u64::try_from(left)?;
    let id = shown::id(letter);
    let mut out = std::io::stdout().lock();
    if json {
        let line = json!({"id": id, "code": letter.code, "events": events, "left": left, "why": why});
        writeln!(out, "{line}")?;
    } else if let Some(why) = &why {
        writeln!(out, "{id}  left: {why}")?;
    } else {
        writeln!(out, "{id}  {events} events{}", if left > 0 { ", some are left" } else { "" })?;
    }
    Ok(records)
}

async fn publish(
    publisher: &dyn Publisher,
    records: Vec<tasuki_stream::Emitted>,
    dry_run: bool,
) -> Result<(), Failure> {
    if dry_run || records.is_empty() {
        return Ok(());
    }
    publisher.publish(records).await.map_err(|error| {
        let mut what = error.to_string();
        if let Some(cause) = std::error::Error::source(&error) {
            what = format!("{what}: {cause}");
        }
        let mend = "redrive once more when the log answers: what was sent already counts once";
        Failure::new(Exit::TemporaryFailure, what, mend)
    })
}

fn nothing(what: String) -> Failure {
    Failure::new(Exit::NoInput, what, "`tasuki dead-letters list` says which there are")
}

/// The log, and what has to be stopped after it.
struct Opened {
    log: Log,
    private: Option<PrivatePostgres>,
    health: Health,
}

impl Opened {
    async fn close(self) {
        // That it is not there any more is no news.
        self.health.ending();
        self.log.close().await;
        if let Some(server) = self.private {
            server.stop().await;
        }
    }
}

async fn open(place: &Place, kafka_is_named: bool) -> anyhow::Result<Opened> {
    if place.kafka || kafka_is_named {
        return Ok(Opened {
            log: Log::kafka(place.kafka_settings.clone()).await?,
            private: None,
            health: Health::default(),
        });
    }
    let health = Health::default();
    let (private, url) = match &place.database_url {
        Some(url) => (None, url.clone()),
        None => {
            let folder = settings::data_dir(&place.data_dir)?.join("postgres");
            if !folder.exists() {
                let what = format!("--data-dir: there is no log in {}", place.data_dir.display());
                return Err(Failure::new(Exit::NoInput, what, "name the folder, DATABASE_URL, or --kafka").into());
            }
            let private = PrivateSettings { folder, programs: place.postgres_bin.clone(), server_settings: Vec::new() };
            let server = PrivatePostgres::start(&private, health.component("postgres")).await?;
            let url = server.url().to_owned();
            (Some(server), url)
        }
    };
    match Log::embedded(&url, Arc::new(SystemClock), &health).await {
        Ok(log) => Ok(Opened { log, private, health }),
        Err(failure) => {
            if let Some(server) = private {
                server.stop().await;
            }
            Err(failure.into())
        }
    }
}

impl Which {
    fn wants(&self, letter: &DeadLetter) -> bool {
        let among = |wanted: &[String], found: &str| wanted.is_empty() || wanted.iter().any(|one| one == found);
        let received = Timestamp::from_millis(letter.received_at_ms);
        (self.id.is_empty() || self.id.iter().any(|id| letter.id == id.as_bytes()))
            && among(&self.code, &letter.code)
            && among(&self.service, &letter.service)
            && among(&self.source, shown::source(letter))
            && self.since.is_none_or(|since| received >= since)
            && self.until.is_none_or(|until| received < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use tasuki_wire::v1::dead_letter::FoundAt;
    use tasuki_wire::v1::{DeadLetterKind, HttpPlace};

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        which: Which,
    }

    fn letter() -> DeadLetter {
        DeadLetter {
            id: EventId::reported("ingest", "x").as_bytes().to_vec(),
            service: "ingest".to_owned(),
            kind: DeadLetterKind::Schema.into(),
            code: "no-type".to_owned(),
            message: "the event has no type".to_owned(),
            received_at_ms: 1_795_348_800_000,
            original: b"{\"email\":\"hanako@acme.example\"}".to_vec().into(),
            found_at: Some(FoundAt::Http(HttpPlace {
                source: "site".to_owned(),
                method: "POST".to_owned(),
                target: "/v1/batch?u=hanako".to_owned(),
                pointer: "/batch/1".to_owned(),
                ..HttpPlace::default()
            })),
        }
    }

    #[test]
    fn every_filter_narrows() {
        let wants = |arguments: &[&str]| Only::parse_from([&["x"], arguments].concat()).which.wants(&letter());
        assert!(wants(&[]));
        for (yes, no) in [
            (["--code", "no-type,not-json"], ["--code", "not-json"]),
            (["--service", "ingest"], ["--service", "identity"]),
            (["--source", "site"], ["--source", "shop"]),
            (["--since", "2026-11-22T12:00:00Z"], ["--since", "2026-11-22T12:00:00.001Z"]),
            (["--until", "2026-11-22T12:00:00.001Z"], ["--until", "2026-11-22T12:00:00Z"]),
            (["--id", &shown::id(&letter())], ["--id", "00000000-0000-5000-8000-000000000000"]),
        ] {
            assert_eq!((wants(&yes), wants(&no)), (true, false), "{yes:?} {no:?}");
        }
        assert!(!wants(&["--code", "no-type", "--source", "shop"]), "all of them must hold");
    }

    #[test]
    fn a_list_holds_nothing_of_whom_it_was() {
        for text in [shown::line(&letter()), shown::summary(&letter()).to_string()] {
            assert!(!text.contains("hanako") && text.contains("site POST /v1/batch/batch/1"), "{text}");
        }
    }

    #[test]
    fn a_row_of_a_file_is_shown_with_its_line_and_in_its_character_set() {
        let mut row = letter();
        row.original = b"\x8eR\x93c".to_vec().into();
        row.found_at = Some(FoundAt::Http(HttpPlace {
            source: "site".to_owned(),
            protocol: "import".to_owned(),
            target: "/v1/rows?file=expo%20%E8%A1%A8.csv&charset=Shift_JIS".to_owned(),
            pointer: "/17/TEL~1FAX".to_owned(),
            ..HttpPlace::default()
        }));
        assert_eq!(shown::summary(&row)["found_at"], "site expo 表.csv line 17 TEL/FAX");
        assert_eq!(shown::original(&row), "山田");
    }
}
