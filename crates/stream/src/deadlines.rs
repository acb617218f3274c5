//! When the committed states of a partition want to be called.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use tasuki_domain::Timestamp;

use crate::store::KeyHash;

/// An instant, and the hash of the key whose state has it as its deadline: all that is kept of a deadline, 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(4))]
pub(crate) struct Mark {
    at: Timestamp,
    key: KeyHash,
}

impl Mark {
    pub(crate) fn new(at: Timestamp, key: KeyHash) -> Self {
        Self { at, key }
    }

    pub(crate) fn at(self) -> Timestamp {
        self.at
    }

    pub(crate) fn key(self) -> KeyHash {
        self.key
    }
}

/// Deadlines in their order; those at the same instant in the order of the hashes, which is the same for every runner.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    marks: BTreeSet<Mark>,
    /// How many more keys there are with the same mark. Nearly always empty.
    more: FxHashMap<Mark, usize>,
}

impl Deadlines {
    pub(crate) fn add(&mut self, mark: Mark) {
        if !self.marks.insert(mark) {
            *self.more.entry(mark).or_default() += 1;
        }
    }

    /// Takes away one that was added.
    pub(crate) fn remove(&mut self, mark: Mark) {
        match self.more.get_mut(&mark) {
            None => {
                self.marks.remove(&mark);
            }
            Some(more) => {
                *more -= 1;
                if *more == 0 {
                    self.more.remove(&mark);
                }
            }
        }
    }

    /// The first mark, from this one on, that more keys have than `taken` says.
    pub(crate) fn first(&self, from: Option<Mark>, taken: impl Fn(Mark) -> usize) -> Option<Mark> {
        let keys = |mark: &Mark| 1 + self.more.get(mark).copied().unwrap_or_default();
        let all = from.map_or_else(|| self.marks.range(..), |from| self.marks.range(from..));
        all.copied().find(|mark| taken(*mark) < keys(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_two_keys_have_stays_until_both_are_gone() {
        let mark = |at| Mark::new(Timestamp::from_millis(at), KeyHash::of("a"));
        let mut deadlines = Deadlines::default();
        [5, 5, 7].into_iter().for_each(|at| deadlines.add(mark(at)));
        let first = |deadlines: &Deadlines, taken| deadlines.first(None, |_| taken).map(Mark::at);
        let at = |at| Some(Timestamp::from_millis(at));
        assert_eq!([first(&deadlines, 0), first(&deadlines, 1), first(&deadlines, 2)], [at(5), at(5), None]);
        deadlines.remove(mark(5));
        assert_eq!([first(&deadlines, 0), first(&deadlines, 1)], [at(5), None]);
        assert_eq!(deadlines.first(Some(mark(6)), |_| 0), Some(mark(7)));
        deadlines.remove(mark(5));
        assert_eq!(first(&deadlines, 0), at(7));
    }
}
