//! The events of a topic, as long as they are kept.
//!
//! Pure. Time is a number of milliseconds that the caller gives. What goes is remembered by one number: everything up to
//! it is gone, so a reader that has come less far has missed something.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

/// One event in the log. Its id is not among its bytes: it is its sequence.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) at: u64,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) event: Bytes,
}

/// Events in order of their sequence.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    bytes: usize,
    last: u64,
    evicted_through: u64,
    unkeyed_evicted_through: u64,
}

/// What an event counts for beside its bytes.
pub(crate) const OVERHEAD: usize = size_of::<Entry>();

impl Entry {
    pub(crate) fn size(&self) -> usize {
        size_of_event(&self.event, self.key.as_deref())
    }

    pub(crate) fn numbered(&self) -> (u64, &Bytes) {
        (self.sequence, &self.event)
    }
}

/// What an event of these bytes counts for, with its key.
pub(crate) fn size_of_event(event: &[u8], key: Option<&str>) -> usize {
    event.len() + key.map_or(0, str::len) + OVERHEAD
}

impl Log {
    /// An empty one, whose events up to here are gone.
    pub(crate) fn new(evicted_through: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            last: evicted_through,
            evicted_through,
            unkeyed_evicted_through: evicted_through,
        }
    }

    /// The newest sequence that the topic ever had.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Everything up to here is gone.
    pub(crate) fn evicted_through(&self) -> u64 {
        self.evicted_through
    }

    /// Every event without a key up to here is gone.
    pub(crate) fn unkeyed_evicted_through(&self) -> u64 {
        self.unkeyed_evicted_through
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn oldest(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The sequence of the event that so many newer ones follow.
    pub(crate) fn before_newest(&self, events: usize) -> Option<u64> {
        let at = self.entries.len().checked_sub(events)?.checked_sub(1)?;
        Some(self.entries[at].sequence)
    }

    /// Takes an event whose sequence is above all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        debug_assert!(entry.sequence > self.last);
        self.last = entry.sequence;
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Lets the oldest go.
    pub(crate) fn evict(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.size();
        self.evicted_through = entry.sequence;
        if entry.key.is_none() {
            self.unkeyed_evicted_through = entry.sequence;
        }
        Some(entry)
    }

    /// The events above this sequence, in order.
    pub(crate) fn after(&self, sequence: u64) -> impl DoubleEndedIterator<Item = &Entry> {
        let from = match self.entries.back() {
            // Most readers have come to the newest but one.
            Some(newest) if newest.sequence <= sequence => self.entries.len(),
            _ => self.entries.partition_point(|entry| entry.sequence <= sequence),
        };
        self.entries.range(from..)
    }
}
