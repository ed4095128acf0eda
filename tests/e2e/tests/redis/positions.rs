//! Ids beyond the space of positions: a gap is sent, and the hub goes on.

use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use tower_sse::hub::{Hub, Start, Subscribe, Subscription, Update};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, after, backplane, data, gap, hub, publish, reader, within};

fn add(redis: &Redis, id: &str, data: &str) -> String {
    redis.cli(&["XADD", "{sse}:stream", id, "topic", "topic", "data", data]).expect("it does")
}

/// All nodes go on: each has what is published on the other, new ones begin, and clients go on at any.
async fn assert_goes_on(redis: &Redis, nodes: &[Hub; 2]) {
    let new = hub(&redis.url());
    for (publisher, other) in [(&nodes[0], &nodes[1]), (&nodes[1], &new), (&new, &nodes[0])] {
        let id = publish(publisher, "had").await;
        publish(publisher, "missed").await;
        assert_eq!(data(&mut after(other, &id)).await, "missed");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn an_id_in_microseconds_is_a_gap_and_the_hub_goes_on() {
    // Also nanoseconds, which are beyond what a number of a script can tell apart.
    for id in ["1764519000000000-0", "1764519000000000000-0", "18446744073709551615-0"] {
        let redis = Redis::start(&[]).expect("it starts");
        let counts = Counts::default();
        let observed = Hub::builder().build_with_backplane(backplane(&redis.url()).observer(counts.clone()));
        let nodes = [observed, hub(&redis.url())];
        let mut readers = [reader(&nodes[0]).await, reader(&nodes[1]).await];
        let before = publish(&nodes[0], "before").await;
        for reader in &mut readers {
            assert_eq!(data(reader).await, "before");
        }
        add(&redis, id, "far");
        // No node publishes: the gap is sent all the same.
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
        assert_goes_on(&redis, &nodes).await;
        assert_eq!(counts.renewed.load(Ordering::Relaxed), 1, "it is told once");
        assert_eq!(counts.skipped.load(Ordering::Relaxed), 0);
        // A stream that is deleted begins where the clock is.
        redis.cli(&["DEL", "{sse}:stream"]).expect("it does");
        for reader in &mut readers {
            within(until_gap(reader)).await;
        }
        assert_goes_on(&redis, &nodes).await;
    }
}

/// Reads all that was published before the gap.
async fn until_gap(reader: &mut Subscription) {
    loop {
        match reader.next().await {
            Some(Update::Gap(_)) => return,
            Some(Update::Event { .. }) => {}
            other => panic!("a gap is told, and not {other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_publisher_that_is_first_to_see_it_has_an_id_that_holds() {
    let redis = Redis::start(&[]).expect("it starts");
    let nodes = [hub(&redis.url()), hub(&redis.url())];
    publish(&nodes[0], "before").await;
    // The entry is deleted at once, as an operator might: the stream's last id stays.
    let script = "local id = redis.call('XADD', KEYS[1], '1764519000000000-0', 'topic', 'topic', 'data', 'far')
        return redis.call('XDEL', KEYS[1], id)";
    redis.cli(&["EVAL", script, "1", "{sse}:stream"]).expect("it does");
    assert_goes_on(&redis, &nodes).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn keys_from_before_are_still_the_present() {
    let redis = Redis::start(&[]).expect("it starts");
    let near = hub(&redis.url());
    let topic = near.topic("topic").expect("there is room");
    for (key, data) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        within(topic.publish_keyed(key, tower_sse::Event::new(data))).await.expect("it is published");
    }
    add(&redis, "1764519000000000-0", "far");
    within(topic.publish_keyed("c", tower_sse::Event::new("c1"))).await.expect("it is published");
    for hub in [&near, &hub(&redis.url())] {
        let present = Subscribe::to("topic").start(Start::Snapshot);
        let mut reader = hub.subscribe(present).expect("there is room");
        let mut seen = read_through(&mut reader, "c1").await;
        seen.retain(|data| data != "far");
        assert_eq!(seen, ["b1", "a2", "c1"]);
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_stream_that_has_given_its_last_id_begins_anew() {
    let redis = Redis::start(&[]).expect("it starts");
    let nodes = [hub(&redis.url()), hub(&redis.url())];
    publish(&nodes[0], "before").await;
    add(&redis, "18446744073709551615-18446744073709551615", "the last");
    assert_goes_on(&redis, &nodes).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn million_foreign_events_in_one_millisecond_end_nothing() {
    let redis = Redis::start(&[]).expect("it starts");
    let counts = Counts::default();
    let hub = Hub::builder().build_with_backplane(backplane(&redis.url()).observer(counts.clone()));
    let mut reader = reader(&hub).await;
    // A clock that stands still: all ids from here on are of this millisecond.
    add(&redis, "9999999999999-600000", "half of them");
    assert_eq!(data(&mut reader).await, "half of them");
    let moved = async {
        while !redis.cli(&["XINFO", "STREAM", "{sse}:stream"]).expect("it says").contains("10000000000000-0") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within(moved).await;
    assert_eq!(add(&redis, "*", "next"), "10000000000000-1");
    assert_eq!(data(&mut reader).await, "next");
    // One that is beyond them is skipped, and the next is not.
    add(&redis, "10000000000000-2000000", "beyond");
    publish(&hub, "after").await;
    assert_eq!(data(&mut reader).await, "after");
    assert_eq!(counts.skipped.load(Ordering::Relaxed), 1);
    assert_eq!(counts.renewed.load(Ordering::Relaxed), 0);
}

/// Reads events until this one has come. Returns what each of them held.
async fn read_through(reader: &mut Subscription, last: &str) -> Vec<String> {
    let mut seen = Vec::<String>::new();
    while seen.last().map(String::as_str) != Some(last) {
        let Some(Update::Event { event, .. }) = within(reader.next()).await else { continue };
        seen.push(event.data().into_owned());
    }
    seen
}
