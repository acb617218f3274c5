//! One lead's score as of any instant, by any playbook that was in force: every point, what is expected, what would lift it.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tasuki_domain::{LeadId, Millipoints, PlaybookVersion};
use tasuki_playbook::AccountMeasure;

use super::playbook::versions;
use super::{Problem, Visit, frame, lead, ledger, parts};
use crate::explain::{self, By, Explained, Explanation, Lift, Unexplained};
use crate::language::Language;
use crate::moment;
use crate::publication::Published;
use crate::routes::Shared;
use crate::store::{self, ContributionRow, TrackRow};

/// What stands behind the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// On the calendar of the pages, or with a zone of its own.
    as_of: String,
    /// The version of a playbook.
    playbook: String,
}

/// `GET /leads/{id}/explain`
pub(crate) async fn show(
    State(console): State<Shared>,
    visit: Visit,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let text = visit.language;
    let id: LeadId = id.parse().map_err(|_| Problem::NotFound)?;
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let rows = store::publications(&console.pool).await.map_err(|error| Problem::store(&console, error))?;
    let versions = versions(&Published::new(&rows, &console.start));
    let answer = match question(&asked, &visit) {
        Ok((as_of, by)) => explain::explain(&console, id, as_of, by).await,
        Err(what) => return Ok(page(&visit, id, &asked, &versions, &html! { p.alert { (what) } })),
    };
    let content = match answer {
        Ok(explanation) => body(&explanation, &visit),
        Err(Unexplained::NoLead) => return Err(Problem::NotFound),
        Err(Unexplained::NeverPublished(version)) => {
            html! { p.alert { (text.never_published_version(version.get())) } }
        }
        Err(Unexplained::OutOfBounds { first, last }) => {
            let [first, last] = [first, last].map(|at| moment::full(at, &visit.zone, text));
            html! { p.alert { (text.out_of_bounds(&first, &last)) } }
        }
        Err(Unexplained::Faulty(_) | Unexplained::Unusable(_)) => html! { p.alert { (text.playbook_unreadable()) } },
        Err(Unexplained::Store(error)) => return Err(Problem::store(&console, error)),
        Err(Unexplained::Defect) => return Err(Problem::Defect),
    };
    Ok(page(&visit, id, &asked, &versions, &content))
}

/// What is asked, or what is wrong with it in words.
fn question(asked: &Asked, visit: &Visit) -> Result<(Option<tasuki_domain::Timestamp>, By), String> {
    let text = visit.language;
    let as_of = match asked.as_of.trim() {
        "" => None,
        said => Some(moment::read(said, &visit.zone).ok_or_else(|| text.no_instant(said))?),
    };
    let by = match asked.playbook.trim() {
        "" => By::InForce,
        said => By::Version(said.parse().map(PlaybookVersion::new).map_err(|_| text.no_version(said))?),
    };
    Ok((as_of, by))
}

fn page(visit: &Visit, id: LeadId, asked: &Asked, versions: &[PlaybookVersion], content: &Markup) -> Response {
    let text = visit.language;
    let content = html! {
        p.back { a href=(format!("/leads/{id}")) { "← " (text.back_to_lead()) } }
        div.page-head {
            h1 { (text.explain_title()) }
            p.muted { (text.explain_hint()) }
        }
        form.filters method="get" action=(format!("/leads/{id}/explain")) {
            (as_of_field(&asked.as_of, visit))
            div.field {
                label for="playbook" { (text.playbook()) }
                select #playbook name="playbook" {
                    option value="" { (text.the_one_in_force()) }
                    @for version in versions {
                        option value=(version) selected[asked.playbook == version.to_string()] {
                            (text.playbook_version(i64::from(version.get())))
                        }
                    }
                }
            }
            button.primary type="submit" { (text.explain()) }
            p.hint #as-of-hint { (text.as_of_hint()) }
        }
        (content)
    };
    Html(frame::page(visit, text.explain_title(), &content).into_string()).into_response()
}

/// Where the instant is asked for; without one it is that of the score that is shown.
fn as_of_field(said: &str, visit: &Visit) -> Markup {
    html! {
        div.field.instant {
            label for="as_of" { (visit.language.as_of()) }
            input #as_of type="datetime-local" name="as_of" value=(said) aria-describedby="as-of-hint";
        }
    }
}

/// The way from the page of a lead to here.
pub(super) fn way_in(id: LeadId, visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        details.explain {
            summary { (text.explain_as_of()) }
            form.filters method="get" action=(format!("/leads/{id}/explain")) {
                (as_of_field("", visit))
                button.primary type="submit" { (text.explain()) }
                p.hint #as-of-hint { (text.as_of_hint()) }
            }
        }
    }
}

