//! A short wait for room: a client that closes a stream and opens another one is often faster than the place of the first.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    permit::{AdmissionError, Permit},
    registry::Registry,
    slot::Hold,
};

/// The means to wake a request that waits.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicWaker);

impl Turn {
    /// Not to be called with the registry's lock.
    pub(super) fn wake(&self) {
        self.0.wake();
    }
}

/// A request that waits for room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiter {
    turn: Arc<Turn>,
    registry: Arc<Registry>,
    number: usize,
    since: Instant,
    limit: Pin<Box<Sleep>>,
    patience: Patience,
}

/// The time that a request may wait for room, in all layers that it meets. It is kept with the place that the first of them has
/// taken.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    registry: Arc<Registry>,
    number: usize,
    serial: u64,
}

impl Waiter {
    pub(super) fn new(
        turn: Arc<Turn>,
        registry: &Arc<Registry>,
        number: usize,
        left: Duration,
        patience: Patience,
    ) -> Self {
        let since = Instant::now();
        Self { turn, registry: Arc::clone(registry), number, since, limit: Box::pin(sleep(left)), patience }
    }

    /// Completes when the permit is counted, or will not be.
    pub(crate) fn poll(&mut self, permit: &Permit, cx: &mut Context<'_>) -> Poll<Result<(), AdmissionError>> {
        // First who is to be woken, so that no place is missed that is free meanwhile.
        self.turn.0.register(cx.waker());
        if let Some(outcome) = permit.outcome() {
            return Poll::Ready(outcome);
        }
        self.limit.as_mut().poll(cx).map(|()| permit.stop_waiting())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // A layer outside may hold the place on.
        self.registry.end_wait(self.number, &self.turn);
        self.patience.spend(self.since.elapsed());
    }
}

impl Patience {
    pub(super) fn new(registry: &Arc<Registry>, hold: &Hold) -> Self {
        Self::of(registry, hold.number, hold.serial)
    }

    /// Returns the patience of the request that has taken this place first of all.
    pub(super) fn of(registry: &Arc<Registry>, number: usize, serial: u64) -> Self {
        Self { registry: Arc::clone(registry), number, serial }
    }

    /// Returns the time that is left, if any is.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = LIMIT.saturating_sub(self.registry.waited(self.number, self.serial));
        Some(left).filter(|left| !left.is_zero())
    }

    fn spend(&self, time: Duration) {
        self.registry.add_waited(self.number, self.serial, time);
    }
}

/// Longer than a server takes to find that a client has left, and so short that a refusal is still there within 100 ms.
const LIMIT: Duration = Duration::from_millis(80);
