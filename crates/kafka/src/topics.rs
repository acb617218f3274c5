//! The topics of the catalogue on a cluster: made with their settings, or found with exactly these.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use tasuki_wire::topic::Keep;
use tasuki_wire::{PartitionCount, Topic};

use crate::client::Quiet;
use crate::open::OpenError;
use crate::settings::Settings;

const DAY_MS: u64 = 86_400_000;

/// How long the first broker may take to answer.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the controller may take to make all topics, and the brokers to know them.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// A topic that exists and is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name on the cluster.
    pub topic: String,
    /// Which of its settings, for example `cleanup.policy`.
    pub setting: String,
    /// As it is.
    pub found: String,
    /// As it must be.
    pub expected: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}: {} is {}, must be {}", self.topic, self.setting, self.found, self.expected)
    }
}

/// A setting of a topic.
struct Config {
    name: &'static str,
    value: String,
    /// Another value breaks a promise; the others are advice, set when the topic is made.
    promised: bool,
}

/// How a topic of the catalogue is to be set up.
fn configs(topic: Topic) -> Vec<Config> {
    let promised = |name, value: &str| Config { name, value: value.to_owned(), promised: true };
    let advised = |name, value: &str| Config { name, value: value.to_owned(), promised: false };
    let mut configs = match topic.keep() {
        Keep::Forever => {
            vec![
                promised("cleanup.policy", "delete"),
                promised("retention.ms", "-1"),
                promised("retention.bytes", "-1"),
            ]
        }
        Keep::Days(days) => vec![
            promised("cleanup.policy", "delete"),
            promised("retention.ms", &(u64::from(days) * DAY_MS).to_string()),
            promised("retention.bytes", "-1"),
        ],
        // Small segments and eager compaction: a restore reads what compaction has left.
        Keep::LastOfKey => vec![
            promised("cleanup.policy", "compact"),
            advised("segment.bytes", "134217728"),
            advised("min.cleanable.dirty.ratio", "0.2"),
            advised("max.compaction.lag.ms", "1800000"),
        ],
    };
    if topic == Topic::LeadsQualified {
        // Read by clients we do not choose: gzip is what every one of them has without an extra library.
        configs.push(promised("compression.type", "gzip"));
    }
    configs
}

