//! The wait of a subscription for the replica of its node.
//!
//! A replica that has just started, or that is behind another node, does not have yet what the subscription needs: all events
//! to find out what the client has missed, the keyed values of its topics, or the event of the client's id.

use std::{sync::Arc, task::Waker};

use super::request::{LagPolicy, Start, Subscribe};
use crate::hub::{
    core::{Core, Lookup},
    replica::{
        Replica,
        catch_up::{CatchUpWait, WaitFor},
    },
};

/// The wait of a subscription for its replica. Idle for most subscriptions, and always without a backplane.
#[derive(Default)]
pub(super) struct ReplicaWait(Option<Box<CatchUpWait>>);

/// The outcome of a poll of a [`ReplicaWait`].
pub(super) enum ReplicaState {
    /// The subscription can read.
    Ready,
    /// The waker is registered; the subscription does not read before it is woken.
    Pending,
    /// The replica has all events now, so the subscription is created again with these options.
    Resubscribe(Subscribe),
}

impl ReplicaWait {
    /// Returns the wait of a new subscription with this cursor.
    pub(super) fn of_new(core: &Core, subscribe: &Subscribe, lookup: &Lookup, cursor: u64) -> Self {
        let Some(replica) = &core.replica else { return Self::default() };
        let for_what = if !lookup.is_synced || !knows_keys(core, subscribe) {
            WaitFor::FirstSync(subscribe.clone())
        } else if cursor > lookup.head {
            // A sync that was under way when the client subscribed may be older than the client's id.
            WaitFor::Position { times: replica.sync_count() + 2 }
        } else {
            return Self::default();
        };
        Self(Some(CatchUpWait::new(for_what)))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Begins to wait, in place of any other wait.
    pub(super) fn start(&mut self, replica: &Replica, for_what: WaitFor) {
        self.stop(replica);
        self.0 = Some(CatchUpWait::new(for_what));
    }

    /// Stops waiting, and removes the waker. Returns what the wait was for.
    pub(super) fn stop(&mut self, replica: &Replica) -> Option<WaitFor> {
        Some(self.0.take()?.stop(&replica.waiting))
    }

    /// Registers a waker for the next progress of the replica, if there is a wait.
    pub(super) fn register(&mut self, replica: &Replica, waker: &Waker) {
        if let Some(wait) = &mut self.0 {
            wait.wait(&replica.waiting, waker);
        }
    }

    /// Polls for the replica to have what a subscription to these topics needs before it reads.
    pub(super) fn poll<'a>(
        &mut self,
        core: &Core,
        replica: &Replica,
        topics: impl Iterator<Item = &'a Arc<str>>,
        waker: &Waker,
    ) -> ReplicaState {
        let is_complete = match self.0.as_deref_mut() {
            None | Some(CatchUpWait { for_what: WaitFor::Position { .. }, .. }) => return ReplicaState::Ready,
            Some(wait) => {
                // Registered before the replica is checked, so that no progress is missed in between.
                wait.wait(&replica.waiting, waker);
                match &wait.for_what {
                    WaitFor::FirstSync(subscribe) => replica.is_synced() && knows_keys(core, subscribe),
                    _ => is_complete(core, replica, topics),
                }
            }
        };
        if !is_complete {
            return ReplicaState::Pending;
        }
        match self.stop(replica) {
            Some(WaitFor::FirstSync(subscribe)) => ReplicaState::Resubscribe(subscribe),
            _ => ReplicaState::Ready,
        }
    }

    /// Returns whether the client's id lies beyond all events that exist. Returns `None` if that is not known yet, or if the
    /// subscription does not wait for an id.
    pub(super) fn is_beyond_log(&self, core: &Core, cursor: u64) -> Option<bool> {
        let &WaitFor::Position { times } = &self.0.as_ref()?.for_what else { return None };
        let has_come = core.watermark() >= cursor;
        (has_come || core.replica.as_ref()?.sync_count() >= times).then_some(!has_come)
    }
}

/// Returns whether a replica has all events of its epoch, and the keyed values of these topics. Requests missing keys.
pub(super) fn is_complete<'a>(core: &Core, replica: &Replica, topics: impl Iterator<Item = &'a Arc<str>>) -> bool {
    replica.is_synced() && core.knows_keys(topics)
}

/// Returns whether the keyed values that a subscription delivers are known. Requests missing keys.
fn knows_keys(core: &Core, subscribe: &Subscribe) -> bool {
    let needs_keys = subscribe.start == Start::Snapshot || subscribe.lag == LagPolicy::Conflate;
    !needs_keys || core.knows_keys(subscribe.topics.iter())
}
