//! What became of the rows.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use tasuki_import::{Events, Fault};

use super::Options;
use super::preview;
use super::source::Opened;

/// Bad rows that are named one by one.
const NAMED: usize = 20;

/// What became of the rows.
#[derive(Debug)]
pub(super) struct Report {
    file: String,
    kind: &'static str,
    sent: bool,
    bad_rows: Option<String>,
    /// Rows that say something.
    pub(super) rows: u64,
    pub(super) blank: u64,
    events: u64,
    absent: u64,
    without_phone: u64,
    bad_by_code: BTreeMap<String, u64>,
    named: Vec<BadRow>,
}

/// A row that cannot be used.
#[derive(Clone, Debug)]
pub(super) struct BadRow {
    pub(super) line: u64,
    pub(super) column: Option<String>,
    pub(super) code: String,
    /// With what was found, for the screen.
    pub(super) said: String,
    /// Without it.
    pub(super) problem: String,
}

impl BadRow {
    pub(super) fn of(line: u64, fault: Fault) -> Self {
        let said = preview::said(&fault);
        Self { line, column: fault.column, code: fault.code.name().to_owned(), said, problem: fault.problem }
    }
}

impl Report {
    pub(super) fn new(options: &Options, opened: &Opened, sent: bool) -> Self {
        Self {
            file: opened.name.clone(),
            kind: opened.plan.kind.name(),
            sent,
            bad_rows: options.bad_rows.as_ref().map(|path| path.display().to_string()),
            rows: 0,
            blank: 0,
            events: 0,
            absent: 0,
            without_phone: 0,
            bad_by_code: BTreeMap::new(),
            named: Vec::new(),
        }
    }

    pub(super) fn taken(&mut self, events: &Events) {
        self.events += u64::try_from(events.events.len()).unwrap_or_default();
        self.absent += u64::from(events.absent);
        self.without_phone += u64::from(events.without_phone);
    }

    /// What looked right was not.
    pub(super) fn taken_back(&mut self, events: u64, bad: BadRow) {
        self.events = self.events.saturating_sub(events);
        self.refused(bad);
    }

    pub(super) fn refused(&mut self, bad: BadRow) {
        *self.bad_by_code.entry(bad.code.clone()).or_default() += 1;
        if self.named.len() < NAMED {
            self.named.push(bad);
        }
    }

    pub(super) fn bad(&self) -> u64 {
        self.bad_by_code.values().sum()
    }

    pub(super) fn accepted(&self) -> u64 {
        self.rows.saturating_sub(self.bad())
    }

    pub(super) fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let (rows, accepted, bad) = (self.rows, self.accepted(), self.bad());
        let (would, did) = if self.sent { ("", "sent") } else { ("would be ", "would be sent") };
        writeln!(out, "\n{rows} rows = {accepted} {would}accepted + {bad} bad; {} events {did}", self.events)?;
        if self.blank > 0 {
            writeln!(out, "  {} empty rows passed over", self.blank)?;
        }
        if self.absent > 0 {
            writeln!(out, "  {} of them did not come: only who they are is kept", self.absent)?;
        }
        if self.without_phone > 0 {
            writeln!(out, "  {} without their spoilt phone number", self.without_phone)?;
        }
        if bad == 0 {
            return Ok(());
        }
        writeln!(out, "\nbad rows{}:", if self.sent { ", kept in dead-letters" } else { "" })?;
        let mut named: Vec<_> = self.named.iter().collect();
        named.sort_by_key(|bad| bad.line);
        for bad in named {
            writeln!(out, "  line {}: {} [{}]", bad.line, bad.said, bad.code)?;
        }
        let named = u64::try_from(self.named.len()).unwrap_or_default();
        if bad > named {
            writeln!(out, "  and {} more", bad - named)?;
            for (code, count) in &self.bad_by_code {
                writeln!(out, "  {count:>8} {code}")?;
            }
        }
        match &self.bad_rows {
            Some(path) => writeln!(out, "they are in {path}: correct them there and import it"),
            None => writeln!(out, "correct them in the file and import it again: what was taken counts once"),
        }
    }

    /// For programs: without what was found.
    pub(super) fn to_json(&self) -> Value {
        let bad =
            |bad: &BadRow| json!({"line": bad.line, "column": bad.column, "code": bad.code, "problem": bad.problem});
        json!({
            "file": self.file,
            "kind": self.kind,
            "dry_run": !self.sent,
            "rows": self.rows,
            "accepted": self.accepted(),
            "bad": self.bad(),
            "blank": self.blank,
            "events": self.events,
            "absent": self.absent,
            "without_phone": self.without_phone,
            "bad_by_code": self.bad_by_code,
            "first_bad": self.named.iter().map(bad).collect::<Vec<_>>(),
        })
    }
}