/// Makes the topics that are missing, compares those that are there, and says how many partitions all of them have.
///
/// What was just made, by us or by another process at the same time, is compared as well: brokers learn of a topic a
/// moment after it is made.
pub(crate) async fn ensure(admin: &Arc<AdminClient<Quiet>>, settings: &Settings) -> Result<PartitionCount, OpenError> {
    let begun = Instant::now();
    let mut expected = None;
    loop {
        let found = found(admin, settings).await?;
        let there: Vec<_> =
            Topic::ALL.iter().copied().filter(|&topic| found.contains_key(&settings.topic_name(topic))).collect();
        let partitions = *expected.get_or_insert_with(|| partitions(settings, &there, &found));
        let described = describe(admin, settings, &there).await?;
        let settled = described.iter().all(|resource| !resource.entries.is_empty());
        if settled {
            let mut differences = compare_partitions(settings, &there, &found, partitions);
            differences.extend(compare_configs(settings, &there, &described));
            if !differences.is_empty() {
                return Err(OpenError::Different(differences));
            }
            let missing: Vec<_> = Topic::ALL.iter().copied().filter(|topic| !there.contains(topic)).collect();
            if missing.is_empty() {
                return Ok(partitions);
            }
            create(admin, settings, &missing, partitions).await?;
        }
        if begun.elapsed() > PATIENCE {
            return Err(OpenError::Admin(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The topics that the broker knows, with their partition counts.
async fn found(admin: &Arc<AdminClient<Quiet>>, settings: &Settings) -> Result<BTreeMap<String, usize>, OpenError> {
    let metadata = metadata(admin, settings).await?;
    let known = metadata.topics().iter().filter(|topic| topic.error().is_none());
    Ok(known.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
}

/// What the broker says of itself and its topics.
pub(crate) async fn metadata(admin: &Arc<AdminClient<Quiet>>, settings: &Settings) -> Result<Metadata, OpenError> {
    let admin = Arc::clone(admin);
    let fetched = tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(None, CONNECT)).await;
    fetched
        .map_err(|_| OpenError::Client(KafkaError::Canceled))?
        .map_err(|source| OpenError::Unreachable { servers: settings.bootstrap_servers.clone(), source })
}

/// What the settings say, else what the topics found have, else the default.
fn partitions(settings: &Settings, there: &[Topic], found: &BTreeMap<String, usize>) -> PartitionCount {
    let as_found = || {
        let count = there.first().and_then(|&topic| found.get(&settings.topic_name(topic)))?;
        PartitionCount::new(u16::try_from(*count).ok()?)
    };
    match settings.partitions {
        Some(_) => settings.partitions_of_new_topics(),
        None => as_found().unwrap_or(PartitionCount::DEFAULT),
    }
}

fn compare_partitions(
    settings: &Settings,
    there: &[Topic],
    found: &BTreeMap<String, usize>,
    expected: PartitionCount,
) -> Vec<Difference> {
    let names = there.iter().map(|&topic| settings.topic_name(topic));
    names
        .filter_map(|topic| {
            let count = found.get(&topic).copied().unwrap_or(0);
            (count != usize::from(expected.get())).then(|| Difference {
                topic,
                setting: "partition count".to_owned(),
                found: count.to_string(),
                expected: expected.get().to_string(),
            })
        })
        .collect()
}

fn compare_configs(settings: &Settings, there: &[Topic], found: &[ConfigResource]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for &topic in there {
        let name = OwnedResourceSpecifier::Topic(settings.topic_name(topic));
        let Some(resource) = found.iter().find(|resource| resource.specifier == name) else { continue };
        let values = resource.entry_map();
        for config in configs(topic).into_iter().filter(|config| config.promised) {
            let value = values.get(config.name).and_then(|entry| entry.value.clone()).unwrap_or_default();
            // With several policies the order is of no importance, but none of ours has several.
            if value != config.value {
                differences.push(Difference {
                    topic: settings.topic_name(topic),
                    setting: config.name.to_owned(),
                    found: value,
                    expected: config.value,
                });
            }
        }
    }
    differences
}

async fn describe(
    admin: &AdminClient<Quiet>,
    settings: &Settings,
    topics: &[Topic],
) -> Result<Vec<ConfigResource>, OpenError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<_> = topics.iter().map(|&topic| settings.topic_name(topic)).collect();
    let specifiers: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let results = admin.describe_configs(&specifiers, &options).await.map_err(OpenError::Admin)?;
    results.into_iter().map(|result| result.map_err(|code| OpenError::Admin(KafkaError::AdminOp(code)))).collect()
}

async fn create(
    admin: &AdminClient<Quiet>,
    settings: &Settings,
    topics: &[Topic],
    partitions: PartitionCount,
) -> Result<(), OpenError> {
    if topics.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = topics.iter().map(|&topic| (settings.topic_name(topic), configs(topic))).collect();
    // -1: as the broker has it (Kafka 2.4 and later).
    let replication = settings.replication_factor.map_or(-1, i32::from);
    let new: Vec<_> = names
        .iter()
        .map(|(name, configs)| {
            let topic = NewTopic::new(name, i32::from(partitions.get()), TopicReplication::Fixed(replication));
            configs.iter().fold(topic, |topic, config| topic.set(config.name, &config.value))
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(2 * PATIENCE));
    for result in admin.create_topics(&new, &options).await.map_err(OpenError::Admin)? {
        match result {
            Ok(topic) => tracing::info!(kafka.topic = topic, partitions = partitions.get(), "topic made"),
            // By another process at the same time; it is compared next.
            Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => {
                tracing::debug!(kafka.topic = topic, "topic was made")
            }
            Err((topic, reason)) => return Err(OpenError::NotMade { topic, reason }),
        }
    }
    Ok(())
}
