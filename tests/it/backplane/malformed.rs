//! Foreign values where a backplane reads: the hub skips them and continues.

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event,
    backplane::{Feed, Incoming, TopicPresence},
    hub::{Hub, Retention, Start, Subscribe, Subscription, Update},
};

use super::manual::Manual;

async fn node() -> (Hub, Feed) {
    let (hub, feed) = Manual::build(Hub::builder().retention(Retention::new().bytes(4000)).max_bytes(10_000)).await;
    feed.begin_epoch(1, 0);
    feed.synced_through(0);
    (hub, feed)
}

fn from_the_beginning(hub: &Hub, topic: &str) -> Subscription {
    hub.subscribe(Subscribe::to(topic).start(Start::Beginning)).expect("the hub has room")
}

fn data(subscription: &mut Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(Some(update)) = subscription.next().now_or_never() {
        if let Update::Event { event, .. } = update {
            all.push(event.data().into_owned());
        }
    }
    all
}

/// An oversized event evicted all others, in each topic and on each node.
#[tokio::test(start_paused = true)]
async fn oversized_remote_event_is_skipped_and_evicts_nothing() {
    let (hub, feed) = node().await;
    for (last, size) in [(1, 5000), (11, 70_000)] {
        feed.apply(vec![
            Incoming::new(last, "small", Event::new("a")),
            Incoming::new(last + 1, "large", Event::new("b")),
        ]);
        let large = Event::new("x".repeat(size));
        let skipped = feed.apply(vec![
            Incoming::new(last + 2, "large", large.clone()),
            Incoming::new(last + 3, "large", large).keyed("key"),
            Incoming::new(last + 4, "large", Event::new("c")),
        ]);
        assert_eq!(skipped, [last + 2, last + 3]);
        feed.synced_through(last + 4);
    }
    assert_eq!(data(&mut from_the_beginning(&hub, "small")), ["a", "a"]);
    assert_eq!(data(&mut from_the_beginning(&hub, "large")), ["b", "c", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn oversized_closing_event_closes_its_topic() {
    let (hub, feed) = node().await;
    let mut reader = from_the_beginning(&hub, "topic");
    assert!(matches!(reader.next().await, Some(Update::Subscribed(_))));
    let mut last = Incoming::new(1, "topic", Event::new("x".repeat(5000)));
    last.close = true;
    assert_eq!(feed.apply(vec![last]), [1]);
    assert!(reader.next().await.is_none(), "the stream ends");
}

#[tokio::test(start_paused = true)]
async fn oversized_key_is_not_loaded() {
    let (hub, feed) = node().await;
    feed.apply(vec![Incoming::new(1, "topic", Event::new("kept"))]);
    feed.apply_latest(Incoming::new(2, "topic", Event::new("x".repeat(5000))).keyed("key"));
    feed.synced_through(2);
    assert_eq!(data(&mut from_the_beginning(&hub, "topic")), ["kept"]);
}

/// The sum of two counts overflowed, and the task that read them ended.
#[tokio::test(start_paused = true)]
async fn absurd_counts_of_a_node_are_harmless() {
    let (hub, feed) = node().await;
    let presence = hub.topic("topic").expect("the hub has room").presence();
    let mut reader = from_the_beginning(&hub, "topic");
    for node in ["a", "b", "c"] {
        feed.node_presence(node, vec![TopicPresence::new("topic", usize::MAX, vec!["eve".into()])]);
    }
    assert!(matches!(reader.next().await, Some(Update::Subscribed(_))));
    assert!(presence.count() > 3);
    for node in ["a", "b", "c"] {
        feed.node_presence(node, vec![]);
    }
    assert_eq!((presence.count(), presence.members().len()), (1, 0));
}
