//! Checkers: one per invariant, each a function of the evidence.
//!
//! | invariant | checked here |
//! |---|---|
//! | I1, I3 | what clients had acknowledged is on the log, and nothing that they did not send |
//! | I2 | what ingest received it has accepted, refused ... , to the event |
//! | I4 | attribution, profile and every score are those of a fold of the raw input |
//! | I5 | one `LeadQualified` for each lead of which a score opened a route, made from that very score |
//! | I6 | versions per lead and topic are 1, 2, 3 ... |
//! | I7 | no event twice, none without the one it follows from |
//! | I8 | who reads along sees what is there in the end, in the same order |
//! | I9 | rows are what the log says, positions not ahead of it |
//! | I10 | reading from the begin into empty tables gives the same |
//! | I11 | each qualified lead is assigned once, and sales' first verdict counts |
//! | I13 | what cannot be processed is in `dead-letters` once, whole, with its place; nothing else is |
//! | I14 | nothing is written that stays invisible |
//! | I16 | after the heal everything catches up in time |

mod decisions;
mod input;
mod order;
mod rest;
mod scores;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use prost::Message;
use tasuki_domain::LeadId;
use tasuki_wire::{Topic, v1};

use super::evidence::Evidence;
use super::history::History;

/// Looks at one invariant.
pub(crate) struct Checker {
    /// `I1`, `I2` ...
    pub(crate) invariant: &'static str,
    /// What is wrong; `None` where the evidence says nothing about it.
    pub(crate) check: fn(&Evidence) -> Option<Vec<String>>,
}

/// All of them.
pub(crate) const CHECKERS: &[Checker] = &[
    Checker { invariant: "I1", check: input::nothing_acknowledged_is_lost },
    Checker { invariant: "I2", check: input::every_event_is_accounted_for },
    Checker { invariant: "I3", check: input::nothing_is_made_up },
    Checker { invariant: "I4", check: scores::as_the_raw_input_says },
    Checker { invariant: "I5", check: decisions::qualified_once_and_for_a_reason },
    Checker { invariant: "I6", check: order::versions_have_no_gap },
    Checker { invariant: "I7", check: order::every_event_follows_from_one },
    Checker { invariant: "I8", check: order::who_reads_along_sees_the_same },
    Checker { invariant: "I9", check: rest::rows_are_what_the_log_says },
    Checker { invariant: "I10", check: rest::reading_again_gives_the_same },
    Checker { invariant: "I11", check: decisions::handed_over_once },
    Checker { invariant: "I13", check: input::poison_is_put_aside_once },
    Checker { invariant: "I14", check: rest::nothing_hangs },
    Checker { invariant: "I16", check: rest::it_caught_up },
];

/// The records of a topic by lead, in their order; those that are no such message are left out: dead letters tell of them.
fn by_lead<M: Message + Default>(
    log: &History,
    topic: Topic,
    meta: fn(&M) -> Option<&v1::Meta>,
) -> BTreeMap<LeadId, Vec<M>> {
    let mut leads: BTreeMap<LeadId, Vec<M>> = BTreeMap::new();
    for (_, entry) in log.of(topic) {
        let Ok(record) = M::decode(entry.payload.as_slice()) else { continue };
        let lead = meta(&record).and_then(|meta| LeadId::from_slice(&meta.lead_id).ok());
        if let Some(lead) = lead {
            leads.entry(lead).or_default().push(record);
        }
    }
    leads
}

fn activity(log: &History) -> BTreeMap<LeadId, Vec<v1::ActivityRecord>> {
    by_lead(log, Topic::Activity, |record: &v1::ActivityRecord| record.meta.as_ref())
}

fn scores(log: &History) -> BTreeMap<LeadId, Vec<v1::ScoreRecord>> {
    by_lead(log, Topic::Scores, |record: &v1::ScoreRecord| record.meta.as_ref())
}

fn qualification(log: &History) -> BTreeMap<LeadId, Vec<v1::QualificationRecord>> {
    by_lead(log, Topic::Qualification, |record: &v1::QualificationRecord| record.meta.as_ref())
}

fn handoff(log: &History) -> BTreeMap<LeadId, Vec<v1::HandoffRecord>> {
    by_lead(log, Topic::Handoff, |record: &v1::HandoffRecord| record.meta.as_ref())
}

fn identities(log: &History) -> BTreeMap<LeadId, Vec<v1::IdentityRecord>> {
    by_lead(log, Topic::Identities, |record: &v1::IdentityRecord| record.meta.as_ref())
}

/// The score that a record holds.
fn scored(record: &v1::ScoreRecord) -> Option<&v1::LeadScored> {
    match &record.event {
        Some(v1::score_record::Event::Scored(scored)) => Some(scored),
        Some(v1::score_record::Event::Playbook(_)) | None => None,
    }
}

fn version(meta: Option<&v1::Meta>) -> u64 {
    meta.map_or(0, |meta| meta.version)
}

/// An id of 16 bytes as people write it.
fn written(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
