//! The state of a topic under its lock, and the guard that keeps the hub's counts.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use super::{
    counts::HubCounts,
    lane::{Face, Lane, Place},
    members::Members,
    rank::EvictionTicket,
    readers::Readers,
    retained::Retained,
    rounds::News,
};
use crate::hub::{
    settings::Linger,
    sync::Guard,
    wake::{queue::WakeQueue, wakes::QueuesToWake},
};

/// The state of a topic under its lock. `T` is the topic, as it stands in the queues of its waiters.
#[derive(Debug)]
pub(super) struct TopicState<T> {
    pub(super) retained: Retained,
    /// The time for which the topic may gather events before its subscribers are woken.
    pub(super) linger: Linger,
    /// The queues in which subscribers wait, each with its lane.
    pub(super) lanes: Vec<(Arc<WakeQueue<T>>, Arc<Lane>)>,
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
    face: &'a Face,
    is_face_set: bool,
}

impl<T> TopicState<T> {
    /// Sets the cursor of a reader, or detaches it. Returns the publishers to wake, or `None` if it was detached before.
    pub(super) fn set_cursor(&mut self, place: &Place, cursor: u64) -> Option<Vec<Waker>> {
        let old = place.lane.report(place.seat, cursor)?;
        Some(self.readers.moved(old, cursor))
    }

    /// Returns the lane of a queue. Creates it if there is none, unless the pump of the queue is gone.
    pub(super) fn open_lane(&mut self, queue: &Arc<WakeQueue<T>>) -> Option<Arc<Lane>> {
        if let Some((_, lane)) = self.lanes.iter().find(|(other, _)| other.id() == queue.id()) {
            return Some(Arc::clone(lane));
        }
        // A pump that ends after this finds the lane.
        if queue.is_closed() {
            return None;
        }
        let lane = Lane::new(queue.id(), self.retained.log.last());
        self.lanes.push((Arc::clone(queue), Arc::clone(&lane)));
        Some(lane)
    }

    /// Records news in each lane. Returns the queues that the topic has to be added to.
    #[inline]
    pub(super) fn record(&self, news: Option<&News>) -> Option<QueuesToWake<T>> {
        let evicted = self.retained.log.evicted_through();
        self.queues(|lane| lane.record(evicted, news))
    }

    /// Makes the rounds due that have not begun. Returns the queues that the topic has to be added to.
    pub(super) fn release(&self) -> Option<QueuesToWake<T>> {
        self.queues(Lane::release)
    }

    #[inline]
    fn queues(&self, is_to_wake: impl Fn(&Lane) -> bool) -> Option<QueuesToWake<T>> {
        let to_wake = self.lanes.iter().filter(|(_, lane)| is_to_wake(lane));
        to_wake.fold(None, |next, (queue, _)| Some(QueuesToWake { queue: Arc::clone(queue), next: next.map(Box::new) }))
    }

    /// Returns the time for which the topic lingers: no event may expire unread.
    #[inline]
    pub(super) fn effective_linger(&self) -> Linger {
        if self.linger == Linger::default() {
            return self.linger;
        }
        self.retained.bounds().age.map_or(self.linger, |age| self.linger.min(Linger::from(age / 2)))
    }

    /// Returns the sequence of the oldest event, unless the registry knows it, or knew it once: it looks at it then.
    pub(super) fn track_oldest(&mut self) -> Option<u64> {
        let oldest = self.retained.log.oldest().filter(|_| !self.is_tracked)?;
        self.is_tracked = true;
        Some(oldest.sequence)
    }
}

impl<'a, T> TopicGuard<'a, T> {
    pub(super) fn new(state: Guard<'a, TopicState<T>>, counts: &'a HubCounts, face: &'a Face) -> Self {
        let before = (state.retained.bytes(), state.retained.latest.evicted_count());
        Self { before, state, counts, face, is_face_set: false }
    }

    /// Sets the face of the topic before its lanes are told of a change. Nothing of it changes afterwards.
    pub(super) fn set_face(&mut self) {
        self.face.set(self.state.retained.numbers());
        self.is_face_set = true;
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
        if !self.is_face_set {
            self.set_face();
        }
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
