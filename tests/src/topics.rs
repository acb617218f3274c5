//! What stands on the log itself, read past all services.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use prost::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use sqlx::{Connection, PgConnection, Row};
use tasuki_wire::v1::{ActivityRecord, activity_record::Event};
use tokio::runtime::Runtime;

use crate::PATIENCE;

/// The log of a running Tasuki.
#[derive(Debug)]
pub enum Topics {
    /// Tables, in the database at this address.
    Embedded(String),
    /// Topics, of the broker at this address.
    Kafka(String),
}

impl Topics {
    /// Everything on a topic.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn payloads(&self, topic: &str) -> anyhow::Result<Vec<Vec<u8>>> {
        match self {
            Self::Embedded(url) => runtime()?.block_on(stored(url, topic)),
            Self::Kafka(servers) => Ok(produced(servers, topic)?.into_iter().map(|(_, _, payload)| payload).collect()),
        }
    }

    /// How often each of these is on a topic.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn count(&self, topic: &str, tokens: &[String]) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut counts: BTreeMap<_, _> = tokens.iter().map(|token| (token.clone(), 0)).collect();
        for payload in self.payloads(topic)? {
            if topic == "activity" {
                let record = ActivityRecord::decode(payload.as_slice())?;
                let retracted = matches!(record.event, Some(Event::Retracted(_)));
                ensure!(!retracted, "nothing here changes whose event it is, but {record:?}");
                // A profile may say again what an event has said.
                if !matches!(record.event, Some(Event::Attributed(_))) {
                    continue;
                }
            }
            for token in tokens_in(&payload) {
                counts.entry(token).and_modify(|count| *count += 1);
            }
        }
        Ok(counts)
    }

    /// Whether identity has applied everything that is on its inputs.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn identity_is_through(&self) -> anyhow::Result<bool> {
        match self {
            Self::Embedded(url) => runtime()?.block_on(applied(url)),
            // Links may lead to more links: only when none was added while it was looked is there nothing to come.
            Self::Kafka(servers) => {
                let before = written(servers, "identity-links")?;
                let through = committed(servers, "behavior")? && committed(servers, "identity-links")?;
                Ok(through && written(servers, "identity-links")? == before)
            }
        }
    }
}

/// What begins with `/conform/`, has two more parts, and ends with four digits; each once.
fn tokens_in(payload: &[u8]) -> Vec<String> {
    const BEGIN: &[u8] = b"/conform/";
    let mut tokens: Vec<String> = Vec::new();
    for (at, _) in payload.windows(BEGIN.len()).enumerate().filter(|(_, bytes)| *bytes == BEGIN) {
        let rest = &payload[at + BEGIN.len()..];
        let Some(name) = rest.iter().position(|byte| *byte == b'/') else { continue };
        let Some(token) = payload.get(at..at + BEGIN.len() + name + 5) else { continue };
        let token = String::from_utf8_lossy(token).into_owned();
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")
}

async fn stored(url: &str, topic: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut connection = PgConnection::connect(url).await?;
    let sql = "SELECT payload FROM tasuki_log.records JOIN tasuki_log.topics ON topics.id = topic WHERE name = $1";
    let rows = sqlx::query(sql).bind(topic).fetch_all(&mut connection).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn applied(url: &str) -> anyhow::Result<bool> {
    let mut connection = PgConnection::connect(url).await?;
    let sql = r#"
        SELECT count(*) FROM (
            SELECT topic, partition, max("offset") + 1 AS ends FROM tasuki_log.records
            WHERE topic IN (SELECT id FROM tasuki_log.topics WHERE name IN ('behavior', 'identity-links'))
            GROUP BY topic, partition
        ) written
        LEFT JOIN tasuki_log.positions read
            ON read.service = 'identity' AND read.topic = written.topic AND read.partition = written.partition
        WHERE coalesce(read.next_offset, 0) < written.ends"#;
    let behind: i64 = sqlx::query(sql).fetch_one(&mut connection).await?.get(0);
    Ok(behind == 0)
}

fn consumer(servers: &str, group: &str) -> anyhow::Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", group).set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    Ok(config.create()?)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().first().context("the topic exists")?;
    Ok(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

fn produced(servers: &str, topic: &str) -> anyhow::Result<Vec<(i32, i64, Vec<u8>)>> {
    let consumer = consumer(servers, "conformance")?;
    let partitions = partitions(&consumer, topic)?;
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    // A partition tells of its end again when more came meanwhile.
    let (mut found, mut ended, mut last) = (Vec::new(), BTreeSet::new(), None);
    let until = Instant::now() + PATIENCE;
    while ended.len() < partitions.len() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                found.push((record.partition(), record.offset(), record.payload().unwrap_or_default().to_vec()));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            // A broker that was away a moment ago is found again by the client itself.
            Some(Err(error)) => last = Some(error),
            None => {}
        }
        ensure!(Instant::now() < until, "{topic} cannot be read to its end: {last:?}");
    }
    Ok(found)
}

/// Where each partition with records ends. Not by the topic's end, where the marker of a transaction may stand.
fn written(servers: &str, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
    let records = produced(servers, topic)?;
    Ok(records.into_iter().map(|(partition, offset, _)| (partition, offset + 1)).collect())
}

fn committed(servers: &str, topic: &str) -> anyhow::Result<bool> {
    let written = written(servers, topic)?;
    let mut asked = TopicPartitionList::new();
    for partition in written.keys() {
        asked.add_partition(topic, *partition);
    }
    let offsets = consumer(servers, "identity")?.committed_offsets(asked, PATIENCE)?;
    let applied = |partition: i32| offsets.find_partition(topic, partition).and_then(|it| it.offset().to_raw());
    Ok(written.iter().all(|(partition, next)| applied(*partition).is_some_and(|applied| applied >= *next)))
}
