//! The loop of a worker: one thread, one consumer, one transactional producer, the state of its partitions.
//!
//! ```text
//! poll ─▶ apply to the overlay ─▶ send outputs ─▶ ... ─▶ commit: changes of state, wait for deliveries, offsets, end
//!                                                          └▶ overlay becomes state, counts become metrics
//! ```
//!
//! Everything is done by this thread, also what the group decides; so nothing has to be kept from changing meanwhile.
//! When a transaction fails, nothing of it is kept: see [`Worker::recover`]. When the consumer itself cannot go on, the
//! worker begins anew with a new one; what would not help at all ends it.
//!
//! To be read in this order: [`Worker::step`] and [`Worker::work`] here; `transaction`, how one begins and is committed;
//! `failure`, what becomes of one that is not; `adopt`, how partitions are taken up; `contact`, what is done while
//! brokers are away.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Message};
use tasuki_service::{Clock, Component, Shutdown};
use tasuki_stream::{Emitted, Input, Processor, Topology, dead_letter};
use tasuki_wire::{Partition, Topic};

use crate::client::{Alarm, chain};
use crate::commit::{Load, Pace};
use crate::group::{Decision, Group};
use crate::metrics::{self, Rebuild};
use crate::open::KafkaLog;
use crate::partitions::Partitions;
use crate::poison::{FloodGuard, Refusals};
use crate::producer::{Failed, Transactions};
use crate::restore::Observer;
use crate::watchdog::Watchdog;

mod adopt;
mod contact;
mod error;
mod failure;
mod transaction;

pub(crate) use error::Trouble;
pub use error::WorkerError;

/// So many records are applied before anything else is looked at, if so many are there.
const BURST: u32 = 64;
/// At most so many deadlines of a partition in one transaction: after a long stop there may be very many.
const DEADLINES: usize = 1_000;
/// How many states are revised in one transaction, those of all partitions together. What is read meanwhile waits for one
/// such transaction at most.
const REVISED: usize = 2_000;
/// Between two tries of anything that brokers have to answer.
const PAUSE: Duration = Duration::from_millis(500);

/// A worker while it runs.
pub(crate) struct Worker<'a, P: Processor> {
    log: &'a KafkaLog,
    processor: &'a Arc<P>,
    topology: Topology,
    number: u16,
    /// Its name in the group and as producer.
    member: String,
    clock: &'a dyn Clock,
    component: &'a Component,
    shutdown: &'a Shutdown,
    watchdog: &'a Watchdog,
    alarm: Arc<Alarm>,
    observer: Observer,
    transactions: Transactions,
    partitions: Partitions<P>,
    /// The transaction under way; none while there is nothing to do, because it would hold up all who read committed.
    load: Option<Load>,
    pace: Pace,
    refusals: Refusals,
    flood: FloodGuard,
    /// The producer must be replaced before the next transaction.
    stale: Option<Rebuild>,
    /// Partitions to be taken up before anything else is done.
    pending: Option<Pending>,
    /// When a broker was last heard of, and whether nothing was wrong since.
    contact: Instant,
    well: Cell<bool>,
    asked: Instant,
    /// The group has given us partitions, or none, at least once.
    joined: bool,
}

/// Partitions to be taken up.
#[derive(Debug)]
struct Pending {
    partitions: BTreeSet<Partition>,
    /// They were ours all the time: a transaction failed, and certainly did not happen.
    again: bool,
}

