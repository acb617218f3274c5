//! The control of `scoring-vs-copy`: a processor that writes what scoring would write, without working it out.
//!
//! It runs through the same [`KafkaLog::run_worker`] with the same settings, reads the same topic and writes as many
//! records of the same size to the same topics. What it writes is taken from what scoring really writes: for each of the
//! 256 patterns that leads follow, one lead is scored beforehand, and its outputs and states, by version, are the
//! templates for all leads of the pattern. So sizes are the same record by record, and compress alike.

use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, anyhow};
use tasuki_kafka::KafkaLog;
use tasuki_playbook::Playbook;
use tasuki_scoring::Scoring;
use tasuki_service::{Health, Shutdown, SystemClock, telemetry};
use tasuki_stream::{Context, Due, Input, Poison, Processor, State, StateError, Task, Topology};
use tasuki_wire::{Partition, Topic};

use super::cluster;
use super::load::{Load, PATTERNS, pattern_of};

/// Its name: consumer group, transactional id.
pub(super) const SERVICE: &str = "copy";

/// What scoring wrote for the things that one lead did, in their order.
type Story = Vec<Written>;

/// What scoring wrote for one thing.
#[derive(Debug, Default)]
struct Written {
    outputs: Vec<Vec<u8>>,
    state: Vec<u8>,
}

/// By pattern. Static, because a state is encoded by itself.
static TEMPLATES: OnceLock<Vec<Story>> = OnceLock::new();

/// What the process is started with.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(super) servers: String,
    pub(super) prefix: String,
    pub(super) start_ms: i64,
    pub(super) versions: u64,
}

impl FromStr for Start {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let words: Vec<_> = text.split(' ').collect();
        let [servers, prefix, start_ms, versions] = words.as_slice() else { return Err(anyhow!("four words: {text}")) };
        Ok(Self {
            servers: (*servers).to_owned(),
            prefix: (*prefix).to_owned(),
            start_ms: start_ms.parse()?,
            versions: versions.parse()?,
        })
    }
}

impl Start {
    /// As one argument.
    pub(super) fn argument(&self) -> String {
        format!("{} {} {} {}", self.servers, self.prefix, self.start_ms, self.versions)
    }
}

/// Runs the control until it is killed.
pub(crate) fn run(start: &Start) -> anyhow::Result<()> {
    let stories = stories(Load { leads: PATTERNS, start_ms: start.start_ms }, start.versions)?;
    TEMPLATES.set(stories).map_err(|_| anyhow!("templates are made once"))?;
    // As in `tasuki scoring`: counters are kept, though nobody reads them.
    let _metrics = telemetry::start_metrics()?;
    telemetry::start_logging(telemetry::LogFormat::Text, "info,rdkafka=off,librdkafka=off")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let log = runtime
        .block_on(KafkaLog::open(cluster::settings(&start.servers, &start.prefix)))
        .map_err(|error| anyhow!(error.failure()))?;
    let component = Health::default().component(SERVICE);
    Ok(log.run_worker(&Arc::new(Copy), 0, &SystemClock, &component, &Shutdown::new())?)
}

/// Scores one lead of each pattern.
fn stories(load: Load, versions: u64) -> anyhow::Result<Vec<Story>> {
    let processor = Arc::new(Scoring::new(Arc::new(Playbook::built_in())));
    let story = |lead: u64| {
        let mut task: Task<Scoring> = Task::new(Arc::clone(&processor));
        let write = |version: u64| {
            let made = load.record_of(lead, version, lead * versions + version);
            let (key, payload) = (made.key.as_bytes(), made.payload.as_slice());
            let offset = i64::try_from(version)?;
            let input = Input { topic: Topic::Activity, partition: Partition::new(0), offset, key, payload };
            task.apply(&input)
                .map_err(|rejected| anyhow!(rejected.poison))
                .context("scoring refuses a record of ours")?;
            let outputs = task.take_emitted().into_iter().map(|emitted| emitted.payload).collect();
            let changes = task.changes();
            let state = changes.first().and_then(|change| change.value.as_deref()).unwrap_or_default().to_vec();
            task.committed(changes);
            Ok(Written { outputs, state })
        };
        (1..=versions).map(write).collect::<anyhow::Result<Story>>()
    };
    (0..PATTERNS).map(story).collect()
}

