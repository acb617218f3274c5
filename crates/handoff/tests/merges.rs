//! Leads that were handed over and are merged: the handoff stays, and whoever took it hears of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod given;

use given::{
    Say, accepted, assigned, at, contract_records, decided, empty_pipeline, event, feedback, handoff_events,
    handoff_id, lead, policy, qualified,
};
use prost::Message;
use tasuki_domain::LeadId;
use tasuki_handoff::Handoff;
use tasuki_stream::Emitted;
use tasuki_stream::memory::Pipeline;
use tasuki_wire::{Topic, v1};

/// The lead is merged into another, or none, from now on.
fn merges(of: LeadId, version: u64, into: Option<LeadId>) -> Emitted {
    let changed = v1::MergesChanged {
        merged_into: into.map_or_else(Vec::new, |into| into.as_bytes().to_vec()),
        ..v1::MergesChanged::default()
    };
    let meta = v1::Meta {
        event_id: event("merge", of, u32::try_from(version).unwrap()).as_bytes().to_vec(),
        occurred_at_ms: at("09:30:00").as_millis(),
        received_at_ms: at("09:30:00").as_millis(),
        lead_id: of.as_bytes().to_vec(),
        version,
        ..v1::Meta::default()
    };
    let record =
        v1::IdentityRecord { meta: Some(meta), event: Some(v1::identity_record::Event::MergesChanged(changed)) };
    Emitted { topic: Topic::Identities, key: of.to_string(), payload: record.encode_to_vec() }
}

fn after(records: Vec<Emitted>) -> Pipeline {
    let mut pipeline = empty_pipeline().with(Handoff::new(policy()));
    for record in records {
        pipeline.publish(record);
        pipeline.run();
    }
    assert_eq!(pipeline.refused(), []);
    pipeline
}

fn handed_over() -> Vec<Emitted> {
    vec![qualified(lead(1), 1, at("09:00:00")), decided(lead(1), 1, Some("sato"), at("09:00:00"))]
}

#[test]
fn a_merged_lead_keeps_its_handoff_and_connectors_hear_of_the_merge_and_of_the_split() {
    let mut records = handed_over();
    records.extend([merges(lead(1), 1, Some(lead(2))), merges(lead(1), 1, Some(lead(2))), merges(lead(1), 2, None)]);
    records.push(feedback(lead(1), 1, handoff_id(lead(1), 1), "sato", Say::Accept, at("09:40:00")));
    let pipeline = after(records);
    assert_eq!(handoff_events(&pipeline, lead(1)), [assigned(Some("sato"), at("10:00:00")), accepted("sato")]);
    let [first, merged, split] = contract_records(&pipeline).try_into().unwrap();
    let expected = tasuki_wire::contract::QualifiedLead {
        version: 2,
        event_id: merged.event_id,
        merged_into: Some(lead(2)),
        ..first.clone()
    };
    assert_eq!(merged, expected);
    assert_eq!((split.version, split.merged_into, split.handoff_id), (3, None, first.handoff_id));
    assert!(first.event_id != merged.event_id && merged.event_id != split.event_id);
}

#[test]
fn a_lead_that_is_merged_before_it_has_an_owner_says_so_from_the_start() {
    let mut records = handed_over();
    records.insert(0, merges(lead(1), 1, Some(lead(2))));
    let records = contract_records(&after(records));
    assert_eq!(
        records.iter().map(|record| (record.version, record.merged_into)).collect::<Vec<_>>(),
        [(1, Some(lead(2)))]
    );
}

#[test]
fn nobody_hears_of_a_lead_that_was_not_handed_over_or_of_one_that_takes_in_another() {
    let mut records = handed_over();
    records.extend([merges(lead(1), 1, None), merges(lead(3), 1, Some(lead(1)))]);
    assert_eq!(contract_records(&after(records)).len(), 1);
}
