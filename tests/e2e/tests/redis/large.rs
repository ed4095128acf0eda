//! Entries that are larger than a hub keeps.

use std::sync::atomic::Ordering;

use tower_sse::hub::Hub;
use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, backplane, data, hub, publish, reader};

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn too_large_entry_is_skipped_by_all_nodes() {
    let redis = Redis::start(&[]).expect("it starts");
    let counts = Counts::default();
    let near = Hub::builder().build_with_backplane(backplane(&redis.url()).observer(counts.clone()));
    let far = hub(&redis.url());
    let mut readers = [reader(&near).await, reader(&far).await];
    publish(&near, "before").await;
    let large = "return redis.call('XADD', KEYS[1], '*', 'topic', 'topic', 'data', string.rep('x', ARGV[1]))";
    // More than a topic keeps, more than a hub keeps, and more than is read at once.
    for size in ["2000000", "70000000", "10000000"] {
        redis.cli(&["EVAL", large, "1", "{sse}:stream", size]).expect("it does");
    }
    publish(&far, "after").await;
    for reader in &mut readers {
        assert_eq!([data(reader).await, data(reader).await], ["before", "after"]);
    }
    assert_eq!(counts.skipped.load(Ordering::Relaxed), 3);
    // A client that comes now, there and at a node that starts now.
    for hub in [&near, &far, &hub(&redis.url())] {
        let mut reader = reader(hub).await;
        assert_eq!([data(&mut reader).await, data(&mut reader).await], ["before", "after"]);
    }
    assert_eq!(counts.renewed.load(Ordering::Relaxed), 0);
}
