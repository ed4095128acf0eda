//! Faults of Redis, one at a time.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;
use tower_sse::{
    Event,
    backplane::{Link, redis::Redis as Backplane},
    hub::{Hub, PublishError},
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, after, backplane, data, gap, hub, limited, publish, reader, until, within};

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn away_at_the_start_is_an_error_or_waited_for() {
    let mut redis = Redis::new(&[]).expect("there is a port");
    let refused = Backplane::new(&redis.url()).expect("it is a URL").connect().await;
    assert!(refused.is_err(), "who asks is told");
    let (hub, limited) = (hub(&redis.url()), limited(&redis.url()));
    let mut reader = hub.subscribe("topic").expect("there is room");
    // A wait has a bound.
    let refused = within(limited.topic("topic").expect("there is room").publish(Event::new("lost"))).await;
    assert!(matches!(refused, Err(PublishError::NotSent(_))), "{refused:?}");
    assert!(reader.next().now_or_never().is_none(), "its stream is open, and waits");
    redis.restart().expect("it starts");
    until(&hub, Link::Up).await;
    assert!(reader.next().await.is_some(), "it is told where it begins");
    publish(&hub, "first").await;
    assert_eq!(data(&mut reader).await, "first");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn away_and_back_with_what_it_had_nothing_is_lost_or_doubled() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).expect("it starts");
    let (near, far, limited) = (hub(&redis.url()), hub(&redis.url()), limited(&redis.url()));
    let mut reader = reader(&far).await;
    let first = publish(&near, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    redis.kill();
    until(&far, Link::Down).await;
    let lost = limited.topic("topic").expect("there is room").publish(Event::new("lost")).await;
    assert!(matches!(lost, Err(PublishError::NotSent(_) | PublishError::Unknown(_))), "{lost:?}");
    assert!(reader.next().now_or_never().is_none(), "its stream is open");
    redis.restart().expect("it starts");
    until(&far, Link::Up).await;
    publish(&near, "after").await;
    assert_eq!(data(&mut reader).await, "after");
    let mut back = after(&far, &first);
    assert_eq!(data(&mut back).await, "after");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn restarted_empty_a_gap_is_told_to_all_without_a_next_event() {
    let mut redis = Redis::start(&[]).expect("it starts");
    let (near, far) = (hub(&redis.url()), hub(&redis.url()));
    let mut readers = [reader(&near).await, reader(&far).await];
    publish(&near, "before").await;
    for reader in &mut readers {
        assert_eq!(data(reader).await, "before");
    }
    redis.restart().expect("it starts");
    for reader in &mut readers {
        gap(reader).await;
    }
    publish(&far, "after").await;
    for reader in &mut readers {
        assert_eq!(data(reader).await, "after");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn flushed_a_gap_is_told_before_anything_is_published() {
    let redis = Redis::start(&[]).expect("it starts");
    let hub = hub(&redis.url());
    let mut reader = reader(&hub).await;
    let had = publish(&hub, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    // Waiting for the next entry by now, or soon.
    redis.cli(&["FLUSHALL"]).expect("it does");
    gap(&mut reader).await;
    gap(&mut after(&hub, &had)).await;
    // And when the next comes from elsewhere, before a node has looked.
    publish(&hub, "between").await;
    assert_eq!(data(&mut reader).await, "between");
    redis.cli(&["FLUSHALL"]).expect("it does");
    redis.cli(&["XADD", "{sse}:stream", "*", "topic", "topic", "data", "elsewhere"]).expect("it does");
    gap(&mut reader).await;
    assert_eq!(data(&mut reader).await, "elsewhere");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn slow_streams_wait_and_publishers_are_told_that_it_is_unknown() {
    let redis = Redis::start(&[]).expect("it starts");
    let url = redis.url();
    let (near, far) = (limited(&url), hub(&url));
    let mut reader = reader(&far).await;
    publish(&far, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    let process = redis.info("process_id").expect("it says");
    redis.signal(&process, "STOP").expect("it runs");
    let unknown = near.topic("topic").expect("there is room").publish_once("key", Event::new("once")).await;
    assert!(matches!(unknown, Err(PublishError::Unknown(_))), "{unknown:?}");
    redis.signal(&process, "CONT").expect("it runs");
    // The caller repeats under the same key: it is there once.
    let topic = near.topic("topic").expect("there is room");
    within(async { while topic.publish_once("key", Event::new("once")).await.is_err() {} }).await;
    publish(&far, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["once", "after"]);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn out_of_memory_is_told_to_the_publisher_and_to_nobody_else() {
    let redis = Redis::start(&[]).expect("it starts");
    let hub = hub(&redis.url());
    let mut reader = reader(&hub).await;
    publish(&hub, "before").await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).expect("it does");
    let refused = hub.topic("topic").expect("there is room").publish(Event::new("too much")).await;
    assert!(matches!(&refused, Err(PublishError::NotSent(why)) if why.to_string().contains("OOM")), "{refused:?}");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).expect("it does");
    publish(&hub, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["before", "after"]);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn after_a_failover_to_a_replica_that_was_behind_all_are_told() {
    let master = Redis::start(&[]).expect("it starts");
    let replica = Redis::start(&["--repl-diskless-sync-delay", "0"]).expect("it starts");
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).expect("it does");
    let both = || {
        let redis = backplane(&master.url());
        Hub::builder().build_with_backplane(redis.fallback(&replica.url()).expect("it is a URL"))
    };
    let (near, far) = (both(), both());
    let mut readers = [reader(&near).await, reader(&far).await];
    publish(&near, "kept").await;
    while replica.cli(&["XLEN", "{sse}:stream"]).expect("it says") != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // From here on the replica is behind.
    replica.cli(&["REPLICAOF", "NO", "ONE"]).expect("it does");
    let lost = publish(&near, "lost").await;
    for reader in &mut readers {
        assert_eq!([data(reader).await, data(reader).await], ["kept", "lost"]);
    }
    drop(master);
    for reader in &mut readers {
        gap(reader).await;
        assert_eq!(data(reader).await, "kept", "from the oldest that is kept");
    }
    publish(&far, "after").await;
    for reader in &mut readers {
        assert_eq!(data(reader).await, "after");
    }
    gap(&mut after(&near, &lost)).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn node_that_missed_trimmed_events_sends_gaps() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).expect("it starts");
    let far = hub(&redis.url());
    let mut reader = reader(&far).await;
    publish(&far, "had").await;
    assert_eq!(data(&mut reader).await, "had");
    let add = |redis: &Redis, data: &str| {
        redis.cli(&["XADD", "{sse}:stream", "MAXLEN", "1", "*", "topic", "topic", "data", data]).expect("it does")
    };
    // It is away, and what it has had last is not kept, nor what came next.
    redis.kill();
    until(&far, Link::Down).await;
    redis.restart().expect("it starts");
    let script = "for i = 1, 3 do redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', 'topic', 'topic', 'data', i) end";
    redis.cli(&["EVAL", script, "1", "{sse}:stream"]).expect("it does");
    gap(&mut reader).await;
    assert_eq!(data(&mut reader).await, "3");
    // Entries that were read may be evicted without a gap.
    for number in 4..8 {
        add(&redis, &number.to_string());
        assert_eq!(data(&mut reader).await, number.to_string());
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn foreign_entries_are_read_or_skipped_and_reported() {
    let redis = Redis::start(&[]).expect("it starts");
    let counts = Counts::default();
    let hub = Hub::builder().build_with_backplane(backplane(&redis.url()).observer(counts.clone()));
    let mut reader = reader(&hub).await;
    let add = |fields: &[&str]| {
        let mut command = vec!["XADD", "{sse}:stream", "MAXLEN", "~", "100000", "*"];
        command.extend(fields);
        redis.cli(&command).expect("it does")
    };
    add(&["topic", "topic", "data", "plain"]);
    add(&["no", "event"]);
    add(&["topic", "topic", "event", "two\nlines", "data", "injected"]);
    add(&["topic", "topic", "event", "named", "data", "two\nlines"]);
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["plain", "two\nlines"]);
    assert_eq!(counts.skipped.load(Ordering::Relaxed), 2);
    assert_eq!(counts.read.load(Ordering::Relaxed), 2);
    assert_eq!(counts.renewed.load(Ordering::Relaxed) + counts.failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_quiet_hub_whose_entries_grow_too_old_tells_nobody_anything() {
    let redis = Redis::start(&["--stream-node-max-entries", "1"]).expect("it starts");
    let young = || backplane(&redis.url()).age(Duration::from_millis(1));
    let (hub, other) = (Hub::builder().build_with_backplane(young()), Hub::builder().build_with_backplane(young()));
    let mut reader = reader(&other).await;
    for number in 0..50 {
        // Each lets all go that was before it.
        publish(&hub, &number.to_string()).await;
        assert_eq!(data(&mut reader).await, number.to_string());
    }
    let nothing = timeout(Duration::from_millis(100), reader.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}
