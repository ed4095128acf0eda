//! A node that has more topics in its backplane than its registry has room for.

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event,
    backplane::Incoming,
    hub::{Hub, Start, Subscribe, Update},
};

use super::manual::Manual;

/// Each keyed topic of the backplane stayed, so that most users were refused.
#[tokio::test(start_paused = true)]
async fn node_with_too_many_keyed_topics_serves_all_clients() {
    let (hub, feed) = Manual::build(Hub::builder().max_topics(100)).await;
    feed.begin_epoch(1, 1000);
    for number in 1..=1000 {
        feed.apply_latest(Incoming::new(number, format!("loaded {number}"), Event::new("x")).keyed("key"));
    }
    let events =
        (1001..=2000).map(|number| Incoming::new(number, format!("read {number}"), Event::new("x")).keyed("key"));
    feed.apply(events.collect());
    feed.synced_through(2000);
    let mut users = Vec::new();
    for number in 0..100 {
        let mut user = hub.subscribe(format!("user {number}")).expect("the hub has room");
        assert!(matches!(user.next().now_or_never(), Some(Some(Update::Subscribed(_)))));
        users.push(user);
    }
    let health = hub.health();
    assert_eq!((health.topics, health.held_topics, health.refused), (100, 100, 0));
    // Delivered events find no room now, and subscribers miss nothing.
    feed.apply(vec![
        Incoming::new(2001, "without room", Event::new("x")),
        Incoming::new(2002, "user 7", Event::new("to them")),
    ]);
    assert!(matches!(users[7].next().await, Some(Update::Event { event, .. }) if event.data() == "to them"));
    drop(users);
    let mut present = hub.subscribe(Subscribe::to("read 2000").start(Start::Snapshot)).expect("the hub has room");
    assert!(matches!(present.next().await, Some(Update::Subscribed(_))));
}
