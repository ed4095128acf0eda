//! The newest event of each key, beside the log, for conflating readers and snapshots.
//!
//! Pure. In order of sequence, so that a reader finds the events after its cursor.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;

use super::log::size_of_event;

/// The newest event of each key.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    by_sequence: BTreeMap<u64, (Arc<str>, Bytes)>,
    by_key: HashMap<Arc<str>, u64>,
    bytes: usize,
    evicted_through: u64,
    /// The number of keys that were evicted.
    evicted: u64,
    /// Some keys may not be known here, and have to be loaded from a backplane.
    is_partial: bool,
}

/// The newest event of a key, from a backplane.
#[derive(Debug)]
pub(crate) struct LatestEntry {
    pub(crate) sequence: u64,
    pub(crate) key: Arc<str>,
    pub(crate) event: Bytes,
}

impl Latest {
    /// Creates an empty table, whose keys up to a sequence are evicted.
    pub(crate) fn new(evicted_through: u64) -> Self {
        Self { evicted_through, ..Self::default() }
    }

    /// Sets whether some keys may not be known here.
    pub(crate) fn set_partial(&mut self, is_partial: bool) {
        self.is_partial = is_partial;
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Returns whether the newest event that is known of this key is not older.
    pub(crate) fn has(&self, key: &str, sequence: u64) -> bool {
        self.by_key.get(key).is_some_and(|&known| known >= sequence)
    }

    /// Returns the sequence up to which keys may have been evicted.
    pub(crate) fn evicted_through(&self) -> u64 {
        self.evicted_through
    }

    /// Returns the number of keys that were evicted.
    pub(crate) fn evicted_count(&self) -> u64 {
        self.evicted
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets the newest event of a key.
    pub(crate) fn put(&mut self, key: Arc<str>, sequence: u64, event: Bytes) {
        self.remove(&key);
        self.bytes += size_of_event(&event, Some(&key));
        self.by_key.insert(Arc::clone(&key), sequence);
        // Only a faulty backplane has two keys with one sequence. The first is removed, as it could not be evicted any more.
        if let Some((key, event)) = self.by_sequence.insert(sequence, (key, event)) {
            self.by_key.remove(&key);
            self.bytes -= size_of_event(&event, Some(&key));
        }
    }

    /// Removes a key at the publisher's request. It is not evicted: no reader has missed anything.
    pub(crate) fn remove(&mut self, key: &str) {
        let Some(sequence) = self.by_key.remove(key) else { return };
        if let Some((key, event)) = self.by_sequence.remove(&sequence) {
            self.bytes -= size_of_event(&event, Some(&key));
        }
    }

    /// Evicts the key that was published least recently, if that was at most at this sequence.
    pub(crate) fn evict(&mut self, through: u64) -> bool {
        let oldest = self.by_sequence.first_entry().filter(|oldest| *oldest.key() <= through);
        let Some((sequence, (key, event))) = oldest.map(|oldest| oldest.remove_entry()) else { return false };
        self.bytes -= size_of_event(&event, Some(&key));
        self.by_key.remove(&key);
        self.evicted += 1;
        self.evicted_through = self.evicted_through.max(sequence);
        true
    }

    /// Returns the sequence of the newest event up to this one.
    pub(crate) fn newest_through(&self, sequence: u64) -> Option<u64> {
        self.by_sequence.range(..=sequence).next_back().map(|(&sequence, _)| sequence)
    }

    /// Returns the newest event of each key that has one above this sequence, in order.
    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = (u64, &Bytes)> {
        self.by_sequence
            .range((Bound::Excluded(sequence), Bound::Unbounded))
            .map(|(&sequence, (_, event))| (sequence, event))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Put(&'static str),
        Remove(&'static str),
        Evict(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = || prop::sample::select(vec!["a", "bb", "ccc", "dddd"]);
        prop_oneof![
            4 => key().prop_map(Step::Put),
            1 => key().prop_map(Step::Remove),
            1 => prop_oneof![Just(u64::MAX), 0_u64..60].prop_map(Step::Evict)
        ]
    }

    proptest! {
        #[test]
        fn each_key_has_its_newest_event_until_it_is_removed(steps in prop::collection::vec(step(), 0..60)) {
            let (mut latest, mut naive, mut gone) = (Latest::new(0), Vec::<(u64, &str)>::new(), 0);
            for (step, sequence) in steps.into_iter().zip(1..) {
                match step {
                    Step::Put(key) => {
                        latest.put(key.into(), sequence, Bytes::from(sequence.to_string()));
                        naive.retain(|&(_, other)| other != key);
                        naive.push((sequence, key));
                    }
                    Step::Remove(key) => {
                        latest.remove(key);
                        naive.retain(|&(_, other)| other != key);
                    }
                    Step::Evict(through) => {
                        let goes = naive.first().is_some_and(|&(sequence, _)| sequence <= through);
                        assert_eq!(latest.evict(through), goes);
                        if goes {
                            gone = naive.remove(0).0;
                        }
                    }
                }
                assert_eq!(latest.evicted_through(), gone);
                assert_eq!(latest.len(), naive.len());
                let size = |&(sequence, key): &(u64, &str)| size_of_event(sequence.to_string().as_bytes(), Some(key));
                assert_eq!(latest.bytes(), naive.iter().map(size).sum::<usize>());
                for after in 0..=sequence {
                    let found: Vec<_> = latest.after(after).map(|(sequence, event)| (sequence, event.clone())).collect();
                    let newer = naive.iter().filter(|&&(sequence, _)| sequence > after);
                    let older = naive.iter().map(|&(sequence, _)| sequence).filter(|&sequence| sequence <= after);
                    assert_eq!(latest.newest_through(after), older.max());
                    assert_eq!(found, newer.map(|&(n, _)| (n, Bytes::from(n.to_string()))).collect::<Vec<_>>());
                }
            }
        }
    }

    /// One of two keys was never evicted, and a topic with too many keys of one sequence tried to evict one for ever.
    #[test]
    fn the_later_of_two_keys_with_one_sequence_is_kept() {
        let mut latest = Latest::new(0);
        latest.put("a".into(), 7, Bytes::from_static(b"1"));
        latest.put("bb".into(), 7, Bytes::from_static(b"2"));
        assert_eq!((latest.len(), latest.bytes()), (1, size_of_event(b"2", Some("bb"))));
        assert!(latest.evict(u64::MAX));
        assert_eq!((latest.len(), latest.bytes()), (0, 0));
    }

    /// Keys are loaded in any order: one that was evicted after a newer one hid that the newer one was evicted.
    #[test]
    fn the_evicted_sequence_never_decreases() {
        let mut latest = Latest::new(0);
        for (key, sequence) in [("a", 300), ("b", 200)] {
            latest.put(key.into(), sequence, Bytes::from_static(b"1"));
            assert!(latest.evict(u64::MAX));
        }
        assert_eq!(latest.evicted_through(), 300);
    }
}
