//! Presence, waiting publishers, and the end of topics.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;
use tower_sse::{
    Event,
    hub::{Hub, PresenceChange, Retention, Start, Subscribe, Subscription, Update},
    observe::Reason,
};

fn join(hub: &Hub, member: &str) -> Subscription {
    let mut subscription = hub.subscribe(Subscribe::to("room").member(member)).expect("the hub has room");
    assert!(matches!(subscription.next().now_or_never(), Some(Some(Update::Subscribed(_)))));
    subscription
}

fn names(change: &PresenceChange) -> (String, String, usize) {
    (change.joined.join(" "), change.left.join(" "), change.count)
}

#[tokio::test(start_paused = true)]
async fn presence_changes_are_sent_at_most_once_a_second() {
    let hub = Hub::new();
    let room = hub.topic("room").unwrap();
    let alice = join(&hub, "alice");
    let mut changes = Box::pin(room.presence().changes());
    assert_eq!(names(&changes.next().await.unwrap()), ("alice".into(), String::new(), 1));

    let begin = Instant::now();
    let bob = join(&hub, "bob");
    let second = join(&hub, "alice");
    drop(join(&hub, "a guest"));
    drop(alice);
    assert_eq!(changes.next().now_or_never(), None, "not twice within a second");
    let change = changes.next().await.unwrap();
    assert_eq!(names(&change), ("bob".into(), String::new(), 2), "the guest came and left meanwhile");
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(room.presence().members(), ["alice".into(), "bob".into()] as [std::sync::Arc<str>; 2]);

    drop((bob, second));
    assert_eq!(names(&changes.next().await.unwrap()), (String::new(), "alice bob".into(), 0));
    room.close(None).try_result().unwrap();
    assert_eq!(changes.next().await, None);
}

#[test]
fn unpolled_subscriber_is_not_present() {
    let hub = Hub::new();
    let room = hub.topic("room").unwrap();
    let waits = hub.subscribe(Subscribe::to("room").member("x")).unwrap();
    assert_eq!(room.presence().count(), 0);
    drop(waits);
    let here = join(&hub, "x");
    assert_eq!(room.presence().count(), 1);
    drop(here);
    assert_eq!(room.presence().count(), 0);
    assert!(room.presence().members().is_empty());
}

#[test]
fn publisher_waits_for_the_slowest_reader_and_no_longer() {
    let hub = Hub::new();
    let room = hub.topic("room").unwrap();
    assert!(room.wait_for_readers(0).now_or_never().is_some(), "there is no reader to wait for");
    let (mut quick, mut slow) = (join(&hub, "quick"), join(&hub, "slow"));
    room.publish_all(["1", "2", "3"].map(Event::new)).try_result().unwrap();
    while quick.next().now_or_never().is_some() {}
    let mut within_two = Box::pin(room.wait_for_readers(2));
    let mut within_none = Box::pin(room.wait_for_readers(0));
    assert!((&mut within_two).now_or_never().is_none());
    assert!(room.wait_for_readers(3).now_or_never().is_some());
    // The last update counts as unread until the subscriber polls for the next.
    assert!(slow.next().now_or_never().is_some());
    assert!((&mut within_two).now_or_never().is_none());
    assert!(slow.next().now_or_never().is_some());
    assert!(within_two.now_or_never().is_some());
    assert!((&mut within_none).now_or_never().is_none());
    drop(slow);
    assert!(within_none.now_or_never().is_some(), "a reader that has left is not waited for");
}

#[tokio::test]
async fn close_wakes_waiting_publishers() {
    let hub = Hub::new();
    let room = hub.topic("room").unwrap();
    let _stalled = join(&hub, "stalled");
    room.publish(Event::new("1")).try_result().unwrap();
    let waits = tokio::spawn({
        let room = room.clone();
        async move { room.wait_for_readers(0).await }
    });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    room.close(None).try_result().unwrap();
    waits.await.unwrap();
}

