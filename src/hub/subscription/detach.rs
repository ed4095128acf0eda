//! What a subscription is to others: somebody who is waited for, and who is here.
//!
//! A connection whose client has stopped reading keeps its body, which nobody polls. So that a publisher does not wait for
//! it, and nobody takes its client for present, whoever finds that out gives this up in its place.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    hub::{core::Core, state::TopicShared},
    panic,
    streams::resources::Detach,
};

/// Its cursor and its member in each of its topics.
pub(crate) struct DetachHandle {
    core: Arc<Core>,
    /// The topics, and its number among the readers of each.
    places: Box<[(Arc<TopicShared>, usize)]>,
    member: Option<Arc<str>>,
    has_left: LeftFlag,
}

/// Whether a subscription has left its topics, or is about to: set before it takes the lock of the first. So under a topic's
/// lock its number there is its own, unless this says otherwise.
#[derive(Clone, Default)]
pub(crate) struct LeftFlag(Arc<AtomicBool>);

impl LeftFlag {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl DetachHandle {
    pub(crate) fn new<'a>(
        core: &Arc<Core>,
        places: impl Iterator<Item = (&'a Arc<TopicShared>, usize)>,
        member: Option<&Arc<str>>,
        has_left: LeftFlag,
    ) -> Self {
        let places = places.map(|(topic, reader)| (Arc::clone(topic), reader)).collect();
        Self { core: Arc::clone(core), places, member: member.cloned(), has_left }
    }
}

impl Detach for DetachHandle {
    fn detach(&self) {
        for (topic, reader) in &self.places {
            let mut state = topic.lock();
            // Its number stays its own until it leaves. From then on it may be somebody else's.
            if self.has_left.get() {
                continue;
            }
            let Some(producers) = state.readers.detach(*reader) else { continue };
            state.members.leave(self.member.as_ref());
            drop(state);
            panic::wake_all(producers);
            topic.arrivals.notify_waiters();
        }
        self.core.presence_changed();
    }
}

impl fmt::Debug for DetachHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.places.iter().map(|(topic, _)| topic.name())).finish()
    }
}

#[cfg(all(test, not(tower_sse_loom)))]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::hub::{
        handle::Hub,
        state::found::Budget,
        subscription::{Subscription, request::Subscribe},
    };

    fn join(hub: &Hub, member: &str) -> Subscription {
        let mut subscription = hub.subscribe(Subscribe::to("room").member(member)).expect("there is room");
        while subscription.poll_output(&mut Context::from_waker(Waker::noop()), Budget::ONE).is_ready() {}
        subscription
    }

    /// It left in the place of whoever had come since and had its number, who was never seen to leave.
    #[test]
    fn nobody_is_given_up_in_the_place_of_one_who_has_left() {
        let hub = Hub::new();
        let presence = hub.topic("room").unwrap().presence();
        let mut alice = join(&hub, "alice");
        let standing = alice.detach_handle().unwrap();
        drop(alice);
        let bob = join(&hub, "bob");
        standing.detach();
        assert_eq!((presence.count(), presence.members()), (1, vec!["bob".into()]));
        drop(bob);
        assert_eq!((presence.count(), presence.members()), (0, vec![]));
    }
}
