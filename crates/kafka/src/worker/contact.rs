//! Whether brokers are there, and what to do while they are not.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tasuki_stream::Processor;

use super::{PAUSE, Trouble, Worker, WorkerError};
use crate::client::chain;
use crate::group::Group;
use crate::metrics::{self, Rebuild};

/// A worker that has nothing to do asks so often whether a broker is there.
const CONTACT: Duration = Duration::from_secs(5);
const CONTACT_LOST: Duration = Duration::from_secs(1);

impl<P: Processor> Worker<'_, P> {
    /// A new producer, as soon as brokers let us.
    pub(super) fn initialise(&mut self, group: Option<&Group>, mut why: Option<Rebuild>) -> Result<(), Trouble> {
        #[cfg(feature = "drill")]
        if why == Some(Rebuild::Failed) && self.transactions.goes_on_without_r1(self.watchdog) {
            return Ok(());
        }
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
    pub(super) fn pulse(&self, group: &Group) -> Result<(), Trouble> {
        self.watchdog.polled();
        if let Some(Err(error)) = group.poll(Duration::ZERO) {
            self.complain(group, &error)?;
        }
        self.heed_alarm(group)?;
        if self.shutdown.is_cancelled() || group.has_decided() {
            return Err(Trouble::Interrupted);
        }
        Ok(())
    }

    /// R5: ends the session if librdkafka's log says that nothing more would come of this consumer.
    pub(super) fn heed_alarm(&self, group: &Group) -> Result<(), Trouble> {
        if self.alarm.is_raised() { Err(self.give_up(group.fatal())) } else { Ok(()) }
    }

    /// The end of the session, for what is fatal to its consumer.
    fn give_up(&self, fatal: Option<(RDKafkaErrorCode, String)>) -> Trouble {
        let trouble = what_ends(&self.member, fatal);
        if matches!(trouble, Trouble::Fatal(WorkerError::Fenced { .. })) {
            metrics::fenced(self.topology.service, metrics::Fenced::Member);
        }
        trouble
    }

    /// What the consumer reports instead of a record.
    pub(super) fn complain(&self, group: &Group, error: &KafkaError) -> Result<(), Trouble> {
        let code = error.rdkafka_error_code();
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(self.give_up(group.fatal()));
        }
        match code {
            Some(code @ RDKafkaErrorCode::FencedInstanceId) => Err(self.give_up(Some((code, chain(error))))),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Err(WorkerError::PositionGone { service: self.topology.service, reason: chain(error) }.into())
            }
            Some(RDKafkaErrorCode::PollExceeded) => {
                Err(Trouble::Anew("was away longer than the group allows".to_owned()))
            }
            // Brokers are away, or something else that librdkafka tries again.
            Some(_) | None => {
                // The first says it; what follows from it only repeats.
                if self.well.replace(false) {
                    self.component.waiting(chain(error));
                }
                Ok(())
            }
        }
    }

    /// A broker did something for us.
    pub(super) fn heard(&mut self, now: Instant) {
        if !self.well.replace(true) {
            self.component.ready();
        }
        self.contact = now;
    }

    /// Asks for a broker when none was heard of for a while, so that readiness tells the truth also where there is
    /// nothing to do.
    pub(super) fn keep_in_touch(&mut self, group: &Group) {
        let patience = if self.well.get() { CONTACT } else { CONTACT_LOST };
        if self.load.is_some() || self.contact.elapsed() < patience || self.asked.elapsed() < patience {
            return;
        }
        self.asked = Instant::now();
        match group.ping(Duration::from_secs(3)) {
            // What group and partitions wait for is told by those who wait.
            Ok(()) if self.pending.is_none() && self.joined => self.heard(Instant::now()),
            Ok(()) => self.contact = Instant::now(),
            Err(error) => {
                self.well.set(false);
                self.component.waiting(format!("no broker answers: {}", chain(&error)));
            }
        }
    }
}

/// What it means for the session that its consumer is given up, and for the worker.
///
/// The log tells of a fence before the next poll does, and then it is the alarm that is heard first. Whoever began anew
/// upon it would throw out the process that took its place, and go on: the older one of two would always win.
fn what_ends(member: &str, fatal: Option<(RDKafkaErrorCode, String)>) -> Trouble {
    match fatal {
        Some((RDKafkaErrorCode::FencedInstanceId, reason)) => {
            WorkerError::Fenced { member: member.to_owned(), reason }.into()
        }
        Some((_, reason)) => Trouble::Anew(reason),
        None => Trouble::Anew("librdkafka gave up the consumer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_place_another_has_taken_does_not_take_it_back() {
        let ends = |code| what_ends("tally-0", Some((code, "as librdkafka says".to_owned())));
        let fenced = ends(RDKafkaErrorCode::FencedInstanceId);
        assert!(matches!(fenced, Trouble::Fatal(WorkerError::Fenced { member, .. }) if member == "tally-0"));
        let other = ends(RDKafkaErrorCode::UnsupportedVersion);
        assert!(matches!(other, Trouble::Anew(why) if why == "as librdkafka says"));
        assert!(matches!(what_ends("tally-0", None), Trouble::Anew(_)));
    }
}
