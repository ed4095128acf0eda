//! Foreign values at the keys of a hub: each is skipped or replaced, and reported, without any other effect.

use std::sync::{Arc, atomic::Ordering};

use futures_util::StreamExt;
use tower_sse::{
    Event,
    backplane::{Link, redis::RedisBuilder},
    hub::{Hub, PublishError, Start, Subscribe, Subscription, Update},
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{Counts, backplane, data, gap, hub, hub_on, publish, reader, until, within};

fn observed(redis: &Redis, set: impl FnOnce(RedisBuilder) -> RedisBuilder) -> (Hub, Counts) {
    let counts = Counts::default();
    (hub_on(set(backplane(&redis.url())).observer(counts.clone())), counts)
}

fn snapshot(hub: &Hub, topic: &str) -> Subscription {
    hub.subscribe(Subscribe::to(topic).start(Start::Snapshot)).expect("the hub has room")
}

async fn first(reader: &mut Subscription) -> String {
    loop {
        match within(reader.next()).await {
            Some(Update::Event { event, .. }) => return event.data().into_owned(),
            Some(Update::Subscribed(_)) => {}
            other => panic!("expected an event, got {other:?}"),
        }
    }
}

async fn keyed(hub: &Hub, topic: &str, key: &str, data: &str) {
    let topic = hub.topic(topic).expect("the hub has room");
    within(topic.publish_keyed(key, Event::new(data))).await.expect("the publish succeeds");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn keys_of_a_wrong_type_affect_no_other_topic() {
    let redis = Redis::start(&[]).expect("the server starts");
    let near = hub(&redis.url());
    keyed(&near, "good", "key", "good").await;
    redis.cli(&["LPUSH", "{sse}:latest:bad", "x"]).expect("the command succeeds");
    redis.cli(&["SADD", "{sse}:keyed", "bad"]).expect("the command succeeds");
    redis.cli(&["HSET", "{sse}:latest:good", "foreign", "value"]).expect("the command succeeds");
    let (hub, counts) = observed(&redis, |redis| redis);
    assert_eq!(first(&mut snapshot(&hub, "good")).await, "good");
    assert_eq!(counts.skipped.load(Ordering::Relaxed), 1, "the foreign value");
    let mut bad = snapshot(&hub, "bad");
    assert!(within(bad.next()).await.is_some(), "a new client is greeted");
    assert_eq!(counts.skipped.load(Ordering::Relaxed), 2);
    // The next publish replaces the value.
    keyed(&hub, "bad", "key", "new").await;
    assert_eq!(first(&mut bad).await, "new");
    assert_eq!(counts.skipped.load(Ordering::Relaxed), 3);
    assert_eq!(first(&mut snapshot(&self::hub(&redis.url()), "bad")).await, "new");
    assert_eq!(counts.failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn invalid_epoch_is_replaced() {
    let garbage: [&[&str]; 4] = [
        &["SET", "{sse}:epoch", "garbage"],
        &["SET", "{sse}:epoch", "12"],
        &["SET", "{sse}:epoch", "0123456789abcdef:99999999999999999999"],
        &["EVAL", "redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x')", "1", "{sse}:epoch"],
    ];
    for (number, garbage) in garbage.iter().enumerate() {
        let redis = Redis::start(&[]).expect("the server starts");
        let near = hub(&redis.url());
        let mut reader = reader(&near).await;
        publish(&near, "before").await;
        assert_eq!(data(&mut reader).await, "before");
        redis.cli(garbage).expect("the command succeeds");
        // The publisher, a reading node or a new node replaces the epoch.
        if number % 2 == 0 {
            publish(&near, "after").await;
        }
        let new = hub(&redis.url());
        gap(&mut reader).await;
        assert_eq!(data(&mut reader).await, "before");
        if number % 2 == 1 {
            publish(&new, "after").await;
        }
        assert_eq!(data(&mut reader).await, "after");
        let mut other = crate::nodes::reader(&new).await;
        assert_eq!([data(&mut other).await, data(&mut other).await], ["before", "after"]);
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn foreign_values_at_the_bound_of_keys_fail_no_publish() {
    let redis = Redis::start(&[]).expect("the server starts");
    let (hub, _) = observed(&redis, |redis| redis.keys(2));
    for number in 0..20 {
        redis
            .cli(&["HSET", "{sse}:latest:topic", &format!("foreign {number}"), "value"])
            .expect("the command succeeds");
        keyed(&hub, "topic", &format!("key {}", number % 2), &number.to_string()).await;
    }
    // Foreign values are evicted first.
    keyed(&hub, "topic", "key 2", "20").await;
    let kept = redis.cli(&["HVALS", "{sse}:latest:topic"]).expect("the command succeeds");
    assert!(kept.contains("20"), "{kept}");
    let length: usize =
        redis.cli(&["HLEN", "{sse}:latest:topic"]).expect("the command succeeds").parse().expect("a number");
    assert!(length <= 22, "{length}");
}

/// Invalid values of an idempotency key: without an id, with an invalid epoch, and with an invalid id.
const ONCE: [&str; 6] = [
    "no id",
    "no id",
    "garbage 1-1",
    "0123456789ABCDEF 1-1",
    "0123456789abcdef:0 1-1",
    "0123456789abcdef 99999999999999999999999-1",
];

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn invalid_values_beside_the_stream_fail_no_publish() {
    let redis = Redis::start(&[]).expect("the server starts");
    let (hub, counts) = observed(&redis, |redis| redis);
    let mut reader = reader(&hub).await;
    redis.cli(&["SET", "{sse}:keyed", "no set"]).expect("the command succeeds");
    keyed(&hub, "topic", "key", "1").await;
    redis.cli(&["EVAL", "redis.call('SET', KEYS[1], 'no set')", "1", "{sse}:keyed"]).expect("the command succeeds");
    let topic = hub.topic("topic").expect("the hub has room");
    topic.remove_key("key");
    for (once, value) in ONCE.iter().enumerate() {
        let once = &*once.to_string();
        let key = format!("{{sse}}:once:5:topic:{once}");
        redis.cli(&[if once == "0" { "LPUSH" } else { "SET" }, &key, value]).expect("the command succeeds");
        let ids = [topic.publish_once(once, Event::new(once)), topic.publish_once(once, Event::new(once))];
        let [first, again] = ids;
        assert_eq!(
            within(first).await.expect("the publish succeeds"),
            within(again).await.expect("the key is known"),
            "{value}"
        );
    }
    within(topic.close(Event::new("last"))).await.expect("the topic is closed");
    for expected in ["1", "0", "1", "2", "3", "4", "5", "last"] {
        assert_eq!(data(&mut reader).await, expected);
    }
    assert!(counts.skipped.load(Ordering::Relaxed) >= 2, "replaced values are reported");
    assert_eq!(counts.failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn invalid_nodes_are_skipped() {
    let redis = Redis::start(&[]).expect("the server starts");
    let (here, counts) = observed(&redis, |redis| redis);
    let there = hub(&redis.url());
    let mut ann = here.subscribe(Subscribe::to("topic").member("ann")).expect("the hub has room");
    assert!(within(ann.next()).await.is_some());
    let sees = |hub: &Hub, names: &'static [&'static str]| {
        let presence = hub.topic("topic").expect("the hub has room").presence();
        async move {
            let names: Vec<Arc<str>> = names.iter().map(|&name| name.into()).collect();
            within(has_members(&presence, &names)).await;
        }
    };
    sees(&there, &["ann"]).await;
    let soon = "99999999999999 1";
    let far = "return redis.call('HSET', KEYS[1], '0000000000000fed', redis.call('TIME')[1] + 60 .. '000 1')";
    redis
        .cli(&["HSET", "{sse}:nodes", "text", "no number", "old", "7", "for ever", soon])
        .expect("the command succeeds");
    redis.cli(&["EVAL", far, "1", "{sse}:nodes"]).expect("the command succeeds");
    redis
        .cli(&["SET", "{sse}:node:0000000000000fed", "5:topic20:184467440737095516152:13:eve"])
        .expect("the command succeeds");
    // Nor are fields that are not UTF-8 nodes.
    let no_text = "local till = redis.call('TIME')[1] + 60 .. '000 1'
        return redis.call('HSET', KEYS[1], '\\255', till, '\\254', 'no number')";
    redis.cli(&["EVAL", no_text, "1", "{sse}:nodes"]).expect("the command succeeds");
    let told = async {
        while counts.skipped.load(Ordering::Relaxed) < 1 {
            tokio::task::yield_now().await
        }
    };
    within(told).await;
    let mut bob = there.subscribe(Subscribe::to("topic").member("bob")).expect("the hub has room");
    assert!(within(bob.next()).await.is_some());
    sees(&here, &["ann", "bob"]).await;
    // And with a value that is not a hash.
    redis.cli(&["EVAL", "redis.call('SET', KEYS[1], 'x')", "1", "{sse}:nodes"]).expect("the command succeeds");
    drop(bob);
    sees(&here, &["ann"]).await;
    let kept = redis.cli(&["HKEYS", "{sse}:nodes"]).expect("the command succeeds");
    assert!(!kept.contains("text") && !kept.contains("old") && !kept.contains("for ever"), "{kept}");
    assert_eq!(counts.failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn link_is_down_while_the_stream_has_a_wrong_type() {
    let redis = Redis::start(&[]).expect("the server starts");
    let (hub, counts) = observed(&redis, |redis| redis);
    let mut reader = reader(&hub).await;
    publish(&hub, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    redis.cli(&["EVAL", "redis.call('SET', KEYS[1], 'x')", "1", "{sse}:stream"]).expect("the command succeeds");
    until(&hub, Link::Down).await;
    assert!(counts.failed.load(Ordering::Relaxed) > 0);
    let refused = within(hub.topic("topic").expect("the hub has room").publish(Event::new("lost"))).await;
    assert!(
        matches!(&refused, Err(PublishError::NotSent(why)) if why.to_string().contains("WRONGTYPE")),
        "{refused:?}"
    );
    redis.cli(&["DEL", "{sse}:stream"]).expect("the command succeeds");
    gap(&mut reader).await;
    publish(&hub, "after").await;
    assert_eq!(data(&mut reader).await, "after");
}

/// Completes once these are the members of a topic.
async fn has_members(presence: &tower_sse::hub::Presence, names: &[Arc<str>]) {
    while presence.members() != names {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
