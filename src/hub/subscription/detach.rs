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
    panic as caught,
    streams::resources::Holds,
};

/// Its cursor and its member in each of its topics.
pub(crate) struct Standing {
    core: Arc<Core>,
    /// The topics, and its number among the readers of each.
    places: Box<[(Arc<TopicShared>, usize)]>,
    member: Option<Arc<str>>,
    has_left: HasLeft,
}

/// Whether a subscription has left its topics, or is about to: set before it takes the lock of the first. So under a topic's
/// lock its number there is its own, unless this says otherwise.
#[derive(Clone, Default)]
pub(crate) struct HasLeft(Arc<AtomicBool>);

impl HasLeft {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Standing {
    pub(crate) fn new<'a>(
        core: &Arc<Core>,
        places: impl Iterator<Item = (&'a Arc<TopicShared>, usize)>,
        member: Option<&Arc<str>>,
        has_left: HasLeft,
    ) -> Self {
        let places = places.map(|(topic, reader)| (Arc::clone(topic), reader)).collect();
        Self { core: Arc::clone(core), places, member: member.cloned(), has_left }
    }
}

impl Holds for Standing {
    fn give_up(&self) {
        for (topic, reader) in &self.places {
            let mut state = topic.lock();
            // Its number stays its own until it leaves. From then on it may be somebody else's.
            if self.has_left.get() {
                continue;
            }
            let Some(producers) = state.readers.set_absent(*reader) else { continue };
            state.members.leave(self.member.as_ref());
            drop(state);
            caught::wake(producers);
            topic.arrivals.notify_waiters();
        }
        self.core.presence_changed();
    }
}

impl fmt::Debug for Standing {
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
        while subscription.poll_given(&mut Context::from_waker(Waker::noop()), Budget::ONE).is_ready() {}
        subscription
    }

    /// It left in the place of whoever had come since and had its number, who was never seen to leave.
    #[test]
    fn nobody_is_given_up_in_the_place_of_one_who_has_left() {
        let hub = Hub::new();
        let presence = hub.topic("room").unwrap().presence();
        let mut alice = join(&hub, "alice");
        let standing = alice.standing().unwrap();
        drop(alice);
        let bob = join(&hub, "bob");
        standing.give_up();
        assert_eq!((presence.count(), presence.members()), (1, vec!["bob".into()]));
        drop(bob);
        assert_eq!((presence.count(), presence.members()), (0, vec![]));
    }
}
