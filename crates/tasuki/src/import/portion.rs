//! Rows that are sent together.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tasuki_import::{Events, Fault, Row};

/// Events and bad rows sent with one request: well under the limits of ingest.
const ITEMS: usize = 1000;

/// Bytes sent with one request.
const BYTES: usize = 1 << 20;

/// Rows that are sent together, as the body of a request.
#[derive(Debug, Default)]
pub(super) struct Portion {
    body: String,
    items: usize,
    /// The rows that looked right, in order.
    rows: Vec<SentRow>,
}

/// A row that looked right.
#[derive(Debug)]
pub(super) struct SentRow {
    pub(super) line: u64,
    /// How many events it became.
    pub(super) events: u64,
    /// Where in the body they stand.
    pub(super) items: std::ops::Range<usize>,
    /// As it stands in the file, if that is still wanted.
    pub(super) raw: Vec<u8>,
}

impl Portion {
    pub(super) fn is_full(&self) -> bool {
        self.items >= ITEMS || self.body.len() >= BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items == 0
    }

    pub(super) fn add(&mut self, row: &Row, events: &Events, keep: bool) {
        let first = self.items;
        for event in &events.events {
            self.push(&json!({ "event": event }).to_string());
        }
        self.rows.push(SentRow {
            line: row.line,
            events: u64::try_from(events.events.len()).unwrap_or(u64::MAX),
            items: first..self.items,
            raw: if keep { row.raw.clone() } else { Vec::new() },
        });
    }

    pub(super) fn add_bad(&mut self, row: &Row, fault: &Fault) {
        let bad = json!({
            "code": fault.code.name(),
            "message": fault.problem,
            "line": row.line,
            "column": fault.column,
            "row": STANDARD.encode(&row.raw),
        });
        self.push(&json!({ "bad": bad }).to_string());
    }

    /// The body, and the rows in it that looked right.
    pub(super) fn into_parts(self) -> (String, Vec<SentRow>) {
        (format!("[{}]", self.body), self.rows)
    }

    fn push(&mut self, item: &str) {
        if self.items > 0 {
            self.body.push(',');
        }
        self.body.push_str(item);
        self.items += 1;
    }
}
