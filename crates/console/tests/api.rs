//! What scripts get from the API, on a real Postgres.

#![allow(clippy::unwrap_used, reason = "part of the tests, outside their functions")]

mod common;

use axum::http::StatusCode;
use common::{App, HANAKO, HANAKOS_HANDOFF, fixture};
use serde_json::{Value, json};
use tasuki_wire::v1::{RejectReason, sales_feedback::Command};

fn emails(answer: &common::Answer) -> Vec<String> {
    answer.json()["items"].as_array().unwrap().iter().map(|item| item["email"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_of_leads_says_all_that_lists_show() {
    let app = App::filled().await;
    let answer = app.api("/api/v1/leads?search=hanako").await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
    insta::assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn those_that_wait_come_first_by_deadline_then_the_others_by_score_and_no_lead_without_behavior() {
    let app = App::filled().await;
    assert_eq!(
        emails(&app.api("/api/v1/leads").await),
        [
            "jonas.weber@nordwind.example",
            "amira.haddad@cedarfoods.example",
            "hanako.sato@midori.example",
            "maria@oliveira-textil.example",
            "pierre.dubois@atelier.example",
            "info@kobo.example",
            "mallory@evil.example",
        ]
    );
}

#[tokio::test]
async fn a_search_finds_all_its_words_in_any_order_and_case_and_takes_them_literally() {
    let app = App::filled().await;
    for (search, found) in [
        ("HANAKO.SATO@midori.example", vec!["hanako.sato@midori.example"]),
        ("%E8%8A%B1%E5%AD%90%E3%80%80%E4%BD%90%E8%97%A4", vec!["hanako.sato@midori.example"]),
        ("gmbh+weber", vec!["jonas.weber@nordwind.example"]),
        ("gmbh+hanako", vec![]),
        ("%25", vec![]),
        ("_", vec![]),
        ("%00", vec!["jonas.weber@nordwind.example"]),
    ] {
        let answer = app.api(&format!("/api/v1/leads?limit=1&search={search}")).await;
        assert_eq!(emails(&answer), found, "{search}");
    }
    assert_eq!(emails(&app.api("/api/v1/leads?stage=recycled").await), ["pierre.dubois@atelier.example"]);
    assert_eq!(
        emails(&app.api("/api/v1/leads?owner=lee").await),
        ["jonas.weber@nordwind.example", "maria@oliveira-textil.example"]
    );
}

#[tokio::test]
async fn pages_of_any_size_join_into_the_whole_list() {
    let app = App::filled().await;
    // Many leads with equal scores, and some with equal deadlines: the id must decide.
    fixture::statements(
        &app.url,
        "insert into tasuki.lead_current select (jsonb_populate_record(l, jsonb_build_object('lead_id', gen_random_uuid(), \
         'email', 'n' || n || '@many.example', 'score_mp', n % 3, 'score_band', 0))).* \
         from tasuki.lead_current l, generate_series(1, 40) n where l.email = 'info@kobo.example';
         insert into tasuki.handoffs select (jsonb_populate_record(h, jsonb_build_object('handoff_id', gen_random_uuid(), \
         'lead_id', l.lead_id))).* from tasuki.handoffs h, tasuki.lead_current l \
         where h.owner_id = 'mori' and h.state = 'assigned' and l.email like 'n3%@many.example';
         update tasuki.lead_current l set handoff_id = h.handoff_id, handoff_state = h.state, accept_by = h.accept_by, \
         qualified_at = h.qualified_at from tasuki.handoffs h where h.lead_id = l.lead_id and l.email like 'n3%';",
    )
    .await;
    let whole = emails(&app.api("/api/v1/leads?limit=500").await);
    assert_eq!(whole.len(), 47);
    for limit in [1, 3, 7, 46, 47] {
        let (mut joined, mut after) = (Vec::new(), String::new());
        loop {
            let answer = app.api(&format!("/api/v1/leads?limit={limit}&after={after}")).await;
            joined.extend(emails(&answer));
            assert!(joined.len() <= whole.len(), "limit {limit}: goes round in circles: {joined:?}");
            match answer.json()["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(joined, whole, "limit {limit}");
    }
}

#[tokio::test]
async fn a_lead_comes_with_profile_contributions_timeline_decisions_and_handoffs() {
    let app = App::filled().await;
    let answer = app.api(&format!("/api/v1/leads/{HANAKO}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    insta::assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn the_contributions_of_an_axis_add_up_to_its_score() {
    let app = App::filled().await;
    let lead = app.api(&format!("/api/v1/leads/{HANAKO}")).await.json();
    for axis in ["fit", "engagement"] {
        let contributions = lead["contributions"].as_array().unwrap().iter().filter(|one| one["axis"] == axis);
        let sum: i64 = contributions.map(|one| one["points_mp"].as_i64().unwrap()).sum();
        assert_eq!(json!(sum), lead[format!("{axis}_mp")]);
        assert_eq!(lead[axis].as_f64().unwrap() * 1_000.0, f64::from(i32::try_from(sum).unwrap()));
    }
}

#[tokio::test]
async fn handoffs_and_dead_letters_are_listed() {
    let app = App::filled().await;
    let ids = |answer: &common::Answer| -> Vec<Value> {
        answer.json()["items"].as_array().unwrap().iter().map(|item| item["state"].clone()).collect()
    };
    assert_eq!(ids(&app.api("/api/v1/handoffs?state=open").await), ["overdue", "unassigned", "assigned"]);
    assert_eq!(ids(&app.api("/api/v1/handoffs?state=rejected&owner=mori").await), ["rejected"]);
    let first = app.api("/api/v1/handoffs?limit=2").await;
    let next = first.json()["next"].as_str().unwrap().to_owned();
    assert_eq!(ids(&app.api(&format!("/api/v1/handoffs?limit=2&after={next}")).await), ["assigned"]);
    insta::assert_json_snapshot!(
        "one_handoff",
        app.api("/api/v1/handoffs/b0000000-0000-4000-8000-000000000005").await.json()
    );
    insta::assert_json_snapshot!("dead_letters", app.api("/api/v1/dead-letters").await.json());
}

#[tokio::test]
async fn whoever_has_no_token_gets_nothing_under_api() {
    let app = App::filled().await;
    let cookie = app.sign_in("Mika").await;
    for (headers, target) in [
        (vec![], "/api/v1/leads"),
        (vec![("authorization", "Bearer wrong")], "/api/v1/leads"),
        (vec![("cookie", cookie.as_str())], "/api/v1/leads"),
        (vec![], "/api"),
        (vec![], "/api/"),
        (vec![], "/api/v1/no-such-thing"),
        (vec![], "/api/v1/handoffs/b0000000-0000-4000-8000-000000000001/accept"),
    ] {
        let answer = app.send("GET", target, &headers, "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{target}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"tasuki\"");
        assert_eq!(
            answer.json(),
            json!({
                "code": "unauthorized",
                "message": "no valid API token; expected the header \"Authorization: Bearer <API token>\"",
            })
        );
    }
    let answer = app.send("POST", &format!("/api/v1/handoffs/{HANAKOS_HANDOFF}/accept"), &[], "").await;
    assert_eq!((answer.status, app.log.feedback()), (StatusCode::UNAUTHORIZED, vec![]));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_what_was_found_and_what_is_allowed() {
    let app = App::filled().await;
    let mut errors = serde_json::Map::new();
    for target in [
        "/api/v1/leads?stage=MQLs",
        "/api/v1/leads?limit=0",
        "/api/v1/leads?limit=501",
        "/api/v1/leads?after=yesterday",
        "/api/v1/leads?serach=hanako",
        "/api/v1/leads/4711",
        "/api/v1/leads/a0000000-0000-4000-8000-0000000000ff",
        "/api/v1/handoffs?state=closed",
        "/api/v1/dead-letters?limit=many",
        "/api/v1/lead",
        "/api/v1/handoffs/b0000000-0000-4000-8000-000000000001/accept",
    ] {
        let answer = app.api(target).await;
        errors.insert(target.to_owned(), json!([answer.status.as_u16(), answer.json()]));
    }
    insta::assert_json_snapshot!(errors);
}

#[tokio::test]
async fn accepting_puts_one_command_on_the_log_under_the_leads_key() {
    let app = App::filled().await;
    let answer = app.tell(&format!("/api/v1/handoffs/{HANAKOS_HANDOFF}/accept"), &[], "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    insta::assert_json_snapshot!(answer.json());
    let feedback = app.log.feedback();
    let meta = feedback[0].meta.clone().unwrap();
    assert_eq!(uuid::Uuid::from_slice(&meta.event_id).unwrap().to_string(), answer.json()["command_id"]);
    assert_eq!(uuid::Uuid::from_slice(&meta.lead_id).unwrap().to_string(), HANAKO);
    assert_eq!(
        (feedback[0].by.as_str(), &feedback[0].command),
        ("api", &Some(Command::Accept(tasuki_wire::v1::AcceptLead {})))
    );
    assert_eq!(app.log.records.lock().unwrap()[0].key, HANAKO);
}

#[tokio::test]
async fn saying_it_twice_is_one_command() {
    let app = App::filled().await;
    let accept = format!("/api/v1/handoffs/{HANAKOS_HANDOFF}/accept");
    let id = |answer: common::Answer| answer.json()["command_id"].as_str().unwrap().to_owned();
    let mori = id(app.tell(&accept, &[], r#"{"by": "mori"}"#).await);
    assert_eq!(id(app.tell(&accept, &[], r#"{"by": "mori"}"#).await), mori);
    assert_ne!(id(app.tell(&accept, &[], r#"{"by": "lee"}"#).await), mori);
    let keyed = id(app.tell(&accept, &[("idempotency-key", "crm-77")], r#"{"by": "mori"}"#).await);
    assert_ne!(keyed, mori);
    assert_eq!(id(app.tell(&accept, &[("idempotency-key", "crm-77")], r#"{"by": "lee"}"#).await), keyed);
}

#[tokio::test]
async fn rejecting_takes_a_reason_of_the_list_and_a_note() {
    let app = App::filled().await;
    let reject = format!("/api/v1/handoffs/{HANAKOS_HANDOFF}/reject");
    let answer = app.tell(&reject, &[], r#"{"reason": "no-budget", "note": "来年度", "by": "mori"}"#).await;
    assert_eq!((answer.status, answer.json()["command"].clone()), (StatusCode::ACCEPTED, json!("reject")));
    let expected = tasuki_wire::v1::RejectLead { reason: RejectReason::NoBudget.into(), note: "来年度".to_owned() };
    assert_eq!(app.log.feedback()[0].command, Some(Command::Reject(expected)));

    let long = format!(r#"{{"reason": "timing", "note": "{}"}}"#, "x".repeat(1_001));
    let mut errors = serde_json::Map::new();
    for body in [r#"{"reason": "because"}"#, "{}", "", r#"{"reason": "timing", "why": "x"}"#, "[1", long.as_str()] {
        let answer = app.tell(&reject, &[], body).await;
        let body = if body.len() > 99 { "(1001 characters)" } else { body };
        errors.insert(body.to_owned(), json!([answer.status.as_u16(), answer.json()]));
    }
    let answer = app.tell("/api/v1/handoffs/b0000000-0000-4000-8000-0000000000ff/accept", &[], "").await;
    errors.insert("(unknown handoff)".to_owned(), json!([answer.status.as_u16(), answer.json()]));
    let answer = app.tell(&reject, &[], &"x".repeat(70_000)).await;
    errors.insert("(too large)".to_owned(), json!([answer.status.as_u16(), answer.json()]));
    insta::assert_json_snapshot!(errors);
    assert_eq!(app.log.feedback().len(), 1, "what is refused is not on the log");
}

#[tokio::test]
async fn a_log_that_is_away_is_503_and_nothing_is_said_to_be_taken() {
    let app = App::filled().await;
    *app.log.away.lock().unwrap() = true;
    let answer = app.tell(&format!("/api/v1/handoffs/{HANAKOS_HANDOFF}/accept"), &[], "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert_eq!(answer.json()["code"], "log-unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_away_are_503_until_they_are_there() {
    let url = tasuki_testkit::postgres::fresh_database();
    let app = App::on(url.clone());
    let answer = app.api("/api/v1/leads").await;
    assert_eq!(
        (answer.status, answer.json()["code"].clone()),
        (StatusCode::SERVICE_UNAVAILABLE, json!("database-unavailable"))
    );
    assert!(!app.health.is_ready());
    fixture::make_tables(&url).await;
    tasuki_testkit::eventually::eventually(
        "readiness",
        || if app.health.is_ready() { Ok(()) } else { Err("not ready") },
    );
    assert_eq!(app.api("/api/v1/leads").await.json(), json!({ "items": [], "next": null }));
}
