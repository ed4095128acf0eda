//! A handle that removes a subscription from its topics on behalf of a body that is no longer polled.
//!
//! The server keeps the body of a connection whose client has stopped reading, but does not poll it. The watchdog that finds
//! that out detaches the subscription, so that publishers do not wait for it and its member is not present any more.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    hub::{core::Core, state::TopicShared},
    streams::resources::Detach,
};

/// The registrations of a subscription in its topics: a cursor and a member in each.
pub(crate) struct DetachHandle {
    core: Arc<Core>,
    /// The topics, with the number of the subscription among the readers of each.
    registrations: Box<[(Arc<TopicShared>, usize)]>,
    member: Option<Arc<str>>,
    has_left: LeftFlag,
}

/// A flag that is set when a subscription leaves its topics.
///
/// Invariant: it is set before the first topic is locked. So while a topic is locked and the flag is not set, the
/// subscription's reader number is its own and not yet that of another reader.
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
        registrations: impl Iterator<Item = (&'a Arc<TopicShared>, usize)>,
        member: Option<&Arc<str>>,
        has_left: LeftFlag,
    ) -> Self {
        let registrations = registrations.map(|(topic, reader)| (Arc::clone(topic), reader)).collect();
        Self { core: Arc::clone(core), registrations, member: member.cloned(), has_left }
    }
}

impl Detach for DetachHandle {
    fn detach(&self) {
        for (topic, reader) in &self.registrations {
            // Once the subscription has left, its reader number may be that of another one.
            if let Some(wakes) = topic.detach(*reader, || self.has_left.get(), self.member.as_ref()) {
                wakes.wake();
            }
        }
        self.core.presence_changed();
    }
}

impl fmt::Debug for DetachHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.registrations.iter().map(|(topic, _)| topic.name())).finish()
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
        let mut subscription = hub.subscribe(Subscribe::to("room").member(member)).expect("the hub has room");
        while subscription.poll_output(&mut Context::from_waker(Waker::noop()), Budget::ONE).is_ready() {}
        subscription
    }

    /// Regression: the handle detached the subscription that had got the reader number since, which then never left.
    #[test]
    fn detach_after_leaving_does_not_affect_the_next_reader() {
        let hub = Hub::new();
        let presence = hub.topic("room").unwrap().presence();
        let mut alice = join(&hub, "alice");
        let handle = alice.detach_handle().unwrap();
        drop(alice);
        let bob = join(&hub, "bob");
        handle.detach();
        assert_eq!((presence.count(), presence.members()), (1, vec!["bob".into()]));
        drop(bob);
        assert_eq!((presence.count(), presence.members()), (0, vec![]));
    }
}
