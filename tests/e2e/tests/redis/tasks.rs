//! Panics of observers do not end background tasks.

use std::{error::Error, time::Duration};

use tower_sse::backplane::{Link, LinkObserver};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{backplane, data, gap, hub, hub_on, publish, reader, until};

/// An observer that panics in every call.
struct Panics;

impl LinkObserver for Panics {
    fn link(&self, _: Link) {
        panic!("link");
    }

    fn read(&self, _: usize, _: Duration) {
        panic!("read");
    }

    fn failed(&self, _: &(dyn Error + 'static)) {
        panic!("failed");
    }

    fn skipped(&self, _: &str, _: &str) {
        panic!("skipped");
    }

    fn renewed(&self, _: &str) {
        panic!("renewed");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn panicking_observer_ends_nothing() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).expect("the server starts");
    let (hub, far) = (hub_on(backplane(&redis.url()).observer(Panics)), hub(&redis.url()));
    let mut reader = reader(&hub).await;
    publish(&far, "1").await;
    redis.cli(&["XADD", "{sse}:stream", "*", "no", "event"]).expect("the command succeeds");
    publish(&hub, "2").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["1", "2"]);
    redis.kill();
    until(&hub, Link::Down).await;
    redis.restart().expect("the server starts");
    until(&hub, Link::Up).await;
    publish(&hub, "3").await;
    assert_eq!(data(&mut reader).await, "3", "no event is missing");
    redis.cli(&["FLUSHALL"]).expect("the command succeeds");
    gap(&mut reader).await;
    publish(&hub, "4").await;
    assert_eq!(data(&mut reader).await, "4");
}
