//! What a decision of identity asks to be sent and counted, as values.

use std::sync::Arc;

use tasuki_wire::v1::RefusedBecause;

use crate::history::{Id, Payload};
use crate::metrics::Metric;

/// When the behavior that something follows from happened and was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) occurred_at_ms: i64,
    pub(crate) received_at_ms: i64,
}

/// One message to another state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// To an alias, by key: an event named it, beside the identifier of this key, if any; whoever has the key `asker`, if
    /// any, wants to hear by which lead it is known.
    Seen { to: String, asker: String, named: String },
    /// To whoever asked, by key: by which key the lead of an alias is known; its own: it has settled without another.
    Resolved { to: String, alias: String, known_as: String, revision: u64 },
    /// To the lead known by this key of an identifier: the event is yours.
    Claimed { known_as: Arc<str>, behavior_id: Id, payload: Payload },
    /// To the lead known by this key of an identifier: the home that says so, or what it names, is refused.
    Refused { known_as: Arc<str>, because: RefusedBecause, behavior_id: Vec<u8> },
    /// To the lead known by this key of an identifier: the event is not yours.
    Released { known_as: Arc<str>, behavior_id: Id },
}

/// All that follows from one input, in order.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) messages: Vec<(Times, Message)>,
    pub(crate) counts: Vec<Metric>,
    /// Events that left: their payloads are to leave their bundles, once the messages are sent.
    pub(crate) unbundled: Vec<(u32, Id)>,
    /// Payloads that moved out of the state of the home: they are to stand in the bundle, after those above have left.
    pub(crate) bundled: Vec<(u32, Id, Vec<u8>)>,
}

impl Effects {
    pub(crate) fn send(&mut self, times: Times, message: Message) {
        self.messages.push((times, message));
    }

    pub(crate) fn count(&mut self, metric: Metric) {
        self.counts.push(metric);
    }
}
