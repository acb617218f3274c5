//! CloudEvents in their three modes, and broken ones.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request};
use serde_json::{Value, json};
use support::{Answer, Collector, NOON, basic};
use tasuki_ingest::{Limits, Sources};

const DATA: &str = r#"{"form":"demo-request","email":"ana@acme.example"}"#;

async fn binary(collector: &Collector, headers: &[(&str, &[u8])], body: &str) -> Answer {
    let mut request = Request::post("/events").header("authorization", basic("WK:"));
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    collector.send(request.body(body.to_owned().into()).unwrap()).await
}

const HEAD: [(&str, &[u8]); 4] =
    [("ce-specversion", b"1.0"), ("ce-id", b"1"), ("ce-source", b"/site"), ("ce-type", b"com.acme.form.submitted")];

fn event() -> Value {
    json!({ "specversion": "1.0", "id": "1", "source": "/site", "type": "com.acme.form.submitted",
        "data": { "form": "demo-request", "email": "ana@acme.example" } })
}

async fn structured(collector: &Collector, content_type: &str, body: &str) -> Answer {
    let request = Request::post("/events").header("authorization", basic("WK:")).header("content-type", content_type);
    collector.send(request.body(body.to_owned().into()).unwrap()).await
}

fn ids(collector: &Collector) -> Vec<(Value, Value)> {
    let written = collector.written();
    written.into_iter().map(|record| (record["id"].clone(), record["payload_hash"].clone())).collect()
}

#[tokio::test]
async fn an_event_is_the_same_in_every_mode_whatever_its_content_type() {
    let collector = Collector::new();
    let answer = binary(&collector, &HEAD, DATA).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "brokers take a body for an event in reply");
    binary(&collector, &[&HEAD[..], &[("content-type", b"application/json; charset=utf-8")]].concat(), DATA).await;
    for content_type in ["application/cloudevents+json", "application/json", "text/plain"] {
        assert_eq!(structured(&collector, content_type, &event().to_string()).await.status, 200);
    }
    let batch = json!([event()]).to_string();
    for content_type in ["application/cloudevents-batch+json", "application/json"] {
        assert_eq!(structured(&collector, content_type, &batch).await.status, 200);
    }
    let mut encoded = event();
    encoded.as_object_mut().unwrap().remove("data");
    encoded["data_base64"] = json!("eyJmb3JtIjoiZGVtby1yZXF1ZXN0IiwiZW1haWwiOiJhbmFAYWNtZS5leGFtcGxlIn0=");
    structured(&collector, "application/cloudevents+json", &encoded.to_string()).await;
    let ids = ids(&collector);
    assert_eq!(ids, vec![ids[0].clone(); 8]);
}

