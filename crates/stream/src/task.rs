//! One partition of a processor: committed state, the transaction under way, deadlines.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hashbrown::HashTable;
use tasuki_domain::{EventId, Timestamp};

use crate::deadlines::{Deadlines, Mark};
use crate::processor::{Context, Due, Emitted, Input, Poison, Processor, State, StateError, Topology};
use crate::revisions::{Revisions, Said};
use crate::store::{KeyHash, Lookup, MemoryStore, StateStore};

/// One partition of a processor.
///
/// Between two commits, changes live in an overlay: [`Task::abort`] drops it, and nothing uncommitted ever reaches the
/// store. A runner applies inputs, writes what [`Task::take_emitted`] and [`Task::changes`] give in one transaction of
/// its log, and calls [`Task::committed`] when that is known to be durable.
pub struct Task<P: Processor, B: StateStore = MemoryStore> {
    processor: Arc<P>,
    topology: Topology,
    store: B,
    /// Exactly the deadlines of the states in the store.
    deadlines: Deadlines,
    /// The transaction under way has fired all before this one.
    fired_to: Option<Mark>,
    revisions: Revisions,
    overlay: States<P::State>,
    emitted: Vec<Emitted>,
    counted: Vec<Count>,
    /// What ids derive from as long as a processor has not named a cause.
    no_cause: EventId,
}

/// What a processor counted in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Becomes the middle of the metric's name.
    pub what: &'static str,
    /// Its label.
    pub reason: &'static str,
}

/// One changed key of a transaction: its new bytes, or `None` where it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Arc<str>,
    /// The state as it will be.
    pub value: Option<Box<[u8]>>,
}

/// A record was not applied.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub poison: Poison,
    /// A state that the transaction had changed before was touched: the overlay can no longer be trusted. The runner
    /// aborts, starts again from the last commit, and leaves this record out.
    pub overlay_lost: bool,
}

/// The states touched in the transaction under way.
#[derive(Debug)]
pub(crate) struct States<S> {
    entries: Vec<Entry<S>>,
    by_key: HashTable<usize>,
    /// Deadlines of the entries, as they now are.
    deadlines: BTreeSet<(Mark, usize)>,
    /// Entries touched by the input being applied.
    touched: Vec<usize>,
    /// Entries from here on were loaded by the input being applied.
    loaded_from: usize,
}

#[derive(Debug)]
struct Entry<S> {
    key: Arc<str>,
    hash: KeyHash,
    state: S,
    /// Whether a processor had it to change; otherwise it was only looked at, and is as it stands in the store.
    changed: bool,
    /// As it stands in the store; `None` if it does not.
    committed: Option<Said>,
    committed_deadline: Option<Timestamp>,
    deadline: Option<Timestamp>,
}

impl<P: Processor, B: StateStore> Task<P, B> {
    /// A task without any state.
    pub fn new(processor: Arc<P>) -> Self {
        let topology = processor.topology();
        Self {
            processor,
            topology,
            store: B::default(),
            deadlines: Deadlines::default(),
            fired_to: None,
            revisions: Revisions::default(),
            overlay: States::default(),
            emitted: Vec::new(),
            counted: Vec::new(),
            no_cause: EventId::reported(topology.service, ""),
        }
    }

    /// What the processor reads and writes.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// The committed state.
    pub fn store(&self) -> &B {
        &self.store
    }

    /// Takes one record of the state log, newest last; `None` where the key was forgotten.
    ///
    /// # Errors
    ///
    /// If the bytes are not a state of this service.
    pub fn restore(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), StateError> {
        let hash = KeyHash::of(key);
        let before = self.store.get(key).map(P::State::decode).transpose()?;
        let now = value.map(P::State::decode).transpose()?;
        if let Some(deadline) = before.as_ref().and_then(State::next_deadline) {
            self.deadlines.remove(Mark::new(deadline, hash));
        }
        if let Some(deadline) = now.as_ref().and_then(State::next_deadline) {
            self.deadlines.add(Mark::new(deadline, hash));
        }
        match value {
            Some(bytes) => self.store.put(key, bytes),
            None => self.store.remove(key),
        }
        let (before, now) = (before.as_ref().map(Said::by), now.as_ref().map(Said::by));
        self.revisions.note::<P::State, B>(key, before, now, &self.store);
        Ok(())
    }

