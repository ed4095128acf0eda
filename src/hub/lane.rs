//! How a publisher hands the waking of a topic's subscribers to somebody else.
//!
//! A lane is a queue of topics with something new, and the pump at its end: one task for a hub and a runtime. A publisher
//! only puts the topic in the queue and wakes one task, however many subscribers wait.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use super::sync::{
    AtomicWaker, Mutex,
    atomic::{AtomicBool, Ordering},
    lock,
};

/// Topics on their way to a pump. `T` is the topic.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    id: u32,
    has_pump: bool,
    queue: Mutex<Queue<T>>,
    pump: AtomicWaker,
    is_dead: AtomicBool,
}

#[derive(Debug)]
struct Queue<T> {
    topics: VecDeque<T>,
    is_closed: bool,
}

impl<T> Lane<T> {
    /// A lane with this number, which no other of its hub has. Without a pump, publishers wake.
    pub(crate) fn new(id: u32, has_pump: bool) -> Arc<Self> {
        Arc::new(Self {
            id,
            has_pump,
            queue: Mutex::new(Queue { topics: VecDeque::new(), is_closed: false }),
            pump: AtomicWaker::new(),
            is_dead: AtomicBool::new(false),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn has_pump(&self) -> bool {
        self.has_pump
    }

    /// Hands over a topic, and wakes the pump.
    pub(crate) fn put(&self, topic: T) {
        lock(&self.queue).topics.push_back(topic);
        self.pump.wake();
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

    /// The pump is gone, with its runtime: nobody may wait for it from here on.
    pub(crate) fn die(&self) {
        self.is_dead.store(true, Ordering::Release);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    /// All that is left in the queue.
    pub(crate) fn drain(&self) -> VecDeque<T> {
        std::mem::take(&mut lock(&self.queue).topics)
    }
}
