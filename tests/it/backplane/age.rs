//! Events that a node loads at its start have the age since they were published.

use futures_util::{FutureExt, StreamExt};
use tokio::time::{Duration, sleep};
use tower_sse::{
    Event, EventId, LastEventId,
    backplane::{Feed, Incoming},
    hub::{Hub, Retention, Start, Subscribe, Subscription, Update},
};

use super::manual::Manual;

const MINUTE: Duration = Duration::from_secs(60);

async fn node(age: Duration) -> (Hub, Feed) {
    let (hub, feed) = Manual::build(Hub::builder().retention(Retention::new().age(age))).await;
    feed.begin_epoch(1, 0);
    // The clock of one event is behind that of the event before it.
    for (sequence, age) in (1..).zip([50, 30, 31, 5, 0]) {
        let event = Incoming::new(sequence, "topic", Event::new(age.to_string()));
        feed.apply(vec![event.aged(age * MINUTE)]);
    }
    feed.synced_through(5);
    (hub, feed)
}

fn from_the_beginning(hub: &Hub) -> Subscription {
    hub.subscribe(Subscribe::to("topic").start(Start::Beginning)).expect("the hub has room")
}

fn data(mut subscription: Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(Some(update)) = subscription.next().now_or_never() {
        if let Update::Event { event, .. } = update {
            all.push(event.data().into_owned());
        }
    }
    all
}

/// A node that had just started kept all events for their whole age again, and sent them to clients with a bound.
#[tokio::test(start_paused = true)]
async fn loaded_events_are_evicted_by_age() {
    let (hub, feed) = node(40 * MINUTE).await;
    assert_eq!(data(from_the_beginning(&hub)), ["30", "31", "5", "0"]);
    sleep(11 * MINUTE).await;
    feed.apply(vec![Incoming::new(6, "topic", Event::new("new"))]);
    feed.synced_through(6);
    assert_eq!(data(from_the_beginning(&hub)), ["5", "0", "new"]);
}

#[tokio::test(start_paused = true)]
async fn bound_of_a_client_hides_events_that_load_late() {
    let (hub, _feed) = node(100 * MINUTE).await;
    let all = || Subscribe::to("topic").start(Start::Beginning);
    let bounded = |age| hub.subscribe(all().not_older_than(age * MINUTE)).expect("the hub has room");
    assert_eq!(data(bounded(100)), ["50", "30", "31", "5", "0"]);
    assert_eq!(data(bounded(31)), ["30", "31", "5", "0"]);
    assert_eq!(data(bounded(10)), ["5", "0"]);
}

/// Events of an outage reach a running node late.
#[tokio::test(start_paused = true)]
async fn events_after_an_outage_keep_their_age() {
    let (hub, feed) = Manual::build(Hub::builder()).await;
    feed.begin_epoch(1, 0);
    feed.synced_through(0);
    sleep(20 * MINUTE).await;
    let event = |sequence, data: &str| Incoming::new(sequence, "topic", Event::new(data));
    feed.apply(vec![event(1, "old").aged(15 * MINUTE), event(2, "late").aged(4 * MINUTE), event(3, "new")]);
    feed.synced_through(3);
    let asks =
        |subscribe: Subscribe| data(hub.subscribe(subscribe.not_older_than(5 * MINUTE)).expect("the hub has room"));
    let to = || Subscribe::to("topic");
    assert_eq!(asks(to().start(Start::Live)), [""; 0]);
    assert_eq!(asks(to().start(Start::Snapshot)), ["new"]);
    assert_eq!(asks(to().start(Start::Beginning)), ["late", "new"]);
    for id in [EventId::from_position(1, 0), EventId::from_position(1, 1), EventId::from_position(9, 9)] {
        assert_eq!(asks(to().resume_after(LastEventId::from_id(&id))), ["late", "new"], "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn hidden_events_stay_hidden_in_another_epoch() {
    let (hub, feed) = Manual::build(Hub::builder()).await;
    feed.begin_epoch(1, 0);
    feed.synced_through(0);
    let mut reader = hub.subscribe(Subscribe::to("topic").not_older_than(5 * MINUTE)).expect("the hub has room");
    assert!(matches!(reader.next().now_or_never(), Some(Some(Update::Subscribed(_)))));
    sleep(MINUTE).await;
    feed.begin_epoch(2, 0);
    let event = |sequence, data: &str| Incoming::new(sequence, "topic", Event::new(data));
    feed.apply(vec![event(1, "old").aged(15 * MINUTE), event(2, "late").aged(4 * MINUTE)]);
    feed.synced_through(2);
    assert!(
        matches!(reader.next().now_or_never(), Some(Some(Update::Gap(gap))) if gap.to == EventId::from_position(2, 1))
    );
    assert_eq!(data(reader), ["late"]);
}
