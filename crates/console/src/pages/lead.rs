//! One lead: who it is, where it stands, why, what it did, and what sales is to decide.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tasuki_domain::{LeadId, Stage, Timestamp};

use super::{Problem, Visit, accounts, duplicates, frame, ledger, parts};
use crate::command::{LONGEST_NOTE, REASONS};
use crate::language::Language;
use crate::routes::Shared;
use crate::store::{self, DecisionRow, HandoffRow, HandoffState, LeadDetail, LeadRow, TimelineRow};

/// How often the page looks, a second apart, whether a verdict has gone through.
const LOOKS: u8 = 8;

/// The stages that follow one another, as shown on the way.
const WAY: [Stage; 6] = [Stage::Lead, Stage::Mql, Stage::Sal, Stage::Sql, Stage::Opportunity, Stage::Customer];

/// What stands behind the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// A verdict was sent, and this is the so-many-th look at what became of it.
    sent: u8,
}

/// `GET /leads/{id}`
pub(crate) async fn show(
    State(console): State<Shared>,
    visit: Visit,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let id: LeadId = id.parse().map_err(|_| Problem::NotFound)?;
    let detail = store::lead(&console.pool, id).await.map_err(|error| Problem::store(&console, error))?;
    let detail = detail.ok_or(Problem::NotFound)?;
    let duplicates = duplicates::of(&console, id).await?;
    let account = store::account_of(&console.pool, id).await.map_err(|error| Problem::store(&console, error))?;
    let open = detail.handoffs.first().is_some_and(|handoff| handoff.state.is_open());
    let sent = asked.map_or(0, |Query(asked)| asked.sent);
    let pending = (sent > 0 && open).then_some(sent);
    let again = format!("/leads/{id}?sent={}", sent.saturating_add(1));
    let refresh = pending.filter(|sent| *sent < LOOKS).map(|_| (1, again.as_str()));
    let aside = html! {
        @if let Some(account) = &account { (accounts::section(account, visit.language)) }
        (duplicates::section(&detail.lead, &duplicates, visit.language))
    };
    let content = page(&detail, &aside, pending, &visit);
    let title = shown(&detail.lead, visit.language);
    Ok(Html(frame::refreshing_page(&visit, title, &content, refresh).into_string()).into_response())
}

pub(super) fn shown(lead: &LeadRow, text: Language) -> &str {
    if lead.shown().is_empty() { text.anonymous_lead() } else { lead.shown() }
}

/// `aside` stands behind the profile.
fn page(detail: &LeadDetail, aside: &Markup, pending: Option<u8>, visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        p.back { a href="/leads" { "← " (text.back_to_list()) } }
        (head(&detail.lead, visit))
        @if let Some(sent) = pending {
            p.alert.info role="status" { (if sent < LOOKS { text.verdict_sent() } else { text.verdict_slow() }) }
        }
        @if let Some(into) = detail.lead.merged_into {
            p.alert { (text.merged_lead()) " " a href=(format!("/leads/{into}")) { (text.to_that_lead()) } }
        } @else if !detail.lead.active {
            p.alert { (text.inactive_lead()) }
        }
        @for (purpose, reason) in denied(detail) {
            p.alert { (text.no_consent(purpose)) @if !reason.is_empty() { " (" (reason) ")" } }
        }
        @if !detail.merged.is_empty() {
            p.alert.info {
                (text.has_merged())
                @for (place, id) in detail.merged.iter().enumerate() {
                    " " a href=(format!("/leads/{id}")) { (place + 1) }
                }
            }
        }
        div.columns {
            div.side {
                (handoffs(detail, pending.is_some(), visit))
                (profile(detail, text))
                (aside)
            }
            div.main-column {
                (ledger::section(detail, visit))
                (decisions(&detail.decisions, visit))
                (timeline(&detail.timeline, visit))
            }
        }
    }
}

/// What the person does not allow, as told last, and on which basis.
fn denied(detail: &LeadDetail) -> Vec<(&str, &str)> {
    let told = detail.decisions.iter().filter(|decision| decision.kind == "ConsentsChanged");
    let last = told.max_by_key(|decision| decision.version);
    let consents = last.and_then(|decision| decision.detail.get("consents")).and_then(Value::as_array);
    let denied = consents.into_iter().flatten().filter(|it| it.get("granted") == Some(&Value::Bool(false)));
    denied
        .map(|consent| {
            let text = |name| consent.get(name).and_then(Value::as_str).unwrap_or_default();
            (text("purpose"), text("basis"))
        })
        .collect()
}

