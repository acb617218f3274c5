//! Records that no service can process.

use prost::Message as _;
use tasuki_domain::EventId;
use tasuki_wire::{Topic, v1};

use super::{Poison, Sent};
use crate::drill::random::Random;

/// A record of behavior or feedback that its service has to put aside, and the code of the reason.
pub(super) fn record(random: &mut Random, seed: u64, number: usize, received_at_ms: i64) -> Sent {
    let kind = random.below(9);
    let visitor = format!("visitor-{}", random.below(50));
    let good = good(&visitor, seed, number, received_at_ms);
    let whole = good.encode_to_vec();
    let identity = |key: Vec<u8>, payload: Vec<u8>, code: &'static str| Sent {
        topic: Topic::Behavior,
        key,
        payload,
        poison: Some(Poison { service: "identity", code }),
    };
    let key = format!("v:{visitor}").into_bytes();
    match kind {
        // Cut short within a field.
        0 => identity(key, whole[..whole.len() - 4].to_vec(), "undecodable"),
        // Another format.
        1 => identity(key, format!("{{\"n\": {number}, \"type\": \"page\"}}").into_bytes(), "undecodable"),
        2 => identity(key, Vec::new(), "invalid-head"),
        3 => identity([b"v:\xff\xfe", number.to_string().as_bytes()].concat(), whole, "key-not-utf8"),
        // As if sent to somebody else.
        4 => identity(format!("v:{visitor}-somebody-else").into_bytes(), whole, "wrong-key"),
        5 => {
            let nobody = v1::BehaviorRecord { identifiers: None, ..good };
            identity(key, nobody.encode_to_vec(), "no-identifier")
        }
        6 => {
            let mut record = good;
            record.meta.get_or_insert_default().event_id = vec![1, 2, 3];
            identity(key, record.encode_to_vec(), "invalid-head")
        }
        // An event of a kind that only a later release knows: whose it is can be told, what it is worth cannot.
        7 => {
            let email = format!("later-{number}@company-0.example");
            let identifiers = Some(v1::Identifiers { email: email.clone(), ..v1::Identifiers::default() });
            let unknown = v1::BehaviorRecord { identifiers, event: None, ..good };
            let poison = Some(Poison { service: "scoring", code: "missing-field" });
            let key = format!("e:{email}").into_bytes();
            Sent { topic: Topic::Behavior, key, payload: unknown.encode_to_vec(), poison }
        }
        // Feedback that says nothing this release knows, such as a command of a later one.
        _ => feedback(seed, number, received_at_ms),
    }
}

fn good(visitor: &str, seed: u64, number: usize, at_ms: i64) -> v1::BehaviorRecord {
    v1::BehaviorRecord {
        meta: Some(meta("drill poison", seed, number, at_ms)),
        identifiers: Some(v1::Identifiers { anonymous_id: visitor.to_owned(), ..v1::Identifiers::default() }),
        circumstances: Some(v1::Circumstances { path: "/poison".to_owned(), ..v1::Circumstances::default() }),
        event: Some(v1::behavior_record::Event::PageViewed(v1::PageViewed::default())),
        ..v1::BehaviorRecord::default()
    }
}

fn feedback(seed: u64, number: usize, at_ms: i64) -> Sent {
    let lead = crate::drill::model::lead_of(&format!("e:nobody-{number}@company-0.example"));
    let mut head = meta("drill poisoned feedback", seed, number, at_ms);
    head.lead_id = lead.as_bytes().to_vec();
    let record = v1::SalesFeedback { meta: Some(head), handoff_id: vec![0; 16], by: "rep-1".to_owned(), command: None };
    Sent {
        topic: Topic::SalesFeedback,
        key: lead.to_string().into_bytes(),
        payload: record.encode_to_vec(),
        poison: Some(Poison { service: "handoff", code: "no-command" }),
    }
}

fn meta(source: &str, seed: u64, number: usize, at_ms: i64) -> v1::Meta {
    v1::Meta {
        event_id: EventId::reported(source, &format!("{seed}-{number}")).as_bytes().to_vec(),
        occurred_at_ms: at_ms,
        received_at_ms: at_ms,
        ..v1::Meta::default()
    }
}
