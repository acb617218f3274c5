//! What could not be understood on a real Kafka: listed, shown, and sent again once the mapping has been corrected. It
//! arrives exactly once, however often it is sent.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use prost::Message;
use serde_json::{Value, json};
use tasuki_tests::commands::{answers, program};
use tasuki_tests::topics::Topics;
use tasuki_tests::{Log, PATIENCE, Tasuki, eventually, top};
use tasuki_wire::v1::activity_record::Event;
use tasuki_wire::v1::{ActivityRecord, BehaviorRecord};

/// A demo request of a system that calls the address as the mapping does not know it.
fn demo_request() -> Value {
    json!({
        "specversion": "1.0", "id": "m-1", "source": "shop", "type": "com.acme.form.submitted",
        "time": "2026-11-20T09:00:00Z", "data": {"form": "demo-request", "account_mail": "mai@acme.example"},
    })
}

fn send(tasuki: &Tasuki, path: &str, content_type: &str, body: &str) -> anyhow::Result<u16> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let address = format!("{}{path}?writeKey={}", tasuki.told("ingest"), tasuki.told("write_key"));
    Ok(agent.post(address).content_type(content_type).send(body)?.status().as_u16())
}

fn dead_letters(tasuki: &Tasuki, words: &[&str]) -> anyhow::Result<Command> {
    let mut command = program(tasuki)?;
    command.env("KAFKA_BOOTSTRAP_SERVERS", tasuki.told("bootstrap_servers"));
    command.arg("dead-letters").args(words).arg("--json");
    Ok(command)
}

fn codes(listed: &[Value]) -> Vec<&str> {
    let mut codes: Vec<_> = listed.iter().filter_map(|letter| letter["code"].as_str()).collect();
    codes.sort_unstable();
    codes
}

/// The mapping that ships, which has learnt one more name for the address.
fn corrected(folder: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(top().join("crates/ingest/src/mapping.toml"))?;
    let learnt = text
        .replace("email = [\"email\", \"email_address\"]", "email = [\"email\", \"email_address\", \"account_mail\"]");
    ensure!(learnt != text, "the mapping names the address otherwise by now");
    let path = folder.join("mapping.toml");
    std::fs::write(&path, learnt)?;
    Ok(path.to_string_lossy().into_owned())
}

/// How often the event is on each topic, once identity has applied everything.
fn arrived(topics: &Topics) -> anyhow::Result<(usize, usize)> {
    eventually(PATIENCE, || Ok(topics.identity_is_through()?.then_some(())))?;
    let behavior = topics.payloads("behavior")?;
    for payload in &behavior {
        let record = BehaviorRecord::decode(payload.as_slice())?;
        ensure!(
            record.flags.iter().any(|flag| flag == "redriven"),
            "only what was redriven is here: {:?}",
            record.flags
        );
    }
    let mut attributed = 0;
    for payload in topics.payloads("activity")? {
        attributed +=
            usize::from(matches!(ActivityRecord::decode(payload.as_slice())?.event, Some(Event::Attributed(_))));
    }
    Ok((behavior.len(), attributed))
}

#[test]
fn a_corrected_mapping_and_a_redrive_bring_an_event_to_its_lead_exactly_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(Log::Kafka, folder.path(), &[])?;
    let topics = Topics::Kafka(tasuki.told("bootstrap_servers").to_owned());
    let event = demo_request().to_string();
    // A sender that does not know it was heard sends the same again: one letter.
    for _ in 0..2 {
        ensure!(send(&tasuki, "/events", "application/cloudevents+json", &event)? == 200);
    }
    ensure!(send(&tasuki, "/v1/track", "application/json", "{\"event\": oops")? == 400);
    let file = folder.path().join("people.csv");
    std::fs::write(&file, "email,date\nno-address,2026-11-20T09:00:00Z\n")?;
    let mut import = program(&tasuki)?;
    import.arg("import").arg(&file).args(["--kind", "contacts", "--yes", "--json", "--to", tasuki.told("ingest")]);
    answers(import.args(["--write-key", tasuki.told("write_key")]), 2)?;

    filters_narrow(&tasuki)?;
    let listed = answers(&mut dead_letters(&tasuki, &["list", "--code", "no-identifier"])?, 0)?;
    let id = listed.first().and_then(|letter| letter["id"].as_str()).context("a letter")?;
    ensure!(listed.len() == 1 && !listed[0].to_string().contains("mai@"), "once, and nothing personal: {listed:#?}");
    let shown = answers(&mut dead_letters(&tasuki, &["show", id])?, 0)?;
    let original: Value = serde_json::from_str(shown[0]["original"].as_str().unwrap_or_default())?;
    assert_eq!(original, demo_request(), "as it came");

    // Nothing has changed: it is left where it is, and so is everything else.
    let left = answers(&mut dead_letters(&tasuki, &["redrive"])?, 65)?;
    assert_eq!(left.iter().map(|line| line["events"].as_u64()).collect::<Vec<_>>(), [Some(0); 3], "{left:#?}");
    let row = left.iter().find(|line| line["code"] == "row-email").context("the row")?;
    ensure!(row["why"].as_str().is_some_and(|why| why.contains("import the file again")), "{row}");

    let mapping = corrected(folder.path())?;
    let redrive = ["redrive", "--ingest-mapping", &mapping, "--code", "no-identifier"];
    let dry = answers(dead_letters(&tasuki, &redrive)?.arg("--dry-run"), 0)?;
    let expected = [json!({"id": id, "code": "no-identifier", "events": 1, "left": 0, "why": null})];
    assert_eq!(dry, expected);
    assert_eq!(arrived(&topics)?, (0, 0), "nothing was written so far");

    assert_eq!(answers(&mut dead_letters(&tasuki, &redrive)?, 0)?, expected);
    let lead = tasuki.lead("mai@acme.example", |lead| lead["stage"] == "MQL")?;
    assert_eq!(lead["timeline"].as_array().map(Vec::len), Some(1), "{lead:#}");
    let entry = &lead["timeline"][0];
    assert_eq!((&entry["kind"], &entry["occurred_at"]), (&json!("FormSubmitted"), &json!("2026-11-20T09:00:00.000Z")));
    assert_eq!(arrived(&topics)?, (1, 1));

    // Once more, and it counts once; so does the sender's own third try, which the corrected mapping would read.
    assert_eq!(answers(&mut dead_letters(&tasuki, &redrive)?, 0)?, expected);
    assert_eq!(arrived(&topics)?, (2, 1), "on behavior twice, under one id; with the lead once");
    let nothing = dead_letters(&tasuki, &["redrive", "--code", "no-such-code"])?.output()?;
    assert_eq!(nothing.status.code(), Some(66), "{nothing:?}");
    tasuki.stop()
}

fn filters_narrow(tasuki: &Tasuki) -> anyhow::Result<()> {
    // Each filter by itself has its test beside the code.
    for (filter, expected) in [
        (vec![], vec!["no-identifier", "not-json", "row-email"]),
        (
            vec!["--code", "not-json,row-email", "--source", "website", "--until", "2100-01-01T00:00:00Z"],
            vec!["not-json", "row-email"],
        ),
        (vec!["--since", "2100-01-01T00:00:00Z"], vec![]),
    ] {
        let listed = answers(&mut dead_letters(tasuki, &[vec!["list"], filter.clone()].concat())?, 0)?;
        assert_eq!(codes(&listed), expected, "{filter:?}");
    }
    Ok(())
}
