//! The playbook that a partition is scored by: that of the latest publication, or the one the process was started with.

use std::sync::Arc;

use prost::Message;
use tasuki_domain::{EventId, Timestamp};
use tasuki_playbook::{Playbook, Shelf};
use tasuki_stream::{Poison, Publication, StateError};
use tasuki_wire::v1;

use crate::matching;
use crate::record::Wording;

/// The key of the state that says what is in force. No lead has it.
pub(crate) const KEY: &str = "playbook";

/// What its bytes begin with: no format of the state of a lead has this number.
pub(crate) const FORMAT: u8 = b'P';

/// A playbook, and what follows from it for every score.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) playbook: Arc<Playbook>,
    /// Fingerprint of its rules for engagement.
    pub(crate) rules: u32,
    /// Fingerprint of its text: stands in the state of each lead that was scored by it.
    pub(crate) revision: u32,
    pub(crate) wording: Wording,
}

impl Compiled {
    pub(crate) fn of(playbook: Arc<Playbook>) -> Self {
        Self {
            rules: matching::fingerprint(&playbook),
            revision: Playbook::fingerprint(playbook.text()),
            wording: Wording::of(&playbook),
            playbook,
        }
    }
}

/// The latest publication that has reached a partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    pub(crate) id: EventId,
    pub(crate) at: Timestamp,
    /// Fingerprint of its text.
    pub(crate) revision: u32,
    pub(crate) playbook: v1::PlaybookPublished,
}

impl Published {
    pub(crate) fn read(record: &v1::PlaybookRecord) -> Result<Self, Poison> {
        let Publication { id, at, playbook } = Publication::of(record)?;
        Ok(Self { id, at, revision: Playbook::fingerprint(&playbook.text), playbook: playbook.clone() })
    }

    /// What decides which of two counts, in whatever order they come.
    pub(crate) fn order(&self) -> (Timestamp, EventId) {
        (self.at, self.id)
    }

    /// Ready for use.
    pub(crate) fn compiled(&self, shelf: &Shelf<Compiled>) -> Result<Arc<Compiled>, Poison> {
        shelf.get(*self.id.as_bytes(), || {
            let playbook = Playbook::parse(&self.playbook.text).map_err(Publication::unreadable)?;
            Ok(Compiled::of(Arc::new(playbook)))
        })
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.push(FORMAT);
        into.extend_from_slice(self.id.as_bytes());
        into.extend_from_slice(&self.at.as_millis().to_le_bytes());
        into.extend_from_slice(&self.revision.to_le_bytes());
        self.playbook.encode_raw(into);
    }

    /// Reads what comes behind the format.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let short = || StateError("a publication ends too early".to_owned());
        let (id, rest) = bytes.split_first_chunk::<16>().ok_or_else(short)?;
        let (at, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (revision, rest) = rest.split_first_chunk().ok_or_else(short)?;
        Ok(Self {
            id: EventId::from_slice(id).map_err(|_| short())?,
            at: Timestamp::from_millis(i64::from_le_bytes(*at)),
            revision: u32::from_le_bytes(*revision),
            playbook: v1::PlaybookPublished::decode(rest)?,
        })
    }
}
