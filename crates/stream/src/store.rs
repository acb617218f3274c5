//! Where committed state is kept.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Finds committed state.
pub trait Lookup {
    /// The key as it is kept, to be shared, and its bytes.
    fn find(&self, key: &str) -> Option<(&Arc<str>, &[u8])>;

    /// The bytes of a key.
    fn get(&self, key: &str) -> Option<&[u8]> {
        self.find(key).map(|(_, bytes)| bytes)
    }
}

/// Committed state of one partition, as bytes by key.
pub trait StateStore: Lookup + Default + Send {
    /// Sets the bytes of a key.
    fn put(&mut self, key: Arc<str>, bytes: Box<[u8]>);
    /// Forgets a key.
    fn remove(&mut self, key: &str);
    /// Gives every key and its bytes, in no order.
    fn each(&self, visit: &mut dyn FnMut(&Arc<str>, &[u8]));
    /// How many keys there are.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes of all keys and values, without the store's own overhead.
    fn bytes(&self) -> usize;
}

/// Everything in memory: one allocation for each key and each value.
#[derive(Debug, Default)]
pub struct MemoryStore {
    states: FxHashMap<Arc<str>, Box<[u8]>>,
    bytes: usize,
}

impl Lookup for MemoryStore {
    fn find(&self, key: &str) -> Option<(&Arc<str>, &[u8])> {
        self.states.get_key_value(key).map(|(key, bytes)| (key, bytes.as_ref()))
    }
}

impl StateStore for MemoryStore {
    fn put(&mut self, key: Arc<str>, bytes: Box<[u8]>) {
        let key_length = key.len();
        self.bytes += key_length + bytes.len();
        if let Some(before) = self.states.insert(key, bytes) {
            self.bytes -= key_length + before.len();
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(before) = self.states.remove(key) {
            self.bytes -= key.len() + before.len();
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&Arc<str>, &[u8])) {
        self.states.iter().for_each(|(key, bytes)| visit(key, bytes));
    }

    fn len(&self) -> usize {
        self.states.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_its_bytes() {
        let mut store = MemoryStore::default();
        store.put("a".into(), b"123".as_slice().into());
        store.put("a".into(), b"12".as_slice().into());
        store.put("bb".into(), Box::default());
        assert_eq!((store.len(), store.bytes(), store.get("a")), (2, 5, Some(&b"12"[..])));
        store.remove("a");
        store.remove("a");
        assert_eq!((store.len(), store.bytes(), store.get("a")), (1, 2, None));
    }
}
