//! A table of topics by name, which can be visited in turns.
//!
//! Pure. Each publish visits a few topics, so that unused ones are found without a timer.

use std::{collections::HashMap, sync::Arc};

/// Topics by name. `T` is the topic.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    topics: Vec<(Arc<str>, T)>,
    indices: HashMap<Arc<str>, usize>,
    turn: usize,
}

impl<T> Directory<T> {
    pub(crate) fn new() -> Self {
        Self { topics: Vec::new(), indices: HashMap::new(), turn: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.indices.get(name).map(|&index| &self.topics[index].1)
    }

    /// Adds a topic whose name is new.
    pub(crate) fn insert(&mut self, name: Arc<str>, topic: T) {
        self.indices.insert(Arc::clone(&name), self.topics.len());
        self.topics.push((name, topic));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        let index = self.indices.remove(name)?;
        let (_, topic) = self.topics.swap_remove(index);
        if let Some((moved, _)) = self.topics.get(index) {
            self.indices.insert(Arc::clone(moved), index);
        }
        Some(topic)
    }

    /// Returns the topic whose turn it is, and advances the turn.
    pub(crate) fn next(&mut self) -> Option<(&Arc<str>, &T)> {
        self.turn = if self.turn < self.topics.len() { self.turn } else { 0 };
        let (name, topic) = self.topics.get(self.turn)?;
        self.turn += 1;
        Some((name, topic))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.topics.iter().map(|(_, topic)| topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_topics_are_found_and_each_has_its_turn() {
        let mut directory = Directory::new();
        for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
            directory.insert(name.into(), number);
        }
        assert_eq!(directory.remove("a"), Some(0));
        assert_eq!(directory.remove("a"), None);
        assert_eq!(directory.get("b"), Some(&1));
        assert_eq!(directory.get("c"), Some(&2));
        let turns: Vec<_> = (0..4).filter_map(|_| directory.next().map(|(_, &number)| number)).collect();
        assert_eq!(turns, [2, 1, 2, 1]);
        assert_eq!((directory.remove("b"), directory.remove("c")), (Some(1), Some(2)));
        assert!(directory.next().is_none());
    }
}
