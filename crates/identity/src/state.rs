//! What identity remembers under one key, and its bytes.

use lz4_flex::block;
use prost::Message;
use tasuki_domain::Timestamp;
use tasuki_stream::{State, StateError};

use crate::bundle::Bundle;
use crate::columns::Columns;
use crate::history::History;
use crate::lead::Lead;
use crate::user::User;
use crate::visitor::Visitor;

/// What identity remembers about a visitor, a user id, an address or a lead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdentityState(pub(crate) Parts);

/// Each kind of key uses its own parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    /// Visitor, user id, address.
    pub(crate) history: History,
    pub(crate) others: Others,
}

/// What stands as it is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Others {
    #[prost(message, optional, tag = "1")]
    pub(crate) visitor: Option<Visitor>,
    #[prost(message, optional, tag = "2")]
    pub(crate) user: Option<User>,
    #[prost(message, optional, tag = "3")]
    pub(crate) lead: Option<Lead>,
    #[prost(message, optional, tag = "4")]
    pub(crate) bundle: Option<Bundle>,
}

impl Parts {
    /// The events, with their length before them, then the others.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Columns::of(&self.history).encode_length_delimited_to_vec();
        self.others.encode(&mut bytes).expect("a Vec has room");
        bytes
    }

    fn from_bytes(mut bytes: &[u8]) -> Result<Self, StateError> {
        let history = Columns::decode_length_delimited(&mut bytes)?.into_history()?;
        Ok(Self { history, others: Others::decode(bytes)? })
    }
}

/// First byte: protobuf follows.
const PLAIN: u8 = 0;
/// First byte: the length in four bytes and protobuf as an LZ4 block with [`DICTIONARY`] follow. One visitor's events
/// say much the same, and all visitors' browsers too.
const LZ4: u8 = 1;

/// Texts that trackers send all the time. Never to be edited, or stored states cannot be read any more: a better one
/// gets a form of its own.
const DICTIONARY: &[u8] = include_bytes!("../data/dictionary-1.txt");

impl State for IdentityState {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((&PLAIN, plain)) => Ok(Self(Parts::from_bytes(plain)?)),
            Some((&LZ4, block)) => {
                let plain = block::decompress_size_prepended_with_dict(block, DICTIONARY)
                    .map_err(|error| StateError(error.to_string()))?;
                Ok(Self(Parts::from_bytes(&plain)?))
            }
            Some((other, _)) => Err(StateError(format!("unknown form {other}"))),
            None => Err(StateError("no bytes".to_owned())),
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let plain = self.0.to_bytes();
        let block = block::compress_prepend_size_with_dict(&plain, DICTIONARY);
        let (form, bytes) = if block.len() < plain.len() { (LZ4, block) } else { (PLAIN, plain) };
        into.reserve(1 + bytes.len());
        into.push(form);
        into.extend_from_slice(&bytes);
    }

    fn is_empty(&self) -> bool {
        let Parts { history, others: Others { visitor, user, lead, bundle } } = &self.0;
        history.events.is_empty()
            && visitor.as_ref().is_none_or(Visitor::is_empty)
            && user.as_ref().is_none_or(User::is_empty)
            && lead.as_ref().is_none_or(Lead::is_empty)
            && bundle.as_ref().is_none_or(Bundle::is_empty)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let expire_at = self.0.history.expire_at_ms;
        let settle_at = self.0.others.user.as_ref().and_then(User::settles_at_ms);
        expire_at.into_iter().chain(settle_at).min().map(Timestamp::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{KeptEvent, Payload};

    fn state(records: &[&str]) -> IdentityState {
        let mut history = History::default();
        for (n, record) in (1..).zip(records) {
            let payload = Payload::Here(record.as_bytes().to_vec());
            let event_id = std::array::from_fn(|byte| n + u8::try_from(byte).unwrap());
            history.insert(KeptEvent { event_id, payload, ..KeptEvent::default() });
        }
        IdentityState(Parts { history, ..Parts::default() })
    }

    #[test]
    fn states_read_back_and_the_same_state_has_the_same_bytes() {
        let page = "https://www.google.com/ Asia/Tokyo";
        for (state, form) in [(state(&["?"]), PLAIN), (state(&[page, page]), LZ4)] {
            let (mut once, mut again) = (Vec::new(), Vec::new());
            state.encode(&mut once);
            IdentityState::decode(&once).unwrap().encode(&mut again);
            assert_eq!((once[0], IdentityState::decode(&once).unwrap()), (form, state));
            assert_eq!(once, again);
        }
    }

    #[test]
    fn bytes_that_are_no_state_are_an_error() {
        for bytes in [&[][..], &[9], &[LZ4, 4, 0, 0, 0, 0x40, b'a'], &[PLAIN, 0xff]] {
            assert!(IdentityState::decode(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_dictionary_of_stored_states_is_never_edited() {
        let digest = DICTIONARY.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        assert_eq!((DICTIONARY.len(), digest), (1_358, 7_032_433_438_994_302_342));
    }
}
