//! A stream of events over many leads through a [`Task`], as a worker on Kafka does it without the log: apply, take what
//! was emitted, and at the end of each transaction take the changes and commit. Beside it a processor that copies
//! records and state of the same size, so that what scoring itself costs can be told from what the task costs.

#[path = "../tests/common/mod.rs"]
mod common;

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{DAY, profile, typical_visit};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use tasuki_domain::{EventId, LeadId, Timestamp, Version};
use tasuki_playbook::Playbook;
use tasuki_scoring::Scoring;
use tasuki_stream::{Context, Due, Input, Poison, Processor, State, StateError, Task, Topology};
use tasuki_wire::v1::activity_record::Event as Activity;
use tasuki_wire::{Head, Partition, Topic, v1};
use uuid::Uuid;

/// Records in a transaction.
const TRANSACTION: usize = 500;

/// The default playbook with more rules on page views, so that there are so many in all.
fn playbook(rules: usize) -> Arc<Playbook> {
    let known = Playbook::built_in().rules().len();
    let mut text = Playbook::DEFAULT.to_owned();
    for number in known..rules {
        write!(
            text,
            "\n[[engagement.rules]]\nname = \"page-{number}\"\nevent = \"PageViewed\"\npath = [\"/page-{number}*\"]\n\
             points = 1\nhalf_life = \"14d\"\n"
        )
        .expect("a text takes everything");
    }
    Arc::new(Playbook::parse(&text).expect("a playbook"))
}

#[derive(Clone)]
struct Record {
    key: String,
    payload: Vec<u8>,
}

/// The records of one lead, in their order.
struct History {
    lead: LeadId,
    records: Vec<Record>,
}

impl History {
    fn add(&mut self, event: Activity, received_at: i64) {
        let version = u64::try_from(self.records.len()).expect("a small number") + 1;
        let head = Head {
            event_id: EventId::new(Uuid::from_u128(self.lead.uuid().as_u128() ^ u128::from(version) << 64)),
            occurred_at: Timestamp::from_millis(received_at),
            received_at: Timestamp::from_millis(received_at),
            cause: Some(EventId::new(Uuid::from_u128(1))),
            lead: Some(self.lead),
            version: Version::new(version),
        };
        let payload = v1::ActivityRecord { meta: Some(head.to_meta()), identities_version: 0, event: Some(event) }
            .encode_to_vec();
        self.records.push(Record { key: self.lead.to_string(), payload });
    }

    fn profile(&mut self, title: &str, received_at: i64) {
        let attributes = [
            ("name", "Hanako Yamada"),
            ("title", title),
            ("company", "Acme Corporation"),
            ("industry", "Computer Software"),
            ("employees", "250"),
            ("country", "JP"),
        ];
        let profile = Some(profile("hanako.yamada@acme.example", &attributes));
        self.add(Activity::ProfileChanged(v1::ProfileChanged { profile }), received_at);
    }

    /// The n-th visit, with what trackers send around it.
    fn visit(&mut self, number: usize) {
        let mut did = typical_visit(number);
        did.id ^= self.lead.uuid().as_u128();
        let late = if number % 13 == 5 { DAY } else { 0 };
        did.occurred_at -= late;
        let mut behavior = did.record();
        if let Some(around) = &mut behavior.circumstances {
            around.url = format!("https://www.vendor.example{}?utm_source=newsletter", did.path);
            around.host = "www.vendor.example".into();
            around.referrer = "https://www.search.example/".into();
            around.title = "Products and prices".into();
            around.user_agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)".into();
            around.locale = "ja-JP".into();
            around.time_zone = "Asia/Tokyo".into();
        }
        behavior.identifiers = Some(v1::Identifiers {
            anonymous_id: "0d7a5a3e-6f0b-4b5a-9a55-6d2f1c0f4f7d".into(),
            email: "hanako.yamada@acme.example".into(),
            ..v1::Identifiers::default()
        });
        behavior.properties_json = r#"{"width":1440,"height":900,"first":false}"#.into();
        behavior.payload_hash = vec![7; 16];
        let attributed = v1::BehaviorAttributed { behavior: Some(behavior), via: "anonymous".into(), unscored: false };
        self.add(Activity::Attributed(attributed), did.received_at);
    }
}

/// What is there, and what comes.
struct Stream {
    before: Vec<Record>,
    events: Vec<Record>,
}

