//! Background tasks are restarted when they end.

use std::{error::Error, time::Duration};

use tower_sse::{
    backplane::{Link, LinkObserver},
    hub::Hub,
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{backplane, data, gap, hub, publish, reader, until};

/// Panics in each method.
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
async fn an_observer_that_panics_ends_nothing() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).expect("it starts");
    let (hub, far) = (Hub::builder().build_with_backplane(backplane(&redis.url()).observer(Panics)), hub(&redis.url()));
    let mut reader = reader(&hub).await;
    publish(&far, "1").await;
    redis.cli(&["XADD", "{sse}:stream", "*", "no", "event"]).expect("it does");
    publish(&hub, "2").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["1", "2"]);
    redis.kill();
    until(&hub, Link::Down).await;
    redis.restart().expect("it starts");
    until(&hub, Link::Up).await;
    publish(&hub, "3").await;
    assert_eq!(data(&mut reader).await, "3", "and nothing is missing");
    redis.cli(&["FLUSHALL"]).expect("it does");
    gap(&mut reader).await;
    publish(&hub, "4").await;
    assert_eq!(data(&mut reader).await, "4");
}
