//! The requests of a hub to its backplane: to load the keys of topics, and to stop.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, watch};

/// The requests that a hub and its feed share. They outlive the hub.
#[derive(Debug, Default)]
pub(crate) struct FeedRequests {
    /// The topics whose keys are requested.
    topics: Mutex<BTreeSet<Arc<str>>>,
    has_topics: Notify,
    /// Notified when the hub is gone, or leaves its backplane.
    closed: Notify,
    is_over: AtomicBool,
    /// Set when the backplane has ended.
    has_ended: watch::Sender<bool>,
}

impl FeedRequests {
    /// Requests the keys of these topics. A repeated request has no effect. Beyond the limit, names that are not wanted any more
    /// are removed.
    pub(crate) fn put(&self, new: Vec<Arc<str>>, limit: usize, is_wanted: impl Fn(&str) -> bool) {
        let mut topics = self.topics();
        topics.extend(new);
        if topics.len() > limit {
            topics.retain(|name| is_wanted(name));
        }
        drop(topics);
        self.has_topics.notify_one();
    }

    /// Takes the topics whose keys are requested.
    pub(crate) fn take(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut *self.topics()).into_iter().collect()
    }

    /// Waits until keys are requested, and takes their topics.
    pub(crate) async fn next(&self) -> Vec<Arc<str>> {
        loop {
            let topics = self.take();
            if !topics.is_empty() {
                return topics;
            }
            self.has_topics.notified().await;
        }
    }

    /// Notifies the feed that the hub is gone.
    pub(crate) fn close(&self) {
        self.closed.notify_waiters();
    }

    /// Requests that the backplane ends.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.close();
    }

    /// Returns whether the backplane has to end.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Records that the backplane has ended.
    pub(crate) fn set_ended(&self) {
        self.has_ended.send_replace(true);
    }

    /// Waits until the backplane has ended.
    pub(crate) async fn ended(&self) {
        // No error: the sender is a field.
        let _ = self.has_ended.subscribe().wait_for(|has_ended| *has_ended).await;
    }

    /// Waits until the hub is closed, which is checked again when it is gone, or leaves its backplane.
    pub(crate) async fn closed(&self, is_closed: impl Fn() -> bool) {
        let mut closed = std::pin::pin!(self.closed.notified());
        // Enabled before the check, so that no notification is missed.
        closed.as_mut().enable();
        if !is_closed() {
            closed.await;
        }
    }

    fn topics(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
