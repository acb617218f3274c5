//! Outputs of the transaction under way that librdkafka has not been given yet, in runs per partition.
//!
//! librdkafka makes a request of what has come together for a partition within `linger.ms`. Records that are handed over
//! one by one as they arise, each to another partition, become many small requests; in runs they become few large ones,
//! which costs both sides less, and a short linger is enough. What is in here is bounded by the transaction's own limits.

use tasuki_stream::Emitted;
use tasuki_wire::{Partition, Topic};

use crate::open::KafkaLog;

/// So many records of a partition are a run, or so many bytes. More would not make requests much cheaper, and librdkafka
/// would have less to do while the worker works.
const RECORDS: usize = 256;
const BYTES: usize = 64 * 1024;

/// The runs.
#[derive(Debug)]
pub(crate) struct Outbox {
    log: KafkaLog,
    /// Of each topic that was written to.
    topics: Vec<OfTopic>,
}

/// Those of one topic.
#[derive(Debug)]
struct OfTopic {
    topic: Topic,
    name: String,
    /// By partition.
    runs: Vec<Run>,
}

/// Records of one partition, in order.
#[derive(Debug, Default)]
struct Run {
    records: Vec<Emitted>,
    bytes: usize,
}

/// A run that is to be sent. What is not taken out of it is forgotten.
#[derive(Debug)]
pub(crate) struct Ready<'a> {
    pub(crate) topic: Topic,
    /// On the cluster.
    pub(crate) name: &'a str,
    pub(crate) partition: Partition,
    pub(crate) records: std::vec::Drain<'a, Emitted>,
}

impl Outbox {
    pub(crate) fn new(log: &KafkaLog) -> Self {
        Self { log: log.clone(), topics: Vec::new() }
    }

    /// Adds a record to the run of its partition, and gives that if it is long enough to be sent.
    pub(crate) fn add(&mut self, record: Emitted) -> Option<Ready<'_>> {
        let partition = self.log.partitions().of_key(record.key.as_bytes());
        let OfTopic { topic, name, runs } = self.of_topic(record.topic);
        let run = runs.get_mut(usize::from(partition.get()))?;
        run.bytes += record.key.len() + record.payload.len();
        run.records.push(record);
        let is_long = run.records.len() >= RECORDS || run.bytes >= BYTES;
        is_long.then(|| run.ready(*topic, name, partition))
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> impl Iterator<Item = Ready<'_>> {
        let partitions = self.log.partitions();
        self.topics.iter_mut().flat_map(move |OfTopic { topic, name, runs }| {
            let runs = partitions.all().zip(runs).filter(|(_, run)| !run.records.is_empty());
            runs.map(|(partition, run)| run.ready(*topic, name, partition))
        })
    }

    /// The transaction did not happen.
    pub(crate) fn clear(&mut self) {
        self.rest().for_each(drop);
    }

    fn of_topic(&mut self, topic: Topic) -> &mut OfTopic {
        let known = self.topics.iter().position(|of| of.topic == topic);
        let at = known.unwrap_or_else(|| {
            let runs = self.log.partitions().all().map(|_| Run::default()).collect();
            self.topics.push(OfTopic { topic, name: self.log.settings().topic_name(topic), runs });
            self.topics.len() - 1
        });
        &mut self.topics[at]
    }
}

impl Run {
    fn ready<'a>(&'a mut self, topic: Topic, name: &'a str, partition: Partition) -> Ready<'a> {
        self.bytes = 0;
        Ready { topic, name, partition, records: self.records.drain(..) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn record(topic: Topic, key: &str, bytes: usize) -> Emitted {
        Emitted { topic, key: key.to_owned(), payload: vec![0; bytes] }
    }

    fn seen(ready: Ready<'_>) -> (String, Partition, Vec<usize>) {
        let lengths = ready.records.map(|record| record.payload.len()).collect();
        (ready.name.to_owned(), ready.partition, lengths)
    }

    #[test]
    fn records_of_a_partition_leave_together_in_order_and_once() {
        let mut outbox = Outbox::new(&KafkaLog::unopened(Settings::new("", "p.")));
        for number in 0..3 {
            assert!(outbox.add(record(Topic::Scores, "a", number)).is_none());
        }
        assert!(outbox.add(record(Topic::DeadLetters, "a", 7)).is_none());
        let partition = outbox.log.partitions().of_key(b"a");
        let rest: Vec<_> = outbox.rest().map(seen).collect();
        let expected =
            [("p.scores".to_owned(), partition, vec![0, 1, 2]), ("p.dead-letters".to_owned(), partition, vec![7])];
        assert_eq!(rest, expected);
        assert_eq!(outbox.rest().count(), 0);
    }

    #[test]
    fn a_run_is_ready_when_it_is_long_in_records_or_in_bytes() {
        let mut outbox = Outbox::new(&KafkaLog::unopened(Settings::new("", "")));
        let mut lengths = Vec::new();
        for _ in 0..2 * RECORDS {
            lengths.extend(outbox.add(record(Topic::Scores, "a", 1)).map(|ready| ready.records.count()));
        }
        lengths.extend(outbox.add(record(Topic::Scores, "a", BYTES)).map(|ready| ready.records.count()));
        assert_eq!(lengths, [RECORDS, RECORDS, 1]);
    }

    #[test]
    fn what_is_cleared_is_gone() {
        let mut outbox = Outbox::new(&KafkaLog::unopened(Settings::new("", "")));
        assert!(outbox.add(record(Topic::Scores, "a", 1)).is_none());
        outbox.clear();
        assert_eq!(outbox.rest().count(), 0);
    }
}
