//! What could not be processed, and why.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};

use super::{Problem, Visit, frame, parts};
use crate::routes::Shared;
use crate::store::{self, DEFAULT_LIMIT, DeadLetterRow};

/// `GET /dead-letters`
pub(crate) async fn show(State(console): State<Shared>, visit: Visit) -> Result<Response, Problem> {
    let text = visit.language;
    let letters =
        store::dead_letters(&console.pool, DEFAULT_LIMIT).await.map_err(|error| Problem::store(&console, error))?;
    let content = html! {
        div.page-head {
            h1 { (text.dead_letters()) }
            p.muted { (text.dead_letters_hint()) }
        }
        @if letters.is_empty() {
            div.empty { p { (text.no_dead_letters()) } }
        } @else {
            ul.letters {
                @for letter in &letters { li.card { (one(letter, &visit)) } }
            }
        }
    };
    Ok(Html(frame::page(&visit, text.dead_letters(), &content).into_string()).into_response())
}

fn one(letter: &DeadLetterRow, visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        h2 { code { (letter.service) " / " (letter.code) } span.badge { (letter.kind) } }
        p { (letter.message) }
        p.sub.muted {
            @if let Some(at) = letter.received_at { (text.received_at()) " " (parts::instant(at, visit)) " · " }
            (text.place()) " " code { (place(letter)) }
            " · " (letter.size) " B"
        }
    }
}

/// Topic, partition and offset; or method and address, the place in the body.
fn place(letter: &DeadLetterRow) -> String {
    if let Some((topic, partition, offset)) = &letter.log {
        return format!("{topic}/{partition}@{offset}");
    }
    let part = |name: &str| {
        letter.http.as_ref().and_then(|http| http.get(name)).and_then(serde_json::Value::as_str).unwrap_or_default()
    };
    format!("{} {} {}", part("method"), part("target"), part("pointer")).trim().to_owned()
}
