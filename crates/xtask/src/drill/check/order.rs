//! Versions have no gap, events follow from events, and everybody reads the same.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use tasuki_domain::LeadId;
use tasuki_wire::contract::QualifiedLead;
use tasuki_wire::{Topic, v1};

use super::written;
use crate::drill::evidence::Evidence;
use crate::drill::history::History;

/// Topics with versions per lead, beside the public one.
const VERSIONED: [Topic; 4] = [Topic::Activity, Topic::Scores, Topic::Qualification, Topic::Handoff];

/// The head of any record: it is the first field of all of them.
#[derive(Clone, PartialEq, Message)]
struct Headed {
    #[prost(message, optional, tag = "1")]
    meta: Option<v1::Meta>,
}

/// The heads on a topic; of what is no such record there is a dead letter.
fn heads(log: &History, topic: Topic) -> impl Iterator<Item = v1::Meta> {
    let head = |payload: &[u8]| Headed::decode(payload).ok().and_then(|record| record.meta);
    log.of(topic).filter_map(move |(_, entry)| head(&entry.payload))
}

pub(super) fn versions_have_no_gap(evidence: &Evidence) -> Option<Vec<String>> {
    let mut wrong = Vec::new();
    for topic in VERSIONED {
        let mut latest: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for meta in heads(&evidence.log, topic) {
            let before = latest.insert(meta.lead_id.clone(), meta.version).unwrap_or(0);
            if meta.version != before + 1 {
                let lead = LeadId::from_slice(&meta.lead_id).map_or_else(|_| "nobody".to_owned(), |id| id.to_string());
                wrong.push(format!("{lead}: on {topic}, version {} stands after {before}", meta.version));
            }
        }
    }
    wrong.extend(versions_of_accounts(&evidence.log));
    let mut latest: BTreeMap<LeadId, u64> = BTreeMap::new();
    for (_, entry) in evidence.log.of(Topic::LeadsQualified) {
        let Ok(lead) = serde_json::from_slice::<QualifiedLead>(&entry.payload) else {
            wrong.push("leads.qualified.v1: a record is not of the contract".to_owned());
            continue;
        };
        let before = latest.insert(lead.lead_id, lead.version).unwrap_or(0);
        if lead.version != before + 1 {
            wrong.push(format!(
                "{}: on leads.qualified.v1, version {} stands after {before}",
                lead.lead_id, lead.version
            ));
        }
    }
    Some(wrong)
}

/// What is wrong with the versions of what is said of accounts.
fn versions_of_accounts(log: &History) -> Vec<String> {
    let (mut wrong, mut latest) = (Vec::new(), BTreeMap::<Vec<u8>, u64>::new());
    for (_, entry) in log.of(Topic::Accounts) {
        let Ok(record) = v1::AccountRecord::decode(entry.payload.as_slice()) else { continue };
        let (Some(meta), Some(v1::account_record::Event::Engaged(_))) = (record.meta, record.event) else { continue };
        let before = latest.insert(entry.key.clone(), meta.version).unwrap_or(0);
        if meta.version != before + 1 {
            let account = String::from_utf8_lossy(&entry.key);
            wrong.push(format!("{account}: on accounts, version {} stands after {before}", meta.version));
        }
    }
    wrong
}

/// For each topic, those on which the event stands that one of its own follows from. What time alone brings about
/// follows from none.
const FOLLOWS: [(Topic, &[Topic]); 7] = [
    (Topic::Activity, &[Topic::IdentityLinks]),
    (Topic::Scores, &[Topic::Activity]),
    // What an account has follows from what a lead adds, on the same topic.
    (Topic::Accounts, &[Topic::Scores, Topic::Accounts]),
    // From identities: a score that came before what was said ahead of it is decided on once that has come.
    (Topic::Qualification, &[Topic::Scores, Topic::Handoff, Topic::Identities]),
    (Topic::DeskRequests, &[Topic::Qualification, Topic::SalesFeedback]),
    (Topic::DeskDecisions, &[Topic::DeskRequests]),
    (Topic::Handoff, &[Topic::DeskDecisions, Topic::SalesFeedback]),
];

pub(super) fn every_event_follows_from_one(evidence: &Evidence) -> Option<Vec<String>> {
    let log = &evidence.log;
    let mut wrong = Vec::new();
    let mut ids: BTreeMap<Topic, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for topic in [Topic::Behavior, Topic::SalesFeedback] {
        ids.insert(topic, heads(log, topic).map(|meta| meta.event_id).collect());
    }
    for topic in FOLLOWS.map(|(topic, _)| topic).into_iter().chain([Topic::IdentityLinks, Topic::Identities]) {
        let mut of_topic = BTreeSet::new();
        for meta in heads(log, topic) {
            if !of_topic.insert(meta.event_id.clone()) {
                wrong.push(format!("{topic}: event {} stands there twice", written(&meta.event_id)));
            }
        }
        ids.insert(topic, of_topic);
    }
    for (topic, from) in FOLLOWS {
        let by_time = of_time(log, topic);
        for meta in heads(log, topic) {
            let known = from.iter().any(|from| ids.get(from).is_some_and(|ids| ids.contains(&meta.cause_id)));
            if !known && !by_time.contains(&meta.event_id) {
                let id = written(&meta.event_id);
                wrong.push(format!("{topic}: event {id} follows from nothing that is on the log"));
            }
        }
    }
    Some(wrong)
}

/// Events that time alone brought about.
fn of_time(log: &History, topic: Topic) -> BTreeSet<Vec<u8>> {
    let by_time = |payload: &[u8]| {
        if topic == Topic::Scores {
            let record = v1::ScoreRecord::decode(payload).ok()?;
            let v1::score_record::Event::Scored(scored) = record.event? else { return None };
            (scored.because() == v1::ScoredBecause::Time).then_some(record.meta?.event_id)
        } else if topic == Topic::Handoff {
            let record = v1::HandoffRecord::decode(payload).ok()?;
            matches!(record.event?, v1::handoff_record::Event::Overdue(_)).then_some(record.meta?.event_id)
        } else {
            None
        }
    };
    log.of(topic).filter_map(|(_, entry)| by_time(&entry.payload)).collect()
}

pub(super) fn who_reads_along_sees_the_same(evidence: &Evidence) -> Option<Vec<String>> {
    let watched = evidence.watched.as_ref()?;
    let places: BTreeSet<_> =
        watched.partitions().chain(evidence.log.partitions()).map(|(topic, partition, _)| (topic, partition)).collect();
    let mut wrong = Vec::new();
    for (topic, partition) in places {
        let (then, now) = (watched.partition(topic, partition), evidence.log.partition(topic, partition));
        if then != now {
            let at = then.iter().zip(now).position(|(then, now)| then != now).unwrap_or(then.len().min(now.len()));
            let offset = |entries: &[super::super::history::Entry]| entries.get(at).map(|entry| entry.offset);
            wrong.push(format!(
                "{topic} partition {partition}: {} records seen while it happened, {} afterwards; they differ from \
                 offsets {:?} and {:?} on",
                then.len(),
                now.len(),
                offset(then),
                offset(now)
            ));
        }
    }
    Some(wrong)
}
