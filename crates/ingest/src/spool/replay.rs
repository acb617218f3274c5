//! From the spool to the log, once that is back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message;
use tasuki_domain::Timestamp;
use tasuki_service::{Clock, Component, Shutdown};
use tasuki_stream::log::{PublishError, Publisher};

use super::files::Place;
use super::frame::{self, Found};
use super::{Entry, Segment, Shared, Spool};
use crate::adapter::ADAPTERS;
use crate::metrics::{self, Tally};
use crate::publish;

/// Between two attempts while the log does not answer.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// After so many portions in a row that were not the last, those who append wait for one portion, so that it is.
const CHASES: u32 = 3;

/// What is replayed at once: the rest of a segment.
#[derive(Debug)]
struct Portion {
    entries: Vec<Entry>,
    events: u64,
    end: Place,
    damaged: bool,
}

/// A round of replaying could not be done.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    #[error("the log does not take what waits on local disk")]
    Log(#[source] PublishError),
    #[error("the local disk cannot be read")]
    Disk(#[source] io::Error),
}

impl Spool {
    /// Writes what waits to the log, whenever there is something, until shutdown. Tells by `component` whether events
    /// wait because the log is away, and whether there is room.
    pub async fn replay(
        &self,
        publisher: Arc<dyn Publisher>,
        clock: Arc<dyn Clock>,
        component: Component,
        shutdown: Shutdown,
    ) {
        let mut chased = 0;
        while !shutdown.is_cancelled() {
            let round = self.round(publisher.as_ref(), &mut chased);
            let done = tokio::select! {
                done = round => done,
                () = shutdown.cancelled() => return,
            };
            self.shared.report(clock.now());
            match &done {
                _ if !self.shared.works.load(Ordering::Acquire) => component.waiting("the spool cannot be written"),
                _ if self.shared.is_full() => component.waiting("the spool is full"),
                Ok(_) => component.ready(),
                Err(stuck) => {
                    tracing::debug!(error = stuck as &dyn std::error::Error, "not replayed");
                    component.waiting("events on local disk wait for the log");
                }
            }
            let rest = async {
                match done {
                    Ok(true) => {}
                    Ok(false) => self.shared.more.notified().await,
                    Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
                }
            };
            tokio::select! {
                () = rest => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Replays one portion. Whether there was one.
    async fn round(&self, publisher: &dyn Publisher, chased: &mut u32) -> Result<bool, Stuck> {
        let mut turn = None;
        if *chased >= CHASES {
            turn = Some(self.shared.turn.write().await);
        }
        // Until this one is written, whoever appends does so beside us.
        let before = std::mem::take(chased);
        let shared = Arc::clone(&self.shared);
        let Some(portion) = on_disk(move || shared.portion()).await? else { return Ok(false) };
        send(publisher, &portion.entries).await.map_err(Stuck::Log)?;
        for entry in &portion.entries {
            metrics::replayed(&entry.source, protocol(entry), entry.events());
        }
        if turn.is_none() {
            turn = Some(self.shared.turn.write().await);
        }
        let shared = Arc::clone(&self.shared);
        let waits = on_disk(move || shared.done(&portion)).await?;
        drop(turn);
        if waits {
            *chased = before + 1;
        }
        Ok(true)
    }
}

/// Writes to the log, in order. Where it will never take one of the records, that one becomes a dead letter.
async fn send(publisher: &dyn Publisher, entries: &[Entry]) -> Result<(), PublishError> {
    let all = entries.iter().filter_map(Entry::records).flatten().collect::<Vec<_>>();
    if all.is_empty() {
        return Ok(());
    }
    match publisher.publish(all).await {
        Err(PublishError::Refused(_)) => {}
        result => return result,
    }
    for entry in entries {
        let place = publish::Place::spooled(&entry.source, protocol(entry), entry.received_at());
        let records = Arc::new(entry.records().unwrap_or_default());
        publish::write(publisher, &records, &mut Tally::default(), &place).await?;
    }
    Ok(())
}

/// The protocol as a label.
fn protocol(entry: &Entry) -> &'static str {
    ADAPTERS.iter().map(|adapter| adapter.name()).find(|name| *name == entry.protocol).unwrap_or("unknown")
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Stuck> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(Stuck::Disk)
}

impl Shared {
    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire).saturating_add(super::SEGMENT_BYTES) > self.max_bytes
            && self.disk().events > 0
    }

    /// What is to be replayed next; `None` if nothing waits.
    fn portion(&self) -> io::Result<Option<Portion>> {
        let (number, segment, from) = {
            let disk = self.disk();
            let Some((number, segment)) = disk.segments.first_key_value() else { return Ok(None) };
            let from = if disk.replayed.segment == *number { disk.replayed.offset } else { 0 };
            (*number, *segment, from)
        };
        let mut portion = Portion {
            entries: Vec::new(),
            events: 0,
            end: Place { segment: number, offset: segment.end },
            damaged: segment.damaged,
        };
        let bytes = self.folder.read(Place { segment: number, offset: from })?;
        let durable = usize::try_from(segment.end.saturating_sub(from)).unwrap_or(usize::MAX).min(bytes.len());
        let (bytes, mut at) = (&bytes[..durable], 0);
        while let Found::Whole { content, end } = frame::read(bytes, at) {
            at = end;
            match Entry::decode(content) {
                Ok(entry) => {
                    portion.events += entry.events();
                    portion.damaged |= entry.records().is_none();
                    portion.entries.push(entry);
                }
                Err(error) => {
                    tracing::error!(%error, segment = number, "an entry of the spool cannot be read");
                    portion.damaged = true;
                }
            }
        }
        Ok(Some(portion))
    }

    /// Notes that a portion is on the log; removes segments that nobody needs any more. Whether something still waits.
    /// To be called while nobody appends: it may find that nothing does.
    fn done(&self, portion: &Portion) -> io::Result<bool> {
        let mut disk = self.disk();
        disk.replayed = portion.end;
        disk.events = disk.events.saturating_sub(portion.events);
        let number = portion.end.segment;
        let Some(segment) = disk.segments.get_mut(&number) else { return Ok(!disk.segments.is_empty()) };
        segment.damaged |= portion.damaged;
        let Segment { end, damaged, .. } = *segment;
        if end > portion.end.offset {
            self.folder.remember(portion.end)?;
            return Ok(true);
        }
        segment.oldest = None::<Timestamp>;
        if disk.active.as_ref().is_some_and(|active| active.end.segment == number) {
            disk.active = None;
        }
        self.folder.remember(portion.end)?;
        if damaged {
            self.folder.set_aside(number)?
        } else {
            self.folder.remove(number)?
        }
        disk.segments.remove(&number);
        self.bytes.fetch_sub(end, Ordering::AcqRel);
        let waits = !disk.segments.is_empty();
        self.behind.store(waits, Ordering::Release);
        Ok(waits)
    }
}
