//! The pump: the task that wakes the subscribers of topics in place of their publishers.
//!
//! The first poll of a subscription spawns one, for its hub and its runtime. The pump takes all wakers of a topic at once, wakes
//! a batch, and lets other tasks run. When its runtime ends it wakes all subscribers that wait in its queue; their next poll
//! finds another queue.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker, ready},
};

use tokio::{runtime, task};

use super::lingering::Lingering;
use crate::hub::{
    core::Core,
    state::{TopicQueue, TopicShared, lane::Lane, rounds::RoundStart},
};
use crate::panic;

/// The queue of the runtime in which a subscription is polled.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) queue: Arc<TopicQueue>,
    task: Option<task::Id>,
}

impl Placement {
    /// Returns the placement of the current task.
    pub(crate) fn here(core: &Arc<Core>) -> Self {
        Self { queue: queue_here(core), task: task::try_id() }
    }

    /// Returns whether the current task is of the same runtime: the pump of another may not run any more.
    pub(crate) fn is_current(&mut self) -> bool {
        // A task stays in its runtime. Looking up the runtime each time would have all tasks count the same references.
        let task = task::try_id();
        if task.is_some() && task == self.task {
            return true;
        }
        self.task = task;
        self.queue.runtime() == runtime::Handle::try_current().ok().map(|runtime| runtime.id())
    }
}

/// A pump. Dropping it, with its task, closes its queue.
pub(super) struct Pump {
    pub(super) queue: Arc<TopicQueue>,
    pub(super) core: Weak<Core>,
}

impl Pump {
    /// Wakes the subscribers of each topic in the queue, until the hub is gone.
    pub(super) async fn run(self) {
        let mut lingering = Lingering::new();
        let mut wakers = Vec::new();
        while let Some((topic, lane)) = poll_fn(|cx| self.poll_round(&mut lingering, cx)).await {
            let Some(core) = self.core.upgrade() else { return };
            let epoch = core.epoch();
            topic.build_frames(&lane, epoch.prefix(), || core.is_current(&epoch));
            drop((core, topic));
            wake(&lane, &mut wakers).await;
        }
    }

    /// Polls for the next topic whose round has begun. Topics that linger are held until they are due. Returns `None` if the
    /// hub is gone.
    fn poll_round(
        &self,
        lingering: &mut Lingering<TopicShared>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Arc<TopicShared>, Arc<Lane>)>> {
        loop {
            let (topic, until) = match lingering.poll_due(cx) {
                Poll::Ready((topic, until)) => (Some(topic), Some(until)),
                Poll::Pending => (ready!(self.queue.poll_next(cx)), None),
            };
            let (Some(topic), Some(core)) = (topic, self.core.upgrade()) else { return Poll::Ready(None) };
            let Some((lane, linger)) = topic.lane(&self.queue) else { continue };
            let is_begun = match until {
                Some(until) => lane.resume_round(until, core.now()),
                None => match lane.begin_round(linger, || core.now()) {
                    RoundStart::Now { held_until } => {
                        lingering.release(&topic, held_until);
                        true
                    }
                    // Without timers, nothing is gathered.
                    RoundStart::Hold { until } => {
                        !lingering.hold(&topic, until, core.instant(until)) && lane.resume_round(until, core.now())
                    }
                },
            };
            if is_begun {
                return Poll::Ready(Some((topic, lane)));
            }
        }
    }
}

/// Wakes the subscribers that wait in a lane, batch by batch.
///
/// # Cancel safety
///
/// Wakers that are left in the lane are woken when the pump is dropped.
async fn wake(lane: &Lane, wakers: &mut Vec<Waker>) {
    lane.end_turn();
    let mut next = lane.take_batch(0, wakers);
    // A waker that panics ends neither the pump nor the wait of the others.
    panic::wake_all(wakers.drain(..));
    while let Some(from) = next {
        task::yield_now().await;
        next = lane.take_batch(from, wakers);
        panic::wake_all(wakers.drain(..));
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        drop(self.queue.close_and_drain());
        let Some(core) = self.core.upgrade() else { return };
        core.wake_queues.remove(&self.queue);
        // A topic with a subscriber is held, so it is among them.
        for topic in core.topics() {
            drop(topic.remove_queue(&self.queue));
        }
    }
}

/// Returns the queue of the current runtime, with a pump, or the one without a pump that serves threads outside of any runtime.
fn queue_here(core: &Arc<Core>) -> Arc<TopicQueue> {
    let Ok(runtime) = runtime::Handle::try_current() else { return core.wake_queues.without_pump() };
    let (queue, is_new) = core.wake_queues.for_runtime(Some(runtime.id()));
    if is_new {
        // Created before it is spawned: a runtime that is shutting down drops the task instead.
        let pump = Pump { queue: Arc::clone(&queue), core: Arc::downgrade(core) };
        runtime.spawn(pump.run());
    }
    queue
}

#[cfg(all(test, not(tower_sse_loom)))]
mod tests {
    use std::{sync::atomic::Ordering::SeqCst, task::Waker};

    use super::*;
    use crate::hub::{replica::contract::Sink, sync::lock};
    use crate::{
        event::Event,
        hub::{
            handle::Hub,
            state::{found::Budget, lane::Place, read::SharedRead},
            subscription::Subscription,
        },
        panic::tests::Unreliable,
    };

    /// A frame had the ids of the epoch before on events of the one after, for all subscribers that share frames.
    #[tokio::test]
    async fn no_frame_has_the_ids_of_another_epoch() {
        let hub = Hub::new();
        let topic = hub.topic("a").unwrap();
        let mut subscriptions = [(); 2].map(|()| hub.subscribe("a").unwrap());
        subscriptions.iter_mut().for_each(wait);
        let core = hub.core();
        let [shared] = &*core.topics() else { panic!("there is one topic") };
        let ((lane, _), before) = (shared.lane(&queue_here(core)).unwrap(), core.epoch());
        core.renew(7, 100);
        topic.publish(Event::new("1")).try_result().unwrap();
        shared.build_frames(&lane, before.prefix(), || core.is_current(&before));
        let place = Place { lane: Arc::clone(&lane), seat: u32::MAX };
        let read = || shared.read_shared(&place, (100, 100), 0, || false);
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

    /// A waker that panicked ended the pump, and those behind it were woken only as the pump was dropped.
    #[tokio::test]
    async fn panicking_waker_does_not_end_the_pump() {
        let hub = Hub::new();
        let topic = hub.topic("a").unwrap();
        let mut subscriptions = [(); 3].map(|()| hub.subscribe("a").unwrap());
        let moody = Arc::new(Unreliable::default());
        let waker = Arc::clone(&moody).into();
        for round in 1..=4 {
            subscriptions.iter_mut().for_each(|subscription| wait_with(subscription, &waker));
            topic.publish(Event::new("1")).try_result().unwrap();
            task::yield_now().await;
            assert_eq!(moody.0.load(SeqCst), 3 * round);
            let queues = lock(&hub.core().wake_queues.queues);
            assert!(queues.len() == 1 && !queues[0].is_closed(), "the pump still runs");
        }
    }

    /// A queue and the topics in it kept each other alive.
    #[tokio::test]
    async fn queued_topics_are_dropped_with_their_hub() {
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
