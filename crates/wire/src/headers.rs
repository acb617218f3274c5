//! The headers that records carry on Kafka.
//!
//! They follow from topic and payload, so nothing has to carry them through processors, transactions and the embedded
//! log, and a record copied from one log to another gets the same ones again.

use serde::Deserialize;

use crate::Topic;
use crate::contract::{EVENT_TYPE, SOURCE};

/// Names of headers and their values.
pub type Headers = Vec<(&'static str, String)>;

/// The headers of a record: CloudEvents in binary mode (Kafka protocol binding 1.0.2) on the public topic, none on
/// others. A payload that is not of the contract gets none.
pub fn for_record(topic: Topic, payload: &[u8]) -> Headers {
    if topic != Topic::LeadsQualified {
        return Headers::new();
    }
    let Ok(record) = serde_json::from_slice::<Attributes>(payload) else { return Headers::new() };
    vec![
        ("content-type", "application/json".to_owned()),
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", record.event_id),
        ("ce_source", SOURCE.to_owned()),
        ("ce_type", EVENT_TYPE.to_owned()),
        ("ce_subject", record.lead_id),
        ("ce_time", record.occurred_at),
    ]
}

/// What CloudEvents wants to know of a record.
#[derive(Deserialize)]
struct Attributes {
    event_id: String,
    lead_id: String,
    occurred_at: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_topic_speaks_cloud_events() {
        let payload = br#"{"event_id":"e","lead_id":"l","occurred_at":"2026-11-23T09:30:00.000Z","version":1}"#;
        let expected = [
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_id", "e"),
            ("ce_source", "/tasuki/handoff"),
            ("ce_type", "tasuki.leads.qualified.v1"),
            ("ce_subject", "l"),
            ("ce_time", "2026-11-23T09:30:00.000Z"),
        ];
        let headers = for_record(Topic::LeadsQualified, payload);
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn other_topics_and_foreign_payloads_have_none() {
        assert_eq!(for_record(Topic::Handoff, b"{}"), []);
        assert_eq!(for_record(Topic::LeadsQualified, b"\x00"), []);
    }
}
