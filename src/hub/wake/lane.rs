//! How a publisher hands the waking of a topic's subscribers to somebody else.
//!
//! A lane is a queue of topics with something new, and the pump at its end: one task for a hub and a runtime. A publisher
//! only puts the topic in the queue and wakes one task, however many subscribers wait.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::runtime;

use crate::hub::sync::{
    AtomicWaker, Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering},
    lock,
};

/// Topics on their way to a pump. `T` is the topic.
#[derive(Debug)]
pub(crate) struct WakeQueue<T> {
    id: u32,
    has_pump: bool,
    /// Where its pump runs.
    runtime: Option<runtime::Id>,
    queue: Mutex<Queue<T>>,
    pump: AtomicWaker,
    is_dead: AtomicBool,
}

#[derive(Debug)]
struct Queue<T> {
    topics: VecDeque<T>,
    is_closed: bool,
}

impl<T> WakeQueue<T> {
    /// A lane of no runtime, with a pump or without.
    #[cfg(test)]
    pub(crate) fn new(id: u32, has_pump: bool) -> Arc<Self> {
        Self::with(id, has_pump, None)
    }

    /// The lane of a runtime, or of those outside of any, with a number that no other of its hub has. Without a pump,
    /// publishers wake.
    pub(crate) fn of(id: u32, runtime: Option<runtime::Id>) -> Arc<Self> {
        Self::with(id, runtime.is_some(), runtime)
    }

    fn with(id: u32, has_pump: bool, runtime: Option<runtime::Id>) -> Arc<Self> {
        Arc::new(Self {
            id,
            has_pump,
            runtime,
            queue: Mutex::new(Queue { topics: VecDeque::new(), is_closed: false }),
            pump: AtomicWaker::new(),
            is_dead: AtomicBool::new(false),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn runtime(&self) -> Option<runtime::Id> {
        self.runtime
    }

    pub(crate) fn is_pumped(&self) -> bool {
        self.has_pump
    }

    /// Hands over a topic, and wakes the pump. Gives it back if the pump is gone: then whoever has it wakes.
    pub(crate) fn enqueue(&self, topic: T) -> Result<(), T> {
        let mut queue = lock(&self.queue);
        if self.is_closed() {
            return Err(topic);
        }
        queue.topics.push_back(topic);
        drop(queue);
        self.pump.wake();
        Ok(())
    }

    /// The next topic. `None`: the hub is gone.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        if let ready @ Poll::Ready(_) = self.next() {
            return ready;
        }
        self.pump.register(cx.waker());
        // What was put between the two looks wakes nobody.
        self.next()
    }

    fn next(&self) -> Poll<Option<T>> {
        let mut queue = lock(&self.queue);
        match queue.topics.pop_front() {
            Some(topic) => Poll::Ready(Some(topic)),
            None if queue.is_closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// The hub is gone: the pump ends.
    pub(crate) fn close(&self) {
        lock(&self.queue).is_closed = true;
        self.pump.wake();
    }

    /// The pump is gone, with its runtime: nobody may wait for it from here on. Gives what is left in the queue, to be dropped
    /// outside of the lock.
    pub(crate) fn close_and_drain(&self) -> VecDeque<T> {
        // Under the queue's lock, so that each topic is either given here or to whoever would have put it in.
        let mut queue = lock(&self.queue);
        self.is_dead.store(true, Ordering::Release);
        std::mem::take(&mut queue.topics)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }
}

/// The lanes of a hub: one for each runtime that has subscribers, and one for those outside of any.
#[derive(Debug)]
pub(crate) struct WakeQueues<T> {
    pub(super) lanes: Mutex<Vec<Arc<WakeQueue<T>>>>,
    last_id: AtomicU32,
}

impl<T> WakeQueues<T> {
    pub(crate) fn new() -> Self {
        Self { lanes: Mutex::new(Vec::new()), last_id: AtomicU32::new(0) }
    }

    /// The lane whose wakers are woken by publishers.
    pub(crate) fn without_pump(&self) -> Arc<WakeQueue<T>> {
        self.for_runtime(None).0
    }

    pub(crate) fn close(&self) {
        // Closing wakes: not under the lock.
        let lanes = std::mem::take(&mut *lock(&self.lanes));
        lanes.into_iter().for_each(|lane| lane.close());
    }

    pub(crate) fn for_runtime(&self, runtime: Option<runtime::Id>) -> (Arc<WakeQueue<T>>, bool) {
        let mut lanes = lock(&self.lanes);
        // A runtime's id may come again when the runtime is gone. By then its pump is, too.
        if let Some(lane) = lanes.iter().find(|lane| lane.runtime() == runtime && !lane.is_closed()) {
            return (Arc::clone(lane), false);
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let lane = WakeQueue::of(id, runtime);
        lanes.push(Arc::clone(&lane));
        (lane, true)
    }

    pub(crate) fn remove(&self, lane: &WakeQueue<T>) {
        let mut lanes = lock(&self.lanes);
        lanes.retain(|other| other.id() != lane.id());
    }
}
