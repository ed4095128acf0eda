//! Entries by the tick at which they are due.
//!
//! Pure. A wheel whose slots are the ticks that have entries: as many as there are between now and the latest entry, which the
//! owner bounds.

use std::collections::BTreeMap;

/// Entries by the tick at which they are due.
#[derive(Debug)]
pub(crate) struct Calendar<T> {
    /// Invariant: none of the lists is empty.
    ticks: BTreeMap<u64, Vec<T>>,
}

impl<T> Calendar<T> {
    pub(crate) const fn new() -> Self {
        Self { ticks: BTreeMap::new() }
    }

    /// Adds an entry. Returns whether none was due before it, or at the same tick.
    pub(crate) fn insert(&mut self, tick: u64, entry: T) -> bool {
        let is_first = self.next_tick().is_none_or(|next| tick < next);
        let entries = self.ticks.entry(tick).or_default();
        if entries.len() == entries.capacity() {
            // Twice the length, as `push` reserves, would be half unused on average.
            entries.reserve_exact((entries.len() / 8).max(LEAST_ROOM));
        }
        entries.push(entry);
        is_first
    }

    /// Returns the earliest tick that has entries.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        self.ticks.first_key_value().map(|(&tick, _)| tick)
    }

    /// Removes the entries of the earliest tick, if that is due by this one.
    pub(crate) fn take_due(&mut self, tick: u64) -> Option<Vec<T>> {
        let earliest = self.ticks.first_entry().filter(|earliest| *earliest.key() <= tick)?;
        Some(earliest.remove())
    }
}

/// The number of entries that a tick has room for at first.
const LEAST_ROOM: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64),
        Advance(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![3 => (0_u64..40).prop_map(Step::Insert), 1 => (0_u64..15).prop_map(Step::Advance)]
    }

    proptest! {
        /// The naive model is a list of all entries.
        #[test]
        fn each_entry_is_due_once_at_its_tick(steps in prop::collection::vec(step(), 0..200)) {
            let (mut calendar, mut naive, mut now) = (Calendar::new(), Vec::new(), 0);
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    // Also at a tick that is over.
                    Step::Insert(ahead) => {
                        let tick = (now + ahead).saturating_sub(10);
                        let is_first = naive.iter().all(|&(other, _)| tick < other);
                        assert_eq!(calendar.insert(tick, number), is_first);
                        naive.push((tick, number));
                    }
                    Step::Advance(ticks) => {
                        now += ticks;
                        let mut due = Vec::new();
                        while let Some(entries) = calendar.take_due(now) {
                            assert!(!entries.is_empty());
                            due.extend(entries);
                        }
                        // Sorted by tick; those of a tick stay in order.
                        naive.sort_by_key(|&(tick, _)| tick);
                        let left = naive.split_off(naive.partition_point(|&(tick, _)| tick <= now));
                        let expected: Vec<_> = naive.iter().map(|&(_, number)| number).collect();
                        assert_eq!(due, expected);
                        naive = left;
                    }
                }
                assert_eq!(calendar.next_tick(), naive.iter().map(|&(tick, _)| tick).min());
            }
        }
    }

    #[test]
    fn unused_room_of_a_tick_is_an_eighth() {
        let mut calendar = Calendar::new();
        (0..10_000).for_each(|entry| _ = calendar.insert(1, entry));
        let entries: Vec<i32> = calendar.take_due(1).expect("the tick is due");
        assert!(entries.capacity() <= 10_000 / 8 * 9 + LEAST_ROOM);
    }
}
