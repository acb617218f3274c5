//! Deadlines, and the end of a transaction.

use std::time::Instant;

use tasuki_stream::{Change, Processor};
use tasuki_wire::Partition;

use super::{DEADLINES, REVISED, Trouble, Worker, WorkerError, write};
use crate::commit::Load;
use crate::group::Group;
use crate::metrics::{self, Rebuild};
use crate::producer::Failed;

impl<P: Processor> Worker<'_, P> {
    /// Fires the deadlines that have passed, if no transaction is under way; those of a burst in transactions of their
    /// own, so that records come after the deadlines before them.
    pub(super) fn fire_overdue(&mut self, group: &Group) -> Result<(), Trouble> {
        while self.load.is_none() && self.stale.is_none() {
            let now = self.clock.now();
            if self.partitions.next_deadline().is_none_or(|due| due > now) {
                return Ok(());
            }
            self.load = Some(Load::begin(now, Instant::now()));
            if self.fire(Which::All, DEADLINES)? {
                self.finish(group, false)?;
            }
        }
        Ok(())
    }

    /// Brings some states to the revision that their partition has in common, in a transaction of their own: inputs come
    /// in between. Not while a transaction is under way.
    pub(super) fn revise(&mut self, group: &Group) -> Result<(), Trouble> {
        if self.load.is_some() || !self.partitions.is_behind() {
            return Ok(());
        }
        let service = self.topology.service;
        let load = self.load.insert(Load::begin(self.clock.now(), Instant::now()));
        let mut room = REVISED;
        for (partition, kept) in self.partitions.each_mut() {
            let revised =
                kept.task.revise(room).map_err(|source| WorkerError::Deadline { service, partition, source })?;
            kept.touched |= revised > 0;
            load.revised += u64::try_from(revised).unwrap_or(u64::MAX);
            room -= revised;
            write(&mut self.transactions, load, kept.task.drain_emitted())?;
        }
        self.finish(group, false)
    }

    /// Begins a transaction for a record, if none is under way: reads the clock, and fires what has passed by it.
    pub(super) fn begin(&mut self) -> Result<(), Trouble> {
        if self.load.is_none() {
            self.load = Some(Load::begin(self.clock.now(), Instant::now()));
            self.fire(Which::All, usize::MAX)?;
        }
        Ok(())
    }

    /// Fires deadlines at the transaction's instant, of each partition so many. Says whether there may be more.
    fn fire(&mut self, which: Which, limit: usize) -> Result<bool, Trouble> {
        let Some(load) = &mut self.load else { return Ok(false) };
        let service = self.topology.service;
        let mut more = false;
        for (partition, kept) in self.partitions.each_mut() {
            let left_out = which == Which::Touched && !kept.touched;
            if left_out || kept.task.next_deadline().is_none_or(|due| due > load.now) {
                continue;
            }
            let fired = kept.task.fire_due(load.now, limit).map_err(|source| WorkerError::Deadline {
                service,
                partition,
                source,
            })?;
            kept.touched |= fired > 0;
            load.fired += u64::try_from(fired).unwrap_or(u64::MAX);
            more |= fired == limit;
            write(&mut self.transactions, load, kept.task.drain_emitted())?;
        }
        Ok(more)
    }

    /// Commits the transaction under way: outputs, changes of state and offsets, all or nothing.
    pub(super) fn finish(&mut self, group: &Group, drained: bool) -> Result<(), Trouble> {
        // Deadlines that its records have set and that have passed already.
        self.fire(Which::Touched, DEADLINES)?;
        let Some(load) = &self.load else { return Ok(()) };
        let service = self.topology.service;
        self.flood.check(self.refusals.noted(), load.records, Instant::now()).map_err(|flood| WorkerError::Flood {
            service,
            refused: flood.refused,
            of: flood.of,
        })?;
        let begun = Instant::now();
        let slow = self.commit(group)?;
        if let Some(load) = self.load.take() {
            let now = Instant::now();
            self.pace.committed(&load, drained, begun, now);
            metrics::committed(service, &load, now - load.begun, now - begun);
        }
        if slow {
            // R3. This transaction is over; the next one gets another producer.
            self.stale = Some(Rebuild::Slow);
        }
        // The watchdog may have said otherwise meanwhile.
        self.component.ready();
        self.heard(Instant::now());
        Ok(())
    }

    fn commit(&mut self, group: &Group) -> Result<bool, Failed> {
        let mut changes = Vec::new();
        for (partition, kept) in self.partitions.touched_mut() {
            let of_partition = kept.task.changes();
            self.transactions.change(partition, &of_partition)?;
            changes.push((partition, of_partition));
        }
        let keys = self.partitions.touched_mut().map(|(_, kept)| kept.task.touched()).sum();
        metrics::overlay(self.topology.service, self.number, keys);
        let offsets = self.partitions.offsets_of_transaction();
        let slow = self.transactions.commit(group, &offsets, self.watchdog)?;
        self.keep(changes);
        for code in self.refusals.committed(&offsets) {
            metrics::dead_letter(self.topology.service, code);
        }
        Ok(slow)
    }

    /// The transaction is durable: what it changed is now what is.
    fn keep(&mut self, changes: Vec<(Partition, Vec<Change>)>) {
        let service = self.topology.service;
        for (partition, changes) in changes {
            let wrote = !changes.is_empty();
            let state_end = self.transactions.state_end(partition);
            let Some(kept) = self.partitions.get_mut(partition) else { continue };
            for count in kept.task.take_counted() {
                metrics::counted(service, count);
            }
            kept.task.committed(changes);
            let next = kept.next.clone();
            kept.go_on_at(next);
            if wrote {
                // After the last change comes the mark that ends the transaction.
                kept.state_end = state_end.map(|end| end + 1);
            }
        }
        let (owned, keys, bytes) = self.partitions.size();
        metrics::kept(service, self.number, owned, keys, bytes);
    }
}

/// Which partitions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those that the transaction under way has changed.
    Touched,
}
