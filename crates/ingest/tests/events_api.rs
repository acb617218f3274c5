//! Our own API: what is taken, what is said about what is not, and the document that describes it.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use axum::http::Request;
use serde_json::{Value, json};
use support::{Answer, Collector, basic};

async fn send(collector: &Collector, body: &str) -> Answer {
    collector.post("/v1/events", body.to_owned()).await
}

fn answered(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn every_type_of_event_is_taken_in_our_own_words() {
    let collector = Collector::new();
    let events = json!([
        { "type": "page_viewed", "visitor_id": "v-1", "data": { "name": "Pricing" }, "occurred_at": "2026-11-22T20:59:00+09:00",
          "context": { "url": "https://acme.example/pricing?utm_source=news", "locale": "ja-JP", "campaign": { "name": "spring" } } },
        { "type": "page_viewed", "visitor_id": "v-1", "data": null },
        { "id": "e-1", "type": "form_submitted", "data": { "form": "demo-request" }, "email": "Ana@acme.example",
          "attributes": { "title": "CTO", "employees": 250, "plan": "gold" }, "properties": { "message": "call me", "ip": "203.0.113.9" } },
        { "type": "email_opened", "email": "ana@acme.example", "data": { "email_name": "News" } },
        { "type": "email_clicked", "email": "ana@acme.example", "data": { "target_url": "https://acme.example" } },
        { "type": "content_downloaded", "user_id": "u-1", "data": { "content": "wp.pdf" } },
        { "type": "event_attended", "user_id": "u-1", "data": { "event_name": "CRM", "kind": "webinar" } },
        { "type": "survey_answered", "user_id": "u-1", "data": { "survey": "s" } },
        { "type": "assessment_completed", "user_id": "u-1", "data": { "assessment": "a", "result": "B" } },
        { "type": "referral_received", "user_id": "u-1", "data": { "referred_by": "Bo" } },
        { "type": "inquiry_received", "user_id": "u-1", "data": { "channel": "phone" }, "phone": "+81 3" },
        { "type": "lead_identified", "visitor_id": "v-1", "user_id": "u-1", "email": "ana@acme.example",
          "attributes": { "first_name": "Ana", "plan": "gold", "vip": true, "size": 1.5 } },
        { "type": "consent_changed", "user_id": "u-1", "data": { "purpose": "contact", "granted": true, "basis": "form" } },
        { "type": "custom", "user_id": "u-1", "data": { "name": "Page Peek" } },
    ]);
    let answer = send(&collector, &events.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answered(&answer);
    let written = collector.written();
    assert_eq!((&told["accepted"], &told["rejected"]), (&json!(14), &json!(0)));
    for (told, written) in told["events"].as_array().unwrap().iter().zip(&written) {
        assert_eq!(told, &json!({ "status": "accepted", "id": written["id"] }));
    }
    insta::assert_json_snapshot!(written);
}

#[tokio::test]
async fn what_is_wrong_is_said_by_pointer_and_the_rest_is_taken() {
    let one = |event: Value| json!([{ "type": "page_viewed", "visitor_id": "v" }, event]).to_string();
    for (event, code, pointer, words) in [
        (json!(17), "not-an-object", "/1", "no JSON object"),
        (json!(null), "not-an-object", "/1", "no JSON object"),
        (json!({ "visitor_id": "v" }), "invalid", "/1", "missing field `type`"),
        (
            json!({ "type": "dance", "visitor_id": "v" }),
            "invalid",
            "/1/type",
            "unknown variant `dance`, expected one of",
        ),
        (json!({ "type": 1, "visitor_id": "v" }), "invalid", "/1/type", "integer"),
        (
            json!({ "type": "page_viewed", "visitorId": "v" }),
            "invalid",
            "/1/visitorId",
            "unknown field `visitorId`, expected one of",
        ),
        (
            json!({ "type": "page_viewed", "visitor_id": 7 }),
            "invalid",
            "/1/visitor_id",
            "invalid type: integer `7`, expected a string",
        ),
        (json!({ "type": "page_viewed", "visitor_id": " " }), "invalid", "/1/visitor_id", "must not be empty"),
        (json!({ "type": "page_viewed", "email": "nobody" }), "invalid", "/1/email", "no e-mail address"),
        (json!({ "type": "page_viewed" }), "no-identifier", "/1", "names nobody"),
        (json!({ "type": "page_viewed", "visitor_id": "undefined" }), "no-identifier", "/1", "names nobody"),
        (
            json!({ "type": "page_viewed", "visitor_id": "v", "occurred_at": "yesterday" }),
            "invalid",
            "/1/occurred_at",
            "RFC 3339",
        ),
        (
            json!({ "type": "page_viewed", "visitor_id": "v", "occurred_at": 1_795_348_740 }),
            "invalid",
            "/1/occurred_at",
            "integer",
        ),
        (json!({ "type": "form_submitted", "visitor_id": "v" }), "invalid", "/1/data", "missing field `form`"),
        (
            json!({ "type": "form_submitted", "visitor_id": "v", "data": [] }),
            "invalid",
            "/1/data",
            "invalid type: sequence",
        ),
        (
            json!({ "type": "form_submitted", "visitor_id": "v", "data": { "form": "" } }),
            "invalid",
            "/1/data/form",
            "must not be empty",
        ),
        (
            json!({ "type": "form_submitted", "visitor_id": "v", "data": { "form": "x", "a/b": 1 } }),
            "invalid",
            "/1/data/a~1b",
            "unknown field",
        ),
        (
            json!({ "type": "consent_changed", "visitor_id": "v", "data": { "purpose": "all", "granted": true } }),
            "invalid",
            "/1/data/purpose",
            "unknown variant",
        ),
        (
            json!({ "type": "page_viewed", "visitor_id": "v", "attributes": { "title": ["x"] } }),
            "invalid",
            "/1/attributes/title",
            "did not match",
        ),
        (
            json!({ "type": "page_viewed", "visitor_id": "v", "context": { "campaign": { "nam": "x" } } }),
            "invalid",
            "/1/context/campaign/nam",
            "unknown field",
        ),
        (json!({ "type": "page_viewed", "visitor_id": "v", "properties": 7 }), "invalid", "/1/properties", "integer"),
    ] {
        let collector = Collector::new();
        let answer = send(&collector, &one(event.clone())).await;
        assert_eq!(answer.status, 200, "{event}");
        let told = &answered(&answer)["events"][1];
        assert_eq!(
            (told["status"].as_str(), told["code"].as_str(), told["pointer"].as_str()),
            (Some("rejected"), Some(code), Some(pointer)),
            "{event}: {told}"
        );
        assert!(told["message"].as_str().unwrap().contains(words), "{event}: {told}");
        assert_eq!(
            (collector.behaviors().len(), collector.faults()),
            (1, vec![(code.to_owned(), pointer.to_owned())]),
            "{event}"
        );
    }
}

#[tokio::test]
async fn where_no_event_is_taken_the_answer_is_422_and_the_event_is_kept() {
    let collector = Collector::new();
    let answer = send(&collector, r#"{"type":"form_submitted","email":"ana@acme.example"}"#).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answered(&answer),
        json!({ "accepted": 0, "rejected": 1, "events": [{ "status": "rejected", "code": "invalid", "pointer": "/data",
            "message": "missing field `form`" }] })
    );
    assert_eq!(collector.letters().len(), 1);
    let answer = send(&collector, "[]").await;
    assert_eq!(
        (answer.status.as_u16(), answered(&answer)),
        (200, json!({ "accepted": 0, "rejected": 0, "events": [] }))
    );
}

#[tokio::test]
async fn hostile_bodies_are_answered() {
    let deep = format!(
        r#"{{"type":"custom","visitor_id":"v","data":{{"name":"n"}},"properties":{{"d":{}1{}}}}}"#,
        "[".repeat(150),
        "]".repeat(150)
    );
    let repaired = r#"{"type":"custom","visitor_id":"v","data":{"name":"\ud800\u0000"},"properties":{"n":NaN,"big":12345678901234567890123}}"#;
    for (body, status) in [
        ("", 400),
        ("no json", 400),
        ("{", 400),
        ("17", 422),
        ("null", 422),
        (r#"[[]]"#, 422),
        (r#"{"type":"custom","visitor_id":"v","data":{"name":"n"},"properties":{"x":1e999}}"#, 422),
        (r#"{"type":"custom","type":"page_viewed","visitor_id":"v"}"#, 200),
        (&deep, 200),
        (repaired, 200),
    ] {
        let collector = Collector::new();
        let answer = send(&collector, body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
        assert_eq!(collector.written().len(), 1, "{body}");
    }
    let collector = Collector::new();
    send(&collector, repaired).await;
    assert_eq!(collector.written()[0]["flags"], json!(["repaired-nan", "repaired-lone-surrogate", "repaired-nul"]));
}

#[tokio::test]
async fn an_event_sent_again_is_the_same_by_its_id_or_its_content() {
    let collector = Collector::new();
    let event = |id: Option<&str>, sent: &str| {
        json!({ "id": id, "type": "page_viewed", "visitor_id": "v", "sent_at": sent }).to_string()
    };
    for (id, sent) in [
        (Some("e-1"), "2026-11-22T11:59:00Z"),
        (Some("e-1"), "2026-11-22T11:59:09Z"),
        (Some("e-2"), "2026-11-22T11:59:09Z"),
        (None, "2026-11-22T11:59:00Z"),
        (None, "2026-11-22T11:59:09Z"),
    ] {
        assert_eq!(send(&collector, &event(id, sent)).await.status, 200);
    }
    let ids: Vec<_> =
        collector.written().into_iter().map(|it| (it["id"].clone(), it["payload_hash"].clone())).collect();
    assert_eq!((&ids[0], &ids[3]), (&ids[1], &ids[4]));
    assert_ne!(ids[0].0, ids[2].0);
    let later = Collector::at("2026-11-22T12:02:00Z");
    send(&later, &event(None, "2026-11-22T12:01:59Z")).await;
    assert_ne!(later.written()[0]["id"], ids[3].0, "a visit to the same page on another day is another visit");
}

#[tokio::test]
async fn only_who_has_a_key_may_send_and_anybody_may_read_the_document() {
    let collector = Collector::new();
    let body = r#"{"type":"page_viewed","visitor_id":"v"}"#;
    for (header, value, status) in [
        ("authorization", basic("WK:"), 200),
        ("x-write-key", "WK".to_owned(), 200),
        ("x-write-key", "no".to_owned(), 401),
        ("x", String::new(), 401),
    ] {
        let request = Request::post("/v1/events").header(header, &value).body(body.into()).unwrap();
        assert_eq!(collector.send(request).await.status.as_u16(), status, "{header} {value}");
    }
    assert_eq!(collector.get("/v1/events").await.status, 405);
    let answer = collector.get("/v1/openapi.json").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
}

/// With UPDATE_CONTRACTS set, the file is written instead of compared.
#[tokio::test]
async fn the_published_document_is_the_one_that_is_served() {
    let served = answered(&Collector::new().get("/v1/openapi.json").await);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/contracts/ingest.openapi.json");
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&served).unwrap() + "\n").unwrap();
    }
    let published: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(published, served, "run with UPDATE_CONTRACTS=1 to write {path}");
}

#[tokio::test]
async fn the_examples_of_the_document_are_taken_as_they_stand() {
    let document = answered(&Collector::new().get("/v1/openapi.json").await);
    let body = &document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"];
    let examples = body["examples"].as_object().unwrap();
    assert_eq!(examples.len(), 2);
    for (name, example) in examples {
        let collector = Collector::new();
        let answer = send(&collector, &example["value"].to_string()).await;
        assert_eq!((answer.status.as_u16(), &answered(&answer)["rejected"]), (200, &json!(0)), "{name}");
    }
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    let document = answered(&Collector::new().get("/v1/openapi.json").await);
    let mut found = 0;
    let mut left = vec![&document];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    found += 1;
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                }
                left.extend(object.values());
            }
            Value::Array(items) => left.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(found > 10, "{found}");
}

#[tokio::test]
async fn a_record_in_a_crm_system_and_a_phone_number_name_somebody_too() {
    let collector = Collector::new();
    let events = json!([
        { "type": "lead_identified", "crm_id": "Salesforce:0035g00000ABCde", "phone": "０３-1234-5678", "email": "ana@acme.example" },
        { "type": "inquiry_received", "phone": "+81 90 1234 5678", "data": { "channel": "phone" } },
        { "type": "inquiry_received", "phone": "000-0000-0000", "user_id": "7", "data": { "channel": "phone" } },
        { "type": "inquiry_received", "phone": "000-0000-0000", "data": { "channel": "phone" } },
        { "type": "inquiry_received", "crm_id": "7", "data": { "channel": "phone" } },
    ]);
    let told = answered(&send(&collector, &events.to_string()).await);
    let refused: Vec<_> = told["events"].as_array().unwrap()[3..].iter().map(|it| &it["code"]).collect();
    assert_eq!((&told["accepted"], refused), (&json!(3), vec![&json!("no-identifier"), &json!("invalid")]));
    assert_eq!(told["events"][4]["pointer"], "/4/crm_id");
    let said: Vec<_> = collector
        .written()
        .iter()
        .take(3)
        .map(|it| json!([it["key"], it["identifiers"], it["attributes"], it["flags"]]))
        .collect();
    let crm = "salesforce:0035g00000ABCdeAAH";
    assert_eq!(
        said,
        [
            json!([
                format!("c:{crm}"),
                { "crm_id": crm, "email": "ana@acme.example", "phone": "+81312345678" },
                { "phone": "０３-1234-5678" },
                null
            ]),
            json!(["p:+819012345678", { "phone": "+819012345678" }, { "phone": "+81 90 1234 5678" }, null]),
            json!(["u:7", { "user_id": "7" }, { "phone": "000-0000-0000" }, ["placeholder-phone"]]),
        ]
    );
}
