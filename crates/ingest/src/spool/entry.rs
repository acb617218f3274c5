//! An entry: the records of one request, and what the books need to know of it. Pure.

use prost::Message;
use tasuki_domain::Timestamp;
use tasuki_stream::Emitted;
use tasuki_wire::Topic;

/// What one request writes, waiting for the log.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    /// Whose events these are.
    #[prost(string, tag = "1")]
    pub(crate) source: String,
    /// The adapter that read them.
    #[prost(string, tag = "2")]
    pub(crate) protocol: String,
    #[prost(sint64, tag = "3")]
    received_at_ms: i64,
    #[prost(message, repeated, tag = "4")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(string, tag = "2")]
    key: String,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
}

impl Entry {
    pub(crate) fn new(source: &str, protocol: &str, received_at: Timestamp, records: &[Emitted]) -> Self {
        let of = |record: &Emitted| Record {
            topic: record.topic.name().to_owned(),
            key: record.key.clone(),
            payload: record.payload.clone(),
        };
        Self {
            source: source.to_owned(),
            protocol: protocol.to_owned(),
            received_at_ms: received_at.as_millis(),
            records: records.iter().map(of).collect(),
        }
    }

    /// How many events.
    pub(crate) fn events(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap_or(u64::MAX)
    }

    /// When they were received.
    pub(crate) fn received_at(&self) -> Timestamp {
        Timestamp::from_millis(self.received_at_ms)
    }

    /// The records for the log; `None` where one is for a topic that this version does not know.
    pub(crate) fn records(&self) -> Option<Vec<Emitted>> {
        let of = |record: &Record| {
            let topic: Topic = record.topic.parse().ok()?;
            Some(Emitted { topic, key: record.key.clone(), payload: record.payload.clone() })
        };
        self.records.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_as_it_was_written() {
        let records = vec![
            Emitted { topic: Topic::Behavior, key: "v:a".to_owned(), payload: vec![1, 2, 3] },
            Emitted { topic: Topic::DeadLetters, key: "site".to_owned(), payload: Vec::new() },
        ];
        let entry = Entry::new("site", "jitsu", Timestamp::from_millis(7), &records);
        let read = Entry::decode(entry.encode_to_vec().as_slice()).unwrap();
        assert_eq!((read.events(), read.received_at(), read.records()), (2, Timestamp::from_millis(7), Some(records)));
        assert_eq!((read.source.as_str(), read.protocol.as_str()), ("site", "jitsu"));
    }
}
