//! A short wait for a slot: a client that closes a stream and opens another one is often faster than the release of the
//! first.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

use super::{error::AdmissionError, queued_waker::QueuedWaker, slot::SlotId, slot_owner::SlotOwner};

/// The wait of one request for a slot. The wait ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiter {
    waker: Arc<QueuedWaker>,
    owner: Arc<dyn SlotOwner>,
    slot: SlotId,
    since: Instant,
    limit: Pin<Box<Sleep>>,
    budget: WaitBudget,
}

/// The time for which a request may wait for a slot, in all layers that it meets. It is kept in the slot that the first
/// of these layers has taken.
#[derive(Debug, Clone)]
pub(crate) struct WaitBudget {
    owner: Arc<dyn SlotOwner>,
    slot: SlotId,
    serial: u64,
}

impl Waiter {
    pub(super) fn new(
        waker: Arc<QueuedWaker>,
        owner: Arc<dyn SlotOwner>,
        slot: SlotId,
        left: Duration,
        budget: WaitBudget,
    ) -> Self {
        Self { waker, owner, slot, since: Instant::now(), limit: Box::pin(sleep(left)), budget }
    }

    /// Completes when the request is admitted, or will not be.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AdmissionError>> {
        // Ordering: the waker is registered before the look, so that a slot that is released in between is not missed.
        self.waker.register(cx.waker());
        if let Some(outcome) = self.owner.outcome(self.slot) {
            return Poll::Ready(outcome);
        }
        self.limit.as_mut().poll(cx).map(|()| self.owner.stop_waiting(self.slot))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // A layer outside may still hold the slot.
        self.owner.cancel_wait(self.slot, &self.waker);
        self.budget.spend(self.since.elapsed());
    }
}

impl WaitBudget {
    /// Returns the budget of the request that took this slot first.
    pub(super) fn new(owner: Arc<dyn SlotOwner>, slot: SlotId, serial: u64) -> Self {
        Self { owner, slot, serial }
    }

    /// Returns the time that is left, or `None` if it is spent.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = LIMIT.saturating_sub(self.owner.waited(self.slot, self.serial));
        Some(left).filter(|left| !left.is_zero())
    }

    fn spend(&self, time: Duration) {
        self.owner.add_waited(self.slot, self.serial, time);
    }
}

/// The longest wait for a slot. It is longer than a server takes to notice that a client has left, and short enough for
/// a refusal to go out within 100 ms.
const LIMIT: Duration = Duration::from_millis(80);
