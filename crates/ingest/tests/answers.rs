//! Every route answers in the words its clients understand, with CORS by mirroring, and only once the log has it.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use base64::Engine;
use serde_json::{Value, json};
use support::{Collector, Mood, NOON, basic, captured, sources};
use tasuki_ingest::{Limits, Source, Sources, WriteKeyHash};
use tasuki_wire::v1::DeadLetterKind;

const EVENT: &str =
    r#"{"type":"track","event":"X","name":"P","userId":"u-1","groupId":"g","previousId":"p","messageId":"m"}"#;

const SEGMENT: &str = r#"{"success":true}"#;
const JITSU: &str = r#"{"ok":true}"#;

#[tokio::test]
async fn every_route_of_the_segment_family_takes_events_with_and_without_slash() {
    let single = ["track", "t", "page", "p", "screen", "s", "identify", "i", "group", "g", "alias", "a", "merge"];
    let batch = format!("{{\"batch\":[{EVENT}]}}");
    let segment = single.iter().map(|name| (format!("/v1/{name}"), EVENT, SEGMENT));
    let batches = ["/v1/batch", "/v1/b", "/v1/import", "/batch", "/b", "/beacon/v1/batch"];
    let batches = batches.iter().map(|path| ((*path).to_owned(), batch.as_str(), SEGMENT));
    let jitsu = ["track", "page", "identify", "group", "s2s/track"];
    let jitsu = jitsu.iter().map(|name| (format!("/api/s/{name}"), EVENT, JITSU));
    let jitsu_batch = ("/api/s/s2s/batch".to_owned(), batch.as_str(), JITSU);
    for (path, body, expected) in segment.chain(batches).chain(jitsu).chain([jitsu_batch]) {
        for path in [path.clone(), format!("{path}/"), format!("/{path}")] {
            let collector = Collector::new();
            let body = body.to_owned();
            let answer = collector.post(&path, body).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, expected), "{path}");
            assert_eq!(answer.header("content-type"), "application/json");
            assert_eq!((collector.behaviors().len(), collector.letters().len()), (1, 0), "{path}");
        }
    }
}