#[test]
fn closed_topic_drains_ends_and_frees_its_name() {
    let hub = Hub::new();
    let room = hub.topic("room").unwrap();
    let (mut behind, mut unpolled) = (join(&hub, "behind"), hub.subscribe("room").unwrap());
    room.publish(Event::new("1")).try_result().unwrap();
    room.close(Event::new("last")).try_result().unwrap();
    let rest = |subscription: &mut Subscription| {
        let mut rest = Vec::new();
        while let Some(update) = subscription.next().now_or_never().expect("the subscription is ready") {
            if let Update::Event { event, .. } = update {
                rest.push(event.data().into_owned());
            }
        }
        rest
    };
    assert_eq!(rest(&mut behind), ["1", "last"]);
    assert_eq!(rest(&mut unpolled), ["1", "last"]);
    assert_eq!(behind.end_reason(), Some(Reason::TopicClosed));

    // The next publish opens the topic again.
    let mut new = join(&hub, "new");
    room.publish(Event::new("2")).try_result().unwrap();
    assert!(matches!(new.next().now_or_never(), Some(Some(Update::Event { event, .. })) if event.data() == "2"));
    room.close(Event::new("last again")).try_result().unwrap();
    assert_eq!(rest(&mut new), ["last again"]);
    room.close(Event::new("of nothing")).try_result().unwrap();
    assert_eq!(hub.topic_count(), 1, "the topic is held");
    drop(room);
    assert_eq!(hub.topic_count(), 0);
}

/// The readers continued with the topic that had been closed.
#[test]
fn held_topic_is_reused_after_it_was_reopened() {
    let hub = Hub::new();
    let room = hub.topic("room").unwrap();
    room.close(None).try_result().unwrap();
    room.publish_keyed("x", Event::new("x")).try_result().unwrap();
    let mut stalled = join(&hub, "stalled");
    assert_eq!(room.presence().count(), 1);
    room.publish(Event::new("1")).try_result().unwrap();
    let mut drained = Box::pin(room.wait_for_readers(0));
    assert!((&mut drained).now_or_never().is_none(), "a reader is behind");
    while stalled.next().now_or_never().is_some() {}
    assert!(drained.now_or_never().is_some());
    room.remove_key("x");
    let mut present = hub.subscribe(Subscribe::to("room").start(Start::Snapshot)).unwrap();
    let mut data = Vec::new();
    while let Some(Some(update)) = present.next().now_or_never() {
        if let Update::Event { event, .. } = update {
            data.push(event.data().into_owned());
        }
    }
    assert_eq!(data, ["1"]);
}

#[test]
fn wait_for_readers_waits_for_a_lagging_reader_to_read_or_leave() {
    let hub = Hub::new();
    let room = hub.topic_with("room", Retention::new().events(2)).unwrap();
    let mut stalled = join(&hub, "stalled");
    assert!(stalled.next().now_or_never().is_none());
    room.publish(Event::new("1")).try_result().unwrap();
    let mut drained = Box::pin(room.wait_for_readers(0));
    assert!((&mut drained).now_or_never().is_none());
    room.publish_all(["2", "3", "4"].map(Event::new)).try_result().unwrap();
    assert!((&mut drained).now_or_never().is_none(), "the reader is still the slowest");
    assert!(stalled.next().now_or_never().is_some());
    assert_eq!(stalled.end_reason(), Some(Reason::Lagged));
    assert!(drained.now_or_never().is_some());
}

#[test]
fn an_idempotency_key_publishes_once() {
    let hub = Hub::new();
    let room = hub.topic("room").unwrap();
    let first = room.publish_once("order 7", Event::new("1")).try_result().unwrap();
    room.publish(Event::new("2")).try_result().unwrap();
    assert_eq!(room.publish_once("order 7", Event::new("1")).try_result().unwrap(), first);
    assert_ne!(room.publish_once("order 8", Event::new("3")).try_result().unwrap(), first);
}

/// The second topic returned the id of the first one's event, and nothing was published there.
#[test]
fn an_idempotency_key_belongs_to_its_topic() {
    let hub = Hub::new();
    let [ann, bob] = ["ann", "bob"].map(|name| hub.topic(name).unwrap());
    let mut reader = hub.subscribe("bob").unwrap();
    let first = ann.publish_once("request 1", Event::new("to ann")).try_result().unwrap();
    let second = bob.publish_once("request 1", Event::new("to bob")).try_result().unwrap();
    assert_ne!(first, second);
    assert!(matches!(reader.next().now_or_never(), Some(Some(Update::Subscribed(_)))));
    let event = reader.next().now_or_never();
    assert!(matches!(&event, Some(Some(Update::Event { event, .. })) if event.data() == "to bob"), "{event:?}");
    // Each topic has its own keys, also after it was closed and reopened.
    bob.close(None).try_result().unwrap();
    assert_eq!(bob.publish_once("request 1", Event::new("again")).try_result().unwrap(), second);
    assert_eq!(ann.publish_once("request 1", Event::new("again")).try_result().unwrap(), first);
}
