//! A gap in a stream of events.

use super::field::EventId;

/// Events that a subscriber should have had are gone, or it is not known any more whether its topics were closed meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The position that this connection came with, or, if it came with none, that it had reached when the gap was found.
    /// Something may be missing before it that an earlier connection was cut too early to be told of. `None`: it came with
    /// something that no hub gives.
    pub from: Option<EventId>,
    /// Up to here something may be missing. What is kept up to here was given before; everything after it follows. On the
    /// wire it is the id of the gap. If no event is missing, but an end may be, it may be the same as `from`.
    pub to: EventId,
}
