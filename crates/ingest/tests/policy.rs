//! What sources may send: origins, rates, and what becomes of visitors who ask not to be tracked.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use axum::body::Body;
use axum::http::{Method, Request};
use support::{Answer, Collector, NOON, basic};
use tasuki_ingest::{Limits, PrivacyPolicy, Sources};
use tasuki_wire::v1::DeadLetterKind;

fn collector(more: &str, limits: Limits) -> Collector {
    let file = format!("default_source = \"site\"\n[[source]]\nname = \"site\"\nwrite_keys = [\"WK\"]\n{more}");
    Collector::with(NOON, Sources::from_toml(&file).unwrap(), limits)
}

fn track(origin: Option<&str>) -> Request<Body> {
    let mut request = Request::post("/v1/track").header("authorization", basic("WK:"));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    request.body(r#"{"event":"X","userId":"u"}"#.into()).unwrap()
}

fn preflight(origin: &str) -> Request<Body> {
    let request = Request::builder().method(Method::OPTIONS).uri("/v1/track").header("origin", origin);
    request.header("access-control-request-headers", "authorization").body(Body::empty()).unwrap()
}

fn may_read(answer: &Answer) -> bool {
    !answer.header("access-control-allow-origin").is_empty()
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_and_told_nothing_and_servers_are_not_asked() {
    let collector = collector("origins = [\"https://example.com\", \"https://*.example.com\"]", Limits::default());
    for (origin, status) in [
        (Some("https://example.com"), 200),
        (Some("https://www.example.com"), 200),
        (Some("https://evil.example"), 403),
        (Some("null"), 403),
        (None, 200),
    ] {
        let answer = collector.send(track(origin)).await;
        assert_eq!(answer.status.as_u16(), status, "{origin:?}");
        assert_eq!(may_read(&answer), origin.is_some() && status == 200, "{origin:?}");
        if status == 403 {
            assert_eq!(answer.code(), "origin-not-allowed");
        }
    }
    assert_eq!(collector.behaviors().len(), 3);
    assert!(may_read(&collector.send(preflight("https://www.example.com")).await));
    let refused = collector.send(preflight("https://evil.example")).await;
    assert!(!may_read(&refused) && refused.header("access-control-allow-headers").is_empty());
}

#[tokio::test]
async fn a_page_of_another_source_may_ask_and_is_refused_when_it_sends() {
    let other =
        "origins = [\"https://example.com\"]\n[[source]]\nname = \"shop\"\norigins = [\"https://shop.example\"]";
    let collector = collector(other, Limits::default());
    assert!(may_read(&collector.send(preflight("https://shop.example")).await), "its preflight names no source");
    let answer = collector.send(track(Some("https://shop.example"))).await;
    assert_eq!((answer.status.as_u16(), may_read(&answer)), (403, false));
}

#[tokio::test]
async fn over_its_rate_a_source_hears_429_or_is_kept_as_a_dead_letter_where_429_would_lose_or_repeat() {
    let collector = collector("events_per_second = 1\nburst = 2", Limits::default());
    let batch = r#"{"batch":[{"type":"page","userId":"u"},{"type":"page","userId":"v"},{"type":"page","userId":"w"}]}"#;
    assert_eq!(collector.post("/v1/batch", batch).await.status, 200, "a debt is lent");
    let answer = collector.post("/v1/batch", batch).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (429, "rate-limited".to_owned()));
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((2..=3).contains(&seconds), "{seconds}");
    assert_eq!(collector.behaviors().len(), 3);
    let event = r#"{"event":"X","userId":"u"}"#;
    assert_eq!(collector.post("/api/s/track", event).await.text(), r#"{"ok":true}"#);
    assert_eq!(collector.post("/a.b/tp2", r#"{"data":[{"e":"pv","duid":"d"}]}"#).await.text(), "ok");
    assert_eq!(collector.get("/i?e=pv&duid=d").await.status, 200);
    let letters: Vec<_> = collector.letters().iter().map(|letter| (letter.code.clone(), letter.kind())).collect();
    assert_eq!(letters, vec![("rate-limited".to_owned(), DeadLetterKind::Policy); 3]);
    assert_eq!(collector.letters()[0].original.as_ref(), event.as_bytes());
    assert_eq!(collector.behaviors().len(), 3);
}

#[tokio::test]
async fn a_visitor_who_asks_not_to_be_tracked_is_treated_as_the_source_says_else_the_settings() {
    let strict = Limits { privacy: PrivacyPolicy::Drop, ..Limits::default() };
    for (source, limits, expected) in [
        ("", Limits::default(), vec![("hanako".to_owned(), vec!["gpc".to_owned()])]),
        ("", strict, vec![]),
        ("privacy_signal = \"ignore\"", strict, vec![("hanako".to_owned(), vec!["gpc".to_owned()])]),
        (
            "privacy_signal = \"anonymise\"",
            Limits::default(),
            vec![(String::new(), vec!["gpc".to_owned(), "anonymised".to_owned()])],
        ),
    ] {
        let collector = collector(source, limits);
        let event = r#"{"event":"X","userId":"hanako"}"#;
        let request = Request::post("/v1/track").header("authorization", basic("WK:")).header("sec-gpc", "1");
        let answer = collector.send(request.body(event.into()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, r#"{"success":true}"#), "{source}");
        let found: Vec<_> = collector
            .behaviors()
            .into_iter()
            .map(|record| (record.identifiers.unwrap().user_id, record.flags))
            .collect();
        assert_eq!(found, expected, "{source}");
        assert_eq!(collector.send(track(None)).await.status, 200);
        assert_eq!(
            collector.behaviors().last().unwrap().identifiers.as_ref().unwrap().user_id,
            "u",
            "without the signal"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_kept_of_those_who_ask_not_to_be_tracked() {
    for (policy, letters) in [(PrivacyPolicy::Ignore, 1), (PrivacyPolicy::Anonymise, 1), (PrivacyPolicy::Drop, 0)] {
        let collector = collector("", Limits { privacy: policy, ..Limits::default() });
        let request = Request::post("/v1/track?writeKey=WK&u=hanako").header("dnt", "1");
        let answer = collector.send(request.body(r#"{"hanako":1}"#.into()).unwrap()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(collector.letters().len(), letters, "{policy:?}");
        let told = String::from_utf8_lossy(
            &collector
                .log
                .records
                .lock()
                .unwrap()
                .iter()
                .fold(Vec::new(), |all, record| [all, record.payload.clone()].concat()),
        )
        .contains("hanako");
        assert_eq!(told, policy == PrivacyPolicy::Ignore, "{policy:?}");
    }
}

#[tokio::test]
async fn what_a_consent_manager_allows_is_kept_by_purpose_with_each_event() {
    let collector = collector("", Limits::default());
    for (context, consents) in [
        // Segment and Jitsu.
        (
            r#"{"consent":{"categoryPreferences":{"Analytics":false,"Advertising":true,"profiling":true}}}"#,
            r#"{"scoring":true,"tracking":false}"#,
        ),
        // Of several categories for one purpose none may be denied.
        (r#"{"consent":{"categoryPreferences":{"C0002":"true","Analytics":false}}}"#, r#"{"tracking":false}"#),
        // RudderStack.
        (
            r#"{"consentManagement":{"allowedConsentIds":["Analytics"],"deniedConsentIds":["Sales","x"],"provider":"custom"}}"#,
            r#"{"contact":false,"tracking":true}"#,
        ),
        (r#"{"consent":{"categoryPreferences":{"Analytics":"perhaps","Unheard":true}}}"#, "null"),
        (r#"{"consent":"yes","consentManagement":[1]}"#, "null"),
        ("{}", "null"),
    ] {
        let body = format!(r#"{{"event":"Segment Consent Preference Updated","userId":"u","context":{context}}}"#);
        let request = Request::post("/v1/track").header("authorization", basic("WK:")).body(body.into()).unwrap();
        assert_eq!(collector.send(request).await.status, 200);
        let written = collector.written();
        assert_eq!(written.last().unwrap()["consents"].to_string(), consents, "{context}");
    }
}
