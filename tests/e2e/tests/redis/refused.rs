//! Publishes that Redis rejects: each fails with the error of Redis, and streams are unaffected.

use tower_sse::{
    Event,
    hub::{Hub, PublishError},
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{data, hub, limited, publish, reader, within};

/// Asserts that a publish is rejected with this error code.
async fn assert_refused(hub: &Hub, word: &str) {
    let refused = within(hub.topic("topic").expect("the hub has room").publish(Event::new("refused"))).await;
    assert!(matches!(&refused, Err(PublishError::NotSent(why)) if why.to_string().contains(word)), "{refused:?}");
}

/// Publishes as soon as Redis accepts it again.
async fn publish_again(hub: &Hub, data: &str) {
    let topic = hub.topic("topic").expect("the hub has room");
    within(async { while topic.publish(Event::new(data)).await.is_err() {} }).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn redis_with_too_few_replicas_rejects_a_publish() {
    let redis = Redis::start(&[]).expect("the server starts");
    let hub = hub(&redis.url());
    let mut reader = reader(&hub).await;
    publish(&hub, "before").await;
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).expect("the command succeeds");
    assert_refused(&hub, "NOREPLICAS").await;
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).expect("the command succeeds");
    publish(&hub, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["before", "after"]);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn demoted_redis_rejects_a_publish_until_it_is_promoted() {
    let redis = Redis::start(&[]).expect("the server starts");
    let (hub, limited) = (hub(&redis.url()), limited(&redis.url()));
    let mut reader = reader(&hub).await;
    publish(&hub, "before").await;
    // A replica of an unreachable master keeps its data.
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).expect("the command succeeds");
    assert_refused(&limited, "").await;
    redis.cli(&["REPLICAOF", "NO", "ONE"]).expect("the command succeeds");
    publish_again(&hub, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["before", "after"]);
}
