//! Entries that are deleted by name, and what looks like it.

use std::{sync::atomic::Ordering, time::Duration};

use tower_sse::{backplane::redis::Redis as Backplane, hub::Hub};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, after, backplane, data, gap, hub, publish, reader};

/// Deletes the newest entry, as a worker does that has done it.
fn delete_newest(redis: &Redis) {
    let newest = redis.cli(&["XREVRANGE", "{sse}:stream", "+", "-", "COUNT", "1"]).expect("it says");
    let id = newest.lines().next().expect("there is one");
    assert_eq!(redis.cli(&["XDEL", "{sse}:stream", id]).expect("it does"), "1");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_worker_that_deletes_what_it_has_done_is_no_gap() {
    let redis = Redis::start(&[]).expect("it starts");
    let counts = Counts::default();
    let hub = Hub::builder().build_with_backplane(backplane(&redis.url()).observer(counts.clone()));
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
    // Nor if there is nothing else.
    redis.cli(&["XTRIM", "{sse}:stream", "MAXLEN", "0"]).expect("it does");
    publish(&hub, "alone").await;
    assert_eq!(data(&mut reader).await, "alone");
    assert_eq!(counts.renewed.load(Ordering::Relaxed), 0);
}

/// A replica that was behind: it has only what was published first. Gives it, and the master, which has more.
async fn behind(options: &[&str]) -> (Redis, Redis, Hub) {
    let master = Redis::start(options).expect("it starts");
    let replica = Redis::start(&["--repl-diskless-sync-delay", "0"]).expect("it starts");
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).expect("it does");
    let both: Backplane = backplane(&master.url()).fallback(&replica.url()).expect("it is a URL");
    let hub = Hub::builder().build_with_backplane(both);
    let mut reader = reader(&hub).await;
    publish(&hub, "kept").await;
    assert_eq!(data(&mut reader).await, "kept");
    while replica.cli(&["XLEN", "{sse}:stream"]).expect("it says") != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    replica.cli(&["REPLICAOF", "NO", "ONE"]).expect("it does");
    (master, replica, hub)
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_failover_beside_a_worker_that_deletes_is_a_gap() {
    let (master, replica, hub) = behind(&[]).await;
    let mut reader = reader(&hub).await;
    assert_eq!(data(&mut reader).await, "kept");
    publish(&hub, "lost").await;
    assert_eq!(data(&mut reader).await, "lost");
    // There it is followed by one that a worker has done, so that what was deleted last is above what this node has read.
    replica.cli(&["XADD", "{sse}:stream", "*", "topic", "topic", "data", "done"]).expect("it does");
    delete_newest(&replica);
    drop(master);
    gap(&mut reader).await;
    assert_eq!(data(&mut reader).await, "kept");
    publish(&hub, "after").await;
    assert_eq!(data(&mut reader).await, "after");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn who_may_not_ask_which_run_it_is_believes_nothing() {
    let redis = Redis::start(&[]).expect("it starts");
    redis.cli(&["ACL", "SETUSER", "default", "-info"]).expect("it does");
    let counts = Counts::default();
    let hub = Hub::builder().build_with_backplane(backplane(&redis.url()).observer(counts.clone()));
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

/// The new stream has the epoch of the one before, and all that it ever had: it looked like one from which nothing is missing.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_stream_that_is_deleted_and_begun_anew_is_a_gap_for_all() {
    // As many entries as there were, fewer, and more.
    for entries in [3, 1, 5] {
        let redis = Redis::start(&[]).expect("it starts");
        let nodes = [hub(&redis.url()), hub(&redis.url())];
        let mut reader = reader(&nodes[0]).await;
        let had = publish(&nodes[0], "had").await;
        for number in ["missed", "last"] {
            publish(&nodes[0], number).await;
        }
        for expected in ["had", "missed", "last"] {
            assert_eq!(data(&mut reader).await, expected);
        }
        let anew = "redis.call('DEL', KEYS[1])
            for number = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'topic', 'topic', 'data', number) end";
        redis.cli(&["EVAL", anew, "1", "{sse}:stream", &entries.to_string()]).expect("it does");
        gap(&mut reader).await;
        // A client that was away meanwhile, at each node, and at one that starts now.
        for node in [&nodes[0], &nodes[1], &hub(&redis.url())] {
            publish(node, "settles").await;
            let mut away = after(node, &had);
            gap(&mut away).await;
            assert_eq!(data(&mut away).await, "1");
        }
    }
}
