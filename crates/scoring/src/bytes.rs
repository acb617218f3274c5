//! Numbers, instants and texts as few bytes. Numbers are written in 7-bit groups (LEB128), signed ones zigzag.

use tasuki_domain::Timestamp;
use tasuki_stream::StateError;

use crate::signals::index;

pub(crate) fn signed(into: &mut Vec<u8>, number: i64) {
    unsigned(into, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

#[inline]
pub(crate) fn unsigned(into: &mut Vec<u8>, number: impl TryInto<u64>) {
    let Ok(mut rest) = number.try_into() else { unreachable!("counts and numbers fit in 64 bits") };
    loop {
        let low = u8::try_from(rest & 0x7f).expect("seven bits");
        rest >>= 7;
        if rest == 0 {
            return into.push(low);
        }
        into.push(low | 0x80);
    }
}

/// What is left to be read.
pub(crate) struct Bytes<'b> {
    pub(crate) rest: &'b [u8],
}

impl<'b> Bytes<'b> {
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'b [u8], StateError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(too_early)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, StateError> {
        let (&byte, rest) = self.rest.split_first().ok_or_else(too_early)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn unsigned(&mut self) -> Result<u64, StateError> {
        let first = self.byte()?;
        if first < 0x80 { Ok(u64::from(first)) } else { self.longer(first) }
    }

    /// The rest of a number of more than seven bits.
    fn longer(&mut self, first: u8) -> Result<u64, StateError> {
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(StateError("a number has more than 64 bits".to_owned()))
    }

    /// A count of things of at least one byte each.
    #[inline]
    pub(crate) fn count(&mut self) -> Result<usize, StateError> {
        let count = usize::try_from(self.unsigned()?).ok().filter(|&count| count <= self.rest.len());
        count.ok_or_else(|| StateError("a count is larger than what follows".to_owned()))
    }

    #[inline]
    pub(crate) fn signed(&mut self) -> Result<i64, StateError> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    #[inline]
    pub(crate) fn optional(&mut self) -> Result<Option<Timestamp>, StateError> {
        Ok(if self.byte()? == 0 { None } else { Some(Timestamp::from_millis(self.signed()?)) })
    }

    /// A number below a limit.
    #[inline]
    pub(crate) fn number(&mut self, limit: usize) -> Result<u32, StateError> {
        let number = u32::try_from(self.unsigned()?).ok().filter(|&number| index(number) < limit);
        number.ok_or_else(|| StateError("a number points nowhere".to_owned()))
    }
}

#[cold]
pub(crate) fn too_early() -> StateError {
    StateError("it ends too early".to_owned())
}
