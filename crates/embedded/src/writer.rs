//! The one writer of the log: it gives the offsets, commits all that waits in one SQL transaction, and finds out what
//! became of a commit that was never answered.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tasuki_service::{Clock, Component, Shutdown};
use tasuki_stream::Emitted;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::batch::{Batch, Ends, Transaction};
use crate::schema::{self, TopicIds};
use crate::session::{Name, Opening, Session};
use crate::tail::Tails;
use crate::{OpenError, metrics};

/// How many jobs, and how many bytes of records, one SQL transaction holds at most (one job more).
const BATCH_JOBS: usize = 1_000;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// A transaction that takes longer is given up as lost, and looked for.
const COMMIT_WITHIN: Duration = Duration::from_secs(60);
/// After how long without work the writer asks the database whether it is still there: a message each way, that often.
const ASK_WHEN_IDLE: Duration = Duration::from_secs(2);
/// A database that says nothing for longer counts as away, though its connection may still stand: a stopped process, a
/// machine without power.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// What the component says then.
const SILENT: &str = "the database does not answer";
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Something for the writer to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write records, and say when they are durable.
    Publish { records: Vec<Emitted>, bytes: usize, reply: oneshot::Sender<()> },
    /// A worker of this service begins: what earlier ones still send is refused from now on. Answered when all they
    /// sent before is committed.
    Begin { service: &'static str, reply: oneshot::Sender<Generation> },
    /// Write what a worker has done.
    Transact { transaction: Box<Transaction>, generation: Generation, reply: oneshot::Sender<Outcome> },
}

/// Which worker of a service, counted since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is durable.
    Committed,
    /// Another worker of this service has begun since; nothing was written.
    Replaced,
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) options: PgConnectOptions,
    /// `None` after a failure.
    pub(crate) session: Option<Session>,
    pub(crate) name: Name,
    pub(crate) topics: TopicIds,
    pub(crate) commits: i64,
    pub(crate) tails: Arc<Tails>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) component: Component,
    pub(crate) generations: HashMap<&'static str, Generation>,
    pub(crate) closing: Shutdown,
}

/// Somebody else writes to this log: nothing that this process thinks it knows can be trusted.
#[derive(Debug)]
struct Usurped;

/// An answer to be given once the batch is durable.
#[derive(Debug)]
enum Reply {
    Published(oneshot::Sender<()>),
    Begun(oneshot::Sender<Generation>, Generation),
    Transacted(oneshot::Sender<Outcome>, Outcome),
}

impl Writer {
    /// Writes until the log is closed. Then what was sent before is still written.
    pub(crate) async fn run(mut self) {
        loop {
            let job = tokio::select! {
                biased;
                job = self.jobs.recv() => job,
                () = self.closing.cancelled(), if !self.jobs.is_closed() => {
                    self.jobs.close();
                    continue;
                }
                () = sleep(ASK_WHEN_IDLE) => {
                    if self.keep_session().await.is_err() {
                        return self.give_up();
                    }
                    continue;
                }
            };
            let Some(first) = job else { break };
            if self.work(first).await.is_err() {
                return self.give_up();
            }
        }
        if let Some(session) = self.session.take()
            && let Err(error) = sqlx::Connection::close(session.connection).await
        {
            tracing::debug!(%error, "the writer's connection did not close in good order");
        }
        self.component.waiting("the log is closed");
    }

    fn give_up(self) {
        tracing::error!("another process writes to this log; this one stops");
        self.tails.set_available(false);
        self.component.waiting("another process writes to this log; stop one of them");
    }

