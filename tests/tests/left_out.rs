//! Without one of the services the flow stops at its place; started with it, everything that waited goes on.

use serde_json::Value;
use tasuki_tests::trackers::{is_complete, segment_visit};
use tasuki_tests::{Log, Tasuki};

/// How far a lead has come, as the API shows it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Nothing,
    Attributed,
    Scored,
    Qualified,
    Assigned,
}

#[test]
fn without_identity_nobody_is_known() -> anyhow::Result<()> {
    stops_at("identity", &Reached::Nothing)
}

#[test]
fn without_scoring_there_is_no_score() -> anyhow::Result<()> {
    stops_at("scoring", &Reached::Attributed)
}

#[test]
fn without_qualification_nobody_qualifies() -> anyhow::Result<()> {
    stops_at("qualification", &Reached::Scored)
}

#[test]
fn without_handoff_nobody_has_the_lead() -> anyhow::Result<()> {
    stops_at("handoff", &Reached::Qualified)
}

#[test]
fn without_projection_nothing_is_shown() -> anyhow::Result<()> {
    stops_at("projection", &Reached::Nothing)
}

fn stops_at(service: &str, place: &Reached) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &["--without", service])?;
    // The second visitor is the marker: what shows of her has passed every service that the first one had to pass before.
    segment_visit(&tasuki, "hanako")?;
    segment_visit(&tasuki, "marker")?;
    if *place > Reached::Nothing {
        tasuki.lead("marker@acme.example", |lead| reached(lead) == *place)?;
        tasuki.lead("hanako@acme.example", |lead| reached(lead) == *place)?;
    } else {
        assert_eq!(tasuki.get("/api/v1/leads?search=hanako")?["items"], serde_json::json!([]));
    }
    tasuki.stop()?;

    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &[])?;
    for person in ["hanako", "marker"] {
        let lead = tasuki
            .lead(&format!("{person}@acme.example"), |lead| reached(lead) == Reached::Assigned && is_complete(lead))?;
        assert_eq!(lead["timeline"].as_array().map(Vec::len), Some(4), "each event once: {lead:#}");
    }
    tasuki.stop()
}

fn reached(lead: &Value) -> Reached {
    let has = |kind: &str| lead["decisions"].as_array().into_iter().flatten().any(|decision| decision["kind"] == kind);
    if has("LeadAssigned") {
        Reached::Assigned
    } else if has("LeadQualified") {
        Reached::Qualified
    } else if lead["contributions"].as_array().is_some_and(|all| !all.is_empty()) {
        Reached::Scored
    } else {
        Reached::Attributed
    }
}
