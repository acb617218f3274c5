//! Runs one processor on all partitions: reads its inputs, lets it work, and hands what it did to the writer as one
//! transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::Row;
use tasuki_domain::Timestamp;
use tasuki_service::{Clock, Component, Shutdown};
use tasuki_stream::{Change, Processor, StateError, Task, Topology};
use tasuki_wire::{Partition, Topic};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::batch::Transaction;
use crate::log::Shared;
use crate::portion::{Lane, Page, Portion};
use crate::reader::{self, read};
use crate::writer::{Generation, Job, Outcome};
use crate::{metrics, schema};

/// How much of each input of each partition goes into one transaction.
const PAGE: reader::Page = reader::Page { records: 250, bytes: 256 * 1024 };
/// How often the clock is looked at while a deadline lies ahead: clocks may be set.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After so long without an answer a commit is worth a word to operators.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a stop waits for the transaction under way; given up, it is done again after the next start.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How often gauges are set.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Why a processor runs no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log was closed, or another process has taken it.
    #[error("the log is closed")]
    Closed,
    /// The same processor was started again on this log.
    #[error("another worker of {0} has begun")]
    Replaced(&'static str),
    /// What it remembers cannot be read: written by a later release, or damaged.
    #[error("a state of {service} on partition {partition} cannot be read")]
    State {
        /// Whose.
        service: &'static str,
        /// Where.
        partition: Partition,
        /// What is wrong with it.
        source: StateError,
    },
}

pub(crate) struct Worker<P: Processor> {
    shared: Arc<Shared>,
    processor: Arc<P>,
    topology: Topology,
    component: Component,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
}

/// The shutdown came first.
struct Stopped;

