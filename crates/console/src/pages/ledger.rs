//! The score as its ledger: every contribution with its rule, points and evidence, adding up to what is shown.

use maud::{Markup, html};
use serde_json::Value;
use tasuki_domain::Millipoints;

use super::{Visit, explain, parts};
use crate::language::Language;
use crate::moment;
use crate::store::{AxisOf, ContributionRow, EvidenceRow, LeadDetail, TrackRow};

/// The section of a lead's page.
pub(super) fn section(detail: &LeadDetail, visit: &Visit) -> Markup {
    let (text, lead) = (visit.language, &detail.lead);
    html! {
        section.card aria-labelledby="score" {
            div.section-head {
                h2 #score { (text.why_this_score()) }
                @if !lead.grade.is_empty() { p.grade-line { (text.grade()) " " (parts::grade(&lead.grade)) } }
            }
            @match lead.scored_as_of {
                None => p.muted { (text.not_scored()) },
                Some(as_of) => {
                    p.muted {
                        (text.ledger_hint()) " "
                        (text.score_as_of(&moment::full(as_of, &visit.zone, text))) " · "
                        (text.playbook_version(lead.playbook_version))
                    }
                    (axes(lead.engagement, lead.fit, &detail.contributions.iter().collect::<Vec<_>>(), visit))
                    (tracks(&detail.tracks, &detail.contributions, visit))
                    (explain::way_in(lead.id, visit))
                }
            }
        }
    }
}

/// Both axes with all that they are made of.
pub(super) fn axes(engagement: Millipoints, fit: Millipoints, all: &[&ContributionRow], visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        (axis(AxisOf::Engagement, text.engagement(), engagement, all, visit))
        (axis(AxisOf::Fit, text.fit(), fit, all, visit))
    }
}

/// The product lines, each with its axes and all that they are made of; nothing if the playbook has none.
pub(super) fn tracks(tracks: &[TrackRow], all: &[ContributionRow], visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        @if !tracks.is_empty() {
            div.tracks {
                h3 { (text.tracks()) }
                p.muted { (text.tracks_hint()) }
                @for track in tracks {
                    details.track {
                        summary {
                            strong.name { (track.track) }
                            span.in-track {
                                span { (text.engagement()) " " strong { (track.engagement()) } }
                                span { (text.fit()) " " strong { (track.fit()) } }
                                span { (text.grade()) " " (parts::grade(&track.grade)) }
                            }
                        }
                        (axes(track.engagement(), track.fit(), &track.ledger(all), visit))
                    }
                }
            }
        }
    }
}

fn axis(axis: AxisOf, name: &str, total: Millipoints, all: &[&ContributionRow], visit: &Visit) -> Markup {
    let text = visit.language;
    let mut rows: Vec<_> = all.iter().copied().filter(|contribution| contribution.axis == axis).collect();
    rows.sort_by_key(|contribution| std::cmp::Reverse(contribution.points()));
    let sum: Millipoints = rows.iter().map(|row| row.points()).sum();
    let decimals = rows.iter().map(|row| decimals(row.points())).max().unwrap_or(0).max(decimals(total));
    html! {
        div.axis {
            h3 {
                span { (name) }
                span.total { strong { (fixed(total, decimals)) } " " span.muted { (text.out_of_100()) } }
            }
            (parts::bar(total, axis.name()))
            @if rows.is_empty() {
                p.muted { (text.no_contributions()) }
            } @else {
                table.ledger {
                    caption.unseen { (text.why_this_score()) ": " (name) }
                    thead.unseen {
                        tr { th scope="col" { (text.rule()) } th scope="col" { (text.points()) } }
                    }
                    tbody {
                        @for row in &rows {
                            tr {
                                td { (rule(row, visit)) }
                                td.amount { (fixed(row.points(), decimals)) }
                            }
                        }
                    }
                    tfoot {
                        tr { th scope="row" { (text.sum()) } td.amount { (fixed(sum, decimals)) } }
                    }
                }
            }
            @if sum != total { p.alert { (text.does_not_add_up()) } }
        }
    }
}

