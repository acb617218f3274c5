//! A lead is qualified once, for a reason that was there, and handed over once.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use tasuki_domain::{Cycle, HandoffId, LeadId};
use tasuki_wire::v1::handoff_record::Event as Handoff;
use tasuki_wire::v1::qualification_record::Event as Decision;
use tasuki_wire::{Topic, v1};

use super::{handoff, qualification, scored, scores, version};
use crate::drill::evidence::Evidence;
use crate::drill::history::History;

/// The route of the built-in playbook that a score opens, in words of our own: whoever asks to be called, else who has
/// 60 points of engagement and 40 of fit. All facts of that playbook are about the first.
fn route(scored: &v1::LeadScored) -> Option<&'static str> {
    if scored.facts.iter().any(|fact| fact.value > 0) {
        Some("hand-raise")
    } else if scored.engagement_mp >= 60_000 && scored.fit_mp >= 40_000 {
        Some("score")
    } else {
        None
    }
}

pub(super) fn qualified_once_and_for_a_reason(evidence: &Evidence) -> Option<Vec<String>> {
    let (scores, decisions) = (scores(&evidence.log), qualification(&evidence.log));
    let leads: BTreeSet<LeadId> = scores.keys().chain(decisions.keys()).copied().collect();
    let mut wrong = Vec::new();
    for lead in leads {
        let scores = scores.get(&lead).map_or(&[][..], Vec::as_slice);
        let decisions = decisions.get(&lead).map_or(&[][..], Vec::as_slice);
        // The first score that opens a route decides, and in a drill no lead comes back from sales in time for a second.
        let mut opening = scores.iter().filter_map(scored).filter_map(|scored| Some((route(scored)?, scored)));
        let qualified: Vec<&v1::LeadQualified> = decisions.iter().filter_map(qualified).collect();
        match (opening.next(), qualified.as_slice()) {
            (None, []) => {}
            (None, [..]) => wrong.push(format!("{lead}: qualified, and no score opened a route")),
            (Some((route, _)), []) => wrong.push(format!("{lead}: route {route} was open, and it never qualified")),
            (Some((route, seen)), [one]) => {
                let decides =
                    |(route, seen): (&str, &v1::LeadScored)| one.route == route && one.seen.as_ref() == Some(seen);
                // It waits for what `identities` says ahead of it, and a later one may come meanwhile.
                let may_wait = seen.identities_version > 0;
                if one.cycle != 1 || !(decides((route, seen)) || may_wait && opening.any(decides)) {
                    wrong.push(format!(
                        "{lead}: qualified by {} and another score than the first to open {route}",
                        one.route
                    ));
                }
            }
            (Some(_), [..]) => wrong.push(format!("{lead}: qualified {} times", qualified.len())),
        }
    }
    Some(wrong)
}

fn qualified(record: &v1::QualificationRecord) -> Option<&v1::LeadQualified> {
    match &record.event {
        Some(Decision::Qualified(qualified)) => Some(qualified),
        Some(
            Decision::Recycled(_)
            | Decision::Disqualified(_)
            | Decision::StageChanged(_)
            | Decision::HeldBack(_)
            | Decision::Playbook(_),
        )
        | None => None,
    }
}

/// What became of one handoff.
#[derive(Debug, Default, PartialEq, Eq)]
struct Course {
    assigned: usize,
    overdue: usize,
    verdicts: usize,
    rejected: usize,
    published: usize,
}

pub(super) fn handed_over_once(evidence: &Evidence) -> Option<Vec<String>> {
    let (handoffs, decisions) = (handoff(&evidence.log), qualification(&evidence.log));
    let said = commands(&evidence.log);
    let published = published(&evidence.log);
    let leads: BTreeSet<LeadId> = handoffs.keys().chain(decisions.keys()).chain(published.keys()).copied().collect();
    let mut wrong = Vec::new();
    for lead in leads {
        let records = handoffs.get(&lead).map_or(&[][..], Vec::as_slice);
        let decisions = decisions.get(&lead).map_or(&[][..], Vec::as_slice);
        let mut course = Course { published: published.get(&lead).copied().unwrap_or(0), ..Course::default() };
        for record in records {
            let own = HandoffId::of(lead, Cycle::new(record.cycle));
            let refused = matches!(record.event, Some(Handoff::Refused(_)));
            if !refused && record.handoff_id != own.as_bytes() {
                wrong.push(format!("{lead}: handoff version {} has an id of its own", version(record.meta.as_ref())));
            }
            match &record.event {
                Some(Handoff::Assigned(_)) => course.assigned += 1,
                Some(Handoff::Overdue(_)) => course.overdue += 1,
                Some(Handoff::Accepted(_)) => course.verdicts += 1,
                Some(Handoff::Rejected(_)) => {
                    course.verdicts += 1;
                    course.rejected += 1;
                }
                Some(Handoff::Refused(_)) | None => {}
            }
        }
        let qualified = decisions.iter().filter_map(qualified).count();
        let verdicts = usize::from(qualified > 0 && said.contains(&lead));
        let overdue = course.overdue.min(qualified);
        let rejected = course.rejected;
        let expected = Course { assigned: qualified, overdue, verdicts, rejected, published: qualified };
        if course != expected {
            wrong.push(format!("{lead}: the handoff is {course:?}, and has to be {expected:?}"));
        }
        let answers = decisions
            .iter()
            .filter(|record| matches!(record.event, Some(Decision::Recycled(_) | Decision::Disqualified(_))))
            .count();
        if answers != rejected {
            wrong.push(format!("{lead}: rejected {rejected} times, and marketing answered {answers} times"));
        }
    }
    Some(wrong)
}

/// Leads of which sales said something about the first handoff.
fn commands(log: &History) -> BTreeSet<LeadId> {
    let said = log.of(Topic::SalesFeedback).filter_map(|(_, entry)| {
        let feedback = v1::SalesFeedback::decode(entry.payload.as_slice()).ok()?;
        let lead = LeadId::from_slice(&feedback.meta.as_ref()?.lead_id).ok()?;
        let first = HandoffId::of(lead, Cycle::new(1));
        (feedback.command.is_some() && feedback.handoff_id == first.as_bytes()).then_some(lead)
    });
    said.collect()
}

/// Records of the public contract, by lead.
fn published(log: &History) -> BTreeMap<LeadId, usize> {
    let mut published = BTreeMap::new();
    for (_, entry) in log.of(Topic::LeadsQualified) {
        let lead = std::str::from_utf8(&entry.key).ok().and_then(|key| key.parse().ok());
        if let Some(lead) = lead {
            *published.entry(lead).or_default() += 1;
        }
    }
    published
}
