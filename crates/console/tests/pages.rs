//! What people see: signing in, both languages, nothing of a lead's own taken for markup.

mod common;

use axum::http::StatusCode;
use common::{App, HANAKO, HANAKOS_HANDOFF, MALLORY, TOKEN, text_of};
use tasuki_wire::v1::{RejectReason, sales_feedback::Command};

#[tokio::test]
async fn whoever_has_not_signed_in_sees_only_the_way_in() {
    let app = App::filled().await;
    for target in ["/leads", "/leads?search=hanako", "/dead-letters", "/no-such-page"] {
        let answer = app.send("GET", target, &[], "").await;
        let next = target.replace('/', "%2F").replace('?', "%3F").replace('=', "%3D");
        assert_eq!(
            (answer.status, answer.header("location")),
            (StatusCode::SEE_OTHER, format!("/sign-in?next={next}").as_str())
        );
        assert!(!answer.body.contains("hanako"));
    }
    let forged = [("cookie", "tasuki_session=9795426200000.TWlrYQ.AAAA")];
    assert_eq!(app.send("GET", "/leads", &forged, "").await.status, StatusCode::SEE_OTHER);
    let open = app.send("GET", "/sign-in", &[], "").await;
    assert_eq!((open.status, open.body.contains("type=\"password\"")), (StatusCode::OK, true));
}

#[tokio::test]
async fn signing_in_gives_a_cookie_without_the_token_and_leads_back() {
    let app = App::filled().await;
    let form = format!("token={TOKEN}&name=Mika&next=%2Fleads%3Fstage%3DMQL");
    let answer = app.form("/sign-in", "", &form).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/leads?stage=MQL"));
    let cookie = answer.header("set-cookie");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"), "{cookie}");
    assert!(!cookie.contains(TOKEN));
    let elsewhere = app.form("/sign-in", "", &format!("token={TOKEN}&next=//evil.example")).await;
    assert_eq!(elsewhere.header("location"), "/leads");

    let wrong = app.form("/sign-in", "", "token=wrong&name=Mika").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (StatusCode::UNAUTHORIZED, ""));
    assert!(wrong.body.contains("This is not the API token."));
    let out = app.form("/sign-out", cookie.split(';').next().unwrap(), "").await;
    assert!(out.header("set-cookie").starts_with("tasuki_session=; "));
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let app = App::filled().await;
    let cookie = app.sign_in("Mika").await;
    for site in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("x-nothing", "said")] {
        let headers = [("cookie", cookie.as_str()), ("host", "localhost:8471"), site];
        let answer = app.send("POST", &format!("/handoffs/{HANAKOS_HANDOFF}/accept"), &headers, "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{site:?}");
    }
    assert_eq!(app.log.feedback(), []);
}

