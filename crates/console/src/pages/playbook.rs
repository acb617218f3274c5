//! The playbook in words, those that were in force before it, and what differs between two.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tasuki_domain::PlaybookVersion;
use tasuki_playbook::{Difference, Playbook};

use super::{Problem, Visit, frame, parts};
use crate::language::Language;
use crate::link;
use crate::publication::Published;
use crate::routes::Shared;
use crate::store::{self, PublicationRow};

/// What stands behind the `?`. What makes no sense there is as if it were missing: people edit addresses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// Which is read aloud; the one in force if it is missing.
    version: String,
    /// Which two are compared.
    earlier: String,
    later: String,
}

/// `GET /playbook`
pub(crate) async fn show(
    State(console): State<Shared>,
    visit: Visit,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let text = visit.language;
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let rows = store::publications(&console.pool).await.map_err(|error| Problem::store(&console, error))?;
    let published = Published::new(&rows, &console.start);
    let version = |said: &str| said.trim().parse().ok().map(PlaybookVersion::new);
    let wanted = version(&asked.version).unwrap_or(published.version());
    let read = published.text_of(wanted).map(Playbook::parse);
    let compared = version(&asked.earlier).zip(version(&asked.later));
    let content = html! {
        div.page-head {
            h1 { (text.playbook()) }
            p.muted { (text.playbook_hint()) }
        }
        @if let Some((earlier, later)) = compared { (comparison(&published, earlier, later, text)) }
        div.columns {
            div.side {
                (history(&rows, &console.start, &visit))
                (compare_form(&versions(&published), &asked, text))
            }
            div.main-column {
                @match read {
                    Some(Ok(playbook)) => (aloud(&playbook, wanted == published.version(), text)),
                    Some(Err(_)) => p.alert { (text.playbook_unreadable()) },
                    None => p.alert { (text.never_published_version(wanted.get())) },
                }
            }
        }
    };
    Ok(Html(frame::page(&visit, text.playbook(), &content).into_string()).into_response())
}

/// The versions that were ever in force, the highest first.
pub(super) fn versions(published: &Published<'_>) -> Vec<PlaybookVersion> {
    let mut versions = published.versions();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.dedup();
    versions
}

fn aloud(playbook: &Playbook, in_force: bool, text: Language) -> Markup {
    html! {
        p.playbook-name {
            strong { (playbook.name()) } " " (text.playbook_version(i64::from(playbook.version().get()))) " "
            span.badge { @if in_force { (text.in_force()) } @else { (text.not_in_force()) } }
        }
        @for section in playbook.in_words(text.of_playbooks()) {
            section.card.aloud {
                h2 { (section.heading) }
                ul { @for sentence in &section.sentences { li { (named(sentence)) } } }
            }
        }
    }
}

/// A sentence whose name, if it begins with one, stands out.
fn named(sentence: &str) -> Markup {
    let split = [": ", "："].into_iter().filter_map(|mark| sentence.find(mark).map(|at| (at, mark))).min();
    html! {
        @match split {
            Some((at, mark)) => { strong.rule { (sentence[..at]) } (mark) (sentence[at + mark.len()..]) },
            None => (sentence),
        }
    }
}

fn history(rows: &[PublicationRow], start: &Playbook, visit: &Visit) -> Markup {
    let text = visit.language;
    html! {
        section.card aria-labelledby="history" {
            h2 #history { (text.playbook_history()) }
            @if rows.is_empty() {
                p { (text.playbook_version(i64::from(start.version().get()))) " " span.badge { (text.in_force()) } }
                p.muted { (text.nothing_published()) }
            } @else {
                ol.trail {
                    @for (place, row) in rows.iter().enumerate() {
                        li { (publication(row, rows.get(place + 1), place == 0, visit)) }
                    }
                }
            }
        }
    }
}

