//! The fields of a protobuf message, read where they stand: what is not asked for is skipped, and nothing is copied.

/// More than this many groups within each other are refused, as by [`prost`].
pub(crate) const DEEPEST: usize = 100;

/// Bytes that are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("it ends within a field")]
    Truncated,
    #[error("a number has more than 64 bits")]
    LongNumber,
    #[error("a field has no valid number and type")]
    InvalidKey,
    #[error("a group is not closed as it was opened, or stands too deep")]
    Group,
    #[error("field {0} is of another type")]
    WrongType(u32),
    #[error("the text in field {0} is not UTF-8")]
    NotUtf8(u32),
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'b> {
    pub(crate) number: u32,
    value: Value<'b>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'b> {
    Varint(u64),
    Fixed64(i64),
    Delimited(&'b [u8]),
    /// A fixed number of 32 bits or a group: no message of ours has such fields.
    Other,
}

impl<'b> Field<'b> {
    /// `string`.
    pub(crate) fn text(self) -> Result<&'b str, Undecodable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Undecodable::NotUtf8(self.number))
    }

    /// `bytes`, or a message.
    pub(crate) fn bytes(self) -> Result<&'b [u8], Undecodable> {
        if let Value::Delimited(bytes) = self.value { Ok(bytes) } else { Err(Undecodable::WrongType(self.number)) }
    }

    /// `uint64`.
    pub(crate) fn uint(self) -> Result<u64, Undecodable> {
        if let Value::Varint(number) = self.value { Ok(number) } else { Err(Undecodable::WrongType(self.number)) }
    }

    /// `sfixed64`.
    pub(crate) fn fixed(self) -> Result<i64, Undecodable> {
        if let Value::Fixed64(number) = self.value { Ok(number) } else { Err(Undecodable::WrongType(self.number)) }
    }
}

/// Calls `take` with each field of a message, in the order in which they stand.
pub(crate) fn each<'b>(
    message: &'b [u8],
    mut take: impl FnMut(Field<'b>) -> Result<(), Undecodable>,
) -> Result<(), Undecodable> {
    let mut from = Wire { rest: message };
    while !from.rest.is_empty() {
        let (number, wire_type) = from.key()?;
        let value = match wire_type {
            VARINT => Value::Varint(from.varint()?),
            FIXED64 => Value::Fixed64(i64::from_le_bytes(from.array()?)),
            DELIMITED => Value::Delimited(from.delimited()?),
            _ => {
                from.skip(number, wire_type)?;
                Value::Other
            }
        };
        take(Field { number, value })?;
    }
    Ok(())
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;
const GROUP_BEGINS: u64 = 3;
const GROUP_ENDS: u64 = 4;
const FIXED32: u64 = 5;

/// What is left to be read.
struct Wire<'b> {
    rest: &'b [u8],
}

impl<'b> Wire<'b> {
    /// The number and the type of the next field.
    fn key(&mut self) -> Result<(u32, u64), Undecodable> {
        let key = self.varint()?;
        let number = u32::try_from(key).map_err(|_| Undecodable::InvalidKey)? >> 3;
        if number == 0 { Err(Undecodable::InvalidKey) } else { Ok((number, key & 7)) }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Undecodable> {
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Undecodable> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Undecodable::LongNumber)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Undecodable::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    fn delimited(&mut self) -> Result<&'b [u8], Undecodable> {
        let length = usize::try_from(self.varint()?).map_err(|_| Undecodable::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Undecodable::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Goes past a field whose key has been read.
    fn skip(&mut self, number: u32, wire_type: u64) -> Result<(), Undecodable> {
        let mut open = Vec::new();
        let (mut number, mut wire_type) = (number, wire_type);
        loop {
            match wire_type {
                VARINT => _ = self.varint()?,
                FIXED64 => _ = self.array::<8>()?,
                DELIMITED => _ = self.delimited()?,
                GROUP_BEGINS if open.len() < DEEPEST => open.push(number),
                GROUP_ENDS if open.pop() == Some(number) => {}
                FIXED32 => _ = self.array::<4>()?,
                GROUP_BEGINS | GROUP_ENDS => return Err(Undecodable::Group),
                _ => return Err(Undecodable::InvalidKey),
            }
            if open.is_empty() {
                return Ok(());
            }
            (number, wire_type) = self.key()?;
        }
    }
}
