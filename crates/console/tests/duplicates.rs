//! Leads that may be one person: proposed with the reasons, never merged by themselves.

#![allow(clippy::unwrap_used, reason = "part of the tests, outside their functions")]

mod common;

use axum::http::StatusCode;
use common::{App, HANAKO, MALLORY, fixture};
use serde_json::{Value, json};

const KOBO: &str = "a0000000-0000-4000-8000-000000000006";

/// Hanako has a mailbox and a name in common with one, and a phone number with another.
async fn app() -> App {
    let app = App::filled().await;
    let keys = [
        (HANAKO, "email", "hanako.sato@midori.example"),
        (HANAKO, "phone", "312345678"),
        (HANAKO, "reading", "hanakosato @ midori.example"),
        (HANAKO, "reading", "satohanako @ midori.example"),
        (KOBO, "phone", "312345678"),
        (MALLORY, "email", "hanako.sato@midori.example"),
        (MALLORY, "reading", "hanakosato @ midori.example"),
        (MALLORY, "reading", "satohanako @ midori.example"),
        (MALLORY, "name", "somebody @ else"),
    ];
    let rows: Vec<String> = keys.iter().map(|(lead, kind, key)| format!("('{lead}', '{kind}', '{key}')")).collect();
    fixture::statements(&app.url, &format!("insert into tasuki.lead_duplicate_keys values {}", rows.join(", "))).await;
    app
}

/// Ids and reasons.
fn found(answer: &Value) -> Vec<(Value, Value)> {
    answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["lead"]["id"].clone(), item["reasons"].clone()))
        .collect()
}

#[tokio::test]
async fn candidates_come_with_what_both_have_those_with_more_reasons_first() {
    let app = app().await;
    let target = format!("/api/v1/leads/{HANAKO}/duplicates");
    let answer = app.api(&target).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let reason = |kind: &str, common: &str| json!({ "kind": kind, "common": common });
    let of_mallory = json!([
        reason("email", "hanako.sato@midori.example"),
        reason("reading", "hanakosato @ midori.example"),
        reason("reading", "satohanako @ midori.example"),
    ]);
    let expected = [(json!(MALLORY), of_mallory), (json!(KOBO), json!([reason("phone", "312345678")]))];
    assert_eq!((found(&answer.json()), &answer.json()["more"]), (expected.to_vec(), &json!(false)));
    let first = app.api(&format!("{target}?limit=1")).await.json();
    assert_eq!((found(&first), &first["more"]), (expected[..1].to_vec(), &json!(true)));
    let back = app.api(&format!("/api/v1/leads/{KOBO}/duplicates")).await.json();
    assert_eq!(found(&back), [(json!(HANAKO), json!([reason("phone", "312345678")]))]);
    assert!(app.log.records.lock().unwrap().is_empty(), "nothing is merged by itself");
}

#[tokio::test]
async fn leads_that_are_merged_or_nobodys_are_no_candidates_and_unknown_ones_are_not_found() {
    let app = app().await;
    let target = format!("/api/v1/leads/{HANAKO}/duplicates");
    for change in ["active = false", "active = true, merged_into = 'a0000000-0000-4000-8000-000000000002'"] {
        let update = format!("update tasuki.lead_current set {change} where lead_id = '{MALLORY}'");
        fixture::statements(&app.url, &update).await;
        let answer = app.api(&target).await.json();
        let ids: Vec<Value> = found(&answer).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [json!(KOBO)], "{change}");
    }
    for id in ["a0000000-0000-4000-8000-0000000000ff", "4711"] {
        let answer = app.api(&format!("/api/v1/leads/{id}/duplicates")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}");
    }
    assert_eq!(app.api(&format!("{target}?limit=0")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_page_shows_candidates_with_reasons_and_the_command_that_merges_them() {
    let app = app().await;
    for (language, heading, reason) in
        [("en", "Possible duplicates", "Same mailbox"), ("ja", "重複の候補", "同じメールボックス")]
    {
        let body = app.page(&format!("/leads/{HANAKO}"), language).await.body;
        for part in [heading, reason, &format!("tasuki leads merge {HANAKO} {MALLORY}"), &format!("/leads/{KOBO}\"")] {
            assert!(body.contains(part), "{part}: {body}");
        }
        let body = app.page("/leads/a0000000-0000-4000-8000-000000000002", language).await.body;
        assert!(!body.contains(heading), "nothing where there is none");
    }
}
