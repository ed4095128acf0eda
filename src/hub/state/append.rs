//! The parameters of an append to a topic.

/// Events to append to a topic, in order, and what becomes of the topic then.
pub(crate) struct Append<I> {
    pub(crate) entries: I,
    /// The size of the largest event.
    pub(crate) size: usize,
    /// The size of the largest event that the hub retains.
    pub(crate) hub_limit: usize,
    /// The sequence of the last event, or of the closing.
    pub(crate) through: u64,
    pub(crate) then: AfterAppend,
}

/// The state of a topic after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterAppend {
    Keep,
    Close,
}
