//! A log in memory with every processor on it: for tests, deterministic to the last step.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tasuki_domain::Timestamp;
use tasuki_wire::{Partition, PartitionCount, Topic};

use crate::{Emitted, Input, Poison, Processor, Task, Topology, dead_letter};

/// How many states of a partition are revised in one step: few, so that tests see the steps between.
const REVISED: usize = 4;

/// One record of the log in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Vec<u8>,
    /// The message.
    pub payload: Vec<u8>,
}

/// A record that a processor refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which service.
    pub service: &'static str,
    /// Which topic.
    pub topic: Topic,
    /// Which partition.
    pub partition: Partition,
    /// Which offset.
    pub offset: i64,
    /// Why.
    pub poison: Poison,
}

/// A pipeline in memory: topics, processors on them, and a clock that stands until it is moved.
#[derive(Debug)]
pub struct Pipeline {
    partitions: PartitionCount,
    log: BTreeMap<(Topic, Partition), Vec<Record>>,
    stages: Vec<Box<dyn Stage>>,
    refused: Vec<Refused>,
    now: Timestamp,
}

impl Pipeline {
    /// A pipeline without processors, its clock at this instant.
    pub fn new(partitions: PartitionCount, now: Timestamp) -> Self {
        Self { partitions, log: BTreeMap::new(), stages: Vec::new(), refused: Vec::new(), now }
    }

    /// Adds a processor.
    #[must_use]
    pub fn with(mut self, processor: impl Processor) -> Self {
        self.stages.push(Box::new(Running::new(processor, self.partitions)));
        self
    }

    /// Writes a record, to the partition of its key.
    pub fn publish(&mut self, record: Emitted) {
        let partition = self.partitions.of_key(record.key.as_bytes());
        let log = self.log.entry((record.topic, partition)).or_default();
        log.push(Record { key: record.key.into_bytes(), payload: record.payload });
    }

    /// Lets every processor work until nothing is left to do at the present instant.
    pub fn run(&mut self) {
        while !self.step() {}
    }

    /// Lets every processor work on what is there now, not on what follows from it. Says whether nothing is left to do.
    pub fn step(&mut self) -> bool {
        let mut emitted = Vec::new();
        for stage in &mut self.stages {
            stage.step(&self.log, self.now, &mut emitted, &mut self.refused);
        }
        let quiet = emitted.is_empty();
        for record in emitted {
            self.publish(record);
        }
        quiet && self.stages.iter().all(|stage| stage.idle(&self.log, self.now))
    }

    /// Every processor begins again from its committed states and positions, as after a crash.
    pub fn restart(&mut self) {
        for stage in &mut self.stages {
            stage.restart();
        }
    }

    /// Moves the clock on, stopping at every deadline on the way, and works.
    pub fn advance_to(&mut self, instant: Timestamp) {
        self.run();
        while let Some(due) = self.stages.iter().filter_map(|stage| stage.next_deadline()).min() {
            if due > instant {
                break;
            }
            self.now = self.now.max(due);
            self.run();
        }
        self.now = self.now.max(instant);
        self.run();
    }

    /// Sets the clock, without work; never back.
    pub fn set_now(&mut self, instant: Timestamp) {
        self.now = self.now.max(instant);
    }

    /// Everything on a topic, partition by partition.
    pub fn records(&self, topic: Topic) -> impl Iterator<Item = &Record> {
        self.log.range((topic, Partition::new(0))..=(topic, Partition::new(u16::MAX))).flat_map(|(_, records)| records)
    }

    /// Every message on a topic, decoded, partition by partition.
    ///
    /// # Panics
    ///
    /// If one cannot be decoded: a processor of the test wrote what it must not.
    pub fn messages<M: prost::Message + Default>(&self, topic: Topic) -> Vec<M> {
        self.records(topic)
            .map(|record| M::decode(record.payload.as_slice()).expect("written by a processor"))
            .collect()
    }

    /// What the processors refused, in order.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The committed states of a service, by key.
    pub fn states(&self, service: &str) -> BTreeMap<String, Vec<u8>> {
        self.stages
            .iter()
            .filter(|stage| stage.topology().service == service)
            .flat_map(|stage| stage.states())
            .collect()
    }
}

/// A processor on every partition, with the types of its state out of sight.
trait Stage: fmt::Debug + Send {
    fn topology(&self) -> Topology;
    fn step(&mut self, log: &Log, now: Timestamp, emitted: &mut Vec<Emitted>, refused: &mut Vec<Refused>);
    fn idle(&self, log: &Log, now: Timestamp) -> bool;
    fn next_deadline(&self) -> Option<Timestamp>;
    fn states(&self) -> BTreeMap<String, Vec<u8>>;
    fn restart(&mut self);
}

