//! Wakers that were taken from a topic and are owed a wake.

use std::{mem, task::Waker};

use crate::panic;

/// Wakers that were taken from a topic and are owed a wake. Dropping this wakes them.
#[derive(Debug, Default)]
#[must_use = "dropping it wakes every subscriber at once"]
pub(crate) struct OwedWakes(Vec<Waker>);

impl OwedWakes {
    pub(crate) fn new(wakers: Vec<Waker>) -> Self {
        Self(wakers)
    }
}

impl Drop for OwedWakes {
    fn drop(&mut self) {
        // A waker that panics does not end the wait of the others.
        panic::wake_all(mem::take(&mut self.0));
    }
}