impl<P: Processor> Worker<P> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        processor: P,
        component: Component,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> Self {
        let topology = processor.topology();
        Self { shared, processor: Arc::new(processor), topology, component, clock, shutdown }
    }

    pub(crate) async fn run(self) -> Result<(), RunError> {
        let result = self.work().await;
        self.component.waiting(match &result {
            Ok(()) => "stopped".to_owned(),
            Err(error) => error.to_string(),
        });
        result
    }

    async fn work(&self) -> Result<(), RunError> {
        let generation = self.begin().await?;
        let mut lanes = loop {
            match self.restore().await? {
                Ok(lanes) => break lanes,
                Err(error) => {
                    tracing::warn!(%error, service = self.topology.service, "cannot read the state, trying again");
                    self.component.waiting("the database does not answer");
                    if self.pause(PATIENCE).await.is_err() {
                        return Ok(());
                    }
                }
            }
        };
        self.component.ready();
        let mut changed = self.shared.tails.watch();
        let mut gauges = Instant::now();
        self.gauges(&lanes);
        while !self.shutdown.is_cancelled() {
            changed.mark_unchanged();
            let now = self.clock.now();
            let pages = match self.read(&mut lanes).await {
                Ok(pages) => pages,
                Err(error) => {
                    tracing::warn!(%error, service = self.topology.service, "cannot read the log, trying again");
                    self.component.waiting("the database does not answer");
                    if self.pause(PATIENCE).await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
            };
            let portions = self.apply(&mut lanes, &pages, now).await;
            self.report(&lanes);
            if portions.is_empty() {
                let due = lanes.iter().filter_map(Lane::next_deadline).min();
                self.wait(due, &mut changed, now).await?;
            } else if self.commit(&mut lanes, &pages, portions, generation).await?.is_err() {
                return Ok(());
            }
            if gauges.elapsed() >= GAUGES_EVERY {
                gauges = Instant::now();
                self.gauges(&lanes);
            }
        }
        Ok(())
    }

    /// From here on this worker is the one of its service.
    async fn begin(&self) -> Result<Generation, RunError> {
        let (reply, begun) = oneshot::channel();
        let job = Job::Begin { service: self.topology.service, reply };
        self.shared.jobs.send(job).await.map_err(|_| RunError::Closed)?;
        begun.await.map_err(|_| RunError::Closed)
    }

    /// Reads state and positions as they were last committed.
    async fn restore(&self) -> Result<Result<Vec<Lane<P>>, sqlx::Error>, RunError> {
        let mut lanes: Vec<_> = self
            .shared
            .tails
            .partitions()
            .all()
            .map(|partition| Lane {
                partition,
                task: Task::new(Arc::clone(&self.processor)),
                positions: vec![0; self.topology.inputs.len()],
                stuck: None,
            })
            .collect();
        match self.restore_positions(&mut lanes).await {
            Ok(()) => {}
            Err(error) => return Ok(Err(error)),
        }
        let mut rows = sqlx::query("SELECT partition, key, value FROM tasuki_log.states WHERE topic = $1")
            .bind(self.shared.topics.id(self.topology.state))
            .fetch(&self.shared.pool);
        let mut restored = 0_u64;
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            };
            let state = || Ok((schema::partition(row.try_get(0)?)?, row.try_get(1)?, row.try_get(2)?));
            let (partition, key, value): (Partition, &[u8], &[u8]) = match state() {
                Ok(state) => state,
                Err(error) => return Ok(Err(error)),
            };
            let unreadable = |source| RunError::State { service: self.topology.service, partition, source };
            let key = std::str::from_utf8(key).map_err(|error| unreadable(StateError(error.to_string())))?;
            if let Some(lane) = lanes.get_mut(usize::from(partition.get())) {
                lane.task.restore(key, Some(value)).map_err(unreadable)?;
            }
            restored += 1;
            if restored.is_multiple_of(50_000) {
                self.component.waiting(format!("reading its state: {restored} keys so far"));
            }
        }
        tracing::info!(service = self.topology.service, keys = restored, "state restored");
        Ok(Ok(lanes))
    }

    async fn restore_positions(&self, lanes: &mut [Lane<P>]) -> Result<(), sqlx::Error> {
        let ids: HashMap<i16, usize> =
            self.topology.inputs.iter().enumerate().map(|(n, topic)| (self.shared.topics.id(*topic), n)).collect();
        let rows = sqlx::query("SELECT topic, partition, next_offset FROM tasuki_log.positions WHERE service = $1")
            .bind(self.topology.service)
            .fetch_all(&self.shared.pool)
            .await?;
        for row in rows {
            let partition = schema::partition(row.try_get(1)?)?;
            let input = ids.get(&row.try_get(0)?);
            if let (Some(&input), Some(lane)) = (input, lanes.get_mut(usize::from(partition.get()))) {
                lane.positions[input] = row.try_get(2)?;
            }
        }
        Ok(())
    }

    /// The next records of every input, partition by partition.
    async fn read(&self, lanes: &mut [Lane<P>]) -> Result<Vec<Vec<Page>>, sqlx::Error> {
        let mut pages = Vec::with_capacity(lanes.len());
        for lane in lanes.iter_mut() {
            let mut of_lane = Vec::with_capacity(self.topology.inputs.len());
            for (&topic, &from) in self.topology.inputs.iter().zip(&lane.positions) {
                let (records, next) = read(&self.shared, topic, lane.partition, from, PAGE).await?;
                of_lane.push(Page { records, next });
            }
            pages.push(of_lane);
        }
        Ok(pages)
    }

    /// Lets the processor work where there is something to do; says where that was.
    async fn apply(&self, lanes: &mut [Lane<P>], pages: &[Vec<Page>], now: Timestamp) -> Vec<(usize, Portion)> {
        let mut portions = Vec::new();
        for (number, (lane, pages)) in lanes.iter_mut().zip(pages).enumerate() {
            let due = lane.next_deadline().is_some_and(|due| due <= now);
            let moves = pages.iter().zip(&lane.positions).any(|(page, &position)| page.next != position);
            if due || moves || lane.is_behind() {
                let portion = lane.work(self.topology.inputs, pages, now).await;
                if portion.read || portion.fired > 0 {
                    portions.push((number, portion));
                }
            }
        }
        portions
    }

    /// Writes what was done, and takes it in once it is durable.
    async fn commit(
        &self,
        lanes: &mut [Lane<P>],
        pages: &[Vec<Page>],
        mut portions: Vec<(usize, Portion)>,
        generation: Generation,
    ) -> Result<Result<(), Stopped>, RunError> {
        let transaction = Box::new(self.transaction(lanes, pages, &mut portions));
        let (reply, outcome) = oneshot::channel();
        let job = Job::Transact { transaction, generation, reply };
        self.shared.jobs.send(job).await.map_err(|_| RunError::Closed)?;
        match self.outcome(outcome).await? {
            Err(Stopped) => return Ok(Err(Stopped)),
            Ok(Outcome::Replaced) => return Err(RunError::Replaced(self.topology.service)),
            Ok(Outcome::Committed) => {}
        }
        let service = self.topology.service;
        for (number, portion) in portions {
            let lane = &mut lanes[number];
            lane.task.committed(portion.changes);
            if portion.read {
                lane.positions = pages[number].iter().map(|page| page.next).collect();
            }
            metrics::applied(service, portion.applied, portion.fired, portion.revised);
            portion.counted.into_iter().for_each(|count| metrics::counted(service, count));
            for code in portion.refused {
                metrics::dead_letter(service, code);
                tracing::warn!(service, code, kafka.partition = %lane.partition, "a record went to dead-letters");
            }
        }
        Ok(Ok(()))
    }

    fn transaction(&self, lanes: &[Lane<P>], pages: &[Vec<Page>], portions: &mut [(usize, Portion)]) -> Transaction {
        let (mut outputs, mut changes, mut positions) = (Vec::new(), Vec::<(Partition, Change)>::new(), Vec::new());
        for (number, portion) in portions {
            let lane = &lanes[*number];
            outputs.append(&mut portion.emitted);
            changes.extend(portion.changes.iter().map(|change| (lane.partition, change.clone())));
            if portion.read {
                let moved = self.topology.inputs.iter().zip(&pages[*number]).zip(&lane.positions);
                positions.extend(
                    moved
                        .filter(|((_, page), position)| page.next != **position)
                        .map(|((&topic, page), _)| (topic, lane.partition, page.next)),
                );
            }
        }
        Transaction { service: self.topology.service, state: self.topology.state, outputs, changes, positions }
    }

    /// Waits for a commit, and says so if it takes long.
    async fn outcome(&self, mut outcome: oneshot::Receiver<Outcome>) -> Result<Result<Outcome, Stopped>, RunError> {
        if let Ok(outcome) = timeout(PATIENCE, &mut outcome).await {
            return outcome.map(Ok).map_err(|_| RunError::Closed);
        }
        self.component.waiting("the log does not commit");
        let stopped = async {
            self.shutdown.cancelled().await;
            sleep(STOP_WITHIN).await;
        };
        tokio::select! {
            outcome = &mut outcome => {
                self.component.ready();
                outcome.map(Ok).map_err(|_| RunError::Closed)
            }
            () = stopped => Ok(Err(Stopped)),
        }
    }

    /// Returns when there may be something to do.
    async fn wait(
        &self,
        due: Option<Timestamp>,
        changed: &mut watch::Receiver<u64>,
        now: Timestamp,
    ) -> Result<(), RunError> {
        let look = async {
            match due {
                Some(due) => {
                    let ahead = u64::try_from(due.since(now).get()).unwrap_or(0).max(1);
                    sleep(Duration::from_millis(ahead).min(LOOK_EVERY)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = changed.changed() => Ok(()),
            () = look => Ok(()),
            () = self.shutdown.cancelled() => Ok(()),
            () = self.shared.jobs.closed() => Err(RunError::Closed),
        }
    }

    async fn pause(&self, length: Duration) -> Result<(), Stopped> {
        tokio::select! {
            () = sleep(length) => Ok(()),
            () = self.shutdown.cancelled() => Err(Stopped),
        }
    }

    /// A deadline that cannot be fired is a defect of ours: someone must know, while all else goes on.
    fn report(&self, lanes: &[Lane<P>]) {
        let stuck = lanes.iter().find_map(|lane| lane.stuck.as_ref().map(|poison| (lane.partition, poison)));
        if let Some((partition, poison)) = stuck {
            self.component.waiting(format!("deadlines of partition {partition} do not fire: {poison}"));
        } else {
            self.component.ready();
        }
    }

    fn gauges(&self, lanes: &[Lane<P>]) {
        let keys = lanes.iter().map(|lane| tasuki_stream::StateStore::len(lane.task.store())).sum();
        let bytes = lanes.iter().map(|lane| tasuki_stream::StateStore::bytes(lane.task.store())).sum();
        let behind = |lane: &Lane<P>, topic: Topic, position: i64| {
            u64::try_from(self.shared.tails.end(topic, lane.partition) - position).unwrap_or(0)
        };
        let lag = lanes
            .iter()
            .flat_map(|lane| {
                self.topology.inputs.iter().zip(&lane.positions).map(move |(topic, at)| (lane, *topic, *at))
            })
            .map(|(lane, topic, at)| behind(lane, topic, at))
            .sum();
        metrics::kept(self.topology.service, keys, bytes, lag);
    }
}
