//! The API for trackers that somebody writes, against its own OpenAPI document: what Schemathesis makes of the document never
//! meets a 5xx, and every answer is as documented.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tasuki_tests::{Log, Tasuki, top, trackers};

/// Where the document says what a body is: one event, or a list of them.
const BODY: &str = "/paths/~1v1~1events/post/requestBody/content/application~1json/schema";

#[test]
fn the_api_answers_as_its_document_says_whatever_it_is_sent() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &[])?;
    let document = top().join("docs/contracts/ingest.openapi.json");
    // Not that all is accepted which fits the schema: which ids are placeholders ("null", "0") stands in no schema. Nor that
    // all is refused which does not: of a list, what is right is taken, and what is not is said event by event.
    try_out(&tasuki, folder.path(), &document, "positive_data_acceptance,negative_data_rejection")?;
    // One event that does not fit is refused.
    let mut single: Value = serde_json::from_str(&fs::read_to_string(&document)?)?;
    let body = single.pointer_mut(BODY).context("the document says what a body is")?;
    *body = body["oneOf"][0].take();
    ensure!(body["$ref"] == "#/components/schemas/Event", "one event comes first: {body}");
    let of_one = folder.path().join("one.json");
    fs::write(&of_one, single.to_string())?;
    try_out(&tasuki, folder.path(), &of_one, "positive_data_acceptance")?;
    tasuki.stop()
}

fn try_out(tasuki: &Tasuki, folder: &Path, document: &Path, without: &str) -> anyhow::Result<()> {
    let mut schemathesis = Command::new(trackers::installed().join("venv/bin/schemathesis"));
    schemathesis.current_dir(folder).arg("run").arg(document);
    schemathesis.args(["--url", tasuki.told("ingest"), "--auth", &format!("{}:", tasuki.told("write_key"))]);
    schemathesis.args(["--exclude-checks", without]);
    // The same requests every time.
    schemathesis.args(["--generation-deterministic", "--max-examples", "100", "--no-color"]);
    let output = schemathesis.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    ensure!(said.contains("Tested: 1"), "invalid: nothing was tested");
    Ok(())
}
