//! One real tracker event becomes one qualified lead: the main job, on both logs.

use std::path::Path;

use serde_json::{Value, json};
use tasuki_tests::trackers::{console_visit, contract_record, is_complete, segment_visit, snowplow_pages};
use tasuki_tests::{Log, Tasuki};

#[test]
fn a_demo_request_becomes_a_lead_that_sales_accepts_on_the_embedded_log() -> anyhow::Result<()> {
    whole_way(Log::Embedded)
}

#[test]
fn a_demo_request_becomes_a_lead_that_sales_accepts_on_kafka() -> anyhow::Result<()> {
    whole_way(Log::Kafka)
}

fn whole_way(log: Log) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(log, folder.path(), &[])?;

    segment_visit(&tasuki, "hanako")?;
    snowplow_pages(&tasuki, "taro-4711", 3)?;

    let lead = tasuki.lead("hanako@acme.example", |lead| lead["stage"] == "MQL" && is_complete(lead))?;
    timeline_has_the_anonymous_pages(&lead);
    contributions_add_up(&lead);
    let decision = decision(&lead, "LeadQualified");
    assert_eq!(decision["route"], "hand-raise", "{decision:#}");

    let id = lead["id"].as_str().unwrap_or_default();
    if log == Log::Kafka {
        let record = contract_record(&tasuki, id)?;
        assert_eq!(record["key"], id);
        let text = record["value"].to_string();
        assert!(text.contains("hanako@acme.example") && text.contains(handoff_id(&lead)), "{record:#}");
    }
    seen_in_the_browser(&tasuki, folder.path())?;

    tasuki.post(&format!("/api/v1/handoffs/{}/accept", handoff_id(&lead)), &json!({}))?;
    let accepted = tasuki.lead("hanako@acme.example", |lead| lead["stage"] == "SAL")?;
    decision_count(&accepted, "LeadQualified", 1);
    decision_count(&accepted, "SalesAccepted", 1);

    // The other person is another lead, known by user id alone (after the short wait for an address), and has not qualified.
    tasuki.lead("taro-4711", |lead| lead["timeline"].as_array().is_some_and(|timeline| timeline.len() == 3))?;
    let other = tasuki.get("/api/v1/leads?search=")?;
    let items = other["items"].as_array().cloned().unwrap_or_default();
    assert_eq!(items.len(), 2, "{other:#}");
    assert!(items.iter().any(|item| item["email"].is_null() && item["stage"] != "MQL"), "{other:#}");
    tasuki.stop()
}

fn handoff_id(lead: &Value) -> &str {
    lead["handoffs"][0]["id"].as_str().or_else(|| lead["handoffs"][0]["handoff_id"].as_str()).unwrap_or_default()
}

fn timeline_has_the_anonymous_pages(lead: &Value) {
    let timeline = lead["timeline"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<_> = timeline.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    let count = |kind| kinds.iter().filter(|&&known| known == kind).count();
    assert_eq!((count("PageViewed"), count("LeadIdentified"), count("FormSubmitted")), (2, 1, 1), "{timeline:#?}");
    let at = |path: &str| {
        let entry = timeline.iter().find(|entry| entry["path"] == path).cloned().unwrap_or_default();
        entry["occurred_at"].as_str().unwrap_or_default().to_owned()
    };
    assert!(!at("/").is_empty() && at("/") < at("/pricing"), "the pages keep their own times: {timeline:#?}");
}

fn contributions_add_up(lead: &Value) {
    for axis in ["engagement", "fit"] {
        let contributions = lead["contributions"].as_array().cloned().unwrap_or_default();
        let sum: f64 = contributions.iter().filter(|c| c["axis"] == axis).filter_map(|c| c["points"].as_f64()).sum();
        let shown = lead[axis].as_f64().unwrap_or(f64::NAN);
        assert!((sum - shown).abs() < 1e-9, "{axis}: contributions give {sum}, shown is {shown}: {contributions:#?}");
        assert!(shown > 0.0, "{axis} of a VP who asked for a demo is above zero");
    }
}

fn decision(lead: &Value, kind: &str) -> Value {
    let decisions = lead["decisions"].as_array().cloned().unwrap_or_default();
    decisions.into_iter().find(|decision| decision["kind"] == kind).unwrap_or_default()
}

fn decision_count(lead: &Value, kind: &str, expected: usize) {
    let decisions = lead["decisions"].as_array().cloned().unwrap_or_default();
    assert_eq!(decisions.iter().filter(|decision| decision["kind"] == kind).count(), expected, "{decisions:#?}");
}

fn seen_in_the_browser(tasuki: &Tasuki, folder: &Path) -> anyhow::Result<()> {
    let seen = console_visit(tasuki, "hanako@acme.example", folder)?;
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
    assert_eq!(seen["narrowOverflow"], 0, "nothing sticks out of a narrow page: {seen:#}");
    let text = |page: &str| seen[page].as_str().unwrap_or_default().to_owned();
    assert!(text("list").contains("hanako@acme.example"), "{seen:#}");
    for reason in ["demo-request", "hand-raise", "/pricing", "VP Sales"] {
        assert!(text("lead").contains(reason), "the page of the lead does not say {reason}: {}", text("lead"));
    }
    Ok(())
}
