//! Measures the embedded log on this machine: how many events a second pass through a chain of four processors with
//! state, and how long one event takes on an idle log.
//!
//! ```text
//! cargo run --release -p tasuki-embedded --example capacity -- 100000
//! ```

#![allow(clippy::print_stdout, reason = "a program for people")]
#![allow(clippy::cast_precision_loss, reason = "a rate")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tasuki_embedded::{EmbeddedLog, PrivatePostgres, PrivateSettings};
use tasuki_service::{Health, Shutdown, SystemClock};
use tasuki_stream::log::{Position, Publisher, Reader};
use tasuki_stream::{Context, Due, Emitted, Input, Poison, Processor, State, StateError, Topology};
use tasuki_wire::{PartitionCount, Topic};

/// Passes each record on to the next topic, and counts the records of each key.
struct Relay(Topology);

#[derive(Default)]
struct Passed(u64);

impl State for Passed {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let bytes = bytes.try_into().map_err(|_| StateError("not 8 bytes".to_owned()))?;
        Ok(Self(u64::from_le_bytes(bytes)))
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0.to_le_bytes());
    }
}

impl Processor for Relay {
    type State = Passed;

    fn topology(&self) -> Topology {
        self.0
    }

    fn apply(&self, context: &mut Context<'_, Passed>, input: &Input<'_>) -> Result<(), Poison> {
        let key = input.key_str()?;
        context.state(key).0 += 1;
        context.emit_bytes(self.0.outputs[0], key, input.payload.to_vec());
        Ok(())
    }

    fn deadline(&self, _: &mut Context<'_, Passed>, _: &Due<'_>) {}
}

const HOPS: [Topology; 4] = [
    hop("first", &[Topic::Behavior], &[Topic::Activity], Topic::IdentityState),
    hop("second", &[Topic::Activity], &[Topic::Scores], Topic::ScoringState),
    hop("third", &[Topic::Scores], &[Topic::Qualification], Topic::QualificationState),
    hop("fourth", &[Topic::Qualification], &[Topic::Handoff], Topic::HandoffState),
];

const fn hop(service: &'static str, inputs: &'static [Topic], outputs: &'static [Topic], state: Topic) -> Topology {
    Topology { service, inputs, outputs, state }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let events: usize = std::env::args().nth(1).map_or(Ok(50_000), |count| count.parse())?;
    let folder = tempfile::Builder::new().prefix("tasuki-capacity-").tempdir()?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let settings =
        PrivateSettings { folder: folder.path().join("postgres"), programs: None, server_settings: Vec::new() };
    let health = Health::default();
    let server = PrivatePostgres::start(&settings, health.component("postgres")).await?;
    let clock = Arc::new(SystemClock);
    let partitions = PartitionCount::DEFAULT;
    let log = EmbeddedLog::open(server.url(), partitions, clock.clone(), health.component("log")).await?;
    let stop = Shutdown::new();
    let mut running = Vec::new();
    for topology in HOPS {
        let component = health.component(topology.service);
        running.push(tokio::spawn(log.run(Relay(topology), component, clock.clone(), stop.clone())));
    }
    let mut reader = log.reader();
    let topic = Topic::Handoff;
    let start: Vec<_> = partitions.all().map(|partition| Position { topic, partition, offset: 0 }).collect();
    reader.seek(&start).await?;
    let publisher = log.publisher();
    let event =
        |n: usize| Emitted { topic: Topic::Behavior, key: format!("lead-{}", n % 5_000), payload: vec![7; 300] };

    let mut took = Vec::new();
    for n in 0..500 {
        publisher.publish(vec![event(n)]).await?;
        let acknowledged = Instant::now();
        while reader.poll(Duration::from_secs(5)).await?.is_empty() {}
        took.push(acknowledged.elapsed());
    }
    took.sort();
    println!("idle, from durable to four hops further: p50 {:?}, p99 {:?}", took[250], took[495]);

    let begun = Instant::now();
    let publishing = async {
        // As many requests at once, each with a hundred events.
        let requests = (0..events).step_by(100).map(|from| from..events.min(from + 100)).collect::<Vec<_>>();
        for at_once in requests.chunks(16) {
            let publishing = at_once.iter().cloned().map(|range| publisher.publish(range.map(event).collect()));
            futures_util::future::try_join_all(publishing).await?;
        }
        Ok::<_, Box<dyn Error>>(begun.elapsed())
    };
    let reading = async {
        let mut read = 0;
        while read < events {
            read += reader.poll(Duration::from_secs(5)).await?.len();
        }
        Ok::<_, Box<dyn Error>>(begun.elapsed())
    };
    let (published, read) = tokio::try_join!(publishing, reading)?;
    let a_second = |time: Duration| events as f64 / time.as_secs_f64();
    println!("{events} events of 300 bytes through four processors: {:.0} a second ({read:?})", a_second(read));
    println!("of which published: {:.0} a second", a_second(published));

    stop.cancel();
    for worker in running {
        worker.await??;
    }
    log.close().await;
    server.stop().await;
    Ok(())
}
