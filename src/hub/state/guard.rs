//! The state of a topic under its lock, and the guard that keeps the hub's counts.

use std::{
    ops::{Deref, DerefMut},
    sync::atomic::Ordering,
    task::Waker,
};

use super::{
    counts::HubCounts, members::Members, rank::EvictionTicket, readers::Readers, retained::Retained, waiters::Waiters,
};
use crate::hub::{settings::Linger, sync::Guard};

/// The state of a topic under its lock. `T` is the topic, as it stands in the queues of its waiters.
#[derive(Debug)]
pub(super) struct TopicState<T> {
    pub(super) retained: Retained,
    /// The time for which the topic may gather events before its subscribers are woken.
    pub(super) linger: Linger,
    pub(super) waiters: Waiters<T>,
    pub(super) readers: Readers,
    pub(super) members: Members,
    /// The registry knows the topic's oldest event. Changes under the registry's lock.
    pub(super) is_tracked: bool,
    /// The topic is removed from its hub, whose counts do not include it any more.
    pub(super) is_removed: bool,
    /// The place among the topics that are not held. Changes under the registry's lock.
    pub(super) eviction_ticket: Option<EvictionTicket>,
}

/// The locked state. Dropping it adds the difference in bytes, and in evicted keys, to the hub's counts.
pub(super) struct TopicGuard<'a, T> {
    state: Guard<'a, TopicState<T>>,
    /// The bytes and the evicted keys when it was locked.
    before: (usize, u64),
    counts: &'a HubCounts,
}

impl<T> TopicState<T> {
    /// Advances a reader, if its epoch is current. Returns the publishers to wake.
    pub(super) fn advance(&mut self, reader: usize, cursor: u64, is_current: bool) -> Vec<Waker> {
        if is_current { self.readers.advance(reader, cursor) } else { Vec::new() }
    }

    /// Returns the time for which the topic lingers: no event may expire unread.
    #[inline]
    pub(super) fn effective_linger(&self) -> Linger {
        if self.linger == Linger::default() {
            return self.linger;
        }
        self.retained.bounds.age.map_or(self.linger, |age| self.linger.min(Linger::from(age / 2)))
    }

    /// Returns the sequence of the oldest event, unless the registry knows it, or knew it once: it looks at it then.
    pub(super) fn track_oldest(&mut self) -> Option<u64> {
        let oldest = self.retained.log.oldest().filter(|_| !self.is_tracked)?;
        self.is_tracked = true;
        Some(oldest.sequence)
    }
}

impl<'a, T> TopicGuard<'a, T> {
    pub(super) fn new(state: Guard<'a, TopicState<T>>, counts: &'a HubCounts) -> Self {
        Self { before: (state.retained.bytes(), state.retained.latest.evicted_count()), state, counts }
    }
}

impl<T> Deref for TopicGuard<'_, T> {
    type Target = TopicState<T>;

    fn deref(&self) -> &TopicState<T> {
        &self.state
    }
}

impl<T> DerefMut for TopicGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut TopicState<T> {
        &mut self.state
    }
}

impl<T> Drop for TopicGuard<'_, T> {
    fn drop(&mut self) {
        let (before, evicted_before) = self.before;
        let (now, evicted) = (self.state.retained.bytes(), self.state.retained.latest.evicted_count());
        if now != before && !self.state.is_removed {
            // A difference below zero wraps, and so does the sum.
            self.counts.kept.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
        if evicted > evicted_before {
            self.counts.add_evicted_keys(evicted - evicted_before);
        }
    }
}
