//! What is still known of topics that are gone: up to where their events are.
//!
//! Pure, and bounded: of so many by name, of all others by one number that is right for each of them, if too careful.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Up to where the events of topics that are gone are gone.
#[derive(Debug)]
pub(crate) struct Removed {
    limit: usize,
    by_name: HashMap<Arc<str>, u64>,
    order: VecDeque<(Arc<str>, u64)>,
    floor: u64,
}

impl Removed {
    pub(crate) fn new(limit: usize) -> Self {
        Self::above(limit, 0)
    }

    /// Of all topics, everything up to here is gone.
    pub(crate) fn above(limit: usize, floor: u64) -> Self {
        Self { limit, by_name: HashMap::new(), order: VecDeque::new(), floor }
    }

    /// A topic goes, and with it all its events.
    pub(crate) fn put(&mut self, name: &Arc<str>, through: u64) {
        // One that came and went without an event is still known.
        if through <= self.floor || self.by_name.get(name) == Some(&through) {
            return;
        }
        self.by_name.insert(Arc::clone(name), through);
        self.order.push_back((Arc::clone(name), through));
        while self.order.len() > self.limit {
            self.forget_oldest();
        }
    }

    /// A topic of this name comes, perhaps again.
    pub(crate) fn find(&self, name: &str) -> u64 {
        self.by_name.get(name).copied().unwrap_or(0).max(self.floor)
    }

    fn forget_oldest(&mut self) {
        let Some((name, through)) = self.order.pop_front() else { return };
        // One that went once more has another number now.
        if self.by_name.get(&name) == Some(&through) {
            self.by_name.remove(&name);
            self.floor = self.floor.max(through);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each time it took the place of another in the table: one client that came and went for a topic that was gone had all
    /// others told gaps.
    #[test]
    fn one_that_comes_and_goes_again_and_again_pushes_nobody_out() {
        let mut removed = Removed::new(2);
        let (quiet, busy) = (Arc::from("quiet"), Arc::from("busy"));
        removed.put(&quiet, 10);
        removed.put(&busy, 20);
        for _ in 0..10 {
            assert_eq!(removed.find("busy"), 20);
            removed.put(&busy, 20);
        }
        assert_eq!(removed.find("quiet"), 10);
        assert_eq!(removed.find("never"), 0);
    }

    #[test]
    fn what_is_gone_is_never_said_to_be_there() {
        let mut removed = Removed::new(2);
        let names: Vec<Arc<str>> = ["a", "b", "c", "d"].map(Arc::from).into();
        assert_eq!(removed.find("a"), 0);
        removed.put(&names[0], 10);
        removed.put(&names[1], 20);
        assert_eq!(removed.find("never"), 0);
        assert_eq!(removed.find("a"), 10);
        removed.put(&names[0], 30);
        removed.put(&names[2], 40);
        assert_eq!(removed.find("b"), 20, "beyond the table, by the floor");
        removed.put(&names[3], 50);
        assert_eq!(removed.find("never"), 30, "too careful, and right");
        assert_eq!(removed.find("d"), 50);
        assert!(removed.order.len() <= 2);
    }
}
