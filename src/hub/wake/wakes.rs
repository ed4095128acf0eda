//! The wake-ups that a change of a topic owes, delivered after the last lock.
//!
//! Invariant: no waker is woken, cloned or dropped under a lock of a hub, since its code is a user's and may take the same
//! lock. A method that changes a topic under its lock returns its [`Wakes`]; the caller delivers them once it holds no lock.
//! In debug builds, delivery under a lock panics.

use std::{mem, sync::Arc, task::Waker};

use tokio::sync::Notify;

use super::{owed::OwedWakes, queue::WakeQueue};
use crate::{hub::sync::debug_assert_unlocked, panic};

/// A set of wakers by queue, behind a lock of its own.
pub(crate) trait WaitSet: Sized {
    /// Takes the wakers that wait in this queue.
    fn take_waiters(&self, queue: &WakeQueue<Arc<Self>>) -> OwedWakes;
}

/// Publishers that are owed a wake-up, as a reader has advanced. Dropping them wakes them too.
#[must_use = "call `wake` once no lock is held"]
#[derive(Debug, Default)]
pub(crate) struct PublisherWakes(Vec<Waker>);

/// Wake-ups that are owed after a change of a topic.
///
/// Dropping them delivers them too, so that an early return loses none.
#[must_use = "call `wake` once no lock is held"]
#[derive(Debug)]
pub(crate) struct Wakes<T: WaitSet> {
    #[expect(dead_code, reason = "it wakes when it is dropped")]
    publishers: PublisherWakes,
    /// The topic, and the queues in which subscribers wait for it.
    queued: Option<(Arc<T>, QueuesToWake<Arc<T>>)>,
    /// Notified if the presence of the topic changed, or the topic was closed.
    arrivals: Option<Arc<Notify>>,
}

/// Queues that have to learn of a topic with news. Most topics have one, for which nothing is allocated.
#[derive(Debug)]
pub(crate) struct QueuesToWake<T> {
    pub(crate) queue: Arc<WakeQueue<T>>,
    pub(crate) next: Option<Box<Self>>,
}

impl PublisherWakes {
    #[inline]
    pub(crate) fn new(publishers: Vec<Waker>) -> Self {
        Self(publishers)
    }

    /// Wakes the publishers. Call it without holding a lock.
    #[inline]
    pub(crate) fn wake(self) {
        drop(self);
    }
}

impl Drop for PublisherWakes {
    #[inline]
    fn drop(&mut self) {
        debug_assert_unlocked();
        if !self.0.is_empty() {
            panic::wake_all(mem::take(&mut self.0));
        }
    }
}

impl<T: WaitSet> Wakes<T> {
    /// Returns no wake-up.
    #[inline]
    pub(crate) fn none() -> Self {
        Self { publishers: PublisherWakes::default(), queued: None, arrivals: None }
    }

    /// Returns the wake-ups of publishers, and of the subscribers that wait for this topic in queues.
    #[inline]
    pub(crate) fn of(publishers: Vec<Waker>, topic: &Arc<T>, queues: Option<QueuesToWake<Arc<T>>>) -> Self {
        let queued = queues.map(|queues| (Arc::clone(topic), queues));
        Self { publishers: PublisherWakes(publishers), queued, arrivals: None }
    }

    /// Returns the wake-ups of publishers, and of the tasks that wait for a change of presence.
    #[inline]
    pub(crate) fn of_arrival(publishers: Vec<Waker>, arrivals: &Arc<Notify>) -> Self {
        Self { publishers: PublisherWakes(publishers), queued: None, arrivals: Some(Arc::clone(arrivals)) }
    }

    /// Adds the tasks that wait for a change of presence.
    pub(crate) fn and_arrivals(&mut self, arrivals: &Arc<Notify>) {
        self.arrivals = Some(Arc::clone(arrivals));
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
        if let Some((topic, queues)) = self.queued.take() {
            let mut next = queues.next;
            while let Some(queues) = next {
                deliver(&queues.queue, Arc::clone(&topic));
                next = queues.next;
            }
            deliver(&queues.queue, topic);
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
        drop(topic.take_waiters(queue));
    }
}
