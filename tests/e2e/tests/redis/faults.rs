//! Failures of Redis, one at a time.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;
use tower_sse::{
    Event,
    backplane::{Link, redis::Redis as Backplane},
    hub::PublishError,
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, after, backplane, data, gap, hub, hub_on, limited, publish, reader, until, within};

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn unreachable_redis_fails_connect_and_delays_a_built_hub() {
    let mut redis = Redis::new(&[]).expect("a free port");
    let refused = Backplane::builder(redis.url()).connect().await;
    assert!(refused.is_err(), "connect fails");
    let (hub, limited) = (hub(&redis.url()), limited(&redis.url()));
    let mut reader = hub.subscribe("topic").expect("the hub has room");
    // A publish has a timeout.
    let refused = within(limited.topic("topic").expect("the hub has room").publish(Event::new("lost"))).await;
    assert!(matches!(refused, Err(PublishError::NotSent(_))), "{refused:?}");
    assert!(reader.next().now_or_never().is_none(), "the stream is open and waits");
    redis.restart().expect("the server starts");
    until(&hub, Link::Up).await;
    assert!(reader.next().await.is_some(), "a new client is greeted");
    publish(&hub, "first").await;
    assert_eq!(data(&mut reader).await, "first");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn durable_restart_loses_and_duplicates_nothing() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).expect("the server starts");
    let (near, far, limited) = (hub(&redis.url()), hub(&redis.url()), limited(&redis.url()));
    let mut reader = reader(&far).await;
    let first = publish(&near, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    redis.kill();
    until(&far, Link::Down).await;
    let lost = limited.topic("topic").expect("the hub has room").publish(Event::new("lost")).await;
    assert!(matches!(lost, Err(PublishError::NotSent(_) | PublishError::Unknown(_))), "{lost:?}");
    assert!(reader.next().now_or_never().is_none(), "the stream is open");
    redis.restart().expect("the server starts");
    until(&far, Link::Up).await;
    publish(&near, "after").await;
    assert_eq!(data(&mut reader).await, "after");
    let mut back = after(&far, &first);
    assert_eq!(data(&mut back).await, "after");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn empty_restart_is_a_gap_without_a_new_event() {
    let mut redis = Redis::start(&[]).expect("the server starts");
    let (near, far) = (hub(&redis.url()), hub(&redis.url()));
    let mut readers = [reader(&near).await, reader(&far).await];
    publish(&near, "before").await;
    for reader in &mut readers {
        assert_eq!(data(reader).await, "before");
    }
    redis.restart().expect("the server starts");
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
async fn flush_is_a_gap_before_the_next_publish() {
    let redis = Redis::start(&[]).expect("the server starts");
    let hub = hub(&redis.url());
    let mut reader = reader(&hub).await;
    let had = publish(&hub, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    // The node blocks on the next entry by now, or soon.
    redis.cli(&["FLUSHALL"]).expect("the command succeeds");
    gap(&mut reader).await;
    gap(&mut after(&hub, &had)).await;
    // And if another program adds an entry before a node has read.
    publish(&hub, "between").await;
    assert_eq!(data(&mut reader).await, "between");
    redis.cli(&["FLUSHALL"]).expect("the command succeeds");
    redis.cli(&["XADD", "{sse}:stream", "*", "topic", "topic", "data", "elsewhere"]).expect("the command succeeds");
    gap(&mut reader).await;
    assert_eq!(data(&mut reader).await, "elsewhere");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn unresponsive_redis_makes_a_publish_unknown() {
    let redis = Redis::start(&[]).expect("the server starts");
    let url = redis.url();
    let (near, far) = (limited(&url), hub(&url));
    let mut reader = reader(&far).await;
    publish(&far, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    let process = redis.info("process_id").expect("the command succeeds");
    redis.signal(&process, "STOP").expect("the process runs");
    let unknown = near.topic("topic").expect("the hub has room").publish_once("key", Event::new("once")).await;
    assert!(matches!(unknown, Err(PublishError::Unknown(_))), "{unknown:?}");
    redis.signal(&process, "CONT").expect("the process runs");
    // The caller retries with the same key: the event is appended once.
    let topic = near.topic("topic").expect("the hub has room");
    within(async { while topic.publish_once("key", Event::new("once")).await.is_err() {} }).await;
    publish(&far, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["once", "after"]);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn out_of_memory_fails_a_publish_and_no_stream() {
    let redis = Redis::start(&[]).expect("the server starts");
    let hub = hub(&redis.url());
    let mut reader = reader(&hub).await;
    publish(&hub, "before").await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).expect("the command succeeds");
    let refused = hub.topic("topic").expect("the hub has room").publish(Event::new("too much")).await;
    assert!(matches!(&refused, Err(PublishError::NotSent(why)) if why.to_string().contains("OOM")), "{refused:?}");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]).expect("the command succeeds");
    publish(&hub, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["before", "after"]);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn failover_to_a_stale_replica_is_a_gap() {
    let master = Redis::start(&[]).expect("the server starts");
    let replica = Redis::start(&["--repl-diskless-sync-delay", "0"]).expect("the server starts");
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).expect("the command succeeds");
    let both = || hub_on(backplane(&master.url()).fallback(replica.url()));
    let (near, far) = (both(), both());
    let mut readers = [reader(&near).await, reader(&far).await];
    publish(&near, "kept").await;
    while replica.cli(&["XLEN", "{sse}:stream"]).expect("the command succeeds") != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // From here on the replica is stale.
    replica.cli(&["REPLICAOF", "NO", "ONE"]).expect("the command succeeds");
    let lost = publish(&near, "lost").await;
    for reader in &mut readers {
        assert_eq!([data(reader).await, data(reader).await], ["kept", "lost"]);
    }
    drop(master);
    for reader in &mut readers {
        gap(reader).await;
        assert_eq!(data(reader).await, "kept", "from the oldest retained event on");
    }
    publish(&far, "after").await;
    for reader in &mut readers {
        assert_eq!(data(reader).await, "after");
    }
    gap(&mut after(&near, &lost)).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn trimmed_unread_entries_are_a_gap() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).expect("the server starts");
    let far = hub(&redis.url());
    let mut reader = reader(&far).await;
    publish(&far, "had").await;
    assert_eq!(data(&mut reader).await, "had");
    let add = |redis: &Redis, data: &str| {
        redis
            .cli(&["XADD", "{sse}:stream", "MAXLEN", "1", "*", "topic", "topic", "data", data])
            .expect("the command succeeds")
    };
    // While the node is disconnected, its last entry and the next ones are trimmed.
    redis.kill();
    until(&far, Link::Down).await;
    redis.restart().expect("the server starts");
    let script = "for i = 1, 3 do redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', 'topic', 'topic', 'data', i) end";
    redis.cli(&["EVAL", script, "1", "{sse}:stream"]).expect("the command succeeds");
    gap(&mut reader).await;
    assert_eq!(data(&mut reader).await, "3");
    // Trimming of read entries is no gap.
    for number in 4..8 {
        add(&redis, &number.to_string());
        assert_eq!(data(&mut reader).await, number.to_string());
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn entries_of_other_programs_are_read_or_skipped() {
    let redis = Redis::start(&[]).expect("the server starts");
    let counts = Counts::default();
    let hub = hub_on(backplane(&redis.url()).observer(counts.clone()));
    let mut reader = reader(&hub).await;
    let add = |fields: &[&str]| {
        let mut command = vec!["XADD", "{sse}:stream", "MAXLEN", "~", "100000", "*"];
        command.extend(fields);
        redis.cli(&command).expect("the command succeeds")
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
async fn expiry_of_read_entries_is_no_gap() {
    let redis = Redis::start(&["--stream-node-max-entries", "1"]).expect("the server starts");
    let young = || backplane(&redis.url()).age(Duration::from_millis(1));
    let (hub, other) = (hub_on(young()), hub_on(young()));
    let mut reader = reader(&other).await;
    for number in 0..50 {
        // Each publish trims all earlier entries.
        publish(&hub, &number.to_string()).await;
        assert_eq!(data(&mut reader).await, number.to_string());
    }
    let nothing = timeout(Duration::from_millis(100), reader.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}
