//! What other systems send arrives at the lead, each event once: CloudEvents, webhooks, Matomo, GA4, our own API.

use serde_json::Value;
use tasuki_testkit::ports::free_port;
use tasuki_tests::trackers::{Secrets, other_systems};
use tasuki_tests::{Log, Tasuki};

const SECRETS: Secrets = Secrets {
    write_key: "e2e-key",
    standard_webhooks: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    hubspot: "hubspot-secret",
    mautic: "mautic-secret",
};

#[test]
fn what_other_systems_send_twice_is_in_the_timeline_of_its_lead_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // HubSpot signs the address it sends to, so it must be known before.
    let address = format!("127.0.0.1:{}", free_port(0)?);
    let sources = folder.path().join("sources.toml");
    std::fs::write(&sources, sources_file(&address))?;
    let arguments = ["--ingest-listen", &address, "--ingest-sources", &sources.to_string_lossy()];
    let tasuki = Tasuki::start(Log::Embedded, folder.path(), &arguments)?;
    other_systems(&tasuki, &SECRETS)?;

    for (person, expected) in [
        ("ce-node", vec!["ContentDownloaded", "CustomBehavior", "EventAttended", "FormSubmitted", "SurveyAnswered"]),
        ("ce-python", vec!["CustomBehavior", "EmailOpened", "FormSubmitted"]),
        ("sw-node", vec!["CustomBehavior", "EmailOpened", "LeadIdentified"]),
        ("sw-python", vec!["CustomBehavior", "EventAttended", "LeadIdentified"]),
        ("hubspot", vec!["CustomBehavior", "FormSubmitted", "LeadIdentified", "LeadIdentified"]),
        ("mautic", vec!["CustomBehavior", "EmailOpened", "FormSubmitted", "PageViewed"]),
        ("matomo", vec!["ContentDownloaded", "CustomBehavior", "PageViewed", "PageViewed"]),
        ("ga4", vec!["ContentDownloaded", "CustomBehavior", "PageViewed"]),
        ("own", vec!["CustomBehavior", "FormSubmitted", "PageViewed"]),
    ] {
        // The custom one was sent last, so with it everything is there that will be.
        let marked = |lead: &Value| kinds(lead).iter().any(|kind| kind == "CustomBehavior");
        let lead = tasuki
            .lead(&format!("{person}@acme.example"), |lead| marked(lead) && kinds(lead).len() >= expected.len())?;
        assert_eq!(kinds(&lead), expected, "{person}: {lead:#}");
    }
    tasuki.stop()
}

fn kinds(lead: &Value) -> Vec<String> {
    let timeline = lead["timeline"].as_array().into_iter().flatten();
    let mut kinds: Vec<_> = timeline.filter_map(|entry| Some(entry["kind"].as_str()?.to_owned())).collect();
    kinds.sort_unstable();
    kinds
}

fn sources_file(address: &str) -> String {
    let Secrets { write_key, standard_webhooks, hubspot, mautic } = SECRETS;
    format!(
        r#"
        default_source = "website"
        [[source]]
        name = "website"
        write_keys = ["{write_key}"]
        [[source]]
        name = "generic"
        webhook = {{ sender = "standard-webhooks", secrets = ["{standard_webhooks}"] }}
        [[source]]
        name = "hubspot"
        webhook = {{ sender = "hubspot", secrets = ["{hubspot}"], public_url = "http://{address}" }}
        [[source]]
        name = "mautic"
        webhook = {{ sender = "mautic", secrets = ["{mautic}"] }}
        "#
    )
}
