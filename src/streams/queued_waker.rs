//! The waker of a request that waits for a slot.

use std::task::Waker;

use futures_util::task::AtomicWaker;

/// The waker of a queued request, shared by its slot and its waiter.
#[derive(Debug, Default)]
pub(super) struct QueuedWaker(AtomicWaker);

impl QueuedWaker {
    pub(super) fn register(&self, waker: &Waker) {
        self.0.register(waker);
    }

    /// Wakes the request.
    ///
    /// Lock order: not called with the registry's lock, since a waker runs code of the executor.
    pub(super) fn wake(&self) {
        self.0.wake();
    }
}
