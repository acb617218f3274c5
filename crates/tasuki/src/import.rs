//! `tasuki import`: a file of people becomes behavior events.
//!
//! It sends over HTTP to a running ingest (`POST /v1/rows`), with a write key, and does not write to the log itself: so it
//! works beside `tasuki up` (the embedded log has one process), from any machine that reaches ingest and without the
//! credentials of Kafka; what it sends passes the same rules, limits and accounts as what trackers send; and `behavior`
//! keeps its one writer. Ingest answers when all of a portion is durable (`acks=all`), and only then it counts as taken.
//!
//! What columns mean and what a row becomes is `crates/import`, which is pure. Here are files, the screen and the network.

mod options;
mod portion;
mod preview;
mod report;
mod send;
mod source;

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use self::options::Options;
use self::portion::Portion;
use self::preview::Preview;
use self::report::{BadRow, Report};
use self::send::{Answer, Sending};
use self::source::{Opened, Wanted};

/// How often a line says how far it is where no terminal shows a bar.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Nothing could be done: the file, the columns, the settings or ingest stand in the way.
const NOTHING: u8 = 2;

/// Some rows are bad; all others were taken.
const SOME_BAD: u8 = 1;

/// Ingest stopped answering in the middle.
const STOPPED: u8 = 75;

/// Why nothing, or not all, could be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    /// Before anything was sent.
    #[error("{0}")]
    Before(String),
    /// In the middle.
    #[error("{0}\n  to go on: run the same command once more; what was taken already counts once")]
    Amid(String),
}

impl Stopped {
    fn before(what: impl Into<String>) -> Self {
        Self::Before(what.into())
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Before(_) => NOTHING,
            Self::Amid(_) => STOPPED,
        }
    }
}

/// Runs the command; its exit code says what became of the rows.
pub(crate) fn run(options: &Options) -> ExitCode {
    match import(options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let code = error.downcast_ref::<Stopped>().map_or(NOTHING, Stopped::code);
            eprintln!("tasuki: {error:#}");
            ExitCode::from(code)
        }
    }
}

fn import(options: &Options) -> anyhow::Result<u8> {
    let wanted = Wanted::of(options)?;
    let preview = Preview::of(&wanted)?;
    let mut shown: Box<dyn Write> =
        if options.json { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout().lock()) };
    preview.show(&mut *shown)?;
    if let Some(path) = &options.write_mapping {
        let mapping = wanted.described(&preview.opened);
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
        file.and_then(|mut file| file.write_all(mapping.as_bytes()))
            .with_context(|| format!("--write-mapping: cannot make {}", path.display()))?;
        writeln!(shown, "\nwritten to {}: edit it, and give it with --mapping", path.display())?;
        return Ok(0);
    }
    preview.check()?;
    let report = if options.dry_run {
        all_rows(options, &wanted, None)?
    } else {
        agreed(options, &mut *shown)?;
        let sending = Sending::start(options, &preview.opened)?;
        all_rows(options, &wanted, Some(sending))?
    };
    report.show(&mut *shown)?;
    if options.json {
        drop(shown);
        writeln!(std::io::stdout().lock(), "{}", report.to_json())?;
    }
    Ok(match (report.accepted(), report.bad()) {
        (0, _) => NOTHING,
        (_, 0) => 0,
        _ => SOME_BAD,
    })
}

/// Whether what was shown is right. A mapping is somebody's word for it; a guess has to be agreed to.
fn agreed(options: &Options, shown: &mut dyn Write) -> anyhow::Result<()> {
    if options.yes || options.mapping.is_some() {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let what = "the columns are guessed, and nobody is here to agree: look at them above, then give --yes, or write \
                    them down with --write-mapping FILE and give --mapping FILE";
        return Err(Stopped::before(what).into());
    }
    write!(shown, "\nSend these rows? [y/N] ")?;
    shown.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Err(Stopped::before("nothing was sent").into());
    }
    Ok(())
}

