//! Entries above the bounds of a hub.

use std::sync::atomic::Ordering;

use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, backplane, data, hub, hub_on, publish, reader};

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn oversized_entry_is_skipped_on_all_nodes_and_evicts_nothing() {
    let redis = Redis::start(&[]).expect("the server starts");
    let counts = Counts::default();
    let near = hub_on(backplane(&redis.url()).observer(counts.clone()));
    let far = hub(&redis.url());
    let mut readers = [reader(&near).await, reader(&far).await];
    publish(&near, "before").await;
    let large = "return redis.call('XADD', KEYS[1], '*', 'topic', 'topic', 'data', string.rep('x', ARGV[1]))";
    // Above the bound of a topic, of the hub, and of one read.
    for size in ["2000000", "70000000", "10000000"] {
        redis.cli(&["EVAL", large, "1", "{sse}:stream", size]).expect("the command succeeds");
    }
    publish(&far, "after").await;
    for reader in &mut readers {
        assert_eq!([data(reader).await, data(reader).await], ["before", "after"]);
    }
    assert_eq!(counts.skipped.load(Ordering::Relaxed), 3);
    // A new client, on each node and on a new one.
    for hub in [&near, &far, &hub(&redis.url())] {
        let mut reader = reader(hub).await;
        assert_eq!([data(&mut reader).await, data(&mut reader).await], ["before", "after"]);
    }
    assert_eq!(counts.renewed.load(Ordering::Relaxed), 0);
}
