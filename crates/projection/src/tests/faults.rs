//! Two at once, and dependencies that go away.

use std::process::Command;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tasuki_embedded::{PrivatePostgres, PrivateSettings};
use tasuki_service::health::Condition;
use tasuki_service::{Health, Shutdown};
use tasuki_stream::log::{LogRecord, Reader};
use tasuki_testkit::eventually::PATIENCE;
use tasuki_testkit::postgres::reachable_folder;
use tasuki_wire::Topic;

use super::log::{Log, Reading};
use super::records::{Lead, START_MS, page_view, score};
use super::{catch_up, database, fresh, order, partitions, pool};
use crate::writer::{WriteError, Writer, positions};

/// A long history, the same each time.
fn history() -> Log {
    let steps = order::steps(3_000..3_001).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    Log::of(order::records(&steps))
}

async fn all(log: &Log, writer: &mut Writer) -> Vec<LogRecord> {
    let mut reader = log.reader(Reading { seed: 1, at_most: usize::MAX >> 1 });
    reader.seek(&positions(&writer.watermarks(partitions()).await.unwrap())).await.unwrap();
    reader.take_all()
}

#[tokio::test]
async fn who_was_overtaken_writes_nothing_even_if_it_read_other_topics() {
    let mut lead = Lead::number(1);
    let log = Log::of([lead.did(1, START_MS, page_view()), lead.scored(START_MS, score(5_000, 5_000))]);
    let pool = database();
    let (projection, schema) = fresh(&pool).await;
    let mut first = Writer::connect(&pool, &schema, partitions()).await.unwrap();
    let mut second = Writer::connect(&pool, &schema, partitions()).await.unwrap();
    let mut seen_by_first = first.watermarks(partitions()).await.unwrap();
    let mut seen_by_second = seen_by_first.clone();
    let (activity, scores): (Vec<_>, Vec<_>) =
        all(&log, &mut first).await.into_iter().partition(|record| record.topic == Topic::Activity);

    first.write(&activity, &mut seen_by_first).await.unwrap();
    let written = projection.dump().await.unwrap();
    for overtaken in [&activity, &scores] {
        let refused = second.write(overtaken, &mut seen_by_second).await;
        assert!(matches!(refused, Err(WriteError::Superseded)), "{refused:?}");
        assert_eq!(projection.dump().await.unwrap(), written);
    }

    let mut seen_by_second = second.watermarks(partitions()).await.unwrap();
    assert_eq!(seen_by_second, seen_by_first);
    second.write(&scores, &mut seen_by_second).await.unwrap();
    let refused = first.write(&scores, &mut seen_by_first).await;
    assert!(matches!(refused, Err(WriteError::Superseded)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_write_what_one_alone_would() {
    let log = history();
    let pool = database();
    let (alone, _) = fresh(&pool).await;
    let (together, _) = fresh(&pool).await;
    catch_up(&alone, &log, Reading { seed: 1, at_most: 200 }).await;
    let before = log.seeks();
    tokio::join!(
        catch_up(&together, &log, Reading { seed: 2, at_most: 20 }),
        catch_up(&together, &log, Reading { seed: 3, at_most: 30 }),
    );
    assert!(log.seeks() > before + 2, "invalid: neither ever overtook the other");
    assert_eq!(together.dump().await.unwrap(), alone.dump().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_or_a_log_that_goes_away_costs_nothing() {
    let log = history();
    let folder = reachable_folder();
    let settings =
        PrivateSettings { folder: folder.path().join("postgres"), programs: None, server_settings: Vec::new() };
    let server = PrivatePostgres::start(&settings, Health::default().component("postgres")).await.unwrap();
    let pool = pool(server.url());
    let (undisturbed, _) = fresh(&pool).await;
    catch_up(&undisturbed, &log, Reading { seed: 1, at_most: 200 }).await;
    let expected = undisturbed.dump().await.unwrap();

    let (projection, _) = fresh(&pool).await;
    let (health, shutdown) = (Health::default(), Shutdown::new());
    let component = health.component("projection");
    let reader = log.reader(Reading { seed: 2, at_most: 4 });
    let drained = reader.drained();
    let running = tokio::spawn({
        let (projection, shutdown) = (projection.clone(), shutdown.clone());
        async move { projection.run(Box::new(reader), partitions(), component, shutdown).await }
    });

    told(&health, Condition::Ready).await;
    let pid = server.pid().unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    told(&health, Condition::Waiting("postgres is not available".into())).await;
    assert_eq!(drained.so_far(), 0, "invalid: everything had been written before Postgres was killed");
    // It is started again by its keeper.
    told(&health, Condition::Ready).await;
    log.away(true);
    told(&health, Condition::Waiting("log is not available".into())).await;
    assert_eq!(drained.so_far(), 0, "invalid: everything had been written before the log went away");
    log.away(false);
    drained.wait(log.len()).await;
    told(&health, Condition::Ready).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(projection.dump().await.unwrap(), expected);
    server.stop().await;
}

async fn told(health: &Health, expected: Condition) {
    let telling = async {
        while health.conditions()["projection"] != expected {
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, telling).await;
    assert!(told.is_ok(), "never told {expected:?}, but {:?}", health.conditions());
}
