//! Keys that a node does not load at its start: they are loaded when a subscriber needs them.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event, EventId, LastEventId,
    backplane::{Feed, Incoming},
    hub::{Hub, LagPolicy, Retention, Start, Subscribe, Subscription, Update},
};

use super::manual::Manual;
use crate::hub::support::read_with;

async fn node() -> (Hub, Feed) {
    let (hub, feed) = Manual::build(Hub::builder()).await;
    feed.find_keys_when_asked();
    feed.begin_epoch(1, 100);
    feed.synced_through(100);
    (hub, feed)
}

fn key(sequence: u64, topic: &str, key: &str) -> Incoming {
    Incoming::new(sequence, topic, Event::new(format!("{key}{sequence}"))).keyed(key)
}

fn present(hub: &Hub, topic: &str) -> Subscription {
    hub.subscribe(Subscribe::to(topic).start(Start::Snapshot)).expect("the hub has room")
}

/// Returns the data that is ready, without waiting.
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
async fn subscriber_waits_for_the_keys_it_needs() {
    let (hub, feed) = node().await;
    let mut reader = present(&hub, "a");
    assert!(reader.next().now_or_never().is_none(), "the keys are not loaded yet");
    assert_eq!(wanted(&feed), ["a"]);
    feed.apply_keys("a", vec![key(7, "a", "x"), key(9, "a", "y")]);
    assert_eq!(data(&mut reader), ["x7", "y9"]);
    // From here on the node tracks them itself.
    feed.apply(vec![key(101, "a", "x"), Incoming::remove(102, "a", "y")]);
    assert_eq!(data(&mut reader), ["x101"]);
    assert_eq!(data(&mut present(&hub, "a")), ["x101"]);
    assert!(wanted(&feed).is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_subscribers_that_need_keys_request_them() {
    let (hub, feed) = node().await;
    let mut now = hub.subscribe("a").expect("the hub has room");
    assert!(matches!(now.next().now_or_never(), Some(Some(Update::Subscribed(_)))));
    assert!(wanted(&feed).is_empty());
    let mut latest = hub.subscribe(Subscribe::to("a").and("b").lag(LagPolicy::Conflate)).expect("the hub has room");
    assert!(latest.next().now_or_never().is_none());
    assert_eq!(wanted(&feed), ["a", "b"]);
    feed.apply_keys("b", vec![]);
    assert!(latest.next().now_or_never().is_none());
    assert_eq!(wanted(&feed), ["a"], "the keys of the other are known");
    feed.apply_keys("a", vec![]);
    assert!(matches!(latest.next().now_or_never(), Some(Some(Update::Subscribed(_)))));
}

#[tokio::test(start_paused = true)]
async fn missing_keys_are_requested_again() {
    let (hub, feed) = node().await;
    let reader = tokio::spawn({
        let mut reader = present(&hub, "a");
        async move {
            assert!(reader.next().await.is_some());
            reader
        }
    });
    assert_eq!(text(&feed.wanted().await), ["a"]);
    // The backplane was away, and reports that it is back.
    feed.synced_through(100);
    assert_eq!(text(&feed.wanted().await), ["a"]);
    feed.apply_keys("a", vec![key(7, "a", "x")]);
    let mut reader = reader.await.expect("the reader task ends");
    assert_eq!(data(&mut reader), ["x7"]);
}

#[tokio::test(start_paused = true)]
async fn keys_are_requested_again_in_a_new_epoch() {
    let (hub, feed) = node().await;
    let mut reader = present(&hub, "a");
    assert!(reader.next().now_or_never().is_none());
    assert_eq!(wanted(&feed), ["a"]);
    feed.apply_keys("a", vec![key(7, "a", "x")]);
    assert_eq!(data(&mut reader), ["x7"]);
    feed.begin_epoch(2, 50);
    assert_eq!(text(&feed.in_use()), ["a"], "a running reader requests nothing");
    feed.apply_keys("a", vec![key(40, "a", "x")]);
    feed.synced_through(50);
    assert_eq!(data(&mut present(&hub, "a")), ["x40"]);
    let mut other = present(&hub, "b");
    assert!(other.next().now_or_never().is_none());
    assert_eq!(wanted(&feed), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn late_keys_do_not_replace_newer_ones() {
    let (hub, feed) = node().await;
    let mut reader = present(&hub, "a");
    assert!(reader.next().now_or_never().is_none());
    feed.apply(vec![key(101, "a", "x")]);
    feed.apply_keys("a", vec![key(7, "a", "x"), key(8, "a", "y")]);
    assert_eq!(data(&mut reader), ["y8", "x101"]);
    // Keys of a topic that is not in use leave nothing behind.
    let topics = hub.topic_count();
    feed.apply_keys("b", vec![key(9, "b", "x")]);
    assert_eq!(hub.topic_count(), topics);
}

/// Returns the ready updates: data, `+` for the first position, and the end of a gap.
fn read(subscription: &mut Subscription) -> Vec<String> {
    read_with(subscription, |gap| format!("gap {}", gap.to.as_str().rsplit('-').next().unwrap_or_default()))
}

/// The evicted topic counted as evicted up to a position that the node had not reached, so each poll of a later reader
/// searched for it for ever.
#[tokio::test(start_paused = true)]
async fn keys_ahead_of_a_node_keep_no_reader_busy() {
    let (hub, feed) = Manual::build(Hub::builder().max_topics(1)).await;
    feed.find_keys_when_asked();
    feed.begin_epoch(1, 0);
    feed.synced_through(2);
    let mut reader = present(&hub, "a");
    assert!(reader.next().now_or_never().is_none());
    feed.apply_keys("a", vec![key(5, "a", "x")]);
    drop(reader);
    drop(hub.subscribe("b").expect("the hub has room"));
    let mut later = hub.subscribe("a").expect("the hub has room");
    assert_eq!(read(&mut later), ["+"]);
    feed.apply(vec![key(5, "a", "x")]);
    assert_eq!(read(&mut later), ["x5"]);
}

#[tokio::test(start_paused = true)]
async fn keys_ahead_of_a_closed_topic_keep_no_reader_busy() {
    let (hub, feed) = Manual::build(Hub::builder()).await;
    feed.find_keys_when_asked();
    feed.begin_epoch(1, 0);
    feed.synced_through(1);
    let mut reader = hub.subscribe(Subscribe::to("a").lag(LagPolicy::Conflate)).expect("the hub has room");
    assert!(reader.next().now_or_never().is_none());
    feed.apply(vec![Incoming::close(2, "a")]);
    feed.apply_keys("a", vec![key(5, "a", "x")]);
    read(&mut reader);
    drop(reader);
    let mut later = hub.subscribe("a").expect("the hub has room");
    assert_eq!(read(&mut later), ["+"]);
    feed.apply(vec![key(5, "a", "x")]);
    assert_eq!(read(&mut later), ["x5"]);
}

/// A reader changed to the new epoch before its keys were loaded, and its cursor passed them.
#[tokio::test(start_paused = true)]
async fn snapshot_reader_receives_the_keys_of_another_epoch() {
    for is_there in [true, false] {
        let (hub, feed) = node().await;
        let mut reader = hub.subscribe(Subscribe::to("a").lag(LagPolicy::Conflate)).expect("the hub has room");
        assert_eq!(read(&mut reader), [""; 0]);
        assert_eq!(wanted(&feed), ["a"]);
        feed.apply_keys("a", vec![]);
        assert_eq!(read(&mut reader), ["+"]);
        feed.begin_epoch(2, 200);
        assert_eq!(read(&mut reader), [""; 0], "the node has not loaded yet");
        if is_there {
            feed.apply_keys("a", vec![key(150, "a", "x")]);
        }
        feed.synced_through(200);
        if !is_there {
            assert_eq!(read(&mut reader), [""; 0], "the keys are not loaded yet");
            assert_eq!(wanted(&feed), ["a"]);
            feed.apply_keys("a", vec![key(150, "a", "x")]);
        }
        assert_eq!(read(&mut reader), ["gap 149", "x150", "gap 200"]);
        feed.apply(vec![key(201, "a", "x")]);
        assert_eq!(read(&mut reader), ["x201"]);
    }
}

#[tokio::test(start_paused = true)]
async fn conflating_reader_gets_keys_loaded_with_another_epoch() {
    let (hub, feed) = Manual::build(Hub::builder()).await;
    feed.begin_epoch(1, 0);
    feed.synced_through(0);
    let mut reader = hub.subscribe(Subscribe::to("a").lag(LagPolicy::Conflate)).expect("the hub has room");
    assert_eq!(read(&mut reader), ["+"]);
    feed.begin_epoch(2, 200);
    assert_eq!(read(&mut reader), [""; 0]);
    // And another epoch, before the keys have come.
    feed.begin_epoch(3, 300);
    assert_eq!(read(&mut reader), [""; 0]);
    feed.apply_latest(key(250, "a", "x"));
    feed.synced_through(300);
    assert_eq!(read(&mut reader), ["gap 249", "x250", "gap 300"]);
}

/// While the backplane did not answer, each client that came and left leaked a name.
#[tokio::test(start_paused = true)]
async fn keys_are_requested_for_held_topics_only() {
    let (hub, feed) = Manual::build(Hub::builder().max_topics(10)).await;
    feed.find_keys_when_asked();
    feed.begin_epoch(1, 100);
    feed.synced_through(100);
    let mut stays = present(&hub, "stays");
    assert!(stays.next().now_or_never().is_none());
    for number in 0..1000 {
        assert!(present(&hub, &number.to_string()).next().now_or_never().is_none());
    }
    assert_eq!(wanted(&feed), ["stays"]);
}

/// They were lost without being counted.
#[tokio::test(start_paused = true)]
async fn keyed_values_without_room_are_counted() {
    for finds_keys in [false, true] {
        let (hub, feed) = Manual::build(Hub::builder().max_topics(1)).await;
        if finds_keys {
            feed.find_keys_when_asked();
        }
        feed.begin_epoch(1, 100);
        let _held = hub.topic("held").expect("the hub has room");
        feed.apply_latest(key(7, "a", "x"));
        feed.apply(vec![key(101, "a", "x"), Incoming::new(102, "a", Event::new("1")), Incoming::remove(103, "a", "x")]);
        feed.synced_through(103);
        assert_eq!(hub.health().evicted_keys, if finds_keys { 0 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_an_evicted_topic_are_loaded_again() {
    let (hub, feed) = Manual::build(Hub::builder().max_topics(1)).await;
    feed.find_keys_when_asked();
    feed.begin_epoch(1, 100);
    feed.synced_through(100);
    for round in 0..3 {
        let mut reader = present(&hub, "a");
        assert!(reader.next().now_or_never().is_none(), "keys are not loaded in round {round}");
        assert_eq!(wanted(&feed), ["a"]);
        feed.apply_keys("a", vec![key(7, "a", "x"), key(9, "a", "y")]);
        assert_eq!(data(&mut reader), ["x7", "y9"]);
        drop(reader);
        drop(hub.subscribe("b").expect("the hub has room"));
        let health = hub.health();
        assert_eq!((health.evicted_topics, health.evicted_keys), (round + 1, 0), "nothing is lost");
    }
}

#[tokio::test(start_paused = true)]
async fn client_cut_within_a_fetched_snapshot_gets_all_of_it_again() {
    let (hub, feed) = node().await;
    let mut cut = present(&hub, "a");
    assert!(cut.next().now_or_never().is_none());
    feed.apply_keys("a", vec![key(7, "a", "x"), key(9, "a", "y")]);
    assert!(matches!(cut.next().now_or_never(), Some(Some(Update::Subscribed(None)))));
    let Some(Some(Update::Event { event, .. })) = cut.next().now_or_never() else { panic!("the first key") };
    assert_eq!((&*event.data(), event.id()), ("x7", None));
    drop(cut);
    let mut back = present(&hub, "a");
    let mut ids = Vec::new();
    while let Some(Some(update)) = back.next().now_or_never() {
        if let Update::Event { event, .. } = update {
            ids.push((event.data().into_owned(), event.id().map(ToString::to_string)));
        }
    }
    let head = EventId::from_position(1, 100).to_string();
    assert_eq!(ids, [("x7".to_owned(), None), ("y9".to_owned(), Some(head))]);
}

/// The pending gap is of the epoch that is over, as is the id of its client.
#[tokio::test(start_paused = true)]
async fn pending_gap_is_covered_by_the_gap_of_another_epoch() {
    let (hub, feed) = Manual::build(Hub::builder()).await;
    let _small = hub.topic_with("a", Retention::new().events(1)).expect("the hub has room");
    let event = |at: u64, topic: &str| Incoming::new(at, topic, Event::new(at.to_string()));
    feed.begin_epoch(1, 0);
    feed.apply(vec![event(1, "a"), event(2, "b"), event(3, "b"), event(4, "a"), event(5, "a")]);
    feed.synced_through(5);
    let back = Subscribe::to("a").and("b").resume_after(LastEventId::from_id(&EventId::from_position(1, 1)));
    let mut reader = hub.subscribe(back).expect("the hub has room");
    assert!(matches!(reader.next().now_or_never(), Some(Some(Update::Event { .. }))), "2, and a gap up to 4 is owed");
    feed.begin_epoch(2, 0);
    feed.apply(vec![event(1, "a"), event(2, "b")]);
    feed.synced_through(2);
    let Some(Some(Update::Gap(gap))) = reader.next().now_or_never() else { panic!("another epoch is a gap") };
    assert_eq!((gap.from, gap.to), (Some(EventId::from_position(1, 1)), EventId::from_position(2, 0)));
    assert_eq!(read(&mut reader), ["1", "2"]);
    feed.apply(vec![event(3, "a"), event(4, "a")]);
    feed.synced_through(4);
    let mut back =
        hub.subscribe(Subscribe::to("a").and("b").resume_after(LastEventId::from_id(&EventId::from_position(2, 0))));
    assert_eq!(read(back.as_mut().expect("the hub has room")), ["2", "gap 3", "4"]);
}
