//! Where committed state is kept.

mod slots;

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use self::slots::{Place, Slots};

/// Finds committed state.
pub trait Lookup {
    /// The bytes of a key.
    fn get(&self, key: &str) -> Option<&[u8]>;
}

/// Committed state of one partition, as bytes by key.
pub trait StateStore: Lookup + Default + Send {
    /// Sets the bytes of a key.
    fn put(&mut self, key: &str, bytes: &[u8]);
    /// Forgets a key.
    fn remove(&mut self, key: &str);
    /// Gives every key and its bytes, in no order.
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8]));
    /// Gives the keys with this hash and their bytes, in no order: nearly always one at most.
    fn each_with(&self, hash: KeyHash, visit: &mut dyn FnMut(&str, &[u8]));
    /// How many keys there are.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes of all keys and values, without the store's own overhead.
    fn bytes(&self) -> usize;
}

/// Stands for a key where the key itself would take too much room. Two keys may have the same: one pair in four billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(u32);

impl KeyHash {
    /// That of a key; the same in every process.
    pub fn of(key: &str) -> Self {
        Self::of_bytes(key.as_bytes())
    }

    fn of_bytes(key: &[u8]) -> Self {
        let hash = FxBuildHasher.hash_one(key);
        Self(u32::try_from((hash ^ (hash >> 32)) & u64::from(u32::MAX)).expect("32 bits"))
    }

    /// Spread over all the bits that a table looks at.
    pub(crate) fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// The index of one of so many tables, by bits that the table itself does not begin with.
    fn shard(self) -> usize {
        usize::from(self.0.to_be_bytes()[0] >> 2)
    }
}

/// Tables of an index. A table that is full is made anew, twice as large; so small ones, each for itself, for the sake of those
/// who wait: with a million keys it is 16,000 at a time.
const SHARDS: usize = 64;

/// Everything in memory, each key and its value in one record, and no record between holes.
///
/// What it takes beside keys and values, of each record: 4 bytes for their lengths, at most a sixteenth that its slot is
/// too large (where all of it is below 32 bytes, what it lacks to that), and 8 to 16 bytes of index. And once, up
/// to 64 KiB for each size of slot in use, one of which is about a sixteenth larger than the one before. A `put` or `remove` copies
/// two records at most, and makes at most a sixty-fourth of the index anew.
#[derive(Debug)]
pub struct MemoryStore {
    records: Slots,
    index: [HashTable<Place>; SHARDS],
    bytes: usize,
    keys: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { records: Slots::default(), index: [const { HashTable::new() }; SHARDS], bytes: 0, keys: 0 }
    }
}

impl Lookup for MemoryStore {
    fn get(&self, key: &str) -> Option<&[u8]> {
        let hash = KeyHash::of(key);
        let mut found = None;
        self.index[hash.shard()].find(hash.spread(), |&at| {
            found = self.records.value(at, key.as_bytes());
            found.is_some()
        })?;
        found
    }
}

impl StateStore for MemoryStore {
    fn put(&mut self, key: &str, bytes: &[u8]) {
        let Self { records, index, .. } = self;
        let hash = KeyHash::of(key);
        let table = &mut index[hash.shard()];
        let mut before = 0;
        let found = table.find_mut(hash.spread(), |&at| {
            let value = records.value(at, key.as_bytes());
            before = value.map_or(0, <[u8]>::len);
            value.is_some()
        });
        let Some(place) = found else {
            let place = records.add(key.as_bytes(), bytes);
            table.insert_unique(hash.spread(), place, |&at| KeyHash::of_bytes(records.record(at).0).spread());
            self.keys += 1;
            self.bytes += key.len() + bytes.len();
            return;
        };
        if !records.replace(*place, key.as_bytes(), bytes) {
            let left = std::mem::replace(place, records.add(key.as_bytes(), bytes));
            self.free(left);
        }
        self.bytes = self.bytes - before + bytes.len();
    }

    fn remove(&mut self, key: &str) {
        let Self { records, index, .. } = self;
        let hash = KeyHash::of(key);
        let table = &mut index[hash.shard()];
        let Ok(entry) = table.find_entry(hash.spread(), |&at| records.record(at).0 == key.as_bytes()) else { return };
        let (left, _) = entry.remove();
        self.bytes -= key.len() + records.record(left).1.len();
        self.keys -= 1;
        self.free(left);
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for &place in self.index.iter().flatten() {
            let (key, bytes) = self.records.record(place);
            visit(text(key), bytes);
        }
    }

    fn each_with(&self, hash: KeyHash, visit: &mut dyn FnMut(&str, &[u8])) {
        for &place in self.index[hash.shard()].iter_hash(hash.spread()) {
            let (key, bytes) = self.records.record(place);
            if KeyHash::of_bytes(key) == hash {
                visit(text(key), bytes);
            }
        }
    }

    fn len(&self) -> usize {
        self.keys
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl MemoryStore {
    /// Frees the slot of a record that the index no longer knows, and tells the index which record moved into it.
    fn free(&mut self, left: Place) {
        let Some(stood) = self.records.remove(left) else { return };
        let hash = KeyHash::of_bytes(self.records.record(left).0);
        let moved = self.index[hash.shard()].find_mut(hash.spread(), |&at| at == stood);
        *moved.expect("every record is in the index") = left;
    }
}

fn text(key: &[u8]) -> &str {
    std::str::from_utf8(key).expect("every key came as text")
}

#[cfg(test)]
mod tests;