/// Runs a worker until `shutdown`; see [`KafkaLog::run_worker`].
pub(crate) fn run<P: Processor>(
    log: &KafkaLog,
    processor: &Arc<P>,
    number: u16,
    clock: &dyn Clock,
    component: &Component,
    shutdown: &Shutdown,
) -> Result<(), WorkerError> {
    let topology = processor.topology();
    let member = log.settings().member(topology.service, number);
    let watchdog = Watchdog::start(log, (topology.service, number), member.clone(), component.clone())
        .map_err(WorkerError::Thread)?;
    loop {
        metrics::session(topology.service);
        component.waiting("joining the consumer group");
        let alarm = Arc::new(Alarm::default());
        let worker = Worker {
            log,
            processor,
            topology,
            number,
            member: member.clone(),
            clock,
            component,
            shutdown,
            watchdog: &watchdog,
            observer: Observer::new(log, &member).map_err(WorkerError::Client)?,
            transactions: Transactions::new(log, &topology, number),
            alarm,
            partitions: Partitions::none(),
            load: None,
            pace: Pace::new(log.settings()),
            refusals: Refusals::default(),
            flood: FloodGuard::new(log.settings().poison_limit, log.settings().poison_percent, Instant::now()),
            stale: None,
            pending: None,
            contact: Instant::now(),
            well: Cell::new(false),
            asked: Instant::now(),
            joined: false,
        };
        match worker.session() {
            Ok(()) => return Ok(()),
            Err(Trouble::Fatal(error)) => {
                component.waiting(format!("stopped: {}", chain(&error)));
                return Err(error);
            }
            Err(Trouble::Interrupted) => {}
            Err(Trouble::Anew(why)) => {
                tracing::warn!(service = topology.service, worker = number, why, "the worker begins anew");
                component.waiting(why);
                std::thread::sleep(PAUSE);
            }
            Err(Trouble::Failed(failed)) => {
                tracing::warn!(service = topology.service, worker = number, ?failed, "the worker begins anew");
                std::thread::sleep(PAUSE);
            }
        }
        if shutdown.is_cancelled() {
            return Ok(());
        }
    }
}

