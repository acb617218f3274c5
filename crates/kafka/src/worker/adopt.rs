//! Taking up partitions: how far they were read, their state, and where nothing was done yet, a beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;
use tasuki_stream::{Processor, Task};
use tasuki_wire::{Partition, Topic};

use super::{PAUSE, Pending, Trouble, Worker, WorkerError, place};
use crate::client::chain;
use crate::group::{Group, Offsets};
use crate::metrics::{self, Rebuild};
use crate::partitions::Kept;
use crate::restore::{Restoring, restore};

const PATIENCE: Duration = Duration::from_secs(10);

impl<P: Processor> Worker<'_, P> {
    /// Takes partitions up. What keeps it from that leaves them to be taken up, after what is more urgent.
    pub(super) fn take_up(&mut self, group: &Group, pending: Pending) -> Result<(), Trouble> {
        match self.adopt(group, &pending) {
            // Where to begin could not be written.
            Err(Trouble::Failed(failed)) => self.undo(&failed)?,
            Err(Trouble::Interrupted) => {}
            done @ (Ok(()) | Err(Trouble::Anew(_) | Trouble::Fatal(_))) => return done,
        }
        self.pending = Some(Pending { again: false, ..pending });
        Err(Trouble::Interrupted)
    }

    /// Makes these partitions the worker's. The order matters:
    ///
    /// 1. The producer was initialised before, so that no transaction of a predecessor with our name is open.
    /// 2. Committed offsets; the broker does not tell them while a transaction that would change them is open.
    /// 3. Ends of the state topic, then its records up to there.
    /// 4. Only then records of the inputs.
    fn adopt(&mut self, group: &Group, pending: &Pending) -> Result<(), Trouble> {
        let partitions = &pending.partitions;
        let begun = Instant::now();
        let mut offsets = self.committed(group, partitions)?;
        let mut kept = BTreeMap::new();
        let mut restoring = BTreeMap::new();
        let state = self.log.settings().topic_name(self.topology.state);
        for &partition in partitions {
            let (_, end) = self.patiently(group, "the end of state", || self.observer.bounds(&state, partition))?;
            match self.partitions.unpark(partition) {
                Some(parked) if self.is_still_true(pending.again, &parked, partition, end, &offsets) => {
                    kept.insert(partition, parked);
                }
                _ => {
                    restoring.insert(partition, Restoring::new(Task::new(self.processor.clone()), end));
                }
            }
        }
        let ends: BTreeMap<_, _> = restoring.iter().map(|(&partition, restoring)| (partition, restoring.end)).collect();
        let beginning = self.beginnings(group, partitions, &offsets, &ends)?;
        offsets.extend(&beginning);
        let taken_over = kept.len();
        let (service, member) = (self.topology.service, self.member.clone());
        restore(self.log, self.topology.state, service, &member, &mut restoring, &mut || {
            self.component.waiting("reading state back");
            self.pulse(group)
        })?;
        for (partition, restoring) in restoring {
            kept.insert(partition, Kept::new(restoring.task, Some(restoring.end)));
        }
        for (&partition, kept) in &mut kept {
            let of_partition = offsets.iter().filter(|((_, of), _)| *of == partition);
            kept.go_on_at(of_partition.map(|(&(topic, _), &offset)| (topic, offset)).collect());
        }
        self.write_beginnings(group, &beginning)?;
        self.partitions.take(kept);
        group.assign(&offsets).map_err(WorkerError::Client)?;
        self.joined = true;
        self.component.ready();
        self.heard(Instant::now());
        let (owned, keys, bytes) = self.partitions.size();
        metrics::kept(service, self.number, owned, keys, bytes);
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(service, worker = self.number, partitions = owned, taken_over, keys, duration_ms, "works");
        Ok(())
    }

    /// Whether what was kept aside is what the log holds. Either nobody has written to the state topic since we did; or
    /// a transaction of ours failed for certain and nobody has moved the offsets since. The latter is not proof against
    /// somebody else who had the partition meanwhile; but then our next commit is refused (R2), and the partition comes
    /// back by an assignment, where only the former counts.
    fn is_still_true(&self, again: bool, parked: &Kept<P>, partition: Partition, end: i64, offsets: &Offsets) -> bool {
        if parked.state_end == Some(end) {
            return true;
        }
        again
            && self.topology.inputs.iter().all(|&topic| {
                offsets.get(&(topic, partition)) == parked.committed.get(&topic)
                    && parked.committed.contains_key(&topic)
            })
    }

    /// Committed offsets. Where one is missing, it is asked for again: an answer without it may be a passing fault.
    fn committed(&mut self, group: &Group, partitions: &BTreeSet<Partition>) -> Result<Offsets, Trouble> {
        let all = partitions.len() * self.topology.inputs.len();
        let mut offsets = Offsets::new();
        for attempt in 0..3 {
            if attempt > 0 {
                std::thread::sleep(PAUSE / 5);
            }
            offsets.extend(self.patiently(group, "committed offsets", || group.committed(partitions, PATIENCE))?);
            if offsets.len() == all {
                break;
            }
        }
        Ok(offsets)
    }

    /// Where to begin with inputs that were never read: at their first record. If there is state, they were read.
    fn beginnings(
        &mut self,
        group: &Group,
        partitions: &BTreeSet<Partition>,
        offsets: &Offsets,
        ends: &BTreeMap<Partition, i64>,
    ) -> Result<Offsets, Trouble> {
        let mut beginnings = Offsets::new();
        for &partition in partitions {
            let missing: Vec<Topic> = self
                .topology
                .inputs
                .iter()
                .copied()
                .filter(|&topic| !offsets.contains_key(&(topic, partition)))
                .collect();
            // An input that a later release reads in addition has no offset either, but the others have.
            let all_missing = missing.len() == self.topology.inputs.len();
            if all_missing && ends.get(&partition).is_some_and(|&end| end > 0) {
                return Err(Trouble::Fatal(WorkerError::OffsetsLost {
                    group: self.log.settings().group(self.topology.service),
                    place: place(missing[0], partition),
                    state: self.topology.state,
                }));
            }
            for topic in missing {
                let name = self.log.settings().topic_name(topic);
                let (first, _) =
                    self.patiently(group, "the first record", || self.observer.bounds(&name, partition))?;
                beginnings.insert((topic, partition), first);
            }
        }
        Ok(beginnings)
    }

    /// Commits where the work begins, before any of it is done: from then on a missing offset means that it was lost.
    fn write_beginnings(&mut self, group: &Group, beginnings: &Offsets) -> Result<(), Trouble> {
        if beginnings.is_empty() {
            return Ok(());
        }
        tracing::info!(
            service = self.topology.service,
            offsets = beginnings.len(),
            "first start: begins at the first records"
        );
        if self.transactions.commit(group, beginnings, self.watchdog)? {
            self.stale = Some(Rebuild::Slow);
        }
        Ok(())
    }

    /// Asks brokers until they answer.
    fn patiently<T>(
        &self,
        group: &Group,
        what: &'static str,
        mut ask: impl FnMut() -> KafkaResult<T>,
    ) -> Result<T, Trouble> {
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    tracing::debug!(service = self.topology.service, what, %error, "asking again");
                    self.component.waiting(format!("{what}: {}", chain(&error)));
                }
            }
            self.pulse(group)?;
            std::thread::sleep(PAUSE / 5);
        }
    }
}
