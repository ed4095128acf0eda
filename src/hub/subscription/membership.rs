//! The membership of a subscription in its topics: its readers and members there, and the wake queue that it waits in.

use std::{fmt, sync::Arc, task::Context};

use tokio::time::Instant;

use super::{
    cursors::{Batch, Cursors},
    detach::{DetachHandle, Places},
};
use crate::hub::{
    core::Core,
    position::Epoch,
    state::{
        TopicQueue,
        found::Budget,
        lane::LaneClosed,
        read::{Query, SharedRead, WaitOutcome},
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
    /// The places in the topics, shared with the handle that detaches the subscription while the body is not polled. Each
    /// stream that runs has one.
    places: Option<Places>,
}

impl Membership {
    /// Creates a membership that has not joined yet.
    pub(super) fn new(cursors: Cursors) -> Self {
        Self { cursors, placement: None, places: None }
    }

    /// Joins the topics, if that has not been done.
    pub(super) fn join(&mut self, core: &Arc<Core>, epoch: &Epoch, cursor: u64, member: Option<&Arc<str>>) {
        if self.cursors.has_joined() {
            return;
        }
        for _ in 0..PLACEMENTS_TRIED {
            let placement = self.placement.insert(Placement::here(core));
            if self.cursors.join(core, epoch, &placement.queue, cursor, member).is_ok() {
                return core.presence_changed();
            }
        }
        // The current runtime is shutting down, so the publisher wakes this subscription.
        let joined = self.cursors.join(core, epoch, &core.wake_queues.without_pump(), cursor, member);
        debug_assert!(joined.is_ok(), "a queue without a pump is not closed");
        core.presence_changed();
    }

    /// Leaves the topics. Has no further effect if that has been done.
    pub(super) fn leave(&mut self, core: &Core, member: Option<&Arc<str>>) {
        if let Some(places) = &self.places {
            places.clear();
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
            (self.placement, self.places) = (other.placement.take(), other.places.take());
        }
    }

    /// Returns a handle that detaches the subscription from its topics, once it has joined.
    pub(super) fn detach_handle(&mut self, core: &Arc<Core>, member: Option<&Arc<str>>) -> Option<DetachHandle> {
        if !self.cursors.has_joined() {
            return None;
        }
        let places = self.places.get_or_insert_with(|| Places::new(self.cursors.places())).clone();
        Some(DetachHandle::new(core, member, places))
    }

    /// Returns the names of the topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.cursors.topics().map(|topic| topic.name())
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
            let queue = &placement.queue;
            let waited = if self.cursors.is_elsewhere(queue) {
                Self::move_to(&mut self.cursors, self.places.as_ref(), queue)
            } else {
                Ok(())
            };
            match waited.and_then(|()| self.cursors.wait(core, epoch, cursor, cx)) {
                Ok(outcome) => return outcome,
                Err(LaneClosed { .. }) => self.placement = None,
            }
        }
        // The current runtime is shutting down, so the publisher wakes this subscription.
        let moved = Self::move_to(&mut self.cursors, self.places.as_ref(), &core.wake_queues.without_pump());
        moved.and_then(|()| self.cursors.wait(core, epoch, cursor, cx)).unwrap_or(WaitOutcome::Ready)
    }

    /// Moves to the lanes of a queue.
    #[cold]
    fn move_to(cursors: &mut Cursors, places: Option<&Places>, queue: &Arc<TopicQueue>) -> Result<(), LaneClosed> {
        let mut unused = Vec::new();
        let moved = match places {
            None => cursors.move_to(queue, &mut unused),
            Some(places) => places.change(|| {
                let moved = cursors.move_to(queue, &mut unused);
                (moved, cursors.places())
            }),
        };
        // Wakers are dropped after the locks.
        drop(unused);
        moved
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
