//! Ids beyond the space of positions: a gap, after which the hub continues.

use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use tower_sse::hub::{Hub, Start, Subscribe, Subscription, Update};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, after, backplane, data, gap, hub, hub_on, publish, reader, within};

fn add(redis: &Redis, id: &str, data: &str) -> String {
    redis.cli(&["XADD", "{sse}:stream", id, "topic", "topic", "data", data]).expect("the command succeeds")
}

/// Asserts that nodes read each other's events, that a new one starts, and that clients resume on any.
async fn assert_continues(redis: &Redis, nodes: &[Hub; 2]) {
    let new = hub(&redis.url());
    for (publisher, other) in [(&nodes[0], &nodes[1]), (&nodes[1], &new), (&new, &nodes[0])] {
        let id = publish(publisher, "had").await;
        publish(publisher, "missed").await;
        assert_eq!(data(&mut after(other, &id)).await, "missed");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn id_in_microseconds_is_a_gap_and_the_hub_continues() {
    // Also nanoseconds, which exceed the precision of a Lua number.
    for id in ["1764519000000000-0", "1764519000000000000-0", "18446744073709551615-0"] {
        let redis = Redis::start(&[]).expect("the server starts");
        let counts = Counts::default();
        let observed = hub_on(backplane(&redis.url()).observer(counts.clone()));
        let nodes = [observed, hub(&redis.url())];
        let mut readers = [reader(&nodes[0]).await, reader(&nodes[1]).await];
        let before = publish(&nodes[0], "before").await;
        for reader in &mut readers {
            assert_eq!(data(reader).await, "before");
        }
        add(&redis, id, "far");
        // The gap does not depend on a publish of a node.
        for reader in &mut readers {
            gap(reader).await;
            assert_eq!(data(reader).await, "far");
        }
        add(&redis, "*", "by another program");
        publish(&nodes[1], "by a node").await;
        for reader in &mut readers {
            assert_eq!([data(reader).await, data(reader).await], ["by another program", "by a node"]);
        }
        gap(&mut after(&nodes[1], &before)).await;
        assert_continues(&redis, &nodes).await;
        assert_eq!(counts.renewed.load(Ordering::Relaxed), 1, "reported once");
        assert_eq!(counts.skipped.load(Ordering::Relaxed), 0);
        // A deleted stream starts again at the time of the clock.
        redis.cli(&["DEL", "{sse}:stream"]).expect("the command succeeds");
        for reader in &mut readers {
            within(until_gap(reader)).await;
        }
        assert_continues(&redis, &nodes).await;
    }
}

/// Reads up to the gap.
async fn until_gap(reader: &mut Subscription) {
    loop {
        match reader.next().await {
            Some(Update::Gap(_)) => return,
            Some(Update::Event { .. }) => {}
            other => panic!("expected a gap, got {other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn publisher_that_begins_the_epoch_gets_a_valid_id() {
    let redis = Redis::start(&[]).expect("the server starts");
    let nodes = [hub(&redis.url()), hub(&redis.url())];
    publish(&nodes[0], "before").await;
    // The entry is deleted at once, as after a mistake. The last id of the stream remains.
    let script = "local id = redis.call('XADD', KEYS[1], '1764519000000000-0', 'topic', 'topic', 'data', 'far')
        return redis.call('XDEL', KEYS[1], id)";
    redis.cli(&["EVAL", script, "1", "{sse}:stream"]).expect("the command succeeds");
    assert_continues(&redis, &nodes).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn keys_of_the_old_epoch_stay_in_the_snapshot() {
    let redis = Redis::start(&[]).expect("the server starts");
    let near = hub(&redis.url());
    let topic = near.topic("topic").expect("the hub has room");
    for (key, data) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        within(topic.publish_keyed(key, tower_sse::Event::new(data))).await.expect("the publish succeeds");
    }
    add(&redis, "1764519000000000-0", "far");
    within(topic.publish_keyed("c", tower_sse::Event::new("c1"))).await.expect("the publish succeeds");
    for hub in [&near, &hub(&redis.url())] {
        let snapshot = Subscribe::to("topic").start(Start::Snapshot);
        let mut reader = hub.subscribe(snapshot).expect("the hub has room");
        let mut seen = read_through(&mut reader, "c1").await;
        seen.retain(|data| data != "far");
        assert_eq!(seen, ["b1", "a2", "c1"]);
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn stream_with_the_highest_id_is_replaced() {
    let redis = Redis::start(&[]).expect("the server starts");
    let nodes = [hub(&redis.url()), hub(&redis.url())];
    publish(&nodes[0], "before").await;
    add(&redis, "18446744073709551615-18446744073709551615", "the last");
    assert_continues(&redis, &nodes).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn million_entries_of_a_millisecond_continue_in_the_next() {
    let redis = Redis::start(&[]).expect("the server starts");
    let counts = Counts::default();
    let hub = hub_on(backplane(&redis.url()).observer(counts.clone()));
    let mut reader = reader(&hub).await;
    // As if the clock stood still: all ids from here on have this millisecond.
    add(&redis, "9999999999999-600000", "half of them");
    assert_eq!(data(&mut reader).await, "half of them");
    let moved = async {
        while !redis
            .cli(&["XINFO", "STREAM", "{sse}:stream"])
            .expect("the command succeeds")
            .contains("10000000000000-0")
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within(moved).await;
    assert_eq!(add(&redis, "*", "next"), "10000000000000-1");
    assert_eq!(data(&mut reader).await, "next");
    // An entry beyond the numbers of a millisecond is skipped, the next one is not.
    add(&redis, "10000000000000-2000000", "beyond");
    publish(&hub, "after").await;
    assert_eq!(data(&mut reader).await, "after");
    assert_eq!(counts.skipped.load(Ordering::Relaxed), 1);
    assert_eq!(counts.renewed.load(Ordering::Relaxed), 0);
}

/// Reads events up to this data. Returns the data of each.
async fn read_through(reader: &mut Subscription, last: &str) -> Vec<String> {
    let mut seen = Vec::<String>::new();
    while seen.last().map(String::as_str) != Some(last) {
        let Some(Update::Event { event, .. }) = within(reader.next()).await else { continue };
        seen.push(event.data().into_owned());
    }
    seen
}
