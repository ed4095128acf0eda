//! What most subscriptions have no need of once they run, in a box of its own.

use std::sync::Arc;

use super::{request::Subscribe, resume::Notice};
use crate::hub::{
    position::Position,
    replica::catch_up::CatchUpWait,
    state::{closings::End, found::FoundEvent, read::Floor},
};

/// What there may be to a subscription beside its cursor.
#[derive(Default)]
pub(super) struct ColdState {
    /// What to tell first, until it is polled.
    pub(super) first: Option<Notice>,
    /// The id that the client came with, if that is no position of the history that is read.
    pub(super) foreign: Option<Option<Position>>,
    /// The position that the client came with.
    pub(super) came_with: Option<u64>,
    /// A gap that is told once everything that is kept up to its end was given.
    pub(super) owed: Option<OwedGap>,
    /// Up to here only the present is given.
    pub(super) present_through: u64,
    /// The past that the client may not see, and the position up to which that can make a difference.
    pub(super) floor: Option<(Floor, u64)>,
    /// The request of the client, if there are bounds to what it may see and another history may begin.
    pub(super) asked: Option<Box<Subscribe>>,
    /// Where the hub was when it came as a new client. 0: it is not new.
    pub(super) came_at: u64,
    /// Ends that were over here are none to it: the position at which the hub was when it came, or one behind an end that is
    /// not known any more.
    pub(super) over_at: u64,
    /// The end that the subscription has come to.
    pub(super) end: Option<End>,
    /// What it waits for its node for.
    pub(super) waiting: Option<Box<CatchUpWait>>,
    /// The event that follows the gap that was told last, where things are given one at a time.
    pub(super) held: Option<FoundEvent>,
    pub(super) member: Option<Arc<str>>,
}

/// A gap that was found and is not told yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwedGap {
    pub(super) to: u64,
    /// The position at which the cursor was.
    pub(super) found_at: u64,
}

impl ColdState {
    /// Whether one that takes every event runs as well without it.
    pub(super) fn is_empty(&self) -> bool {
        self.present_through == 0
            && self.foreign.is_none()
            && self.came_with.is_none()
            && self.owed.is_none()
            && self.floor.is_none()
            && self.asked.is_none()
            && self.over_at == 0
            && self.end.is_none()
            && self.waiting.is_none()
            && self.held.is_none()
            && self.member.is_none()
    }
}
