//! What `tasuki import` sends: the rows of a file, each as an event in the words of our own API or, where it cannot be
//! used, as its bytes and what is wrong with it. So bad rows are kept, counted and found again like any tracker's bad
//! events, and `behavior` has one writer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tasuki_wire::v1::DeadLetterKind;

use super::reading::{Readable, token, whole};
use super::segment::MANNERS;
use super::{Adapter, Credentials, Endpoint, Outcome, Purpose, Reply, events};
use crate::observed::BadRecord;
use crate::request::{RawRequest, Visitor};
use crate::source::Sources;

/// What can be wrong with a row, as the import says it.
pub const ROW_CODES: [&str; 16] = [
    "row-open-quote",
    "row-cells",
    "row-undecodable",
    "row-nul",
    "row-excel-error",
    "row-no-person",
    "row-email",
    "row-crm-id",
    "row-phone",
    "row-date",
    "row-date-order",
    "row-no-zone",
    "row-no-date",
    "row-future",
    "row-no-name",
    "row-status",
];

/// Of those, the ones that say the row could not even be read.
const UNREADABLE: [&str; 4] = ["row-open-quote", "row-cells", "row-undecodable", "row-nul"];

/// See the module.
#[derive(Debug)]
pub(super) struct Rows;

/// What a row became.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Item<'b> {
    /// An event.
    #[serde(borrow)]
    Event(&'b RawValue),
    /// Nothing.
    Bad(Bad),
}

/// A row that cannot be used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bad {
    code: String,
    /// What is wrong and what is allowed, without what was found.
    message: String,
    /// The line of the file it begins at.
    line: u64,
    /// The header of the column that is wrong.
    column: Option<String>,
    /// The row as it stands in the file, in base64.
    row: String,
}

impl Adapter for Rows {
    fn name(&self) -> &'static str {
        "import"
    }

    fn endpoint(&self, path: &str, _: &Sources) -> Option<Endpoint> {
        let rows = Endpoint { operation: "rows", get: false, post: true, purpose: Purpose::Events, manners: MANNERS };
        (path == "/v1/rows").then_some(rows)
    }

    fn credentials(&self, _: &str, _: &str, _: &[u8]) -> Credentials {
        Credentials::default()
    }

    fn read(&self, request: &RawRequest<'_>) -> Result<Vec<Outcome>, BadRecord> {
        // The address is that of whoever imports, not of a visitor.
        let nobody = Visitor { address: String::new(), ..request.visitor.clone() };
        let request = RawRequest { visitor: &nobody, ..*request };
        let readable = Readable::of(request.body).map_err(of_a_file)?;
        let event = |part: super::reading::Part<'_>| {
            let read = events::observe(&request, &part);
            read.and_then(|observed| observed.into_record(&request, self.name())).map_err(|bad| part.found(bad))
        };
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(readable.root().get()) else {
            // A dead letter holds one event, or one row, without what stood around it.
            return match readable.only() {
                Ok(part) if part.value.is_object() => Ok(vec![event(part)]),
                Ok(_) | Err(_) => Err(of_a_file(whole(request.body, "row", "is no array of rows"))),
            };
        };
        let outcome = |(index, raw): (usize, &RawValue)| {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            match serde_json::from_str(raw.get()) {
                Ok(Item::Event(raw)) => readable.part(raw, format!("/{index}/event"), index).and_then(event),
                Ok(Item::Bad(bad)) => Err(kept(&bad, number)),
                Err(error) => {
                    let bad = BadRecord::new(DeadLetterKind::Schema, "invalid", format!("is no row: {error}"));
                    Err(bad.found(&format!("/{index}"), number, raw.get().as_bytes(), &[]))
                }
            }
        };
        Ok(items.into_iter().enumerate().map(outcome).collect())
    }

    /// Which of the items are kept as dead letters.
    fn reply(&self, _: &RawRequest<'_>, outcomes: &[Outcome]) -> Option<Reply> {
        let bad: Vec<_> = outcomes
            .iter()
            .enumerate()
            .filter_map(|(item, outcome)| outcome.as_ref().err().map(|bad| (item, bad)))
            .map(|(item, bad)| json!({ "item": item, "code": bad.code, "message": bad.message }))
            .collect();
        let body = json!({ "accepted": outcomes.len() - bad.len(), "bad": bad });
        Some(Reply { status: axum::http::StatusCode::OK, body })
    }
}

/// A row by itself says nothing without its headers.
fn of_a_file(mut bad: BadRecord) -> BadRecord {
    bad.code = "row";
    bad.message =
        "is a row of a file: correct it there and import the file again; what was taken counts once".to_owned();
    bad
}

fn kept(bad: &Bad, item: u32) -> BadRecord {
    let known = ROW_CODES.iter().find(|code| **code == bad.code);
    let kind = if UNREADABLE.contains(&bad.code.as_str()) { DeadLetterKind::Format } else { DeadLetterKind::Schema };
    let column = bad.column.as_deref().map(|column| format!("/{}", token(column))).unwrap_or_default();
    // What is no base64 is kept as it came.
    let row = STANDARD.decode(&bad.row).unwrap_or_else(|_| bad.row.clone().into_bytes());
    let record = BadRecord::new(kind, known.copied().unwrap_or("row"), bad.message.clone());
    record.found(&format!("/{}{column}", bad.line), item, &row, &[])
}
