//! A whole processor: counts the pages of a visit, and says how many they were once the visitor has been away for half an
//! hour. To try it on a Kafka of its own (it makes up three visits and prints what is written):
//!
//! ```text
//! KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092 cargo run -p tasuki-kafka --example count_page_views
//! ```

use prost::Message;
use tasuki_domain::{Millis, Timestamp};
use tasuki_stream::{Context, Due, Input, Poison, Processor, State, StateError, Topology};
use tasuki_wire::{Head, Topic, v1};

/// The processor. It holds settings at most: what it remembers is the state, what it reads is the input.
pub(crate) struct CountPageViews;

/// What is remembered per visitor, as protobuf: what a later release adds, an earlier one skips.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Visit {
    #[prost(uint64, tag = "1")]
    pages: u64,
    #[prost(sint64, tag = "2")]
    last_seen_ms: i64,
}

impl State for Visit {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(<Self as Message>::decode(bytes)?)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        self.encode_raw(into);
    }

    /// Nothing to remember: the key goes from memory and from the state topic.
    fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// A deadline is a field of the state, so it comes back with it after a crash. No clock is read: time is data.
    fn next_deadline(&self) -> Option<Timestamp> {
        (self.pages > 0).then(|| Timestamp::from_millis(self.last_seen_ms) + Millis::from_seconds(30 * 60))
    }
}

impl Processor for CountPageViews {
    type State = Visit;

    /// Topics are those of the catalogue in `tasuki_wire`; a service of its own adds its own. This one borrows two.
    fn topology(&self) -> Topology {
        let (inputs, outputs): (&[Topic], &[Topic]) = (&[Topic::Behavior], &[Topic::Scores]);
        Topology { service: "count-page-views", inputs, outputs, state: Topic::ScoringState }
    }

    /// One record. An error takes back all that it did, and sends the record to `dead-letters`.
    fn apply(&self, context: &mut Context<'_, Visit>, input: &Input<'_>) -> Result<(), Poison> {
        let visitor = input.key_str()?;
        let record: v1::BehaviorRecord = input.decode()?;
        let Some(v1::behavior_record::Event::PageViewed(_)) = record.event else { return Ok(()) };
        let seen = Head::read(record.meta.as_ref())?.occurred_at;
        let visit = context.state(visitor);
        visit.pages += 1;
        // Records may be late: the latest counts, whatever the order of arrival.
        visit.last_seen_ms = visit.last_seen_ms.max(seen.as_millis());
        // Becomes tasuki_count_page_views_pages_total once the transaction is committed.
        context.count("pages", "seen");
        Ok(())
    }

    /// The deadline has passed. It must move on or go, or it would fire for ever.
    fn deadline(&self, context: &mut Context<'_, Visit>, due: &Due<'_>) {
        let Visit { pages, .. } = std::mem::take(context.state(due.key));
        context.emit_bytes(Topic::Scores, due.key, format!("{pages} pages until {}", due.due_at).into_bytes());
    }
}

/// How it is run: a log, a clock, a way to stop. `tasuki` does the same for every service.
#[cfg(not(test))]
#[allow(clippy::print_stdout, reason = "what the example shows")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::sync::Arc;
    use std::time::Duration;

    use tasuki_kafka::{KafkaLog, Settings};
    use tasuki_service::{Clock, Health, Shutdown, SystemClock};
    use tasuki_stream::log::{Position, Publisher, Reader};

    let servers = std::env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap_or_else(|_| "127.0.0.1:9092".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let log = runtime.block_on(KafkaLog::open(Settings::new(servers, "count-page-views.")))?;
    // An hour ago, so that all of them are over.
    let at = SystemClock.now() - Millis::from_hours(1);
    let views = ["anna", "anna", "ben"].map(|visitor| viewed(visitor, at)).to_vec();
    runtime.block_on(log.publisher()?.publish(views))?;

    let (shutdown, health) = (Shutdown::new(), Health::default());
    let (theirs, component, partitions) = (shutdown.clone(), health.component("example"), log.partitions());
    let mut reader = log.reader()?;
    let worker =
        std::thread::spawn(move || log.run_worker(&Arc::new(CountPageViews), 0, &SystemClock, &component, &theirs));
    let starts = partitions.all().map(|partition| Position { topic: Topic::Scores, partition, offset: 0 });
    runtime.block_on(reader.seek(&starts.collect::<Vec<_>>()))?;
    for _ in 0..2 {
        for record in runtime.block_on(reader.poll(Duration::from_secs(10)))? {
            println!("{}: {}", String::from_utf8_lossy(&record.key), String::from_utf8_lossy(&record.payload));
        }
    }
    shutdown.cancel();
    worker.join().map_err(|_| "the worker panicked")??;
    Ok(())
}

/// One input.
pub(crate) fn viewed(visitor: &str, at: Timestamp) -> tasuki_stream::Emitted {
    let id = tasuki_domain::EventId::reported("example", &format!("{visitor} {}", at.as_millis()));
    let meta = v1::Meta {
        event_id: id.as_bytes().to_vec(),
        occurred_at_ms: at.as_millis(),
        received_at_ms: at.as_millis(),
        ..v1::Meta::default()
    };
    let event = Some(v1::behavior_record::Event::PageViewed(v1::PageViewed::default()));
    let record = v1::BehaviorRecord { meta: Some(meta), event, ..v1::BehaviorRecord::default() };
    tasuki_stream::Emitted { topic: Topic::Behavior, key: visitor.to_owned(), payload: record.encode_to_vec() }
}

/// Without a broker, on the log in memory, where the clock stands until it is moved.
#[cfg(test)]
mod tests {
    use super::*;
    use tasuki_stream::memory::Pipeline;
    use tasuki_wire::PartitionCount;

    #[test]
    fn a_visit_is_told_once_when_it_is_over() {
        let begun = Timestamp::from_millis(1_795_424_400_000);
        let mut pipeline = Pipeline::new(PartitionCount::DEFAULT, begun).with(CountPageViews);
        pipeline.publish(viewed("anna", begun));
        pipeline.advance_to(begun + Millis::from_seconds(20 * 60));
        pipeline.publish(viewed("anna", begun + Millis::from_seconds(20 * 60)));
        pipeline.advance_to(begun + Millis::from_seconds(49 * 60));
        assert_eq!(pipeline.records(Topic::Scores).count(), 0);
        pipeline.advance_to(begun + Millis::from_hours(9));
        let said: Vec<_> = pipeline.records(Topic::Scores).map(|record| record.payload.as_slice()).collect();
        assert_eq!(said, [b"2 pages until 2026-11-23T09:50:00.000Z"]);
        assert_eq!(pipeline.states("count-page-views").len(), 0, "nothing is left to remember");
    }
}
