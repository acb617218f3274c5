//! Opening the log on a real broker: topics are made once with their settings, and never taken as they are not.

#![allow(clippy::unwrap_used, reason = "how a test fails")]

mod common;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tasuki_kafka::{Difference, KafkaLog, OpenError, Settings};
use tasuki_service::Exit;
use tasuki_testkit::contract::PARTITIONS;
use tasuki_testkit::eventually::eventually;
use tasuki_wire::{PartitionCount, Topic};

use common::{runtime, settings};

fn admin(settings: &Settings) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &settings.bootstrap_servers).create().expect("an admin client")
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)))
}

fn configs(settings: &Settings, topic: Topic, names: &[&str]) -> Vec<String> {
    let name = settings.topic_name(topic);
    let specifier = ResourceSpecifier::Topic(&name);
    let found = runtime().block_on(admin(settings).describe_configs([&specifier], &options())).unwrap();
    let resource = found.into_iter().next().unwrap().unwrap();
    names.iter().map(|name| resource.entry_map()[name].value.clone().unwrap_or_default()).collect()
}

#[test]
fn topics_are_made_with_their_settings_and_found_again() {
    let settings = settings("made");
    let log = common::open(&settings);
    assert_eq!(log.partitions(), PARTITIONS);
    let names = ["cleanup.policy", "retention.ms", "retention.bytes"];
    assert_eq!(configs(&settings, Topic::Behavior, &names), ["delete", "-1", "-1"]);
    assert_eq!(configs(&settings, Topic::IdentityLinks, &names), ["delete", "604800000", "-1"]);
    let names = ["cleanup.policy", "segment.bytes", "min.cleanable.dirty.ratio", "max.compaction.lag.ms"];
    assert_eq!(configs(&settings, Topic::ScoringState, &names), ["compact", "134217728", "0.2", "1800000"]);
    assert_eq!(common::open(&settings).partitions(), PARTITIONS);
    // The count is only needed at the first start.
    let unsaid = Settings { partitions: None, ..settings };
    assert_eq!(common::open(&unsaid).partitions(), PARTITIONS);
}

#[test]
fn without_a_word_there_are_16_partitions() {
    let unsaid = Settings { partitions: None, ..settings("default") };
    assert_eq!(common::open(&unsaid).partitions(), PartitionCount::DEFAULT);
}

#[test]
fn topics_with_other_settings_are_told_all_at_once_and_nothing_is_made() {
    let settings = settings("other");
    let topic = |topic| settings.topic_name(topic);
    let (behavior, state, scores) = (topic(Topic::Behavior), topic(Topic::ScoringState), topic(Topic::Scores));
    let admin = admin(&settings);
    let made = [
        NewTopic::new(&behavior, 4, TopicReplication::Fixed(1)).set("retention.ms", "86400000"),
        NewTopic::new(&state, 4, TopicReplication::Fixed(1)),
        NewTopic::new(&scores, 3, TopicReplication::Fixed(1)).set("retention.ms", "-1"),
    ];
    let results = runtime().block_on(admin.create_topics(&made, &options())).unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let ours = || {
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10)).unwrap();
        let ours = metadata.topics().iter().filter(|topic| topic.name().starts_with(&settings.topic_prefix));
        ours.filter(|topic| topic.error().is_none()).count()
    };
    eventually("the broker to know all three", || if ours() == 3 { Ok(()) } else { Err(ours()) });
    let error = runtime().block_on(KafkaLog::open(settings.clone())).unwrap_err();
    let OpenError::Different(mut differences) = error else { panic!("{error}") };
    differences.sort_by(|a, b| a.topic.cmp(&b.topic));
    let difference = |topic: &str, setting: &str, found: &str, expected: &str| Difference {
        topic: topic.to_owned(),
        setting: setting.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    assert_eq!(
        differences,
        [
            difference(&behavior, "retention.ms", "86400000", "-1"),
            difference(&scores, "partition count", "3", "4"),
            difference(&state, "cleanup.policy", "delete", "compact"),
        ]
    );
    let failure = OpenError::Different(differences).failure();
    assert_eq!(failure.exit, Exit::Config);
    assert!(failure.what.contains(&format!("topic {scores}: partition count is 3, must be 4")), "{}", failure.what);
    assert_eq!(ours(), 3);
}

#[test]
fn a_setting_changed_after_the_topics_were_made_is_told() {
    let settings = settings("changed");
    common::open(&settings);
    let name = settings.topic_name(Topic::Handoff);
    let change = AlterConfig::new(ResourceSpecifier::Topic(&name)).set("cleanup.policy", "compact");
    let results = runtime().block_on(admin(&settings).alter_configs([&change], &options())).unwrap();
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    eventually("the change to be told", || match runtime().block_on(KafkaLog::open(settings.clone())) {
        Err(OpenError::Different(found)) if found.iter().all(|found| found.topic == name) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_broker_that_is_not_there_is_told_with_its_address() {
    let settings = Settings::new("127.0.0.1:9", "");
    let error = runtime().block_on(KafkaLog::open(settings)).unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    let failure = error.failure();
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(failure.what.starts_with("no Kafka broker answers at 127.0.0.1:9"), "{}", failure.what);
}