/// Reads every row, and sends it if it is to be sent.
fn all_rows(options: &Options, wanted: &Wanted, mut sending: Option<Sending>) -> anyhow::Result<Report> {
    let mut opened = Opened::new(wanted)?;
    let mut report = Report::new(options, &opened, sending.is_some());
    let mut bad_rows = BadRows::of(options, &opened)?;
    let mut progress = Progress::new(opened.bytes);
    let mut portion = Portion::default();
    while let Some(row) = opened.next_row()? {
        if row.is_blank() {
            report.blank += 1;
            continue;
        }
        report.rows += 1;
        match opened.plan.events(&row) {
            Ok(events) => {
                report.taken(&events);
                portion.add(&row, &events, bad_rows.is_some());
            }
            Err(fault) => {
                if let Some(file) = &mut bad_rows {
                    file.put(&row.raw)?;
                }
                portion.add_bad(&row, &fault);
                report.refused(BadRow::of(row.line, fault));
            }
        }
        if portion.is_full() {
            let full = std::mem::take(&mut portion);
            hand_over(&mut sending, full, &mut report, &mut bad_rows)?;
        }
        progress.tell(opened.read_so_far(), &report);
    }
    hand_over(&mut sending, portion, &mut report, &mut bad_rows)?;
    if let Some(sending) = sending {
        for answer in sending.finish()? {
            heard(answer, &mut report, &mut bad_rows)?;
        }
    }
    progress.end();
    Ok(report)
}

fn hand_over(
    sending: &mut Option<Sending>,
    portion: Portion,
    report: &mut Report,
    bad_rows: &mut Option<BadRows>,
) -> anyhow::Result<()> {
    let Some(sending) = sending else { return Ok(()) };
    for answer in sending.send(portion)? {
        heard(answer, report, bad_rows)?;
    }
    Ok(())
}

/// Books what ingest refused of what looked right here.
fn heard(answer: Answer, report: &mut Report, bad_rows: &mut Option<BadRows>) -> anyhow::Result<()> {
    for (row, bad) in answer.refused {
        report.taken_back(row.events, bad);
        if let Some(file) = bad_rows {
            file.put(&row.raw)?;
        }
    }
    Ok(())
}

/// The file that bad rows are written to, to be corrected and imported.
#[derive(Debug)]
struct BadRows(std::io::BufWriter<std::fs::File>);

impl BadRows {
    fn of(options: &Options, opened: &Opened) -> anyhow::Result<Option<Self>> {
        let Some(path) = &options.bad_rows else { return Ok(None) };
        let file =
            std::fs::File::create(path).with_context(|| format!("--bad-rows: cannot make {}", path.display()))?;
        let mut rows = Self(std::io::BufWriter::new(file));
        rows.0.write_all(opened.mark())?;
        rows.put(&opened.header)?;
        Ok(Some(rows))
    }

    fn put(&mut self, row: &[u8]) -> std::io::Result<()> {
        self.0.write_all(row)?;
        self.0.write_all(b"\r\n")?;
        self.0.flush()
    }
}

/// How far it is: a bar on a terminal, else a line now and then.
struct Progress {
    bar: Option<ProgressBar>,
    said: Instant,
    seen: u64,
}

impl Progress {
    fn new(bytes: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left");
            ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, said: Instant::now(), seen: 0 }
    }

    fn tell(&mut self, bytes: u64, report: &Report) {
        self.seen += 1;
        if !self.seen.is_multiple_of(256) {
            return;
        }
        let so_far = || format!("{} rows, {} bad", report.rows, report.bad());
        match &self.bar {
            Some(bar) => {
                bar.set_position(bytes);
                bar.set_message(so_far());
            }
            None if self.said.elapsed() > SAID_EVERY => {
                self.said = Instant::now();
                eprintln!("{}", so_far());
            }
            None => {}
        }
    }

    fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
