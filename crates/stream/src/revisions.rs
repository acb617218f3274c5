//! Which states of a partition are of another revision than the one it has in common.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::processor::State;
use crate::store::{KeyHash, StateStore};

/// What the committed states say. Costs next to nothing where no state says what all have in common.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    /// The key of the state that says it, and what it says.
    common: Option<(Arc<str>, u32)>,
    /// How many of the other states there are of each revision.
    made: BTreeMap<u32, usize>,
    /// The hashes of those that are behind, in one order, so that every runner goes through them alike. `None` until they
    /// are asked for: only then all states are looked through.
    behind: Option<BTreeSet<KeyHash>>,
    /// How far the transaction under way has come.
    up_to: Option<KeyHash>,
}

/// What a state says of revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is of this one.
    Of(u32),
    /// All others are to be of this one.
    Common(u32),
}

impl Said {
    pub(crate) fn by(state: &impl State) -> Self {
        state.common().map_or_else(|| Self::Of(state.revision()), Self::Common)
    }
}

impl Revisions {
    pub(crate) fn is_behind(&self) -> bool {
        self.common().is_some_and(|common| self.made.keys().any(|revision| *revision != common))
    }

    pub(crate) fn common(&self) -> Option<u32> {
        self.common.as_ref().map(|(_, revision)| *revision)
    }

    pub(crate) fn common_key(&self) -> Option<&str> {
        self.common.as_ref().map(|(key, _)| &**key)
    }

    /// Takes note of what a committed state says instead of what it said before; `None` where there is no state. The store
    /// must have taken it in.
    pub(crate) fn note<S: State, B: StateStore>(
        &mut self,
        key: &str,
        before: Option<Said>,
        now: Option<Said>,
        store: &B,
    ) {
        if before == now {
            return;
        }
        if let Some(Said::Of(revision)) = before
            && let Some(states) = self.made.get_mut(&revision)
        {
            *states -= 1;
            if *states == 0 {
                self.made.remove(&revision);
            }
        }
        match now {
            Some(Said::Common(revision)) => {
                self.common = Some((key.into(), revision));
                self.behind = None;
            }
            Some(Said::Of(revision)) => {
                *self.made.entry(revision).or_default() += 1;
                if self.common().is_some_and(|common| common != revision) {
                    self.behind.iter_mut().for_each(|behind| {
                        behind.insert(KeyHash::of(key));
                    });
                } else {
                    self.forget::<S, B>(KeyHash::of(key), store);
                }
            }
            None => self.forget::<S, B>(KeyHash::of(key), store),
        }
    }

    /// The next key to be revised that is not left out.
    pub(crate) fn next<S: State, B: StateStore>(
        &mut self,
        store: &B,
        left_out: impl Fn(&str) -> bool,
    ) -> Option<Arc<str>> {
        if !self.is_behind() {
            return None;
        }
        let common = self.common();
        let behind = self.behind.get_or_insert_with(|| {
            let mut behind = BTreeSet::new();
            store.each(&mut |key, bytes| {
                if is_behind::<S>(common, bytes) {
                    behind.insert(KeyHash::of(key));
                }
            });
            behind
        });
        let after = self.up_to.map_or(Bound::Unbounded, Bound::Excluded);
        for &hash in behind.range((after, Bound::Unbounded)) {
            self.up_to = Some(hash);
            let mut next: Option<Arc<str>> = None;
            store.each_with(hash, &mut |key, bytes| {
                // Where two have this hash, the other one comes with the next transaction.
                if !left_out(key) && next.as_deref().is_none_or(|least| key < least) && is_behind::<S>(common, bytes) {
                    next = Some(key.into());
                }
            });
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// What was left out may come now.
    pub(crate) fn begin_transaction(&mut self) {
        self.up_to = None;
    }

    /// A state with this hash is not behind any more: forgets the hash, unless another state with it is.
    fn forget<S: State, B: StateStore>(&mut self, hash: KeyHash, store: &B) {
        let common = self.common();
        if let Some(behind) = &mut self.behind
            && behind.contains(&hash)
        {
            let mut another = false;
            store.each_with(hash, &mut |_, bytes| another |= is_behind::<S>(common, bytes));
            if !another {
                behind.remove(&hash);
            }
        }
    }
}

fn is_behind<S: State>(common: Option<u32>, bytes: &[u8]) -> bool {
    let state = S::decode(bytes).expect("the store holds only what its task encoded, or decoded at its restore");
    match Said::by(&state) {
        Said::Of(revision) => common.is_some_and(|common| common != revision),
        Said::Common(_) => false,
    }
}
