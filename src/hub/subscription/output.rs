//! The values that a subscription yields internally, before they are encoded.
//!
//! Pure.

use tokio::time::Instant;

use crate::{
    hub::{
        position::Position,
        state::{
            found::{FoundEvent, Ids},
            frames::Slice,
        },
    },
    observe::Reason,
};

/// A notice that is delivered beside the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The greeting of a new client.
    Greeting,
    /// A gap.
    Gap,
}

/// The output of a poll.
pub(crate) enum Output {
    /// Events, with a notice before, between or after them.
    Events {
        notice: Option<NoticeAt>,
        events: Vec<FoundEvent>,
        ids: Ids,
    },
    /// Encoded events that several subscriptions share, and the time at which they were read.
    Frame(Slice, Instant),
    Ended(Reason),
}

/// A notice with its place among the events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoticeAt {
    pub(crate) kind: Notice,
    /// The sequence of its id, which is also the end of a gap. `None` if the events after it have the first id.
    pub(crate) at: Option<u64>,
    /// The position at which a gap begins. `None` if the client sent an id that is no position.
    pub(crate) from: Option<Position>,
    /// The number of the events that come before it.
    pub(crate) events_before: usize,
}

impl Output {
    /// Returns the output of events without a notice, if there are any.
    pub(super) fn events(events: Vec<FoundEvent>, ids: Ids) -> Option<Self> {
        (!events.is_empty()).then_some(Self::Events { notice: None, events, ids })
    }

    /// Returns the end of the gap among the events, if there is one.
    pub(super) fn gap(&self) -> Option<u64> {
        match self {
            Self::Events { notice: Some(NoticeAt { kind: Notice::Gap, at, .. }), .. } => *at,
            _ => None,
        }
    }
}
