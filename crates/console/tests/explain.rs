//! A score as of any instant and by any playbook, on a real Postgres, by the code that scores.

#![allow(clippy::unwrap_used, reason = "part of the tests, outside their functions")]

mod common;

use axum::http::StatusCode;
use common::{Answer, App, HANAKO, fixture};
use serde_json::{Value, json};
use tasuki_playbook::Playbook;

/// The built-in playbook as another version, with a rule that gives more.
fn second() -> String {
    let second = Playbook::DEFAULT.replacen("version = 1", "version = 2", 1).replacen("points = 8", "points = 20", 1);
    assert!(Playbook::parse(&second).is_ok() && second.contains("points = 20"));
    second
}

async fn published(app: &App, version: u32, text: &str, at: &str, because: &str) {
    let insert = format!(
        "insert into tasuki.playbooks (event_id, version, name, body, published_at, published_by, because) \
         values (gen_random_uuid(), {version}, 'default', $text${text}$text$, '{at}', 'mori', '{because}')"
    );
    fixture::statements(&app.url, &insert).await;
}

async fn explained(app: &App, query: &str) -> Answer {
    app.api(&format!("/api/v1/leads/{HANAKO}/explain{query}")).await
}

/// Axis, rule and thousandths of points of each contribution; checks that they add up.
fn ledger(answer: &Value) -> Vec<(String, String, i64)> {
    let rows = answer["contributions"].as_array().unwrap().iter().map(|row| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("axis"), text("rule"), row["points_mp"].as_i64().unwrap())
    });
    let rows: Vec<_> = rows.collect();
    for axis in ["engagement", "fit"] {
        let sum: i64 = rows.iter().filter(|(of, ..)| of == axis).map(|(.., points)| points).sum();
        assert_eq!(answer[format!("{axis}_mp")], sum, "{answer}");
    }
    rows
}

