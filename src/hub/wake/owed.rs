//! Wakers that were taken from a topic, woken in batches.

use std::task::Waker;

use slab::Slab;

use crate::panic;

/// Wakers that were taken from a topic and are owed a wake. Dropping this wakes those that are left.
#[derive(Debug)]
#[must_use = "dropping it wakes every subscriber at once"]
pub(crate) struct OwedWakes(slab::IntoIter<Waker>);

impl OwedWakes {
    pub(crate) fn new(wakers: Slab<Waker>) -> Self {
        Self(wakers.into_iter())
    }

    /// Wakes a batch. Returns whether there may be more.
    pub(crate) fn wake_batch(&mut self) -> bool {
        let mut woken = 0;
        let batch = self.0.by_ref().take(WAKE_BATCH).map(|(_, waker)| {
            woken += 1;
            waker
        });
        // A waker that panics ends neither the pump nor the wait of the others.
        panic::wake_all(batch);
        woken == WAKE_BATCH
    }
}

impl Drop for OwedWakes {
    fn drop(&mut self) {
        while self.wake_batch() {}
    }
}

/// The number of wakers that are woken before other tasks get their turn.
const WAKE_BATCH: usize = 128;
