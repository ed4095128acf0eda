//! Gaps in a subscriber's events.

use super::field::EventId;

/// A range of positions in which events of a subscriber may be missing, or the closing of one of its topics.
///
/// A hub reports a gap if it no longer keeps the events of the range, or no longer knows whether a topic was closed in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The position at which the subscriber resumed. If it did not resume, the position that it had reached when the gap was found.
    /// `None` if it resumed with an id that is no position of a hub. Events before it may be missing too, if an earlier
    /// connection ended before it could report a gap.
    pub from: Option<EventId>,
    /// The last position in which an event may be missing. The events up to it that the hub still keeps were delivered before the gap,
    /// and all events after it follow. It is the id of the gap's own event. It may equal `from` if only the closing of a topic may be
    /// missing.
    pub to: EventId,
}
