//! Accounts: the list of those whose people show interest, and one with its leads.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Problem, Visit, frame, leads, parts};
use crate::language::Language;
use crate::link;
use crate::routes::Shared;
use crate::store::{self, AccountCursor, AccountDetail, AccountRow, DEFAULT_LIMIT, Department, Page};

/// Departments that a row of the list names; the page of the account has all.
const NAMED: usize = 3;

/// What stands behind the `?`. What makes no sense there is as if it were missing: people edit addresses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    search: String,
    after: String,
}

/// `GET /accounts`
pub(crate) async fn list(
    State(console): State<Shared>,
    visit: Visit,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let (search, after) = (asked.search.trim(), asked.after.parse::<AccountCursor>().ok());
    let inside = after.is_some();
    let page = store::accounts(&console.pool, search, after, DEFAULT_LIMIT)
        .await
        .map_err(|error| Problem::store(&console, error))?;
    let text = visit.language;
    let content = html! {
        div.page-head {
            h1 { (text.accounts()) }
            p.muted { (text.accounts_hint()) }
        }
        (search_form(search, text))
        @if page.items.is_empty() { (nothing(search, text)) } @else { (table(&page.items, &visit)) }
        (pager(search, inside, &page, text))
    };
    Ok(Html(frame::page(&visit, text.accounts(), &content).into_string()).into_response())
}

/// `GET /accounts/{id}`
pub(crate) async fn show(
    State(console): State<Shared>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let detail = store::account(&console.pool, &id).await.map_err(|error| Problem::store(&console, error))?;
    let detail = detail.ok_or(Problem::NotFound)?;
    let content = one(&detail, &visit);
    Ok(Html(frame::page(&visit, detail.account.shown(), &content).into_string()).into_response())
}

/// What the page of a lead says of its account.
pub(super) fn section(account: &AccountRow, text: Language) -> Markup {
    html! {
        section.card.of-account aria-labelledby="account" {
            h2 #account { (text.account()) }
            p { (name(account)) }
            (figures(account, text))
        }
    }
}

fn name(account: &AccountRow) -> Markup {
    html! {
        a.lead-name href=(link::to_account(&account.id)) { (account.shown()) }
        @if !account.company.is_empty() { span.sub { (account.id) } }
    }
}

/// Engagement, people and departments.
fn figures(account: &AccountRow, text: Language) -> Markup {
    html! {
        dl.attributes {
            div {
                dt { (text.engagement()) }
                dd {
                    strong title=(text.points_of(&account.engagement.to_string())) { (parts::rounded(account.engagement)) }
                    @if account.sum > account.engagement { span.sub { (text.without_the_cap(&account.sum.to_string())) } }
                }
            }
            div { dt { (text.engaged_people()) } dd { (text.of_leads(account.people, account.leads)) } }
            div {
                dt { (text.departments()) }
                dd {
                    @if account.departments.is_empty() { span.muted.none { "–" } }
                    @for department in &account.departments { span.department { (in_words(department, text)) } " " }
                }
            }
        }
    }
}

fn in_words(department: &Department, text: Language) -> String {
    text.people_of(&department.name, department.people)
}

fn one(detail: &AccountDetail, visit: &Visit) -> Markup {
    let (account, text) = (&detail.account, visit.language);
    html! {
        p.back { a href="/accounts" { "← " (text.back_to_accounts()) } }
        div.page-head {
            h1 { (account.shown()) }
            @if !account.company.is_empty() { p.muted { (account.id) } }
        }
        section.card.account-card aria-labelledby="together" {
            h2 #together { (text.together()) }
            (figures(account, text))
            p.hint {
                (text.account_explained())
                @if let Some(as_of) = account.as_of {
                    " " (text.playbook_version(account.playbook_version)) " · "
                    (text.score_as_of(&crate::moment::full(as_of, &visit.zone, text)))
                }
            }
        }
        h2.list-head { (text.leads_of_account()) }
        @if detail.leads.is_empty() {
            div.empty { p { (text.no_leads_of_account()) } }
        } @else {
            (leads::table(&detail.leads, visit))
        }
    }
}

fn search_form(search: &str, text: Language) -> Markup {
    html! {
        form.filters method="get" action="/accounts" role="search" {
            div.field.grow {
                label for="search" { (text.account_search_label()) }
                input #search type="search" name="search" value=(search) maxlength="200" autocomplete="off" spellcheck="false";
            }
            button.primary type="submit" { (text.search()) }
        }
    }
}

/// The roles say again what the elements mean, as in the list of leads.
fn table(accounts: &[AccountRow], visit: &Visit) -> Markup {
    let text = visit.language;
    let columns = [
        ("who", text.account()),
        ("points", text.engagement()),
        ("people", text.engaged_people()),
        ("departments", text.departments()),
    ];
    html! {
        table.leads role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    @for (class, heading) in columns { th role="columnheader" scope="col" class=(class) { (heading) } }
                }
            }
            tbody role="rowgroup" {
                @for account in accounts {
                    tr role="row" {
                        @for ((class, heading), cell) in columns.into_iter().zip(cells(account, text)) {
                            td role="cell" class=(class) data-label=(heading) { (cell) }
                        }
                    }
                }
            }
        }
    }
}

fn cells(account: &AccountRow, text: Language) -> [Markup; 4] {
    let more = account.departments.len().saturating_sub(NAMED);
    [
        name(account),
        html! { strong title=(text.points_of(&account.engagement.to_string())) { (parts::rounded(account.engagement)) } },
        html! { (text.of_leads(account.people, account.leads)) },
        html! {
            @if account.departments.is_empty() { span.muted.none aria-hidden="true" { "–" } }
            @for department in account.departments.iter().take(NAMED) {
                span.department { (in_words(department, text)) } " "
            }
            @if more > 0 { span.muted { (text.and_more(more)) } }
        },
    ]
}

fn nothing(search: &str, text: Language) -> Markup {
    html! {
        div.empty {
            @if search.is_empty() {
                h2 { (text.no_accounts()) }
                p { (text.no_accounts_hint()) }
            } @else {
                h2 { (text.nothing_found()) }
                p { a.button href="/accounts" { (text.back_to_accounts()) } }
            }
        }
    }
}

fn pager(search: &str, inside: bool, page: &Page<AccountRow, AccountCursor>, text: Language) -> Markup {
    let address = |after: &str| link::with_query("/accounts", &[("search", search), ("after", after)]);
    html! {
        nav.pager aria-label=(text.pages()) {
            @if !page.items.is_empty() { p.muted { (text.accounts_shown(page.items.len(), inside || page.next.is_some())) } }
            @if inside { a.button href=(address("")) { (text.first_page()) } }
            @if let Some(next) = &page.next {
                a.button href=(address(&next.to_string())) rel="next" { (text.next_page()) }
            }
        }
    }
}
