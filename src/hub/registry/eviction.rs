//! The queue of topics that can be evicted.
//!
//! Pure. A topic that is not held has a ticket here, with its rank at the time when it was queued. An event that was published
//! since raises the rank, so the caller compares it with the current one before it evicts the topic.

use std::collections::BTreeMap;

use crate::hub::state::rank::{EvictionRank, EvictionTicket};

/// Topics in the order in which they are evicted. `T` is the topic.
#[derive(Debug)]
pub(crate) struct EvictionQueue<T> {
    topics: BTreeMap<EvictionTicket, T>,
    turn: u64,
}

impl<T> EvictionQueue<T> {
    pub(crate) fn new() -> Self {
        Self { topics: BTreeMap::new(), turn: 0 }
    }

    /// Adds a topic behind those of the same rank. Returns its ticket.
    pub(crate) fn put(&mut self, rank: EvictionRank, topic: T) -> EvictionTicket {
        self.turn += 1;
        let ticket = EvictionTicket { rank, turn: self.turn };
        self.topics.insert(ticket, topic);
        ticket
    }

    pub(crate) fn remove(&mut self, ticket: EvictionTicket) {
        self.topics.remove(&ticket);
    }

    /// Removes the first topic. Returns it with the rank under which it was queued.
    pub(crate) fn pop(&mut self) -> Option<(EvictionRank, T)> {
        self.topics.pop_first().map(|(ticket, topic)| (ticket.rank, topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_topics_are_evicted_first_and_keyed_ones_last() {
        let rank = |is_keyed, read_at, newest| EvictionRank { is_keyed, read_at, newest };
        let mut unheld = EvictionQueue::new();
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
