//! A new epoch at any moment of a reader.

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event,
    backplane::Incoming,
    hub::{Hub, Subscribe, Update},
};

use super::manual::Manual;

const TOPICS: u64 = 40;

/// A reader that joined while the topics changed epoch one after the other received old events with ids of the new epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_old_epoch_have_no_id_of_the_new_one() {
    let (hub, feed) = Manual::build(Hub::builder()).await;
    let names: Vec<_> = (1..=TOPICS).map(|number| number.to_string()).collect();
    let mut all = Subscribe::to(&*names[0]);
    for name in &names[1..] {
        all = all.and(&**name);
    }
    feed.begin_epoch(1, 0);
    feed.synced_through(0);
    let mut reader = hub.subscribe(all).expect("the hub has room");
    assert!(matches!(reader.next().await, Some(Update::Subscribed(_))));
    let feeds = std::thread::spawn(move || {
        // Odd epochs have events, even ones have none.
        for epoch in 1..=HISTORIES {
            feed.begin_epoch(2 * epoch + 1, 0);
            feed.apply((1..).zip(&names).map(|(at, name)| Incoming::new(at, &**name, Event::new("x"))).collect());
            feed.synced_through(TOPICS);
            feed.begin_epoch(2 * epoch + 2, TOPICS);
            feed.synced_through(TOPICS);
        }
        feed.apply(vec![Incoming::new(TOPICS + 1, &*names[0], Event::new("end"))]);
    });
    while let Some(update) = reader.next().await {
        let Update::Event { event, .. } = update else { continue };
        let id = event.id().expect("each event has an id").as_str();
        if event.data() == "end" {
            break;
        }
        let epoch =
            id.split('-').next().and_then(|hex| u64::from_str_radix(hex, 16).ok()).expect("the epoch is hexadecimal");
        assert_eq!(epoch % 2, 1, "{id} is of a history in which it is gone");
    }
    feeds.join().expect("the feeding thread ends");
}

const HISTORIES: u64 = 2000;

/// A client that subscribed while a node loaded counted as one that came later, and received the past.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_waits_for_a_loading_node() {
    let (hub, feed) = Manual::build(Hub::builder()).await;
    let feeds = std::thread::spawn(move || {
        for epoch in 1..=10 * HISTORIES {
            feed.begin_epoch(epoch, 0);
            (1..=3).for_each(|at| drop(feed.apply(vec![Incoming::new(at, "a", Event::new("past"))])));
            feed.synced_through(3);
        }
    });
    let comes = || {
        while !feeds.is_finished() {
            come(&hub);
        }
    };
    // More threads than cores, so that some are interrupted at any point.
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(comes))));
    feeds.join().expect("the feeding thread ends");
}

fn come(hub: &Hub) {
    let mut client = hub.subscribe("a").expect("the hub has room");
    // An epoch that has begun since is a gap. A waiting reader receives nothing.
    if let Some(Some(Update::Subscribed(Some(at)))) = client.next().now_or_never() {
        assert!(at.as_str().ends_with("-3"), "it joined at {at:?}");
    }
}
