//! Messages of Postgres' protocol, version 3, as far as the proxy reads them.

use std::io::{self, Read};

/// Larger than anything the server takes.
const LARGEST_FRAME: usize = 1024 * 1024 * 1024;
/// The codes of what a client may say first.
const PROTOCOL_3: i32 = 3 << 16;
const CANCEL: i32 = 80_877_102;
const SSL: i32 = 80_877_103;
const GSS_ENCRYPTION: i32 = 80_877_104;

/// The first message of a client, which has no type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Asks whether the rest may be encrypted.
    Encryption,
    /// Begins a session, under this `application_name`.
    Startup { frame: Vec<u8>, application: String },
    /// Ends what another session does.
    Cancel { frame: Vec<u8> },
}

/// One message after that, with its head.
#[derive(Debug)]
pub(super) struct Frame {
    /// Whole, as it goes over the wire.
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    /// The next message.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = vec![0; 5];
        from.read_exact(&mut bytes)?;
        let length = length(&bytes[1..5])?;
        bytes.resize(1 + length, 0);
        from.read_exact(&mut bytes[5..])?;
        Ok(Self { bytes })
    }

    /// What it is.
    pub(super) fn kind(&self) -> u8 {
        self.bytes[0]
    }

    fn body(&self) -> &[u8] {
        &self.bytes[5..]
    }

    /// The texts at its begin: the statement of a query; portal and statement of a bind.
    pub(super) fn texts<const N: usize>(&self) -> [&str; N] {
        let mut texts = self.body().split(|byte| *byte == 0).map(|text| std::str::from_utf8(text).unwrap_or(""));
        std::array::from_fn(|_| texts.next().unwrap_or(""))
    }

    /// Of what a close or describe names, whether it is a statement (`S`) or a portal (`P`), and its name.
    pub(super) fn named(&self) -> Option<(u8, &str)> {
        let [text] = self.texts();
        Some((*text.as_bytes().first()?, text.get(1..)?))
    }

    /// How many rows a finished statement has written: the number at the end of its tag, unless it only read.
    pub(super) fn rows_written(&self) -> u64 {
        let [tag] = self.texts();
        let wrote = ["INSERT ", "UPDATE ", "DELETE ", "MERGE ", "COPY "].iter().any(|verb| tag.starts_with(verb));
        let number = if wrote { tag.rsplit(' ').next().and_then(|number| number.parse().ok()) } else { None };
        number.unwrap_or(0)
    }
}

/// The first message.
pub(super) fn opening(from: &mut impl Read) -> io::Result<Opening> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let length = length(&frame)?;
    frame.resize(length, 0);
    from.read_exact(&mut frame[4..])?;
    let code = frame.get(4..8).and_then(|code| Some(i32::from_be_bytes(code.try_into().ok()?)));
    match code {
        Some(SSL | GSS_ENCRYPTION) => Ok(Opening::Encryption),
        Some(CANCEL) => Ok(Opening::Cancel { frame }),
        Some(code) if code >= PROTOCOL_3 => {
            let mut words = frame[8..].split(|byte| *byte == 0);
            let mut application = String::new();
            // Names and values by turns, up to an empty name.
            while let (Some(name @ [_, ..]), Some(value)) = (words.next(), words.next()) {
                if name == b"application_name" {
                    application = String::from_utf8_lossy(value).into_owned();
                }
            }
            Ok(Opening::Startup { frame, application })
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A length counts itself.
fn length(bytes: &[u8]) -> io::Result<usize> {
    let number = bytes.try_into().ok().map(i32::from_be_bytes).and_then(|number| usize::try_from(number).ok());
    number.filter(|number| (4..=LARGEST_FRAME).contains(number)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether one of the statements of a text ends a transaction for good. A text within a text may deceive it.
pub(super) fn commits(text: &str) -> bool {
    text.split(';').any(|statement| {
        let mut words = statement.split_whitespace();
        let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
        match words.next() {
            Some(first) if is(first, "COMMIT") => words.next().is_none_or(|second| !is(second, "PREPARED")),
            Some(first) if is(first, "END") => true,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Frame {
        let length = i32::try_from(body.len() + 4).unwrap();
        let bytes = [&[kind][..], &length.to_be_bytes(), body].concat();
        let read = Frame::read(&mut bytes.as_slice()).unwrap();
        assert_eq!(read.bytes, bytes);
        read
    }

    #[test]
    fn knows_a_commit_however_it_is_written() {
        for text in ["COMMIT", "commit", " Commit ;", "END", "COMMIT WORK", "UPDATE a SET b = 1; COMMIT"] {
            assert!(commits(text), "{text}");
        }
        for text in ["BEGIN", "COMMIT PREPARED 'a'", "SELECT commit FROM a", "ROLLBACK", "", "SAVEPOINT commit"] {
            assert!(!commits(text), "{text}");
        }
    }

    #[test]
    fn reads_what_messages_say() {
        assert_eq!(frame(b'Q', b"COMMIT\0").texts(), ["COMMIT"]);
        assert_eq!(frame(b'B', b"portal\0statement\0\0\0").texts(), ["portal", "statement"]);
        assert_eq!(frame(b'C', b"Sname\0").named(), Some((b'S', "name")));
        let rows = ["INSERT 0 12\0", "UPDATE 3\0", "SELECT 9\0", "COMMIT\0"];
        assert_eq!(rows.map(|tag| frame(b'C', tag.as_bytes()).rows_written()), [12, 3, 0, 0]);
        assert!(Frame::read(&mut [b'Q', 0, 0, 0, 3].as_slice()).is_err());
        assert!(Frame::read(&mut [b'Q', 255, 0, 0, 3].as_slice()).is_err());
    }

    #[test]
    fn reads_what_clients_say_first() {
        let ask = [0, 0, 0, 8, 4, 210, 22, 47];
        assert_eq!(opening(&mut ask.as_slice()).unwrap(), Opening::Encryption);
        let named = b"user\0application_name\0application_name\0the log\0\0";
        let bytes = [&[0, 0, 0, 56, 0, 3, 0, 0][..], named].concat();
        let expected = Opening::Startup { frame: bytes.clone(), application: "the log".to_owned() };
        assert_eq!(opening(&mut bytes.as_slice()).unwrap(), expected);
        assert!(opening(&mut [0, 0, 0, 8, 0, 2, 0, 0].as_slice()).is_err());
    }
}