fn publication(row: &PublicationRow, before: Option<&PublicationRow>, in_force: bool, visit: &Visit) -> Markup {
    let text = visit.language;
    let version = row.version.to_string();
    html! {
        p.what {
            strong { (text.playbook_version(i64::from(row.version.get()))) }
            span.badge { (because(row, text)) }
            @if in_force { span.badge.now { (text.in_force()) } }
        }
        p.muted.where {
            span { (row.name) }
            (parts::instant(row.published_at, visit))
            @if !row.published_by.is_empty() { span { (text.by(&row.published_by)) } }
        }
        p.where {
            a href=(link::with_query("/playbook", &[("version", &version)])) { (text.read_aloud()) }
            @if let Some(before) = before {
                @let earlier = before.version.to_string();
                @let query = [("version", version.as_str()), ("earlier", &earlier), ("later", &version)];
                a href=(link::with_query("/playbook", &query)) { (text.what_it_changed()) }
            }
        }
    }
}

fn because(row: &PublicationRow, text: Language) -> &'static str {
    match row.because.as_str() {
        "started" => text.because_started(),
        "rolled-back" => text.because_rolled_back(),
        _ => text.because_published(),
    }
}

fn compare_form(versions: &[PlaybookVersion], asked: &Asked, text: Language) -> Markup {
    let field = |name: &'static str, label: &'static str, said: &str, default: Option<&PlaybookVersion>| {
        html! {
            div.field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    @for version in versions {
                        @let chosen = if said.is_empty() { default == Some(version) } else { said == version.to_string() };
                        option value=(version) selected[chosen] { (text.playbook_version(i64::from(version.get()))) }
                    }
                }
            }
        }
    };
    html! {
        @if versions.len() > 1 {
            section.card aria-labelledby="compare" {
                h2 #compare { (text.compare_two()) }
                form.filters method="get" action="/playbook" {
                    (field("earlier", text.earlier(), &asked.earlier, versions.get(1)))
                    (field("later", text.later(), &asked.later, versions.first()))
                    button.primary type="submit" { (text.compare()) }
                }
            }
        }
    }
}

fn comparison(published: &Published<'_>, earlier: PlaybookVersion, later: PlaybookVersion, text: Language) -> Markup {
    let read = |version| published.text_of(version).and_then(|text| Playbook::parse(text).ok());
    html! {
        section.card.differences aria-labelledby="differences" {
            h2 #differences { (text.between_versions(earlier.get(), later.get())) }
            @match (read(earlier), read(later)) {
                (Some(earlier), Some(later)) => {
                    @let found = earlier.differences_in(&later, text.of_playbooks());
                    @if found.is_empty() { p.muted { (text.nothing_differs()) } }
                    ul { @for difference in &found { li { (differs(difference, text)) } } }
                },
                (None, _) => p.alert { (text.never_published_version(earlier.get())) },
                (_, None) => p.alert { (text.never_published_version(later.get())) },
            }
        }
    }
}

fn differs(difference: &Difference, text: Language) -> Markup {
    let language = text.of_playbooks();
    html! {
        p {
            span.muted { (difference.part_in(language)) } " "
            @if !difference.name.is_empty() { strong.rule { (difference.name) } " " }
            span.badge { (difference.change.in_words(language)) }
        }
        @if !difference.before.is_empty() { p.was { del { (difference.before) } } }
        @if !difference.after.is_empty() { p.is { ins { (difference.after) } } }
        p.hint { (text.concerns(&difference.concerns)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_rule_stands_out_in_both_languages() {
        for (sentence, shown) in [
            ("page-view: 1 point (path a: b).", "<strong class=\"rule\">page-view</strong>: 1 point (path a: b)."),
            ("page-view：1点。", "<strong class=\"rule\">page-view</strong>：1点。"),
            ("合計は0点から100点まで。", "合計は0点から100点まで。"),
        ] {
            assert_eq!(named(sentence).into_string(), shown);
        }
    }
}
