//! A table of what is remembered of topics that are gone.
//!
//! Pure, and bounded: of so many names each for itself, of all others by one number that is right for each of them, if too
//! careful.

use crate::hub::state::tombstone::Tombstone;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Tombstones by name, and a floor for all other names.
#[derive(Debug)]
pub(crate) struct Tombstones {
    limit: usize,
    by_name: HashMap<Arc<str>, (u64, Tombstone)>,
    /// The names in the order in which they went.
    order: BTreeMap<u64, Arc<str>>,
    turn: u64,
    floor: u64,
}

impl Tombstones {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, by_name: HashMap::new(), order: BTreeMap::new(), turn: 0, floor: 0 }
    }

    /// Begins another history, in which everything up to a position is gone and no topic was closed.
    pub(crate) fn begin_epoch(&mut self, floor: u64) {
        self.floor = floor;
        self.by_name.retain(|_, (_, gone)| {
            (gone.through, gone.closed_since) = (0, 0);
            gone.bounds.is_some()
        });
        let by_name = &self.by_name;
        self.order.retain(|_, name| by_name.contains_key(name));
    }

    /// Remembers a topic that goes, in the place of what was remembered of its name.
    pub(crate) fn bury(&mut self, name: &Arc<str>, gone: Tombstone) {
        let is_known = gone.through <= self.floor && gone.closed_since == 0 && gone.bounds.is_none();
        match self.by_name.get_mut(name) {
            // One that came and went without an event does not outlive others by that.
            Some((_, known)) if known.through == gone.through && !is_known => {
                *known = gone;
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
        self.by_name.insert(Arc::clone(name), (self.turn, gone));
        self.order.insert(self.turn, Arc::clone(name));
        while self.order.len() > self.limit {
            self.forget_oldest();
        }
    }

    /// Returns what is remembered of this name.
    pub(crate) fn find(&self, name: &str) -> Tombstone {
        let gone = self.by_name.get(name).map_or_else(Tombstone::default, |&(_, gone)| gone);
        Tombstone { through: gone.through.max(self.floor), ..gone }
    }

    fn forget_oldest(&mut self) {
        let Some((_, name)) = self.order.pop_first() else { return };
        if let Some((_, gone)) = self.by_name.remove(&name) {
            self.floor = self.floor.max(gone.through);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::retention::Retention;

    fn through(through: u64) -> Tombstone {
        Tombstone { through, ..Tombstone::default() }
    }

    /// Each time it took the place of another in the table: one client that came and went for a topic that was gone had all
    /// others told gaps.
    #[test]
    fn one_that_comes_and_goes_again_and_again_pushes_nobody_out() {
        let mut removed = Tombstones::new(2);
        let (quiet, busy) = (Arc::from("quiet"), Arc::from("busy"));
        removed.bury(&quiet, through(10));
        for number in 20..40 {
            removed.bury(&busy, through(number / 2));
            assert_eq!(removed.find("busy"), through(number / 2));
        }
        assert_eq!(removed.find("quiet"), through(10));
        assert_eq!(removed.find("never"), through(0));
    }

    #[test]
    fn what_is_gone_is_never_said_to_be_there() {
        let mut removed = Tombstones::new(2);
        let names: Vec<Arc<str>> = ["a", "b", "c", "d"].map(Arc::from).into();
        assert_eq!(removed.find("a"), through(0));
        removed.bury(&names[0], through(10));
        removed.bury(&names[1], through(20));
        assert_eq!(removed.find("never"), through(0));
        assert_eq!(removed.find("a"), through(10));
        removed.bury(&names[0], through(30));
        removed.bury(&names[2], through(40));
        assert_eq!(removed.find("b"), through(20), "beyond the table, by the floor");
        removed.bury(&names[3], through(50));
        assert_eq!(removed.find("never"), through(30), "too careful, and right");
        assert_eq!(removed.find("d"), through(50));
        assert_eq!((removed.order.len(), removed.by_name.len()), (2, 2));
    }

    #[test]
    fn an_end_and_bounds_are_remembered_until_the_name_is_forgotten() {
        let mut removed = Tombstones::new(2);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let ended = Tombstone { through: 0, closed_since: 7, bounds: Some(Retention::new().events(3)) };
        removed.bury(&a, ended);
        removed.bury(&b, through(9));
        assert_eq!(removed.find("a"), ended);
        // Opened again, and gone again.
        removed.bury(&a, Tombstone { closed_since: 0, ..ended });
        assert_eq!(removed.find("a"), Tombstone { closed_since: 0, ..ended });
        removed.begin_epoch(100);
        assert_eq!(
            (removed.find("a"), removed.find("b")),
            (Tombstone { through: 100, closed_since: 0, ..ended }, through(100))
        );
        removed.bury(&a, through(100));
        assert_eq!(removed.find("a"), through(100));
        assert!(removed.order.is_empty() && removed.by_name.is_empty());
    }
}