fn head(lead: &LeadRow, visit: &Visit) -> Markup {
    let text = visit.language;
    let aside = !WAY.contains(&lead.stage);
    let reached = WAY.iter().position(|stage| *stage == lead.stage);
    html! {
        div.lead-head {
            div {
                h1 { (shown(lead, text)) }
                p.who-line {
                    @for part in [&lead.title, &lead.company] { @if !part.is_empty() { span { (part) } } }
                    @if !lead.email.is_empty() && !lead.name.is_empty() { span.address { (lead.email) } }
                }
            }
            @if aside { (parts::stage(lead.stage, text)) }
        }
        ol.way aria-label=(text.progress()) {
            @for (place, stage) in WAY.into_iter().enumerate() {
                @let current = reached == Some(place);
                @let class = if current { "now" } else if reached.is_some_and(|reached| place < reached) { "done" } else { "" };
                @let (name, meaning) = text.stage_name(stage);
                li class=(class) aria-current=[current.then_some("step")] {
                    span title=[meaning] { (name) }
                }
            }
        }
    }
}

fn handoffs(detail: &LeadDetail, pending: bool, visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        @let open = detail.handoffs.first().is_some_and(|handoff| handoff.state.is_open());
        section.card.handoff.open[open] aria-labelledby="handoff" {
            h2 #handoff { (text.handoff()) }
            @if detail.handoffs.is_empty() { p.muted { (text.no_handoff()) } }
            @for (place, handoff) in detail.handoffs.iter().enumerate() {
                @if place > 0 { hr; }
                (one_handoff(handoff, visit))
                @if place == 0 && handoff.state.is_open() && !pending {
                    (verdict(handoff, shown(&detail.lead, text), text))
                }
            }
        }
    }
}

fn one_handoff(handoff: &HandoffRow, visit: &Visit) -> Markup {
    let text = visit.language;
    let row = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        p.state-line {
            span class=(format!("badge state-{}", handoff.state.name())) { (text.handoff_state(handoff.state)) }
            @if handoff.cycle > 1 { span.muted { (text.cycle(handoff.cycle)) } }
            @if let (true, Some(due)) = (handoff.state.is_open(), handoff.accept_by) { (parts::deadline(due, visit)) }
        }
        dl {
            (row(text.owner(), html! {
                @match &handoff.owner {
                    Some(owner) => { strong { (owner.shown()) } },
                    None => span.muted { (text.no_owner()) },
                }
                @if !handoff.reason.is_empty() { span.sub { (handoff.reason) } }
            }))
            @if let (true, Some(due)) = (handoff.state.is_open(), handoff.accept_by) {
                (row(text.accept_by(), parts::instant(due, visit)))
            }
            @if !handoff.route.is_empty() { (row(text.route(), html! { (handoff.route) })) }
            @if !handoff.track.is_empty() { (row(text.track(), html! { (handoff.track) })) }
            @if let Some(at) = handoff.assigned_at { (row(text.assigned_at(), parts::instant(at, visit))) }
            @if let Some((at, by)) = decided(handoff) {
                (row(text.decided_at(), parts::instant(at, visit)))
                @if !by.is_empty() { (row(text.decided_by(), html! { (by) })) }
            }
            @if handoff.state == HandoffState::Rejected {
                (row(text.reason(), html! { (reason_words(&handoff.reject_reason, text)) }))
                @if !handoff.reject_note.is_empty() { (row(text.note(), html! { (handoff.reject_note) })) }
            }
        }
    }
}

/// When sales decided, and who.
fn decided(handoff: &HandoffRow) -> Option<(Timestamp, &str)> {
    match handoff.state {
        HandoffState::Accepted => handoff.accepted_at.map(|at| (at, handoff.accepted_by.as_str())),
        HandoffState::Rejected => handoff.rejected_at.map(|at| (at, handoff.rejected_by.as_str())),
        HandoffState::Qualified | HandoffState::Unassigned | HandoffState::Assigned | HandoffState::Overdue => None,
    }
}

fn reason_words(name: &str, text: Language) -> &str {
    crate::command::reason(name).and_then(|reason| text.reject_reason(reason)).unwrap_or(name)
}

fn verdict(handoff: &HandoffRow, lead: &str, text: Language) -> Markup {
    html! {
        form.verdict method="post" action=(format!("/handoffs/{}/accept", handoff.id)) {
            button.primary.wide type="submit" aria-label=(text.accept_for(lead)) { (text.accept()) }
        }
        details.reject {
            summary { (text.reject_this_lead()) }
            form method="post" action=(format!("/handoffs/{}/reject", handoff.id)) {
                div.field {
                    label for="reason" { (text.reason()) }
                    select #reason name="reason" required {
                        option value="" { (text.choose_reason()) }
                        @for (name, reason) in REASONS {
                            @if let Some(words) = text.reject_reason(reason) { option value=(name) { (words) } }
                        }
                    }
                }
                div.field {
                    label for="note" { (text.note()) " " span.optional { (text.optional()) } }
                    textarea #note name="note" rows="3" maxlength=(LONGEST_NOTE) aria-describedby="note-hint" {}
                    p.hint #note-hint { (text.note_hint()) }
                }
                button.danger.wide type="submit" { (text.reject()) }
            }
        }
    }
}

