//! Frames: how entries lie in a file, so that what a crash has torn is told from what is whole. Pure.
//!
//! A frame is a mark (4 bytes), the length of its content and the checksum of length and content (4 bytes each, little
//! endian), and the content.

/// How every frame begins.
const MARK: [u8; 4] = *b"TSK\x01";

/// Bytes before the content.
pub(super) const HEAD: usize = 12;

/// What stands at a place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A whole frame with this content; the next begins at `end`.
    Whole {
        /// The content.
        content: &'a [u8],
        /// Where the next frame begins.
        end: usize,
    },
    /// The file ends here.
    End,
    /// The beginning of a frame, and then the file ends: it was being written when the process or the machine died, and
    /// nobody has been told that it is kept.
    Torn,
    /// Something that no write of ours leaves, whole or torn.
    Damaged,
}

/// The frame of this content. Content over 4 GiB has none.
pub(super) fn framed(content: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(content.len()).ok()?.to_le_bytes();
    let mut frame = Vec::with_capacity(HEAD + content.len());
    frame.extend_from_slice(&MARK);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&checksum(length, content).to_le_bytes());
    frame.extend_from_slice(content);
    Some(frame)
}

/// What stands at `at`.
pub(super) fn read(bytes: &[u8], at: usize) -> Found<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return Found::End;
    }
    let marked = rest.len().min(MARK.len());
    if rest[..marked] != MARK[..marked] {
        return Found::Damaged;
    }
    let (Some(length), Some(sum)) = (word(rest, 4), word(rest, 8)) else { return Found::Torn };
    let Ok(size) = usize::try_from(u32::from_le_bytes(length)) else { return Found::Damaged };
    let Some(content) = rest.get(HEAD..).and_then(|rest| rest.get(..size)) else { return Found::Torn };
    if checksum(length, content).to_le_bytes() != sum {
        return Found::Damaged;
    }
    Found::Whole { content, end: at + HEAD + size }
}

fn word(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn checksum(length: [u8; 4], content: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&length);
    sum.update(content);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(contents: &[Vec<u8>]) -> Vec<u8> {
        contents.iter().flat_map(|content| framed(content).unwrap()).collect()
    }

    /// All whole frames from the beginning, and what comes after them.
    fn all(bytes: &[u8]) -> (Vec<Vec<u8>>, Found<'_>) {
        let (mut contents, mut at) = (Vec::new(), 0);
        loop {
            match read(bytes, at) {
                Found::Whole { content, end } => {
                    contents.push(content.to_vec());
                    at = end;
                }
                rest @ (Found::End | Found::Torn | Found::Damaged) => return (contents, rest),
            }
        }
    }

    fn contents() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)
    }

    proptest! {
        #[test]
        fn wherever_a_write_is_torn_every_frame_before_is_whole_and_nothing_else_is_found(contents in contents()) {
            let bytes = file(&contents);
            for cut in 0..=bytes.len() {
                let (found, rest) = all(&bytes[..cut]);
                let mut ends = 0;
                let whole = contents.iter().take_while(|content| { ends += HEAD + content.len(); ends <= cut }).count();
                prop_assert_eq!(&found, &contents[..whole]);
                let at_boundary = file(&contents[..whole]).len() == cut;
                prop_assert_eq!(rest, if at_boundary { Found::End } else { Found::Torn });
            }
        }

        #[test]
        fn a_byte_that_has_changed_costs_its_frame_and_is_never_taken_for_content(
            contents in contents(), place in any::<prop::sample::Index>(), flip in 1_u8..=255,
        ) {
            let mut bytes = file(&contents);
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            let mut ends = 0;
            let before = contents.iter().take_while(|content| { ends += HEAD + content.len(); ends <= place }).count();
            let (found, rest) = all(&bytes);
            prop_assert_eq!(&found, &contents[..before]);
            // A length that has grown beyond the file looks torn; everything else is seen as damage.
            prop_assert!(matches!(rest, Found::Torn | Found::Damaged));
        }

        #[test]
        fn pages_that_never_reached_the_disk_are_damage(contents in contents(), zeros in 1_usize..50) {
            let mut bytes = file(&contents);
            bytes.resize(bytes.len() + zeros, 0);
            prop_assert_eq!(all(&bytes), (contents, Found::Damaged));
        }
    }
}
