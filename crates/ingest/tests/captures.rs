//! Requests of real packages, captured as sent, give the events written down in `snapshots/`.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use support::{Collector, captured};

/// Sends every request of a capture; all are answered 200, webhooks 204.
async fn replayed(file: &str, received_at: &str) -> Vec<serde_json::Value> {
    let collector = Collector::at(received_at);
    for request in captured(file) {
        let line = format!("{} {}", request.method(), request.uri());
        let expected = if request.uri().path().starts_with("/webhooks/") { 204 } else { 200 };
        let answer = collector.send(request).await;
        assert_eq!(answer.status, expected, "{line}: {}", String::from_utf8_lossy(&answer.body));
    }
    collector.written()
}

macro_rules! captures {
    ($($name:ident: $file:literal received $at:literal, $records:literal records;)*) => {
        const REPLAYED: &[&str] = &[$($file),*];
        $(
        #[tokio::test]
        async fn $name() {
            let written = replayed($file, $at).await;
            assert_eq!(written.len(), $records);
            insta::assert_json_snapshot!(written);
        }
        )*
    };
}

captures! {
    segment_analytics_node: "segment-analytics-node" received "2026-11-22T04:32:17.950Z", 7 records;
    segment_analytics_python: "segment-analytics-python" received "2026-11-22T04:34:32.400Z", 7 records;
    segment_analytics_python_gzip: "segment-analytics-python-gzip" received "2026-11-22T05:09:53.900Z", 7 records;
    segment_analytics_next_in_a_browser: "segment-analytics-next-browser-single"
        received "2026-11-22T04:49:25.000Z", 6 records;
    rudder_sdk_node_gzip: "rudder-sdk-node-gzip" received "2026-11-22T05:09:50.100Z", 7 records;
    rudder_sdk_python_gzip: "rudder-sdk-python-gzip" received "2026-11-22T05:09:55.700Z", 5 records;
    jitsu_js_on_node: "jitsu-js-node" received "2026-11-22T04:56:43.300Z", 4 records;
    snowplow_node_by_get: "snowplow-node-get" received "2026-11-22T04:36:46.300Z", 6 records;
    snowplow_node_by_post: "snowplow-node-post" received "2026-11-22T04:36:41.000Z", 6 records;
    snowplow_python_by_post: "snowplow-python-post" received "2026-11-22T04:39:13.000Z", 5 records;
    snowplow_in_a_browser: "snowplow-browser-post" received "2026-11-22T04:49:05.500Z", 4 records;
    cloudevents_node: "cloudevents-node" received "2026-11-22T04:30:00.000Z", 4 records;
    standard_webhooks: "standard-webhooks" received "2026-11-22T05:02:15.000Z", 1 records;
    hubspot_version_3: "hubspot-webhook-v3" received "2026-11-22T05:03:00.000Z", 1 records;
}

/// A re-send has other sending times and the same events: same ids, same hashes.
#[tokio::test]
async fn the_same_events_sent_again_later_have_the_same_ids_and_hashes() {
    let ids = |written: Vec<serde_json::Value>| -> Vec<_> {
        written.into_iter().map(|record| (record["id"].clone(), record["payload_hash"].clone())).collect()
    };
    for file in ["segment-analytics-node", "rudder-sdk-node-gzip", "snowplow-node-post", "snowplow-node-get"] {
        let first = ids(replayed(file, "2026-11-22T05:09:51Z").await);
        let again = ids(replayed(file, "2026-11-22T09:00:00Z").await);
        assert_eq!(first, again, "{file}");
    }
}

/// What stands in these folders, without the part after the dot.
fn names_in(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.map(|name| name.split('.').next().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_capture_is_replayed() {
    let mut replayed = REPLAYED.to_vec();
    replayed.sort_unstable();
    assert_eq!(names_in("tests/captures"), replayed);
}

#[test]
fn every_adapter_and_the_decompressor_are_fuzzed() {
    let mut targets: Vec<_> = tasuki_ingest::adapter::ADAPTERS.iter().map(|it| it.name().replace('-', "_")).collect();
    targets.push("body".to_owned());
    targets.sort();
    assert_eq!(names_in("../../fuzz/fuzz_targets"), targets);
    assert_eq!(names_in("../../fuzz/corpus"), targets);
}