fn rule(row: &ContributionRow, visit: &Visit) -> Markup {
    let text = visit.language;
    let name = match row.rule.strip_prefix("cap:") {
        Some(group) => text.cap_group(group),
        None if row.rule == "cap" => text.cap_rule().to_owned(),
        None => row.rule.clone(),
    };
    html! {
        @if row.evidence.is_empty() {
            span.rule { (name) }
            (of_track(row, text))
        } @else {
            details {
                summary {
                    span.rule { (name) }
                    (of_track(row, text))
                    @if row.matches > 1 { span.muted { (text.matches(row.matches)) } }
                    @if row.raw() != row.points() { span.muted { (text.before_decay(&row.raw().to_string())) } }
                }
                p.unseen { (text.evidence()) }
                ul.evidence { @for evidence in &row.evidence { (item(evidence, visit)) } }
                @if i64::try_from(row.evidence.len()).is_ok_and(|shown| shown < row.matches) {
                    p.muted { (text.latest_of(row.evidence.len(), row.matches)) }
                }
            }
        }
    }
}

/// Of which track a rule is.
fn of_track(row: &ContributionRow, text: Language) -> Markup {
    html! { @if !row.track.is_empty() { " " span.badge.track title=(text.track()) { (row.track) } } }
}

fn item(evidence: &EvidenceRow, visit: &Visit) -> Markup {
    html! {
        li {
            span.what { (evidence.what) }
            @if let Some(at) = evidence.occurred_at() { span.muted { (parts::instant(at, visit)) } }
            span.amount { (evidence.points()) }
        }
    }
}

/// What a decision saw: the numbers and the facts, as stored with it.
pub(super) fn seen(seen: &Value, visit: &Visit) -> Markup {
    let text = visit.language;
    let points = |name: &str| seen.get(name).and_then(Value::as_i64).map(Millipoints::new);
    let grade = seen.get("grade").and_then(Value::as_str).unwrap_or_default();
    let facts = seen.get("facts").and_then(Value::as_object);
    html! {
        details.seen {
            summary { (text.what_was_seen()) }
            dl {
                @if let Some(engagement) = points("engagement_mp") {
                    div { dt { (text.engagement()) } dd { (engagement) } }
                }
                @if let Some(fit) = points("fit_mp") { div { dt { (text.fit()) } dd { (fit) } } }
                @if !grade.is_empty() { div { dt { (text.grade()) } dd { (grade) } } }
                @for track in seen.get("tracks").and_then(Value::as_array).into_iter().flatten() {
                    div { dt { (said(track, "track")) } dd { (in_track(track, text)) } }
                }
                @for (name, value) in facts.into_iter().flatten() {
                    div { dt { code { (name) } } dd { (fact(name, value, text)) } }
                }
            }
        }
    }
}

fn said<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The score in a track, in one line.
fn in_track(track: &Value, text: Language) -> String {
    let points = |name: &str| Millipoints::new(track.get(name).and_then(Value::as_i64).unwrap_or_default());
    let (engagement, fit) = (points("engagement_mp"), points("fit_mp"));
    let grade = said(track, "grade");
    format!("{} {engagement} · {} {fit} · {} {grade}", text.engagement(), text.fit(), text.grade())
}

/// Facts are whole numbers; those whose name ends in `_mp` are thousandths of points.
fn fact(name: &str, value: &Value, text: Language) -> String {
    match value.as_i64() {
        Some(thousandths) if name.ends_with("_mp") => text.points_of(&Millipoints::new(thousandths).to_string()),
        Some(number) => number.to_string(),
        None => value.to_string(),
    }
}

/// How many decimals the points need.
fn decimals(points: Millipoints) -> usize {
    points.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len())
}

/// With exactly so many decimals, which must be enough: so that a column of them can be added up by eye.
fn fixed(points: Millipoints, wanted: usize) -> String {
    let shown = points.to_string();
    let missing = wanted.saturating_sub(decimals(points));
    match (missing, shown.contains('.')) {
        (0, _) => shown,
        (missing, true) => format!("{shown}{}", "0".repeat(missing)),
        (missing, false) => format!("{shown}.{}", "0".repeat(missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_a_column_have_the_same_decimals() {
        for (thousandths, wanted, shown) in
            [(12_000, 0, "12"), (12_000, 2, "12.00"), (-1_500, 3, "-1.500"), (125, 3, "0.125")]
        {
            assert_eq!(fixed(Millipoints::new(thousandths), wanted), shown);
        }
    }
}
