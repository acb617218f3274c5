//! The API for trackers that somebody writes, against its own OpenAPI document: what Schemathesis makes of the document never
//! meets a 5xx, and every answer is as documented.

use std::process::Command;

use anyhow::ensure;
use tasuki_tests::{Log, Tasuki, top, trackers};

#[test]
fn the_api_answers_as_its_document_says_whatever_it_is_sent() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &[])?;
    let mut schemathesis = Command::new(trackers::installed().join("venv/bin/schemathesis"));
    schemathesis.current_dir(folder.path()).arg("run").arg(top().join("docs/contracts/ingest.openapi.json"));
    schemathesis.args(["--url", tasuki.told("ingest"), "--auth", &format!("{}:", tasuki.told("write_key"))]);
    // Not that all is accepted which fits the schema: which ids are placeholders ("null", "0") stands in no schema.
    schemathesis.args(["--exclude-checks", "positive_data_acceptance"]);
    // The same requests every time.
    schemathesis.args(["--generation-deterministic", "--max-examples", "100", "--no-color"]);
    let output = schemathesis.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    ensure!(said.contains("Tested: 1"), "invalid: nothing was tested");
    tasuki.stop()
}
