//! What the import of files sends: events, and rows that cannot be used.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use base64::Engine;
use serde_json::{Value, json};
use support::{Collector, NOON, sources};
use tasuki_ingest::{Limits, Mapping, NotRedriven, redrive};
use tasuki_wire::v1::DeadLetterKind;
use tasuki_wire::v1::dead_letter::FoundAt;

fn event() -> Value {
    json!({
        "type": "event_attended", "id": "import:1", "occurred_at": "2026-11-03T01:15:00Z", "email": "hanako@acme.example",
        "data": {"event_name": "Expo 2026", "kind": "trade-show"},
    })
}

fn bad(row: &[u8]) -> Value {
    json!({
        "code": "row-email", "message": "is no e-mail address", "line": 7, "column": "Mail/1",
        "row": base64::engine::general_purpose::STANDARD.encode(row),
    })
}

#[tokio::test]
async fn events_go_on_and_bad_rows_are_kept_with_line_column_and_bytes() {
    let collector = Collector::new();
    let nobody = json!({"type": "lead_identified", "user_id": "null"});
    let body = json!([{"event": event()}, {"bad": bad(b"\x8eR,no-at-sign")}, {"event": nobody}, {"other": 1}]);
    let answer = collector.post("/v1/rows?file=a.csv&charset=Shift_JIS", body.to_string()).await;
    assert_eq!(answer.status, 200);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let items: Vec<_> = told["bad"].as_array().unwrap().iter().map(|bad| (&bad["item"], &bad["code"])).collect();
    assert_eq!(told["accepted"], 1);
    assert_eq!(
        items,
        [(&json!(1), &json!("row-email")), (&json!(2), &json!("no-identifier")), (&json!(3), &json!("invalid"))]
    );
    let behaviors = collector.behaviors();
    let [record] = behaviors.as_slice() else { panic!("{behaviors:?}") };
    let (origin, circumstances) = (record.origin.clone().unwrap(), record.circumstances.clone().unwrap());
    assert_eq!((origin.protocol.as_str(), origin.message_id.as_str()), ("import", "import:1"));
    assert_eq!(circumstances.ip, "", "the address of whoever imports is nobody's");
    let letters = collector.letters();
    let Some(FoundAt::Http(place)) = &letters[0].found_at else { panic!("{letters:?}") };
    assert_eq!(
        (letters[0].original.as_ref(), place.pointer.as_str(), place.target.as_str(), letters[0].kind),
        (
            &b"\x8eR,no-at-sign"[..],
            "/7/Mail~11",
            "/v1/rows?file=a.csv&charset=Shift_JIS",
            DeadLetterKind::Schema.into()
        )
    );
    assert_eq!(letters.len(), 3);
}

#[tokio::test]
async fn a_row_sent_again_has_the_same_ids_and_cannot_be_redriven_without_its_file() {
    let collector = Collector::new();
    let body = json!([{"event": event()}, {"bad": bad(b"a,b")}]).to_string();
    for _ in 0..2 {
        assert_eq!(collector.post("/v1/rows", body.clone()).await.status, 200);
    }
    let (behaviors, letters) = (collector.behaviors(), collector.letters());
    assert_eq!(behaviors[0].meta.as_ref().unwrap().event_id, behaviors[1].meta.as_ref().unwrap().event_id);
    assert_eq!(letters[0].id, letters[1].id);
    let again = redrive(&letters[0], &sources(), &Mapping::default(), &Limits::default());
    assert!(matches!(again, Err(NotRedriven::StillBad { code: "row", .. })), "{again:?}");
}

#[tokio::test]
async fn what_is_no_array_of_rows_and_whoever_has_no_key_is_refused() {
    let collector = Collector::at(NOON);
    assert_eq!(collector.post("/v1/rows", "[").await.status, 400);
    assert_eq!(collector.post("/v1/rows", "7").await.status, 400);
    let request = axum::http::Request::post("/v1/rows").body(axum::body::Body::from("[]")).unwrap();
    assert_eq!(collector.send(request).await.status, 401);
    assert_eq!(collector.post("/v1/rows", "[]").await.status, 200);
}
