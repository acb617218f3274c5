//! What is in force, what was, and what may come into force.

#![allow(clippy::unwrap_used, clippy::panic, reason = "part of the tests, outside their functions")]

mod common;

use axum::http::StatusCode;
use common::{App, fixture};
use prost::Message;
use serde_json::{Value, json};
use tasuki_playbook::Playbook;
use tasuki_wire::Topic;
use tasuki_wire::v1::{self, PublishedBecause, playbook_record::Event};

fn text(version: u32) -> String {
    Playbook::DEFAULT.replacen("version = 1", &format!("version = {version}"), 1)
}

/// What was put on the log, with its version and why.
fn published(app: &App) -> Vec<(u32, PublishedBecause, String)> {
    let records = std::mem::take(&mut *app.log.records.lock().unwrap());
    let read = |record: tasuki_stream::Emitted| {
        assert_eq!(record.topic, Topic::Playbooks);
        let decoded = v1::PlaybookRecord::decode(record.payload.as_slice()).unwrap();
        let Some(Event::Published(playbook)) = decoded.event else { panic!("published") };
        assert_eq!(record.key, playbook.version.to_string());
        assert_eq!(playbook.text, text(playbook.version));
        (playbook.version, playbook.because(), playbook.by)
    };
    records.into_iter().map(read).collect()
}

/// Writes a publication into the tables, as the projection does.
async fn shown(app: &App, version: u32, at: &str) {
    let text = text(version);
    let insert = format!(
        "insert into tasuki.playbooks (event_id, version, name, body, published_at, published_by, because) \
         values (gen_random_uuid(), {version}, 'default', $text${text}$text$, '{at}', 'mori', 'published')"
    );
    fixture::statements(&app.url, &insert).await;
}

#[tokio::test]
async fn nothing_published_yet_the_one_from_the_start_is_in_force_and_is_written_down_with_the_first() {
    let app = App::filled().await;
    let before = app.api("/api/v1/playbooks").await.json();
    assert_eq!((&before["in_force"]["version"], &before["items"]), (&json!(1), &json!([])));
    let answer = app.api("/api/v1/playbooks/1").await.json();
    assert_eq!((&answer["text"], &answer["because"]), (&json!(Playbook::DEFAULT), &json!("started")));
    let body = json!({ "text": text(2), "by": "mori" }).to_string();
    let answer = app.tell("/api/v1/playbooks", &[], &body).await;
    assert_eq!((answer.status, &answer.json()["version"]), (StatusCode::ACCEPTED, &json!(2)));
    let expected = [(1, PublishedBecause::Started, String::new()), (2, PublishedBecause::Published, "mori".to_owned())];
    assert_eq!(published(&app), expected);
}

#[tokio::test]
async fn the_latest_is_in_force_and_an_earlier_one_can_be_taken_up_again() {
    let app = App::filled().await;
    shown(&app, 1, "2026-11-20T00:00:00Z").await;
    shown(&app, 2, "2026-11-21T00:00:00Z").await;
    let list = app.api("/api/v1/playbooks").await.json();
    let items: Vec<_> = (list["items"].as_array().unwrap().iter())
        .map(|item| (item["version"].clone(), item["in_force"].clone()))
        .collect();
    assert_eq!(items, [(json!(2), json!(true)), (json!(1), json!(false))]);
    let same = app.tell("/api/v1/playbooks", &[], &json!({ "text": text(2) }).to_string()).await;
    assert_eq!((same.status, same.json()), (StatusCode::OK, json!({ "changed": false, "version": 2 })));
    let back = app.tell("/api/v1/playbooks/rollback", &[], "").await;
    assert_eq!((back.status, &back.json()["version"]), (StatusCode::ACCEPTED, &json!(1)));
    assert_eq!(published(&app), [(1, PublishedBecause::RolledBack, "api".to_owned())]);
}

#[tokio::test]
async fn what_must_not_be_published_is_refused_with_its_places_and_leaves_nothing_on_the_log() {
    let app = App::filled().await;
    let faulty = text(2).replacen("PageViewed", "PageSeen", 1);
    let doubtful = text(2).replacen("cap = 24", "cap = 4", 1);
    for (body, code, list) in [
        (json!({ "text": faulty }), "faulty-playbook", "faults"),
        (json!({ "text": doubtful }), "doubtful-playbook", "lints"),
        (json!({ "text": text(1).replacen("cap = 24", "cap = 25", 1) }), "version-not-raised", ""),
        (json!({ "txt": "" }), "bad-body", ""),
    ] {
        let answer = app.tell("/api/v1/playbooks", &[], &body.to_string()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)));
        if !list.is_empty() {
            let found = answer.json()[list][0].clone();
            assert!(found["line"].as_u64().is_some_and(|line| line > 1), "{found}");
        }
    }
    for body in ["", r#"{"version": 7}"#] {
        let answer = app.tell("/api/v1/playbooks/rollback", &[], body).await;
        assert_eq!(answer.json()["code"], "never-published");
    }
    assert_eq!(published(&app), []);
    let anyway = json!({ "text": doubtful, "despite_warnings": true }).to_string();
    assert_eq!(app.tell("/api/v1/playbooks", &[], &anyway).await.status, StatusCode::ACCEPTED);
    let without_token = app.send("POST", "/api/v1/playbooks", &[], &anyway).await;
    assert_eq!(without_token.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_log_that_is_away_takes_nothing_and_says_so() {
    let app = App::filled().await;
    *app.log.away.lock().unwrap() = true;
    let answer = app.tell("/api/v1/playbooks", &[], &json!({ "text": text(2) }).to_string()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("log-unavailable")));
    let value: Value = app.api("/api/v1/playbooks").await.json();
    assert_eq!(value["items"], json!([]));
}
