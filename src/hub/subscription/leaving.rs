//! What a subscription is to others, and how that ends.

use super::detach::DetachHandle;
use super::{Output, Phase, Subscription};
use crate::observe::Reason;

impl Subscription {
    pub(super) fn end(&mut self, reason: Reason) -> Output {
        self.leave();
        self.phase = Phase::Ended(reason);
        Output::Ended(reason)
    }

    /// Returns whether it is in its topics.
    pub(super) fn has_joined(&self) -> bool {
        matches!(self.phase, Phase::Runs { .. } | Phase::Again)
    }

    /// Becomes this one, which was made of the same topics and is not in them yet. To others it stays what it is: a handle
    /// that gives its places up still does.
    pub(super) fn become_again(&mut self, mut made: Self) {
        if self.has_joined() {
            made.cursors.take_places(&mut self.cursors);
            (made.placement, made.has_left) = (self.placement.take(), self.has_left.take());
            (made.phase, self.phase) = (Phase::Again, Phase::New);
        }
        *self = made;
    }

    /// What it is to others, once it is.
    pub(crate) fn detach_handle(&mut self) -> Option<DetachHandle> {
        if !self.has_joined() {
            return None;
        }
        let has_left = self.has_left.get_or_insert_default().clone();
        let member = self.cold.as_ref().and_then(|aside| aside.member.as_ref());
        Some(DetachHandle::new(&self.core, self.cursors.places(), member, has_left))
    }

    /// Leaves its topics, if it has not yet.
    pub(crate) fn leave(&mut self) {
        if let Some(has_left) = &self.has_left {
            has_left.set();
        }
        self.stop_waiting();
        let member = self.cold.as_ref().and_then(|aside| aside.member.as_ref());
        self.cursors.leave(&self.core, self.has_joined(), member);
        self.core.presence_changed();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}
