//! A short wait for room: a client that closes a stream and opens another one is often faster than the place of the first.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::{Sleep, sleep};

use super::permit::{NotAdmitted, Permit};

/// The means to wake a request that waits.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicWaker);

impl Turn {
    /// Not to be called with the registry's lock.
    pub(super) fn wake(&self) {
        self.0.wake();
    }
}

/// A request that waits for room. The wait ends when its permit is dropped.
#[derive(Debug)]
pub(crate) struct Waiter {
    turn: Arc<Turn>,
    limit: Pin<Box<Sleep>>,
}

impl Waiter {
    pub(super) fn new(turn: Arc<Turn>) -> Self {
        Self { turn, limit: Box::pin(sleep(LIMIT)) }
    }

    /// Completes when the permit is counted, or will not be.
    pub(crate) fn poll(&mut self, permit: &Permit, cx: &mut Context<'_>) -> Poll<Result<(), NotAdmitted>> {
        // First who is to be woken, so that no place is missed that is free meanwhile.
        self.turn.0.register(cx.waker());
        if let Some(outcome) = permit.outcome() {
            return Poll::Ready(outcome);
        }
        self.limit.as_mut().poll(cx).map(|()| permit.stop_waiting())
    }
}

/// Longer than a server takes to find that a client has left, and so short that a refusal is still there within 100 ms.
const LIMIT: Duration = Duration::from_millis(80);
