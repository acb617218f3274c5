//! Events of a home or a lead that stand apart from its own state.
//!
//! A home's state is written anew with each event. Payloads are most of its bytes and none of its decisions, so all but
//! the latest leave it for states of their own, each written once, and again when one of its events leaves. Each holds
//! several, since the events of one identifier say much the same and compress well side by side.

/// Payloads that left the state of their home together.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Bundle {
    #[prost(message, repeated, tag = "1")]
    payloads: Vec<Payload>,
}

/// What ingest wrote of one event.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "vec", tag = "1")]
    event_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    record: Vec<u8>,
}

/// The key of a bundle of a home. No identifier has such a key.
pub(crate) fn key_of_bundle(home: &str, number: u32) -> String {
    format!("b:{home}/{number}")
}

impl Bundle {
    /// Nothing needs keeping.
    pub(crate) fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    pub(crate) fn add(&mut self, id: &[u8], record: Vec<u8>) {
        self.payloads.push(Payload { event_id: id.to_vec(), record });
    }

    /// Takes over what another holds.
    pub(crate) fn add_all(&mut self, other: Self) {
        self.payloads.extend(other.payloads);
    }

    /// Bytes of what it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.payloads.iter().map(|payload| payload.record.len()).sum()
    }

    pub(crate) fn remove(&mut self, id: &[u8]) {
        self.payloads.retain(|payload| payload.event_id != id);
    }

    pub(crate) fn record(&self, id: &[u8]) -> Option<&[u8]> {
        self.payloads.iter().find(|payload| payload.event_id == id).map(|payload| payload.record.as_slice())
    }
}
