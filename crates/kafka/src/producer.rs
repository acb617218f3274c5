//! The transactions of a worker.
//!
//! Rules that librdkafka needs (it lacks KIP-890, so a request of an old transaction can end the next one, silently):
//!
//! - R1: after any failure the producer is dropped and a new one made with the same transactional id, whose
//!   initialisation fences whatever the old one may still have under way. Never abort and go on.
//! - R2: offsets are the last thing added before the commit, always with the group's metadata: that call is what stops a
//!   worker that lost its partitions without knowing.
//! - R3: the same replacement after a commit that succeeded, but may have been repeated unseen.
//! - R5: calls that block run under a watchdog.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer;
use rdkafka::util::Timeout;
use tasuki_stream::{Change, Emitted, Topology};
use tasuki_wire::{Partition, Topic};

use crate::client;
use crate::group::{Group, Offsets};
use crate::metrics::{self, Rebuild};
use crate::open::KafkaLog;
use crate::watchdog::Watchdog;
use sender::{Kind, Record, Sender};

mod sender;

/// librdkafka repeats a request after `retry.backoff.ms` (100 at least, see the settings) less 20 %: what took less than
/// this was not repeated (R3).
const MAY_HAVE_BEEN_REPEATED: Duration = Duration::from_millis(50);

/// A transaction was not committed, or not certainly.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It certainly did not happen.
    Aborted(KafkaError),
    /// It may have happened.
    Unknown(KafkaError),
    /// We gave it up: its partitions may be others' already.
    Lost,
    /// We gave it up: a record that cannot be processed had changed a state.
    Spoiled,
    /// It did not happen, because the log will never take one of its records.
    Content(KafkaError),
}

/// Makes transactions, one at a time.
pub(crate) struct Transactions {
    log: KafkaLog,
    service: &'static str,
    worker: u16,
    /// Transactional id.
    member: String,
    /// Name of the state topic on the cluster.
    state: String,
    /// Names of the topics that outputs went to, so that they are not made for each record.
    outputs: Vec<(Topic, String)>,
    /// `None` only while it is being replaced.
    sender: Option<Sender>,
}

impl Transactions {
    /// For this worker; [`Transactions::rebuild`] must succeed before the first transaction.
    pub(crate) fn new(log: &KafkaLog, topology: &Topology, worker: u16) -> Self {
        let Topology { service, state, .. } = *topology;
        Self {
            log: log.clone(),
            service,
            worker,
            member: log.settings().member(service, worker),
            state: log.settings().topic_name(state),
            outputs: Vec::new(),
            sender: None,
        }
    }

    /// Drops the producer, makes a new one and initialises it: from then on nothing that an earlier producer of this
    /// name sent has any effect. May be called again after an error.
    pub(crate) fn rebuild(&mut self, why: Option<Rebuild>, watchdog: &Watchdog, at_most: Duration) -> KafkaResult<()> {
        if let Some(why) = why {
            metrics::rebuilt(self.service, why);
        }
        self.sender = None;
        let settings = self.log.settings();
        let config = client::transactional(settings, &self.member);
        let patience = Duration::from_millis(settings.transaction_timeout_ms);
        let sender = Sender::new(&config, self.log.partitions(), patience, (self.service, self.worker))?;
        // Without a connection, librdkafka looks for the coordinator once in vain and then waits for 500 ms.
        sender.producer.client().fetch_metadata(Some(&self.state), at_most)?;
        watchdog.during("initialising transactions", || sender.producer.init_transactions(at_most))?;
        self.sender = Some(sender);
        Ok(())
    }

    /// Adds an output to the transaction, in the partition of its key.
    pub(crate) fn write(&mut self, record: &Emitted) -> Result<(), Failed> {
        let sender = self.sender.as_mut().ok_or_else(replaced)?;
        let Emitted { topic: of, key, payload } = record;
        let known = self.outputs.iter().position(|(topic, _)| topic == of);
        let known = known.unwrap_or_else(|| {
            self.outputs.push((*of, self.log.settings().topic_name(*of)));
            self.outputs.len() - 1
        });
        let topic = &self.outputs[known].1;
        let partition = self.log.partitions().of_key(key.as_bytes());
        let headers = client::headers(*of, payload);
        sender.send(Record { kind: Kind::Output, topic, partition, key, payload: Some(payload), headers })
    }