#[tokio::test]
async fn attributes_in_headers_are_read_as_escapes_as_utf8_or_as_latin1() {
    for value in [&b"caf%C3%A9 100%"[..], "café 100%".as_bytes(), b"caf\xe9 100%"] {
        let collector = Collector::new();
        binary(&collector, &[&HEAD[..], &[("ce-subject", value)]].concat(), DATA).await;
        let properties = collector.written()[0]["properties"].as_str().unwrap().to_owned();
        assert!(properties.contains(r#""subject":"café 100%""#), "{value:?}: {properties}");
    }
}

#[tokio::test]
async fn an_address_as_subject_says_who_it_was() {
    let collector = Collector::new();
    let head = [&HEAD[..3], &[("ce-type", b"x.y"), ("ce-subject", b"ana@acme.example")]].concat();
    binary(&collector, &head, "").await;
    assert_eq!(collector.written()[0]["key"], "e:ana@acme.example");
}

#[tokio::test]
async fn data_that_is_no_json_is_kept_as_text() {
    let collector = Collector::new();
    let more: [(&str, &[u8]); 2] = [("content-type", b"text/plain"), ("ce-subject", b"a@acme.example")];
    binary(&collector, &[&HEAD[..], &more].concat(), "plain words").await;
    let properties: Value = serde_json::from_str(collector.written()[0]["properties"].as_str().unwrap()).unwrap();
    assert_eq!(properties["data"], "plain words");
}

#[tokio::test]
async fn bad_events_are_kept_and_the_rest_of_the_batch_is_taken() {
    let without = |name: &str| {
        let mut event = event();
        event.as_object_mut().unwrap().remove(name);
        event
    };
    let with = |name: &str, value: Value| {
        let mut event = event();
        event[name] = value;
        event
    };
    let batch = json!([
        event(),
        without("id"),
        without("source"),
        with("type", json!(null)),
        with("type", json!({})),
        with("specversion", json!("2.0")),
        with("data", json!(null)),
        with("data_base64", json!("!")),
        17,
        null,
        [],
        with("id", json!(12_345_678_901_234_567_890_u64)),
    ]);
    let hostile = r#""data_base64":"!","x":"\ud800\u0000","#;
    let bad_base64 = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"!"}"#;
    let text =
        batch.to_string().replace(r#""data_base64":"!","#, hostile).replacen("17,", &format!("{bad_base64},"), 1);
    let collector = Collector::new();
    assert_eq!(structured(&collector, "application/cloudevents-batch+json", &text).await.status, 200);
    let faults: Vec<_> = collector.faults().into_iter().map(|(code, at)| format!("{code} {at}")).collect();
    assert_eq!(
        faults,
        [
            "no-attribute /1/id",
            "no-attribute /2/source",
            "no-attribute /3/type",
            "no-attribute /4/type",
            "unknown-specversion /5/specversion",
            "no-identifier /6",
            "bad-base64 /8/data_base64",
            "not-an-object /9",
            "not-an-object /10",
        ]
    );
    assert_eq!(collector.behaviors().len(), 3);
}

#[tokio::test]
async fn what_is_no_cloudevent_is_400_and_kept() {
    for (body, code) in
        [("", "empty-body"), ("no json", "not-json"), ("{}", "not-a-cloudevent"), ("17", "not-a-cloudevent")]
    {
        let collector = Collector::new();
        let answer = structured(&collector, "application/json", body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, code), "{body}");
        assert_eq!(collector.faults(), [(code.to_owned(), String::new())]);
    }
    let collector = Collector::new();
    assert_eq!(binary(&collector, &HEAD[..3], DATA).await.status, 200);
    assert_eq!(binary(&collector, &HEAD, "{broken").await.status, 200);
    let faults: Vec<_> = collector.faults().into_iter().map(|(code, at)| format!("{code} {at}")).collect();
    assert_eq!(faults, ["no-attribute /type", "not-json "]);
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_none_is_the_default_source() {
    let collector = Collector::new();
    let send = |key: Option<&str>| {
        let mut request = Request::post("/events");
        if let Some(key) = key {
            request = request.header("authorization", basic(key));
        }
        collector.send(request.body(Body::from(event().to_string())).unwrap())
    };
    assert_eq!(send(Some("other:")).await.code(), "unknown-key");
    assert_eq!(send(None).await.status, 200);
    assert_eq!(send(Some("key:")).await.status, 200);
    let origins: Vec<_> = collector.behaviors().into_iter().map(|record| record.origin.unwrap().source).collect();
    assert_eq!(origins, ["website", "jitsu"]);
    let nobody = Collector::with(NOON, Sources::default(), Limits::default());
    assert_eq!(structured(&nobody, "application/json", &event().to_string()).await.status, 401);
}

#[tokio::test]
async fn a_sender_that_asks_first_whether_it_may_send_hears_that_it_may() {
    let collector = Collector::new();
    let request = Request::builder().method(Method::OPTIONS).uri("/events");
    let request = request.header("webhook-request-origin", "eventemitter.example.com").body(Body::empty());
    let answer = collector.send(request.unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("webhook-allowed-origin")), (200, "eventemitter.example.com"));
}

#[tokio::test]
async fn a_dead_letter_of_an_event_in_headers_holds_all_of_it() {
    let collector = Collector::new();
    binary(&collector, &HEAD, r#"{"form":"x"}"#).await;
    let original = collector.letters()[0].original.clone();
    let expected = json!({ "specversion": "1.0", "id": "1", "source": "/site", "type": "com.acme.form.submitted", "data": { "form": "x" } });
    assert_eq!(serde_json::from_slice::<Value>(&original).unwrap(), expected);
    structured(&collector, "", std::str::from_utf8(&original).unwrap()).await;
    assert_eq!(
        collector.faults(),
        vec![("no-identifier".to_owned(), String::new()); 2],
        "read again, it is what it was"
    );
}
