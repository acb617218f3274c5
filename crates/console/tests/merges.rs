//! Leads that are merged: the commands, and what is shown of them.

#![allow(clippy::unwrap_used, reason = "part of the tests, outside their functions")]

mod common;

use axum::http::StatusCode;
use common::{App, HANAKO, MALLORY, fixture};
use prost::Message;
use serde_json::json;
use tasuki_wire::Topic;
use tasuki_wire::v1::{self, lead_command::Command};

#[tokio::test]
async fn a_merge_and_a_split_are_each_one_command_under_the_key_of_the_lead_that_stays() {
    let app = App::filled().await;
    let body = json!({ "from": MALLORY, "by": "mori" }).to_string();
    for (verb, expected) in [("merge", Command::Merge(v1::MergeLead {})), ("split", Command::Split(v1::SplitLead {}))] {
        let answer = app.tell(&format!("/api/v1/leads/{HANAKO}/{verb}"), &[("idempotency-key", "k")], &body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        let record = app.log.records.lock().unwrap().pop().unwrap();
        assert_eq!((record.topic, record.key), (Topic::LeadCommands, format!("l:{HANAKO}")));
        let command = v1::LeadCommand::decode(record.payload.as_slice()).unwrap();
        let meta = command.meta.unwrap();
        let text = |bytes: &[u8]| uuid::Uuid::from_slice(bytes).unwrap().to_string();
        assert_eq!((text(&meta.lead_id), text(&command.from)), (HANAKO.to_owned(), MALLORY.to_owned()));
        assert_eq!((command.by.as_str(), command.command), ("mori", Some(expected)));
        assert_eq!(
            answer.json(),
            json!({ "command_id": text(&meta.event_id), "lead_id": HANAKO, "from": MALLORY, "command": verb, "by": "mori" })
        );
    }
}

#[tokio::test]
async fn leads_that_are_not_known_or_the_same_are_refused_before_anything_is_on_the_log() {
    let app = App::filled().await;
    let nobody = "a0000000-0000-4000-8000-0000000000ff";
    for (lead, body, status) in [
        (nobody, json!({ "from": HANAKO }), StatusCode::NOT_FOUND),
        ("4711", json!({ "from": HANAKO }), StatusCode::NOT_FOUND),
        (HANAKO, json!({ "from": nobody }), StatusCode::UNPROCESSABLE_ENTITY),
        (HANAKO, json!({ "from": HANAKO }), StatusCode::UNPROCESSABLE_ENTITY),
        (HANAKO, json!({}), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = app.tell(&format!("/api/v1/leads/{lead}/merge"), &[], &body.to_string()).await;
        assert_eq!(answer.status, status, "{lead} {body}: {}", answer.body);
    }
    assert!(app.log.records.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_merged_lead_says_into_whom_and_keeps_its_place_among_those_that_wait_for_sales() {
    let app = App::filled().await;
    let merge =
        format!("update tasuki.lead_current set merged_into = '{MALLORY}', active = false where lead_id = '{HANAKO}'");
    fixture::statements(&app.url, &merge).await;
    let merged = app.api(&format!("/api/v1/leads/{HANAKO}")).await.json();
    assert_eq!((&merged["merged_into"], &merged["merged"]), (&json!(MALLORY), &json!([])));
    let upper = app.api(&format!("/api/v1/leads/{MALLORY}")).await.json();
    assert_eq!((&upper["merged_into"], &upper["merged"]), (&json!(null), &json!([HANAKO])));
    let waiting = app.api("/api/v1/leads?search=hanako").await.json();
    assert_eq!(waiting["items"][0]["id"], HANAKO, "sales has her handoff still");
    let page = app.page(&format!("/leads/{HANAKO}"), "en").await;
    assert!(page.body.contains(&format!("href=\"/leads/{MALLORY}\"")), "{}", page.body);
    let page = app.page(&format!("/leads/{MALLORY}"), "ja").await;
    assert!(page.body.contains(&format!("href=\"/leads/{HANAKO}\"")), "{}", page.body);
}
