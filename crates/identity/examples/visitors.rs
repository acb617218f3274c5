//! How much memory visitors take who are not known yet, with some parked events each: what `cargo xtask bench
//! identity-memory` runs. Says it as one line of JSON.
//!
//! The state of 16 partitions as a worker has it. All visitors do one thing, then all do the
//! next, so that states grow apart from each other; a transaction has 10,000 events, as by default.
#![allow(clippy::print_stdout, reason = "the figures are what the program is for")]

use std::sync::Arc;

use prost::Message;
use tasuki_domain::{DeploymentSecret, EventId};
use tasuki_identity::{Identity, IdentitySettings};
use tasuki_stream::{Input, StateStore, Task};
use tasuki_wire::v1::{self, behavior_record};
use tasuki_wire::{PartitionCount, Topic};

/// Events of each visitor.
const EVENTS: u64 = 3;
/// Events in one transaction of all partitions of a worker.
const TRANSACTION: u64 = 10_000;

const PATHS: [&str; 7] =
    ["/", "/pricing", "/products/pumps/ap-200", "/products/valves", "/blog/how-to-choose", "/about", "/contact"];
const BROWSERS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 \
     Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
];

/// One of these, the same for the same number.
fn pick<'t>(from: &[&'t str], number: u64) -> &'t str {
    let at = number % u64::try_from(from.len()).expect("short");
    from[usize::try_from(at).expect("less than the length")]
}

/// Ids and hashes as they are: without any pattern.
fn scattered(what: &str, visitor: u64, event: u64) -> EventId {
    EventId::reported(what, &format!("{visitor}-{event}"))
}

/// A page view as a browser's tracker reports it, with every field that ingest fills.
fn page_view(visitor: u64, event: u64, anonymous_id: &str) -> Vec<u8> {
    let (path, at) = (pick(&PATHS, visitor + 3 * event), (visitor + event * 90_000).cast_signed());
    let occurred_at_ms = 1_795_426_200_000 + at * 37;
    let id = scattered("event", visitor, event);
    let record = v1::BehaviorRecord {
        meta: Some(v1::Meta {
            event_id: id.as_bytes().to_vec(),
            occurred_at_ms,
            received_at_ms: occurred_at_ms + 180,
            ..v1::Meta::default()
        }),
        origin: Some(v1::Origin {
            source: "website".to_owned(),
            protocol: "segment".to_owned(),
            message_id: format!("ajs-next-{occurred_at_ms}-{}", scattered("message", visitor, event)),
            sent_at_ms: occurred_at_ms + 140,
        }),
        identifiers: Some(v1::Identifiers { anonymous_id: anonymous_id.to_owned(), ..v1::Identifiers::default() }),
        circumstances: Some(v1::Circumstances {
            url: format!("https://www.acme-products.example{path}?utm_source=google&utm_medium=cpc"),
            path: path.to_owned(),
            host: "www.acme-products.example".to_owned(),
            referrer: "https://www.google.com/".to_owned(),
            title: format!("{path} | Acme: pumps and valves"),
            campaign_source: "google".to_owned(),
            campaign_medium: "cpc".to_owned(),
            user_agent: pick(&BROWSERS, visitor).to_owned(),
            locale: pick(&["ja-JP", "en-US", "ja", "de-DE"], visitor / 4).to_owned(),
            time_zone: pick(&["Asia/Tokyo", "Europe/Berlin"], visitor / 16).to_owned(),
            ip: format!("203.0.{}.{}", visitor % 251, visitor % 241),
            ..v1::Circumstances::default()
        }),
        properties_json: r#"{"search":"?utm_source=google&utm_medium=cpc"}"#.to_owned(),
        payload_hash: scattered("hash", visitor, event).as_bytes().to_vec(),
        event: Some(behavior_record::Event::PageViewed(v1::PageViewed::default())),
        ..v1::BehaviorRecord::default()
    };
    record.encode_to_vec()
}

/// Of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells what is resident");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kilobytes * 1024
}

fn commit(task: &mut Task<Identity>) {
    drop(task.take_emitted());
    task.take_counted();
    let changes = task.changes();
    task.committed(changes);
}

fn main() {
    let visitors: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number of visitors"));
    let secret = DeploymentSecret::new(*b"a secret of the bench").expect("it has 16 bytes");
    let identity = Arc::new(Identity::new(secret, IdentitySettings::default()));
    let partitions = PartitionCount::DEFAULT;
    let mut tasks: Vec<Task<Identity>> = partitions.all().map(|_| Task::new(Arc::clone(&identity))).collect();
    let (before, mut reported) = (resident(), 0);
    for event in 0..EVENTS {
        for visitor in 0..visitors {
            let anonymous_id = scattered("visitor", visitor, 0).to_string();
            let key = format!("v:{anonymous_id}");
            let payload = page_view(visitor, event, &anonymous_id);
            reported += u64::try_from(payload.len()).expect("short");
            let partition = partitions.of_key(key.as_bytes());
            let input = Input { topic: Topic::Behavior, partition, offset: 0, key: key.as_bytes(), payload: &payload };
            tasks[usize::from(partition.get())].apply(&input).expect("a page view makes sense");
            if visitor % TRANSACTION == 0 {
                tasks.iter_mut().for_each(commit);
            }
        }
    }
    tasks.iter_mut().for_each(commit);
    let after = resident();
    let of_states: usize = tasks.iter().map(|task| task.store().bytes()).sum();
    let states: usize = tasks.iter().map(|task| task.store().len()).sum();
    println!(
        r#"{{"visitors":{visitors},"events":{EVENTS},"states":{states},"resident_before":{before},"resident":{after},"bytes_per_visitor":{},"state_bytes":{of_states},"reported_bytes":{reported}}}"#,
        (after - before) / visitors
    );
}
