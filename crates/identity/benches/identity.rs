//! How long identity takes for one event, from the bytes on the log to the bytes for the log.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use prost::Message;
use tasuki_domain::{DeploymentSecret, EventId};
use tasuki_identity::{Identity, IdentitySettings};
use tasuki_stream::{Input, Task};
use tasuki_wire::v1::{self, behavior_record};
use tasuki_wire::{Partition, Topic};

const VISITOR: &str = "2f6c1f0e-6a7d-4b8a-9b58-1c5d6c8f7a21";

fn page_view(n: i64, email: &str) -> Vec<u8> {
    let id = EventId::reported("bench", &n.to_string());
    let path = format!("/products/pumps/ap-{n}");
    let record = v1::BehaviorRecord {
        meta: Some(v1::Meta {
            event_id: id.as_bytes().to_vec(),
            occurred_at_ms: 1_795_426_200_000 + n * 60_000,
            received_at_ms: 1_795_426_200_050 + n * 60_000,
            ..v1::Meta::default()
        }),
        origin: Some(v1::Origin {
            source: "website".to_owned(),
            protocol: "segment".to_owned(),
            message_id: format!("ajs-next-1795426200000-{id}"),
            sent_at_ms: 1_795_426_200_040 + n * 60_000,
        }),
        identifiers: Some(v1::Identifiers {
            anonymous_id: VISITOR.to_owned(),
            email: email.to_owned(),
            ..v1::Identifiers::default()
        }),
        circumstances: Some(v1::Circumstances {
            url: format!("https://www.acme-products.example{path}"),
            path,
            host: "www.acme-products.example".to_owned(),
            title: format!("AP-{n} | Acme: pumps and valves"),
            user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                         Chrome/142.0.0.0 Safari/537.36"
                .to_owned(),
            locale: "ja-JP".to_owned(),
            time_zone: "Asia/Tokyo".to_owned(),
            ..v1::Circumstances::default()
        }),
        payload_hash: EventId::reported("hash", &n.to_string()).as_bytes().to_vec(),
        event: Some(behavior_record::Event::PageViewed(v1::PageViewed::default())),
        ..v1::BehaviorRecord::default()
    };
    record.encode_to_vec()
}

/// A task whose visitor has done so much already.
fn task_with(events: i64, email: &str) -> Task<Identity> {
    let secret = DeploymentSecret::new(*b"a secret of the bench").expect("it has 16 bytes");
    let mut task = Task::new(Arc::new(Identity::new(secret, IdentitySettings::default())));
    for n in 0..events {
        apply(&mut task, &page_view(n, email));
    }
    task
}

/// One event, one transaction.
fn apply(task: &mut Task<Identity>, payload: &[u8]) {
    let key = format!("v:{VISITOR}");
    let input = Input { topic: Topic::Behavior, partition: Partition::new(0), offset: 0, key: key.as_bytes(), payload };
    task.apply(&input).expect("a page view makes sense");
    black_box(task.take_emitted());
    task.take_counted();
    let changes = task.changes();
    task.committed(changes);
}

fn one_event(criterion: &mut Criterion) {
    for (name, events, email) in [
        ("a new visitor", 0, ""),
        ("a visitor with 3 parked events", 3, ""),
        ("a known visitor with 3 events", 3, "ana@acme.example"),
    ] {
        let payload = page_view(events, "");
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched_ref(|| task_with(events, email), |task| apply(task, &payload), BatchSize::SmallInput);
        });
    }
    // At the bound each event displaces one: the same task can go on and on.
    for (name, email) in
        [("a visitor with 200 parked events", ""), ("a known visitor with 200 events", "ana@acme.example")]
    {
        let mut task = task_with(200, email);
        let mut n = 200;
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    n += 1;
                    page_view(n, "")
                },
                |payload| apply(&mut task, &payload),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, one_event);
criterion_main!(benches);
