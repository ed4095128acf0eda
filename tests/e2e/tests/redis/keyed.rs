//! Lookup of the keys of topics.

use futures_util::StreamExt;
use tower_sse::{
    Event,
    backplane::Link,
    hub::{Hub, Start, Subscribe, Update},
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{backplane, hub, publish, within};

/// Returns the data of the first event of a snapshot.
async fn snapshot(hub: &Hub, topic: &str) -> String {
    let mut reader = hub.subscribe(Subscribe::to(topic).start(Start::Snapshot)).expect("the hub has room");
    loop {
        match within(reader.next()).await {
            Some(Update::Event { event, .. }) => return event.data().into_owned(),
            Some(Update::Subscribed(_)) => {}
            other => panic!("expected an event, got {other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn node_with_thirty_thousand_keyed_topics_in_redis_serves_each() {
    let redis = Redis::start(&[]).expect("the server starts");
    let near = hub(&redis.url());
    let topic = near.topic("user 17").expect("the hub has room");
    within(topic.publish_keyed("state", Event::new("of 17"))).await.expect("the publish succeeds");
    let fill = "for user = 100, 30099 do
            redis.call('SADD', KEYS[1], 'user ' .. user)
            redis.call('HSET', '{sse}:latest:user ' .. user, 'state', '1-' .. user .. '\\n\\nof ' .. user)
        end";
    redis.cli(&["EVAL", fill, "1", "{sse}:keyed"]).expect("the command succeeds");
    let hub = Hub::builder()
        .max_topics(1000)
        .build_with_backplane(backplane(&redis.url()).build().expect("the settings are valid"));
    for user in [17, 100, 30_099].into_iter().chain((1000..30_000).step_by(301)) {
        assert_eq!(snapshot(&hub, &format!("user {user}")).await, format!("of {user}"));
    }
    // And topics without keys.
    for user in 40_000..40_100 {
        let mut reader = hub.subscribe(format!("user {user}")).expect("the hub has room");
        assert!(within(reader.next()).await.is_some());
    }
    assert!(hub.topic_count() < 1000, "the number of loaded topics is bounded");
}

/// All keys of all topics in use were loaded at once, without a common bound.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn initial_load_of_keys_is_bounded() {
    const TOPICS: usize = 200;
    let redis = Redis::start(&[]).expect("the server starts");
    // The ids of the values are below the head of the stream.
    publish(&hub(&redis.url()), "head").await;
    let fill = "for topic = 1, ARGV[1] do
            redis.call('HSET', '{sse}:latest:topic ' .. topic, 'key', '1-' .. topic .. '\\n\\n' .. string.rep('x', 1000))
        end";
    redis.cli(&["EVAL", fill, "0", &TOPICS.to_string()]).expect("the command succeeds");
    redis.cli(&["CONFIG", "RESETSTAT"]).expect("the command succeeds");
    let redis_backplane = backplane(&redis.url()).build().expect("the settings are valid");
    let hub = Hub::builder().max_bytes(400_000).build_with_backplane(redis_backplane);
    // In use before the node loads, which is in another task of this thread.
    let names: Vec<_> = (1..=TOPICS).map(|topic| format!("topic {topic}")).collect();
    let topics: Vec<_> = names.iter().map(|name| hub.topic(name).expect("the hub has room")).collect();
    within(hub.link_state().expect("the hub has a backplane").wait_for(|link| *link == Link::Up))
        .await
        .expect("the hub is alive");
    let looked_up = lookups(&redis);
    assert!((TOPICS / 2..TOPICS).contains(&looked_up), "{looked_up}");
    // The keys of the other topics are found on request.
    for name in &names {
        assert_eq!(snapshot(&hub, name).await.len(), 1000, "{name}");
    }
    assert!(lookups(&redis) >= TOPICS, "{topics:?}");
}

/// Returns the number of lookups of the keys of a topic, each of which calls `HLEN` once.
fn lookups(redis: &Redis) -> usize {
    let stats = redis.cli(&["INFO", "commandstats"]).expect("the command succeeds");
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hlen:calls=")?.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

/// A lookup restored a key that was removed while the lookup was under way.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn keys_changed_during_a_lookup_have_their_last_state() {
    let redis = Redis::start(&[]).expect("the server starts");
    let near = hub(&redis.url());
    for round in 0..50 {
        let name = format!("topic {round}");
        let topic = near.topic(&name).expect("the hub has room");
        for key in ["stays", "goes"] {
            within(topic.publish_keyed(key, Event::new(key))).await.expect("the publish succeeds");
        }
        let far = if round % 10 == 0 { hub(&redis.url()) } else { near.clone() };
        let reader = tokio::spawn(snapshot_of(far.clone(), name.clone()));
        topic.remove_key("goes");
        within(topic.publish_keyed("stays", Event::new("last"))).await.expect("the publish succeeds");
        within(reader).await.expect("the task does not panic");
        // Once the node has read both changes, the snapshot is the last state.
        within(settles(&far, &name)).await;
    }
}

async fn snapshot_of(hub: Hub, name: String) -> String {
    snapshot(&hub, &name).await
}

/// Completes once the snapshot is the last published event.
async fn settles(hub: &Hub, name: &str) {
    while snapshot(hub, name).await != "last" {}
}