/// Bytes that scoring writes for so many records from the beginning of an input: outputs, states.
pub(super) fn expected_bytes(load: Load, records: u64) -> anyhow::Result<(u64, u64)> {
    let stories = stories(Load { leads: PATTERNS, ..load }, records.div_ceil(load.leads))?;
    let (mut outputs, mut states) = (0, 0);
    for number in 0..records {
        let (lead, version) = load.place(number);
        let Some(written) = written(&stories, lead % PATTERNS, version) else { continue };
        outputs += written.outputs.iter().map(|output| u64::try_from(output.len()).unwrap_or_default()).sum::<u64>();
        states += u64::try_from(written.state.len())?;
    }
    Ok((outputs, states))
}

fn written(stories: &[Story], pattern: u64, version: u64) -> Option<&Written> {
    let story = stories.get(usize::try_from(pattern).ok()?)?;
    story.get(usize::try_from(version.checked_sub(1)?).ok()?).or(story.last())
}

/// Writes what scoring would write.
struct Copy;

/// How many records of the lead were seen, and which pattern it follows.
#[derive(Debug, Default)]
struct Copied {
    seen: u64,
    pattern: u8,
}

impl State for Copied {
    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let (seen, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| StateError("too short".to_owned()))?;
        let pattern = rest.first().copied().unwrap_or_default();
        Ok(Self { seen: u64::from(u32::from_le_bytes(*seen)), pattern })
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let seen = u32::try_from(self.seen).unwrap_or(u32::MAX);
        into.extend_from_slice(&seen.to_le_bytes());
        into.push(self.pattern);
        let template = TEMPLATES.get().and_then(|stories| written(stories, u64::from(self.pattern), self.seen));
        into.extend_from_slice(template.and_then(|written| written.state.get(5..)).unwrap_or_default());
    }
}

impl Processor for Copy {
    type State = Copied;

    fn topology(&self) -> Topology {
        Topology { service: SERVICE, inputs: &[Topic::Activity], outputs: &[Topic::Scores], state: Topic::ScoringState }
    }

    fn apply(&self, context: &mut Context<'_, Copied>, input: &Input<'_>) -> Result<(), Poison> {
        let key = input.key_str()?;
        let pattern = pattern_of(key).ok_or_else(|| Poison::new("wrong-key", "not the id of a lead of ours"))?;
        let state = context.state(key);
        state.seen += 1;
        state.pattern = u8::try_from(pattern).unwrap_or_default();
        let seen = state.seen;
        if let Some(written) = TEMPLATES.get().and_then(|stories| written(stories, pattern, seen)) {
            for output in &written.outputs {
                context.emit_bytes(Topic::Scores, key, output.clone());
            }
        }
        Ok(())
    }

    fn deadline(&self, _context: &mut Context<'_, Copied>, _due: &Due<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasuki_stream::memory::Pipeline;
    use tasuki_stream::{Emitted, Processor as P};
    use tasuki_wire::PartitionCount;

    const LEADS: u64 = 512;

    /// Sizes of outputs and of the last states, by key.
    fn sizes(processor: impl P, load: Load, records: u64) -> (Vec<usize>, Vec<(String, usize)>) {
        let service = processor.topology().service;
        let now = tasuki_domain::Timestamp::from_millis(load.start_ms);
        let mut pipeline = Pipeline::new(PartitionCount::new(1).unwrap(), now).with(processor);
        for number in 0..records {
            let made = load.record(number);
            pipeline.publish(Emitted { topic: Topic::Activity, key: made.key, payload: made.payload });
        }
        pipeline.run();
        let outputs = pipeline.records(Topic::Scores).map(|record| record.payload.len()).collect();
        let states = pipeline.states(service).into_iter().map(|(key, state)| (key, state.len())).collect();
        (outputs, states)
    }

    #[test]
    fn the_copy_writes_as_many_bytes_as_scoring_record_by_record() {
        let load = Load { leads: LEADS, start_ms: 1_790_000_000_000 };
        let records = LEADS * 12;
        TEMPLATES.set(stories(Load { leads: PATTERNS, ..load }, 12).unwrap()).unwrap();
        let scoring = sizes(Scoring::new(Arc::new(Playbook::built_in())), load, records);
        let copy = sizes(Copy, load, records);
        assert_eq!(scoring.0.len(), copy.0.len());
        assert!(scoring.0.len() > 5_000, "{}", scoring.0.len());
        assert_eq!(scoring.0, copy.0);
        assert_eq!(scoring.1, copy.1);
        let outputs: usize = scoring.0.iter().sum();
        assert_eq!(expected_bytes(load, records).unwrap().0, u64::try_from(outputs).unwrap());
    }
}
