//! Frames of Kafka's protocol, as far as the proxy reads them.

use std::io::{self, Read};

/// Larger than anything a broker takes.
const LARGEST_FRAME: usize = 128 * 1024 * 1024;

/// The requests that can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Records are written.
    Produce,
    /// Records are read.
    Fetch,
    /// Which topics and brokers there are.
    Metadata,
    /// Offsets of a group, outside of a transaction.
    OffsetCommit,
    /// The committed offsets of a group.
    OffsetFetch,
    /// Which broker cares for a group or a transactional id.
    FindCoordinator,
    /// A member comes to its group, or comes again.
    JoinGroup,
    /// A member is alive.
    Heartbeat,
    /// A member learns what is its own.
    SyncGroup,
    /// The begin of a producer's life; ends what its predecessor left.
    InitProducerId,
    /// A transaction comes to new partitions.
    AddPartitionsToTxn,
    /// A transaction comes to the offsets of a group.
    AddOffsetsToTxn,
    /// The end of a transaction that commits.
    EndTxn,
    /// The end of a transaction that aborts: in the protocol, the same request with another last word.
    AbortTxn,
    /// Offsets within a transaction.
    TxnOffsetCommit,
}

impl Api {
    const ALL: [Self; 15] = [
        Self::Produce,
        Self::Fetch,
        Self::Metadata,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::FindCoordinator,
        Self::JoinGroup,
        Self::Heartbeat,
        Self::SyncGroup,
        Self::InitProducerId,
        Self::AddPartitionsToTxn,
        Self::AddOffsetsToTxn,
        Self::EndTxn,
        Self::AbortTxn,
        Self::TxnOffsetCommit,
    ];

    /// Its number in the protocol.
    pub(super) const fn number(self) -> i16 {
        match self {
            Self::Produce => 0,
            Self::Fetch => 1,
            Self::Metadata => 3,
            Self::OffsetCommit => 8,
            Self::OffsetFetch => 9,
            Self::FindCoordinator => 10,
            Self::JoinGroup => 11,
            Self::Heartbeat => 12,
            Self::SyncGroup => 14,
            Self::InitProducerId => 22,
            Self::AddPartitionsToTxn => 24,
            Self::AddOffsetsToTxn => 25,
            Self::EndTxn | Self::AbortTxn => 26,
            Self::TxnOffsetCommit => 28,
        }
    }
}

/// A frame of a client, and what its head says.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) frame: Vec<u8>,
    pub(super) api: i16,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) client: Vec<u8>,
    /// Where the head ends.
    body: usize,
}

impl Request {
    /// The head of every version: api, version, correlation, client.
    pub(super) fn parse(frame: Vec<u8>) -> Option<Self> {
        let mut fields = Fields(frame.get(4..)?);
        let (api, version, correlation) = (fields.i16()?, fields.i16()?, fields.i32()?);
        let length = usize::try_from(fields.i16()?).unwrap_or(0);
        let client = fields.take(length)?.to_vec();
        let body = frame.len() - fields.0.len();
        Some(Self { frame, api, version, correlation, client, body })
    }

    pub(super) fn is(&self, api: Api) -> bool {
        // The last field of the end of a transaction, in the versions before tagged fields: whether to commit.
        let commits = |yes: u8| self.version < 3 && self.frame.last() == Some(&yes);
        let end = if api == Api::EndTxn { commits(1) } else { api != Api::AbortTxn || commits(0) };
        self.api == api.number() && end
    }

    /// Which request it is, if it is one of those that can be told apart.
    pub(super) fn known(&self) -> Option<Api> {
        Api::ALL.into_iter().find(|api| self.is(*api))
    }

    /// Lowers the generation of the group by one, in a heartbeat or in the offsets of a transaction: what the broker then
    /// answers is what it answers to a member that has slept through a rebalance. Says whether it could.
    pub(super) fn outdate(&mut self) -> bool {
        let Some(at) = self.generation_at() else { return false };
        let Some(place) = self.frame.get_mut(at..at + 4) else { return false };
        let Some(generation) = Fields(place).i32() else { return false };
        place.copy_from_slice(&generation.wrapping_sub(1).to_be_bytes());
        true
    }

    fn generation_at(&self) -> Option<usize> {
        let mut fields = Fields(self.frame.get(self.body..)?);
        if self.api == Api::Heartbeat.number() {
            let flexible = self.version >= 4;
            fields.tags(flexible)?;
            let group = fields.count(flexible, false)?;
            fields.take(group)?;
        } else if self.api == Api::TxnOffsetCommit.number() && self.version >= 3 {
            fields.tags(true)?;
            for _ in ["transactional id", "group"] {
                let length = fields.count(true, false)?;
                fields.take(length)?;
            }
            fields.take(8 + 2)?; // producer and epoch
        } else {
            return None;
        }
        Some(self.frame.len() - fields.0.len())
    }

