//! What a subscription has to do with the node that it is on: where that is fed from outside, it may be behind, or begin anew.

use std::{sync::Arc, task::Context};

use super::{Phase, Subscription, knows_keys};
use super::{request::LagPolicy, resume::Notice};
use crate::{
    hub::{
        position::Position,
        replica::catch_up::{CatchUpWait, WaitFor},
    },
    negotiate::last_event_id::LastEventId,
    observe::Reason,
};

impl Subscription {
    /// Goes over to the history that is now, if another has begun: the client has nothing of it. So has one whose id is
    /// ahead of all that there is. Returns whether it waits for its node again before anything else.
    pub(super) fn renew(&mut self, first: &mut Option<Notice>) -> bool {
        let is_ahead = self.is_beyond_log();
        if is_ahead.is_some() {
            self.stop_waiting();
        }
        let is_now = self.core.is_current(&self.epoch);
        if is_now && is_ahead != Some(true) {
            return false;
        }
        // Taken before the look at the node, which has begun with this history then, or with one behind it.
        let era = self.core.epoch_of_all_topics();
        if !is_now && (self.begins_again() || self.waits_for_keys()) {
            return true;
        }
        let had = self.had(self.cursor);
        *first = Some(Notice::Gap);
        self.epoch = era;
        self.cursor = 0;
        let aside = self.cold.get_or_insert_default();
        (aside.held, aside.owed, aside.foreign) = (None, None, Some(had));
        (aside.present_through, aside.came_at) = (0, 0);
        (aside.over_at, aside.end) = (0, None);
        self.cursors.renew();
        self.phase = Phase::Runs { has_read: false };
        false
    }

    /// Another history has begun, and there are bounds to what may be seen of it. What those hide is known once the node has
    /// all of it: the subscription is made once more then, by what was asked.
    fn begins_again(&mut self) -> bool {
        let had = self.had(self.cursor).map(Position::id);
        let Some(mut asked) = self.cold.as_mut().and_then(|aside| aside.asked.take()) else { return false };
        // One that has been told where it began is told that this is over.
        asked.after = had.as_ref().and_then(LastEventId::from_id).or(asked.after);
        self.stop_waiting();
        self.cold.get_or_insert_default().waiting = Some(CatchUpWait::new(WaitFor::FirstSync(*asked)));
        true
    }

    /// Another history has begun, whose keyed values are not there before its node has all of it. A cursor that went over to
    /// it earlier would pass them. Returns whether it waits.
    fn waits_for_keys(&mut self) -> bool {
        if self.lag != LagPolicy::Conflate || self.knows_all() {
            return false;
        }
        self.stop_waiting();
        self.cold.get_or_insert_default().waiting = Some(CatchUpWait::new(WaitFor::NextEpoch));
        true
    }

    /// Returns whether its node has all that there is, with the keys of its topics. If those are not known, they are
    /// asked for.
    fn knows_all(&self) -> bool {
        let Some(fed) = &self.core.replica else { return true };
        fed.is_synced() && self.core.knows_keys(self.cursors.places().map(|(topic, _)| topic.name()))
    }

    /// Whether its node knows what there is. As long as it does not, the client waits and is nobody.
    pub(super) fn has_begun(&mut self, cx: &Context<'_>) -> bool {
        let Some(fed) = &self.core.replica else { return true };
        let Some(waiting) = self.cold.as_mut().and_then(|aside| aside.waiting.as_mut()) else { return true };
        if matches!(waiting.for_what, WaitFor::Position { .. }) {
            return true;
        }
        // First among those who are woken, then the look.
        waiting.wait(&fed.waiting, cx.waker());
        if matches!(waiting.for_what, WaitFor::NextEpoch) {
            let knows_all = self.knows_all();
            if knows_all {
                self.stop_waiting();
            }
            return knows_all;
        }
        let WaitFor::FirstSync(subscribe) = &waiting.for_what else { return true };
        if !fed.is_synced() || !knows_keys(&self.core, subscribe) {
            return false;
        }
        let core = Arc::clone(&self.core);
        let Some(WaitFor::FirstSync(subscribe)) = self.stop_waiting() else { return true };
        match Self::new(&core, subscribe) {
            Ok(subscription) => self.become_again(subscription),
            // Its topic was closed meanwhile, and there is no room for another.
            Err(_) => drop(self.end(Reason::TopicClosed)),
        }
        // Another history may have begun at this moment.
        self.has_begun(cx)
    }

    /// Whether its node had everything there was, and its id was not among it. `None`: that is not known yet, or not asked.
    pub(super) fn is_beyond_log(&self) -> Option<bool> {
        let (fed, waiting) = (self.core.replica.as_ref()?, self.cold.as_ref()?.waiting.as_ref()?);
        let &WaitFor::Position { times } = &waiting.for_what else { return None };
        let has_come = self.core.watermark() >= self.cursor;
        (has_come || fed.sync_count() >= times).then_some(!has_come)
    }

    /// Is not among those any more who are woken by what its node does.
    pub(super) fn stop_waiting(&mut self) -> Option<WaitFor> {
        let (fed, waiting) = (self.core.replica.as_ref()?, self.cold.as_mut()?.waiting.take()?);
        Some(waiting.stop(&fed.waiting))
    }
}
