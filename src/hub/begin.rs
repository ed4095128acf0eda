//! Where a subscription begins, by what the client says that it has, and what it is told first.
//!
//! Pure.

use super::{position::Position, subscribe::Start};

/// What is told between events.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Notice {
    /// The client is new.
    Greeting,
    /// Something is missing, from here on (if it said a position at all), and up to here at least.
    Gap { from: Option<Position>, through: u64 },
}

impl Notice {
    /// A gap up to here, beside what was to be told already.
    pub(crate) fn gap(other: Option<Self>, cursor: Position, missed: u64) -> Self {
        match other {
            Some(Self::Gap { from, through }) => Self::Gap { from, through: missed.max(through) },
            // It also tells a new client where it is.
            Some(Self::Greeting) | None => Self::Gap { from: Some(cursor), through: missed },
        }
    }
}

/// Where a subscription begins.
pub(crate) struct Begin {
    pub(crate) cursor: u64,
    /// The client has everything up to the cursor.
    pub(crate) has_position: bool,
    /// Where the hub is, for a client that has no position.
    pub(crate) came_at: u64,
    pub(crate) notice: Option<Notice>,
    /// Up to here only the present is given.
    pub(crate) present_through: u64,
}

impl Begin {
    /// By what the client sent, if it did, and where the hub is now. A hub that is fed may be behind another node: a client
    /// from there is ahead of it, and waits.
    pub(crate) fn new(asked: Option<&[u8]>, head: Position, start: Start, is_fed: bool) -> Self {
        let Some(asked) = asked else { return Self::fresh(head, start) };
        let from = Position::parse(asked);
        match from {
            // A position of this run, and not one that is still to come.
            Some(Position { epoch, sequence }) if epoch == head.epoch && sequence <= head.sequence => {
                Self { cursor: sequence, has_position: true, came_at: 0, notice: None, present_through: 0 }
            }
            // Of the last number there is none that could still come, and it is the place of those who are nobody any more.
            Some(Position { epoch, sequence }) if epoch == head.epoch && is_fed && sequence < u64::MAX => {
                Self { cursor: sequence, has_position: true, came_at: 0, notice: None, present_through: 0 }
            }
            _ => {
                let notice = Some(Notice::Gap { from, through: 0 });
                Self { cursor: 0, has_position: false, came_at: head.sequence, notice, present_through: 0 }
            }
        }
    }

    fn fresh(head: Position, start: Start) -> Self {
        let (cursor, present_through) = match start {
            Start::Now => (head.sequence, 0),
            Start::Beginning => (0, 0),
            Start::Latest => (0, head.sequence),
        };
        let (has_position, came_at) = (start == Start::Now, head.sequence);
        Self { cursor, has_position, came_at, notice: Some(Notice::Greeting), present_through }
    }
}
