//! The spool: a local disk that keeps, while the log is away, the events of clients that never send again.
//!
//! Beacons, pixels and some trackers take any answer but 200 as the end of it. For them the answer follows once their
//! events are durable here (fsync), and the events follow to the log once that is back: in the order they came, so
//! those of a key in their order, and at least once (consumers drop what they have seen). While something waits here,
//! later events of such clients come here too, behind it.
//!
//! The spool is bounded. When it is full, or its disk does not take writes, such clients are refused like the others.

mod entry;
mod files;
mod frame;
mod replay;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::Message;
use tasuki_domain::Timestamp;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, oneshot};

pub(crate) use self::entry::Entry;
use self::files::{Active, Folder, Place};
use self::frame::Found;
use crate::metrics;

/// From this size on a segment is full. It is also what is replayed at once.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Entries that wait for the thread that writes.
const QUEUE: usize = 512;

/// What is written with one fsync at most.
const GROUP_BYTES: usize = 1 << 20;

/// Keeps events on disk until the log takes them.
#[derive(Clone, Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
}

/// The spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the spool {folder} cannot be used", folder = .folder.display())]
pub struct SpoolError {
    folder: PathBuf,
    #[source]
    source: io::Error,
}

/// Why an entry is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unspooled {
    /// As much waits as may.
    #[error("the spool is full")]
    Full,
    /// The disk is slower than what comes.
    #[error("the disk of the spool does not keep up")]
    Slow,
    /// The disk does not take it.
    #[error("the spool cannot be written")]
    Broken(#[source] io::Error),
}

#[derive(Debug)]
struct Shared {
    folder: Folder,
    max_bytes: u64,
    /// On disk or about to be.
    bytes: AtomicU64,
    /// Something waits for the log.
    behind: AtomicBool,
    /// The disk took the last write.
    works: AtomicBool,
    disk: Mutex<Disk>,
    more: Notify,
    /// Held for reading by whoever appends, and for writing to find that nothing waits any more.
    turn: RwLock<()>,
}

/// What is on disk.
#[derive(Debug, Default)]
struct Disk {
    active: Option<Active>,
    segments: BTreeMap<u64, Segment>,
    replayed: Place,
    events: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    /// Where its whole frames end.
    end: u64,
    /// When the first of its events that still wait was received.
    oldest: Option<Timestamp>,
    /// Something in it cannot be read: it is set aside in the end, not removed.
    damaged: bool,
}

#[derive(Debug)]
struct Job {
    frame: Vec<u8>,
    events: u64,
    received_at: Timestamp,
    reply: oneshot::Sender<Result<(), Unspooled>>,
}

impl Spool {
    /// Opens the spool in this folder, which is made. At most so many bytes wait in it.
    ///
    /// # Errors
    ///
    /// If the folder or what is in it cannot be used.
    pub fn open(folder: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        Self::at(folder, max_bytes).map_err(|source| SpoolError { folder: folder.to_owned(), source })
    }

    fn at(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        let folder = Folder::take(folder)?;
        let disk = recover(&folder)?;
        let waits = disk.segments.values().map(|segment| segment.end).sum::<u64>();
        if disk.events > 0 {
            tracing::info!(events = disk.events, bytes = waits, "events on local disk wait for the log");
        }
        let shared = Arc::new(Shared {
            folder,
            max_bytes,
            bytes: AtomicU64::new(waits),
            behind: AtomicBool::new(!disk.segments.is_empty()),
            works: AtomicBool::new(true),
            disk: Mutex::new(disk),
            more: Notify::new(),
            turn: RwLock::new(()),
        });
        let (jobs, queue) = sync_channel(QUEUE);
        let writer = Arc::clone(&shared);
        std::thread::Builder::new().name("ingest spool".to_owned()).spawn(move || writer.write_all(&queue))?;
        Ok(Self { shared, jobs })
    }