    /// Applies one input to the overlay.
    ///
    /// # Errors
    ///
    /// [`Rejected`] if the processor cannot process it or panics; the overlay is as before the call, or said to be lost.
    pub fn apply(&mut self, input: &Input<'_>) -> Result<(), Rejected> {
        self.call(|processor, context| processor.apply(context, input))
    }

    /// Calls the processor for deadlines that have passed at `now`, the earliest first, at most `limit` of them. Says
    /// how many it was.
    ///
    /// # Errors
    ///
    /// If the processor panics, or leaves a deadline standing that it was called for.
    pub fn fire_due(&mut self, now: Timestamp, limit: usize) -> Result<usize, Poison> {
        for fired in 0..limit {
            let Some((due_at, key)) = self.take_due(now) else { return Ok(fired) };
            let due = Due { key: &key, due_at, fired_at: now };
            self.call(|processor, context| {
                context.state(&key);
                context.caused_by(due.event_id(context.service));
                processor.deadline(context, &due);
                Ok(())
            })
            .map_err(|rejected| rejected.poison)?;
            if self.overlay.entry(&key).is_some_and(|entry| entry.deadline == Some(due_at)) {
                return Err(Poison::new(
                    "deadline-stands",
                    "the processor did not move on the deadline it was called for",
                ));
            }
        }
        Ok(limit)
    }

    /// Whether there are states that [`Task::revise`] would bring to the revision that the partition has in common.
    pub fn is_behind(&self) -> bool {
        self.revisions.is_behind()
    }

    /// Calls the processor for states of another revision than the partition has in common, at most `limit` of them. Those
    /// that the transaction under way has touched are left to the next one. Says how many it was.
    ///
    /// # Errors
    ///
    /// If the processor panics, or leaves a state as it is.
    pub fn revise(&mut self, limit: usize) -> Result<usize, Poison> {
        for revised in 0..limit {
            let Some(key) = self.revisions.next::<P::State, B>(&self.store, |key| self.overlay.entry(key).is_some())
            else {
                return Ok(revised);
            };
            self.call(|processor, context| {
                context.state(&key);
                processor.revise(context, &key);
                Ok(())
            })
            .map_err(|rejected| rejected.poison)?;
            let state = self.overlay.entry(&key).map(|entry| &entry.state);
            let expected = self.revisions.common_key().and_then(|common| self.overlay.entry(common)?.state.common());
            let expected = expected.or(self.revisions.common());
            if state.is_some_and(|state| !state.is_empty() && Some(state.revision()) != expected) {
                return Err(Poison::new("revision-stands", "the processor did not revise the state it was called for"));
            }
        }
        Ok(limit)
    }

