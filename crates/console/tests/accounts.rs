//! Accounts: what they have of their leads, for scripts and on pages.

#![allow(clippy::unwrap_used, reason = "part of the tests, outside their functions")]

mod common;

use axum::http::StatusCode;
use common::{App, HANAKO, fixture};
use serde_json::{Value, json};

const JONAS: &str = "a0000000-0000-4000-8000-000000000002";

async fn app() -> App {
    let app = App::filled().await;
    fixture::statements(&app.url, include_str!("fixture/accounts.sql")).await;
    app
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn accounts_with_most_engagement_come_first_and_none_where_nobody_is_engaged() {
    let app = app().await;
    let answer = app.api("/api/v1/accounts").await;
    let all = ["nordwind.example", "oliveira-textil.example", "group:cedar/1", "midori.example"];
    assert_eq!((answer.status, ids(&answer.json())), (StatusCode::OK, all.to_vec()), "{}", answer.body);
    assert_eq!(
        answer.json()["items"][0],
        json!({
            "id": "nordwind.example", "company": "Nordwind Logistik GmbH", "engagement": 150, "engagement_mp": 150_000,
            "sum": 176.75, "sum_mp": 176_750, "people": 3, "lead_count": 4, "as_of": "2026-11-20T13:05:00.000Z",
            "departments": [{ "name": "Logistik", "people": 1 }, { "name": "Einkauf & <b>Recht</b>", "people": 1 },
                { "name": "IT", "people": 1 }], "playbook_version": 3,
        })
    );
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = app.api(&format!("/api/v1/accounts?limit=1&after={after}")).await.json();
        found.extend(ids(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => after = next.replace('/', "%2F").replace(':', "%3A"),
            None => break,
        }
    }
    assert_eq!(found, all, "one by one, they are the same");
    for (search, expected) in [("NORDWIND+gmbh", vec![all[0]]), ("%E6%A0%AA%E5%BC%8F", vec![all[3]]), ("%25", vec![])] {
        assert_eq!(ids(&app.api(&format!("/api/v1/accounts?search={search}")).await.json()), expected, "{search}");
    }
    let wrong = app.api("/api/v1/accounts?after=nowhere").await;
    assert_eq!((wrong.status, wrong.json()["code"].clone()), (StatusCode::BAD_REQUEST, json!("bad-parameter")));
}

#[tokio::test]
async fn an_account_comes_with_its_leads_and_their_scores() {
    let app = app().await;
    let answer = app.api("/api/v1/accounts/nordwind.example").await.json();
    let leads: Vec<_> = (answer["leads"].as_array().unwrap().iter())
        .map(|lead| (lead["name"].as_str().unwrap_or_default(), lead["engagement"].clone(), lead["grade"].clone()))
        .collect();
    assert_eq!(
        leads,
        [
            ("Jonas Weber", json!(71.25), json!("A2")),
            ("Tarık Aydın", json!(41.5), json!("A2")),
            ("Lena Kruse", json!(64), json!("B2")),
            ("", json!(1), json!("D4")),
        ],
        "by score, without who is merged"
    );
    assert_eq!((&answer["people"], &answer["engagement"], &answer["lead_count"]), (&json!(3), &json!(150), &json!(4)));
    let cedar = app.api("/api/v1/accounts/group%3Acedar%2F1").await.json();
    assert_eq!((&cedar["id"], &cedar["company"], &cedar["leads"]), (&json!("group:cedar/1"), &json!(null), &json!([])));
    let quiet = app.api("/api/v1/accounts/cedarfoods.example").await.json();
    assert_eq!(
        (&quiet["company"], &quiet["people"], &quiet["engagement"], &quiet["as_of"], &quiet["playbook_version"]),
        (&json!("Cedar Foods"), &json!(0), &json!(0), &json!(null), &json!(null)),
        "has leads, and nobody was engaged yet"
    );
    for nobody in ["no.example", "%00", ""] {
        let answer = app.api(&format!("/api/v1/accounts/{nobody}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{nobody:?}");
    }
}

#[tokio::test]
async fn the_pages_of_accounts_read_in_both_languages() {
    let app = app().await;
    for language in ["en", "ja"] {
        let list = common::text_of(&app.page("/accounts", language).await.body);
        let one = common::text_of(&app.page("/accounts/nordwind.example", language).await.body);
        insta::assert_snapshot!(format!("accounts_{language}"), format!("{list}\n\n{one}"));
    }
    let body = app.page("/accounts", "en").await.body;
    assert!(body.contains("href=\"/accounts/group%3Acedar%2F1\"") && !body.contains("<b>Recht"), "{body}");
    assert_eq!(app.page("/accounts/group%3Acedar%2F1", "en").await.status, StatusCode::OK);
    assert_eq!(app.page("/accounts/no.example", "en").await.status, StatusCode::NOT_FOUND);
    let nothing = app.page("/accounts?search=nobody", "en").await;
    assert!(nothing.body.contains("Nothing found"));
}

#[tokio::test]
async fn the_page_of_a_lead_leads_to_its_account() {
    let app = app().await;
    let body = app.page(&format!("/leads/{JONAS}"), "en").await.body;
    let text = common::text_of(&body);
    assert!(body.contains("href=\"/accounts/nordwind.example\""), "{text}");
    assert!(text.contains("Engaged people\n3 of 4\nDepartments\nLogistik (1)"), "{text}");
    let body = app.page(&format!("/leads/{HANAKO}"), "ja").await.body;
    assert!(common::text_of(&body).contains("関心のある人\n1人中1人\n部署\n製造部（1人）"));
}
