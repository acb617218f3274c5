//! On the page of a lead: others that may be the same person.

use maud::{Markup, html};
use tasuki_domain::LeadId;

use super::{Problem, lead, parts};
use crate::language::Language;
use crate::routes::Shared;
use crate::store::{self, DuplicateRow, LeadRow};

/// Most that are shown; the API has more.
const MOST: usize = 10;

/// The leads that may be the same person as this one.
pub(super) async fn of(console: &Shared, id: LeadId) -> Result<Vec<DuplicateRow>, Problem> {
    let page = store::duplicates(&console.pool, id, MOST).await.map_err(|error| Problem::store(console, error))?;
    Ok(page.items)
}

/// Each with its reasons, and how the two are merged. Nothing where there is none.
pub(super) fn section(lead: &LeadRow, duplicates: &[DuplicateRow], text: Language) -> Markup {
    html! {
        @if !duplicates.is_empty() {
            section.card aria-labelledby="duplicates" {
                h2 #duplicates { (text.duplicates()) }
                p.hint { (text.duplicates_hint()) }
                ul.duplicates {
                    @for row in duplicates { li { (one(lead, row, text)) } }
                }
            }
        }
    }
}

fn one(lead: &LeadRow, DuplicateRow { lead: other, reasons }: &DuplicateRow, text: Language) -> Markup {
    html! {
        a.lead-name href=(format!("/leads/{}", other.id)) { (lead::shown(other, text)) }
        @if !other.name.is_empty() && !other.email.is_empty() { span.sub { (parts::address(&other.email)) } }
        @if !other.company.is_empty() { span.sub { (other.company) } }
        p.reasons {
            @for same in reasons.chunk_by(|a, b| a.kind == b.kind) {
                @let common: Vec<&str> = same.iter().map(|reason| reason.common.as_str()).collect();
                span.badge title=(common.join(", ")) { (text.duplicate_reason(&same[0].kind)) }
            }
        }
        details {
            summary.hint { (text.if_same_person()) }
            p.hint { (text.merge_command()) }
            code.condition { "tasuki leads merge " (lead.id) " " (other.id) }
        }
    }
}
