//! A service as a pure function, and what it is given to work with.

use prost::Message;
use tasuki_domain::{EventId, Timestamp};
use tasuki_wire::{Partition, Topic};

use crate::store::Lookup;
use crate::task::{Count, States};

/// What a service reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Topology {
    /// Its name: consumer group, label of metrics, part of derived event ids.
    pub service: &'static str,
    /// The topics it reads. Their same-numbered partitions are always with the same task.
    pub inputs: &'static [Topic],
    /// The topics it writes, dead letters aside.
    pub outputs: &'static [Topic],
    /// Where its state is kept.
    pub state: Topic,
}

/// A service of the pipeline: what it does with one event, and nothing about where events come from.
///
/// Both functions are pure: no I/O, no clock, no randomness. Doing them again on the same state gives the same.
pub trait Processor: Send + Sync + 'static {
    /// What it remembers per key.
    type State: State;

    /// What it reads and writes.
    fn topology(&self) -> Topology;

    /// Applies one input to the states it concerns and says what follows.
    ///
    /// # Errors
    ///
    /// [`Poison`] if the input cannot be decoded or makes no sense: the runner writes it to `dead-letters` and moves on.
    /// Whatever was changed or emitted before is taken back.
    fn apply(&self, context: &mut Context<'_, Self::State>, input: &Input<'_>) -> Result<(), Poison>;

    /// Called once a state's [`State::next_deadline`] has passed. Must move that deadline on or clear it.
    fn deadline(&self, context: &mut Context<'_, Self::State>, due: &Due<'_>);

    /// Called once for each key whose state is of another revision than the one that its partition has in common
    /// ([`State::common`]): not at once for all, but some in each transaction, with inputs in between. Must bring the state
    /// to that revision. Called only where some state has one.
    fn revise(&self, _context: &mut Context<'_, Self::State>, _key: &str) {}
}

/// What a processor remembers about one key.
pub trait State: Default + Send + 'static {
    /// Reads what [`State::encode`] wrote, by this or an earlier release.
    ///
    /// # Errors
    ///
    /// If the bytes are not a state of this kind.
    fn decode(bytes: &[u8]) -> Result<Self, StateError>;

    /// Appends the state as bytes. The same state always gives the same bytes.
    fn encode(&self, into: &mut Vec<u8>);

    /// Nothing is left that needs keeping: the key is removed from the store and its log.
    fn is_empty(&self) -> bool {
        false
    }

    /// When the processor wants to be called for this key though nothing arrives.
    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    /// The revision that every other state of the partition is to have, if this is the one state that says so. At most one
    /// key of a partition may.
    fn common(&self) -> Option<u32> {
        None
    }

    /// Under which revision of what its partition has in common the state was made. Looked at only where
    /// [`State::common`] is said.
    fn revision(&self) -> u32 {
        0
    }
}

/// Stored bytes that are not a state.
#[derive(Debug, thiserror::Error)]
#[error("not a state of this service: {0}")]
pub struct StateError(pub String);

impl From<prost::DecodeError> for StateError {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// One record of an input topic.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Which topic.
    pub topic: Topic,
    /// Which partition of it.
    pub partition: Partition,
    /// Where in the partition.
    pub offset: i64,
    /// Empty if the record has none.
    pub key: &'a [u8],
    /// The message.
    pub payload: &'a [u8],
}

impl Input<'_> {
    /// The message as protobuf.
    ///
    /// # Errors
    ///
    /// [`Poison`] with code `undecodable`.
    pub fn decode<M: Message + Default>(&self) -> Result<M, Poison> {
        M::decode(self.payload).map_err(|error| Poison::new("undecodable", error.to_string()))
    }

    /// The key as text.
    ///
    /// # Errors
    ///
    /// [`Poison`] with code `key-not-utf8`.
    pub fn key_str(&self) -> Result<&str, Poison> {
        std::str::from_utf8(self.key).map_err(|error| Poison::new("key-not-utf8", error.to_string()))
    }
}

/// Why a record cannot be processed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Poison {
    /// Short and stable, for filters.
    pub code: &'static str,
    /// For a person: what was found and what is allowed. No personal data.
    pub message: String,
}

impl Poison {
    /// A poison of this code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<tasuki_wire::InvalidHead> for Poison {
    fn from(error: tasuki_wire::InvalidHead) -> Self {
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            message = format!("{message}: {source}");
        }
        Self::new("invalid-head", message)
    }
}

/// A deadline that has passed.
#[derive(Clone, Copy, Debug)]
pub struct Due<'a> {
    /// Whose.
    pub key: &'a str,
    /// When it was due: the instant that counts.
    pub due_at: Timestamp,
    /// When the timer fired; later than `due_at` after a stop. For the record only.
    pub fired_at: Timestamp,
}

impl Due<'_> {
    /// Stands as cause for what follows from this firing: the same firing has the same id, whenever it happens.
    pub fn event_id(&self, service: &str) -> EventId {
        EventId::reported(service, &format!("due {} {}", self.due_at.as_millis(), self.key))
    }
}

/// A record on its way to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Which topic; the partition is that of the key.
    pub topic: Topic,
    /// The key.
    pub key: String,
    /// The message.
    pub payload: Vec<u8>,
}

/// What a processor has to work with: states by key, outputs, derived ids.
pub struct Context<'t, S> {
    pub(crate) service: &'static str,
    pub(crate) committed: &'t dyn Lookup,
    pub(crate) states: &'t mut States<S>,
    pub(crate) emitted: &'t mut Vec<Emitted>,
    pub(crate) counted: &'t mut Vec<Count>,
    pub(crate) cause: EventId,
    pub(crate) position: u32,
}

impl<S: State> Context<'_, S> {
    /// Says which event the following ids derive from. To be called once the input's head is read.
    pub fn caused_by(&mut self, cause: EventId) {
        self.cause = cause;
        self.position = 0;
    }

    /// The state of a key, a default one if nothing is known, to read and to change.
    pub fn state(&mut self, key: &str) -> &mut S {
        self.states.touch(key, self.committed)
    }

    /// The state of a key, to be read; `None` if nothing is known. Costs less than [`Context::state`], and a record that is
    /// refused afterwards is still taken back alone.
    pub fn peek(&mut self, key: &str) -> Option<&S> {
        self.states.peek(key, self.committed)
    }

    /// The id of the next event that follows from the cause.
    pub fn next_event_id(&mut self) -> EventId {
        let id = EventId::derived(self.service, self.cause, self.position);
        self.position += 1;
        id
    }

    /// Writes a message to one of the output topics.
    pub fn emit(&mut self, topic: Topic, key: impl Into<String>, message: &impl Message) {
        self.emit_bytes(topic, key, message.encode_to_vec());
    }

    /// Writes bytes to one of the output topics.
    pub fn emit_bytes(&mut self, topic: Topic, key: impl Into<String>, payload: Vec<u8>) {
        self.emitted.push(Emitted { topic, key: key.into(), payload });
    }

    /// Counts something for operators: becomes the metric `tasuki_<service>_<what>_total{reason}` once committed.
    pub fn count(&mut self, what: &'static str, reason: &'static str) {
        self.counted.push(Count { what, reason });
    }
}

impl<S> std::fmt::Debug for Context<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("service", &self.service).field("cause", &self.cause).finish_non_exhaustive()
    }
}
