//! Once all is at rest: rows are what the log says, nothing hangs, and it took no longer than allowed.

use std::collections::BTreeMap;

use prost::Message;
use tasuki_domain::LeadId;
use tasuki_wire::{Topic, v1};

use super::{activity, handoff, identities, qualification, scored, scores, version};
use crate::drill::evidence::Evidence;
use crate::drill::history::History;
use crate::drill::model::Attributed;
use crate::drill::service::PROJECTED;
use crate::drill::tables::{AccountRow, LeadRow, Tables};

pub(super) fn rows_are_what_the_log_says(evidence: &Evidence) -> Option<Vec<String>> {
    let found = evidence.tables.as_ref()?;
    let expected = fold(evidence);
    let mut wrong = Vec::new();
    compare("lead_current", &found.leads, &expected.leads, &mut wrong);
    compare("lead_timeline", &found.timeline, &expected.timeline, &mut wrong);
    compare("lead_decisions", &found.decisions, &expected.decisions, &mut wrong);
    compare("accounts", &found.accounts, &expected.accounts, &mut wrong);
    compare("handoffs", &found.handoffs, &expected.handoffs, &mut wrong);
    compare("dead_letters", &found.letters, &expected.letters, &mut wrong);
    for (topic, partition, entries) in evidence.log.partitions().filter(|(topic, ..)| PROJECTED.contains(topic)) {
        let next = entries.last().map_or(0, |entry| entry.offset + 1);
        let is = evidence.watermarks.get(&(topic, partition)).copied().unwrap_or(0);
        if is < next {
            wrong.push(format!("projection_watermark: {topic} partition {partition} is at {is}, written up to {next}"));
        }
    }
    Some(wrong)
}

fn compare<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    table: &str,
    found: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
    wrong: &mut Vec<String>,
) {
    for (key, expected) in expected {
        match found.get(key) {
            None => wrong.push(format!("{table}: no row {key:?}")),
            Some(found) if found != expected => {
                wrong.push(format!("{table} {key:?}: is {found:?}, and has to be {expected:?}"));
            }
            Some(_) => {}
        }
    }
    wrong.extend(
        found
            .keys()
            .filter(|key| !expected.contains_key(*key))
            .map(|key| format!("{table}: row {key:?} is of nothing")),
    );
}

/// The tables as they follow from the log, in the simplest way: last one wins, whole topics at a time.
pub(super) fn fold(evidence: &Evidence) -> Tables {
    let log = &evidence.log;
    let mut tables = Tables::default();
    for (lead, records) in activity(log) {
        let row = tables.leads.entry(lead).or_default();
        row.versions[0] = records.last().map_or(0, |record| version(record.meta.as_ref()));
        let mut now = Attributed::default();
        for record in &records {
            now.apply(record);
            if let Some(v1::activity_record::Event::Attributed(it)) = &record.event
                && let Some(behavior) = &it.behavior
            {
                tables.timeline.insert((lead, crate::drill::model::id(behavior).to_vec()), false);
            }
        }
        row.email = now.profile.as_ref().map_or(String::new(), |profile| profile.email.clone());
        row.activities = i64::try_from(now.events.len()).unwrap_or(i64::MAX);
        for ((_, event), retracted) in
            tables.timeline.range_mut((lead, Vec::new())..).take_while(|((of, _), _)| *of == lead)
        {
            *retracted = !now.events.contains_key(event);
        }
    }
    for (lead, records) in scores(log) {
        let row = tables.leads.entry(lead).or_default();
        row.versions[1] = records.last().map_or(0, |record| version(record.meta.as_ref()));
        if let Some(scored) = records.iter().filter_map(scored).next_back() {
            row.score = (scored.engagement_mp, scored.fit_mp, scored.grade.clone());
        }
    }
    for (lead, records) in identities(log) {
        for meta in records.iter().filter_map(|record| record.meta.as_ref()) {
            tables.decisions.insert(meta.event_id.clone(), (lead, meta.version));
        }
    }
    for (lead, records) in qualification(log) {
        decided(&mut tables, lead, 2, records.iter().map(|record| record.meta.as_ref()));
    }
    for (lead, records) in handoff(log) {
        decided(&mut tables, lead, 3, records.iter().map(|record| record.meta.as_ref()));
        for record in &records {
            use v1::handoff_record::Event;
            let before = tables.handoffs.get(&record.handoff_id).map_or("", String::as_str);
            let settled = matches!(before, "accepted" | "rejected");
            let state = match &record.event {
                Some(Event::Assigned(it)) if it.owner.as_ref().is_some_and(|owner| !owner.id.is_empty()) => "assigned",
                Some(Event::Assigned(_)) => "unassigned",
                Some(Event::Overdue(_)) if !settled => "overdue",
                Some(Event::Accepted(_)) => "accepted",
                Some(Event::Rejected(_)) => "rejected",
                Some(Event::Overdue(_) | Event::Refused(_)) | None => continue,
            };
            tables.handoffs.insert(record.handoff_id.clone(), state.to_owned());
        }
    }
    tables.accounts = accounts(log);
    for (_, entry) in log.of(Topic::DeadLetters) {
        if let Ok(letter) = v1::DeadLetter::decode(entry.payload.as_slice()) {
            tables.letters.insert(letter.id, letter.code);
        }
    }
    tables
}

/// What was said last of each account. What a single lead adds to it is none of the table's.
fn accounts(log: &History) -> BTreeMap<String, AccountRow> {
    let mut accounts = BTreeMap::new();
    for (_, entry) in log.of(Topic::Accounts) {
        let Ok(record) = v1::AccountRecord::decode(entry.payload.as_slice()) else { continue };
        let Some(v1::account_record::Event::Engaged(it)) = record.event else { continue };
        let departments: Vec<_> = it.departments.iter().map(|it| format!("{} {}", it.people, it.name)).collect();
        let row = AccountRow {
            version: version(record.meta.as_ref()),
            engagement: (it.engagement_mp, it.sum_mp),
            people: i64::from(it.people),
            department_count: i64::try_from(departments.len()).unwrap_or(i64::MAX),
            departments,
            as_of_ms: it.as_of_ms,
            playbook_version: i64::from(it.playbook_version),
        };
        accounts.insert(String::from_utf8_lossy(&entry.key).into_owned(), row);
    }
    accounts
}

fn decided<'m>(tables: &mut Tables, lead: LeadId, place: usize, metas: impl Iterator<Item = Option<&'m v1::Meta>>) {
    let row: &mut LeadRow = tables.leads.entry(lead).or_default();
    for meta in metas.flatten() {
        row.versions[place] = meta.version;
        tables.decisions.insert(meta.event_id.clone(), (lead, meta.version));
    }
}

pub(super) fn reading_again_gives_the_same(evidence: &Evidence) -> Option<Vec<String>> {
    let [first, again] = evidence.fingerprints.as_ref()?;
    let same = first == again;
    Some(if same { Vec::new() } else { vec![format!("the tables are {first}, read again from the begin {again}")] })
}

pub(super) fn nothing_hangs(evidence: &Evidence) -> Option<Vec<String>> {
    evidence.hanging.clone()
}

pub(super) fn it_caught_up(evidence: &Evidence) -> Option<Vec<String>> {
    let liveness = evidence.caught_up?;
    let allowed = liveness.allowed;
    let late = liveness.within.is_none_or(|within| within > allowed);
    Some(if late { vec![format!("there is lag {allowed:?} after everything is healed")] } else { Vec::new() })
}
