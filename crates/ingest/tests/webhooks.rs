//! Webhooks: who may send them, what becomes of them, and what of broken ones.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use support::{Answer, Collector, Mood, NOON, WHSEC};
use tasuki_domain::Timestamp;

fn mac(key: &[u8], message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn noon_seconds() -> i64 {
    NOON.parse::<Timestamp>().unwrap().as_millis() / 1000
}

fn whsec() -> Vec<u8> {
    STANDARD.decode(WHSEC.trim_start_matches("whsec_")).unwrap()
}

async fn standard(collector: &Collector, id: &str, body: &str) -> Answer {
    let sent = noon_seconds();
    let signature = format!("v1,{}", mac(&whsec(), &format!("{id}.{sent}.{body}")));
    let request = Request::post("/webhooks/generic")
        .header("webhook-id", id)
        .header("webhook-timestamp", sent)
        .header("webhook-signature", signature);
    collector.send(request.body(body.to_owned().into()).unwrap()).await
}

async fn hubspot(collector: &Collector, body: &str) -> Answer {
    let sent = noon_seconds() * 1000;
    let signed = format!("POSThttp://127.0.0.1:18214/webhooks/hubspot{body}{sent}");
    let request = Request::post("/webhooks/hubspot")
        .header("x-hubspot-signature-v3", mac(b"secret", &signed))
        .header("x-hubspot-request-timestamp", sent);
    collector.send(request.body(body.to_owned().into()).unwrap()).await
}

async fn mautic(collector: &Collector, body: &str) -> Answer {
    let request = Request::post("/webhooks/mautic").header("webhook-signature", mac(b"mautic-secret", body));
    collector.send(request.body(body.to_owned().into()).unwrap()).await
}

/// Key, event and flags of every record; code and pointer of dead letters.
fn seen(collector: &Collector) -> Vec<String> {
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let line = |record: &Value| match record.get("dead letter") {
        Some(code) => format!("{} at {}", code.as_str().unwrap(), text(record, "pointer")),
        None => format!("{} {}", text(record, "key"), text(record, "event")),
    };
    collector.written().iter().map(line).collect()
}

#[tokio::test]
async fn a_standard_webhook_is_taken_only_if_it_is_signed_now_by_who_knows_the_secret() {
    let body = r#"{"type":"email.opened","data":{"email":"ana@acme.example","subject":"News"}}"#;
    let (id, now) = ("msg_1", noon_seconds());
    let by = |key: &[u8], id: &str, sent: i64| mac(key, &format!("{id}.{sent}.{body}"));
    let good = by(&whsec(), id, now);
    for (headers, status, code) in [
        (
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", now.to_string()),
                ("webhook-signature", format!("v1,{good}")),
            ],
            204,
            "",
        ),
        (
            vec![
                ("svix-id", id.to_owned()),
                ("svix-timestamp", now.to_string()),
                ("svix-signature", format!("v1,AAAA v1a,x v1,{good}")),
            ],
            204,
            "",
        ),
        (
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", now.to_string()),
                ("webhook-signature", format!("v1,{}", by(b"other", id, now))),
            ],
            204,
            "",
        ),
        (
            vec![
                ("webhook-id", "msg_2".to_owned()),
                ("webhook-timestamp", now.to_string()),
                ("webhook-signature", format!("v1,{good}")),
            ],
            401,
            "wrong-signature",
        ),
        (
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", now.to_string()),
                ("webhook-signature", format!("v1,{}", by(b"nobody", id, now))),
            ],
            401,
            "wrong-signature",
        ),
        (
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", now.to_string()),
                ("webhook-signature", format!("v2,{good}")),
            ],
            401,
            "not-signed",
        ),
        (
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", (now - 301).to_string()),
                ("webhook-signature", format!("v1,{}", by(&whsec(), id, now - 301))),
            ],
            401,
            "stale-signature",
        ),
        (
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", (now + 301).to_string()),
                ("webhook-signature", format!("v1,{}", by(&whsec(), id, now + 301))),
            ],
            401,
            "stale-signature",
        ),
        (vec![("webhook-timestamp", now.to_string()), ("webhook-signature", format!("v1,{good}"))], 401, "not-signed"),
        (vec![], 401, "not-signed"),
    ] {
        let collector = Collector::new();
        let mut request = Request::post("/webhooks/generic");
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let answer = collector.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        if status == 204 {
            assert_eq!(seen(&collector), ["e:ana@acme.example EmailOpened(EmailOpened { email_name: \"News\" })"]);
        } else {
            assert_eq!((answer.code().as_str(), collector.written().len()), (code, 0), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn the_id_of_a_webhook_is_the_id_of_the_event_however_often_it_comes() {
    let collector = Collector::new();
    let body = r#"{"type":"webinar.attended","timestamp":"2026-11-22T10:00:00Z","data":{"contact":{"email":"ana@acme.example","first_name":"Ana"},"webinar":"CRM"}}"#;
    for id in ["msg_1", "msg_1", "msg_2"] {
        assert_eq!(standard(&collector, id, body).await.status, 204);
    }
    let written = collector.written();
    assert_eq!(written[0]["id"], written[1]["id"]);
    assert_ne!(written[0]["id"], written[2]["id"]);
    assert_eq!(written[0]["attributes"], json!({ "first_name": "Ana" }));
    assert_eq!(written[0]["occurred_at"], "2026-11-22T10:00:00.000Z");
}

#[tokio::test]
async fn hostile_webhooks_are_kept_as_dead_letters_and_answered_as_taken() {
    for (body, status, faults) in [
        ("no json", 400, vec!["not-json at "]),
        ("", 400, vec!["empty-body at "]),
        ("[]", 204, vec!["not-an-object at "]),
        ("17", 204, vec!["not-an-object at "]),
        ("{}", 204, vec!["no-type at /type"]),
        (r#"{"type":null,"data":{}}"#, 204, vec!["no-type at /type"]),
        (r#"{"type":{"a":1}}"#, 204, vec!["no-type at /type"]),
        (r#"{"type":"x.y"}"#, 204, vec!["no-identifier at "]),
        (r#"{"type":"x.y","data":null}"#, 204, vec!["no-identifier at "]),
        (r#"{"type":"x.y","data":[1,2]}"#, 204, vec!["no-identifier at "]),
        (r#"{"type":"x.y","data":{"user_id":1e999}}"#, 204, vec!["unreadable at "]),
    ] {
        let collector = Collector::new();
        assert_eq!(standard(&collector, "m", body).await.status, status, "{body}");
        assert_eq!(seen(&collector), faults, "{body}");
    }
    let deep = format!(
        r#"{{"type":"x.y","data":{{"user_id":7,"a":NaN,"s":"\ud800","n":"\u0000","d":{}1{}}}}}"#,
        "[".repeat(150),
        "]".repeat(150)
    );
    let collector = Collector::new();
    assert_eq!(standard(&collector, "m", &deep).await.status, 204);
    let written = collector.written();
    assert_eq!(written[0]["key"], "u:7");
    assert_eq!(
        written[0]["flags"],
        json!(["repaired-nan", "repaired-lone-surrogate", "repaired-nul", "repaired-depth"])
    );
}

#[tokio::test]
async fn webhooks_come_to_sources_that_have_them_and_to_no_others() {
    let collector = Collector::new();
    for path in ["/webhooks/website", "/webhooks/nobody", "/webhooks", "/webhooks/"] {
        assert_eq!(collector.post(path, "{}").await.status, 404, "{path}");
    }
    assert_eq!(collector.get("/webhooks/generic").await.status, 405);
    // Signed as another sender signs.
    let body = r#"{"mautic.page_on_hit":[]}"#;
    let request = Request::post("/webhooks/hubspot").header("webhook-signature", mac(b"secret", body));
    assert_eq!(collector.send(request.body(body.into()).unwrap()).await.code(), "not-signed");
}

#[tokio::test]
async fn while_the_log_is_away_senders_of_webhooks_come_back() {
    let collector = Collector::new();
    collector.mood(Mood::Unavailable);
    let answer = standard(&collector, "m", r#"{"type":"x","data":{"user_id":1}}"#).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "10"));
}

fn change(property: &str, value: &str) -> Value {
    json!({ "eventId": 1, "subscriptionId": 2, "portalId": 62515, "appId": 3, "occurredAt": 1_795_348_740_000_i64,
        "subscriptionType": "contact.propertyChange", "attemptNumber": 0, "objectId": 123, "propertyName": property,
        "propertyValue": value, "changeSource": "CRM" })
}

#[tokio::test]
async fn hubspot_says_which_property_changed_and_the_mapping_what_that_means() {
    let collector = Collector::new();
    let of_type = |kind: &str| {
        json!({ "eventId": 9, "portalId": 62515, "subscriptionType": kind, "objectId": 123,
        "occurredAt": 1_795_348_740_000_i64 })
    };
    let body = json!([
        of_type("contact.creation"),
        change("email", "Ana@Acme.example"),
        change("jobtitle", "VP Sales"),
        change("recent_conversion_event_name", "Pricing: Demo request"),
        change("hs_email_last_open_date", "1795348740000"),
        of_type("contact.privacyDeletion"),
        of_type("contact.deletion"),
        of_type("company.creation"),
        { "eventId": 10, "portalId": 62515, "subscriptionType": "object.propertyChange", "objectTypeId": "0-1",
          "objectId": 124, "propertyName": "company", "propertyValue": "Acme" },
    ]);
    assert_eq!(hubspot(&collector, &body.to_string()).await.status, 204);
    let ana = "u:hubspot:62515:123";
    assert_eq!(
        seen(&collector),
        [
            format!("{ana} LeadIdentified(LeadIdentified {{ attributes: {{}} }})"),
            format!("{ana} LeadIdentified(LeadIdentified {{ attributes: {{\"email\": \"ana@acme.example\"}} }})"),
            format!("{ana} LeadIdentified(LeadIdentified {{ attributes: {{\"title\": \"VP Sales\"}} }})"),
            format!("{ana} FormSubmitted(FormSubmitted {{ form: \"Pricing: Demo request\" }})"),
            format!("{ana} EmailOpened(EmailOpened {{ email_name: \"\" }})"),
            format!(
                "{ana} ConsentChanged(ConsentChanged {{ purpose: \"contact\", granted: false, basis: \"privacy deletion\" }})"
            ),
            format!("{ana} CustomBehavior(CustomBehavior {{ name: \"contact.deletion\" }})"),
            "not-a-contact at /7/subscriptionType".to_owned(),
            "u:hubspot:62515:124 LeadIdentified(LeadIdentified { attributes: {\"company\": \"Acme\"} })".to_owned(),
        ]
    );
    let written = collector.written();
    assert_eq!(
        written[1]["identifiers"],
        json!({ "email": "ana@acme.example", "user_id": "hubspot:62515:123", "crm_id": "hubspot:123" })
    );
    assert_eq!(written[1]["occurred_at"], "2026-11-22T11:59:00.000Z");
}

#[tokio::test]
async fn a_delivery_tried_again_by_hubspot_is_the_same_event() {
    let collector = Collector::new();
    let mut again = change("jobtitle", "CTO");
    again["attemptNumber"] = json!(3);
    hubspot(&collector, &json!([change("jobtitle", "CTO")]).to_string()).await;
    hubspot(&collector, &json!([again]).to_string()).await;
    let written = collector.written();
    assert_eq!((&written[0]["id"], &written[0]["payload_hash"]), (&written[1]["id"], &written[1]["payload_hash"]));
}

#[tokio::test]
async fn a_hundred_events_of_hubspot_are_taken_and_the_bad_one_is_kept() {
    let collector = Collector::new();
    let mut events: Vec<Value> = (0..100)
        .map(|n| {
            let mut it = change("jobtitle", "CTO");
            it["eventId"] = json!(n);
            it
        })
        .collect();
    events[41] = json!({ "subscriptionType": 7 });
    events[42] = json!(null);
    events[43] = json!({ "subscriptionType": "contact.creation", "objectId": null });
    assert_eq!(hubspot(&collector, &json!(events).to_string()).await.status, 204);
    assert_eq!(collector.behaviors().len(), 97);
    let faults: Vec<_> = seen(&collector).into_iter().filter(|line| line.contains(" at ")).collect();
    assert_eq!(faults, ["not-a-contact at /41/subscriptionType", "not-an-object at /42", "no-object at /43/objectId"]);
}

#[tokio::test]
async fn hubspot_signs_the_address_it_was_told_with_its_escapes_undone_or_not() {
    let body = "[]";
    let sent = noon_seconds() * 1000;
    let path = "/webhooks/hubspot/?next=%2Fa%3ab&x=%20";
    for (signed_path, body_sent, sent_header, status) in [
        (path, body, sent, 204),
        ("/webhooks/hubspot/?next=/a:b&x=%20", body, sent, 204),
        ("/webhooks/hubspot?next=/a:b&x=%20", body, sent, 401),
        (path, "[{}]", sent, 401),
        (path, body, sent + 1, 401),
    ] {
        let collector = Collector::new();
        let signature = mac(b"secret", &format!("POSThttp://127.0.0.1:18214{signed_path}{body}{sent}"));
        let request = Request::post(path)
            .header("host", "ingest.internal")
            .header("x-hubspot-signature-v3", signature)
            .header("x-hubspot-request-timestamp", sent_header);
        let answer = collector.send(request.body(body_sent.to_owned().into()).unwrap()).await;
        assert_eq!(answer.status, status, "{signed_path}");
    }
    let collector = Collector::new();
    let old = sent - 300_001;
    let signature = mac(b"secret", &format!("POSThttp://127.0.0.1:18214/webhooks/hubspot[]{old}"));
    let request = Request::post("/webhooks/hubspot")
        .header("x-hubspot-signature-v3", signature)
        .header("x-hubspot-request-timestamp", old);
    assert_eq!(collector.send(request.body("[]".into()).unwrap()).await.code(), "stale-signature");
}

fn contact() -> Value {
    let field = |alias: &str, value: Value| json!({ "id": "1", "label": alias, "alias": alias, "type": "text", "group": "core", "value": value });
    json!({ "id": 47, "points": 10, "fields": {
        "core": { "email": field("email", json!("ana@acme.example")), "firstname": field("firstname", json!("Ana")),
                  "position": field("position", json!("CTO")), "mobile": field("mobile", Value::Null) },
        "social": {}, "personal": [], "professional": { "company": field("company", json!("Acme")) } } })
}

#[tokio::test]
async fn what_mautic_says_of_a_contact() {
    let collector = Collector::new();
    let at = "2026-11-22T11:50:00+00:00";
    let ip = json!({ "ipAddress": "203.0.113.9", "ipDetails": { "country": "Japan" } });
    let body = json!({
        "mautic.page_on_hit": [
            { "hit": { "id": 1, "dateHit": at, "url": "https://acme.example/pricing?utm_source=news", "urlTitle": "Pricing",
                "referer": "https://acme.example/", "userAgent": "Mozilla/5.0 X", "trackingId": "t", "ipAddress": ip,
                "page": null, "source": null, "lead": { "id": 48, "fields": { "core": {} } } }, "timestamp": at },
            { "hit": { "id": 2, "url": "https://acme.example/a", "source": "email", "sourceId": 5,
                "email": { "id": 5, "name": "News" }, "lead": contact() }, "timestamp": at },
        ],
        "mautic.form_on_submit": [{ "submission": { "id": 12, "ipAddress": ip, "form": { "id": 3, "name": "Demo", "alias": "demo_request" },
            "contact": contact(), "trackingId": "t", "dateSubmitted": at, "referer": "https://acme.example/demo",
            "results": { "email": "ana@acme.example", "phone": "+81 3", "message": "call me" } }, "timestamp": at }],
        "mautic.email_on_open": [{ "stat": { "id": 9, "emailAddress": "ana@acme.example", "openCount": 1,
            "email": { "id": 5, "name": "News", "subject": "Our news" }, "lead": contact() }, "timestamp": at }],
        "mautic.lead_points_change": [{ "contact": contact(), "points": { "old_points": 0, "new_points": 10 }, "timestamp": at }],
        "mautic.lead_post_save_update": { "contact": contact(), "timestamp": at },
        "mautic.lead_channel_subscription_changed": [{ "contact": contact(), "channel": "email",
            "old_status": "contactable", "new_status": "unsubscribed", "timestamp": at }],
        "mautic.lead_post_delete": [{ "id": 47, "contact": null, "timestamp": at }],
    });
    assert_eq!(mautic(&collector, &body.to_string()).await.status, 204);
    insta::assert_json_snapshot!(collector.written());
}

#[tokio::test]
async fn what_mautic_sends_again_counts_once_and_a_second_opening_is_an_event() {
    let collector = Collector::new();
    let open = |at: &str| {
        json!({ "mautic.email_on_open": [{ "stat": { "id": 9, "emailAddress": "a@acme.example", "lead": { "id": 4 } }, "timestamp": at }] }).to_string()
    };
    for at in ["2026-11-22T11:50:00+00:00", "2026-11-22T11:50:00+00:00", "2026-11-22T11:55:00+00:00"] {
        assert_eq!(mautic(&collector, &open(at)).await.status, 204);
    }
    let written = collector.written();
    assert_eq!(written[0]["id"], written[1]["id"]);
    assert_ne!(written[0]["id"], written[2]["id"]);
}

#[tokio::test]
async fn hostile_mautic_webhooks_are_kept_and_the_others_taken() {
    for (body, status, expected) in [
        ("[]", 400, vec!["not-an-object at "]),
        ("{}", 204, vec![]),
        (r#"{"mautic.page_on_hit":"x"}"#, 204, vec!["not-an-object at /mautic.page_on_hit"]),
        (
            r#"{"a/b":[null,{},{"contact":{"id":1}},{"lead":[]},{"contact":{"id":{},"fields":7}}]}"#,
            204,
            vec![
                "not-an-object at /a~1b/0",
                "no-identifier at /a~1b/1",
                "v:mautic:1 CustomBehavior(CustomBehavior { name: \"a/b\" })",
                "no-identifier at /a~1b/3",
                "no-identifier at /a~1b/4",
            ],
        ),
    ] {
        let collector = Collector::new();
        assert_eq!(mautic(&collector, body).await.status, status, "{body}");
        assert_eq!(seen(&collector), expected, "{body}");
    }
    let collector = Collector::new();
    let request = Request::post("/webhooks/mautic").header("webhook-signature", mac(b"other", "{}"));
    assert_eq!(collector.send(request.body("{}".into()).unwrap()).await.code(), "wrong-signature");
}

#[tokio::test]
async fn a_dead_letter_of_mautic_says_with_its_trigger_what_it_was() {
    let collector = Collector::new();
    mautic(&collector, r#"{"mautic.page_on_hit":[{"hit":{"url":"u"}},{"hit":{"url":"u","lead":{"id":1}}}]}"#).await;
    let original = collector.letters()[0].original.clone();
    assert_eq!(original.as_ref(), br#"{"mautic.page_on_hit":[{"hit":{"url":"u"}}]}"#);
    mautic(&collector, std::str::from_utf8(&original).unwrap()).await;
    assert_eq!(seen(&collector)[2], "no-identifier at /mautic.page_on_hit/0", "read again alone, it is what it was");
}
