//! Which states of a partition are of another revision than the one it has in common.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use crate::processor::State;
use crate::store::StateStore;

/// What the committed states say. Costs nothing where no state says what all have in common.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    /// The key of the state that says it, and what it says.
    common: Option<(Arc<str>, u32)>,
    /// The keys of the others, in one order, so that every runner goes through them alike.
    behind: BTreeSet<Arc<str>>,
    /// How far the transaction under way has come.
    up_to: Option<Arc<str>>,
}

impl Revisions {
    pub(crate) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    pub(crate) fn common(&self) -> Option<u32> {
        self.common.as_ref().map(|(_, revision)| *revision)
    }

    pub(crate) fn common_key(&self) -> Option<&str> {
        self.common.as_ref().map(|(key, _)| &**key)
    }

    /// Takes note of a committed state. True if it says another revision for all: then everything is to be looked through.
    pub(crate) fn note(&mut self, key: &Arc<str>, state: &impl State) -> bool {
        if let Some(revision) = state.common() {
            let common = Some((Arc::clone(key), revision));
            let another = self.common != common;
            self.common = common;
            return another;
        }
        match &self.common {
            Some((_, revision)) if state.revision() != *revision => {
                self.behind.insert(Arc::clone(key));
            }
            Some(_) | None => self.forget(key),
        }
        false
    }

    pub(crate) fn forget(&mut self, key: &str) {
        if !self.behind.is_empty() {
            self.behind.remove(key);
        }
    }

    /// Looks through all committed states.
    pub(crate) fn look_through<S: State, B: StateStore>(&mut self, store: &B) {
        self.behind.clear();
        store.each(&mut |key, bytes| {
            let state =
                S::decode(bytes).expect("the store holds only what its task encoded, or decoded at its restore");
            if state.common().is_none() {
                self.note(key, &state);
            }
        });
    }

    /// The next key to be revised that is not left out.
    pub(crate) fn next(&mut self, left_out: impl Fn(&str) -> bool) -> Option<Arc<str>> {
        let after = self.up_to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.behind.range::<str, _>((after, Bound::Unbounded)).find(|key| !left_out(key)).cloned();
        if next.is_some() {
            self.up_to.clone_from(&next);
        }
        next
    }

    /// What was left out may come now.
    pub(crate) fn begin_transaction(&mut self) {
        self.up_to = None;
    }
}
