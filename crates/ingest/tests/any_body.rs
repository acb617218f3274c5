//! Whatever comes to an endpoint: it is answered, never with 5xx or 3xx, and what was answered as taken is on the log.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use serde_json::{Value, json};
use sha2::Sha256;
use support::{Answer, Collector, NOON, WHSEC, basic};
use tasuki_domain::Timestamp;

/// Names that some protocol looks for.
const NAMES: [&str; 44] = [
    "requests",
    "events",
    "data",
    "type",
    "id",
    "specversion",
    "source",
    "subject",
    "time",
    "data_base64",
    "email",
    "name",
    "params",
    "client_id",
    "user_id",
    "timestamp_micros",
    "user_properties",
    "visitor_id",
    "occurred_at",
    "attributes",
    "context",
    "properties",
    "subscriptionType",
    "objectId",
    "propertyName",
    "propertyValue",
    "eventId",
    "occurredAt",
    "portalId",
    "mautic.page_on_hit",
    "mautic.form_on_submit",
    "hit",
    "submission",
    "stat",
    "contact",
    "lead",
    "fields",
    "core",
    "value",
    "results",
    "url",
    "timestamp",
    "ipAddress",
    "campaign",
];

const TEXTS: [&str; 17] = [
    "",
    " ",
    "null",
    "1.0",
    "page_viewed",
    "form_submitted",
    "custom",
    "contact.creation",
    "contact.propertyChange",
    "email",
    "a@acme.example",
    "2026-11-22T12:00:00Z",
    "?idsite=1&_id=a&url=u",
    "?e_c=&e_a",
    "\u{0}\u{ffff}",
    "page_view",
    "com.acme.form.submitted",
];

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        proptest::sample::select(TEXTS.to_vec()).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(NAMES.to_vec()), inner, 0..7)
                .prop_map(|object| json!(object)),
        ]
    })
}

fn mac(key: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    STANDARD.encode(mac.finalize().into_bytes())
}

async fn send(collector: &Collector, path: &str, body: &[u8]) -> Answer {
    let seconds = (NOON.parse::<Timestamp>().unwrap().as_millis() / 1000).to_string();
    let millis = format!("{seconds}000");
    let mut request = Request::post(path).header("authorization", basic("WK:"));
    match path {
        "/webhooks/generic" => {
            let key = STANDARD.decode(WHSEC.trim_start_matches("whsec_")).unwrap();
            let signature = mac(&key, &[b"m.", seconds.as_bytes(), b".", body]);
            request = request.header("webhook-id", "m").header("webhook-timestamp", &seconds);
            request = request.header("webhook-signature", format!("v1,{signature}"));
        }
        "/webhooks/hubspot" => {
            let signature = mac(b"secret", &[b"POSThttp://127.0.0.1:18214/webhooks/hubspot", body, millis.as_bytes()]);
            request = request.header("x-hubspot-signature-v3", signature);
            request = request.header("x-hubspot-request-timestamp", &millis);
        }
        "/webhooks/mautic" => request = request.header("webhook-signature", mac(b"mautic-secret", &[body])),
        _ => {}
    }
    collector.send(request.body(body.to_vec().into()).unwrap()).await
}

const PATHS: [&str; 8] = [
    "/events",
    "/v1/events",
    "/matomo.php",
    "/mp/collect",
    "/debug/mp/collect",
    "/webhooks/generic",
    "/webhooks/hubspot",
    "/webhooks/mautic",
];

fn check(path: &str, body: &[u8], may_be_empty: bool) -> Result<(), proptest::test_runner::TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let collector = Collector::new();
        let answer = send(&collector, path, body).await;
        let text = String::from_utf8_lossy(body);
        proptest::prop_assert!(
            [200, 204, 400, 422].contains(&answer.status.as_u16()),
            "{}: {} {}",
            path,
            answer.status,
            text
        );
        let kept = collector.written().len();
        proptest::prop_assert!(
            kept > 0 || may_be_empty || path.starts_with("/debug/"),
            "{}: nothing kept of {}",
            path,
            text
        );
        Ok(())
    })
}

proptest::proptest! {
    #[test]
    fn any_bytes(path in proptest::sample::select(PATHS.to_vec()), body in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(path, &body, false)?;
    }

    /// An empty list of events leaves nothing.
    #[test]
    fn any_json(path in proptest::sample::select(PATHS.to_vec()), value in json_value()) {
        let text = value.to_string();
        check(path, text.as_bytes(), text.contains("[]") || text == "{}")?;
    }

    #[test]
    fn any_query(query in "[ -~]{0,60}", path in proptest::sample::select(vec!["/matomo.php", "/api/px/track"])) {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let query = query.replace("%3D", "=").replace("%26", "&");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let collector = Collector::new();
            let answer = collector.get(&format!("{path}?{query}&_id=a&url=u&writeKey=WK")).await;
            proptest::prop_assert_eq!(answer.status.as_u16(), 200);
            proptest::prop_assert_eq!(collector.written().len(), 1);
            Ok(())
        })?;
    }
}
