//! What most subscriptions have no need of once they run, in a box of its own.

use std::sync::Arc;

use crate::hub::{begin::Notice, picked::Picked, standing::HasLeft, waiting::Waiting};

/// What there may be to a subscription beside its cursor.
#[derive(Default)]
pub(super) struct Aside {
    /// What to tell first, until it is polled.
    pub(super) notice: Option<Notice>,
    /// Up to here only the present is given.
    pub(super) present_through: u64,
    /// Where the hub was when it came as a new client. 0: it is not new.
    pub(super) came_at: u64,
    /// What it waits for its node for.
    pub(super) waiting: Option<Box<Waiting>>,
    /// What follows the notice that was given last, where things are given one at a time.
    pub(super) held: Option<Picked>,
    pub(super) member: Option<Arc<str>>,
    /// For whoever may give up what it is to others in its place.
    pub(super) has_left: Option<HasLeft>,
}

impl Aside {
    /// Whether one that takes every event runs as well without it.
    pub(super) fn is_of_no_use(&self) -> bool {
        let is_present = self.present_through > 0;
        !is_present && self.waiting.is_none() && self.held.is_none() && self.member.is_none() && self.has_left.is_none()
    }
}
