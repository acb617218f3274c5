//! Frames of Kafka's protocol, as far as the proxy reads them.

use std::io::{self, Read};

/// Larger than anything a broker takes.
const LARGEST_FRAME: usize = 128 * 1024 * 1024;

/// The requests that can be told apart, by their number in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Records.
    Produce = 0,
    /// The begin of a producer's life; ends what its predecessor left.
    InitProducerId = 22,
    /// The end of a transaction.
    EndTxn = 26,
    /// Offsets within a transaction.
    TxnOffsetCommit = 28,
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
        // The last field of EndTxn, in the versions before tagged fields: whether to commit.
        let commits = api != Api::EndTxn || self.version < 3 && self.frame.last() == Some(&1);
        self.api == api as i16 && commits
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
    if api == Api::EndTxn as i16 {
        fields.tags(flexible)?;
        fields.i32()?; // throttle
        return Some(vec![fields.i16()?]);
    }
    if api != Api::TxnOffsetCommit as i16 {
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
        assert!(request(2, 1).repeats(&first) && !request(2, 0).repeats(&first));
        assert_eq!((first.client.as_slice(), first.correlation), (&b"me"[..], 1));
    }
}