    /// The right to append, if something waits: then what comes later must wait behind it. `None` while nothing does.
    pub(crate) async fn behind(&self) -> Option<RwLockReadGuard<'_, ()>> {
        if !self.shared.behind.load(Ordering::Acquire) {
            return None;
        }
        let turn = self.turn().await;
        self.shared.behind.load(Ordering::Acquire).then_some(turn)
    }

    /// The right to append.
    pub(crate) async fn turn(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.turn.read().await
    }

    /// Keeps an entry; returns once it is durable. After an error it may be kept nevertheless.
    pub(crate) async fn put(&self, entry: &Entry, within: Duration) -> Result<(), Unspooled> {
        let too_large = || Unspooled::Broken(io::ErrorKind::FileTooLarge.into());
        let frame = frame::framed(&entry.encode_to_vec()).ok_or_else(too_large)?;
        let size = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        self.shared.reserve(size)?;
        let (reply, kept) = oneshot::channel();
        let job = Job { frame, events: entry.events(), received_at: entry.received_at(), reply };
        if self.jobs.try_send(job).is_err() {
            self.shared.bytes.fetch_sub(size, Ordering::AcqRel);
            return Err(Unspooled::Slow);
        }
        match tokio::time::timeout(within, kept).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Unspooled::Broken(io::ErrorKind::BrokenPipe.into())),
            Err(_elapsed) => Err(Unspooled::Slow),
        }
    }
}

impl Shared {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self, size: u64) -> Result<(), Unspooled> {
        let grown = |held: u64| held.checked_add(size).filter(|grown| *grown <= self.max_bytes);
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown).map(drop).map_err(|_| Unspooled::Full)
    }

    /// Writes what comes, as much as there is with one fsync, until nobody can send any more.
    fn write_all(&self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut bytes = first.frame.clone();
            let mut group = vec![first];
            while bytes.len() < GROUP_BYTES
                && let Ok(job) = queue.try_recv()
            {
                bytes.extend_from_slice(&job.frame);
                group.push(job);
            }
            let written = self.write(&bytes, &group);
            self.works.store(written.is_ok(), Ordering::Release);
            if let Err(error) = &written {
                tracing::error!(%error, "the spool cannot be written; events of clients that never retry are refused");
                self.bytes.fetch_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX), Ordering::AcqRel);
            }
            for job in group {
                let result = written.as_ref().map(|&()| ()).map_err(|error| Unspooled::Broken(error.kind().into()));
                if job.reply.send(result).is_err() {
                    tracing::debug!("whoever waited for the spool has gone away");
                }
            }
            self.more.notify_one();
        }
    }

    fn write(&self, bytes: &[u8], group: &[Job]) -> io::Result<()> {
        let mut disk = self.disk();
        let mut active = match disk.active.take() {
            Some(active) if active.end.offset < SEGMENT_BYTES => active,
            _ => Active::new(&self.folder)?,
        };
        // After an error the segment is left as it is: nobody knows what of it is durable.
        active.append(bytes)?;
        let segment = disk.segments.entry(active.end.segment).or_default();
        segment.end = active.end.offset;
        segment.oldest = segment.oldest.or_else(|| group.first().map(|job| job.received_at));
        disk.events += group.iter().map(|job| job.events).sum::<u64>();
        disk.active = Some(active);
        self.behind.store(true, Ordering::Release);
        Ok(())
    }

    fn report(&self, now: Timestamp) {
        let (events, oldest) = {
            let disk = self.disk();
            (disk.events, disk.segments.values().find_map(|segment| segment.oldest))
        };
        metrics::spool(self.bytes.load(Ordering::Acquire), events, oldest.map(|oldest| now.since(oldest)));
    }
}

/// What a process before us has left.
fn recover(folder: &Folder) -> io::Result<Disk> {
    let mut disk = Disk { replayed: folder.remembered(), ..Disk::default() };
    for number in folder.segments()? {
        let bytes = folder.read(Place { segment: number, offset: 0 })?;
        let done = match number.cmp(&disk.replayed.segment) {
            std::cmp::Ordering::Less => u64::MAX,
            std::cmp::Ordering::Equal => disk.replayed.offset,
            std::cmp::Ordering::Greater => 0,
        };
        let (mut segment, mut at, mut waits) = (Segment::default(), 0_usize, 0_u64);
        loop {
            let begins = u64::try_from(at).unwrap_or(u64::MAX);
            match frame::read(&bytes, at) {
                Found::Whole { content, end } => {
                    at = end;
                    let entry = Entry::decode(content).ok().filter(|_| begins >= done);
                    waits += entry.as_ref().map_or(0, Entry::events);
                    segment.oldest = segment.oldest.or(entry.map(|entry| entry.received_at()));
                }
                Found::End => break,
                rest @ (Found::Torn | Found::Damaged) => {
                    let left = bytes.len() - at;
                    segment.damaged = rest == Found::Damaged;
                    tracing::warn!(segment = number, bytes = left, damaged = segment.damaged, "a segment ends unread");
                    metrics::spool_lost(left);
                    break;
                }
            }
        }
        segment.end = u64::try_from(at).unwrap_or(u64::MAX);
        disk.events += waits;
        disk.segments.insert(number, segment);
    }
    Ok(disk)
}
