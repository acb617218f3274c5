//! What one partition adds to a transaction: deadlines fired, records applied or refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use tasuki_domain::Timestamp;
use tasuki_stream::{Change, Count, Emitted, Input, Poison, Processor, Task, dead_letter};
use tasuki_wire::{Partition, Topic};

use crate::tail::Stored;

/// How many deadlines of a partition fire in one transaction; its inputs wait until none is due any more.
const DEADLINES: usize = 250;
/// How many states of a partition are revised in one transaction, after its inputs.
const REVISED: usize = 250;
/// After so many records others on the same thread get their turn.
const STRETCH: usize = 64;

/// A partition of a processor.
#[derive(Debug)]
pub(crate) struct Lane<P: Processor> {
    pub(crate) partition: Partition,
    pub(crate) task: Task<P>,
    /// Where to go on in each input, in the order of the topology.
    pub(crate) positions: Vec<i64>,
    /// Why its deadlines and its revisions are left alone until the next start: the processor failed on one, and there is no record that
    /// could be put aside for it.
    pub(crate) stuck: Option<Poison>,
}

/// Records of one input, and where to go on after them.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<Arc<Stored>>,
    pub(crate) next: i64,
}

/// What a partition adds to a transaction.
#[derive(Debug)]
pub(crate) struct Portion {
    pub(crate) emitted: Vec<Emitted>,
    pub(crate) changes: Vec<Change>,
    pub(crate) counted: Vec<Count>,
    /// The codes of the dead letters among what was emitted.
    pub(crate) refused: Vec<&'static str>,
    pub(crate) applied: usize,
    pub(crate) fired: usize,
    pub(crate) revised: usize,
    /// Whether the inputs were read; not if too many deadlines came first.
    pub(crate) read: bool,
}

/// The records refused so far, by input and place among its records.
type Refused = BTreeMap<(usize, usize), Poison>;

/// One attempt has come to its end, or a state can no longer be trusted and all is to be done again without what
/// caused that.
enum Attempt {
    Done { fired: usize, applied: usize, revised: usize, read: bool },
    Again,
}

impl<P: Processor> Lane<P> {
    /// When a deadline is to be fired next, if any is.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        if self.stuck.is_some() { None } else { self.task.next_deadline() }
    }

    /// Whether states are to be revised.
    pub(crate) fn is_behind(&self) -> bool {
        self.stuck.is_none() && self.task.is_behind()
    }

    /// Fires what is due and applies the pages, one for each input, in this order.
    pub(crate) async fn work(&mut self, inputs: &[Topic], pages: &[Page], now: Timestamp) -> Portion {
        let mut refused = Refused::new();
        let (mut deadlines, mut room) = if self.stuck.is_some() { (0, 0) } else { (DEADLINES, REVISED) };
        let (fired, applied, revised, read) = loop {
            match self.attempt(inputs, pages, now, [&mut deadlines, &mut room], &mut refused).await {
                Attempt::Done { fired, applied, revised, read } => break (fired, applied, revised, read),
                Attempt::Again => self.task.abort(),
            }
        };
        let mut emitted = self.task.take_emitted();
        let service = self.task.topology().service;
        for (&(input, index), poison) in &refused {
            let input = self.input(inputs[input], &pages[input].records[index]);
            emitted.push(dead_letter(service, &input, poison, now));
        }
        Portion {
            emitted,
            changes: self.task.changes(),
            counted: self.task.take_counted(),
            refused: refused.values().map(|poison| poison.code).collect(),
            applied,
            fired,
            revised,
            read,
        }
    }

    async fn attempt(
        &mut self,
        inputs: &[Topic],
        pages: &[Page],
        now: Timestamp,
        [deadlines, room]: [&mut usize; 2],
        refused: &mut Refused,
    ) -> Attempt {
        let mut fired = 0;
        while fired < *deadlines {
            match self.task.fire_due(now, 1) {
                Ok(0) => break,
                Ok(_) => fired += 1,
                Err(poison) => {
                    *deadlines = fired;
                    self.stuck = Some(poison);
                    return Attempt::Again;
                }
            }
            breathe(fired).await;
        }
        if self.next_deadline().is_some_and(|due| due <= now) {
            return Attempt::Done { fired, applied: 0, revised: 0, read: false };
        }
        let mut applied = 0;
        for (number, (topic, page)) in inputs.iter().zip(pages).enumerate() {
            for (index, stored) in page.records.iter().enumerate() {
                if refused.contains_key(&(number, index)) {
                    continue;
                }
                let input = self.input(*topic, stored);
                if let Err(rejected) = self.task.apply(&input) {
                    refused.insert((number, index), rejected.poison);
                    if rejected.overlay_lost {
                        return Attempt::Again;
                    }
                    continue;
                }
                applied += 1;
                breathe(applied).await;
            }
        }
        let mut revised = 0;
        while revised < *room {
            match self.task.revise(1) {
                Ok(0) => break,
                Ok(_) => revised += 1,
                Err(poison) => {
                    *room = 0;
                    self.stuck = Some(poison);
                    return Attempt::Again;
                }
            }
            breathe(revised).await;
        }
        Attempt::Done { fired, applied, revised, read: true }
    }

    fn input<'r>(&self, topic: Topic, stored: &'r Stored) -> Input<'r> {
        Input { topic, partition: self.partition, offset: stored.offset, key: &stored.key, payload: &stored.payload }
    }
}

async fn breathe(done: usize) {
    if done.is_multiple_of(STRETCH) {
        tokio::task::yield_now().await;
    }
}
