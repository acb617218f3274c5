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

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use tasuki_service::{Clock, Component, Shutdown};
use tasuki_stream::{Emitted, Input, Poison, Processor, Topology, dead_letter};
use tasuki_wire::{Partition, Topic};

use crate::client::{Alarm, chain};
use crate::commit::{Load, Pace};
use crate::group::{Decision, Group};
use crate::metrics::{self, End, Rebuild};
use crate::open::KafkaLog;
use crate::partitions::Partitions;
use crate::poison::{FloodGuard, Refusals};
use crate::producer::{Failed, Kind, Transactions};
use crate::restore::Observer;
use crate::watchdog::Watchdog;

mod adopt;
mod error;
mod transaction;

pub(crate) use error::Trouble;
pub use error::WorkerError;

/// At most so many deadlines of a partition in one transaction: after a long stop there may be very many.
const DEADLINES: usize = 1_000;
/// A worker that has nothing to do asks so often whether a broker is there.
const CONTACT: Duration = Duration::from_secs(5);
const CONTACT_LOST: Duration = Duration::from_secs(1);
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
    let watchdog = Watchdog::start(log, member.clone(), component.clone()).map_err(WorkerError::Thread)?;
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
            flood: FloodGuard::new(log.settings().poison_limit, Instant::now()),
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
        if self.alarm.is_raised() {
            return Err(Trouble::Anew("librdkafka gave up the consumer".to_owned()));
        }
        if let Some(decision) = group.next_decision() {
            return self.follow(group, decision);
        }
        if let Some(why) = self.stale {
            self.initialise(Some(group), Some(why))?;
            self.stale = None;
        }
        if let Some(pending) = self.pending.take() {
            let adopted = self.adopt(group, &pending);
            if let Err(Trouble::Failed(failed)) = &adopted {
                self.undo(failed)?;
            }
            if let Err(Trouble::Failed(_) | Trouble::Interrupted) = adopted {
                self.pending = Some(Pending { again: false, ..pending });
                return Err(Trouble::Interrupted);
            }
            return adopted;
        }
        self.fire_overdue(group)?;
        if self.stale.is_some() {
            return Ok(());
        }
        let polled = group.poll(self.pace.wait(self.load.as_ref(), Instant::now()));
        let drained = polled.is_none();
        match polled {
            Some(Ok(message)) => {
                self.heard();
                self.take(group, &message)?;
            }
            Some(Err(error)) => self.complain(group, &error)?,
            None => self.keep_in_touch(group),
        }
        if self.load.as_ref().is_some_and(|load| self.pace.is_due(load, drained, Instant::now())) {
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
                    Some(_) if lost => Err(Trouble::Failed(Failed::Dropped)),
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
                    return Err(Trouble::Failed(Failed::Dropped));
                }
                Err(rejected) => Some(rejected.poison),
            },
        };
        let mut emitted = kept.task.take_emitted();
        if let Some(poison) = refused {
            let service = self.topology.service;
            tracing::warn!(
                service, kafka.topic = %topic, kafka.partition = partition.get(), kafka.offset = offset,
                code = poison.code, "sent to dead letters"
            );
            emitted.push(dead_letter(service, &input, &poison, load.now));
            self.refusals.note(poison.code);
        }
        Ok(self.send_outputs(emitted)?)
    }

    fn send_outputs(&mut self, emitted: Vec<Emitted>) -> Result<(), Failed> {
        for Emitted { topic, key, payload } in emitted {
            if let Some(load) = &mut self.load {
                load.bytes += key.len() + payload.len();
            }
            let partition = self.log.partitions().of_key(key.as_bytes());
            let name = self.log.settings().topic_name(topic);
            self.transactions.send(Kind::Output, &name, partition, key.as_bytes(), Some(&payload))?;
        }
        Ok(())
    }

    /// A transaction failed. Nothing of it is kept; a new producer makes sure that nothing of it can happen any more
    /// (R1), and then the partitions are taken up again as if they had just been assigned.
    fn recover(&mut self, group: &Group, failed: Failed) -> Result<(), Trouble> {
        let partitions = self.partitions.owned();
        self.undo(&failed)?;
        let again = match &failed {
            Failed::Unknown(_) => false,
            Failed::Aborted(_) | Failed::Content(_) | Failed::Dropped => true,
        };
        self.partitions.park();
        self.pending = Some(Pending { partitions, again });
        match failed {
            Failed::Aborted(error) | Failed::Content(error) | Failed::Unknown(error) => {
                self.look_for_a_fence(group, &error)
            }
            Failed::Dropped => Ok(()),
        }
    }

    /// Takes back the transaction under way in memory, and has the producer replaced.
    fn undo(&mut self, failed: &Failed) -> Result<(), Trouble> {
        let (service, worker) = (self.topology.service, self.number);
        let load = self.load.take();
        self.refusals.aborted();
        self.stale = Some(Rebuild::Failed);
        match failed {
            Failed::Dropped => {
                self.transactions.give_up(self.watchdog);
                metrics::ended(service, End::Aborted);
                self.partitions.abort();
            }
            Failed::Aborted(error) => {
                tracing::warn!(service, worker, error = chain(error), "a transaction failed and is done again");
                metrics::ended(service, End::Aborted);
                self.partitions.abort();
            }
            Failed::Content(error) => {
                tracing::warn!(service, worker, error = chain(error), "the log refuses a record of a transaction");
                metrics::ended(service, End::Aborted);
                self.partitions.abort();
                self.find_the_culprit(load.as_ref(), error)?;
            }
            Failed::Unknown(error) => {
                tracing::warn!(service, worker, error = chain(error), "a commit may have happened; state is read back");
                metrics::ended(service, End::Unknown);
                self.partitions.forget();
            }
        }
        Ok(())
    }

    /// The records of the transaction are done again one by one. One that is alone and still leads to what the log
    /// refuses is poison.
    fn find_the_culprit(&mut self, load: Option<&Load>, error: &KafkaError) -> Result<(), Trouble> {
        let Some(load) = load else { return Ok(()) };
        match load.last {
            Some((topic, partition, offset))
                if load.records == 1 && self.refusals.left_out(topic, partition, offset).is_none() =>
            {
                let message = format!("the log does not take what follows from it: {}", chain(error));
                self.refusals.leave_out(topic, partition, offset, Poison::new("output-refused", message));
                Ok(())
            }
            Some(_) if load.records > 1 => {
                self.pace.suspect(load);
                Ok(())
            }
            // A deadline, for which there is no dead letter.
            Some(_) | None => Err(WorkerError::Output { service: self.topology.service, source: error.clone() }.into()),
        }
    }

    /// Another process under our name has fenced the producer, or the broker has because we were away too long. If the
    /// former, the group tells so with the next heartbeat; to go on would throw the other one out again.
    fn look_for_a_fence(&self, group: &Group, error: &KafkaError) -> Result<(), Trouble> {
        let fenced = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::ProducerFenced
                    | RDKafkaErrorCode::InvalidProducerEpoch
                    | RDKafkaErrorCode::FencedInstanceId
            )
        );
        let begun = Instant::now();
        while fenced && begun.elapsed() < Duration::from_secs(4) {
            match self.pulse(group) {
                Ok(()) => std::thread::sleep(Duration::from_millis(50)),
                Err(Trouble::Interrupted) => break,
                Err(trouble @ (Trouble::Failed(_) | Trouble::Anew(_) | Trouble::Fatal(_))) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// A new producer, as soon as brokers let us.
    fn initialise(&mut self, group: Option<&Group>, mut why: Option<Rebuild>) -> Result<(), Trouble> {
        loop {
            let Err(error) = self.transactions.rebuild(why.take(), self.watchdog, Duration::from_secs(10)) else {
                return Ok(());
            };
            match error.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::InvalidTransactionTimeout
                    | RDKafkaErrorCode::UnsupportedFeature,
                ) => return Err(WorkerError::Refused(error).into()),
                Some(_) => self.component.waiting(format!("transactions: {}", chain(&error))),
                None => return Err(WorkerError::Client(error).into()),
            }
            match group {
                Some(group) => self.pulse(group)?,
                None if self.shutdown.is_cancelled() => return Err(Trouble::Interrupted),
                None => {}
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Serves the consumer while something else takes long. What it reads is read again: positions are set after.
    fn pulse(&self, group: &Group) -> Result<(), Trouble> {
        if let Some(Err(error)) = group.poll(Duration::ZERO) {
            self.complain(group, &error)?;
        }
        if self.alarm.is_raised() {
            return Err(Trouble::Anew("librdkafka gave up the consumer".to_owned()));
        }
        if self.shutdown.is_cancelled() || group.has_decided() {
            return Err(Trouble::Interrupted);
        }
        Ok(())
    }

    /// What the consumer reports instead of a record.
    fn complain(&self, group: &Group, error: &KafkaError) -> Result<(), Trouble> {
        let code = error.rdkafka_error_code();
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) || code == Some(RDKafkaErrorCode::FencedInstanceId) {
            let reason = group.fatal().unwrap_or_else(|| chain(error));
            return Err(WorkerError::Fenced { member: self.member.clone(), reason }.into());
        }
        match code {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Err(WorkerError::PositionGone { service: self.topology.service, reason: chain(error) }.into())
            }
            Some(RDKafkaErrorCode::PollExceeded) => {
                Err(Trouble::Anew("was away longer than the group allows".to_owned()))
            }
            // Brokers are away, or something else that librdkafka tries again.
            Some(_) | None => {
                self.well.set(false);
                self.component.waiting(chain(error));
                Ok(())
            }
        }
    }

    /// A broker did something for us.
    fn heard(&mut self) {
        if !self.well.replace(true) {
            self.component.ready();
        }
        self.contact = Instant::now();
    }

    /// Asks for a broker when none was heard of for a while, so that readiness tells the truth also where there is
    /// nothing to do.
    fn keep_in_touch(&mut self, group: &Group) {
        let patience = if self.well.get() { CONTACT } else { CONTACT_LOST };
        if self.load.is_some() || self.contact.elapsed() < patience || self.asked.elapsed() < patience {
            return;
        }
        self.asked = Instant::now();
        match group.ping(Duration::from_secs(3)) {
            // What group and partitions wait for is told by those who wait.
            Ok(()) if self.pending.is_none() && self.joined => self.heard(),
            Ok(()) => self.contact = Instant::now(),
            Err(error) => {
                self.well.set(false);
                self.component.waiting(format!("no broker answers: {}", chain(&error)));
            }
        }
    }
}

/// The name of a topic for a message.
fn place(topic: Topic, partition: Partition) -> String {
    format!("{topic} partition {partition}")
}