    /// Commits this job and whatever else is waiting.
    async fn work(&mut self, first: Job) -> Result<(), Usurped> {
        let mut batch = Batch::new(self.clock.now());
        let mut ends = Ends::default();
        let mut replies = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            bytes += self.admit(job, &mut batch, &mut ends, &mut replies);
            let full = replies.len() >= BATCH_JOBS || bytes >= BATCH_BYTES;
            next = if full { None } else { self.jobs.try_recv().ok() };
        }
        if !batch.is_empty() {
            self.commit(&batch).await?;
            let records = batch.into_records();
            for (topic, ..) in &records {
                metrics::written(topic.name());
            }
            self.tails.append(records);
        }
        for reply in replies {
            // Who no longer listens has given up waiting; what it sent is written all the same.
            let heard = match reply {
                Reply::Published(reply) => reply.send(()).is_ok(),
                Reply::Begun(reply, generation) => reply.send(generation).is_ok(),
                Reply::Transacted(reply, outcome) => reply.send(outcome).is_ok(),
            };
            if !heard {
                tracing::debug!("nobody waits for the answer of a commit");
            }
        }
        Ok(())
    }

    /// Takes a job into the batch; says how many bytes that is.
    fn admit(&mut self, job: Job, batch: &mut Batch, ends: &mut Ends, replies: &mut Vec<Reply>) -> usize {
        match job {
            Job::Publish { records, bytes, reply } => {
                if reply.is_closed() {
                    // It was told that this failed, and will send it again.
                    metrics::refused("late", records.len());
                    return 0;
                }
                batch.add_records(&self.tails, ends, records);
                replies.push(Reply::Published(reply));
                bytes
            }
            Job::Begin { service, reply } => {
                let generation = self.generations.entry(service).or_default();
                generation.0 += 1;
                replies.push(Reply::Begun(reply, *generation));
                0
            }
            Job::Transact { transaction, generation, reply } => {
                if self.generations.get(transaction.service) != Some(&generation) {
                    replies.push(Reply::Transacted(reply, Outcome::Replaced));
                    return 0;
                }
                let bytes = transaction.outputs.iter().map(|record| record.payload.len()).sum();
                batch.add_transaction(&self.tails, ends, *transaction);
                replies.push(Reply::Transacted(reply, Outcome::Committed));
                bytes
            }
        }
    }

    /// Returns when the batch is durable, however long that takes.
    async fn commit(&mut self, batch: &Batch) -> Result<(), Usurped> {
        let mut failures = 0;
        loop {
            let mut silent = false;
            let commits = self.commits;
            let session = match self.session.as_mut() {
                Some(session) => session,
                None => {
                    // The last attempt failed: did it happen?
                    match self.reconnect().await? {
                        found if found == commits => metrics::failed(metrics::Found::Undone),
                        found if found == commits + 1 => {
                            metrics::failed(metrics::Found::Done);
                            self.commits = found;
                            return Ok(());
                        }
                        _ => return Err(Usurped),
                    }
                    pause(failures).await;
                    continue;
                }
            };
            let begun = Instant::now();
            let written = {
                let mut write = pin!(batch.write(&mut session.connection, &self.topics, commits));
                match timeout(SILENT_AFTER, &mut write).await {
                    Ok(written) => Ok(written),
                    Err(_) => {
                        silent = true;
                        self.component.waiting(SILENT);
                        timeout(COMMIT_WITHIN - SILENT_AFTER, write).await
                    }
                }
            };
            match written {
                Ok(Ok(())) => {
                    metrics::committed(begun.elapsed());
                    self.commits += 1;
                    if failures > 0 || silent {
                        self.component.ready();
                        self.tails.set_available(true);
                    }
                    return Ok(());
                }
                Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "a commit failed"),
                Err(_) => tracing::warn!(within = ?COMMIT_WITHIN, "a commit was not answered"),
            }
            failures += 1;
            if failures > 1 || silent {
                self.component.waiting("the database does not take what is written");
                self.tails.set_available(false);
            }
            self.session = None;
        }
    }

    /// While there is nothing to do: notices when the database goes away, and when it comes back.
    async fn keep_session(&mut self) -> Result<(), Usurped> {
        if let Some(session) = self.session.as_mut() {
            match timeout(SILENT_AFTER, session.ping()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => tracing::warn!(%error, "the database ended the writer's connection"),
                Err(_) => {
                    // Connecting anew may be silent just as long; what is known by now is told by now.
                    self.component.waiting(SILENT);
                    self.tails.set_available(false);
                }
            }
            self.session = None;
        }
        if self.reconnect().await? == self.commits { Ok(()) } else { Err(Usurped) }
    }

    /// Tries until there is a session again; says how many transactions were ever committed.
    async fn reconnect(&mut self) -> Result<i64, Usurped> {
        for attempt in 0.. {
            let opened = match Session::open(&self.options, &self.name, Opening::Again).await {
                Ok(mut session) => schema::commits(&mut session.connection)
                    .await
                    .map(|commits| (session, commits))
                    .map_err(OpenError::from),
                Err(error) => Err(error),
            };
            match opened {
                Ok((session, commits)) => {
                    self.session = Some(session);
                    self.tails.set_available(true);
                    self.component.ready();
                    return Ok(commits);
                }
                Err(OpenError::InUse) => return Err(Usurped),
                Err(error) => {
                    if attempt == 0 {
                        tracing::warn!(error = &error as &dyn std::error::Error, "the database cannot be reached");
                    }
                    self.component.waiting(error.to_string());
                    self.tails.set_available(false);
                }
            }
            pause(attempt).await;
        }
        Err(Usurped)
    }
}

/// 20 ms, and twice as long after each failure.
async fn pause(failures: u32) {
    sleep(Duration::from_millis(20 << failures.min(8)).min(LONGEST_PAUSE)).await;
}
