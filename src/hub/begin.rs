//! Where a subscription begins, by what the client says that it has, and what it is told first.
//!
//! Pure.

use super::{position::Position, subscribe::Start};

/// Something that is told beside the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The client is new.
    Greeting,
    /// Something is missing.
    Gap,
}

/// Where a subscription begins.
pub(crate) struct Begin {
    pub(crate) cursor: u64,
    /// The client has nothing, and what had gone before it came is no loss to it.
    pub(crate) is_new: bool,
    /// Where the hub is, for a client that is new.
    pub(crate) came_at: u64,
    /// What is told before anything else.
    pub(crate) first: Option<Notice>,
    /// The client came with something that is no position of this history: with a position of another, or with none.
    pub(crate) foreign: Option<Option<Position>>,
    /// Up to here only the present is given.
    pub(crate) present_through: u64,
}

impl Begin {
    /// By what the client sent, if it did, and where the hub is now. A hub that is fed may be behind another node: a client
    /// from there is ahead of it, and waits.
    pub(crate) fn new(asked: Option<&[u8]>, head: Position, start: Start, is_fed: bool) -> Self {
        let Some(asked) = asked else { return Self::fresh(head, start) };
        let none = Self { cursor: 0, is_new: false, came_at: 0, first: None, foreign: None, present_through: 0 };
        let from = Position::parse(asked);
        match from {
            // A position of this run, and not one that is still to come.
            Some(Position { epoch, sequence }) if epoch == head.epoch && sequence <= head.sequence => {
                Self { cursor: sequence, ..none }
            }
            // Of the last number there is none that could still come, and it is the place of those who are nobody any more.
            Some(Position { epoch, sequence }) if epoch == head.epoch && is_fed && sequence < u64::MAX => {
                Self { cursor: sequence, ..none }
            }
            _ => Self { first: Some(Notice::Gap), foreign: Some(from), ..none },
        }
    }

    fn fresh(head: Position, start: Start) -> Self {
        let (cursor, present_through) = match start {
            Start::Now => (head.sequence, 0),
            Start::Beginning => (0, 0),
            Start::Latest => (0, head.sequence),
        };
        let (came_at, first) = (head.sequence, Some(Notice::Greeting));
        Self { cursor, is_new: true, came_at, first, foreign: None, present_through }
    }
}
