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
        if through <= self.floor {
            return;
        }
        self.by_name.insert(Arc::clone(name), through);
        self.order.push_back((Arc::clone(name), through));
        while self.order.len() > self.limit {
            self.forget_oldest();
        }
    }

    /// A topic of this name comes, perhaps again.
    pub(crate) fn take(&mut self, name: &str) -> u64 {
        self.by_name.remove(name).unwrap_or(0).max(self.floor)
    }

    fn forget_oldest(&mut self) {
        let Some((name, through)) = self.order.pop_front() else { return };
        // One that came back, or went once more, has another number now.
        if self.by_name.get(&name) == Some(&through) {
            self.by_name.remove(&name);
            self.floor = self.floor.max(through);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_never_said_to_be_there() {
        let mut removed = Removed::new(2);
        let names: Vec<Arc<str>> = ["a", "b", "c", "d"].map(Arc::from).into();
        assert_eq!(removed.take("a"), 0);
        removed.put(&names[0], 10);
        removed.put(&names[1], 20);
        assert_eq!(removed.take("never"), 0);
        assert_eq!(removed.take("a"), 10);
        removed.put(&names[0], 30);
        removed.put(&names[2], 40);
        assert_eq!(removed.take("b"), 20, "beyond the table, by the floor");
        removed.put(&names[3], 50);
        assert_eq!(removed.take("never"), 30, "too careful, and right");
        assert_eq!(removed.take("d"), 50);
        assert!(removed.order.len() <= 2);
    }
}
