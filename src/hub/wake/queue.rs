//! The queues by which publishers hand the waking of subscribers to pumps.
//!
//! A queue holds topics with news. At its end is a pump: one task for each hub and runtime. A publisher only queues the topic and
//! wakes one task, however many subscribers wait.

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

/// A queue of topics with news, on their way to a pump. `T` is the topic.
#[derive(Debug)]
pub(crate) struct WakeQueue<T> {
    id: u32,
    is_pumped: bool,
    /// The runtime of the pump.
    runtime: Option<runtime::Id>,
    topics: Mutex<QueuedTopics<T>>,
    pump: AtomicWaker,
    /// The pump is gone. Set under the lock of the topics.
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct QueuedTopics<T> {
    topics: VecDeque<T>,
    /// The hub is gone.
    is_ending: bool,
}

impl<T> WakeQueue<T> {
    /// Creates a queue of no runtime, with a pump or without.
    #[cfg(all(test, tower_sse_loom))]
    pub(crate) fn new(id: u32, is_pumped: bool) -> Arc<Self> {
        Self::with(id, is_pumped, None)
    }

    /// Creates the queue of a runtime, with a pump, or, without one, that of threads outside of any runtime. No other queue of
    /// the hub has its id.
    pub(crate) fn of(id: u32, runtime: Option<runtime::Id>) -> Arc<Self> {
        Self::with(id, runtime.is_some(), runtime)
    }

    fn with(id: u32, is_pumped: bool, runtime: Option<runtime::Id>) -> Arc<Self> {
        Arc::new(Self {
            id,
            is_pumped,
            runtime,
            topics: Mutex::new(QueuedTopics { topics: VecDeque::new(), is_ending: false }),
            pump: AtomicWaker::new(),
            is_closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn runtime(&self) -> Option<runtime::Id> {
        self.runtime
    }

    /// Returns whether a pump wakes the subscribers. If none does, publishers wake them.
    pub(crate) fn is_pumped(&self) -> bool {
        self.is_pumped
    }

    /// Adds a topic, and wakes the pump. Returns the topic as an error if the pump is gone: the caller has to wake its
    /// subscribers then.
    pub(crate) fn enqueue(&self, topic: T) -> Result<(), T> {
        let mut queue = lock(&self.topics);
        if self.is_closed() {
            return Err(topic);
        }
        queue.topics.push_back(topic);
        drop(queue);
        self.pump.wake();
        Ok(())
    }

    /// Polls for the next topic. Returns `None` if the hub is gone.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        if let ready @ Poll::Ready(_) = self.next() {
            return ready;
        }
        self.pump.register(cx.waker());
        // A topic that was added before the waker was registered has woken nothing.
        self.next()
    }

    fn next(&self) -> Poll<Option<T>> {
        let mut queue = lock(&self.topics);
        match queue.topics.pop_front() {
            Some(topic) => Poll::Ready(Some(topic)),
            None if queue.is_ending => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Ends the pump, as the hub is gone.
    pub(crate) fn end(&self) {
        lock(&self.topics).is_ending = true;
        self.pump.wake();
    }

    /// Closes the queue, as the pump is gone with its runtime: no subscriber waits in it from here on. Returns the topics that
    /// are left, to be dropped after the lock.
    pub(crate) fn close_and_drain(&self) -> VecDeque<T> {
        // Lock order: under the queue's lock, so that a topic is either drained here or returned by `enqueue`.
        let mut queue = lock(&self.topics);
        self.is_closed.store(true, Ordering::Release);
        std::mem::take(&mut queue.topics)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

/// The queues of a hub: one for each runtime that has subscribers, and one for threads outside of any runtime.
#[derive(Debug)]
pub(crate) struct WakeQueues<T> {
    pub(super) queues: Mutex<Vec<Arc<WakeQueue<T>>>>,
    last_id: AtomicU32,
}

impl<T> WakeQueues<T> {
    pub(crate) fn new() -> Self {
        Self { queues: Mutex::new(Vec::new()), last_id: AtomicU32::new(0) }
    }

    /// Returns the queue whose subscribers are woken by publishers.
    pub(crate) fn without_pump(&self) -> Arc<WakeQueue<T>> {
        self.for_runtime(None).0
    }

    /// Ends the pumps, as the hub is gone.
    pub(crate) fn end(&self) {
        // The pumps are woken after the lock.
        let queues = std::mem::take(&mut *lock(&self.queues));
        queues.into_iter().for_each(|queue| queue.end());
    }

    /// Returns the queue of a runtime, and whether it is new.
    pub(crate) fn for_runtime(&self, runtime: Option<runtime::Id>) -> (Arc<WakeQueue<T>>, bool) {
        let mut queues = lock(&self.queues);
        // The id of a runtime may be that of one that is gone, whose queue is closed.
        if let Some(queue) = queues.iter().find(|queue| queue.runtime() == runtime && !queue.is_closed()) {
            return (Arc::clone(queue), false);
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let queue = WakeQueue::of(id, runtime);
        queues.push(Arc::clone(&queue));
        (queue, true)
    }

    pub(crate) fn remove(&self, queue: &WakeQueue<T>) {
        let mut queues = lock(&self.queues);
        queues.retain(|other| other.id() != queue.id());
    }
}
