//! What a worker keeps for each of its partitions.

use std::collections::{BTreeMap, BTreeSet};

use tasuki_domain::Timestamp;
use tasuki_stream::{Processor, StateStore, Task};
use tasuki_wire::{Partition, Topic};

use crate::group::Offsets;

/// One partition of the service.
pub(crate) struct Kept<P: Processor> {
    pub(crate) task: Task<P>,
    /// The next offset of each input topic, the transaction under way included.
    pub(crate) next: BTreeMap<Topic, i64>,
    /// The same as of the last commit.
    pub(crate) committed: BTreeMap<Topic, i64>,
    /// Where the state topic ends if nobody but us has written since; `None` if that is not known.
    pub(crate) state_end: Option<i64>,
    /// The transaction under way has inputs or deadlines of this partition.
    pub(crate) touched: bool,
}

/// All partitions of a worker: those it has, and those it had until just now.
pub(crate) struct Partitions<P: Processor> {
    owned: BTreeMap<Partition, Kept<P>>,
    /// Given back to the group. Taken up again if they come back and nobody else has changed them.
    parked: BTreeMap<Partition, Kept<P>>,
}

impl<P: Processor> Kept<P> {
    pub(crate) fn new(task: Task<P>, state_end: Option<i64>) -> Self {
        Self { task, next: BTreeMap::new(), committed: BTreeMap::new(), state_end, touched: false }
    }

    /// Goes on at these offsets, which are committed.
    pub(crate) fn go_on_at(&mut self, offsets: BTreeMap<Topic, i64>) {
        self.next.clone_from(&offsets);
        self.committed = offsets;
        self.touched = false;
    }

    /// The transaction under way did not happen.
    fn abort(&mut self) {
        self.task.abort();
        self.next.clone_from(&self.committed);
        self.touched = false;
    }
}

impl<P: Processor> Partitions<P> {
    pub(crate) fn none() -> Self {
        Self { owned: BTreeMap::new(), parked: BTreeMap::new() }
    }

    pub(crate) fn get_mut(&mut self, partition: Partition) -> Option<&mut Kept<P>> {
        self.owned.get_mut(&partition)
    }

    pub(crate) fn owned(&self) -> BTreeSet<Partition> {
        self.owned.keys().copied().collect()
    }

    pub(crate) fn each_mut(&mut self) -> impl Iterator<Item = (Partition, &mut Kept<P>)> {
        self.owned.iter_mut().map(|(&partition, kept)| (partition, kept))
    }

    /// Those with inputs or deadlines in the transaction under way.
    pub(crate) fn touched_mut(&mut self) -> impl Iterator<Item = (Partition, &mut Kept<P>)> {
        self.each_mut().filter(|(_, kept)| kept.touched)
    }

    /// The next offsets of those with inputs or deadlines in the transaction under way. Never of a partition that is not
    /// ours: with a current generation the broker would take them (R4).
    pub(crate) fn offsets_of_transaction(&self) -> Offsets {
        let touched = self.owned.iter().filter(|(_, kept)| kept.touched);
        touched
            .flat_map(|(&partition, kept)| kept.next.iter().map(move |(&topic, &at)| ((topic, partition), at)))
            .collect()
    }

    /// Whether there are states of another revision than their partition has in common.
    pub(crate) fn is_behind(&self) -> bool {
        self.owned.values().any(|kept| kept.task.is_behind())
    }

    /// The earliest deadline of all.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.owned.values().filter_map(|kept| kept.task.next_deadline()).min()
    }

    /// The transaction under way did not happen.
    pub(crate) fn abort(&mut self) {
        self.owned.values_mut().for_each(Kept::abort);
    }

    /// Gives all of them back, keeping them aside in case they return. The transaction under way must be over.
    pub(crate) fn park(&mut self) {
        self.parked = std::mem::take(&mut self.owned);
    }

    /// Takes one out of those kept aside.
    pub(crate) fn unpark(&mut self, partition: Partition) -> Option<Kept<P>> {
        self.parked.remove(&partition)
    }

    /// Takes these as owned, and forgets what is still kept aside.
    pub(crate) fn take(&mut self, kept: BTreeMap<Partition, Kept<P>>) {
        self.owned = kept;
        self.parked.clear();
    }

    /// Forgets everything: it may not be what the log holds.
    pub(crate) fn forget(&mut self) {
        self.owned.clear();
        self.parked.clear();
    }

    /// How many partitions, keys and bytes there are.
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        let keys = self.owned.values().map(|kept| kept.task.store().len()).sum();
        let bytes = self.owned.values().map(|kept| kept.task.store().bytes()).sum();
        (self.owned.len(), keys, bytes)
    }
}