    pub(super) fn repeats(&self, other: &Self) -> bool {
        self.api == other.api && self.frame.get(self.body..) == other.frame.get(other.body..)
    }
}

/// Fields of a frame, in the order of the protocol.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..28).step_by(7) {
            let byte = usize::from(self.take(1)?[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The count before an array, or the length before a string.
    fn count(&mut self, flexible: bool, long: bool) -> Option<usize> {
        match (flexible, long) {
            (true, _) => self.varint()?.checked_sub(1),
            (false, true) => usize::try_from(self.i32()?).ok(),
            (false, false) => usize::try_from(self.i16()?).ok(),
        }
    }

    /// Tagged fields, of which brokers send none here.
    fn tags(&mut self, flexible: bool) -> Option<()> {
        if flexible && self.varint()? != 0 { None } else { Some(()) }
    }
}

/// The error codes of an answer.
pub(super) fn errors(api: i16, version: i16, frame: &[u8]) -> Option<Vec<i16>> {
    let mut fields = Fields(frame.get(4..)?);
    let flexible = version >= 3;
    fields.i32()?; // correlation
    if api == Api::EndTxn.number() {
        fields.tags(flexible)?;
        fields.i32()?; // throttle
        return Some(vec![fields.i16()?]);
    }
    if api != Api::TxnOffsetCommit.number() {
        return None;
    }
    fields.tags(flexible)?;
    fields.i32()?; // throttle
    let mut errors = Vec::new();
    for _ in 0..fields.count(flexible, true)? {
        let name = fields.count(flexible, false)?;
        fields.take(name)?;
        for _ in 0..fields.count(flexible, true)? {
            fields.i32()?; // partition
            errors.push(fields.i16()?);
            fields.tags(flexible)?;
        }
        fields.tags(flexible)?;
    }
    Some(errors)
}

/// One frame with its length before it.
pub(super) fn frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let length = Fields(&frame).i32().and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|&length| length <= LARGEST_FRAME).ok_or(io::ErrorKind::InvalidData)?;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 3, as librdkafka asks for it: correlation, no tags, throttle, and per topic its name and partitions.
    const OFFSETS: [u8; 35] =
        [0, 0, 0, 31, 0, 0, 0, 7, 0, 0, 0, 0, 0, 2, 2, b'a', 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 47, 0, 0, 0, 0, 2];

    #[test]
    fn reads_the_errors_of_every_partition_and_nothing_from_what_is_cut_short() {
        let whole = [&OFFSETS[..], &[255, 255, 0, 0, 0]].concat();
        assert_eq!(errors(28, 3, &whole), Some(vec![0, 47, -1]));
        assert_eq!(errors(28, 3, &OFFSETS), None);
        assert_eq!(errors(26, 1, &[0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 51]), Some(vec![51]));
        assert_eq!(errors(0, 10, &whole), None);
    }

    #[test]
    fn knows_a_repetition_by_its_body() {
        let request = |correlation: u8, commit: u8| {
            let head = [0, 26, 0, 1, 0, 0, 0, correlation, 0, 2, b'm', b'e'];
            Request::parse([&[0, 0, 0, 13][..], &head, &[commit]].concat()).unwrap()
        };
        let first = request(1, 1);
        assert!(first.is(Api::EndTxn) && !request(1, 0).is(Api::EndTxn) && !first.is(Api::Produce));
        assert_eq!((first.known(), request(1, 0).known()), (Some(Api::EndTxn), Some(Api::AbortTxn)));
        assert!(request(2, 1).repeats(&first) && !request(2, 0).repeats(&first));
        assert_eq!((first.client.as_slice(), first.correlation), (&b"me"[..], 1));
    }

    #[test]
    fn makes_a_generation_an_old_one() {
        let lowered = |api: u8, version: u8, body: &[u8]| {
            let head = [0, 0, 0, 0, 0, api, 0, version, 0, 0, 0, 7, 0, 2, b'm', b'e'];
            let mut request = Request::parse([&head[..], body].concat()).unwrap();
            request.outdate().then(|| request.frame[head.len()..].to_vec())
        };
        // Group, generation, member.
        let heartbeat = [0, 1, b'g', 0, 0, 1, 0, 0, 1, b'm'];
        assert_eq!(lowered(12, 3, &heartbeat).unwrap(), [0, 1, b'g', 0, 0, 0, 255, 0, 1, b'm']);
        // No tags, transactional id, group, producer, epoch, generation.
        let offsets = [0, 2, b't', 2, b'g', 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0, 0, 5, 2, b'm'];
        let mut expected = offsets;
        expected[18] = 4;
        assert_eq!(lowered(28, 3, &offsets).unwrap(), expected);
        assert_eq!((lowered(28, 2, &offsets), lowered(0, 9, &offsets), lowered(12, 3, &[0, 9])), (None, None, None));
    }
}