    /// The earliest deadline, if there is one.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let in_overlay = self.overlay.deadlines.first().map(|&(mark, _)| mark);
        let in_store = self.deadlines.first(self.fired_to, |mark| self.overlay.took(mark));
        in_overlay.into_iter().chain(in_store).min().map(Mark::at)
    }

    /// What was emitted since the last call, in order, for a runner that hands it on at once. What is left in it is lost.
    pub fn drain_emitted(&mut self) -> std::vec::Drain<'_, Emitted> {
        self.emitted.drain(..)
    }

    /// What was emitted since the last call, in order.
    pub fn take_emitted(&mut self) -> Vec<Emitted> {
        std::mem::take(&mut self.emitted)
    }

    /// What was counted since the last call. To be published once the transaction is committed.
    pub fn take_counted(&mut self) -> Vec<Count> {
        std::mem::take(&mut self.counted)
    }

    /// The touched states as they now are, one record of the state log each; those whose bytes did not change are left out.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.overlay.entries.len());
        let mut bytes = Vec::new();
        for entry in self.overlay.changed() {
            let before = self.store.get(&entry.key);
            if entry.state.is_empty() {
                if before.is_some() {
                    changes.push(Change { key: entry.key.clone(), value: None });
                }
                continue;
            }
            bytes.clear();
            entry.state.encode(&mut bytes);
            if before != Some(bytes.as_slice()) {
                changes.push(Change { key: entry.key.clone(), value: Some(bytes.as_slice().into()) });
            }
        }
        changes
    }

    /// How many states the transaction has touched, those that it only looked at left out.
    pub fn touched(&self) -> usize {
        self.overlay.changed().count()
    }

    /// The transaction is durable: takes these changes, which are what [`Task::changes`] gave for it, into the store.
    pub fn committed(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change.value {
                Some(bytes) => self.store.put(&change.key, &bytes),
                None => self.store.remove(&change.key),
            }
        }
        for entry in self.overlay.changed() {
            let stored = !entry.state.is_empty();
            let deadline = entry.deadline.filter(|_| stored);
            if deadline != entry.committed_deadline {
                let mark = |at| Mark::new(at, entry.hash);
                entry.committed_deadline.map(mark).into_iter().for_each(|before| self.deadlines.remove(before));
                deadline.map(mark).into_iter().for_each(|now| self.deadlines.add(now));
            }
            let now = stored.then(|| Said::by(&entry.state));
            self.revisions.note::<P::State, B>(&entry.key, entry.committed, now, &self.store);
        }
        self.begin_transaction();
    }

    /// The transaction did not happen.
    pub fn abort(&mut self) {
        self.begin_transaction();
        self.counted.clear();
    }

    fn begin_transaction(&mut self) {
        self.revisions.begin_transaction();
        self.fired_to = None;
        self.overlay.clear();
        self.emitted.clear();
    }

    /// The earliest deadline that has passed, and whose it is.
    fn take_due(&mut self, now: Timestamp) -> Option<(Timestamp, Arc<str>)> {
        let in_store = self.deadlines.first(self.fired_to, |mark| self.overlay.took(mark));
        let (mark, key) = match (self.overlay.deadlines.first(), in_store) {
            (Some(&(mark, index)), other) if other.is_none_or(|other| mark <= other) => {
                (mark, self.overlay.entries[index].key.clone())
            }
            (_, other) => other.map(|mark| (mark, self.key_of(mark)))?,
        };
        if mark.at() > now {
            return None;
        }
        self.fired_to = in_store;
        Some((mark.at(), key))
    }

    /// Which key has this deadline, of those that the transaction has not loaded.
    fn key_of(&self, mark: Mark) -> Arc<str> {
        let (mut candidates, mut least) = (0, None::<Arc<str>>);
        self.store.each_with(mark.key(), &mut |_, _| candidates += 1);
        self.store.each_with(mark.key(), &mut |key, bytes| {
            let is_it = || candidates == 1 || decode::<P::State>(bytes).next_deadline() == Some(mark.at());
            if self.overlay.entry(key).is_none() && least.as_deref().is_none_or(|least| key < least) && is_it() {
                least = Some(key.into());
            }
        });
        least.expect("deadlines are those of the states in the store")
    }

    /// Runs the processor on the overlay, and takes everything back if it fails.
    fn call(&mut self, run: impl FnOnce(&P, &mut Context<'_, P::State>) -> Result<(), Poison>) -> Result<(), Rejected> {
        let (emitted_before, counted_before) = (self.emitted.len(), self.counted.len());
        self.overlay.begin_input();
        let mut context = Context {
            service: self.topology.service,
            committed: &self.store,
            states: &mut self.overlay,
            emitted: &mut self.emitted,
            counted: &mut self.counted,
            cause: self.no_cause,
            position: 0,
        };
        let processor = self.processor.as_ref();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(processor, &mut context)))
            .unwrap_or_else(|panic| Err(Poison::new("panic", panic_message(panic.as_ref()))));
        match outcome {
            Ok(()) => {
                self.overlay.end_input();
                Ok(())
            }
            Err(poison) => {
                self.emitted.truncate(emitted_before);
                self.counted.truncate(counted_before);
                self.fired_to = None;
                let overlay_lost = self.overlay.take_back_input();
                Err(Rejected { poison, overlay_lost })
            }
        }
    }
}

fn decode<S: State>(bytes: &[u8]) -> S {
    S::decode(bytes).expect("the store holds only what this task encoded, or decoded at its restore")
}

/// What a panic said, as far as it can be known.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the processor panicked: {}", message.unwrap_or("no message"))
}

