//! The list of leads: who is next.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tasuki_domain::Stage;

use super::{Problem, Visit, frame, parts};
use crate::language::Language;
use crate::link;
use crate::routes::Shared;
use crate::store::{self, Cursor, DEFAULT_LIMIT, LeadFilter, LeadRow, Page};

/// One column of the list.
struct Column {
    heading: fn(Language) -> &'static str,
    /// Class of its cells, for the style sheet.
    class: &'static str,
    cell: fn(&LeadRow, &Visit) -> Markup,
}

/// The columns, in order. The first one names the lead.
const COLUMNS: [Column; 8] = [
    Column { heading: Language::lead, class: "who", cell: who },
    Column { heading: Language::company, class: "company", cell: |lead, _| text(&lead.company) },
    Column { heading: Language::stage, class: "stage", cell: |lead, visit| parts::stage(lead.stage, visit.language) },
    Column {
        heading: Language::fit,
        class: "points",
        cell: |lead, visit| parts::score(lead.fit, "fit", visit.language),
    },
    Column {
        heading: Language::engagement,
        class: "points",
        cell: |lead, visit| parts::score(lead.engagement, "engagement", visit.language),
    },
    Column { heading: Language::grade, class: "grade-cell", cell: |lead, _| parts::grade(&lead.grade) },
    Column { heading: Language::owner, class: "owner", cell: owner },
    Column { heading: Language::handoff_column, class: "waits", cell: waits },
];

/// What stands behind the `?`. What makes no sense there is as if it were missing: people edit addresses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    search: String,
    stage: String,
    after: String,
}

/// `GET /leads`
pub(crate) async fn show(
    State(console): State<Shared>,
    visit: Visit,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let filter = LeadFilter { search: asked.search.trim().to_owned(), stage: asked.stage.parse().ok(), owner: None };
    let after = asked.after.parse::<Cursor>().ok();
    let page = store::leads(&console.pool, &filter, after, DEFAULT_LIMIT)
        .await
        .map_err(|error| Problem::store(&console, error))?;
    let content = html! {
        div.page-head {
            h1 { (visit.language.who_is_next()) }
            p.muted { (visit.language.list_order()) }
        }
        (search_form(&filter, visit.language))
        @if page.items.is_empty() { (nothing(&filter, visit.language)) } @else { (table(&page.items, &visit)) }
        (pager(&filter, after.is_some(), &page, visit.language))
    };
    Ok(Html(frame::page(&visit, visit.language.leads(), &content).into_string()).into_response())
}

fn search_form(filter: &LeadFilter, text: Language) -> Markup {
    html! {
        form.filters method="get" action="/leads" role="search" {
            div.field.grow {
                label for="search" { (text.search_label()) }
                input #search type="search" name="search" value=(filter.search) maxlength="200" autocomplete="off"
                    spellcheck="false";
            }
            div.field {
                label for="stage" { (text.stage()) }
                select #stage name="stage" {
                    option value="" { (text.all_stages()) }
                    @for stage in Stage::ALL {
                        option value=(stage.name()) selected[filter.stage == Some(stage)] { (text.stage_name(stage).0) }
                    }
                }
            }
            button.primary type="submit" { (text.search()) }
        }
    }
}

/// The roles say again what the elements mean: on narrow screens the style sheet makes cards of the rows, and browsers
/// then forget that it is a table.
pub(super) fn table(leads: &[LeadRow], visit: &Visit) -> Markup {
    html! {
        table.leads role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    @for column in &COLUMNS {
                        th role="columnheader" scope="col" class=(column.class) { ((column.heading)(visit.language)) }
                    }
                }
            }
            tbody role="rowgroup" {
                @for lead in leads {
                    tr role="row" class=[lead.waits().then_some("waiting")] {
                        @for column in &COLUMNS {
                            td role="cell" class=(column.class) data-label=((column.heading)(visit.language)) {
                                ((column.cell)(lead, visit))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn who(lead: &LeadRow, visit: &Visit) -> Markup {
    let shown = if lead.shown().is_empty() { visit.language.anonymous_lead() } else { lead.shown() };
    html! {
        a.lead-name href=(format!("/leads/{}", lead.id)) { (shown) }
        @if !lead.name.is_empty() && !lead.email.is_empty() { span.sub { (lead.email) } }
        @if !lead.company.is_empty() { span.sub.narrow { (lead.company) } }
        @if let Some(at) = lead.last_activity_at {
            span.sub.muted { (visit.language.last_activity()) " " (parts::ago(at, visit)) }
        }
    }
}

fn owner(lead: &LeadRow, visit: &Visit) -> Markup {
    match &lead.owner {
        Some(owner) => text(owner.shown()),
        None if lead.waits() => html! { span.muted { (visit.language.no_owner()) } },
        None => text(""),
    }
}

fn waits(lead: &LeadRow, visit: &Visit) -> Markup {
    match (lead.handoff, lead.accept_by) {
        (Some((_, state)), Some(due)) if state.is_open() => parts::deadline(due, visit),
        (Some((_, state)), _) => html! { span.muted { (visit.language.handoff_state(state)) } },
        (None, _) => text(""),
    }
}

fn text(text: &str) -> Markup {
    html! { @if text.is_empty() { span.muted.none aria-hidden="true" { "–" } } @else { (text) } }
}

fn nothing(filter: &LeadFilter, text: Language) -> Markup {
    let filtered = !filter.search.is_empty() || filter.stage.is_some();
    html! {
        div.empty {
            @if filtered {
                h2 { (text.nothing_found()) }
                @if !filter.search.is_empty() { p { (text.nothing_found_for(&filter.search)) } }
                p { a.button href="/leads" { (text.show_all()) } }
            } @else {
                h2 { (text.no_leads()) }
                p { (text.no_leads_hint()) }
            }
        }
    }
}

fn pager(filter: &LeadFilter, inside: bool, page: &Page<LeadRow, Cursor>, text: Language) -> Markup {
    let stage = filter.stage.map(Stage::name).unwrap_or_default();
    let address =
        |after: &str| link::with_query("/leads", &[("search", &filter.search), ("stage", stage), ("after", after)]);
    html! {
        nav.pager aria-label=(text.pages()) {
            @if !page.items.is_empty() { p.muted { (text.results(page.items.len(), inside || page.next.is_some())) } }
            @if inside { a.button href=(address("")) { (text.first_page()) } }
            @if let Some(next) = &page.next {
                a.button href=(address(&next.to_string())) rel="next" { (text.next_page()) }
            }
        }
    }
}
