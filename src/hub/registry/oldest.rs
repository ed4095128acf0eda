//! A heap of topics by their oldest event, to find the oldest event of a hub.
//!
//! Pure. An entry may be out of date: the caller looks at the topic before it evicts anything.

use std::{
    cmp,
    collections::BinaryHeap,
    sync::{Arc, Weak},
};

/// Topics by an event that was their oldest once.
#[derive(Debug)]
pub(crate) struct OldestEvents<T> {
    heap: BinaryHeap<OldestEntry<T>>,
    /// The length above which the entries of topics that are gone are removed.
    limit: usize,
}

#[derive(Debug)]
struct OldestEntry<T> {
    sequence: u64,
    topic: Weak<T>,
}

impl<T> OldestEvents<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), limit: MIN_LIMIT }
    }

    /// Adds a topic by the sequence of its oldest event.
    pub(crate) fn push(&mut self, sequence: u64, topic: &Arc<T>) {
        self.heap.push(OldestEntry { sequence, topic: Arc::downgrade(topic) });
        if self.heap.len() > self.limit {
            self.heap.retain(|entry| entry.topic.strong_count() > 0);
            // So that it is seldom done, however many are left.
            self.limit = MIN_LIMIT.max(2 * self.heap.len());
        }
    }

    /// Removes the topic with the oldest event, if its sequence is at most this. Skips topics that are gone.
    pub(crate) fn pop(&mut self, through: u64) -> Option<(u64, Arc<T>)> {
        while self.heap.peek().is_some_and(|oldest| oldest.sequence <= through) {
            let entry = self.heap.pop()?;
            if let Some(topic) = entry.topic.upgrade() {
                return Some((entry.sequence, topic));
            }
        }
        None
    }

    pub(crate) fn clear(&mut self) {
        self.heap.clear();
    }

    #[cfg(all(test, not(tower_sse_loom)))]
    pub(crate) fn lens(&self) -> (usize, usize) {
        (self.heap.len(), self.heap.iter().filter(|entry| entry.topic.strong_count() > 0).count())
    }
}

/// The oldest first, as a heap pops the greatest.
impl<T> Ord for OldestEntry<T> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        other.sequence.cmp(&self.sequence)
    }
}

impl<T> PartialOrd for OldestEntry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for OldestEntry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<T> Eq for OldestEntry<T> {}

/// The number of entries below which those of topics that are gone are left in place.
pub(crate) const MIN_LIMIT: usize = 64;
