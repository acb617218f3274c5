//! What becomes of a transaction that fails.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tasuki_stream::{Poison, Processor};

use super::{Pending, Trouble, Worker, WorkerError};
use crate::client::chain;
use crate::commit::Load;
use crate::group::Group;
use crate::metrics::{self, Cause, Rebuild};
use crate::producer::Failed;

impl<P: Processor> Worker<'_, P> {
    /// A transaction failed. Nothing of it is kept; a new producer makes sure that nothing of it can happen any more
    /// (R1), and then the partitions are taken up again as if they had just been assigned.
    pub(super) fn recover(&mut self, group: &Group, failed: Failed) -> Result<(), Trouble> {
        let partitions = self.partitions.owned();
        self.undo(&failed)?;
        let again = match &failed {
            Failed::Unknown(_) => false,
            Failed::Aborted(_) | Failed::Content(_) | Failed::Lost | Failed::Spoiled => true,
        };
        self.partitions.park();
        self.pending = Some(Pending { partitions, again });
        match failed {
            Failed::Aborted(error) | Failed::Content(error) | Failed::Unknown(error) => {
                self.look_for_a_fence(group, &error)
            }
            Failed::Lost | Failed::Spoiled => Ok(()),
        }
    }

    /// Takes back the transaction under way in memory, and has the producer replaced.
    pub(super) fn undo(&mut self, failed: &Failed) -> Result<(), Trouble> {
        let (service, worker) = (self.topology.service, self.number);
        let load = self.load.take();
        self.refusals.aborted();
        self.stale = Some(Rebuild::Failed);
        metrics::aborted(service, cause(failed));
        match failed {
            Failed::Lost | Failed::Spoiled => {
                self.transactions.give_up(self.watchdog);
                self.partitions.abort();
            }
            Failed::Aborted(error) => {
                tracing::warn!(service, worker, error = chain(error), "a transaction failed and is done again");
                self.partitions.abort();
            }
            Failed::Content(error) => {
                tracing::warn!(service, worker, error = chain(error), "the log refuses a record of a transaction");
                self.partitions.abort();
                self.find_the_culprit(load.as_ref(), error)?;
            }
            Failed::Unknown(error) => {
                tracing::warn!(service, worker, error = chain(error), "a commit may have happened; state is read back");
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
        if !is_fence(error) {
            return Ok(());
        }
        metrics::fenced(self.topology.service, metrics::Fenced::Producer);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(4) {
            match self.pulse(group) {
                Ok(()) => std::thread::sleep(Duration::from_millis(50)),
                Err(Trouble::Interrupted) => break,
                Err(trouble @ (Trouble::Failed(_) | Trouble::Anew(_) | Trouble::Fatal(_))) => return Err(trouble),
            }
        }
        Ok(())
    }
}

/// Somebody else has taken our place as producer or member, or the broker has given it up.
fn is_fence(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::FencedInstanceId
        )
    )
}

/// For the metrics.
fn cause(failed: &Failed) -> Cause {
    match failed {
        Failed::Lost => Cause::Lost,
        Failed::Spoiled => Cause::Spoiled,
        Failed::Content(_) => Cause::Refused,
        Failed::Unknown(_) => Cause::Unknown,
        Failed::Aborted(error) if is_fence(error) => Cause::Fenced,
        Failed::Aborted(_) => Cause::Broker,
    }
}
