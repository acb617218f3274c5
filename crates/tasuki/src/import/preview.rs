//! What is shown before anything is sent: how the file is read, what its columns become, and its first rows.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::Value;
use tasuki_import::{Code, DetectedBy, Events, Fault, Field, Kind};

use super::Stopped;
use super::source::{Opened, Wanted};

/// Rows shown.
const SHOWN: usize = 3;

/// Rows read to see whether something must be chosen before any row can be read.
const TRIED: usize = 200;

/// The beginning of a file, read.
#[derive(Debug)]
pub(super) struct Preview {
    pub(super) opened: Opened,
    /// Of each column, its first values.
    values: Vec<Vec<String>>,
    rows: Vec<(u64, Result<Events, Fault>)>,
    /// What must be chosen.
    missing: BTreeSet<Code>,
}

impl Preview {
    pub(super) fn of(wanted: &Wanted) -> anyhow::Result<Self> {
        let mut opened = Opened::new(wanted)?;
        let mut values = vec![Vec::new(); opened.plan.columns.len()];
        let (mut rows, mut missing) = (Vec::new(), BTreeSet::new());
        for _ in 0..TRIED {
            let Some(row) = opened.next_row()? else { break };
            if row.is_blank() {
                continue;
            }
            for (column, cell) in values.iter_mut().zip(row.cells.iter().flatten()) {
                let text = opened.plan.charset.show(cell).trim().replace(char::is_control, " ");
                if column.len() < SHOWN && !text.is_empty() {
                    column.push(shortened(&text));
                }
            }
            let read = opened.plan.events(&row);
            if let Err(fault) = &read
                && matches!(fault.code, Code::NoZone | Code::DateOrder)
            {
                missing.insert(fault.code);
            }
            if rows.len() < SHOWN {
                rows.push((row.line, read));
            }
        }
        Ok(Self { opened, values, rows, missing })
    }

    pub(super) fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        let Opened { name, detected, plan, header_line, .. } = &self.opened;
        let by = match detected.by {
            DetectedBy::Mark => "by its byte order mark",
            DetectedBy::Validity => "all of it is valid",
            DetectedBy::Frequency => "guessed from its bytes; --encoding chooses another",
            DetectedBy::Choice => "as chosen",
        };
        let (charset, separator) = (detected.charset.name(), self.opened.separator());
        writeln!(out, "{name}: {charset} ({by}), separated by {separator}, headers in line {header_line}\n")?;
        writeln!(out, "  {:<12} column, and its first values", "becomes")?;
        for (column, values) in plan.columns.iter().zip(&self.values) {
            let becomes = if column.field == Field::Ignore { "(left out)" } else { column.field.name() };
            writeln!(out, "  {becomes:<12} {}: {}", column.header, values.join(" | "))?;
        }
        let what = match (&plan.name, plan.kind) {
            (_, Kind::Contacts) => String::new(),
            (Some(name), _) => format!(", {} {name:?}", plan.kind.name()),
            (None, _) => format!(", {}", plan.kind.name()),
        };
        writeln!(out, "\nEach row becomes {}{what}.", becomes(plan.kind))?;
        if let Some(zone) = &self.opened.zone {
            writeln!(out, "Dates that do not say their time zone are from {zone}.")?;
        }
        for (line, read) in &self.rows {
            match read {
                Ok(events) => writeln!(out, "  line {line}: {}", described(events))?,
                Err(fault) => writeln!(out, "  line {line}: bad: {}", said(fault))?,
            }
        }
        Ok(())
    }

    /// Whether there is anything that stands in the way of every row.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        let mut faults: Vec<String> = self.opened.plan.faults().iter().map(ToString::to_string).collect();
        if self.missing.contains(&Code::NoZone) {
            faults.push("dates do not say their time zone; say it with --time-zone, for example Asia/Tokyo".to_owned());
        }
        if self.missing.contains(&Code::DateOrder) {
            let what = "dates like 03/04/2026 could be two; say with --date-order mdy or dmy what comes first";
            faults.push(what.to_owned());
        }
        if self.rows.is_empty() {
            faults.push(format!("{} has headers and no rows", self.opened.name));
        }
        if faults.is_empty() { Ok(()) } else { Err(Stopped::before(faults.join("\n"))) }
    }
}

const fn becomes(kind: Kind) -> &'static str {
    match kind {
        Kind::TradeShow | Kind::Seminar => "LeadIdentified and EventAttended",
        Kind::Survey => "LeadIdentified and SurveyAnswered",
        Kind::Contacts => "LeadIdentified",
    }
}

/// A fault, for the screen of whoever has the file.
pub(super) fn said(fault: &Fault) -> String {
    let column = fault.column.as_ref().map(|column| format!("{column}: ")).unwrap_or_default();
    let found = if fault.found.is_empty() { String::new() } else { format!("{:?} ", fault.found) };
    format!("{column}{found}{}", fault.problem)
}

fn described(events: &Events) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().replace(char::is_control, " ");
    let first = events.events.first().cloned().unwrap_or_default();
    let who = if first["email"].is_string() { &first["email"] } else { &first["user_id"] };
    let mut parts = vec![text(&first["occurred_at"]), text(who)];
    for event in &events.events {
        let of = ["attributes", "properties"].map(|name| event[name].as_object().cloned().unwrap_or_default());
        let more: Vec<_> =
            of.iter().flatten().map(|(name, value)| format!("{name}={}", shortened(&text(value)))).collect();
        parts.push(format!("{}({})", text(&event["type"]), more.join(", ")));
    }
    if events.absent {
        parts.push("did not come".to_owned());
    }
    parts.join("  ")
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(24).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
