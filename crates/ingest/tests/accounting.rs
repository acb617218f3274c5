//! For every source and protocol, exactly: received = accepted + bad + deduplicated + refused + spooled + dropped.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::collections::BTreeMap;

use axum::http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use support::{Collector, Mood, basic};
use tasuki_ingest::metrics::{ACCEPTED, BAD, DEDUPLICATED, DROPPED, RECEIVED, REFUSED, SPOOLED};
use tasuki_ingest::{Limits, PrivacyPolicy, Spool};

/// Sums of the metrics by name and (source, protocol), after these requests.
fn booked(requests: &[(Mood, &str, &str)]) -> BTreeMap<String, BTreeMap<String, u64>> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            // Small enough to be full at times; nobody replays it, so it stays in use once it is.
            let spool = Spool::open(folder.path(), 1500).unwrap();
            let collector =
                Collector::spooling(spool, Limits { privacy: PrivacyPolicy::Drop, events: 4, ..Limits::default() });
            for (mood, path, body) in requests {
                collector.mood(*mood);
                let (key, path) = path.split_once('@').unwrap_or(("WK:", path));
                let (signal, path) = path.split_once('!').unwrap_or(("0", path));
                let request = Request::post(path).header("authorization", basic(key)).header("dnt", signal);
                collector.send(request.body(body.to_string().into()).unwrap()).await;
            }
        });
    });
    let mut sums: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for line in handle.render().lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let (labels, value) = rest.rsplit_once("} ").unwrap();
        if !name.ends_with("_events_total") {
            continue;
        }
        let own: Vec<_> =
            labels.split(',').filter(|label| label.starts_with("source") || label.starts_with("protocol")).collect();
        let mut own = own;
        own.sort_unstable();
        *sums.entry(own.join(",")).or_default().entry(name.to_owned()).or_default() += value.parse::<u64>().unwrap();
    }
    sums
}

fn of(sums: &BTreeMap<String, u64>, name: &str) -> u64 {
    sums.get(name).copied().unwrap_or(0)
}

const GOOD: &str = r#"{"type":"track","event":"X","userId":"u"}"#;
const BAD_ONE: &str = r#"{"type":"dance","userId":"u"}"#;

#[test]
fn the_books_say_what_became_of_every_event() {
    let mixed = format!(r#"{{"batch":[{GOOD},{GOOD},{BAD_ONE},{{"type":"page","userId":"u"}}]}}"#);
    let sums = booked(&[
        (Mood::Takes, "/v1/batch", &mixed),
        (Mood::Unavailable, "/v1/batch", &mixed),
        (Mood::RefusesPoison, "/v1/track", r#"{"event":"poison","userId":"u"}"#),
        (Mood::Takes, "/v1/batch", "no json"),
        (Mood::Takes, "other:@/v1/batch", &mixed),
        (Mood::Takes, "/a.b/tp2", r#"{"data":[{"e":"pv","duid":"d"},{"e":"zz"}]}"#),
        (Mood::Takes, "1!/v1/batch", &mixed),
        (Mood::Takes, "/v1/batch", &format!(r#"{{"batch":[{GOOD},{GOOD},{GOOD},{GOOD},{GOOD}]}}"#)),
        (Mood::Unavailable, "/beacon/v1/batch", &mixed),
        (Mood::Takes, "/beacon/v1/batch", &mixed),
        (Mood::Takes, "/beacon/v1/batch", &mixed.replace("\"u\"", &format!("\"{}\"", "u".repeat(500)))),
    ]);
    let row = |key: &str| {
        let sums = &sums[key];
        [RECEIVED, ACCEPTED, BAD, DEDUPLICATED, REFUSED, SPOOLED, DROPPED].map(|name| of(sums, name))
    };
    assert_eq!(row(r#"protocol="segment",source="website""#), [15, 2, 3, 2, 5, 0, 3]);
    assert_eq!(row(r#"protocol="segment",source="unknown""#), [1, 0, 0, 0, 1, 0, 0]);
    assert_eq!(row(r#"protocol="snowplow",source="website""#), [2, 1, 1, 0, 0, 0, 0]);
    assert_eq!(
        row(r#"protocol="rudderstack",source="website""#),
        [12, 0, 0, 2, 4, 6, 0],
        "kept twice, then it is full"
    );
    assert_eq!(sums.len(), 4);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    /// Whatever is sent in whatever mood of the log.
    #[test]
    fn the_books_always_balance(
        requests in proptest::collection::vec(
            (
                proptest::sample::select(vec![Mood::Takes, Mood::Unavailable, Mood::Overloaded, Mood::RefusesPoison]),
                proptest::sample::select(vec!["/v1/batch", "1!/v1/batch", "/api/s/track", "/a.b/tp2", "x:@/v1/t", "x:@/beacon/v1/batch", "/beacon/v1/batch"]),
                proptest::collection::vec(
                    proptest::sample::select(vec![GOOD, BAD_ONE, "17", r#"{"e":"pv","duid":"d"}"#, r#"{"type":"track","event":"poison","userId":"u"}"#, "}"]),
                    0..6,
                ),
            ),
            1..6,
        )
    ) {
        let bodies: Vec<String> = requests
            .iter()
            .map(|(_, _, items)| { let all = items.join(","); format!(r#"{{"batch":[{all}],"data":[{all}]}}"#) })
            .collect();
        let requests: Vec<_> = requests
            .iter()
            .zip(&bodies)
            .map(|((mood, path, _), body)| (*mood, *path, body.as_str()))
            .collect();
        for (labels, sums) in booked(&requests) {
            let became = of(&sums, ACCEPTED) + of(&sums, BAD) + of(&sums, DEDUPLICATED) + of(&sums, REFUSED)
                + of(&sums, SPOOLED) + of(&sums, DROPPED);
            proptest::prop_assert_eq!(of(&sums, RECEIVED), became, "{}: {:?}", labels, sums);
        }
    }
}
