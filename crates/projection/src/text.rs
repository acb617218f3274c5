//! Makes text and numbers of the log fit for Postgres, so that no value can stop a partition.

use tasuki_domain::{Timestamp, Version};

/// Longest text that goes into an index, in characters. A key of a B-tree may have 2,700 bytes, a character 4.
const INDEXED_CHARS: usize = 200;

/// The text without NUL, which Postgres cannot store: U+FFFD stands for it.
pub(crate) fn clean(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// As [`clean`], cut to what an index takes.
pub(crate) fn indexed(text: &str) -> String {
    let end = text.char_indices().nth(INDEXED_CHARS).map_or(text.len(), |(at, _)| at);
    clean(&text[..end])
}

/// A counter of the log as Postgres has it; counters beyond 2^63 do not occur.
pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The same, for versions.
pub(crate) fn version(version: Version) -> i64 {
    count(version.get())
}

/// An instant where 0 means none.
pub(crate) fn optional(millis: i64) -> Option<Timestamp> {
    (millis != 0).then(|| Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_be_refused_by_postgres() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        assert_eq!(indexed(&"株".repeat(5_000)), "株".repeat(200));
        assert_eq!(indexed("short"), "short");
    }
}