#[tokio::test]
async fn a_score_is_explained_with_every_point_what_is_expected_and_what_would_lift_it() {
    let app = App::filled().await;
    let answer = explained(&app, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    ledger(&answer.json());
    insta::assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn what_had_happened_by_then_counts_and_what_nobody_may_score_does_not() {
    let app = App::filled().await;
    // The second of six visits is not to be scored.
    for (as_of, signals) in [
        ("2026-11-12T01:01:59Z", 0),
        ("2026-11-12T01:02:00Z", 1),
        ("2026-11-22T00:00:00Z", 1),
        ("2026-11-23T07:30:00Z", 2),
        ("2026-11-23T16:40:12.250%2B09:00", 5),
        ("2027-12-10T00:00:00Z", 5),
        ("2027-12-29T00:00:00Z", 0),
    ] {
        let answer = explained(&app, &format!("?as_of={as_of}")).await.json();
        assert_eq!(answer["signals"], signals, "{as_of}: {answer}");
        assert_eq!(ledger(&answer).iter().any(|(axis, ..)| axis == "engagement"), signals > 0, "{as_of}");
    }
    // Came three days late, and counts from when it happened.
    let late = "update tasuki.lead_timeline set received_at = occurred_at + interval '3 days', unscored = false \
                where event_id = 'c0000000-0000-4000-8000-000000000002'";
    fixture::statements(&app.url, late).await;
    assert_eq!(explained(&app, "?as_of=2026-11-16T07:31:00Z").await.json()["signals"], 2);
    // Dated into the future by its tracker: from when it was received.
    let ahead = "update tasuki.lead_timeline set received_at = occurred_at - interval '2 days' \
                 where event_id = 'c0000000-0000-4000-8000-000000000002'";
    fixture::statements(&app.url, ahead).await;
    assert_eq!(explained(&app, "?as_of=2026-11-14T07:31:00Z").await.json()["signals"], 2);
    let retracted = "update tasuki.lead_timeline set retracted = true";
    fixture::statements(&app.url, retracted).await;
    assert_eq!(explained(&app, "").await.json()["signals"], 0);
}

#[tokio::test]
async fn every_version_that_was_in_force_can_be_asked_for_and_one_that_is_not_published() {
    let app = App::filled().await;
    published(&app, 1, Playbook::DEFAULT, "2026-11-20T00:00:00Z", "started").await;
    published(&app, 2, &second(), "2026-11-21T00:00:00Z", "published").await;
    let pricing = |answer: &Value| ledger(answer).into_iter().find(|(_, rule, _)| rule == "pricing-page").unwrap().2;
    let [now, first] = [explained(&app, "").await.json(), explained(&app, "?playbook=1").await.json()];
    let name = |version: u32, in_force: bool, published: bool| json!({ "name": "default", "version": version, "in_force": in_force, "published": published });
    assert_eq!((&now["playbook"], &first["playbook"]), (&name(2, true, true), &name(1, false, true)));
    assert!(pricing(&now) > pricing(&first));
    let same_as_second = json!({ "text": second() }).to_string();
    let target = format!("/api/v1/leads/{HANAKO}/explain");
    let given = app.tell(&target, &[], &same_as_second).await.json();
    assert_eq!(
        (ledger(&given), &given["playbook"]["published"]),
        (ledger(&now), &json!(false)),
        "by its text as by its version"
    );
    let third = second().replacen("version = 2", "version = 3", 1).replacen("points = 20", "points = 2", 1);
    let body = json!({ "text": third, "as_of": now["as_of"] }).to_string();
    let given = app.tell(&target, &[], &body).await.json();
    assert_eq!(given["playbook"], name(3, false, false));
    assert!(pricing(&given) < pricing(&first));
    assert_eq!(app.log.records.lock().unwrap().len(), 0, "nothing is published by it");
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused_with_what_is_allowed() {
    let app = App::filled().await;
    let code = |answer: &Answer| (answer.status.as_u16(), answer.json()["code"].as_str().unwrap().to_owned());
    for (query, status, expected) in [
        ("?playbook=9", 422, "never-published"),
        ("?playbook=two", 400, "bad-parameter"),
        ("?as_of=yesterday", 400, "bad-parameter"),
        ("?as_of=2026-11-23", 400, "bad-parameter"),
        ("?as_of=1969-12-31T23:59:59Z", 400, "out-of-bounds"),
        ("?as_of=2028-06-01T00:00:00Z", 400, "out-of-bounds"),
        ("?when=now", 400, "unknown-parameter"),
    ] {
        assert_eq!(code(&explained(&app, query).await), (status, expected.to_owned()), "{query}");
    }
    for lead in ["4711", "a0000000-0000-4000-8000-0000000000ff"] {
        let answer = app.api(&format!("/api/v1/leads/{lead}/explain")).await;
        assert_eq!(code(&answer), (404, "not-found".to_owned()), "{lead}");
    }
    let target = format!("/api/v1/leads/{HANAKO}/explain");
    let faulty = json!({ "text": Playbook::DEFAULT.replacen("PageViewed", "PageSeen", 1) }).to_string();
    for (body, status, expected) in [
        (faulty.as_str(), 422, "faulty-playbook"),
        ("{}", 422, "bad-body"),
        ("{", 400, "bad-body"),
        (r#"{"text": "", "as_of": "soon"}"#, 400, "bad-parameter"),
    ] {
        assert_eq!(code(&app.tell(&target, &[], body).await), (status, expected.to_owned()), "{body}");
    }
    let places = app.tell(&target, &[], &faulty).await.json()["faults"].clone();
    assert!(places[0]["line"].as_u64().is_some_and(|line| line > 1), "{places}");
    let allowed = explained(&app, "?as_of=1969-12-31T23:59:59Z").await.json();
    assert_eq!(
        allowed["message"],
        "as_of is 1969-12-31T23:59:59.000Z; allowed is from 1970-01-01T00:00:00.000Z to 2027-12-29T09:30:00.000Z"
    );
}

#[tokio::test]
async fn the_pages_say_it_in_both_languages() {
    let app = App::filled().await;
    published(&app, 1, Playbook::DEFAULT, "2026-11-20T00:00:00Z", "started").await;
    published(&app, 2, &second(), "2026-11-21T00:00:00Z", "published").await;
    for (language, name) in [("en", "english"), ("ja", "japanese")] {
        let target = format!("/leads/{HANAKO}/explain?as_of=2026-11-23T16:40:13&playbook=1");
        let page = app.page(&target, language).await;
        assert_eq!(page.status, StatusCode::OK);
        insta::assert_snapshot!(format!("explained_in_{name}"), common::text_of(&page.body));
        let page = app.page("/playbook?earlier=1&later=2", language).await;
        assert_eq!(page.status, StatusCode::OK);
        insta::assert_snapshot!(format!("playbook_in_{name}"), common::text_of(&page.body));
    }
    let lead = app.page(&format!("/leads/{HANAKO}"), "en").await.body;
    assert!(lead.contains(&format!("action=\"/leads/{HANAKO}/explain\"")), "{lead}");
}

#[tokio::test]
async fn what_makes_no_sense_on_the_pages_is_said_there() {
    let app = App::filled().await;
    for (target, said) in [
        (format!("/leads/{HANAKO}/explain?as_of=%3Cb%3E"), "“&lt;b&gt;” is not a time."),
        (format!("/leads/{HANAKO}/explain?playbook=x"), "“x” is not a version."),
        (format!("/leads/{HANAKO}/explain?playbook=7"), "No playbook of version 7 was ever published."),
        (format!("/leads/{HANAKO}/explain?as_of=1960-01-01T00:00"), "A time from"),
        ("/playbook?version=7".to_owned(), "No playbook of version 7 was ever published."),
        ("/playbook?earlier=1&later=7".to_owned(), "No playbook of version 7 was ever published."),
    ] {
        let page = app.page(&target, "en").await;
        assert_eq!((page.status, page.body.contains(said)), (StatusCode::OK, true), "{target}: {}", page.body);
    }
    let nobody = app.page("/leads/a0000000-0000-4000-8000-0000000000ff/explain", "en").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    let start = app.page("/playbook", "en").await.body;
    assert!(start.contains("From the start; nothing has been published yet.") && start.contains("pricing-page"));
}
