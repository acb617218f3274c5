//! The spool: what clients would not send again is kept on disk while the log is away, and follows once it is back.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Request;
use support::{Collector, Log, Mood, Standing, basic};
use tasuki_ingest::{Limits, Spool};
use tasuki_service::{Health, Shutdown};
use tasuki_stream::log::Publisher;
use tokio::task::JoinHandle;

const MEBIBYTE: u64 = 1 << 20;

struct Replaying {
    task: JoinHandle<()>,
    shutdown: Shutdown,
    health: Health,
}

fn replay(spool: &Spool, log: &Arc<Log>) -> Replaying {
    let (shutdown, health) = (Shutdown::new(), Health::default());
    let (spool, publisher) = (spool.clone(), Arc::clone(log) as Arc<dyn Publisher>);
    let clock = Arc::new(Standing(support::NOON.parse().unwrap()));
    let (component, told) = (health.component("spool"), shutdown.clone());
    let task = tokio::spawn(async move { spool.replay(publisher, clock, component, told).await });
    Replaying { task, shutdown, health }
}

impl Replaying {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn event(number: usize) -> String {
    format!(r#"{{"event":"e-{number}","anonymousId":"a","messageId":"m-{number}"}}"#)
}

/// Sends to Jitsu's route, whose clients never retry.
async fn send(collector: &Collector, number: usize) -> (u16, String) {
    let answer = collector.post("/api/s/track", event(number)).await;
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status.as_u16(), code)
}

fn names(collector: &Collector) -> Vec<String> {
    collector.behaviors().into_iter().map(|record| record.origin.unwrap().message_id).collect()
}

async fn eventually(holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "not in 60 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn files(folder: &Path, extension: &str) -> usize {
    let all = std::fs::read_dir(folder.join("0")).unwrap();
    all.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|own| own == extension)).count()
}

#[tokio::test]
async fn what_is_never_sent_again_is_kept_and_follows_in_order_and_others_are_told_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), MEBIBYTE).unwrap();
    let collector = Collector::spooling(spool.clone(), Limits::default());
    let replaying = replay(&spool, &collector.log);
    for mood in [Mood::Unavailable, Mood::Overloaded] {
        collector.mood(mood);
        let beacon = Request::post("/beacon/v1/batch?writeKey=WK").body(format!("[{}]", event(1)).into());
        assert_eq!(collector.send(beacon.unwrap()).await.status, 200);
        assert_eq!(collector.get("/pixel/v1/track?writeKey=WK&anonymousId=a&event=x").await.status, 200);
        assert_eq!(collector.get("/i?e=pv&duid=a").await.status, 200);
        assert_eq!(collector.post("/v1/track", event(1)).await.status, 503, "Segment's clients come back");
        assert_eq!(collector.post("/a.b/tp2", r#"{"data":[{"e":"pv","duid":"d"}]}"#).await.status, 503);
    }
    for number in 0..20 {
        assert_eq!(send(&collector, number).await, (200, String::new()));
    }
    assert!(names(&collector).is_empty());
    eventually(|| !replaying.health.is_ready()).await;
    collector.mood(Mood::Takes);
    eventually(|| names(&collector).last().is_some_and(|name| name == "m-19")).await;
    let ours: Vec<_> = names(&collector).into_iter().filter(|name| name.starts_with("m-")).collect();
    assert_eq!(ours[ours.len() - 20..], (0..20).map(|number| format!("m-{number}")).collect::<Vec<_>>());
    eventually(|| replaying.health.is_ready() && files(folder.path(), "spool") == 0).await;
    replaying.stop().await;
}

#[tokio::test]
async fn when_the_log_hangs_the_deadline_passes_once_and_what_comes_later_goes_straight_to_disk() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), MEBIBYTE).unwrap();
    let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
    let collector = Collector::spooling(spool.clone(), limits);
    collector.mood(Mood::Hangs);
    for number in 0..5 {
        assert_eq!(send(&collector, number).await, (200, String::new()));
    }
    assert_eq!(*collector.log.calls.lock().unwrap(), 1);
    collector.mood(Mood::Takes);
    assert_eq!(send(&collector, 5).await.0, 200, "it stays behind those before it");
    assert!(names(&collector).is_empty());
    let replaying = replay(&spool, &collector.log);
    eventually(|| names(&collector).len() == 6).await;
    eventually(|| files(folder.path(), "spool") == 0).await;
    assert_eq!(send(&collector, 6).await.0, 200);
    assert_eq!(names(&collector), (0..7).map(|number| format!("m-{number}")).collect::<Vec<_>>());
    replaying.stop().await;
}