#[tokio::test]
async fn snowplow_is_answered_with_text_or_a_pixel() {
    let collector = Collector::new();
    let body = r#"{"schema":"x","data":[{"e":"pv","duid":"d-1"}]}"#;
    for path in ["/com.snowplowanalytics.snowplow/tp2", "/my.vendor/tp2/"] {
        let answer = collector.post(path, body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"), "{path}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    for path in ["/i?e=pv&duid=d-1", "/ice.png?e=pv&duid=d-1", "/my.vendor/tp2?e=pv&duid=d-1"] {
        let answer = collector.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"), "{path}");
        assert!(answer.body.starts_with(b"GIF89a") && answer.body.len() == 43, "{}", answer.body.len());
        assert_eq!(answer.header("cache-control"), "no-cache, no-store, must-revalidate");
    }
    assert_eq!((collector.behaviors().len(), collector.letters().len()), (5, 0));
}

#[tokio::test]
async fn an_empty_snowplow_request_is_200_and_kept() {
    let collector = Collector::new();
    assert_eq!(collector.get("/i").await.status, 200);
    assert_eq!(collector.post("/a.b/tp2", "").await.status, 200);
    let codes: Vec<_> = collector.faults().into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["no-type", "empty-body"]);
}

#[tokio::test]
async fn a_custom_snowplow_path_is_its_sources() {
    let sources = Sources::from_toml("[[source]]\nname = \"shop\"\nsnowplow_paths = [\"/a/b\"]").unwrap();
    let collector = Collector::with(NOON, sources, Limits::default());
    assert_eq!(collector.post("/a/b", r#"{"data":[{"e":"pv","duid":"d"}]}"#).await.text(), "ok");
    assert_eq!(collector.behaviors()[0].origin.as_ref().unwrap().source, "shop");
    assert_eq!(collector.post("/a/c", "{}").await.status, 404);
}

#[tokio::test]
async fn a_pixel_is_an_event_in_a_query() {
    let collector = Collector::new();
    let answer = collector.get("/pixel/v1/track?writeKey=WK&anonymousId=a-1&event=Email%20Opened&subject=News").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"));
    let written = collector.written();
    assert_eq!(
        (written[0]["key"].as_str(), written[0]["event"].as_str(), written[0]["origin"].as_str()),
        (Some("v:a-1"), Some("EmailOpened(EmailOpened { email_name: \"News\" })"), Some("website by rudderstack"))
    );
}

#[tokio::test]
async fn the_write_key_is_found_where_clients_put_it() {
    let bearer = "Bearer abc".to_owned();
    let utf8 = |name: &str, value: String| Some((name.to_owned(), value));
    for (header, query, body, status) in [
        (utf8("authorization", basic("WK:")), "", "", 200),
        (utf8("authorization", basic("WK")), "", "", 200),
        (utf8("authorization", basic("WK:secret")), "", "", 200),
        (utf8("x-write-key", "WK:secret".to_owned()), "", "", 200),
        (None, "?writeKey=WK", "", 200),
        (None, "?writekey=WK", "", 200),
        (None, "", r#","writeKey":"WK""#, 200),
        (utf8("authorization", bearer.clone()), "", r#","writeKey":"WK""#, 200),
        (utf8("authorization", bearer), "", "", 401),
        (None, "", r#","writeKey":"W***""#, 401),
        (utf8("authorization", basic("other:")), "", r#","writeKey":"WK""#, 401),
        (None, "", "", 401),
    ] {
        let collector = Collector::new();
        let mut request = Request::post(format!("/v1/track{query}"));
        if let Some((name, value)) = &header {
            request = request.header(name, value);
        }
        let event = format!(r#"{{"event":"X","userId":"u"{body}}}"#);
        let answer = collector.send(request.body(event.into()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{header:?} {query} {body}");
        assert_eq!(collector.behaviors().len(), usize::from(status == 200));
    }
}

#[tokio::test]
async fn a_batch_says_its_key_in_its_first_event_too() {
    let collector = Collector::new();
    let body = r#"{"batch":[{"type":"track","event":"X","userId":"u","writeKey":"WK"}]}"#;
    let answer = collector.send(Request::post("/v1/b").body(body.into()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), collector.behaviors().len()), (200, 1));
}

#[tokio::test]
async fn an_unknown_key_is_401_json_that_the_page_may_read() {
    let collector = Collector::new();
    let request = Request::post("/v1/t").header("origin", "https://example.com").body(EVENT.into()).unwrap();
    let answer = collector.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (401, "unknown-key".to_owned()));
    assert_eq!(answer.header("access-control-allow-origin"), "https://example.com");
    assert!(collector.written().is_empty());
}

#[tokio::test]
async fn what_cannot_be_attributed_and_will_not_be_sent_better_is_kept() {
    let none = || Collector::with(NOON, Sources::default(), Limits::default());
    let collector = none();
    assert_eq!(collector.post("/a.b/tp2", r#"{"data":[{"e":"pv","duid":"d"}]}"#).await.text(), "ok");
    assert_eq!(collector.post("/beacon/v1/batch?writeKey=other", EVENT).await.status, 200);
    assert_eq!(collector.get("/pixel/v1/page?writeKey=other&anonymousId=a").await.status, 200);
    let kinds: Vec<_> = collector.letters().iter().map(|letter| (letter.code.clone(), letter.kind())).collect();
    assert_eq!(kinds, vec![("unknown-source".to_owned(), DeadLetterKind::Auth); 3]);
    assert_eq!(collector.post("/v1/track", EVENT).await.status, 401);
}

#[tokio::test]
async fn preflights_get_what_they_ask_for() {
    let collector = Collector::new();
    let asked = "authorization, x-retry-count, sentat, rsa-retry-attempt, anonymousid, sp-anonymous, x-own";
    for path in ["/v1/t", "/v1/batch/", "/v1/projects/WK/settings", "/api/s/track", "/a.b/tp2", "/i", "/sourceConfig/"]
    {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri(path)
            .header("origin", "http://127.0.0.1:18200")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", asked)
            .body(Body::empty());
        let answer = collector.send(request.unwrap()).await;
        let headers = [
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-allow-headers",
            "access-control-allow-methods",
            "access-control-max-age",
            "access-control-expose-headers",
            "vary",
        ]
        .map(|name| answer.header(name));
        let expected =
            ["http://127.0.0.1:18200", "true", asked, "GET, POST, HEAD, OPTIONS", "7200", "Retry-After", "Origin"];
        assert_eq!((answer.status.as_u16(), headers), (200, expected), "{path}");
    }
}

#[tokio::test]
async fn every_answer_can_be_read_by_the_page_even_a_refusal() {
    for file in ["segment-analytics-next-browser-single", "snowplow-browser-post"] {
        let collector = Collector::at("2026-11-22T04:49:25Z");
        collector.mood(Mood::Unavailable);
        for request in captured(file) {
            let origin = request.headers()["origin"].to_str().unwrap().to_owned();
            let preflight = request.method() == Method::OPTIONS;
            let settings = request.method() == Method::GET;
            let answer = collector.send(request).await;
            assert_eq!(answer.header("access-control-allow-origin"), origin);
            assert_eq!(answer.header("access-control-allow-credentials"), "true");
            let expected = if preflight || settings { (200, "") } else { (503, "10") };
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), expected);
        }
    }
}

#[tokio::test]
async fn analytics_next_gets_settings_it_can_start_with() {
    let collector = Collector::new();
    for path in ["/v1/projects/WK/settings", "/projects/WK/settings/"] {
        let request = Request::get(path).header("host", "t.example.com:8080").header("origin", "https://example.com");
        let answer = collector.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
        let settings: Value = serde_json::from_slice(&answer.body).unwrap();
        let own = &settings["integrations"]["Segment.io"];
        assert_eq!(
            (&own["apiKey"], &own["apiHost"], &own["protocol"]),
            (&json!("WK"), &json!("t.example.com:8080/v1"), &json!("https"))
        );
    }
    assert_eq!(collector.get("/v1/projects/other/settings").await.status, 401);
    assert!(collector.written().is_empty());
}

#[tokio::test]
async fn rudderstack_in_a_browser_gets_its_source() {
    let collector = Collector::new();
    let answer = collector.get("/sourceConfig/?p=npm&v=3&writeKey=WK").await;
    let config: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&config["source"]["id"], &config["source"]["destinations"]), (&json!("WK"), &json!([])));
    assert_eq!(collector.get("/sourceConfig?writeKey=other").await.status, 401);
}

#[tokio::test]
async fn head_asks_and_writes_nothing_and_other_methods_are_refused() {
    let collector = Collector::new();
    let head = |path: &str| Request::head(path).body(Body::empty()).unwrap();
    assert_eq!(collector.send(head("/i?e=pv&duid=d")).await.status, 200);
    assert_eq!(collector.send(head("/v1/projects/WK/settings")).await.status, 200);
    let refused = [collector.get("/v1/track").await, collector.post("/i", "").await];
    assert_eq!(refused.each_ref().map(|answer| answer.status.as_u16()), [405; 2]);
    assert_eq!(refused.each_ref().map(|answer| answer.header("allow")), ["POST, OPTIONS", "GET, HEAD, OPTIONS"]);
    assert_eq!(collector.send(Request::put("/v1/track").body(EVENT.into()).unwrap()).await.status, 405);
    assert_eq!(collector.get("/nothing/here").await.status, 404);
    assert!(collector.written().is_empty());
}

#[tokio::test]
async fn the_clients_own_metrics_are_thrown_away() {
    let collector = Collector::new();
    let answer = collector.post("/v1/m", r#"{"series":[]}"#).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, r#"{"success":true}"#));
    assert!(collector.written().is_empty());
}

#[tokio::test]
async fn while_the_log_is_away_clients_are_told_to_come_back() {
    for (mood, after) in [(Mood::Unavailable, "10"), (Mood::Overloaded, "2")] {
        let collector = Collector::new();
        collector.mood(mood);
        for (path, body) in
            [("/v1/batch", EVENT), ("/api/s/track", EVENT), ("/a.b/tp2", "{}"), ("/v1/batch", "no json")]
        {
            let answer = collector.post(path, body).await;
            let found = (answer.status.as_u16(), answer.header("retry-after"));
            assert_eq!(found, (503, after), "{mood:?} {path} {body}: also what would be 400 must be kept first");
        }
        collector.mood(Mood::Takes);
        assert_eq!(collector.post("/v1/batch", EVENT).await.status, 200);
        assert_eq!(collector.behaviors().len(), 1);
    }
}

#[tokio::test]
async fn when_the_log_does_not_answer_the_deadline_does() {
    let limits = Limits { deadline: Duration::from_millis(30), ..Limits::default() };
    let collector = Collector::limited(limits);
    collector.mood(Mood::Hangs);
    let answer = collector.post("/v1/track", EVENT).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "deadline".to_owned()));
    assert_eq!(answer.header("retry-after"), "10");
}

#[tokio::test]
async fn a_whole_request_is_written_in_one_call() {
    let collector = Collector::new();
    let body = format!(r#"{{"batch":[{EVENT},{{"type":"dance"}},{{"type":"page","userId":"u-2"}}]}}"#);
    assert_eq!(collector.post("/v1/batch", body).await.status, 200);
    assert_eq!((*collector.log.calls.lock().unwrap(), collector.written().len()), (1, 3));
}

#[tokio::test]
async fn too_much_at_once_is_503_before_the_body_is_read() {
    let limits = Limits { requests: 1, deadline: Duration::from_secs(5), ..Limits::default() };
    let collector = Collector::limited(limits);
    collector.mood(Mood::Hangs);
    // Its body never comes, so it holds the only place.
    let stuck = Request::post("/v1/track").header("authorization", basic("WK:"));
    let never = Body::from_stream(never_ending());
    let first = collector.send(stuck.body(never).unwrap());
    let second = async {
        tokio::task::yield_now().await;
        collector.post("/v1/track", EVENT).await
    };
    tokio::select! {
        biased;
        _ = first => panic!("the body of the first never ends"),
        answer = second => {
            assert_eq!((answer.status.as_u16(), answer.code()), (503, "overloaded".to_owned()));
        }
    }
}

#[tokio::test]
async fn bodies_share_a_budget_of_bytes() {
    let limits = Limits { bytes_in_flight: 50, ..Limits::default() };
    let collector = Collector::limited(limits);
    let answer = collector.post("/v1/track", format!("{EVENT}{}", " ".repeat(100))).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "overloaded".to_owned()));
    assert_eq!(collector.post("/v1/track", r#"{"event":"X","userId":"u"}"#).await.status, 200);
    assert_eq!(collector.post("/v1/track", r#"{"event":"Y","userId":"u"}"#).await.status, 200, "it is given back");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let limits = Limits { body_timeout: Duration::from_millis(30), ..Limits::default() };
    let collector = Collector::limited(limits);
    let answer = collector.post("/v1/track", Body::from_stream(never_ending())).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (408, "body-timeout".to_owned()));
}

#[tokio::test]
async fn privacy_signals_are_flagged_and_anonymous_snowplow_keeps_no_address() {
    let mut source = Source::new("server", WriteKeyHash::of("WK"));
    source.server = true;
    let collector = Collector::with(NOON, Sources::new(vec![source]).unwrap(), Limits::default());
    let request = Request::post("/v1/track").header("authorization", basic("WK:")).header("sec-gpc", "1");
    let event = r#"{"event":"X","userId":"u","context":{"ip":"203.0.113.9"}}"#;
    collector.send(request.body(event.into()).unwrap()).await;
    let sent = r#"{"data":[{"e":"pv","duid":"d","ip":"203.0.113.9"}]}"#;
    collector.send(Request::post("/a.b/tp2").header("sp-anonymous", "*").body(sent.into()).unwrap()).await;
    let found: Vec<_> =
        collector.behaviors().into_iter().map(|record| (record.circumstances.unwrap().ip, record.flags)).collect();
    assert_eq!(found, [("203.0.113.0".to_owned(), vec!["gpc".to_owned()]), (String::new(), vec![])]);
}

#[tokio::test]
async fn probes_and_robots_are_answered() {
    let collector = Collector::with(NOON, sources(), Limits::default());
    assert_eq!(collector.get("/health/live").await.text(), "live\n");
    assert_eq!(collector.get("/health/ready").await.status, 200);
    assert_eq!(collector.get("/robots.txt").await.text(), "User-agent: *\nDisallow: /\n");
}

#[tokio::test]
async fn what_a_form_says_about_the_person_is_on_the_record() {
    let form = json!({ "form": "demo-request", "email": "ana@acme.example", "name": "Ana Ruiz", "company": "Acme" });
    let collector = Collector::new();
    let track = json!({ "type": "track", "event": "Form Submitted", "anonymousId": "a", "properties": form });
    collector.post("/v1/track", track.to_string()).await;
    let data = json!({ "schema": "iglu:com.acme/form_submitted/jsonschema/1-0-0", "data": form });
    let event = json!({ "schema": "iglu:x/unstruct_event/jsonschema/1-0-0", "data": data }).to_string();
    let payload = json!({ "data": [{ "e": "ue", "duid": "a", "ue_pr": event }] });
    collector.post("/com.snowplowanalytics.snowplow/tp2", payload.to_string()).await;
    let said = json!({
        "identifiers": { "anonymous_id": "a", "email": "ana@acme.example" },
        "attributes": { "company": "Acme", "name": "Ana Ruiz" },
        "event": "FormSubmitted(FormSubmitted { form: \"demo-request\" })",
    });
    let seen: Vec<_> = collector
        .written()
        .iter()
        .map(|it| json!({ "identifiers": it["identifiers"], "attributes": it["attributes"], "event": it["event"] }))
        .collect();
    assert_eq!(seen, [said.clone(), said]);
}

#[tokio::test]
async fn base64_of_every_flavour_is_read() {
    let event = json!({ "schema": "iglu:x/unstruct_event/jsonschema/1-0-0", "data": {
        "schema": "iglu:com.acme/form_submitted/jsonschema/1-0-0", "data": { "form": "demo?>~ÿ" },
    }})
    .to_string();
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    for encoded in [
        &STANDARD.encode(&event),
        &STANDARD_NO_PAD.encode(&event),
        &URL_SAFE.encode(&event),
        &URL_SAFE_NO_PAD.encode(&event),
    ] {
        let collector = Collector::new();
        collector.get(&format!("/i?e=ue&duid=d&ue_px={encoded}")).await;
        assert_eq!(
            collector.written()[0]["event"],
            json!("FormSubmitted(FormSubmitted { form: \"demo?>~ÿ\" })"),
            "{encoded}"
        );
    }
}

/// A body that never comes to an end.
fn never_ending() -> futures_util::stream::Pending<Result<bytes::Bytes, std::io::Error>> {
    futures_util::stream::pending()
}
