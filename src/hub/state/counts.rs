//! The counts that the topics of a hub share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The counts of what the topics of a hub retain together, and of what was evicted or refused.
#[derive(Debug, Default)]
pub(crate) struct HubCounts {
    /// Bytes that are retained.
    pub(crate) kept: AtomicUsize,
    /// Topics that are held.
    pub(crate) held: AtomicUsize,
    /// Topics that were evicted to make room for others.
    pub(crate) evicted_topics: AtomicU64,
    /// Keyed values that were evicted to make room for others, and that no backplane loads again.
    pub(crate) evicted_keys: AtomicU64,
    /// Topics and subscriptions that were refused.
    pub(crate) refused: AtomicU64,
}

impl HubCounts {
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn add_evicted_keys(&self, count: u64) {
        self.evicted_keys.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn add_evicted_topic(&self) {
        self.evicted_topics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}
