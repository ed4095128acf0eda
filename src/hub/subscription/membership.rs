//! The membership of a subscription in its topics: its readers and members there, and the wake queue that it waits in.

use std::{fmt, sync::Arc, task::Context};

use tokio::time::Instant;

use super::{
    cursors::{Batch, Cursors},
    detach::{DetachHandle, LeftFlag},
};
use crate::hub::{
    core::Core,
    position::Epoch,
    state::{
        found::Budget,
        read::{Query, SharedRead, WaitOutcome},
        waiters::QueueClosed,
    },
    wake::pump::Placement,
};

/// The membership of a subscription in its topics.
///
/// The membership begins when the subscription joins, with its first poll, and ends when the subscription leaves. Meanwhile
/// publishers wait for its cursor, and its member is present.
pub(super) struct Membership {
    cursors: Cursors,
    placement: Option<Placement>,
    /// Shared with the handle that detaches the subscription while the body is not polled. Each stream that runs has one.
    has_left: Option<LeftFlag>,
}

impl Membership {
    /// Creates a membership that has not joined yet.
    pub(super) fn new(cursors: Cursors) -> Self {
        Self { cursors, placement: None, has_left: None }
    }

    /// Joins the topics, if that has not been done.
    pub(super) fn join(&mut self, core: &Core, epoch: &Epoch, cursor: u64, member: Option<&Arc<str>>) {
        if !self.cursors.has_joined() {
            self.cursors.join(core, epoch, cursor, member);
            core.presence_changed();
        }
    }

    /// Leaves the topics. Has no further effect if that has been done.
    pub(super) fn leave(&mut self, core: &Core, member: Option<&Arc<str>>) {
        if let Some(has_left) = &self.has_left {
            has_left.set();
        }
        self.cursors.leave(core, member);
        core.presence_changed();
    }

    /// Takes over the registrations of another membership in the same topics, which has not joined from then on.
    ///
    /// A detach handle of the other membership detaches this one.
    pub(super) fn take_over(&mut self, other: &mut Self) {
        if other.cursors.has_joined() {
            self.cursors.take_registrations(&mut other.cursors);
            (self.placement, self.has_left) = (other.placement.take(), other.has_left.take());
        }
    }

    /// Returns a handle that detaches the subscription from its topics, once it has joined.
    pub(super) fn detach_handle(&mut self, core: &Arc<Core>, member: Option<&Arc<str>>) -> Option<DetachHandle> {
        if !self.cursors.has_joined() {
            return None;
        }
        let has_left = self.has_left.get_or_insert_default().clone();
        Some(DetachHandle::new(core, self.cursors.registrations(), member, has_left))
    }

    /// Returns the names of the topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.cursors.registrations().map(|(topic, _)| topic.name())
    }

    /// Returns the name of the topic with this index.
    pub(super) fn topic(&self, index: u32) -> Option<&Arc<str>> {
        self.cursors.topic(index)
    }

    /// Returns a slice of a frame that the subscribers of a topic share, if there is one at this cursor and time.
    pub(super) fn read_shared(&self, core: &Core, epoch: &Epoch, cursor: u64, at: Instant) -> SharedRead {
        self.cursors.read_shared(core, epoch, cursor, at)
    }

    /// Reads all topics. Ends that are over by `ends_ignored_through` are ignored.
    pub(super) fn read(
        &mut self,
        core: &Core,
        epoch: &Epoch,
        query: Query,
        budget: Budget,
        ends_ignored_through: u64,
    ) -> Batch {
        self.cursors.read(core, epoch, query, budget, ends_ignored_through)
    }

    /// Resets what is known of the topics: they are of another epoch now.
    pub(super) fn begin_epoch(&mut self) {
        self.cursors.begin_epoch();
    }

    /// Registers a waker in each topic, unless one of them has something after the cursor.
    #[inline]
    pub(super) fn wait(&mut self, core: &Arc<Core>, epoch: &Epoch, cursor: u64, cx: &Context<'_>) -> WaitOutcome {
        if self.placement.as_mut().is_some_and(|placement| !placement.is_current()) {
            self.placement = None;
        }
        for _ in 0..PLACEMENTS_TRIED {
            let placement = self.placement.get_or_insert_with(|| Placement::here(core));
            match self.cursors.wait(core, epoch, &placement.queue, cursor, cx) {
                Ok(outcome) => return outcome,
                Err(QueueClosed { .. }) => self.placement = None,
            }
        }
        // The current runtime is shutting down, so the publisher wakes this subscription.
        let queue = core.wake_queues.without_pump();
        self.cursors.wait(core, epoch, &queue, cursor, cx).unwrap_or(WaitOutcome::Ready)
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cursors.fmt(f)
    }
}

/// The number of placements that a wait tries: a queue is closed if its runtime has ended, and a new one that is closed at once
/// belongs to a runtime that shuts down.
const PLACEMENTS_TRIED: usize = 2;
