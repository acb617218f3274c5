//! Stopped, killed, started again: nothing lost, nothing twice, the same tables.

use tasuki_tests::trackers::{is_complete, segment_visit, snowplow_pages};
use tasuki_tests::{Log, PATIENCE, Tasuki, eventually};

#[test]
fn a_kill_in_between_changes_nothing_on_the_embedded_log() -> anyhow::Result<()> {
    killed_in_between(Log::Embedded)
}

#[test]
fn a_kill_in_between_changes_nothing_on_kafka() -> anyhow::Result<()> {
    killed_in_between(Log::Kafka)
}

fn killed_in_between(log: Log) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut tasuki = Tasuki::start(log, folder.path(), &[])?;
    let key = tasuki.told("write_key").to_owned();
    segment_visit(&tasuki, "hanako")?;
    let before = tasuki.lead("hanako@acme.example", is_complete)?;
    // Acknowledged, and killed before it can have gone all the way.
    snowplow_pages(&tasuki, "taro", 20)?;
    segment_visit(&tasuki, "jiro")?;
    tasuki.signal("KILL")?;
    tasuki.ended()?;

    let tasuki = Tasuki::start(log, folder.path(), &[])?;
    assert_eq!(tasuki.told("write_key"), key, "trackers keep their key");
    let after = tasuki.lead("hanako@acme.example", is_complete)?;
    assert_eq!(before, after, "what was there is there unchanged");
    let jiro = tasuki.lead("jiro@acme.example", is_complete)?;
    for lead in [&after, &jiro] {
        let timeline = lead["timeline"].as_array().cloned().unwrap_or_default();
        assert_eq!(timeline.len(), 4, "each event once: {timeline:#?}");
    }
    let pages = eventually(PATIENCE, || {
        let found = tasuki.get("/api/v1/leads?search=taro")?;
        let Some(id) = found["items"][0]["id"].as_str() else { return Ok(None) };
        let lead = tasuki.get(&format!("/api/v1/leads/{id}"))?;
        let pages = lead["timeline"].as_array().map_or(0, Vec::len);
        Ok((pages >= 20).then_some(pages))
    })?;
    assert_eq!(pages, 20, "each page once");
    tasuki.stop()
}