type Log = BTreeMap<(Topic, Partition), Vec<Record>>;

struct Running<P: Processor> {
    tasks: Vec<(Partition, Task<P>)>,
    /// The next offset to be read.
    positions: BTreeMap<(Topic, Partition), usize>,
    /// What the state topic holds.
    states: BTreeMap<(Partition, String), Vec<u8>>,
    processor: Arc<P>,
    topology: Topology,
}

impl<P: Processor> Running<P> {
    fn new(processor: P, partitions: PartitionCount) -> Self {
        let processor = Arc::new(processor);
        let topology = processor.topology();
        let tasks = partitions.all().map(|partition| (partition, Task::new(Arc::clone(&processor)))).collect();
        Self { tasks, positions: BTreeMap::new(), states: BTreeMap::new(), processor, topology }
    }
}

impl<P: Processor> Stage for Running<P> {
    fn topology(&self) -> Topology {
        self.topology
    }

    /// One transaction on every partition: deadlines, then all the inputs there are.
    fn step(&mut self, log: &Log, now: Timestamp, emitted: &mut Vec<Emitted>, refused: &mut Vec<Refused>) {
        for (partition, task) in &mut self.tasks {
            task.fire_due(now, usize::MAX).expect("a processor under test moves its deadlines on");
            commit(*partition, task, emitted, &mut self.states);
            for &topic in self.topology.inputs {
                let at = self.positions.entry((topic, *partition)).or_default();
                let Some(records) = log.get(&(topic, *partition)) else { continue };
                for record in &records[*at..] {
                    let offset = i64::try_from(*at).expect("a log in memory is short");
                    let input =
                        Input { topic, partition: *partition, offset, key: &record.key, payload: &record.payload };
                    *at += 1;
                    if let Err(rejected) = task.apply(&input) {
                        assert!(!rejected.overlay_lost, "one commit per record: nothing to lose");
                        let service = self.topology.service;
                        emitted.push(dead_letter(service, &input, &rejected.poison, now));
                        refused.push(Refused {
                            service,
                            topic,
                            partition: *partition,
                            offset,
                            poison: rejected.poison,
                        });
                    }
                    commit(*partition, task, emitted, &mut self.states);
                }
            }
            task.fire_due(now, usize::MAX).expect("a processor under test moves its deadlines on");
            commit(*partition, task, emitted, &mut self.states);
            task.revise(REVISED).expect("a processor under test revises its states");
            commit(*partition, task, emitted, &mut self.states);
        }
    }

    fn idle(&self, log: &Log, now: Timestamp) -> bool {
        let read_all = self.tasks.iter().all(|(partition, _)| {
            self.topology.inputs.iter().all(|&topic| {
                let length = log.get(&(topic, *partition)).map_or(0, Vec::len);
                self.positions.get(&(topic, *partition)).copied().unwrap_or(0) == length
            })
        });
        let revised = self.tasks.iter().all(|(_, task)| !task.is_behind());
        read_all && revised && self.next_deadline().is_none_or(|due| due > now)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.tasks.iter().filter_map(|(_, task)| task.next_deadline()).min()
    }

    fn states(&self) -> BTreeMap<String, Vec<u8>> {
        self.states.iter().map(|((_, key), bytes)| (key.clone(), bytes.clone())).collect()
    }

    fn restart(&mut self) {
        for (partition, task) in &mut self.tasks {
            *task = Task::new(Arc::clone(&self.processor));
            let states = self.states.range((*partition, String::new())..).take_while(|((of, _), _)| of == partition);
            for ((_, key), bytes) in states {
                task.restore(key, Some(bytes)).expect("written by this processor");
            }
        }
    }
}

fn commit<P: Processor>(
    partition: Partition,
    task: &mut Task<P>,
    emitted: &mut Vec<Emitted>,
    states: &mut BTreeMap<(Partition, String), Vec<u8>>,
) {
    emitted.extend(task.take_emitted());
    task.take_counted();
    let changes = task.changes();
    for change in &changes {
        match &change.value {
            Some(bytes) => states.insert((partition, change.key.to_string()), bytes.to_vec()),
            None => states.remove(&(partition, change.key.to_string())),
        };
    }
    task.committed(changes);
}

impl<P: Processor> fmt::Debug for Running<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("service", &self.topology.service).finish_non_exhaustive()
    }
}
