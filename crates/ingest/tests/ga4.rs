//! The Measurement Protocol of GA4, and its validation.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use axum::http::Request;
use serde_json::{Value, json};
use support::{Answer, Collector, NOON, sources};
use tasuki_ingest::{Limits, Sources};

async fn send(collector: &Collector, path: &str, body: &str) -> Answer {
    collector.send(Request::post(path).body(body.to_owned().into()).unwrap()).await
}

const COLLECT: &str = "/mp/collect?measurement_id=G-1&api_secret=WK";

fn lines(collector: &Collector) -> Vec<String> {
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    collector
        .written()
        .iter()
        .map(|record| match record.get("dead letter") {
            Some(code) => format!("{} at {}", code.as_str().unwrap(), text(record, "pointer")),
            None => format!("{} {}", text(record, "key"), text(record, "event")),
        })
        .collect()
}

#[tokio::test]
async fn events_are_taken_and_mean_what_the_mapping_says() {
    let collector = Collector::new();
    let body = json!({
        "client_id": "123.456", "user_id": "u-1", "timestamp_micros": "1795348740000000",
        "user_properties": { "plan": { "value": "gold" } }, "consent": { "ad_user_data": "DENIED" },
        "ip_override": "203.0.113.9", "user_agent": "Mozilla/5.0 X",
        "events": [
            { "name": "page_view", "params": { "page_location": "https://acme.example/pricing?utm_source=x", "page_title": "Pricing",
                "page_referrer": "https://search.example", "engagement_time_msec": 100 } },
            { "name": "generate_lead", "params": { "form_id": "demo-request", "email": "ana@acme.example", "job_title": "CTO", "ip": "203.0.113.9" } },
            { "name": "file_download", "params": { "file_name": "wp.pdf" }, "timestamp_micros": 1_795_348_680_000_000_u64 },
            { "name": "scroll" },
        ],
    });
    let answer = send(&collector, COLLECT, &body.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    insta::assert_json_snapshot!(collector.written());
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_2xx_and_nothing_is_lost() {
    for (body, expected) in [
        ("", vec!["empty-body at "]),
        ("no json", vec!["not-json at "]),
        ("[]", vec!["not-an-object at "]),
        ("{}", vec!["no-events at /events"]),
        (r#"{"client_id":"c","events":{}}"#, vec!["no-events at /events"]),
        (r#"{"client_id":"c","events":[]}"#, vec![]),
        (
            r#"{"client_id":7,"events":[null,17,{},{"name":null},{"name":"a","params":[1]},{"name":"a","params":null},{"name":"b","params":{"x":NaN,"y":"\ud800"}},{"name":{}}]}"#,
            vec![
                "not-an-object at /events/0",
                "not-an-object at /events/1",
                "no-name at /events/2/name",
                "no-name at /events/3/name",
                "params-not-an-object at /events/4/params",
                "v:7 CustomBehavior(CustomBehavior { name: \"a\" })",
                "v:7 CustomBehavior(CustomBehavior { name: \"b\" })",
                "no-name at /events/7/name",
            ],
        ),
        (r#"{"events":[{"name":"a"}]}"#, vec!["no-identifier at /events/0"]),
        (r#"{"client_id":"null","events":[{"name":"a"}]}"#, vec!["no-identifier at /events/0"]),
    ] {
        let collector = Collector::new();
        assert_eq!(send(&collector, COLLECT, body).await.status, 204, "{body}");
        assert_eq!(lines(&collector), expected, "{body}");
    }
    let many: Vec<Value> = (0..60).map(|n| json!({ "name": format!("e{n}") })).collect();
    let collector = Collector::new();
    send(&collector, COLLECT, &json!({ "client_id": "c", "events": many }).to_string()).await;
    assert_eq!(collector.behaviors().len(), 60, "more than Google takes are no reason to lose them");
}

#[tokio::test]
async fn times_are_in_microseconds() {
    for (micros, occurred) in [
        (json!(1_795_348_740_123_456_u64), "2026-11-22T11:59:00.123Z"),
        (json!("1795348740123456"), "2026-11-22T11:59:00.123Z"),
        (json!(-5), "2026-11-22T12:00:00.000Z"),
        (json!(u64::MAX), "2026-11-22T12:00:00.000Z"),
        (json!(1.5e300), "2026-11-22T12:00:00.000Z"),
        (json!(null), "2026-11-22T12:00:00.000Z"),
    ] {
        let collector = Collector::new();
        let body = json!({ "client_id": "c", "timestamp_micros": micros, "events": [{ "name": "a" }] });
        send(&collector, COLLECT, &body.to_string()).await;
        assert_eq!(collector.written()[0]["occurred_at"], occurred, "{micros}");
    }
}

#[tokio::test]
async fn the_same_content_counts_once_in_a_minute_or_at_its_own_time() {
    let ids = async |now: &str, micros: Value| {
        let collector = Collector::at(now);
        let body = json!({ "client_id": "c", "timestamp_micros": micros, "events": [{ "name": "a" }] }).to_string();
        send(&collector, COLLECT, &body).await;
        send(&collector, COLLECT, &body).await;
        let written = collector.written();
        assert_eq!(written[0]["id"], written[1]["id"]);
        written[0]["id"].clone()
    };
    let later = "2026-11-22T12:05:00Z";
    assert_ne!(ids(NOON, json!(null)).await, ids(later, json!(null)).await);
    assert_eq!(ids(NOON, json!(1_795_348_740_000_000_u64)).await, ids(later, json!(1_795_348_740_000_000_u64)).await);
}

#[tokio::test]
async fn the_source_is_found_by_secret_or_by_stream_else_the_request_is_kept() {
    let body = r#"{"client_id":"c","events":[{"name":"a"}]}"#;
    let of = async |sources: Sources, path: &str| {
        let collector = Collector::with(NOON, sources, Limits::default());
        assert_eq!(send(&collector, path, body).await.status, 204);
        collector.written()[0]["origin"].as_str().unwrap().to_owned()
    };
    assert_eq!(of(sources(), COLLECT).await, "website by ga4");
    assert_eq!(of(sources(), "/mp/collect?measurement_id=G-1&api_secret=key").await, "jitsu by ga4");
    let by_stream = "[[source]]\nname = \"shop\"\nga4_measurement_ids = [\"G-2\"]";
    let file = || Sources::from_toml(by_stream).unwrap();
    assert_eq!(of(file(), "/mp/collect?measurement_id=G-2&api_secret=theirs").await, "shop by ga4");
    assert_eq!(of(file(), "/mp/collect?measurement_id=G-3&api_secret=theirs").await, "unknown by ga4");
    let collector = Collector::with(NOON, Sources::default(), Limits::default());
    send(&collector, COLLECT, body).await;
    assert!(!collector.written()[0].to_string().contains("api_secret"), "secrets are not kept");
}

#[tokio::test]
async fn validation_says_what_is_wrong_and_keeps_nothing() {
    let collector = Collector::new();
    let debug = format!("/debug{COLLECT}");
    let messages = async |path: &str, body: &str| {
        let answer = send(&collector, path, body).await;
        assert_eq!(answer.status, 200, "{body}");
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let all = answer["validationMessages"].as_array().unwrap().clone();
        all.iter()
            .map(|it| {
                assert!(!it["description"].as_str().unwrap().is_empty());
                format!("{} {}", it["fieldPath"].as_str().unwrap(), it["validationCode"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
    };
    let good = json!({ "client_id": "c", "events": [{ "name": "page_view", "params": { "page_location": "x".repeat(900) } }] });
    assert_eq!(messages(&debug, &good.to_string()).await, Vec::<String>::new());
    assert_eq!(messages(&debug, "no json").await, [" VALUE_INVALID"]);
    assert_eq!(messages(&debug, "{}").await, ["client_id VALUE_REQUIRED", "events VALUE_REQUIRED"]);
    let params: serde_json::Map<_, _> = (0..26).map(|n| (format!("p{n}"), json!(n))).collect();
    let mut events = vec![
        json!({ "name": "_badEventName" }),
        json!({ "name": "session_start" }),
        json!({ "name": "ga_x" }),
        json!({ "name": "bad-name" }),
        json!({ "name": "x".repeat(41) }),
        json!({}),
        json!({ "name": "a", "params": 7 }),
        json!({ "name": "a", "params": params }),
        json!({ "name": "a", "params": { "1x": 1, "long": "x".repeat(101) } }),
    ];
    events.resize(26, json!({ "name": "a" }));
    let bad = json!({ "client_id": "c", "timestamp_micros": "now", "events": events,
        "user_properties": { "p": 1, "q".repeat(25): { "value": "x".repeat(37) } } });
    assert_eq!(
        messages(&debug, &bad.to_string()).await,
        [
            "timestamp_micros VALUE_INVALID",
            "user_properties.p VALUE_REQUIRED",
            "user_properties.qqqqqqqqqqqqqqqqqqqqqqqqq NAME_INVALID",
            "user_properties.qqqqqqqqqqqqqqqqqqqqqqqqq VALUE_OUT_OF_BOUNDS",
            "events EXCEEDED_MAX_ENTITIES",
            "events NAME_INVALID",
            "events NAME_RESERVED",
            "events NAME_RESERVED",
            "events NAME_INVALID",
            "events NAME_INVALID",
            "events VALUE_REQUIRED",
            "events VALUE_INVALID",
            "events EXCEEDED_MAX_ENTITIES",
            "events NAME_INVALID",
            "events VALUE_OUT_OF_BOUNDS",
        ]
    );
    assert!(
        messages("/debug/mp/collect?api_secret=WK", "[]").await.contains(&"measurement_id VALUE_REQUIRED".to_owned())
    );
    assert!(collector.written().is_empty());
    let nobody = Collector::with(NOON, Sources::default(), Limits::default());
    assert_eq!(send(&nobody, &debug, "{}").await.status, 401);
}

#[tokio::test]
async fn a_dead_letter_says_whose_event_it_was() {
    let collector = Collector::new();
    let body = json!({ "client_id": "c", "user_id": "u", "events": [{ "name": "a" }, { "name": null, "params": { "x": 1 } }] });
    send(&collector, COLLECT, &body.to_string()).await;
    let original: Value = serde_json::from_slice(&collector.letters()[0].original).unwrap();
    assert_eq!(
        original,
        json!({ "client_id": "c", "user_id": "u", "events": [{ "name": null, "params": { "x": 1 } }] })
    );
}
