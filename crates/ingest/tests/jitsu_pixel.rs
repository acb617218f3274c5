//! Jitsu's pixel: an event in a query, and in cookies.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::Collector;

fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

async fn pixel(path: &str, headers: &[(&str, &str)]) -> Vec<Value> {
    let collector = Collector::new();
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = collector.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"), "{path}");
    collector.written()
}

#[tokio::test]
async fn a_pixel_says_its_event_in_base64_and_by_paths() {
    let data =
        STANDARD.encode(json!({ "anonymousId": "a-1", "properties": { "subject": "News?>", "n": 1 } }).to_string());
    let pairs = [("writeKey", "WK:secret"), ("data", &data), ("event", "Email Opened"), ("properties.n", "2")];
    let written = pixel(&format!("/api/px/track?{}", query(&pairs)), &[]).await;
    assert_eq!(
        (written[0]["key"].as_str(), written[0]["event"].as_str(), written[0]["properties"].as_str()),
        (
            Some("v:a-1"),
            Some("EmailOpened(EmailOpened { email_name: \"News?>\" })"),
            Some(r#"{"n":"2","subject":"News?>"}"#)
        )
    );
    let bare = format!("/api/px/t?writeKey=WK&event=X&data={data}&destination_url=https://other.example");
    assert_eq!(pixel(&bare, &[]).await[0]["key"], "v:a-1", "also where + was not escaped, and without redirecting");
}

#[tokio::test]
async fn told_to_it_asks_the_cookies_who_it_was() {
    let headers = [
        (
            "cookie",
            "x=y; __eventn_id=a-9; __eventn_uid=u-9; __eventn_id_usr=%7B%22email%22%3A%22ana%40acme.example%22%7D",
        ),
        ("referer", "https://acme.example/pricing"),
    ];
    let written = pixel("/api/px/page?writeKey=WK&process_headers=true", &headers).await;
    assert_eq!(
        (&written[0]["identifiers"], &written[0]["circumstances"]["path"]),
        (&json!({ "anonymous_id": "a-9", "user_id": "u-9", "email": "ana@acme.example" }), &json!("/pricing"))
    );
    let own = pixel("/api/px/page?writeKey=WK&process_headers=1&anonymousId=own", &headers).await;
    assert_eq!(own[0]["identifiers"]["anonymous_id"], "own");
    let untold = pixel("/api/px/page?writeKey=WK&anonymousId=own", &headers).await;
    assert_eq!(untold[0]["identifiers"], json!({ "anonymous_id": "own" }));
}

#[tokio::test]
async fn broken_pixels_are_answered_as_good_ones_and_kept() {
    let deep = "a.".repeat(5000);
    for (path, code) in [
        ("/api/px/track?writeKey=WK&data=!!", "bad-data"),
        ("/api/px/track?writeKey=WK&data=MTc=", "bad-data"),
        ("/api/px/track?writeKey=WK&anonymousId=a", "no-event"),
        ("/api/px/page?writeKey=WK", "no-identifier"),
        ("/api/px/page?writeKey=other&anonymousId=a", "unknown-source"),
        (&format!("/api/px/page?writeKey=WK&{deep}=1"), "no-identifier"),
    ] {
        let written = pixel(path, &[]).await;
        assert_eq!(written[0]["dead letter"], code, "{:.80}", path);
    }
    let collector = Collector::new();
    assert_eq!(collector.get("/api/px/dance?writeKey=WK").await.status, 404);
    assert_eq!(collector.post("/api/px/track", "{}").await.status, 405);
}
