//! A backplane whose task ends: the link is down, and the task is restarted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use tokio::{sync::Notify, time::Duration};
use tower_sse::{
    Event, EventId,
    backplane::{Backplane, Feed, Incoming, Link, Outgoing},
    hub::{Hub, PublishError, Subscribe, Update},
};

/// Feeds a hub, each time with one more event, and ends in a different way each time.
#[derive(Clone, Default)]
struct Ends {
    times: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
}

impl Backplane for Ends {
    fn publish(&self, _: Outgoing) -> BoxFuture<'static, Result<EventId, PublishError>> {
        Box::pin(std::future::ready(Err(PublishError::not_sent("nothing is published here"))))
    }

    fn follow(&self, feed: Feed) -> BoxFuture<'static, ()> {
        let time = self.times.fetch_add(1, Ordering::Relaxed) as u64;
        assert_ne!(time, 2, "the call itself panics");
        let go_on = Arc::clone(&self.go_on);
        Box::pin(async move {
            feed.begin_epoch(1, time);
            feed.apply(vec![Incoming::new(time + 1, "topic", Event::new(time.to_string()))]);
            feed.link(Link::Up);
            feed.synced_through(time + 1);
            go_on.notified().await;
            assert_ne!(time, 0, "the task panics");
        })
    }
}

#[tokio::test(start_paused = true)]
async fn ended_backplane_is_reported_and_restarted() {
    let ends = Ends::default();
    let hub = Hub::builder().build_with_backplane(ends.clone());
    let mut link = hub.link_state().expect("the hub has a backplane");
    link.wait_for(|link| *link == Link::Up).await.expect("the link reports its state");
    let mut reader = hub.subscribe("topic").expect("the hub has room");
    assert!(matches!(reader.next().await, Some(Update::Subscribed(_))));
    // The first task panics, the second returns, and the third call panics.
    for data in ["1", "3"] {
        ends.go_on.notify_one();
        link.wait_for(|link| *link == Link::Down).await.expect("the hub is alive");
        link.wait_for(|link| *link == Link::Up).await.expect("the link reports its state");
        assert!(matches!(reader.next().await, Some(Update::Gap(_))), "events may be missing");
        let Some(Update::Event { event, .. }) = reader.next().await else { panic!("an event comes") };
        assert_eq!(event.data(), data);
    }
}

#[tokio::test(start_paused = true)]
async fn backplane_of_a_dropped_hub_is_not_restarted() {
    let ends = Ends::default();
    let hub = Hub::builder().build_with_backplane(ends.clone());
    let mut link = hub.link_state().expect("the hub has a backplane");
    link.wait_for(|link| *link == Link::Up).await.expect("the link reports its state");
    drop(hub);
    ends.go_on.notify_one();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ends.times.load(Ordering::Relaxed), 1);
}

/// The link stayed up for ever.
#[test]
fn link_is_down_after_its_runtime_has_ended() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime is built");
    let (hub, mut link) = runtime.block_on(async {
        let hub = Hub::builder().build_with_backplane(Ends::default());
        let mut link = hub.link_state().expect("the hub has a backplane");
        link.wait_for(|link| *link == Link::Up).await.expect("the link reports its state");
        (hub, link)
    });
    drop(runtime);
    assert_eq!(*link.borrow_and_update(), Link::Down);
    drop(hub);
}

#[tokio::test(start_paused = true)]
async fn leave_closes_the_feed_and_waits_for_the_backplane() {
    let memory = super::memory::Memory::new();
    let (here, there) =
        (Hub::builder().build_with_backplane(memory.node()), Hub::builder().build_with_backplane(memory.node()));
    let mut ann = here.subscribe(Subscribe::to("topic").member("ann")).expect("the hub has room");
    assert!(ann.next().await.is_some());
    let presence = there.topic("topic").expect("the hub has room").presence();
    let mut changes = std::pin::pin!(presence.changes());
    assert_eq!(changes.next().await.map(|change| change.count), Some(1));
    here.leave().await;
    let link = here.link_state().expect("the hub has a backplane");
    assert_eq!(*link.borrow(), Link::Down);
    assert_eq!(changes.next().await.map(|change| change.count), Some(0), "though its stream is open");
    // Left twice, and without a backplane.
    here.leave().await;
    Hub::new().leave().await;
    drop(ann);
}

#[tokio::test(start_paused = true)]
async fn feed_is_closed_as_soon_as_its_hub_is_dropped() {
    let (hub, feed) = super::manual::Manual::build(Hub::builder()).await;
    let closed = tokio::spawn({
        let feed = feed.clone();
        async move { feed.closed().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!closed.is_finished());
    drop(hub);
    closed.await.expect("the task ends");
    // Awaited after the end, too.
    feed.closed().await;
}
