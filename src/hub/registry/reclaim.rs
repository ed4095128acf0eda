//! The order in which topics make room for others.
//!
//! Pure. A topic that is not held has a place here. Its rank is that of the moment at which it was put, and is looked at once
//! more before the topic goes: what was published since moves it back.

use crate::hub::state::rank::ReclaimRank;
use crate::hub::state::rank::ReclaimTicket;
use std::collections::BTreeMap;

/// Topics in the order in which they go.
#[derive(Debug)]
pub(crate) struct ReclaimQueue<T> {
    topics: BTreeMap<ReclaimTicket, T>,
    turn: u64,
}

impl<T> ReclaimQueue<T> {
    pub(crate) fn new() -> Self {
        Self { topics: BTreeMap::new(), turn: 0 }
    }

    /// Adds a topic, behind those of the same rank. Returns its place.
    pub(crate) fn put(&mut self, rank: ReclaimRank, topic: T) -> ReclaimTicket {
        self.turn += 1;
        let place = ReclaimTicket { rank, turn: self.turn };
        self.topics.insert(place, topic);
        place
    }

    pub(crate) fn remove(&mut self, place: ReclaimTicket) {
        self.topics.remove(&place);
    }

    /// Takes out the topic that goes first, with the rank that it was put with.
    pub(crate) fn pop(&mut self) -> Option<(ReclaimRank, T)> {
        self.topics.pop_first().map(|(place, topic)| (place.rank, topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_read_ones_go_first_then_the_least_recently_read_and_keyed_ones_last() {
        let rank = |is_keyed, read_at, newest| ReclaimRank { is_keyed, read_at, newest };
        let mut unheld = ReclaimQueue::new();
        let order = [
            rank(false, 0, 7),
            rank(false, 0, 8),
            rank(false, 3, 1),
            rank(false, 5, 0),
            rank(true, 0, 2),
            rank(true, 4, 1),
        ];
        for at in [3, 5, 0, 4, 2, 1] {
            unheld.put(order[at], at);
        }
        let gone = unheld.put(rank(false, 0, 0), 9);
        unheld.remove(gone);
        unheld.put(order[5], 6);
        let popped: Vec<_> = std::iter::from_fn(|| unheld.pop()).map(|(_, topic)| topic).collect();
        assert_eq!(popped, [0, 1, 2, 3, 4, 5, 6]);
    }
}
