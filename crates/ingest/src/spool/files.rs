//! The files of a spool: numbered segments, a mark of how far they have been replayed, and a lock.
//!
//! A folder has one process at a time. Several on one machine take the folders `0`, `1` ... of the same spool; what a
//! process that is no more has left in its folder is taken over by whoever starts next.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Folders that are tried: more processes than this on one machine is a mistake.
const SLOTS: u32 = 64;

const EXTENSION: &str = "spool";

/// A place in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Number of the segment.
    pub(super) segment: u64,
    /// Bytes from its beginning.
    pub(super) offset: u64,
}

/// The folder of this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held until the process ends, however that is.
    _lock: File,
}

impl Folder {
    /// Takes the first folder that nobody has, and into it what nobody works on any more.
    pub(super) fn take(spool: &Path) -> io::Result<Self> {
        let mut own: Option<Self> = None;
        for slot in 0..SLOTS {
            let path = spool.join(slot.to_string());
            if own.is_some() && !path.exists() {
                break;
            }
            let Some(lock) = locked(&path)? else { continue };
            match &own {
                None => own = Some(Self { path, _lock: lock }),
                Some(own) => own.adopt(&Self { path, _lock: lock })?,
            }
        }
        own.ok_or_else(|| io::Error::other(format!("all {SLOTS} folders are taken by other processes")))
    }

    fn adopt(&self, other: &Self) -> io::Result<()> {
        for (next, segment) in (self.next_number()?..).zip(other.segments()?) {
            tracing::info!(from = %other.path.display(), "events that another process has left are taken over");
            fs::rename(other.segment(segment), self.segment(next))?;
        }
        // What was replayed of them already is replayed once more; consumers drop what they have seen.
        remove_if_there(&other.mark())?;
        sync_folder(&other.path)?;
        sync_folder(&self.path)
    }

    /// The segments there are, in order.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let (Some(number), Some(true)) = (number, path.extension().map(|extension| extension == EXTENSION)) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A number that no segment has or had.
    pub(super) fn next_number(&self) -> io::Result<u64> {
        let last = self.segments()?.last().copied().unwrap_or_default();
        Ok(last.max(self.remembered().segment) + 1)
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016}.{EXTENSION}"))
    }

    fn mark(&self) -> PathBuf {
        self.path.join("replayed")
    }

    /// A new segment; its name is durable when this returns.
    pub(super) fn create(&self, number: u64) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).open(self.segment(number))?;
        sync_folder(&self.path)?;
        Ok(file)
    }

    /// What stands in a segment from `place` on.
    pub(super) fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.segment(place.segment))?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn remove(&self, segment: u64) -> io::Result<()> {
        remove_if_there(&self.segment(segment))
    }

    /// Puts a damaged segment where it is not read again and a person finds it.
    pub(super) fn set_aside(&self, segment: u64) -> io::Result<()> {
        let from = self.segment(segment);
        fs::rename(&from, from.with_extension("damaged"))
    }

    /// Remembers how far has been replayed. Not made durable: what is forgotten is replayed again.
    pub(super) fn remember(&self, place: Place) -> io::Result<()> {
        let new = self.path.join("replayed.new");
        fs::write(&new, format!("{} {}\n", place.segment, place.offset))?;
        fs::rename(new, self.mark())
    }

    /// How far has been replayed; the beginning if that is not known.
    pub(super) fn remembered(&self) -> Place {
        let text = fs::read_to_string(self.mark()).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(segment)), Some(Ok(offset))) => Place { segment, offset },
            _ => Place::default(),
        }
    }
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    file: File,
    /// Where durable bytes end.
    pub(super) end: Place,
}

impl Active {
    pub(super) fn new(folder: &Folder) -> io::Result<Self> {
        let number = folder.next_number()?;
        Ok(Self { file: folder.create(number)?, end: Place { segment: number, offset: 0 } })
    }

    /// Writes and makes durable. After an error the segment must not be written to any more.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What may be there half is no frame; without this it would look like damage later.
            if let Err(error) = self.file.set_len(self.end.offset) {
                tracing::debug!(%error, "a segment cannot be cut");
            }
            return Err(error);
        }
        self.end.offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// The lock of a folder, which is made; `None` if another process has it.
fn locked(path: &Path) -> io::Result<Option<File>> {
    fs::create_dir_all(path)?;
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_have_two_folders_and_what_one_leaves_the_next_takes_over() {
        let spool = tempfile::tempdir().unwrap();
        let first = Folder::take(spool.path()).unwrap();
        let second = Folder::take(spool.path()).unwrap();
        assert_eq!((first.path.file_name(), second.path.file_name()), (Some("0".as_ref()), Some("1".as_ref())));
        Active::new(&first).unwrap().append(b"one").unwrap();
        Active::new(&second).unwrap().append(b"two").unwrap();
        let third = Folder::take(spool.path()).unwrap();
        assert_eq!(third.segments().unwrap(), [0_u64; 0], "what others work on is theirs");
        drop((first, second, third));
        let next = Folder::take(spool.path()).unwrap();
        let texts: Vec<_> = next
            .segments()
            .unwrap()
            .into_iter()
            .map(|segment| next.read(Place { segment, offset: 0 }).unwrap())
            .collect();
        assert_eq!(texts, [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn how_far_has_been_replayed_is_remembered() {
        let spool = tempfile::tempdir().unwrap();
        let folder = Folder::take(spool.path()).unwrap();
        assert_eq!(folder.remembered(), Place::default());
        folder.remember(Place { segment: 3, offset: 17 }).unwrap();
        assert_eq!(folder.remembered(), Place { segment: 3, offset: 17 });
        fs::write(folder.mark(), "nonsense").unwrap();
        assert_eq!(folder.remembered(), Place::default());
    }
}
