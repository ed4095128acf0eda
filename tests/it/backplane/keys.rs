//! Keys that a node does not load when it begins: they are found when a subscriber needs them.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event,
    backplane::{Feed, Incoming},
    hub::{Hub, Lag, Start, Subscribe, Subscription, Update},
};

use super::given::Given;

async fn node() -> (Hub, Feed) {
    let (hub, feed) = Given::build(Hub::builder()).await;
    feed.find_keys_when_asked();
    feed.begin(1, 100);
    feed.caught_up(100);
    (hub, feed)
}

fn key(sequence: u64, topic: &str, key: &str) -> Incoming {
    Incoming::new(sequence, topic, Event::new(format!("{key}{sequence}"))).keyed(key)
}

fn present(hub: &Hub, topic: &str) -> Subscription {
    hub.subscribe(Subscribe::to(topic).start(Start::Latest)).expect("there is room")
}

/// What is given now, without waiting.
fn data(subscription: &mut Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(Some(update)) = subscription.next().now_or_never() {
        if let Update::Event { event, .. } = update {
            all.push(event.data().into_owned());
        }
    }
    all
}

fn wanted(feed: &Feed) -> Vec<String> {
    text(&feed.take_wanted())
}

fn text(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn who_needs_keys_waits_until_they_are_found() {
    let (hub, feed) = node().await;
    let mut reader = present(&hub, "a");
    assert!(reader.next().now_or_never().is_none(), "the keys are not known yet");
    assert_eq!(wanted(&feed), ["a"]);
    feed.give_keys("a", vec![key(7, "a", "x"), key(9, "a", "y")]);
    assert_eq!(data(&mut reader), ["x7", "y9"]);
    // From here on the node knows them itself.
    feed.give(vec![key(101, "a", "x"), Incoming::remove(102, "a", "y")]);
    assert_eq!(data(&mut reader), ["x101"]);
    assert_eq!(data(&mut present(&hub, "a")), ["x101"]);
    assert!(wanted(&feed).is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_who_needs_keys_asks_for_them() {
    let (hub, feed) = node().await;
    let mut now = hub.subscribe("a").expect("there is room");
    assert!(matches!(now.next().now_or_never(), Some(Some(Update::Subscribed(_)))));
    assert!(wanted(&feed).is_empty());
    let mut latest = hub.subscribe(Subscribe::to("a").and("b").lag(Lag::Latest)).expect("there is room");
    assert!(latest.next().now_or_never().is_none());
    assert_eq!(wanted(&feed), ["a", "b"]);
    feed.give_keys("b", vec![]);
    assert!(latest.next().now_or_never().is_none());
    assert_eq!(wanted(&feed), ["a"], "the other one is known");
    feed.give_keys("a", vec![]);
    assert!(matches!(latest.next().now_or_never(), Some(Some(Update::Subscribed(_)))));
}

#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_again_when_they_did_not_come() {
    let (hub, feed) = node().await;
    let reader = tokio::spawn({
        let mut reader = present(&hub, "a");
        async move {
            assert!(reader.next().await.is_some());
            reader
        }
    });
    assert_eq!(text(&feed.wanted().await), ["a"]);
    // What stands behind the node was away. It says that it is there.
    feed.caught_up(100);
    assert_eq!(text(&feed.wanted().await), ["a"]);
    feed.give_keys("a", vec![key(7, "a", "x")]);
    let mut reader = reader.await.expect("it reads");
    assert_eq!(data(&mut reader), ["x7"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_history_asks_anew() {
    let (hub, feed) = node().await;
    let mut reader = present(&hub, "a");
    assert!(reader.next().now_or_never().is_none());
    assert_eq!(wanted(&feed), ["a"]);
    feed.give_keys("a", vec![key(7, "a", "x")]);
    assert_eq!(data(&mut reader), ["x7"]);
    feed.begin(2, 50);
    assert_eq!(text(&feed.in_use()), ["a"], "who reads already does not ask");
    feed.give_keys("a", vec![key(40, "a", "x")]);
    feed.caught_up(50);
    assert_eq!(data(&mut present(&hub, "a")), ["x40"]);
    let mut other = present(&hub, "b");
    assert!(other.next().now_or_never().is_none());
    assert_eq!(wanted(&feed), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_come_late_do_not_take_the_place_of_newer_ones() {
    let (hub, feed) = node().await;
    let mut reader = present(&hub, "a");
    assert!(reader.next().now_or_never().is_none());
    feed.give(vec![key(101, "a", "x")]);
    feed.give_keys("a", vec![key(7, "a", "x"), key(8, "a", "y")]);
    assert_eq!(data(&mut reader), ["y8", "x101"]);
    // Keys of a topic that is in no use leave nothing behind.
    let topics = hub.topics();
    feed.give_keys("b", vec![key(9, "b", "x")]);
    assert_eq!(hub.topics(), topics);
}
