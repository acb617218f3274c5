//! Signing in with the API token, and out again.

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Problem, Visit, frame};
use crate::auth::{self, LONGEST_NAME};
use crate::link;
use crate::metrics;
use crate::routes::Shared;

/// `GET /sign-in`
pub(crate) async fn show(visit: Visit) -> Response {
    let next = next_of(&visit.target);
    if visit.person.is_some() {
        return Redirect::to(link::own_path(&next)).into_response();
    }
    Html(page(&visit, &next, "", None).into_string()).into_response()
}

#[derive(Deserialize)]
pub(crate) struct SignIn {
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    next: String,
}

/// `POST /sign-in`
pub(crate) async fn sign_in(
    State(console): State<Shared>,
    visit: Visit,
    form: Result<Form<SignIn>, FormRejection>,
) -> Result<Response, Problem> {
    let Ok(Form(form)) = form else { return Err(Problem::BadForm) };
    let text = visit.language;
    let name = form.name.trim();
    let wrong = if !console.token.is(form.token.trim()) {
        Some((StatusCode::UNAUTHORIZED, text.wrong_token()))
    } else if name.chars().count() > LONGEST_NAME {
        Some((StatusCode::UNPROCESSABLE_ENTITY, text.name_too_long()))
    } else {
        None
    };
    metrics::sign_in(wrong.is_none());
    if let Some((status, wrong)) = wrong {
        return Ok((status, Html(page(&visit, &form.next, name, Some(wrong)).into_string())).into_response());
    }
    let cookie = console.token.start_session(name, visit.now, visit.secure);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(link::own_path(&form.next))).into_response())
}

/// `POST /sign-out`
pub(crate) async fn sign_out() -> Response {
    ([(header::SET_COOKIE, auth::end_session())], Redirect::to("/sign-in")).into_response()
}

/// Somebody followed a link from another site, so the browser held the session back. Loading the page again from here
/// is a step within our own site, and brings it.
pub(crate) fn bounce(visit: &Visit) -> Response {
    let text = visit.language;
    let target = link::own_path(&visit.target);
    let content = html! {
        div.notice-page {
            h1 { (text.one_moment()) }
            p.actions { a.button href=(target) { (text.continue_()) } }
        }
    };
    Html(frame::refreshing_page(visit, text.one_moment(), &content, Some((0, target))).into_string()).into_response()
}

/// The `next` of the address, decoded.
fn next_of(target: &str) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let encoded = query.split('&').find_map(|pair| pair.strip_prefix("next=")).unwrap_or_default();
    link::decode(encoded)
}

fn page(visit: &Visit, next: &str, name: &str, wrong: Option<&str>) -> Markup {
    let text = visit.language;
    let content = html! {
        div.sign-in {
            img src="/assets/icon.svg" alt="" width="56" height="56";
            h1 { (text.sign_in()) }
            p.muted { (text.sign_in_lead()) }
            @if let Some(wrong) = wrong { p.alert #wrong role="alert" { (wrong) } }
            form.card method="post" action="/sign-in" {
                input type="hidden" name="next" value=(next);
                div.field {
                    label for="token" { (text.api_token()) }
                    input #token type="password" name="token" required autocomplete="current-password"
                        aria-describedby="token-hint" aria-invalid=[wrong.map(|_| "true")] autofocus;
                    p.hint #token-hint { (text.api_token_hint()) }
                }
                div.field {
                    label for="name" { (text.your_name()) " " span.optional { (text.optional()) } }
                    input #name type="text" name="name" value=(name) maxlength=(LONGEST_NAME) autocomplete="name"
                        aria-describedby="name-hint";
                    p.hint #name-hint { (text.your_name_hint()) }
                }
                button.primary.wide type="submit" { (text.sign_in()) }
            }
        }
    };
    frame::page(visit, text.sign_in(), &content)
}
