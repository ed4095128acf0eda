//! What a subscription is to others, and how that ends.

use super::{Given, Phase, Subscription};
use crate::{Reason, hub::standing::Standing};

impl Subscription {
    pub(super) fn end(&mut self, reason: Reason) -> Given {
        self.leave();
        self.phase = Phase::Ended(reason);
        Given::Ended(reason)
    }

    /// What it is to others, once it is.
    pub(crate) fn standing(&mut self) -> Option<Standing> {
        if !matches!(self.phase, Phase::Runs { .. }) {
            return None;
        }
        let has_left = self.has_left.get_or_insert_default().clone();
        let member = self.aside.as_ref().and_then(|aside| aside.member.as_ref());
        Some(Standing::new(&self.core, self.seats.places(), member, has_left))
    }

    /// Leaves its topics, if it has not yet.
    pub(crate) fn leave(&mut self) {
        if let Some(has_left) = &self.has_left {
            has_left.set();
        }
        self.stop_waiting();
        let runs = matches!(self.phase, Phase::Runs { .. });
        let member = self.aside.as_ref().and_then(|aside| aside.member.as_ref());
        self.seats.leave(&self.core, runs, member);
        self.core.presence_changed();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}
