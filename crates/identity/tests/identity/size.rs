//! How much memory a visitor takes.

use prost::Message;
use tasuki_identity::IdentitySettings;
use tasuki_stream::Emitted;
use tasuki_wire::v1;

use crate::support::{World, event};

/// A page view as a browser's tracker reports it, with every field that ingest fills.
fn page_view(id: u16, visitor: &'static str, path: &str, title: &str) -> Emitted {
    let behavior = event(0, i64::from(id)).visitor(visitor);
    let mut record = behavior.record();
    let meta = record.meta.get_or_insert_default();
    // Ids and hashes as they are: without any pattern.
    meta.event_id = scattered(id);
    record.payload_hash = scattered(id + 1_000);
    record.origin = Some(v1::Origin {
        source: "website".to_owned(),
        protocol: "segment".to_owned(),
        message_id: format!("ajs-next-17953219379{id:02}-{}", hex(&scattered(id + 2_000))),
        sent_at_ms: meta.received_at_ms - 40,
    });
    record.circumstances = Some(v1::Circumstances {
        url: format!("https://www.acme-products.example{path}?utm_source=google&utm_medium=cpc"),
        path: path.to_owned(),
        host: "www.acme-products.example".to_owned(),
        referrer: "https://www.google.com/".to_owned(),
        title: title.to_owned(),
        campaign_source: "google".to_owned(),
        campaign_medium: "cpc".to_owned(),
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/142.0.0.0 Safari/537.36"
            .to_owned(),
        locale: "ja-JP".to_owned(),
        time_zone: "Asia/Tokyo".to_owned(),
        ip: "203.0.113.87".to_owned(),
        ..v1::Circumstances::default()
    });
    record.properties_json = r#"{"search":"?utm_source=google&utm_medium=cpc"}"#.to_owned();
    Emitted { payload: record.encode_to_vec(), ..behavior.emitted() }
}

fn scattered(seed: u16) -> Vec<u8> {
    let id = tasuki_domain::EventId::reported("size", &seed.to_string());
    id.as_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const VISITOR: &str = "2f6c1f0e-6a7d-4b8a-9b58-1c5d6c8f7a21";

#[test]
fn a_visitor_with_three_parked_events_takes_less_than_a_kilobyte() {
    let mut world = World::new(IdentitySettings::default());
    let mut reported = 0;
    for (id, path, title) in [
        (1, "/", "Acme: pumps and valves"),
        (2, "/products/pumps/ap-200", "AP-200 | Acme: pumps and valves"),
        (3, "/pricing", "Pricing | Acme: pumps and valves"),
    ] {
        let page = page_view(id, VISITOR, path, title);
        reported += page.payload.len();
        world.pipeline.publish(page);
    }
    world.pipeline.run();
    let states = world.pipeline.states("identity");
    let kept: usize = states.iter().map(|(key, state)| key.len() + state.len()).sum();
    println!("three events of {reported} bytes as reported take {kept} bytes, key included");
    assert_eq!(states.len(), 1);
    assert!(kept < 850, "{kept} bytes; the store adds about a hundred of its own");
}

#[test]
fn one_event_of_a_visitor_with_two_hundred_writes_a_few_kilobytes_at_most() {
    let mut world = World::new(IdentitySettings::default());
    let mut sizes = Vec::new();
    for id in 1..=400 {
        let before = world.pipeline.states("identity");
        let (path, title) = (format!("/products/pumps/ap-{id}"), format!("AP-{id} | Acme: pumps and valves"));
        world.pipeline.publish(page_view(id, VISITOR, &path, &title));
        world.pipeline.run();
        let after = world.pipeline.states("identity");
        let written = after.iter().filter(|(key, state)| before.get(*key) != Some(*state));
        let removed = before.keys().filter(|key| !after.contains_key(*key));
        let bytes: usize = written.map(|(key, state)| key.len() + state.len()).chain(removed.map(String::len)).sum();
        sizes.push((bytes, after.iter().map(|(key, state)| key.len() + state.len()).sum::<usize>()));
    }
    // From here on each event displaces one.
    let full = &sizes[200..];
    let (most, kept) = (full.iter().map(|it| it.0).max().unwrap(), full.iter().map(|it| it.1).max().unwrap());
    let mean = full.iter().map(|it| it.0).sum::<usize>() / full.len();
    println!("one event writes {mean} bytes, {most} at most, of {kept} bytes kept");
    assert!(most < 6_000 && kept < 40_000, "{most} {kept}");
}
