//! The rank of a topic among those that can be evicted.

/// The rank of a topic that is not held: those of a lower rank are evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EvictionRank {
    /// Topics with keyed values are the last to be evicted.
    pub(crate) is_keyed: bool,
    /// The time at which a subscriber read it last, or 0 if there was none.
    pub(crate) read_at: u64,
    /// The sequence of its newest event.
    pub(crate) newest: u64,
}

/// A place in the order of eviction: a rank with a unique number, as two topics may have one rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EvictionTicket {
    pub(crate) rank: EvictionRank,
    pub(crate) turn: u64,
}

/// The state of a topic by which its registry removes it, or queues it for eviction.
pub(crate) struct EvictionState {
    pub(crate) rank: EvictionRank,
    pub(crate) ticket: Option<EvictionTicket>,
    /// The number of keyed values.
    pub(crate) keys: usize,
    /// Nothing is lost if the topic is removed, or it is closed.
    pub(crate) is_disposable: bool,
}
