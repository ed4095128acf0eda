//! The events and keyed values that a topic retains, within its bounds.
//!
//! Pure. Time is milliseconds by the hub's clock.

use std::{sync::Arc, time::Duration};

use super::{
    closings::Closings,
    found::{Budget, FoundEvent},
    lane::Numbers,
    latest::{Latest, LatestEntry},
    log::{Entry, Log, size_of_event},
    read::{Floor, Query, Selection},
    tombstone::Tombstone,
};
use crate::hub::{error::PublishError, retention::Retention};

/// The content of a topic.
#[derive(Debug)]
pub(super) struct Retained {
    bounds: Retention,
    /// The bound of age in milliseconds, or `u64::MAX` if there is none.
    age: u64,
    pub(super) log: Log,
    pub(super) latest: Latest,
    pub(super) closings: Closings,
}

/// Returns a bound of age in milliseconds.
fn in_millis(age: Option<Duration>) -> u64 {
    age.map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

impl Retained {
    /// Creates the content of a topic without events, from the tombstone of the last topic of its name. `is_partial` says
    /// that its keyed values may have to be loaded from a backplane.
    pub(super) fn new(tombstone: &Tombstone, bounds: Retention, is_partial: bool) -> Self {
        let mut latest = Latest::new(tombstone.through);
        latest.set_partial(is_partial);
        Self {
            bounds,
            age: in_millis(bounds.age),
            log: Log::new(tombstone.through),
            latest,
            closings: Closings::since(tombstone.closed_since),
        }
    }

    pub(super) fn bounds(&self) -> Retention {
        self.bounds
    }

    /// Sets the bounds, and evicts what exceeds them.
    pub(super) fn set_bounds(&mut self, bounds: Retention, now: u64) {
        (self.bounds, self.age) = (bounds, in_millis(bounds.age));
        self.evict_excess(now);
    }

    /// Returns the size of all events and keyed values, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.log.bytes() + self.latest.bytes()
    }

    /// Returns an error if an event of this size is larger than the topic, or its hub, retains.
    pub(super) fn check_size(&self, size: usize, hub_limit: usize) -> Result<(), PublishError> {
        let limit = self.bounds.bytes.min(hub_limit);
        if size > limit { Err(PublishError::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Appends an event, which opens the topic if it is closed, and evicts what exceeds the bounds.
    pub(super) fn append(&mut self, entry: Entry) {
        self.closings.open(entry.sequence);
        if let Some(key) = &entry.key {
            self.latest.put(Arc::clone(key), entry.sequence, entry.event.clone());
        }
        let now = entry.at;
        self.log.push(entry);
        self.evict_excess(now);
    }

    /// Sets the newest event of a key, unless a newer one is known or the event is too large.
    pub(super) fn put_latest(&mut self, entry: LatestEntry, hub_limit: usize) {
        let LatestEntry { sequence, key, event } = entry;
        let fits = self.check_size(size_of_event(&event, Some(&key)), hub_limit).is_ok();
        if fits && !self.latest.has(&key, sequence) {
            self.latest.put(key, sequence, event);
        }
    }

    /// Evicts what exceeds the bounds.
    pub(super) fn evict_excess(&mut self, now: u64) {
        while self.latest.len() > self.bounds.keys {
            self.latest.evict(u64::MAX);
        }
        while self.log.len() > self.bounds.events || (self.bytes() > self.bounds.bytes && self.log.len() > 1) {
            self.evict();
        }
        while self.bytes() > self.bounds.bytes && self.latest.evict(u64::MAX) {}
        self.evict_expired(now);
    }

    /// Evicts the events that are older than the bound of age.
    pub(super) fn evict_expired(&mut self, now: u64) {
        while self.has_expired(now) {
            self.evict();
        }
    }

    /// Returns whether the oldest event is older than the bound of age.
    #[inline]
    pub(super) fn has_expired(&self, now: u64) -> bool {
        self.log.oldest().is_some_and(|oldest| now.saturating_sub(oldest.at) > self.age)
    }

    /// Evicts the oldest event.
    pub(super) fn evict(&mut self) {
        let _ = self.log.evict();
    }

    /// Begins another epoch, in which everything up to a position is evicted.
    pub(super) fn begin_epoch(&mut self, evicted_through: u64) {
        self.log = Log::new(evicted_through);
        self.latest = Latest::new(evicted_through);
        // Only a hub with a backplane has more than one epoch.
        self.latest.set_partial(true);
        self.closings.begin_epoch();
    }

    /// Returns the sequence of the newest event or keyed value that the topic ever had up to a position.
    pub(super) fn newest_through(&self, through: u64) -> u64 {
        // Keys that a backplane has loaded are in no log, and may be ahead of all logs.
        self.log.last().max(self.latest.newest_through(through).unwrap_or(0))
    }

    /// Returns whether the query selects an event. To a reader that is not new, an event that it has missed counts too.
    pub(super) fn has_any(&self, query: Query, is_new: bool) -> bool {
        let mut events = Vec::new();
        self.read(query, Budget::ONE, &[], &mut events);
        !events.is_empty() || (!is_new && self.missed_through(query) > query.after)
    }

    /// Returns whether the topic retains nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.log.len() == 0 && self.latest.len() == 0
    }

    /// Returns the events of the frame after a sequence.
    pub(super) fn unencoded(&self, after: u64, prefix: &[u8]) -> Vec<FoundEvent> {
        let mut events = Vec::new();
        if self.log.last() > after {
            let floor = Floor::default();
            let query =
                Query { selection: Selection::All, after, through: u64::MAX, floor, joined_at: 0, topic_index: 0 };
            self.read(query, Budget::FRAME, prefix, &mut events);
        }
        events
    }

    /// Appends the events that the query selects to `into`. Returns the sequence of the last one if more may follow.
    pub(super) fn read(&self, query: Query, budget: Budget, prefix: &[u8], into: &mut Vec<FoundEvent>) -> Option<u64> {
        query.read(&self.log, &self.latest, budget, prefix, into)
    }

    /// Returns the numbers that subscribers read without the topic's lock.
    pub(super) fn numbers(&self) -> Numbers {
        let closed = self.closings.last();
        let expires = self.log.oldest().map_or(u64::MAX, |oldest| oldest.at.saturating_add(self.age));
        Numbers { news: self.log.last().max(closed), closed, evicted: self.log.evicted_through(), expires }
    }

    /// Returns the sequence of the newest event that the query would have selected, had it not been evicted or hidden by
    /// the floor. A reader with a lower cursor has missed it.
    pub(super) fn missed_through(&self, query: Query) -> u64 {
        let hidden = query.hidden(&self.log, &self.latest).unwrap_or(0);
        self.evicted_through(query.selection, query.joined_at).max(hidden)
    }

    /// Returns the sequence of the newest evicted event that counts for a selection.
    ///
    /// To a new reader, keys whose newest event was older than its arrival are the past: it has not missed them.
    fn evicted_through(&self, selection: Selection, joined_at: u64) -> u64 {
        match selection {
            Selection::All => self.log.evicted_through(),
            Selection::Conflated => {
                let keys = Some(self.latest.evicted_through()).filter(|&keys| keys > joined_at);
                self.log.unkeyed_evicted_through().max(keys.unwrap_or(0))
            }
            Selection::Snapshot => 0,
        }
    }
}