impl<S> Default for States<S> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            by_key: HashTable::new(),
            deadlines: BTreeSet::new(),
            touched: Vec::new(),
            loaded_from: 0,
        }
    }
}

impl<S: State> States<S> {
    pub(crate) fn touch(&mut self, key: &str, committed: &dyn Lookup) -> &mut S {
        let hash = KeyHash::of(key);
        let index = match self.index(hash, key) {
            Some(index) => index,
            None => self.load(hash, key, committed.get(key)),
        };
        if !self.touched.contains(&index) {
            self.touched.push(index);
        }
        let entry = &mut self.entries[index];
        entry.changed = true;
        &mut entry.state
    }

    /// The state as it now is, without counting it as touched.
    pub(crate) fn peek(&mut self, key: &str, committed: &dyn Lookup) -> Option<&S> {
        let hash = KeyHash::of(key);
        let index = match self.index(hash, key) {
            Some(index) => index,
            None => self.load(hash, key, Some(committed.get(key)?)),
        };
        Some(&self.entries[index].state)
    }

    fn load(&mut self, hash: KeyHash, key: &str, committed: Option<&[u8]>) -> usize {
        let state = committed.map(decode::<S>);
        let said = state.as_ref().map(Said::by);
        let state = state.unwrap_or_default();
        let deadline = state.next_deadline();
        let index = self.entries.len();
        if let Some(deadline) = deadline {
            self.deadlines.insert((Mark::new(deadline, hash), index));
        }
        let entries = &self.entries;
        self.by_key.insert_unique(hash.spread(), index, |&index| entries[index].hash.spread());
        let (committed, committed_deadline) = (said, deadline.filter(|_| said.is_some()));
        self.entries.push(Entry {
            key: key.into(),
            hash,
            state,
            changed: false,
            committed,
            committed_deadline,
            deadline,
        });
        index
    }

    fn begin_input(&mut self) {
        self.touched.clear();
        self.loaded_from = self.entries.len();
    }

    fn end_input(&mut self) {
        for &index in &self.touched {
            let entry = &mut self.entries[index];
            let deadline = entry.state.next_deadline();
            if deadline != entry.deadline {
                if let Some(before) = entry.deadline {
                    self.deadlines.remove(&(Mark::new(before, entry.hash), index));
                }
                if let Some(now) = deadline {
                    self.deadlines.insert((Mark::new(now, entry.hash), index));
                }
                entry.deadline = deadline;
            }
        }
    }

    /// Forgets the states that the input loaded; true if it touched others too, which cannot be undone.
    fn take_back_input(&mut self) -> bool {
        let kept = self.loaded_from;
        for (index, entry) in self.entries.drain(kept..).enumerate() {
            if let Ok(found) = self.by_key.find_entry(entry.hash.spread(), |&other| other == kept + index) {
                found.remove();
            }
        }
        self.deadlines.retain(|&(_, index)| index < kept);
        self.touched.iter().any(|&index| index < kept)
    }
}

impl<S> States<S> {
    fn index(&self, hash: KeyHash, key: &str) -> Option<usize> {
        self.by_key.find(hash.spread(), |&index| &*self.entries[index].key == key).copied()
    }

    /// The state, if the transaction has it.
    fn entry(&self, key: &str) -> Option<&Entry<S>> {
        self.index(KeyHash::of(key), key).map(|index| &self.entries[index])
    }

    /// Those that a processor had to change.
    fn changed(&self) -> impl Iterator<Item = &Entry<S>> {
        self.entries.iter().filter(|entry| entry.changed)
    }

    /// How many states it has loaded that stand in the store with this deadline: they count as they now are.
    fn took(&self, mark: Mark) -> usize {
        let of_hash = self.by_key.iter_hash(mark.key().spread()).map(|&index| &self.entries[index]);
        of_hash.filter(|entry| entry.hash == mark.key() && entry.committed_deadline == Some(mark.at())).count()
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.by_key.clear();
        self.deadlines.clear();
        self.touched.clear();
        self.loaded_from = 0;
    }
}

impl<P: Processor, B: StateStore> fmt::Debug for Task<P, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("service", &self.topology.service)
            .field("keys", &self.store.len())
            .field("touched", &self.overlay.entries.len())
            .finish_non_exhaustive()
    }
}
