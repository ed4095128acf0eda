//! Where a subscription begins, by what the client says that it has, and what it is told first.
//!
//! Pure.

use super::request::{Start, Subscribe};
use crate::event::field::EventId;
use crate::hub::{position::Position, state::read::Floor};
use std::time::Duration;

/// Something that is told beside the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The client is new.
    Greeting,
    /// Something is missing.
    Gap,
}

/// Where a subscription begins.
pub(crate) struct StartPoint {
    pub(crate) cursor: u64,
    /// The client has nothing, and what had gone before it came is no loss to it.
    pub(crate) is_new: bool,
    /// The position of the hub, for a client that is new.
    pub(crate) joined_at: u64,
    /// The notice that is told before anything else.
    pub(crate) first: Option<Notice>,
    /// The client came with something that is no position of this history: with a position of another, or with none.
    pub(crate) foreign: Option<Option<Position>>,
    /// Up to here only the present is given.
    pub(crate) snapshot_through: u64,
}

impl StartPoint {
    /// By what the client sent, if it did, where the hub is now, and what the client may see of the past. A hub that is fed
    /// may be behind another node: a client from there is ahead of it, and waits.
    pub(crate) fn new(subscribe: &Subscribe, head: Position, floor: Floor, is_fed: bool) -> Self {
        let Some(asked) = &subscribe.after else { return Self::fresh(head, subscribe.start, floor) };
        let none = Self { cursor: 0, is_new: false, joined_at: 0, first: None, foreign: None, snapshot_through: 0 };
        let from = Position::parse(asked.as_bytes());
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

    fn fresh(head: Position, start: Start, floor: Floor) -> Self {
        let (cursor, present_through) = match start {
            Start::Live => (head.sequence.max(floor.sequence), 0),
            Start::Beginning => (floor.sequence, 0),
            Start::Snapshot => (0, head.sequence),
        };
        let (came_at, first) = (head.sequence, Some(Notice::Greeting));
        Self { cursor, is_new: true, joined_at: came_at, first, foreign: None, snapshot_through: present_through }
    }
}

/// Returns the past that a client that comes now may not see, by its bounds.
pub(crate) fn floor(subscribe: &Subscribe, head: Position, is_fed: bool, now: u64) -> Floor {
    let hidden = |id| hidden_before(id, head, is_fed);
    let age = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Floor {
        sequence: subscribe.not_before.as_ref().map_or(0, hidden),
        at: subscribe.not_older_than.map_or(0, |bound| now.saturating_sub(age(bound))),
    }
}

/// Up to where a bound that was given as an event's id hides what is there. A hub that is fed may not have come to it yet.
fn hidden_before(id: &EventId, head: Position, is_fed: bool) -> u64 {
    match Position::parse(id.as_str().as_bytes()) {
        Some(Position { epoch, sequence }) if epoch == head.epoch && (is_fed || sequence <= head.sequence) => {
            sequence.saturating_sub(1)
        }
        // Of another history: nothing is known of what it hides.
        _ => head.sequence,
    }
}
