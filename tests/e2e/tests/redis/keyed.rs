//! A Redis with very many topics that have keys.

use futures_util::StreamExt;
use tower_sse::{
    Event,
    hub::{Hub, Start, Subscribe, Update},
};
use tower_sse_e2e::redis::Redis;

use crate::nodes::{backplane, hub, within};

/// The data of the first event that a new client of this topic is given: the present.
async fn present(hub: &Hub, topic: &str) -> String {
    let mut reader = hub.subscribe(Subscribe::to(topic).start(Start::Snapshot)).expect("nobody is refused");
    loop {
        match within(reader.next()).await {
            Some(Update::Event { event, .. }) => return event.data().into_owned(),
            Some(Update::Subscribed(_)) => {}
            other => panic!("an event comes, and not {other:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn node_starting_with_thirty_thousand_keyed_topics_refuses_none() {
    let redis = Redis::start(&[]).expect("it starts");
    let near = hub(&redis.url());
    let topic = near.topic("user 17").expect("there is room");
    within(topic.publish_keyed("state", Event::new("of 17"))).await.expect("it is published");
    let fill = "for user = 100, 30099 do
            redis.call('SADD', KEYS[1], 'user ' .. user)
            redis.call('HSET', '{sse}:latest:user ' .. user, 'state', '1-' .. user .. '\\n\\nof ' .. user)
        end";
    redis.cli(&["EVAL", fill, "1", "{sse}:keyed"]).expect("it does");
    let hub = Hub::builder().max_topics(1000).build_with_backplane(backplane(&redis.url()));
    for user in [17, 100, 30_099].into_iter().chain((1000..30_000).step_by(301)) {
        assert_eq!(present(&hub, &format!("user {user}")).await, format!("of {user}"));
    }
    // And those that have nothing.
    for user in 40_000..40_100 {
        let mut reader = hub.subscribe(format!("user {user}")).expect("nobody is refused");
        assert!(within(reader.next()).await.is_some());
    }
    assert!(hub.topic_count() < 1000, "what is loaded is bounded");
}

/// A key was delivered that had been removed while the keys of its topic were being fetched.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn keys_that_change_while_they_are_found_are_as_they_were_last() {
    let redis = Redis::start(&[]).expect("it starts");
    let near = hub(&redis.url());
    for round in 0..50 {
        let name = format!("topic {round}");
        let topic = near.topic(&name).expect("there is room");
        for key in ["stays", "goes"] {
            within(topic.publish_keyed(key, Event::new(key))).await.expect("it is published");
        }
        let far = if round % 10 == 0 { hub(&redis.url()) } else { near.clone() };
        let reader = tokio::spawn(present_of(far.clone(), name.clone()));
        topic.remove_key("goes");
        within(topic.publish_keyed("stays", Event::new("last"))).await.expect("it is published");
        within(reader).await.expect("it reads");
        // Once the node has come so far, both are as they are.
        within(settles(&far, &name)).await;
    }
}

async fn present_of(hub: Hub, name: String) -> String {
    present(&hub, &name).await
}

/// Completes once the present is what was published last.
async fn settles(hub: &Hub, name: &str) {
    while present(hub, name).await != "last" {}
}
