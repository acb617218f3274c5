//! Of what clients send nothing is lost, nothing is made up, and poison is put aside.

use std::collections::BTreeMap;

use prost::Message;
use tasuki_wire::{Topic, v1};

use super::written;
use crate::drill::evidence::{Accounts, Evidence};
use crate::drill::history::History;
use crate::drill::load::Poison;
use crate::drill::model;

/// Topics that clients write.
const RAW: [Topic; 2] = [Topic::Behavior, Topic::SalesFeedback];

type Counts<'e> = BTreeMap<(Topic, &'e [u8], &'e [u8]), i64>;

fn sent(evidence: &Evidence) -> Counts<'_> {
    let mut counts = Counts::new();
    for sent in &evidence.sent {
        *counts.entry((sent.topic, &sent.key, &sent.payload)).or_default() += 1;
    }
    counts
}

fn found(log: &History) -> Counts<'_> {
    let mut counts = Counts::new();
    for topic in RAW {
        for (_, entry) in log.of(topic) {
            *counts.entry((topic, &entry.key, &entry.payload)).or_default() += 1;
        }
    }
    counts
}

fn name((topic, key, payload): &(Topic, &[u8], &[u8])) -> String {
    let id = v1::BehaviorRecord::decode(*payload).map(|record| written(model::id(&record))).unwrap_or_default();
    format!("{topic} {} event {id}", String::from_utf8_lossy(key))
}

pub(super) fn nothing_acknowledged_is_lost(evidence: &Evidence) -> Option<Vec<String>> {
    let found = found(&evidence.log);
    let lost = |(what, sent): (_, i64)| {
        let there = found.get(&what).copied().unwrap_or(0);
        (there < sent).then(|| format!("{} was acknowledged {sent} times, and is there {there} times", name(&what)))
    };
    Some(evidence.missing.iter().cloned().chain(sent(evidence).into_iter().filter_map(lost)).collect())
}

pub(super) fn every_event_is_accounted_for(evidence: &Evidence) -> Option<Vec<String>> {
    let Accounts { received, booked, acknowledged } = evidence.accounts.as_ref()?;
    let sum: u64 = booked.values().sum();
    let accepted = booked.get("accepted").copied().unwrap_or(0);
    let mut wrong = Vec::new();
    if sum != *received {
        wrong.push(format!("ingest received {received} events and booked {sum}: {booked:?}"));
    }
    if accepted < *acknowledged {
        wrong.push(format!("clients had {acknowledged} events acknowledged, ingest accepted {accepted}"));
    }
    Some(wrong)
}

pub(super) fn nothing_is_made_up(evidence: &Evidence) -> Option<Vec<String>> {
    let sent = sent(evidence);
    let made_up = |(what, there): (_, i64)| {
        let times = sent.get(&what).copied().unwrap_or(0);
        (there > times).then(|| format!("{} was sent {times} times, and is there {there} times", name(&what)))
    };
    Some(found(&evidence.log).into_iter().filter_map(made_up).collect())
}

/// What stands in a dead letter, or has to: who could not process it and why, and what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Letter {
    /// A record that clients wrote: where it stands, its key and its bytes.
    Raw { service: String, code: String, topic: String, partition: u32, offset: i64, key: Vec<u8>, original: Vec<u8> },
    /// Something that followed from a behavior event.
    Derived { service: String, code: String, behavior_id: Vec<u8> },
    /// None that anybody could expect.
    Other(String),
}

pub(super) fn poison_is_put_aside_once(evidence: &Evidence) -> Option<Vec<String>> {
    let poison: BTreeMap<_, Poison> = evidence
        .sent
        .iter()
        .filter_map(|sent| Some(((sent.topic, sent.key.as_slice(), sent.payload.as_slice()), sent.poison?)))
        .collect();
    let mut expected: BTreeMap<Letter, i64> = BTreeMap::new();
    for topic in RAW {
        for (partition, entry) in evidence.log.of(topic) {
            let Some(poison) = poison.get(&(topic, entry.key.as_slice(), entry.payload.as_slice())) else { continue };
            let (service, code) = (poison.service.to_owned(), poison.code.to_owned());
            let letter = if poison.service == "scoring" {
                let record = v1::BehaviorRecord::decode(entry.payload.as_slice()).unwrap_or_default();
                Letter::Derived { service, code, behavior_id: model::id(&record).to_vec() }
            } else {
                let (key, original) = (entry.key.clone(), entry.payload.clone());
                let (topic, partition) = (topic.name().to_owned(), u32::from(partition));
                Letter::Raw { service, code, topic, partition, offset: entry.offset, key, original }
            };
            // Derived from one event, however often that was sent.
            expected.entry(letter).or_insert(1);
        }
    }
    let mut wrong = Vec::new();
    for (_, entry) in evidence.log.of(Topic::DeadLetters) {
        *expected.entry(read(&entry.payload)).or_default() -= 1;
    }
    for (letter, missing) in expected {
        match missing {
            0 => {}
            1.. => wrong.push(format!("not put aside: {letter:?}")),
            ..0 => wrong.push(format!("put aside {} times too often: {letter:?}", -missing)),
        }
    }
    Some(wrong)
}

fn read(payload: &[u8]) -> Letter {
    let Ok(letter) = v1::DeadLetter::decode(payload) else { return Letter::Other("unreadable letter".to_owned()) };
    let Some(v1::dead_letter::FoundAt::Log(place)) = letter.found_at else {
        return Letter::Other(format!("{}: {}", letter.service, letter.code));
    };
    let (service, code, original) = (letter.service, letter.code, letter.original.to_vec());
    if RAW.iter().any(|topic| topic.name() == place.topic) {
        let v1::LogPosition { topic, partition, offset, key } = place;
        return Letter::Raw { service, code, topic, partition, offset, key, original };
    }
    let behavior = v1::ActivityRecord::decode(original.as_slice()).ok().and_then(|record| match record.event {
        Some(v1::activity_record::Event::Attributed(attributed)) => attributed.behavior,
        Some(v1::activity_record::Event::Retracted(_) | v1::activity_record::Event::ProfileChanged(_)) | None => None,
    });
    match behavior {
        Some(behavior) => Letter::Derived { service, code, behavior_id: model::id(&behavior).to_vec() },
        None => Letter::Other(format!("{service}: {code} at {} {} {}", place.topic, place.partition, place.offset)),
    }
}
