//! The point at which a subscription begins, by the id of its client.
//!
//! Pure.

use std::time::Duration;

use super::{
    output::Notice,
    request::{Start, Subscribe},
};
use crate::{
    event::field::EventId,
    hub::{position::Position, state::read::Floor},
};

/// The point at which a subscription begins.
pub(crate) struct StartPoint {
    pub(crate) cursor: u64,
    /// The client has no id, so events that were evicted before it subscribed are not missing to it.
    pub(crate) is_new: bool,
    /// The position of the hub when a new client subscribed; 0 for a client that resumes.
    pub(crate) joined_at: u64,
    /// The notice to deliver before anything else.
    pub(crate) first_notice: Option<Notice>,
    /// The id that the client sent, if it is no position of this epoch: a position of another epoch, or no position at all.
    pub(crate) foreign_id: Option<Option<Position>>,
    /// The end of the snapshot that the client gets first; 0 if it gets none.
    pub(crate) snapshot_through: u64,
}

impl StartPoint {
    /// Returns the start for the id of the client, if it sent one, and the position of the hub now.
    ///
    /// A replica may be behind another node. A client that comes from there has a cursor ahead of the head, and waits.
    pub(crate) fn new(subscribe: &Subscribe, head: Position, floor: Floor, is_replica: bool) -> Self {
        let Some(after) = &subscribe.after else { return Self::of_new_client(head, subscribe.start, floor) };
        let resumed =
            Self { cursor: 0, is_new: false, joined_at: 0, first_notice: None, foreign_id: None, snapshot_through: 0 };
        let from = Position::parse(after.as_bytes());
        match from {
            Some(Position { epoch, sequence }) if epoch == head.epoch && sequence <= head.sequence => {
                Self { cursor: sequence, ..resumed }
            }
            // No event can follow the last sequence, which also marks detached readers.
            Some(Position { epoch, sequence }) if epoch == head.epoch && is_replica && sequence < u64::MAX => {
                Self { cursor: sequence, ..resumed }
            }
            _ => Self { first_notice: Some(Notice::Gap), foreign_id: Some(from), ..resumed },
        }
    }

    fn of_new_client(head: Position, start: Start, floor: Floor) -> Self {
        let (cursor, snapshot_through) = match start {
            Start::Live => (head.sequence.max(floor.sequence), 0),
            Start::Beginning => (floor.sequence, 0),
            Start::Snapshot => (0, head.sequence),
        };
        Self {
            cursor,
            is_new: true,
            joined_at: head.sequence,
            first_notice: Some(Notice::Greeting),
            foreign_id: None,
            snapshot_through,
        }
    }
}

/// Returns the past that the bounds of a subscription hide if it is created now.
pub(crate) fn floor(subscribe: &Subscribe, head: Position, is_replica: bool, now: u64) -> Floor {
    let hidden = |id| hidden_before(id, head, is_replica);
    let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Floor {
        sequence: subscribe.not_before.as_ref().map_or(0, hidden),
        at: subscribe.not_older_than.map_or(0, |age| now.saturating_sub(millis(age))),
    }
}

/// Returns the last sequence that a bound hides which is the id of an event. A replica may not have received that event yet.
fn hidden_before(id: &EventId, head: Position, is_replica: bool) -> u64 {
    match Position::parse(id.as_str().as_bytes()) {
        Some(Position { epoch, sequence }) if epoch == head.epoch && (is_replica || sequence <= head.sequence) => {
            sequence.saturating_sub(1)
        }
        // A bound of another epoch: its place in this one is unknown, so all is hidden.
        _ => head.sequence,
    }
}