/// Leads of so many signals; then events over all of them in turn: mostly visits, some late, a few retractions, changes
/// of the profile and repetitions.
fn stream(leads: usize, signals: std::ops::Range<usize>) -> Stream {
    let (mut before, mut events) = (Vec::new(), Vec::new());
    let mut histories: Vec<_> = (0..leads)
        .map(|number| {
            let id = u128::try_from(number + 1).expect("a small number");
            let lead = LeadId::new(Uuid::from_u128(id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
            let mut history = History { lead, records: Vec::new() };
            history.profile("VP Sales", common::START);
            let signals = signals.start + number % signals.len();
            (0..signals).for_each(|number| history.visit(number));
            before.append(&mut history.records.clone());
            (history, signals)
        })
        .collect();
    for round in 0..3 {
        for (number, (history, signals)) in histories.iter_mut().enumerate() {
            match (number + 7 * round) % 20 {
                3 => {
                    let did = typical_visit(*signals - 1);
                    let behavior_id = Uuid::from_u128(did.id ^ history.lead.uuid().as_u128()).as_bytes().to_vec();
                    history.add(Activity::Retracted(v1::BehaviorRetracted { behavior_id }), did.received_at);
                }
                8 => history.profile("CEO", common::START + 10 * DAY),
                13 => events.push(history.records.last().expect("there is one").clone()),
                _ => {
                    history.visit(*signals);
                    *signals += 1;
                }
            }
            events.push(history.records.last().expect("there is one").clone());
        }
    }
    Stream { before, events }
}

fn input(record: &Record) -> Input<'_> {
    Input {
        topic: Topic::Activity,
        partition: Partition::new(0),
        offset: 0,
        key: record.key.as_bytes(),
        payload: &record.payload,
    }
}

/// Everything a worker does but the log; says how many bytes went out.
fn run<P: Processor>(task: &mut Task<P>, records: &[Record]) -> [usize; 2] {
    let mut bytes = [0, 0];
    for transaction in records.chunks(TRANSACTION) {
        for record in transaction {
            task.apply(&input(record)).expect("it is applied");
            for emitted in black_box(task.take_emitted()) {
                bytes[0] += emitted.payload.len();
            }
        }
        let changes = black_box(task.changes());
        bytes[1] += changes.iter().filter_map(|change| change.value.as_ref()).map(|bytes| bytes.len()).sum::<usize>();
        task.take_counted();
        task.committed(changes);
    }
    bytes
}

/// Writes a record and a state of the sizes of scoring's, and does nothing else.
struct Copying;

#[derive(Default)]
struct CopiedState(Vec<u8>);

impl State for CopiedState {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Self(bytes.to_vec()))
    }
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0);
    }
}

impl Processor for Copying {
    type State = CopiedState;
    fn topology(&self) -> Topology {
        Topology {
            service: "copying",
            inputs: &[Topic::Activity],
            outputs: &[Topic::Scores],
            state: Topic::ScoringState,
        }
    }
    fn apply(&self, context: &mut Context<'_, CopiedState>, input: &Input<'_>) -> Result<(), Poison> {
        let key = input.key_str()?;
        let state = context.state(key);
        state.0.resize(700, 0);
        state.0[0] = state.0[0].wrapping_add(1);
        context.emit_bytes(Topic::Scores, key, vec![1; 2_600]);
        Ok(())
    }
    fn deadline(&self, _: &mut Context<'_, CopiedState>, _: &Due<'_>) {}
}

fn measure<P: Processor>(criterion: &mut Criterion, name: &str, processor: Arc<P>, stream: &Stream) {
    let mut task = Task::<P>::new(Arc::clone(&processor));
    run(&mut task, &stream.before);
    let mut keys: Vec<_> = stream.before.iter().map(|record| record.key.as_str()).collect();
    keys.dedup();
    let states: Vec<_> = keys
        .into_iter()
        .map(|key| (key, tasuki_stream::Lookup::get(task.store(), key).expect("it has a state").to_vec()))
        .collect();
    let bytes = run(&mut task, &stream.events).map(|bytes| bytes / stream.events.len());
    let kept = states.iter().map(|(_, state)| state.len()).sum::<usize>() / states.len();
    eprintln!(
        "{name}: of each event, {} bytes of records and {} of state; a state of {kept} bytes",
        bytes[0], bytes[1]
    );
    let mut least = Duration::MAX;
    let mut group = criterion.benchmark_group("stream");
    group.throughput(Throughput::Elements(u64::try_from(stream.events.len()).expect("a small number")));
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        bencher.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let mut task = Task::<P>::new(Arc::clone(&processor));
                for (key, state) in &states {
                    task.restore(key, Some(state)).expect("a state");
                }
                let started = Instant::now();
                run(&mut task, &stream.events);
                least = least.min(started.elapsed());
                took += started.elapsed();
            }
            took
        });
    });
    let events = u32::try_from(stream.events.len()).expect("a small number");
    eprintln!("{name}: {:?} for each event in the fastest round", least / events);
}

fn streams(criterion: &mut Criterion) {
    let usual = stream(400, 10..40);
    measure(criterion, "copying", Arc::new(Copying), &usual);
    for rules in [14, 50] {
        let scoring = Arc::new(Scoring::new(playbook(rules)));
        measure(criterion, &format!("10-40 signals, {rules} rules"), scoring, &usual);
    }
    let scoring = Arc::new(Scoring::new(playbook(14)));
    measure(criterion, "490-500 signals, 14 rules", scoring, &stream(40, 490..500));
}

criterion_group!(benches, streams);
criterion_main!(benches);