impl<P: Processor> Worker<'_, P> {
    /// From joining the group to the end, or to what makes another session necessary.
    fn session(mut self) -> Result<(), Trouble> {
        // Before anything is read: what a dead predecessor left open is ended by this.
        self.initialise(None, None)?;
        let group =
            Group::join(self.log, &self.topology, self.number, Arc::clone(&self.alarm)).map_err(WorkerError::Client)?;
        loop {
            match self.step(&group) {
                Ok(()) => {}
                Err(Trouble::Interrupted) if self.shutdown.is_cancelled() => return Ok(()),
                Err(Trouble::Interrupted) => {}
                Err(Trouble::Failed(failed)) => self.recover(&group, failed)?,
                Err(trouble @ (Trouble::Anew(_) | Trouble::Fatal(_))) => return Err(trouble),
            }
        }
    }

    /// What is most urgent: the end, what the group decided, what a failure left to be done; else deadlines, then a
    /// record or the commit. A record that was polled is either applied, or its partition is taken up anew: nothing but
    /// [`Trouble::Failed`] may come between.
    fn step(&mut self, group: &Group) -> Result<(), Trouble> {
        if self.shutdown.is_cancelled() {
            self.finish(group, true)?;
            return Err(Trouble::Interrupted);
        }
        self.heed_alarm(group)?;
        if let Some(decision) = group.next_decision() {
            return self.follow(group, decision);
        }
        if let Some(why) = self.stale {
            self.initialise(Some(group), Some(why))?;
            self.stale = None;
        }
        if let Some(pending) = self.pending.take() {
            return self.take_up(group, pending);
        }
        self.fire_overdue(group)?;
        if self.stale.is_none() {
            self.revise(group)?;
        }
        if self.stale.is_some() {
            return Ok(());
        }
        self.work(group)
    }

    /// Applies the records that are there, and commits if it is time to. Clock and health are looked at once for all of
    /// them: that costs as much as a simple processor.
    fn work(&mut self, group: &Group) -> Result<(), Trouble> {
        self.watchdog.polled();
        let behind = self.load.is_none() && self.partitions.is_behind();
        let mut wait = if behind { Duration::ZERO } else { self.pace.wait(self.load.as_ref(), Instant::now()) };
        let (mut taken, mut drained) = (false, false);
        for _ in 0..BURST {
            match group.poll(wait) {
                Some(Ok(message)) => self.take(group, &message)?,
                Some(Err(error)) => {
                    self.complain(group, &error)?;
                    break;
                }
                None => {
                    drained = true;
                    break;
                }
            }
            taken = true;
            wait = Duration::ZERO;
            if self.load.as_ref().is_some_and(|load| self.pace.is_full(load)) {
                break;
            }
        }
        let now = Instant::now();
        if taken {
            self.heard(now);
        } else {
            self.keep_in_touch(group);
        }
        if self.load.as_ref().is_some_and(|load| self.pace.is_due(load, drained, now)) {
            self.finish(group, drained)?;
        }
        Ok(())
    }

    fn follow(&mut self, group: &Group, decision: Decision) -> Result<(), Trouble> {
        let (service, worker) = (self.topology.service, self.number);
        match decision {
            Decision::Assigned(partitions) => {
                tracing::info!(service, worker, partitions = partitions.len(), "assigned");
                self.pending = Some(Pending { partitions, again: false });
            }
            Decision::Revoked { lost } => {
                tracing::info!(service, worker, lost, "revoked");
                // R4: over before it is acknowledged. Others may have them already if they are lost: no commit then.
                let finished = match &self.load {
                    Some(_) if lost => Err(Trouble::Failed(Failed::Lost)),
                    Some(_) | None => self.finish(group, true),
                };
                match finished {
                    Ok(()) => {}
                    Err(Trouble::Failed(failed)) => self.undo(&failed)?,
                    Err(trouble @ (Trouble::Interrupted | Trouble::Anew(_) | Trouble::Fatal(_))) => {
                        return Err(trouble);
                    }
                }
                self.pending = None;
                self.partitions.park();
                group.unassign().map_err(WorkerError::Client)?;
            }
        }
        Ok(())
    }

    /// Applies a record to the transaction under way.
    fn take(&mut self, group: &Group, message: &BorrowedMessage<'_>) -> Result<(), Trouble> {
        let Some(topic) = group.topic(message.topic()) else { return Ok(()) };
        let partition = Partition::new(u16::try_from(message.partition()).unwrap_or(u16::MAX));
        let offset = message.offset();
        // Not ours, or not where we are: fetched for an assignment that is over.
        if self.partitions.get_mut(partition).and_then(|kept| kept.next.get(&topic)).is_none_or(|&next| offset < next) {
            return Ok(());
        }
        self.begin()?;
        let (Some(load), Some(kept)) = (&mut self.load, self.partitions.get_mut(partition)) else { return Ok(()) };
        let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        let input = Input { topic, partition, offset, key, payload };
        load.records += 1;
        load.last = Some((topic, partition, offset));
        load.bytes += key.len() + payload.len();
        kept.touched = true;
        kept.next.insert(topic, offset + 1);
        let refused = match self.refusals.left_out(topic, partition, offset) {
            Some(poison) => Some(poison.clone()),
            None => match kept.task.apply(&input) {
                Ok(()) => None,
                Err(rejected) if rejected.overlay_lost => {
                    // It has spoiled the transaction, which is done again without it.
                    self.refusals.leave_out(topic, partition, offset, rejected.poison);
                    return Err(Trouble::Failed(Failed::Spoiled));
                }
                Err(rejected) => Some(rejected.poison),
            },
        };
        write(&mut self.transactions, load, kept.task.drain_emitted())?;
        if let Some(poison) = refused {
            let service = self.topology.service;
            tracing::warn!(
                service, kafka.topic = %topic, kafka.partition = partition.get(), kafka.offset = offset,
                code = poison.code, "sent to dead letters"
            );
            self.refusals.note(poison.code);
            let letter = dead_letter(service, &input, &poison, load.now);
            write(&mut self.transactions, load, [letter])?;
        }
        Ok(())
    }
}

/// Adds outputs to the transaction under way.
fn write(
    transactions: &mut Transactions,
    load: &mut Load,
    emitted: impl IntoIterator<Item = Emitted>,
) -> Result<(), Failed> {
    for record in emitted {
        load.bytes += record.key.len() + record.payload.len();
        transactions.write(&record)?;
    }
    Ok(())
}

/// The name of a topic for a message.
fn place(topic: Topic, partition: Partition) -> String {
    format!("{topic} partition {partition}")
}
