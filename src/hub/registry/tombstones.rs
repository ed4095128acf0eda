//! The tombstones of removed topics.
//!
//! Pure, and bounded: so many names have one each, all others share a floor, which may report more as evicted than was.

use crate::hub::state::tombstone::Tombstone;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Tombstones by name, and the evicted sequence of all other names.
#[derive(Debug)]
pub(crate) struct Tombstones {
    limit: usize,
    by_name: HashMap<Arc<str>, (u64, Tombstone)>,
    /// The names in the order in which they were buried.
    order: BTreeMap<u64, Arc<str>>,
    turn: u64,
    floor: u64,
}

impl Tombstones {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, by_name: HashMap::new(), order: BTreeMap::new(), turn: 0, floor: 0 }
    }

    /// Begins another epoch, in which everything up to a position is evicted and no topic was closed.
    pub(crate) fn begin_epoch(&mut self, floor: u64) {
        self.floor = floor;
        self.by_name.retain(|_, (_, tombstone)| {
            (tombstone.through, tombstone.closed_since) = (0, 0);
            tombstone.settings.is_some()
        });
        let by_name = &self.by_name;
        self.order.retain(|_, name| by_name.contains_key(name));
    }

    /// Adds the tombstone of a removed topic, in place of the one before of its name.
    pub(crate) fn bury(&mut self, name: &Arc<str>, tombstone: Tombstone) {
        let is_known = tombstone.through <= self.floor && tombstone.closed_since == 0 && tombstone.settings.is_none();
        match self.by_name.get_mut(name) {
            // A topic that was opened and removed without an event keeps its age.
            Some((_, known)) if known.through == tombstone.through && !is_known => {
                *known = tombstone;
                return;
            }
            Some((turn, _)) => drop(self.order.remove(turn)),
            None => {}
        }
        if is_known {
            self.by_name.remove(name);
            return;
        }
        self.turn += 1;
        self.by_name.insert(Arc::clone(name), (self.turn, tombstone));
        self.order.insert(self.turn, Arc::clone(name));
        while self.order.len() > self.limit {
            self.remove_oldest();
        }
    }

    /// Returns the tombstone of this name.
    pub(crate) fn find(&self, name: &str) -> Tombstone {
        let tombstone = self.by_name.get(name).map_or_else(Tombstone::default, |&(_, tombstone)| tombstone);
        Tombstone { through: tombstone.through.max(self.floor), ..tombstone }
    }

    fn remove_oldest(&mut self) {
        let Some((_, name)) = self.order.pop_first() else { return };
        if let Some((_, tombstone)) = self.by_name.remove(&name) {
            self.floor = self.floor.max(tombstone.through);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{
        retention::Retention,
        settings::{Linger, TopicSettings},
    };

    fn through(through: u64) -> Tombstone {
        Tombstone { through, ..Tombstone::default() }
    }

    /// Each time it displaced another tombstone: one client that reconnected to a removed topic caused gaps for all others.
    #[test]
    fn topic_removed_twice_displaces_no_other_tombstone() {
        let mut tombstones = Tombstones::new(2);
        let (quiet, busy) = (Arc::from("quiet"), Arc::from("busy"));
        tombstones.bury(&quiet, through(10));
        for number in 20..40 {
            tombstones.bury(&busy, through(number / 2));
            assert_eq!(tombstones.find("busy"), through(number / 2));
        }
        assert_eq!(tombstones.find("quiet"), through(10));
        assert_eq!(tombstones.find("never"), through(0));
    }

    #[test]
    fn an_evicted_event_is_never_reported_as_retained() {
        let mut tombstones = Tombstones::new(2);
        let names: Vec<Arc<str>> = ["a", "b", "c", "d"].map(Arc::from).into();
        assert_eq!(tombstones.find("a"), through(0));
        tombstones.bury(&names[0], through(10));
        tombstones.bury(&names[1], through(20));
        assert_eq!(tombstones.find("never"), through(0));
        assert_eq!(tombstones.find("a"), through(10));
        tombstones.bury(&names[0], through(30));
        tombstones.bury(&names[2], through(40));
        assert_eq!(tombstones.find("b"), through(20), "beyond the table, by the floor");
        tombstones.bury(&names[3], through(50));
        assert_eq!(tombstones.find("never"), through(30), "higher than necessary, and correct");
        assert_eq!(tombstones.find("d"), through(50));
        assert_eq!((tombstones.order.len(), tombstones.by_name.len()), (2, 2));
    }

    #[test]
    fn a_closing_and_settings_are_kept_with_the_name() {
        let mut tombstones = Tombstones::new(2);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let settings = TopicSettings { bounds: Retention::new().events(3), linger: Linger::default() };
        let ended = Tombstone { through: 0, closed_since: 7, settings: Some(settings) };
        tombstones.bury(&a, ended);
        tombstones.bury(&b, through(9));
        assert_eq!(tombstones.find("a"), ended);
        // Opened and removed again.
        tombstones.bury(&a, Tombstone { closed_since: 0, ..ended });
        assert_eq!(tombstones.find("a"), Tombstone { closed_since: 0, ..ended });
        tombstones.begin_epoch(100);
        assert_eq!(
            (tombstones.find("a"), tombstones.find("b")),
            (Tombstone { through: 100, closed_since: 0, ..ended }, through(100))
        );
        tombstones.bury(&a, through(100));
        assert_eq!(tombstones.find("a"), through(100));
        assert!(tombstones.order.is_empty() && tombstones.by_name.is_empty());
    }
}
