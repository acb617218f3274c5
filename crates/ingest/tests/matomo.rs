//! Matomo's tracking API, as its clients use it, and as hostile ones do.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use axum::http::Request;
use serde_json::{Value, json};
use support::{Answer, Collector, Mood, NOON};
use tasuki_ingest::{Limits, Sources};

const FILE: &str = r#"
    default_source = "rest"
    [[source]]
    name = "rest"
    [[source]]
    name = "site"
    write_key_sha256 = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]   # test
    matomo_site_ids = ["7"]
    matomo_token_sha256 = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]   # test
"#;

fn collector() -> Collector {
    Collector::with(NOON, Sources::from_toml(FILE).unwrap(), Limits::default())
}

async fn post(collector: &Collector, query: &str, body: &str) -> Answer {
    let request = Request::post(format!("/matomo.php{query}")).body(body.to_owned().into());
    collector.send(request.unwrap()).await
}

fn events(collector: &Collector) -> Vec<String> {
    let written = collector.written();
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    written
        .iter()
        .map(|record| match record.get("dead letter") {
            Some(code) => format!("{} at {}", code.as_str().unwrap(), text(record, "pointer")),
            None => text(record, "event"),
        })
        .collect()
}

#[tokio::test]
async fn a_hit_is_answered_with_a_pixel_or_with_nothing_where_none_is_wanted() {
    let collector = collector();
    for path in ["/matomo.php", "/piwik.php", "/matomo.php/"] {
        let answer = collector.get(&format!("{path}?idsite=7&rec=1&_id=a&url=https%3A%2F%2Facme.example")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"), "{path}");
        assert!(answer.body.starts_with(b"GIF89a"));
    }
    let answer = collector.get("/matomo.php?idsite=7&rec=1&_id=a&url=x&send_image=0").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    let form = "idsite=7&rec=1&_id=a&url=https%3A%2F%2Facme.example%2Fb";
    assert_eq!(post(&collector, "", form).await.status, 200);
    assert_eq!(post(&collector, "?send_image=0", &format!("?{form}")).await.status, 204);
    assert_eq!((collector.behaviors().len(), collector.letters().len()), (6, 0));
}

#[tokio::test]
async fn what_was_done_is_said_by_the_mapping_and_nothing_counts_as_a_page_that_is_none() {
    for (query, event) in [
        (
            "url=https://acme.example/p&action_name=Pricing",
            r#"PageViewed(PageViewed { name: "Pricing", category: "" })"#,
        ),
        (
            "url=u&download=https://acme.example/wp.pdf",
            r#"ContentDownloaded(ContentDownloaded { content: "https://acme.example/wp.pdf" })"#,
        ),
        ("url=u&e_c=form&e_a=submit&e_n=demo-request", r#"FormSubmitted(FormSubmitted { form: "demo-request" })"#),
        ("url=u&e_c=Video&e_a=Play&e_v=3", r#"CustomBehavior(CustomBehavior { name: "Video/Play" })"#),
        ("url=u&link=https://other.example", r#"CustomBehavior(CustomBehavior { name: "matomo/outlink" })"#),
        ("url=u&search=crm", r#"CustomBehavior(CustomBehavior { name: "matomo/search" })"#),
        ("url=u&idgoal=3&revenue=10", r#"CustomBehavior(CustomBehavior { name: "goal/3" })"#),
        ("url=u&ping=1", r#"CustomBehavior(CustomBehavior { name: "matomo/ping" })"#),
        ("url=u&fa_vid=abc&fa_ef=1", r#"CustomBehavior(CustomBehavior { name: "matomo/form-analytics" })"#),
        ("url=u&ca=1", r#"CustomBehavior(CustomBehavior { name: "matomo/custom" })"#),
        ("ua=x", "no-action at "),
    ] {
        let collector = collector();
        collector.get(&format!("/matomo.php?idsite=7&rec=1&_id=0123456789abcdef&{query}")).await;
        assert_eq!(events(&collector), [event], "{query}");
    }
}

#[tokio::test]
async fn a_whole_hit() {
    let collector = collector();
    let query = "idsite=7&rec=1&action_name=Pricing&url=https%3A%2F%2Facme.example%2Fpricing%3Futm_source%3Dnews\
        &urlref=https%3A%2F%2Fsearch.example&_id=0123456789abcdef&uid=ana%40acme.example&ua=Mozilla%2F5.0+X\
        &lang=ja%2Cen%3Bq%3D0.9&rand=123&pv_id=abc123&res=1280x900&dimension1=gold&h=12&m=0&s=0&token_auth=secret";
    collector.get(&format!("/matomo.php?{query}")).await;
    insta::assert_json_snapshot!(collector.written());
}

#[tokio::test]
async fn the_site_names_the_source_by_its_id_or_as_a_key() {
    for (query, source) in [("idsite=7", "site"), ("idsite=test", "site"), ("idsite=8", "rest"), ("x=1", "rest")] {
        let collector = collector();
        collector.get(&format!("/matomo.php?{query}&rec=1&_id=a&url=u")).await;
        post(&collector, "", &format!("{query}&rec=1&_id=a&url=u")).await;
        post(&collector, "", &json!({ "requests": [format!("?{query}&_id=a&url=u")] }).to_string()).await;
        let sources: Vec<_> = collector.behaviors().into_iter().map(|it| it.origin.unwrap().source).collect();
        assert_eq!(sources, [source; 3], "{query}");
    }
}

#[tokio::test]
async fn a_bulk_says_how_many_it_took_and_which_it_did_not_to_who_has_the_token() {
    let good = "?idsite=7&rec=1&_id=a&url=https://acme.example/1";
    let requests = json!([good, "?idsite=7&rec=1&url=u", "https://m.example/matomo.php?idsite=7&_id=a&url=2",
        { "idsite": 7, "_id": "a", "url": "3" }, null, 17, "", "?idsite=7&_id=\u{0}&url=%ZZ"]);
    let send = async |token: Option<&str>| {
        let collector = collector();
        let answer = post(&collector, "", &json!({ "requests": requests, "token_auth": token }).to_string()).await;
        (answer.status.as_u16(), serde_json::from_slice::<Value>(&answer.body).unwrap(), events(&collector).len())
    };
    let told = json!({ "status": "success", "tracked": 3, "invalid": 5 });
    assert_eq!(send(None).await, (200, told.clone(), 8));
    assert_eq!(send(Some("other")).await, (200, told.clone(), 8));
    let mut all = told;
    all["invalid_indices"] = json!([1, 4, 5, 6, 7]);
    assert_eq!(send(Some("test")).await, (200, all, 8));
}

#[tokio::test]
async fn bad_events_of_a_bulk_are_kept_with_their_place() {
    let collector = collector();
    let requests = json!(["?idsite=7&url=u&token_auth=private", "", { "_id": "a" }]);
    post(&collector, "", &json!({ "requests": requests }).to_string()).await;
    assert_eq!(
        events(&collector),
        ["no-identifier at /requests/0", "empty at /requests/1", "no-action at /requests/2"]
    );
    assert_eq!(collector.letters()[0].original.as_ref(), b"idsite=7&url=u", "no token is kept");
    for body in ["{broken", r#"{"requests":{}}"#, r#"{"x":1}"#] {
        let collector = self::collector();
        assert_eq!(post(&collector, "", body).await.status, 200, "{body}");
        assert_eq!(collector.letters().len(), 1, "{body}");
    }
}

#[tokio::test]
async fn times_and_addresses_of_others_are_believed_with_the_token_only() {
    for (query, occurred, ip, flags) in [
        ("cdt=2026-11-22+11:00:00", "2026-11-22T11:00:00.000Z", None, json!(null)),
        ("cdt=1795345200", "2026-11-22T11:00:00.000Z", None, json!(null)),
        ("cdo=60", "2026-11-22T11:59:00.000Z", None, json!(null)),
        ("cdt=2026-11-20+11:00:00&cip=203.0.113.9", "2026-11-22T12:00:00.000Z", None, json!(["time-not-vouched"])),
        (
            "cdt=2026-11-20+11:00:00&cip=203.0.113.9&token_auth=no",
            "2026-11-22T12:00:00.000Z",
            None,
            json!(["time-not-vouched"]),
        ),
        (
            "cdt=2026-11-20+11:00:00&cip=203.0.113.9&token_auth=test",
            "2026-11-20T11:00:00.000Z",
            Some("203.0.113.0"),
            json!(null),
        ),
        ("cdt=tomorrow", "2026-11-22T12:00:00.000Z", None, json!(["bad-timestamp"])),
        ("cdt=1e300&cdo=-5", "2026-11-22T12:00:00.000Z", None, json!(["bad-timestamp"])),
        ("cdo=9223372036854775807", "2026-11-22T12:00:00.000Z", None, json!(["time-not-vouched"])),
    ] {
        let collector = collector();
        collector.get(&format!("/matomo.php?idsite=7&_id=a&url=u&{query}")).await;
        let record = &collector.written()[0];
        assert_eq!(record["occurred_at"], occurred, "{query}");
        assert_eq!(record["circumstances"].get("ip").and_then(Value::as_str), ip, "{query}");
        assert_eq!(record["flags"], flags, "{query}");
        assert!(!record.to_string().contains("token_auth"), "{query}");
    }
}

#[tokio::test]
async fn the_same_hit_counts_once_and_what_its_client_tells_apart_counts_as_often() {
    let ids = async |now: &str, queries: &[&str]| {
        let collector = Collector::with(now, Sources::from_toml(FILE).unwrap(), Limits::default());
        for query in queries {
            collector.get(&format!("/matomo.php?idsite=7&_id=a&url=u&{query}")).await;
        }
        collector.written().iter().map(|record| record["id"].clone()).collect::<Vec<_>>()
    };
    let first = ids(NOON, &["rand=1", "rand=2", "rand=1", "", ""]).await;
    assert_eq!((first[0] == first[1], first[0] == first[2], first[3] == first[4]), (false, true, true));
    let later = ids("2026-11-22T12:02:00Z", &["rand=1", ""]).await;
    assert_eq!((first[0] == later[0], first[3] == later[1]), (true, false), "without a nonce the minute tells apart");
}

#[tokio::test]
async fn what_no_source_takes_is_kept_for_its_clients_never_come_back() {
    let collector = Collector::with(NOON, Sources::default(), Limits::default());
    let answer = collector.get("/matomo.php?idsite=1&_id=a&url=u&token_auth=private").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"));
    assert_eq!(events(&collector), ["unknown-source at "]);
    assert!(!collector.written()[0].to_string().contains("private"), "{:?}", collector.written());
}

#[tokio::test]
async fn head_and_preflight_write_nothing() {
    let collector = collector();
    let head = Request::head("/matomo.php?idsite=7&_id=a&url=u").body(axum::body::Body::empty()).unwrap();
    assert_eq!(collector.send(head).await.status, 200);
    collector.mood(Mood::Takes);
    assert!(collector.written().is_empty());
}
