//! The topics of a hub, by name.
//!
//! Pure. They are walked in turns, a few at a time, so that those that nobody uses are found without a timer.

use std::{collections::HashMap, sync::Arc};

/// Names, and what they name.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    topics: Vec<(Arc<str>, T)>,
    places: HashMap<Arc<str>, usize>,
    turn: usize,
}

impl<T> Directory<T> {
    pub(crate) fn new() -> Self {
        Self { topics: Vec::new(), places: HashMap::new(), turn: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.places.get(name).map(|&place| &self.topics[place].1)
    }

    /// Adds a topic whose name is new.
    pub(crate) fn insert(&mut self, name: Arc<str>, topic: T) {
        self.places.insert(Arc::clone(&name), self.topics.len());
        self.topics.push((name, topic));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        let place = self.places.remove(name)?;
        let (_, topic) = self.topics.swap_remove(place);
        if let Some((moved, _)) = self.topics.get(place) {
            self.places.insert(Arc::clone(moved), place);
        }
        Some(topic)
    }

    /// The topic whose turn it is to be looked at.
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
    fn what_is_moved_is_found_and_all_have_their_turn() {
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
