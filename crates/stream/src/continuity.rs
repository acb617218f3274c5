//! Versions per lead: what has been seen, what is new, what is missing. (Rule R7 of the runner on Kafka: transactions can be
//! torn by what no client does, and this is how it would be noticed.)

use tasuki_domain::Version;

/// What the version of a record says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The next one: apply it.
    New,
    /// Seen before: drop it.
    Repeated,
    /// Later than the next one: something was lost upstream. Apply it, and report the gap.
    Gap {
        /// The version that should have come.
        expected: Version,
    },
}

/// Compares a record's version with the last one seen from the same writer for the same lead, and moves that on.
pub fn admit(last_seen: &mut u64, version: Version) -> Admission {
    let expected = last_seen.saturating_add(1);
    if version.get() < expected {
        return Admission::Repeated;
    }
    *last_seen = version.get();
    if version.get() == expected { Admission::New } else { Admission::Gap { expected: Version::new(expected) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_new_repeated_or_missing() {
        let mut seen = 0;
        assert_eq!(admit(&mut seen, Version::new(1)), Admission::New);
        assert_eq!(admit(&mut seen, Version::new(1)), Admission::Repeated);
        assert_eq!(admit(&mut seen, Version::new(4)), Admission::Gap { expected: Version::new(2) });
        assert_eq!(admit(&mut seen, Version::new(3)), Admission::Repeated);
        assert_eq!(admit(&mut seen, Version::new(5)), Admission::New);
    }
}
