//! A handle that removes a subscription from its topics on behalf of a body that is no longer polled.
//!
//! The server keeps the body of a connection whose client has stopped reading, but does not poll it. The watchdog that finds
//! that out detaches the subscription, so that publishers do not wait for it and its member is not present any more.

use std::{fmt, sync::Arc};

use crate::{
    hub::{
        core::Core,
        state::{TopicShared, TopicWakes, lane::Place},
        sync::{Mutex, lock},
    },
    streams::resources::Detach,
};

/// A handle to the places of a subscription in its topics: a cursor and a member in each.
pub(crate) struct DetachHandle {
    core: Arc<Core>,
    member: Option<Arc<str>>,
    places: Places,
}

/// The places of a subscription in its topics, until it leaves them.
///
/// Invariant: they are removed before the first topic is left, and changed together with a move to other lanes. So while they
/// are locked, each seat is the subscription's own and not yet that of another one.
///
/// Lock order: places are locked before any topic.
#[derive(Clone)]
pub(crate) struct Places(Arc<Mutex<Vec<TopicPlace>>>);

type TopicPlace = (Arc<TopicShared>, Place);

impl Places {
    pub(crate) fn new<'a>(places: impl Iterator<Item = (&'a Arc<TopicShared>, &'a Place)>) -> Self {
        Self(Arc::new(Mutex::new(cloned(places).collect())))
    }

    /// Removes the places.
    pub(crate) fn clear(&self) {
        let places = std::mem::take(&mut *lock(&self.0));
        drop(places);
    }

    /// Calls this, and sets the places to those that it returns beside its outcome.
    pub(crate) fn change<'a, T, I>(&self, change: impl FnOnce() -> (T, I)) -> T
    where
        I: Iterator<Item = (&'a Arc<TopicShared>, &'a Place)>,
    {
        let mut places = lock(&self.0);
        let (outcome, now) = change();
        let before = std::mem::replace(&mut *places, cloned(now).collect());
        drop(places);
        drop(before);
        outcome
    }
}

fn cloned<'a>(places: impl Iterator<Item = (&'a Arc<TopicShared>, &'a Place)>) -> impl Iterator<Item = TopicPlace> {
    places.map(|(topic, place)| (Arc::clone(topic), place.clone()))
}

impl DetachHandle {
    pub(crate) fn new(core: &Arc<Core>, member: Option<&Arc<str>>, places: Places) -> Self {
        Self { core: Arc::clone(core), member: member.cloned(), places }
    }
}

impl Detach for DetachHandle {
    fn detach(&self) {
        let places = lock(&self.places.0);
        let detach = |(topic, place): &TopicPlace| topic.detach(place, self.member.as_ref());
        let wakes: Vec<_> = places.iter().filter_map(detach).collect();
        drop(places);
        wakes.into_iter().for_each(TopicWakes::wake);
        self.core.presence_changed();
    }
}

impl fmt::Debug for DetachHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(lock(&self.places.0).iter().map(|(topic, _)| topic.name())).finish()
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
