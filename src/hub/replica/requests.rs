//! The requests of a hub to its backplane while it is fed: for the keys of topics, and to stop.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, watch};

/// Shared by a hub and its feed. It outlives the hub.
#[derive(Debug, Default)]
pub(crate) struct FeedRequests {
    /// The topics whose keys are asked for.
    topics: Mutex<BTreeSet<Arc<str>>>,
    has_topics: Notify,
    /// Notified when the hub is gone, or is to be fed no more.
    closed: Notify,
    is_over: AtomicBool,
    /// Set if nothing feeds the hub any more.
    has_ended: watch::Sender<bool>,
}

impl FeedRequests {
    /// Asks for the keys of these topics. Asking twice is asking once. If there are more names than the limit, those that are
    /// not wanted any more go.
    pub(crate) fn put(&self, new: Vec<Arc<str>>, limit: usize, is_wanted: impl Fn(&str) -> bool) {
        let mut topics = self.topics();
        topics.extend(new);
        if topics.len() > limit {
            topics.retain(|name| is_wanted(name));
        }
        drop(topics);
        self.has_topics.notify_one();
    }

    /// Takes the topics whose keys are asked for.
    pub(crate) fn take(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut *self.topics()).into_iter().collect()
    }

    /// Waits until keys are asked for, and takes their topics.
    pub(crate) async fn next(&self) -> Vec<Arc<str>> {
        loop {
            let topics = self.take();
            if !topics.is_empty() {
                return topics;
            }
            self.has_topics.notified().await;
        }
    }

    /// The hub is gone.
    pub(crate) fn close(&self) {
        self.closed.notify_waiters();
    }

    /// Asks that the hub be fed no more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.close();
    }

    /// Returns whether the hub is to be fed no more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Nothing feeds the hub any more.
    pub(crate) fn set_ended(&self) {
        self.has_ended.send_replace(true);
    }

    /// Waits until nothing feeds the hub any more.
    pub(crate) async fn ended(&self) {
        // The sender is here: there is no error.
        let _ = self.has_ended.subscribe().wait_for(|has_ended| *has_ended).await;
    }

    /// Waits until this holds, which is looked at again when the hub is gone, or is to be fed no more.
    pub(crate) async fn closed(&self, is_closed: impl Fn() -> bool) {
        let mut closed = std::pin::pin!(self.closed.notified());
        // Begins to listen before it looks.
        closed.as_mut().enable();
        if !is_closed() {
            closed.await;
        }
    }

    fn topics(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
