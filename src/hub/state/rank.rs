//! The rank of a topic among those that can make room for others.

/// When a topic goes, before those of a greater rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReclaimRank {
    /// Keyed values are the last to go.
    pub(crate) is_keyed: bool,
    /// When a subscriber read it last, or 0 if there was none.
    pub(crate) read_at: u64,
    /// The sequence of its newest event.
    pub(crate) newest: u64,
}

/// A rank with a number of its own, as two topics may have one rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReclaimTicket {
    pub(crate) rank: ReclaimRank,
    pub(crate) turn: u64,
}

/// The state of a topic by which its registry removes it, or queues it to make room for others.
pub(crate) struct ReclaimState {
    pub(crate) rank: ReclaimRank,
    pub(crate) ticket: Option<ReclaimTicket>,
    /// The number of keyed values.
    pub(crate) keys: usize,
    /// Nothing is lost if the topic is removed, or it is closed.
    pub(crate) is_disposable: bool,
}
