//! What was made of playbooks, kept by the texts that it was made of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// More playbooks than this are never in use at a time; what is beyond is made again when it is asked for.
const MOST: usize = 64;

/// What was made of playbooks: to read one takes a millisecond, and it is asked for with every event. It remembers what
/// follows from its key and nothing else, so a function that uses it is as pure as without.
pub struct Shelf<T> {
    made: RwLock<BTreeMap<[u8; 16], Arc<T>>>,
}

impl<T> Shelf<T> {
    /// What belongs to this key, which must stand for one text only; made if it is not there.
    ///
    /// # Errors
    ///
    /// That of `make`; then nothing is kept.
    pub fn get<E>(&self, key: [u8; 16], make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        // Nothing panics while it holds the lock but an allocation.
        if let Some(made) = self.made.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(made));
        }
        let new = Arc::new(make()?);
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(key, Arc::clone(&new));
        Ok(new)
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { made: RwLock::default() }
    }
}

impl<T> fmt::Debug for Shelf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_made_once_and_a_failure_is_not_kept() {
        let shelf = Shelf::default();
        assert_eq!(shelf.get([1; 16], || Err::<u32, _>("broken")), Err("broken"));
        assert_eq!(shelf.get([1; 16], || Ok::<_, &str>(7)), Ok(Arc::new(7)));
        assert_eq!(shelf.get([1; 16], || Err("asked twice")), Ok(Arc::new(7)));
        for key in 2..=u8::try_from(MOST).unwrap() + 2 {
            assert_eq!(shelf.get([key; 16], || Ok::<_, &str>(u32::from(key))), Ok(Arc::new(u32::from(key))));
        }
    }
}