fn profile(detail: &LeadDetail, text: Language) -> Markup {
    html! {
        section.card aria-labelledby="profile" {
            h2 #profile { (text.profile()) }
            dl.attributes {
                @if !detail.lead.email.is_empty() {
                    div { dt { (text.email()) } dd { (parts::address(&detail.lead.email)) } }
                }
                @for (name, attribute) in detail.attributes.iter().filter(|(name, _)| *name != "email") {
                    div {
                        dt { (text.attribute_name(name)) }
                        dd title=[(!attribute.source.is_empty()).then(|| format!("{}: {}", text.said_by(), attribute.source))] {
                            (attribute.value)
                        }
                    }
                }
            }
        }
    }
}

fn decisions(decisions: &[DecisionRow], visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        section.card aria-labelledby="decisions" {
            h2 #decisions { (text.decisions()) }
            @if decisions.is_empty() { p.muted { (text.no_decisions()) } }
            ol.trail {
                @for decision in decisions {
                    li class=(format!("kind-{}", decision.kind.to_lowercase())) {
                        p.what {
                            strong { (text.decision(&decision.kind)) }
                            (stages(&decision.detail, text))
                            span.when { (parts::instant(decision.occurred_at, visit)) }
                        }
                        (because(decision, visit))
                    }
                }
            }
        }
    }
}

/// From which stage to which, where a decision says so.
fn stages(detail: &Value, text: Language) -> Markup {
    let named = |name: &str| detail.get(name).and_then(Value::as_str).and_then(|stage| stage.parse::<Stage>().ok());
    html! {
        @if let Some(to) = named("to") {
            span.change {
                @if let Some(from) = named("from") { (text.stage_name(from).0) " → " }
                (text.stage_name(to).0)
            }
        }
    }
}

/// Why: the route with its condition and what was seen, or what sales said.
fn because(decision: &DecisionRow, visit: &Visit) -> Markup {
    let text = visit.language;
    let detail = |name: &str| decision.detail.get(name).and_then(Value::as_str).unwrap_or_default();
    let owner = decision.detail.pointer("/owner/name").and_then(Value::as_str).unwrap_or_default();
    let reason = if decision.kind == "SalesRejected" { reason_words(detail("reason"), text) } else { detail("reason") };
    let not_before = detail("not_before").parse::<Timestamp>().ok();
    html! {
        @if !decision.route.is_empty() {
            p {
                (text.route()) " " strong { (decision.route) }
                @if !detail("track").is_empty() { " · " (text.track()) " " strong { (detail("track")) } }
                " · " (text.playbook_version(decision.playbook_version))
            }
        }
        @if !detail("condition").is_empty() { p { code.condition { (detail("condition")) } } }
        @if let Some(seen) = decision.detail.get("seen").filter(|seen| seen.is_object()) {
            (ledger::seen(seen, visit))
        }
        @if let Some(consents) = decision.detail.get("consents").and_then(Value::as_array) {
            p.muted { (consents.iter().map(|it| consent(it, text)).collect::<Vec<_>>().join(" · ")) }
        }
        @let parts = [
            owner,
            reason,
            detail("note"),
            detail("by"),
            text.identifier(detail("identifier")),
            detail("value"),
            text.refused_because(detail("because")),
        ];
        @if parts.iter().any(|part| !part.is_empty()) {
            p.muted { (parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" · ")) }
        }
        @if let Some(at) = not_before { p.muted { (text.not_before(&crate::moment::full(at, &visit.zone, text))) } }
    }
}

fn consent(consent: &Value, text: Language) -> String {
    let purpose = consent.get("purpose").and_then(Value::as_str).unwrap_or_default();
    text.consent(purpose, consent.get("granted") == Some(&Value::Bool(true)))
}

fn timeline(timeline: &[TimelineRow], visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        section.card aria-labelledby="timeline" {
            h2 #timeline { (text.timeline()) }
            @if timeline.is_empty() { p.muted { (text.no_timeline()) } }
            ol.trail {
                @for entry in timeline {
                    li {
                        p.what {
                            strong { (text.behavior(&entry.kind)) }
                            @if !entry.about.is_empty() { span.about { (entry.about) } }
                            span.when { (parts::instant(entry.occurred_at, visit)) }
                        }
                        p.muted.where {
                            @if !entry.title.is_empty() { span { (entry.title) } }
                            @if !entry.path.is_empty() { code { (entry.path) } }
                            span { (entry.source) " · " (entry.protocol) }
                            @if entry.unscored { span.badge { (text.unscored()) } }
                            @if entry.via == "anonymous" { span.badge { (text.as_visitor()) } }
                        }
                    }
                }
            }
        }
    }
}
