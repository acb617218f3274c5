//! How many bytes of bodies are held at once, so that memory stays bounded whatever is sent.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Refusal;

/// Up to this size a body counts as small. A tracker's batch is nearly always smaller; a beacon cannot be larger.
pub(crate) const SMALL: usize = 64 * 1024;

/// Kept for small bodies on top of what all share, or a quarter of that if it is less. As much as 32 of the largest of
/// them, or thousands of usual ones: they are served beside large ones that take all the rest.
const RESERVE: usize = 2 << 20;

/// Bytes that may be held: by all, and by small bodies where those are gone.
#[derive(Debug)]
pub(crate) struct Budget {
    common: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

/// Bytes of the budget that one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
    common: Option<OwnedSemaphorePermit>,
    reserve: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of so many bytes for all.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let permits = |bytes: usize| Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { common: permits(bytes), reserve: permits(RESERVE.min(bytes / 4)) })
    }
}

impl Reserved {
    /// Nothing yet.
    pub(crate) fn none(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0, common: None, reserve: None }
    }

    /// Nothing yet, of the same budget: for what is given back earlier.
    pub(crate) fn beside(&self) -> Self {
        Self::none(&self.budget)
    }

    /// Holds so many bytes more, if the budget has them.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let permits = u32::try_from(bytes).map_err(|_| Refusal::Overloaded)?;
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_many_owned(permits).ok();
        let all = self.bytes.saturating_add(bytes);
        if let Some(more) = take(&self.budget.common) {
            merge(&mut self.common, more);
        } else {
            let more = if all <= SMALL { take(&self.budget.reserve) } else { None };
            merge(&mut self.reserve, more.ok_or(Refusal::Overloaded)?);
        }
        self.bytes = all;
        Ok(())
    }
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_have_a_reserve_and_large_ones_do_not_touch_it() {
        let budget = Budget::new(8 << 20);
        let mut large = Reserved::none(&budget);
        assert_eq!(large.grow(8 << 20), Ok(()));
        assert_eq!(large.grow(1), Err(Refusal::Overloaded));
        let mut small: Vec<_> = (0..32).map(|_| Reserved::none(&budget)).collect();
        for one in &mut small {
            assert_eq!(one.grow(SMALL - 1), Ok(()));
            assert_eq!(one.grow(2), Err(Refusal::Overloaded), "no longer small");
            assert_eq!(one.grow(1), Ok(()));
        }
        assert_eq!(Reserved::none(&budget).grow(1), Err(Refusal::Overloaded), "the reserve has an end");
        small.clear();
        assert_eq!(Reserved::none(&budget).grow(SMALL), Ok(()), "it is given back");
        drop(large);
        assert_eq!(Reserved::none(&budget).grow(8 << 20), Ok(()));
    }
}
