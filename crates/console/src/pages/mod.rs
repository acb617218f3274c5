//! The pages: rendered here, without a build step and without script.
//!
//! A page is one file with a handler that takes a [`Visit`] and gives [`frame::page`] its title and content.

pub(crate) mod accounts;
pub(crate) mod assets;
pub(crate) mod dead_letters;
pub(crate) mod explain;
pub(crate) mod lead;
pub(crate) mod leads;
pub(crate) mod playbook;
pub(crate) mod sign_in;
pub(crate) mod verdict;

mod duplicates;
mod frame;
mod ledger;
mod parts;

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use maud::html;
use tasuki_domain::Timestamp;

use crate::language::Language;
use crate::routes::Console;
use crate::settings::Zone;
use crate::store::StoreError;

/// Who looks at a page, how and when. A handler that takes it is behind the guard.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) language: Language,
    pub(crate) zone: Zone,
    pub(crate) now: Timestamp,
    /// Who has signed in, as they called themselves; `None` only on the sign-in page.
    pub(crate) person: Option<String>,
    /// Path and query of the page.
    pub(crate) target: String,
    /// Address of the style sheet.
    pub(crate) style: Arc<str>,
    /// Reached by TLS.
    pub(crate) secure: bool,
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The target may hold what somebody searched for.
        f.debug_struct("Visit").field("language", &self.language).finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or(Problem::Defect)
    }
}

/// Why a page cannot be shown. As an answer it is empty; the guard, which knows the language, makes the page of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    NotFound,
    /// The form was not sent from one of our pages.
    ForeignForm,
    /// A form that our pages do not send like this.
    BadForm,
    DatabaseDown,
    LogDown,
    /// It took too long.
    Late,
    Defect,
}

impl Problem {
    /// What became of a query; booked.
    pub(crate) fn store(console: &Console, error: StoreError) -> Self {
        if console.failed(error) { Self::DatabaseDown } else { Self::Defect }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::BadForm => StatusCode::UNPROCESSABLE_ENTITY,
            Self::DatabaseDown | Self::LogDown | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
            Self::Defect => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The page that says what is wrong and what to do.
pub(crate) fn problem(visit: &Visit, problem: Problem) -> Response {
    let text = visit.language;
    let (title, hint) = match problem {
        Problem::NotFound => (text.not_found(), text.not_found_hint()),
        Problem::ForeignForm => (text.foreign_form(), text.foreign_form_hint()),
        Problem::BadForm => (text.bad_form(), text.bad_form_hint()),
        Problem::DatabaseDown => (text.unavailable(), text.database_down()),
        Problem::LogDown => (text.unavailable(), text.log_down()),
        Problem::Late => (text.unavailable(), text.too_late()),
        Problem::Defect => (text.internal(), text.internal_hint()),
    };
    let again = problem == Problem::DatabaseDown;
    let content = html! {
        div.notice-page {
            p.status-code aria-hidden="true" { (problem.status().as_u16()) }
            h1 { (title) }
            p { (hint) }
            p.actions {
                @if again { a.button.primary href=(visit.target) { (text.try_again()) } }
                a.button href="/leads" { (text.back_to_list()) }
            }
        }
    };
    (problem.status(), Html(frame::page(visit, title, &content).into_string())).into_response()
}
