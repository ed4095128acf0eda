//! The task that wakes a topic's subscribers, so that the publisher need not.
//!
//! A subscription's first poll spawns one, for its hub and the runtime that it is in. It takes all who wait at once, wakes
//! so many, and lets others run. When its runtime ends it wakes all who wait for it; their next poll finds another lane.

use crate::hub::state::TopicQueue;
use std::{
    future::poll_fn,
    sync::{Arc, Weak},
};

use tokio::{runtime, task};

use crate::hub::core::Core;

/// Where a subscription is polled, and so whose pump wakes it.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) lane: Arc<TopicQueue>,
    task: Option<task::Id>,
}

impl Placement {
    pub(crate) fn here(core: &Arc<Core>) -> Self {
        Self { lane: lane_here(core), task: task::try_id() }
    }

    /// Whether it is still polled there: another runtime's pump may not run any more.
    pub(crate) fn is_current(&mut self) -> bool {
        // A task stays in its runtime. To ask for that each time would have all tasks count the same references.
        let task = task::try_id();
        if task.is_some() && task == self.task {
            return true;
        }
        self.task = task;
        self.lane.runtime() == runtime::Handle::try_current().ok().map(|runtime| runtime.id())
    }
}

/// A pump, whether its task runs or is dropped.
pub(super) struct Pump {
    pub(super) lane: Arc<TopicQueue>,
    pub(super) core: Weak<Core>,
}

impl Pump {
    pub(super) async fn run(self) {
        while let Some(topic) = poll_fn(|cx| self.lane.poll_next(cx)).await {
            let Some(core) = self.core.upgrade() else { return };
            let era = core.epoch();
            topic.build_frames(&self.lane, era.prefix(), || core.is_current(&era));
            drop(core);
            let mut wakers = topic.take_round(&self.lane);
            drop(topic);
            while wakers.wake_batch() {
                task::yield_now().await;
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        drop(self.lane.close_and_drain());
        let Some(core) = self.core.upgrade() else { return };
        core.wake_queues.remove(&self.lane);
        // A topic that is waited for is held, so it is among them.
        for topic in core.topics() {
            drop(topic.remove_queue(&self.lane));
        }
    }
}

/// Returns the lane of this runtime, with a pump, or the one without a pump that serves threads outside of any runtime.
fn lane_here(core: &Arc<Core>) -> Arc<TopicQueue> {
    let Ok(runtime) = runtime::Handle::try_current() else { return core.wake_queues.without_pump() };
    let (lane, is_new) = core.wake_queues.for_runtime(Some(runtime.id()));
    if is_new {
        // Made before it is spawned: a runtime that is shutting down drops the task instead.
        let pump = Pump { lane: Arc::clone(&lane), core: Arc::downgrade(core) };
        runtime.spawn(pump.run());
    }
    lane
}

#[cfg(all(test, not(tower_sse_loom)))]
mod tests {
    use std::{
        sync::atomic::Ordering::SeqCst,
        task::{Context, Waker},
    };

    use super::*;
    use crate::hub::{replica::contract::Sink, sync::lock};
    use crate::{
        event::Event,
        hub::{
            handle::Hub,
            state::{found::Budget, read::SharedRead},
            subscription::Subscription,
        },
        panic::tests::Moody,
    };

    /// It put the ids of the history before on the events of the one after, for all who read frames that are shared.
    #[tokio::test]
    async fn no_frame_has_the_ids_of_another_history() {
        let hub = Hub::new();
        let topic = hub.topic("a").unwrap();
        let mut subscriptions = [(); 2].map(|()| hub.subscribe("a").unwrap());
        subscriptions.iter_mut().for_each(wait);
        let core = hub.core();
        let [shared] = &*core.topics() else { panic!("there is one topic") };
        let (lane, before) = (lane_here(core), core.epoch());
        core.renew(7, 100);
        topic.publish(Event::new("1")).try_result().unwrap();
        shared.build_frames(&lane, before.prefix(), || core.is_current(&before));
        let read = || shared.read_shared(usize::MAX, 100, 100, 0, || false).0;
        assert!(matches!(read(), SharedRead::Fallback));
        let now = core.epoch();
        shared.build_frames(&lane, now.prefix(), || core.is_current(&now));
        let SharedRead::Frame(slice) = read() else { panic!("there is a frame") };
        assert!(slice.bytes.starts_with(b"id: 0000000000000007-101\n"), "{:?}", slice.bytes);
    }

    fn wait(subscription: &mut Subscription) {
        wait_with(subscription, Waker::noop());
    }

    fn wait_with(subscription: &mut Subscription, waker: &Waker) {
        while subscription.poll_output(&mut Context::from_waker(waker), Budget::ONE).is_ready() {}
    }

    /// A waker that panicked ended the pump, and those behind it were woken only because all were.
    #[tokio::test]
    async fn a_waker_that_panics_ends_neither_the_pump_nor_the_wait_of_others() {
        let hub = Hub::new();
        let topic = hub.topic("a").unwrap();
        let mut subscriptions = [(); 3].map(|()| hub.subscribe("a").unwrap());
        let moody = Arc::new(Moody::default());
        let waker = Arc::clone(&moody).into();
        for round in 1..=4 {
            subscriptions.iter_mut().for_each(|subscription| wait_with(subscription, &waker));
            topic.publish(Event::new("1")).try_result().unwrap();
            task::yield_now().await;
            assert_eq!(moody.0.load(SeqCst), 3 * round);
            let lanes = lock(&hub.core().wake_queues.lanes);
            assert!(lanes.len() == 1 && !lanes[0].is_closed(), "its pump still runs");
        }
    }

    /// Topics in the queue kept each other: the queue them, and they its lane.
    #[tokio::test]
    async fn topics_go_with_their_hub_whatever_was_still_to_be_told() {
        let hub = Hub::new();
        let topics = ["a", "b", "c"].map(|name| hub.topic(name).unwrap());
        let mut subscriptions = ["a", "b", "c"].map(|name| hub.subscribe(name).unwrap());
        subscriptions.iter_mut().for_each(wait);
        let shared: Vec<_> = hub.core().topics().iter().map(Arc::downgrade).collect();
        for topic in &topics {
            topic.publish(Event::new("1")).try_result().unwrap();
        }
        drop((hub, topics, subscriptions));
        assert!(shared.iter().any(|topic| topic.strong_count() > 0), "they are in the queue");
        task::yield_now().await;
        assert_eq!(shared.iter().map(Weak::strong_count).sum::<usize>(), 0);
    }
}
