//! Protobuf messages, written field by field: what [`prost`] writes of the generated types, without building them first.

/// Bytes of a message that grows. Fields have numbers up to 15; what is zero or empty is left out, as in proto3.
#[derive(Debug, Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;

impl Message {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn uint(&mut self, field: u8, number: impl Into<u64>) {
        let number = number.into();
        if number != 0 {
            self.bytes.push(field << 3 | VARINT);
            self.varint(number);
        }
    }

    /// `sint64`, and enumerations through [`Message::uint`].
    pub(crate) fn sint(&mut self, field: u8, number: i64) {
        self.uint(field, zigzag(number));
    }

    pub(crate) fn fixed(&mut self, field: u8, number: i64) {
        if number != 0 {
            self.bytes.push(field << 3 | FIXED64);
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// `string`, `bytes`.
    pub(crate) fn text(&mut self, field: u8, text: &[u8]) {
        if !text.is_empty() {
            self.bytes.push(field << 3 | LENGTH_DELIMITED);
            self.length(text.len());
            self.bytes.extend_from_slice(text);
        }
    }

    /// One `string` of several, which is there even if it is empty.
    pub(crate) fn text_of_several(&mut self, field: u8, text: &[u8]) {
        self.bytes.push(field << 3 | LENGTH_DELIMITED);
        self.length(text.len());
        self.bytes.extend_from_slice(text);
    }

    /// A message that is there, even if it is empty, as it is written: mostly one of fewer than 128 bytes.
    pub(crate) fn message(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        self.message_behind(1, field, write);
    }

    /// A message as above, mostly one of more bytes.
    pub(crate) fn long_message(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        self.message_behind(2, field, write);
    }

    /// The length stands before the message, and is known behind it: room is left for it, and only where that was not
    /// the right room is the message moved.
    fn message_behind(&mut self, room: usize, field: u8, write: impl FnOnce(&mut Self)) {
        self.bytes.push(field << 3 | LENGTH_DELIMITED);
        let start = self.bytes.len();
        self.bytes.resize(start + room, 0);
        write(self);
        let length = self.bytes.len() - start - room;
        let end = start + prost::length_delimiter_len(length);
        if end != start + room {
            self.bytes.splice(start..start + room, std::iter::repeat_n(0, end - start));
        }
        let mut rest = u64::try_from(length).unwrap_or(u64::MAX);
        for byte in &mut self.bytes[start..end] {
            *byte = low_seven(rest) | 0x80;
            rest >>= 7;
        }
        self.bytes[end - 1] &= 0x7f;
    }

    /// `repeated uint32`, `repeated sint64` through [`zigzag`]: packed. Left out if there are none.
    pub(crate) fn packed(&mut self, field: u8, numbers: impl ExactSizeIterator<Item = u64>, bytes_each: usize) {
        if numbers.len() > 0 {
            let room = if numbers.len() * bytes_each < 128 { 1 } else { 2 };
            self.message_behind(room, field, |list| numbers.for_each(|number| list.varint(number)));
        }
    }

    /// `bytes` in parts of the same length.
    pub(crate) fn parts<'b, const N: usize>(&mut self, field: u8, parts: impl ExactSizeIterator<Item = &'b [u8; N]>) {
        if parts.len() > 0 {
            self.bytes.push(field << 3 | LENGTH_DELIMITED);
            self.length(N * parts.len());
            parts.for_each(|part| self.bytes.extend_from_slice(part));
        }
    }

    /// Bytes of fields that were written before.
    pub(crate) fn fields(&mut self, fields: &[u8]) {
        self.bytes.extend_from_slice(fields);
    }

    /// A `string` in several parts that is not empty.
    pub(crate) fn texts(&mut self, field: u8, parts: &[&str]) {
        self.bytes.push(field << 3 | LENGTH_DELIMITED);
        self.length(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part.as_bytes()));
    }

    fn length(&mut self, length: usize) {
        self.varint(u64::try_from(length).unwrap_or(u64::MAX));
    }

    fn varint(&mut self, mut rest: u64) {
        while rest >= 0x80 {
            self.bytes.push(low_seven(rest) | 0x80);
            rest >>= 7;
        }
        self.bytes.push(low_seven(rest));
    }
}

/// How signed numbers are written.
#[inline]
pub(crate) fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

fn low_seven(number: u64) -> u8 {
    u8::try_from(number & 0x7f).expect("seven bits")
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tasuki_wire::v1;

    use super::*;

    #[test]
    fn writes_what_prost_writes() {
        for length in [0, 1, 126, 127, 128, 16_383, 16_384] {
            for number in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
                let name = "n".repeat(length);
                let mut message = Message::default();
                message.message(7, |fact| {
                    fact.text(1, name.as_bytes());
                    fact.sint(2, number);
                });
                message.fixed(8, number);
                message.uint(10, u32::try_from(length).unwrap());
                let facts = vec![v1::Fact { name, value: number }];
                let signals = u32::try_from(length).unwrap();
                let scored = v1::LeadScored { facts, next_change_at_ms: number, signals, ..v1::LeadScored::default() };
                assert_eq!(message.into_bytes(), scored.encode_to_vec(), "{length} and {number}");
            }
        }
    }
}