    /// Adds changes of the state of a partition.
    pub(crate) fn change(&mut self, partition: Partition, changes: &[Change]) -> Result<(), Failed> {
        let sender = self.sender.as_mut().ok_or_else(replaced)?;
        for Change { key, value } in changes {
            let topic = &self.state;
            let payload = value.as_deref();
            sender.send(Record { kind: Kind::State, topic, partition, key, payload, headers: None })?;
        }
        Ok(())
    }

    /// Commits what was added, together with these offsets. Says whether the producer must be replaced before the next
    /// transaction (R3).
    pub(crate) fn commit(&mut self, group: &Group, offsets: &Offsets, watchdog: &Watchdog) -> Result<bool, Failed> {
        let sender = self.sender.as_mut().ok_or_else(replaced)?;
        sender.begin()?;
        sender.drain()?;
        let producer = &sender.producer;
        // R2. Without metadata there is no membership, and nothing may be committed.
        let metadata = group.metadata().ok_or(Failed::Aborted(KafkaError::Canceled))?;
        let list = group.list(offsets).map_err(Failed::Aborted)?;
        let begun = Instant::now();
        watchdog.during("sending offsets", || sender.send_offsets(list, metadata))?;
        let sent_after = begun.elapsed();
        let begun = Instant::now();
        loop {
            // `Never` means: as long as the transaction may last. A shorter limit aborts what would have succeeded.
            match watchdog.during("committing", || producer.commit_transaction(Timeout::Never)) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_retriable() && begun.elapsed() < sender.patience => {
                    tracing::info!(service = self.service, %error, "commit is being repeated");
                }
                Err(error) => return Err(Failed::Unknown(error)),
            }
        }
        sender.begun = false;
        #[cfg(feature = "drill")]
        if self.is_without(crate::Rule::R3) {
            return Ok(false);
        }
        Ok(sent_after >= MAY_HAVE_BEEN_REPEATED || begun.elapsed() >= MAY_HAVE_BEEN_REPEATED)
    }

    /// Ends the transaction that we give up ourselves while nothing is wrong with the producer. It would end anyhow when
    /// the next producer is initialised, but that costs half a second: librdkafka asks again only then.
    pub(crate) fn give_up(&mut self, watchdog: &Watchdog) {
        let Some(sender) = self.sender.as_mut().filter(|sender| sender.begun) else { return };
        // Records under way would be purged, and the broker could hear of their partitions after the end.
        if sender.drain().is_err() {
            return;
        }
        let abort = || sender.producer.abort_transaction(Duration::from_secs(5));
        match watchdog.during("giving a transaction up", abort) {
            Ok(()) => sender.begun = false,
            Err(error) => tracing::debug!(service = self.service, %error, "left to the next producer"),
        }
    }

    /// The offset after the last change that this producer has written to the state topic of a partition.
    pub(crate) fn state_end(&self, partition: Partition) -> Option<i64> {
        self.sender.as_ref()?.state_end(partition)
    }

    /// What a drill does instead of R1: aborts, and says whether the same producer can go on.
    #[cfg(feature = "drill")]
    pub(crate) fn goes_on_without_r1(&mut self, watchdog: &Watchdog) -> bool {
        if !self.is_without(crate::Rule::R1) {
            return false;
        }
        let Some(sender) = &mut self.sender else { return false };
        let abort = || sender.producer.abort_transaction(Timeout::Never);
        if sender.begun && watchdog.during("aborting", abort).is_err() {
            return false;
        }
        sender.forget_failure();
        sender.begun = false;
        true
    }

    #[cfg(feature = "drill")]
    fn is_without(&self, rule: crate::Rule) -> bool {
        self.log.settings().without.contains(&rule)
    }
}

fn replaced() -> Failed {
    Failed::Aborted(KafkaError::Canceled)
}
