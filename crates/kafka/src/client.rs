//! What all clients of librdkafka have in common: configuration, logs.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::statistics::{Partition, Statistics};
use tasuki_wire::Topic;

use crate::settings::Settings;

/// A configuration for any client.
pub(crate) fn base(settings: &Settings, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("client.id", name)
        .set("retry.backoff.ms", "100")
        // A broker that comes back is noticed within a second.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("log_level", "5");
    for property in &settings.properties {
        config.set(&property.key, &property.value);
    }
    config
}

/// A configuration for a consumer; it commits nothing by itself.
pub(crate) fn consumer(settings: &Settings, name: &str, group: &str) -> ClientConfig {
    let mut config = base(settings, name);
    config
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        // R4: offsets move with transactions, and only with them.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A missing offset may be a passing fault of the broker; taken for "from the start" it would do all work again.
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", settings.read_ahead_kib.to_string())
        .set("fetch.queue.backoff.ms", "10")
        // The broker answers at once when something comes; this long when nothing does. 20 ms gave the same latency, and
        // cost a tenth of a core per idle worker on the broker.
        .set("fetch.wait.max.ms", "200");
    config
}

/// A configuration for a producer that repeats nothing and reorders nothing.
pub(crate) fn producer(settings: &Settings, name: &str) -> ClientConfig {
    let mut config = base(settings, name);
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("batch.size", "524288")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", settings.write_queue_kib.to_string());
    config
}

/// The same for the transactions of a worker; its name is its transactional id.
pub(crate) fn transactional(settings: &Settings, name: &str) -> ClientConfig {
    let mut config = producer(settings, name);
    config
        .set("transactional.id", name)
        // R6: long enough for a busy machine, and all that an owner that never comes back can hold up.
        .set("transaction.timeout.ms", settings.transaction_timeout_ms.to_string())
        .set("linger.ms", "2");
    config
}

/// Set by librdkafka's threads when a client can no longer be trusted.
#[derive(Debug, Default)]
pub(crate) struct Alarm(AtomicBool);

impl Alarm {
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// R5: what librdkafka only logs, but after which nothing more would come.
    pub(crate) fn watch(&self, facility: &str) {
        if matches!(facility, "MAXPOLL" | "FATAL") {
            self.0.store(true, Ordering::Release);
        }
    }
}

/// A context that only writes logs.
#[derive(Debug)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl rdkafka::consumer::ConsumerContext for Quiet {}

/// A line of librdkafka. Nothing there is for someone to act upon at once: what is, comes back as an error.
/// Failed connections are many while a broker is away, and the worker's health tells of it once.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        _ if facility == "FAIL" => tracing::debug!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
    }
}

pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", %error, reason, "global error");
}

/// How many records a consumer has not delivered yet, as far as its statistics know: those on the broker and those
/// fetched but still queued. Control records count until they are passed.
///
/// `fetchq_cnt` is of no use for it: all partitions of a consumer share one queue, and each of them tells its whole length.
pub(crate) fn undelivered(statistics: &Statistics, topic: &str) -> u64 {
    let of = |partition: &Partition| {
        // Until the first record is delivered, what is known is what was fetched.
        let next = if partition.app_offset >= 0 { partition.app_offset } else { partition.next_offset };
        match (partition.ls_offset, next) {
            (end @ 0.., next @ 0..) => u64::try_from(end - next).unwrap_or(0),
            _ => 0,
        }
    };
    statistics.topics.get(topic).map_or(0, |topic| {
        topic.partitions.values().filter(|partition| partition.fetch_state == "active").map(of).sum()
    })
}

/// The first error of the chain, whole, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        // rdkafka repeats its sources.
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        source = error.source();
    }
    text
}
/// The headers of a record, where its topic has any.
pub(crate) fn headers(topic: Topic, payload: &[u8]) -> Option<OwnedHeaders> {
    let headers = tasuki_wire::headers::for_record(topic, payload);
    if headers.is_empty() {
        return None;
    }
    let owned = OwnedHeaders::new_with_capacity(headers.len());
    Some(headers.iter().fold(owned, |owned, (key, value)| owned.insert(Header { key, value: Some(value) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_offsets_but_transactions() {
        let config = consumer(&Settings::new("a:1", ""), "name", "group");
        let names = ["enable.auto.commit", "enable.auto.offset.store", "isolation.level", "auto.offset.reset"];
        assert_eq!(
            names.map(|name| config.get(name)),
            [Some("false"), Some("false"), Some("read_committed"), Some("error")]
        );
    }

    #[test]
    fn a_transaction_lasts_no_longer_than_is_set_and_holds_no_more() {
        let settings = Settings { transaction_timeout_ms: 12_345, write_queue_kib: 2_345, ..Settings::new("a:1", "") };
        let config = transactional(&settings, "name");
        let names = ["transactional.id", "transaction.timeout.ms", "queue.buffering.max.kbytes", "retry.backoff.ms"];
        assert_eq!(names.map(|name| config.get(name)), [Some("name"), Some("12345"), Some("2345"), Some("100")]);
    }

    #[test]
    fn what_is_queued_is_undelivered_once() {
        let active = || "active".to_owned();
        // Two partitions share a queue of 30: of 100 records each, 40 and 70 were delivered, 60 and 80 were fetched.
        let of = |app_offset, next_offset| Partition {
            ls_offset: 100,
            app_offset,
            next_offset,
            fetchq_cnt: 30,
            fetch_state: active(),
            ..Partition::default()
        };
        let told = |partitions: Vec<Partition>| {
            let partitions = (0..).zip(partitions).collect();
            let topic = rdkafka::statistics::Topic { partitions, ..rdkafka::statistics::Topic::default() };
            undelivered(&Statistics { topics: [("t".to_owned(), topic)].into(), ..Statistics::default() }, "t")
        };
        assert_eq!(told(vec![of(40, 60), of(70, 80)]), 90);
        // Nothing was delivered yet, or nothing is being read.
        assert_eq!(told(vec![of(-1001, 60), of(-1001, 100)]), 40);
        assert_eq!(told(vec![Partition { fetch_state: "stopped".to_owned(), ..of(40, 60) }]), 0);
        assert_eq!(told(vec![Partition { ls_offset: -1001, ..of(40, 60) }]), 0);
    }

    #[test]
    fn what_librdkafka_only_logs_but_does_not_recover_from_raises_the_alarm() {
        for (facility, raises) in [("MAXPOLL", true), ("FATAL", true), ("FAIL", false), ("REQTMOUT", false)] {
            let alarm = Alarm::default();
            alarm.watch(facility);
            assert_eq!(alarm.is_raised(), raises, "{facility}");
        }
    }
}
