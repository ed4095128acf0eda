//! The wake-ups that a change of a topic owes, delivered after the last lock.
//!
//! Invariant: no waker is woken, cloned or dropped under a lock of a hub, since its code is a user's and may take the same
//! lock. A method that changes a topic under its lock returns its [`Wakes`]; the caller delivers them once it holds no lock.
//! In debug builds, delivery under a lock panics.

use std::{mem, sync::Arc, task::Waker};

use slab::Slab;
use tokio::sync::Notify;

use super::{lane::WakeQueue, owed::OwedWakes};
use crate::{hub::sync::debug_assert_unlocked, panic};

/// A set of wakers by queue, behind a lock of its own.
pub(crate) trait WaitSet: Sized {
    /// Takes the wakers that wait in this queue. `room` replaces the slab that they were in.
    fn take_waiters(&self, queue: &WakeQueue<Arc<Self>>, room: Slab<Waker>) -> OwedWakes;
}

/// Wake-ups that are owed after a change of a topic.
///
/// Dropping them delivers them too, so that an early return loses none.
#[must_use = "call `wake` once no lock is held"]
#[derive(Debug)]
pub(crate) struct Wakes<T: WaitSet> {
    /// Publishers that waited for readers, or subscribers whose queue is gone.
    wakers: Vec<Waker>,
    queued: Option<Queued<T>>,
    /// Notified if the presence of the topic changed, or the topic was closed.
    arrivals: Option<Arc<Notify>>,
}

/// A topic with news, and the queues in which subscribers wait for it.
#[derive(Debug)]
struct Queued<T: WaitSet> {
    topic: Arc<T>,
    queues: QueuesToWake<Arc<T>>,
}

/// Queues that have to learn of a topic with news. Most topics have one, for which nothing is allocated.
#[derive(Debug)]
pub(crate) struct QueuesToWake<T> {
    pub(crate) first: Arc<WakeQueue<T>>,
    pub(crate) rest: Vec<Arc<WakeQueue<T>>>,
}

impl<T: WaitSet> Wakes<T> {
    /// Returns no wake-up.
    pub(crate) fn none() -> Self {
        Self::of(Vec::new())
    }

    pub(crate) fn of(wakers: Vec<Waker>) -> Self {
        Self { wakers, queued: None, arrivals: None }
    }

    /// Adds the queues in which subscribers wait for this topic.
    pub(crate) fn and_queues(mut self, topic: &Arc<T>, queues: Option<QueuesToWake<Arc<T>>>) -> Self {
        self.queued = queues.map(|queues| Queued { topic: Arc::clone(topic), queues });
        self
    }

    /// Adds the tasks that wait for a change of presence.
    pub(crate) fn and_arrivals(mut self, arrivals: &Arc<Notify>) -> Self {
        self.arrivals = Some(Arc::clone(arrivals));
        self
    }

    /// Delivers the wake-ups: by the pump of each queue, or here if a queue has no pump. Call it without holding a lock.
    #[inline]
    pub(crate) fn wake(self) {
        drop(self);
    }
}

impl<T: WaitSet> Drop for Wakes<T> {
    #[inline]
    fn drop(&mut self) {
        debug_assert_unlocked();
        if let Some(Queued { topic, queues: QueuesToWake { first, rest } }) = self.queued.take() {
            rest.iter().for_each(|queue| deliver(queue, Arc::clone(&topic)));
            deliver(&first, topic);
        }
        if !self.wakers.is_empty() {
            panic::wake_all(mem::take(&mut self.wakers));
        }
        if let Some(arrivals) = self.arrivals.take() {
            arrivals.notify_waiters();
        }
    }
}

/// Hands a topic to the pump of a queue, or wakes its subscribers here if there is no pump.
fn deliver<T: WaitSet>(queue: &WakeQueue<Arc<T>>, topic: Arc<T>) {
    let unpumped = if queue.is_pumped() { queue.enqueue(topic).err() } else { Some(topic) };
    if let Some(topic) = unpumped {
        drop(topic.take_waiters(queue, Slab::new()));
    }
}
