//! Entries deleted by `XDEL`, and failures that resemble it.

use std::{sync::atomic::Ordering, time::Duration};

use tower_sse::hub::Hub;
use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, after, backplane, data, gap, hub, hub_on, publish, reader};

/// Deletes the newest entry, as a worker does after it has processed the entry.
fn delete_newest(redis: &Redis) {
    let newest = redis.cli(&["XREVRANGE", "{sse}:stream", "+", "-", "COUNT", "1"]).expect("the command succeeds");
    let id = newest.lines().next().expect("an entry");
    assert_eq!(redis.cli(&["XDEL", "{sse}:stream", id]).expect("the command succeeds"), "1");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn deleted_entry_is_no_gap() {
    let redis = Redis::start(&[]).expect("the server starts");
    let counts = Counts::default();
    let hub = hub_on(backplane(&redis.url()).observer(counts.clone()));
    let mut reader = reader(&hub).await;
    publish(&hub, "stays").await;
    assert_eq!(data(&mut reader).await, "stays");
    for number in 0..5 {
        publish(&hub, &number.to_string()).await;
        assert_eq!(data(&mut reader).await, number.to_string());
        delete_newest(&redis);
    }
    publish(&hub, "after").await;
    assert_eq!(data(&mut reader).await, "after");
    // Also if the stream is empty.
    redis.cli(&["XTRIM", "{sse}:stream", "MAXLEN", "0"]).expect("the command succeeds");
    publish(&hub, "alone").await;
    assert_eq!(data(&mut reader).await, "alone");
    assert_eq!(counts.renewed.load(Ordering::Relaxed), 0);
}

/// Starts a master and a former replica that has only the first event, and a hub on both.
async fn diverged(options: &[&str]) -> (Redis, Redis, Hub) {
    let master = Redis::start(options).expect("the server starts");
    let replica = Redis::start(&["--repl-diskless-sync-delay", "0"]).expect("the server starts");
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).expect("the command succeeds");
    let hub = hub_on(backplane(&master.url()).fallback(replica.url()));
    let mut reader = reader(&hub).await;
    publish(&hub, "kept").await;
    assert_eq!(data(&mut reader).await, "kept");
    while replica.cli(&["XLEN", "{sse}:stream"]).expect("the command succeeds") != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    replica.cli(&["REPLICAOF", "NO", "ONE"]).expect("the command succeeds");
    (master, replica, hub)
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn failover_with_a_deletion_is_a_gap() {
    let (master, replica, hub) = diverged(&[]).await;
    let mut reader = reader(&hub).await;
    assert_eq!(data(&mut reader).await, "kept");
    publish(&hub, "lost").await;
    assert_eq!(data(&mut reader).await, "lost");
    // On the replica a later entry is deleted, so that the highest deleted id is above the position of the node.
    replica.cli(&["XADD", "{sse}:stream", "*", "topic", "topic", "data", "done"]).expect("the command succeeds");
    delete_newest(&replica);
    drop(master);
    gap(&mut reader).await;
    assert_eq!(data(&mut reader).await, "kept");
    publish(&hub, "after").await;
    assert_eq!(data(&mut reader).await, "after");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn without_info_permission_a_deleted_entry_is_a_gap() {
    let redis = Redis::start(&[]).expect("the server starts");
    redis.cli(&["ACL", "SETUSER", "default", "-info"]).expect("the command succeeds");
    let counts = Counts::default();
    let hub = hub_on(backplane(&redis.url()).observer(counts.clone()));
    let mut reader = reader(&hub).await;
    for number in 0..2 {
        publish(&hub, &number.to_string()).await;
        assert_eq!(data(&mut reader).await, number.to_string());
    }
    delete_newest(&redis);
    publish(&hub, "after").await;
    gap(&mut reader).await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["0", "after"]);
    assert_eq!(counts.renewed.load(Ordering::Relaxed), 1);
}

/// The new stream has the old epoch and all entries that it ever had, so it was taken for the old one without missing entries.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn recreated_stream_is_a_gap() {
    // As many entries as before, fewer, and more.
    for entries in [3, 1, 5] {
        let redis = Redis::start(&[]).expect("the server starts");
        let nodes = [hub(&redis.url()), hub(&redis.url())];
        let mut reader = reader(&nodes[0]).await;
        let had = publish(&nodes[0], "had").await;
        for number in ["missed", "last"] {
            publish(&nodes[0], number).await;
        }
        for expected in ["had", "missed", "last"] {
            assert_eq!(data(&mut reader).await, expected);
        }
        let recreate = "redis.call('DEL', KEYS[1])
            for number = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'topic', 'topic', 'data', number) end";
        redis.cli(&["EVAL", recreate, "1", "{sse}:stream", &entries.to_string()]).expect("the command succeeds");
        gap(&mut reader).await;
        // A client that resumes, on each node and on a new one.
        for node in [&nodes[0], &nodes[1], &hub(&redis.url())] {
            publish(node, "settles").await;
            let mut away = after(node, &had);
            gap(&mut away).await;
            assert_eq!(data(&mut away).await, "1");
        }
    }
}
