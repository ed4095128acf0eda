//! The task that wakes a topic's subscribers, so that the publisher need not.
//!
//! A subscription's first poll spawns one, for its hub and the runtime that it is in. It takes all who wait at once, wakes
//! so many, and lets others run. When its runtime ends it wakes all who wait for it; their next poll finds another lane.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    task::Waker,
};

use slab::Slab;
use tokio::runtime;

use super::{core::Core, lane::Lane, topic_state::TopicShared};

/// The lanes of a hub: one for each runtime that has subscribers, and one for those outside of any.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: Mutex<Vec<(Option<runtime::Id>, Arc<TopicLane>)>>,
    last_id: AtomicU32,
}

pub(crate) type TopicLane = Lane<Arc<TopicShared>>;

impl Lanes {
    pub(crate) fn new() -> Self {
        Self { lanes: Mutex::default(), last_id: AtomicU32::new(0) }
    }

    /// The lane for whoever is here now: with a pump within a runtime, without one elsewhere.
    pub(crate) fn here(core: &Arc<Core>) -> Arc<TopicLane> {
        let Ok(runtime) = runtime::Handle::try_current() else { return core.lanes.without_pump() };
        let (lane, is_new) = core.lanes.of(Some(runtime.id()));
        if is_new {
            // Made before it is spawned: a runtime that is shutting down drops the task instead.
            let pump = Pump { lane: Arc::clone(&lane), core: Arc::downgrade(core) };
            runtime.spawn(pump.run());
        }
        lane
    }

    /// The lane whose wakers are woken by publishers.
    pub(crate) fn without_pump(&self) -> Arc<TopicLane> {
        self.of(None).0
    }

    pub(crate) fn close(&self) {
        for (_, lane) in &*self.lanes.lock().unwrap_or_else(PoisonError::into_inner) {
            lane.close();
        }
    }

    fn of(&self, runtime: Option<runtime::Id>) -> (Arc<TopicLane>, bool) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // A runtime's id may come again when the runtime is gone. By then its pump is, too.
        if let Some((_, lane)) = lanes.iter().find(|(id, lane)| *id == runtime && !lane.is_dead()) {
            return (Arc::clone(lane), false);
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let lane = Lane::new(id, runtime.is_some());
        lanes.push((runtime, Arc::clone(&lane)));
        (lane, true)
    }

    fn remove(&self, lane: &TopicLane) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|(_, other)| other.id() != lane.id());
    }
}

/// A pump, whether its task runs or is dropped.
struct Pump {
    lane: Arc<TopicLane>,
    core: Weak<Core>,
}

impl Pump {
    async fn run(self) {
        while let Some(topic) = poll_fn(|cx| self.lane.poll_next(cx)).await {
            let Some(core) = self.core.upgrade() else { return };
            topic.join(&self.lane, core.era().prefix());
            drop(core);
            let mut wakers = Taken::from(&topic, &self.lane);
            drop(topic);
            while wakers.wake_some() {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.lane.die();
        let Some(core) = self.core.upgrade() else { return };
        core.lanes.remove(&self.lane);
        drop(self.lane.drain());
        for topic in core.all_topics() {
            let wakers = topic.lock().waiters.remove(&self.lane);
            wakers.into_iter().flatten().for_each(|(_, waker)| waker.wake());
        }
    }
}

/// Wakers that are owed a wake, also by a pump that is dropped.
struct Taken(slab::IntoIter<Waker>);

impl Taken {
    fn from(topic: &TopicShared, lane: &TopicLane) -> Self {
        // About as many will wait again: room for them is made outside of the lock.
        let room = Slab::with_capacity(topic.lock().waiters.len(lane));
        Self(topic.lock().waiters.take(lane, room).into_iter())
    }

    /// Wakes a share of them. Whether there may be more.
    fn wake_some(&mut self) -> bool {
        let mut woken = 0;
        for (_, waker) in self.0.by_ref().take(WOKEN_AT_ONCE) {
            waker.wake();
            woken += 1;
        }
        woken == WOKEN_AT_ONCE
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        while self.wake_some() {}
    }
}

/// How many are woken before others get their turn.
const WOKEN_AT_ONCE: usize = 128;
