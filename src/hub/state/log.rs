//! The log of a topic: the events that it retains.
//!
//! Pure. Time is in milliseconds, given by the caller. Of evicted events only the highest sequence is kept: a reader whose
//! cursor is below it has missed something.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

/// An event in the log. Its bytes have no id: its id is its sequence.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) at: u64,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) event: Bytes,
}

/// The events of a topic, in order of their sequence.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    bytes: usize,
    last: u64,
    evicted_through: u64,
    unkeyed_evicted_through: u64,
}

/// The bytes that an event counts beside its own.
pub(crate) const OVERHEAD: usize = size_of::<Entry>();

impl Entry {
    pub(crate) fn size(&self) -> usize {
        size_of_event(&self.event, self.key.as_deref())
    }

    pub(crate) fn numbered(&self) -> (u64, &Bytes) {
        (self.sequence, &self.event)
    }
}

/// Returns the bytes that an event counts, with its key.
pub(crate) fn size_of_event(event: &[u8], key: Option<&str>) -> usize {
    event.len() + key.map_or(0, str::len) + OVERHEAD
}

impl Log {
    /// Creates an empty log, whose events up to a sequence are evicted.
    pub(crate) fn new(evicted_through: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            last: evicted_through,
            evicted_through,
            unkeyed_evicted_through: evicted_through,
        }
    }

    /// Returns the highest sequence that the topic ever had.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the sequence up to which events are evicted.
    pub(crate) fn evicted_through(&self) -> u64 {
        self.evicted_through
    }

    /// Returns the sequence up to which events without a key are evicted.
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

    /// Returns the sequence of the event that is followed by exactly so many.
    pub(crate) fn before_newest(&self, events: usize) -> Option<u64> {
        let at = self.entries.len().checked_sub(events)?.checked_sub(1)?;
        Some(self.entries[at].sequence)
    }

    /// Appends an event, whose sequence is above all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        debug_assert!(entry.sequence > self.last);
        self.last = entry.sequence;
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Evicts the oldest event.
    pub(crate) fn evict(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.size();
        self.evicted_through = entry.sequence;
        if entry.key.is_none() {
            self.unkeyed_evicted_through = entry.sequence;
        }
        Some(entry)
    }

    /// Returns the events above this sequence that were published at this time or later, in order.
    pub(crate) fn since(&self, sequence: u64, at: u64) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.range(self.first_since(sequence, at)..)
    }

    /// Returns the events above the first sequence that are not [since](Self::since) the second and the time, in order.
    pub(crate) fn until(&self, after: u64, sequence: u64, at: u64) -> impl DoubleEndedIterator<Item = &Entry> {
        let to = self.first_since(sequence, at);
        self.entries.range(self.first_since(after, 0).min(to)..to)
    }

    fn first_since(&self, sequence: u64, at: u64) -> usize {
        let first = match self.entries.back() {
            // Most readers have read all events but the newest.
            Some(newest) if newest.sequence <= sequence => self.entries.len(),
            _ => self.entries.partition_point(|entry| entry.sequence <= sequence),
        };
        if at == 0 { first } else { first.max(self.entries.partition_point(|entry| entry.at < at)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Generates events with or without a key; `None` evicts the oldest.
    fn steps() -> impl Strategy<Value = Vec<Option<(u64, bool)>>> {
        prop::collection::vec(prop::option::weighted(0.6, (1_u64..4, any::<bool>())), 0..60)
    }

    proptest! {
        #[test]
        fn the_log_has_the_events_that_were_not_evicted(steps in steps(), gone in 0_u64..5) {
            let (mut log, mut all, mut kept_from) = (Log::new(gone), Vec::new(), 0);
            for step in steps {
                match step {
                    Some((ahead, has_key)) => {
                        let sequence = log.last() + ahead;
                        let entry = Entry {
                            sequence,
                            at: sequence,
                            key: has_key.then(|| "key".into()),
                            event: Bytes::from(vec![b'x'; sequence as usize]),
                        };
                        all.push(entry.clone());
                        log.push(entry);
                    }
                    None => {
                        let evicted = log.evict().map(|entry| entry.sequence);
                        assert_eq!(evicted, all.get(kept_from).map(|entry| entry.sequence));
                        kept_from += usize::from(evicted.is_some());
                    }
                }
            }
            let (evicted, kept) = all.split_at(kept_from);
            let newest = |entries: &[Entry], which: fn(&Entry) -> bool| {
                entries.iter().filter(|entry| which(entry)).map(|entry| entry.sequence).max().unwrap_or(gone)
            };
            assert_eq!(log.len(), kept.len());
            assert_eq!(log.bytes(), kept.iter().map(Entry::size).sum::<usize>());
            assert_eq!(log.last(), newest(&all, |_| true));
            assert_eq!(log.evicted_through(), newest(evicted, |_| true));
            assert_eq!(log.unkeyed_evicted_through(), newest(evicted, |entry| entry.key.is_none()));
            let numbers: Vec<_> = kept.iter().map(|entry| entry.sequence).collect();
            for after in 0..=log.last() + 1 {
                let found: Vec<_> = log.since(after, 0).map(|entry| entry.sequence).collect();
                assert_eq!(found, numbers.iter().copied().filter(|&number| number > after).collect::<Vec<_>>());
                // Each event was published at the time of its sequence.
                for (floor, at) in [(0, after + 2), (after + 1, 0), (after + 1, after + 3)] {
                    let is_since = |&number: &u64| number > floor && number >= at;
                    let since: Vec<_> = log.since(floor, at).map(|entry| entry.sequence).collect();
                    assert_eq!(since, numbers.iter().copied().filter(is_since).collect::<Vec<_>>());
                    let until: Vec<_> = log.until(after, floor, at).map(|entry| entry.sequence).collect();
                    let is_until = |number: &u64| *number > after && !is_since(number);
                    assert_eq!(until, numbers.iter().copied().filter(is_until).collect::<Vec<_>>());
                }
            }
            for newer in 0..=kept.len() {
                assert_eq!(log.before_newest(newer), numbers.iter().rev().nth(newer).copied());
            }
        }
    }
}
