//! Refusals by Redis: the publisher receives its error, and subscribers see nothing.

use tower_sse::{
    Event,
    hub::{Hub, PublishError},
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{data, hub, limited, publish, reader, within};

/// Publishing is refused with this word, and nothing of it is there later.
async fn assert_refused(hub: &Hub, word: &str) {
    let refused = within(hub.topic("topic").expect("there is room").publish(Event::new("refused"))).await;
    assert!(matches!(&refused, Err(PublishError::NotSent(why)) if why.to_string().contains(word)), "{refused:?}");
}

/// As soon as it is possible again.
async fn publish_again(hub: &Hub, data: &str) {
    let topic = hub.topic("topic").expect("there is room");
    within(async { while topic.publish(Event::new(data)).await.is_err() {} }).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn redis_without_its_replicas_refuses_publishes() {
    let redis = Redis::start(&[]).expect("it starts");
    let hub = hub(&redis.url());
    let mut reader = reader(&hub).await;
    publish(&hub, "before").await;
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).expect("it does");
    assert_refused(&hub, "NOREPLICAS").await;
    redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]).expect("it does");
    publish(&hub, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["before", "after"]);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn replica_refuses_until_it_is_promoted() {
    let redis = Redis::start(&[]).expect("it starts");
    let (hub, limited) = (hub(&redis.url()), limited(&redis.url()));
    let mut reader = reader(&hub).await;
    publish(&hub, "before").await;
    // From no existing publisher: the key keeps its value.
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).expect("it does");
    assert_refused(&limited, "").await;
    redis.cli(&["REPLICAOF", "NO", "ONE"]).expect("it does");
    publish_again(&hub, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["before", "after"]);
}