#[tokio::test]
async fn a_link_from_another_site_finds_the_session_on_the_second_step() {
    let app = App::filled().await;
    let answer = app.send("GET", "/leads?stage=MQL", &[("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        answer.body.contains("<meta http-equiv=\"refresh\" content=\"0;url=/leads?stage=MQL\">"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn every_answer_forbids_scripts_frames_and_caches() {
    let app = App::filled().await;
    for target in ["/leads", "/sign-in", "/no-such-page", "/api/v1/leads", "/assets/console.css"] {
        let answer = app.page(target, "en").await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; ") && policy.contains("frame-ancestors 'none'")
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control") == "no-store", !target.starts_with("/assets/"), "{target}");
        assert!(!answer.body.contains(" style=\""), "{target}: the policy would drop it");
    }
}

#[tokio::test]
async fn the_list_reads_in_both_languages() {
    let app = App::filled().await;
    insta::assert_snapshot!("list_in_english", text_of(&app.page("/leads", "en").await.body));
    insta::assert_snapshot!("list_in_japanese", text_of(&app.page("/leads", "ja").await.body));
    let empty = app.page("/leads?search=%3Cb%3E", "ja").await;
    assert!(text_of(&empty.body).contains("「&lt;b&gt;」に一致するリードはありません。"));
}

#[tokio::test]
async fn a_lead_reads_in_both_languages_with_every_point_and_reason() {
    let app = App::filled().await;
    insta::assert_snapshot!("lead_in_english", text_of(&app.page(&format!("/leads/{HANAKO}"), "en").await.body));
    insta::assert_snapshot!("lead_in_japanese", text_of(&app.page(&format!("/leads/{HANAKO}"), "ja").await.body));
    insta::assert_snapshot!("dead_letters_in_english", text_of(&app.page("/dead-letters", "en").await.body));
}

#[tokio::test]
async fn a_chosen_language_is_remembered() {
    let app = App::filled().await;
    let answer = app.send("GET", "/leads?stage=MQL&lang=ja", &[("accept-language", "en")], "").await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/leads?stage=MQL"));
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    let answer = app.send("GET", "/sign-in", &[("accept-language", "en"), ("cookie", cookie)], "").await;
    assert!(answer.body.contains("<html lang=\"ja\">"));
}

#[tokio::test]
async fn what_a_lead_says_of_itself_is_never_markup() {
    let app = App::filled().await;
    for target in ["/leads".to_owned(), format!("/leads/{MALLORY}"), "/leads?search=%22%3E%3Cscript%3E".to_owned()] {
        let body = app.page(&target, "en").await.body;
        for mark in ["<script", "<img src=x", "<b>x", "onclick=\""] {
            assert!(!body.contains(mark), "{target}: {mark}");
        }
    }
    let body = app.page(&format!("/leads/{MALLORY}"), "en").await.body;
    for part in ["name", "value", "what", "title", "path", "about", "reason"] {
        assert!(body.contains(&format!("&lt;script&gt;alert(&quot;{part}&quot;)")), "{part} is shown, as text");
    }
}

#[tokio::test]
async fn clicking_accept_twice_is_one_command_in_the_persons_name() {
    let app = App::filled().await;
    let cookie = app.sign_in("Mika").await;
    for _ in 0..2 {
        let answer = app.form(&format!("/handoffs/{HANAKOS_HANDOFF}/accept"), &cookie, "").await;
        let lead = format!("/leads/{HANAKO}?sent=1");
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, lead.as_str()));
    }
    let feedback = app.log.feedback();
    let ids: Vec<_> = feedback.iter().map(|one| one.meta.as_ref().unwrap().event_id.clone()).collect();
    assert_eq!((ids.len(), ids[0] == ids[1], feedback[0].by.as_str()), (2, true, "Mika"));
}

#[tokio::test]
async fn a_verdict_under_way_is_looked_for_until_it_is_through() {
    let app = App::filled().await;
    let body = app.page(&format!("/leads/{HANAKO}?sent=1"), "en").await.body;
    assert!(body.contains(&format!("content=\"1;url=/leads/{HANAKO}?sent=2\"")), "looks again");
    assert!(!body.contains("/accept\""), "offers no second verdict");
    let body = app.page(&format!("/leads/{HANAKO}?sent=8"), "en").await.body;
    assert!(!body.contains("http-equiv") && body.contains("Sent, but not through yet."), "stops looking");
    common::fixture::statements(&app.url, "update tasuki.handoffs set state = 'accepted', accepted_at = assigned_at")
        .await;
    let body = app.page(&format!("/leads/{HANAKO}?sent=1"), "en").await.body;
    assert!(!body.contains("http-equiv") && !body.contains("role=\"status\""), "is through");
}

#[tokio::test]
async fn rejecting_on_the_page_needs_a_reason_of_the_list() {
    let app = App::filled().await;
    let cookie = app.sign_in("").await;
    let reject = format!("/handoffs/{HANAKOS_HANDOFF}/reject");
    for form in ["", "reason=", "reason=because"] {
        assert_eq!(app.form(&reject, &cookie, form).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{form:?}");
    }
    assert_eq!(app.form(&reject, &cookie, "reason=duplicate&note=+x+").await.status, StatusCode::SEE_OTHER);
    let expected = tasuki_wire::v1::RejectLead { reason: RejectReason::Duplicate.into(), note: "x".to_owned() };
    let feedback = app.log.feedback();
    assert_eq!((feedback.len(), feedback[0].by.as_str()), (1, "console"));
    assert_eq!(feedback[0].command, Some(Command::Reject(expected)));
}

#[tokio::test]
async fn what_does_not_work_is_said_on_a_page() {
    let app = App::filled().await;
    for target in ["/no-such-page", "/leads/4711", "/leads/a0000000-0000-4000-8000-0000000000ff"] {
        let answer = app.page(target, "en").await;
        assert_eq!(
            (answer.status, answer.body.contains("<h1>Not found</h1>")),
            (StatusCode::NOT_FOUND, true),
            "{target}"
        );
    }
    *app.log.away.lock().unwrap() = true;
    let cookie = app.sign_in("Mika").await;
    let answer = app.form(&format!("/handoffs/{HANAKOS_HANDOFF}/accept"), &cookie, "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("The verdict was not taken"));
    let empty = App::on(tasuki_testkit::postgres::fresh_database());
    let answer = empty.page("/leads", "ja").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("データベースが応答しません"));
}
