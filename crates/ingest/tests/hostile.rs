//! What broken and hostile clients send: the bad event is kept as a dead letter, the rest goes on.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::io::Write;

use axum::body::Body;
use axum::http::Request;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use support::{Collector, Mood, NOON, basic};
use tasuki_domain::EventId;
use tasuki_ingest::Limits;
use tasuki_wire::v1::DeadLetterKind;
use tasuki_wire::v1::behavior_record::Event;

/// Sends a batch and says: status, names or kinds of the events written, faults.
async fn batch(body: &str) -> (u16, Vec<String>, Vec<(String, String)>) {
    let collector = Collector::new();
    let answer = collector.post("/v1/batch", body.to_owned()).await;
    let names = collector
        .behaviors()
        .into_iter()
        .map(|record| {
            let event = record.event.unwrap();
            if let Event::CustomBehavior(event) = event { event.name } else { event.kind().to_owned() }
        })
        .collect();
    (answer.status.as_u16(), names, collector.faults())
}

fn faults(faults: &[(&str, &str)]) -> Vec<(String, String)> {
    faults.iter().map(|(code, pointer)| ((*code).to_owned(), (*pointer).to_owned())).collect()
}

#[tokio::test]
async fn a_bad_event_is_kept_and_the_rest_of_its_batch_goes_on() {
    let good = r#"{"type":"track","event":"Good","userId":"u-1"}"#;
    for (bad, code, pointer) in [
        (r#"{"event":"X","userId":"u-1"}"#, "no-type", "/batch/1/type"),
        (r#"{"type":"dance","userId":"u-1"}"#, "unknown-type", "/batch/1/type"),
        (r#"{"type":"track","userId":"u-1"}"#, "no-event", "/batch/1/event"),
        (r#"{"type":"track","event":"","userId":"u-1"}"#, "no-event", "/batch/1/event"),
        (r#"{"type":"track","event":"X"}"#, "no-identifier", "/batch/1"),
        (r#"{"type":"track","event":"X","userId":null,"anonymousId":""}"#, "no-identifier", "/batch/1"),
        (r#"{"type":"track","event":"X","userId":"undefined"}"#, "no-identifier", "/batch/1"),
        (r#"{"type":"track","event":"X","userId":{"id":1}}"#, "no-identifier", "/batch/1"),
        ("null", "not-an-object", "/batch/1"),
        ("17", "not-an-object", "/batch/1"),
        ("[]", "not-an-object", "/batch/1"),
    ] {
        let body = format!(r#"{{"batch":[{good},{bad},{good}]}}"#);
        let expected = (200, vec!["Good".to_owned()], faults(&[(code, pointer)]));
        assert_eq!(batch(&body).await, expected, "{bad}: the copy of the good one is dropped");
    }
}

#[tokio::test]
async fn a_dead_letter_says_what_where_and_why_and_holds_the_event_as_it_came() {
    let collector = Collector::new();
    let bad = r#"{"type": "dance",  "userId": "u-1"}"#;
    let body = format!(r#"{{"batch":[{bad}],"writeKey":"WK"}}"#);
    let request = Request::post("/v1/batch?writeKey=WK&x=1").header("content-type", "text/plain").body(body.into());
    assert_eq!(collector.send(request.unwrap()).await.status, 200);
    insta::assert_json_snapshot!(collector.written());
}

#[tokio::test]
async fn what_is_no_json_is_answered_400_with_the_reason_and_kept() {
    for (body, code) in [
        ("hello", "not-json"),
        (r#"{"batch":[{"type":"track""#, "not-json"),
        (r#"{"batch":[}"#, "not-json"),
        ("", "empty-body"),
        (" \n", "empty-body"),
        ("17", "not-an-object"),
        (r#"{"batch":"x"}"#, "batch-not-an-array"),
        ("\u{feff}", "not-json"),
    ] {
        let collector = Collector::new();
        let answer = collector.post("/v1/batch", body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, code), "{body:?}");
        let letters = collector.letters();
        assert_eq!(letters.len(), 1, "{body:?}");
        let kept = (letters[0].code.as_str(), letters[0].original.as_ref(), letters[0].kind());
        assert_eq!(kept, (code, body.as_bytes(), DeadLetterKind::Format));
        assert!(collector.behaviors().is_empty());
    }
}

#[tokio::test]
async fn python_and_segment_sdks_break_json_and_are_mended() {
    let collector = Collector::new();
    let deep = format!("{}1{}", "[".repeat(150), "]".repeat(150));
    let body = format!(
        r#"{{"batch":[
            {{"type":"track","event":"nan","userId":"u","properties":{{"x":NaN,"y":-Infinity,"z":"NaN"}}}},
            {{"type":"track","event":"surrogate \ud83d","userId":"u","properties":{{"x":"\ude00"}}}},
            {{"type":"track","event":"nul","userId":"u\u0000v","properties":{{"x":"a\u0000b"}}}},
            {{"type":"track","event":"deep","userId":"u","properties":{{"x":{deep}}}}}
        ]}}"#
    );
    assert_eq!(collector.post("/v1/batch", body).await.status, 200);
    let found: Vec<_> = collector
        .behaviors()
        .into_iter()
        .map(|record| {
            let properties: Value = serde_json::from_str(&record.properties_json).unwrap();
            (record.identifiers.unwrap().user_id, properties, record.flags)
        })
        .collect();
    let nested = (0..98).fold(Value::Null, |inner, _| json!([inner]));
    let expected = [
        ("u", json!({"x": null, "y": null, "z": "NaN"}), vec!["repaired-nan"]),
        ("u", json!({"x": "\u{fffd}"}), vec!["repaired-nan", "repaired-lone-surrogate"]),
        ("uv", json!({"x": "ab"}), vec!["repaired-nan", "repaired-nul"]),
        ("u", json!({"x": nested}), vec!["repaired-nan", "repaired-depth"]),
    ];
    for (found, (user, properties, flags)) in found.into_iter().zip(expected) {
        assert_eq!(
            (found.0.as_str(), found.1, found.2),
            (user, properties, flags.iter().map(|f| (*f).to_owned()).collect())
        );
    }
}

#[tokio::test]
async fn ids_are_text_whatever_they_were_and_placeholders_are_none() {
    for (ids, key, flags) in [
        (r#""userId":4711"#, "u:4711", vec![]),
        (r#""userId":12345678901234567890123"#, "u:12345678901234567890123", vec![]),
        (r#""userId":" u-1 ","anonymousId":null"#, "u:u-1", vec![]),
        (r#""userId":"null","anonymousId":"a-1""#, "v:a-1", vec!["illegal-user-id"]),
        (r#""userId":"u-1","anonymousId":0"#, "u:u-1", vec!["illegal-anonymous-id"]),
        (r#""userId":"Ana@ACME.example""#, "u:Ana@ACME.example", vec!["email-from-user-id"]),
        (r#""properties":{"Email":"Ana@ACME.example"}"#, "e:ana@acme.example", vec![]),
        (r#""userId":"u-1","properties":{"email":"nobody"}"#, "u:u-1", vec!["invalid-email"]),
    ] {
        let collector = Collector::new();
        let body = format!(r#"{{"event":"X",{ids}}}"#);
        assert_eq!(collector.post("/v1/track", body).await.status, 200, "{ids}");
        let written = collector.written();
        let found = (written[0]["key"].clone(), written[0].get("flags").cloned().unwrap_or(json!([])));
        assert_eq!(found, (json!(key), json!(flags)), "{ids}");
    }
}

#[tokio::test]
async fn times_are_believed_corrected_or_replaced_and_say_so() {
    for (time, occurred, flags) in [
        (r#""timestamp":"2026-11-22T11:59:00Z""#, "2026-11-22T11:59:00.000Z", vec![]),
        (r#""timestamp":"yesterday""#, "2026-11-22T12:00:00.000Z", vec!["bad-timestamp"]),
        (r#""timestamp":null"#, "2026-11-22T12:00:00.000Z", vec![]),
        (r#""timestamp":1795348740000"#, "2026-11-22T11:59:00.000Z", vec![]),
        (
            r#""timestamp":"2026-11-23T11:59:00Z","sentAt":"2026-11-23T11:59:30Z""#,
            "2026-11-22T11:59:30.000Z",
            vec!["time-corrected"],
        ),
        (r#""timestamp":"2027-01-01T00:00:00Z""#, "2026-11-22T12:00:00.000Z", vec!["time-clamped"]),
    ] {
        let collector = Collector::at(NOON);
        let body = format!(r#"{{"event":"X","userId":"u",{time}}}"#);
        assert_eq!(collector.post("/v1/track", body).await.status, 200, "{time}");
        let written = collector.written();
        let found = (written[0]["occurred_at"].clone(), written[0].get("flags").cloned().unwrap_or(json!([])));
        assert_eq!(found, (json!(occurred), json!(flags)), "{time}");
    }
}

#[tokio::test]
async fn an_event_without_id_gets_one_from_its_content() {
    let ids = |collector: &Collector| -> Vec<EventId> {
        let records = collector.behaviors();
        records.iter().map(|record| EventId::from_slice(&record.meta.as_ref().unwrap().event_id).unwrap()).collect()
    };
    let collector = Collector::new();
    let event = r#"{"event":"X","userId":"u","properties":{"a":1},"sentAt":"2026-11-22T11:59:00Z"}"#;
    let resent = r#"{"event":"X","userId":"u","properties":{"a":1},"sentAt":"2026-11-22T11:59:09Z"}"#;
    let other = r#"{"event":"X","userId":"u","properties":{"a":2},"sentAt":"2026-11-22T11:59:00Z"}"#;
    for body in [event, resent, other] {
        collector.post("/v1/track", body).await;
    }
    let found = ids(&collector);
    assert_eq!(found[0], found[1]);
    assert_ne!(found[0], found[2]);
}

#[tokio::test]
async fn snowplow_events_that_cannot_be_read_are_kept_and_the_others_taken() {
    let collector = Collector::new();
    let body = json!({ "schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": [
        { "e": "pv", "duid": "d-1", "eid": "1" },
        { "duid": "d-1" },
        { "e": "zz", "duid": "d-1" },
        { "e": "se", "duid": "d-1", "se_ca": "x" },
        { "e": "ue", "duid": "d-1" },
        { "e": "ue", "duid": "d-1", "ue_px": "!!" },
        { "e": "ue", "duid": "d-1", "ue_pr": "{\"data\":{\"schema\":\"x\"}}" },
        { "e": "pv" },
        { "e": "pv", "nuid": "n-1", "co": "no json" },
    ]});
    let answer = collector.post("/com.snowplowanalytics.snowplow/tp2", body.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"));
    let taken: Vec<_> =
        collector.behaviors().into_iter().map(|r| (r.identifiers.unwrap().anonymous_id, r.flags)).collect();
    assert_eq!(taken, [("d-1".to_owned(), vec![]), ("n-1".to_owned(), vec!["bad-contexts".to_owned()])]);
    assert_eq!(
        collector.faults(),
        faults(&[
            ("no-type", "/data/1/e"),
            ("unknown-type", "/data/2/e"),
            ("no-category-or-action", "/data/3"),
            ("bad-self-describing", "/data/4/ue_pr"),
            ("bad-self-describing", "/data/5/ue_pr"),
            ("bad-self-describing", "/data/6/ue_pr"),
            ("no-identifier", "/data/7"),
        ])
    );
}

#[tokio::test]
async fn a_dead_letter_sent_again_alone_is_read() {
    let collector = Collector::new();
    let answer = collector.post("/v1/batch", r#"{"type":"track","event":"X","userId":"u"}"#).await;
    assert_eq!(answer.status, 200);
    let answer = collector.post("/com.snowplowanalytics.snowplow/tp2", r#"{"e":"pv","duid":"d"}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!((collector.behaviors().len(), collector.letters().len()), (2, 0));
}

#[tokio::test]
async fn exact_copies_in_one_request_count_once_and_other_content_under_the_same_id_stays() {
    let event =
        |n: u8| format!(r#"{{"type":"track","event":"X","userId":"u","messageId":"m","properties":{{"n":{n}}}}}"#);
    let body = format!(r#"{{"batch":[{},{},{}]}}"#, event(1), event(1), event(2));
    let (status, names, faults) = batch(&body).await;
    assert_eq!((status, names.len(), faults.len()), (200, 2, 0));
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_bomb_is_refused_where_clients_drop_it_and_kept_where_they_would_retry_for_ever() {
    let limits = Limits { decoded_bytes: 1 << 20, event_bytes: 1000, ..Limits::default() };
    let bomb = gzip(&vec![b' '; 40 << 20]);
    let collector = Collector::limited(limits);
    let answer = collector.post("/v1/batch", bomb.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "too-large".to_owned()));
    assert!(collector.written().is_empty());
    let answer = collector.post("/com.snowplowanalytics.snowplow/tp2", bomb.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"));
    let letters = collector.letters();
    assert_eq!(
        (letters.len(), letters[0].kind(), letters[0].original.as_ref()),
        (1, DeadLetterKind::Size, &bomb[..1000])
    );
    assert!(letters[0].message.contains("cut to 1000 of"), "{}", letters[0].message);
}

#[tokio::test]
async fn more_events_than_a_body_may_have_are_answered_as_a_body_too_large() {
    let limits = Limits { events: 3, ..Limits::default() };
    let batch = |count: usize| format!(r#"{{"batch":[{}]}}"#, vec![r#"{"type":"page","userId":"u"}"#; count].join(","));
    let collector = Collector::limited(limits);
    let answer = collector.post("/v1/batch", batch(4)).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "too-many-events".to_owned()));
    assert_eq!(collector.post("/v1/batch", batch(3)).await.status, 200);
    let pages = format!(r#"{{"data":[{}]}}"#, [r#"{"e":"pv","duid":"d"}"#; 4].join(","));
    assert_eq!(collector.post("/a.b/tp2", pages.clone()).await.text(), "ok");
    let letters = collector.letters();
    assert_eq!((letters.len(), letters[0].code.as_str()), (1, "too-many-events"));
    assert_eq!(letters[0].original.as_ref(), pages.as_bytes());
}

#[tokio::test]
async fn brotli_and_zstd_are_taken_and_their_bombs_refused() {
    let collector = Collector::limited(Limits { decoded_bytes: 1 << 20, ..Limits::default() });
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let event = br#"{"event":"X","userId":"u"}"#;
    for (encoding, body, status) in [
        ("zstd", ruzstd::encoding::compress_to_vec(&event[..], level), 200),
        ("zstd", ruzstd::encoding::compress_to_vec(vec![b' '; 40 << 20].as_slice(), level), 413),
        ("br", b"\x8b\x0c\x80{\"event\":\"X\",\"userId\":\"u\"}\x03".to_vec(), 200),
        ("br", b"\x8b\x0c\x80{\"event\":\"X\",\"userId\":\"u\"}".to_vec(), 400),
    ] {
        let request = Request::post("/v1/track").header("authorization", basic("WK:"));
        let answer = collector.send(request.header("content-encoding", encoding).body(body.into()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{encoding}");
    }
    assert_eq!(collector.behaviors().len(), 2);
}

#[tokio::test]
async fn a_body_too_large_on_the_wire_is_read_to_its_end_and_answered() {
    let limits = Limits { body_bytes: 1000, ..Limits::default() };
    let collector = Collector::limited(limits);
    let large = vec![b' '; 5000];
    assert_eq!(collector.post("/v1/track", large.clone()).await.status, 413);
    assert_eq!(collector.post("/beacon/v1/batch", large.clone()).await.status, 413);
    let answer = collector.post("/custom.vendor/tp2", large).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"));
    assert_eq!(collector.letters()[0].original.len(), 1000);
}

#[tokio::test]
async fn an_event_too_large_for_the_log_is_kept_cut_and_one_over_32_kb_is_taken_and_flagged() {
    let limits = Limits { event_bytes: 100_000, ..Limits::default() };
    let collector = Collector::limited(limits);
    let event = |size| json!({ "type": "track", "event": "X", "userId": "u", "properties": { "x": "y".repeat(size) } });
    let body = json!({ "batch": [event(40_000), event(200_000)] }).to_string();
    assert_eq!(collector.post("/v1/batch", body).await.status, 200);
    assert_eq!(collector.behaviors()[0].flags, ["large"]);
    assert_eq!(collector.faults(), faults(&[("event-too-large", "/batch/1")]));
    assert_eq!(collector.letters()[0].original.len(), 100_000);
}

#[tokio::test]
async fn what_the_log_refuses_for_good_is_kept_as_a_dead_letter_and_the_rest_goes_on() {
    let collector = Collector::new();
    collector.mood(Mood::RefusesPoison);
    let event = |name: &str| json!({ "type": "track", "event": name, "userId": "u" });
    let body = json!({ "batch": [event("a"), event("poison"), event("b")] }).to_string();
    assert_eq!(collector.post("/v1/batch", body).await.status, 200);
    assert_eq!(collector.behaviors().len(), 2);
    assert_eq!(collector.faults(), faults(&[("log-refused", "")]));
}

#[tokio::test]
async fn a_body_that_is_not_what_its_encoding_says_is_400_and_kept() {
    let collector = Collector::new();
    let request = Request::post("/v1/batch").header("authorization", basic("WK:")).header("content-encoding", "br");
    let answer = collector.send(request.body(Body::from(&b"\x0b\x02\x80"[..])).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad-encoding".to_owned()));
    assert_eq!(collector.letters()[0].original.as_ref(), b"\x0b\x02\x80");
}

proptest::proptest! {
    /// Whatever comes, it is answered, never with 5xx or 3xx, and what got 200 or 400 left something on the log.
    #[test]
    fn any_bytes_are_answered(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        json in ".{0,40}", path in proptest::sample::select(vec!["/v1/batch", "/v1/track", "/api/s/page", "/v/tp2"])) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let text = format!(r#"{{"batch":[{{"type":"track","event":{json}}}],"data":[{json}]}}"#);
            for body in [body, text.into_bytes()] {
                let collector = Collector::new();
                let answer = collector.post(path, body).await;
                proptest::prop_assert!([200, 400].contains(&answer.status.as_u16()), "{}", answer.status);
                proptest::prop_assert!(!collector.written().is_empty());
            }
            Ok(())
        })?;
    }
}