fn body(explanation: &Explanation, visit: &Visit) -> Markup {
    let (text, explained, of) = (visit.language, &explanation.explained, &explanation.known.lead);
    let scored = &explained.scored;
    let contributions = ContributionRow::of(scored);
    let [engagement, fit] = [scored.engagement_mp, scored.fit_mp].map(Millipoints::new);
    let later = explanation.said_later();
    let version = i64::from(explanation.playbook.version().get());
    html! {
        @if let Some(into) = of.merged_into {
            p.alert { (text.merged_lead()) " " a href=(format!("/leads/{into}/explain")) { (text.to_that_lead()) } }
        }
        @if !explanation.is_in_force {
            p.alert.info { (text.another_is_in_force(explanation.in_force.get())) }
        }
        div.columns {
            div.main-column {
                section.card aria-labelledby="score" {
                    div.section-head {
                        h2 #score { (lead::shown(of, text)) }
                        p.grade-line { (text.grade()) " " (parts::grade(&scored.grade)) }
                    }
                    p.muted {
                        (text.score_as_of(&moment::full(explanation.as_of, &visit.zone, text))) " · "
                        (text.playbook_version(version)) " · " (text.signals(scored.signals))
                    }
                    (ledger::axes(engagement, fit, &contributions.iter().collect::<Vec<_>>(), visit))
                    (ledger::tracks(&TrackRow::of(scored), &contributions, visit))
                    @if !later.is_empty() {
                        @let names: Vec<&str> = later.iter().map(|name| text.attribute_name(name)).collect();
                        p.alert.info { (text.said_later(&names.join(", "))) }
                    }
                }
            }
            div.side {
                (shown(explanation, visit))
                (outlook(explanation, visit))
                @for lift in &explained.lifts { (lifted(lift, text)) }
            }
        }
    }
}

/// What the list and the page of the lead show, to compare.
fn shown(explanation: &Explanation, visit: &Visit) -> Markup {
    let (text, lead) = (visit.language, &explanation.known.lead);
    let scored = &explanation.explained.scored;
    let then = [scored.engagement_mp, scored.fit_mp].map(Millipoints::new);
    let rows = [(text.engagement(), lead.engagement, then[0]), (text.fit(), lead.fit, then[1])];
    html! {
        @if let Some(as_of) = lead.scored_as_of {
            section.card aria-labelledby="shown" {
                h2 #shown { (text.compared_with_shown()) }
                dl.compared {
                    @for (name, shown, here) in rows {
                        div { dt { (name) } dd { (shown) @if shown != here { " → " strong { (here) } } } }
                    }
                    div {
                        dt { (text.grade()) }
                        dd { (lead.grade) @if lead.grade != scored.grade { " → " strong { (scored.grade) } } }
                    }
                }
                p.hint {
                    (text.score_as_of(&moment::full(as_of, &visit.zone, text))) " · "
                    (text.playbook_version(lead.playbook_version))
                }
            }
        }
    }
}

fn outlook(explanation: &Explanation, visit: &Visit) -> Markup {
    let text = visit.language;
    let Explained { expected, open_routes, .. } = &explanation.explained;
    let account = &explanation.known.account;
    html! {
        section.card aria-labelledby="expected" {
            h2 #expected { (text.expected()) }
            p.muted {
                @if open_routes.is_empty() { (text.no_route_holds()) } @else { (text.routes_hold(&open_routes.join(", "))) }
            }
            @for measure in explanation.playbook.account_asked().measures() {
                p.fact {
                    code { (measure.written()) } " "
                    @match measure {
                        AccountMeasure::Departments => (account.departments),
                        AccountMeasure::People => (account.people),
                        AccountMeasure::Engagement => (account.engagement),
                    }
                }
            }
            @if expected.is_empty() { p.muted { (text.nothing_expected()) } }
            ol.trail {
                @for change in expected {
                    li {
                        p.what {
                            strong { (text.engagement()) " " (change.engagement) }
                            span.change { (text.grade()) " " (change.grade) }
                            span.when { (parts::instant(change.at, visit)) }
                        }
                        (crossed(&change.falls_below, &change.reaches, text))
                        @for track in &change.tracks {
                            p { (text.track()) " " strong { (track.track) } " · " (text.engagement()) " " (track.engagement)
                                " · " (text.grade()) " " (track.grade) }
                            (crossed(&track.falls_below, &track.reaches, text))
                        }
                        @for (name, from, to) in &change.facts {
                            p.fact { code { (name) } " " (from) " → " (to) }
                        }
                        p.muted {
                            @if change.open_routes.is_empty() { (text.no_route_holds()) }
                            @else { (text.routes_hold(&change.open_routes.join(", "))) }
                        }
                    }
                }
            }
        }
    }
}

/// The boundaries that engagement crosses.
fn crossed(falls_below: &[Millipoints], reaches: &[Millipoints], text: Language) -> Markup {
    html! {
        @for boundary in falls_below { p { (text.falls_below(&boundary.to_string())) } }
        @for boundary in reaches { p { (text.reaches(&boundary.to_string())) } }
    }
}

fn lifted(lift: &Lift, text: Language) -> Markup {
    let axis = explain::axis(lift.axis);
    let name = match axis {
        store::AxisOf::Fit => text.fit(),
        store::AxisOf::Engagement => text.engagement(),
    };
    html! {
        section.card.lift {
            h2 {
                (text.to_reach(name, &lift.to.to_string()))
                @if !lift.track.is_empty() { " " span.badge.track title=(text.track()) { (lift.track) } }
            }
            p.muted { (text.short_of(&lift.missing.to_string())) }
            @if lift.by.is_empty() { p.muted { (text.nothing_lifts()) } } @else {
                table.ledger {
                    thead.unseen { tr { th scope="col" { (text.rule()) } th scope="col" { (text.points()) } } }
                    tbody {
                        @for by in &lift.by {
                            tr {
                                td {
                                    span.rule { (by.rule) }
                                    @if by.ends { " " span.muted { (text.once_it_ends()) } }
                                    @if let Some(times) = by.times { " " span.badge { (text.would_do(times)) } }
                                }
                                td.amount { "+" (by.points) }
                            }
                        }
                    }
                }
            }
        }
    }
}