#[tokio::test]
async fn what_an_ended_process_has_left_is_replayed_and_a_torn_write_costs_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    {
        let spool = Spool::open(folder.path(), MEBIBYTE).unwrap();
        let collector = Collector::spooling(spool, Limits::default());
        collector.mood(Mood::Unavailable);
        for number in 0..3 {
            assert_eq!(send(&collector, number).await.0, 200);
        }
    }
    let segments = || {
        let all = std::fs::read_dir(folder.path().join("0")).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|own| own == "spool")).collect::<Vec<_>>()
    };
    drop(eventual_spool(folder.path()).await);
    let segment = segments().pop().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let torn = bytes[..bytes.len() / 2].to_vec();
    bytes.extend_from_slice(&torn[..20]);
    std::fs::write(&segment, bytes).unwrap();
    let spool = eventual_spool(folder.path()).await;
    let collector = Collector::spooling(spool.clone(), Limits::default());
    assert_eq!(send(&collector, 3).await.0, 200);
    assert!(names(&collector).is_empty(), "it goes behind what waits");
    let replaying = replay(&spool, &collector.log);
    eventually(|| names(&collector).len() == 4).await;
    assert_eq!(names(&collector), ["m-0", "m-1", "m-2", "m-3"]);
    eventually(|| files(folder.path(), "spool") == 0).await;
    replaying.stop().await;
}

/// The spool once the thread of its predecessor has ended.
async fn eventual_spool(folder: &Path) -> Spool {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let spool = Spool::open(folder, MEBIBYTE).unwrap();
        if !folder.join("1").exists() {
            return spool;
        }
        drop(spool);
        std::fs::remove_dir_all(folder.join("1")).unwrap();
        assert!(Instant::now() < until, "the folder stays locked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn damage_is_set_aside_for_a_person_and_what_comes_before_it_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    {
        let spool = Spool::open(folder.path(), MEBIBYTE).unwrap();
        let collector = Collector::spooling(spool, Limits::default());
        collector.mood(Mood::Unavailable);
        assert_eq!((send(&collector, 0).await.0, send(&collector, 1).await.0), (200, 200));
    }
    let spool = eventual_spool(folder.path()).await;
    drop(spool);
    let path = folder.path().join("0").join("0000000000000001.spool");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let spool = eventual_spool(folder.path()).await;
    let collector = Collector::spooling(spool.clone(), Limits::default());
    let replaying = replay(&spool, &collector.log);
    eventually(|| files(folder.path(), "damaged") == 1 && files(folder.path(), "spool") == 0).await;
    assert_eq!(names(&collector), ["m-0"]);
    replaying.stop().await;
}

#[tokio::test]
async fn a_full_spool_refuses_and_takes_again_when_the_log_has_taken_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1000).unwrap();
    let collector = Collector::spooling(spool.clone(), Limits::default());
    collector.mood(Mood::Unavailable);
    let mut taken = 0;
    let refused = loop {
        match send(&collector, taken).await {
            (200, _) => taken += 1,
            refused => break refused,
        }
    };
    assert!((1..10).contains(&taken), "{taken}");
    assert_eq!(refused, (503, "spool-full".to_owned()));
    let replaying = replay(&spool, &collector.log);
    eventually(|| !replaying.health.is_ready()).await;
    collector.mood(Mood::Takes);
    eventually(|| names(&collector).len() == taken && files(folder.path(), "spool") == 0).await;
    assert_eq!(send(&collector, 100).await, (200, String::new()));
    replaying.stop().await;
}

#[tokio::test]
async fn a_record_that_the_log_will_never_take_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), MEBIBYTE).unwrap();
    let collector = Collector::spooling(spool.clone(), Limits::default());
    collector.mood(Mood::Unavailable);
    send(&collector, 0).await;
    let poison = r#"{"event":"poison","anonymousId":"a","messageId":"p"}"#;
    assert_eq!(collector.post("/api/s/track", poison).await.status, 200);
    send(&collector, 1).await;
    collector.mood(Mood::RefusesPoison);
    let replaying = replay(&spool, &collector.log);
    eventually(|| files(folder.path(), "spool") == 0).await;
    assert_eq!(names(&collector), ["m-0", "m-1"]);
    assert_eq!(collector.letters()[0].code, "log-refused");
    replaying.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_and_a_log_that_comes_and_goes_each_senders_events_stay_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 64 * MEBIBYTE).unwrap();
    let collector = Arc::new(Collector::spooling(spool.clone(), Limits::default()));
    let replaying = replay(&spool, &collector.log);
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let collector = Arc::clone(&collector);
            tokio::spawn(async move {
                for number in 0..200 {
                    if sender == 0 && number % 20 == 0 {
                        collector.mood(if number % 40 == 0 { Mood::Unavailable } else { Mood::Takes });
                    }
                    let body =
                        format!(r#"{{"event":"x","anonymousId":"a-{sender}","messageId":"{sender}-{number:03}"}}"#);
                    let request = Request::post("/api/s/track").header("authorization", basic("WK:"));
                    assert_eq!(collector.send(request.body(body.into()).unwrap()).await.status, 200);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    collector.mood(Mood::Takes);
    eventually(|| files(folder.path(), "spool") == 0).await;
    for sender in 0..8 {
        let own = names(&collector).into_iter().filter(|name| name.starts_with(&format!("{sender}-")));
        let mut seen = std::collections::BTreeSet::new();
        let first: Vec<_> = own.filter(|name| seen.insert(name.clone())).collect();
        let expected: Vec<_> = (0..200).map(|number| format!("{sender}-{number:03}")).collect();
        assert_eq!(first, expected, "sender {sender}: all, in order of their first appearance");
    }
    replaying.stop().await;
}
