//! Application of delivered events by a hub.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use tokio::time::{Duration, sleep};
use tower_sse::{
    Event, EventId, LastEventId,
    backplane::Link,
    hub::{Hub, PublishError, Retention, Start, Subscribe, Subscription, Update},
};

use super::memory::Memory;

async fn fed(memory: &Memory) -> Hub {
    let hub = Hub::builder().build_with_backplane(memory.node());
    let mut link = hub.link_state().expect("the hub has a backplane");
    link.wait_for(|link| *link == Link::Up).await.expect("the link reports its state");
    hub
}

async fn publish(hub: &Hub, data: &str) -> EventId {
    hub.topic("topic").expect("the hub has room").publish(Event::new(data)).await.expect("the publish succeeds")
}

async fn subscribed(hub: &Hub) -> Subscription {
    let mut subscription = hub.subscribe("topic").expect("the hub has room");
    assert!(matches!(subscription.next().await, Some(Update::Subscribed(_))));
    subscription
}

async fn data(subscription: &mut Subscription) -> String {
    match subscription.next().await {
        Some(Update::Event { event, .. }) => event.data().into_owned(),
        other => panic!("no event: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn new_epoch_is_a_gap_for_open_and_resumed_streams() {
    let memory = Memory::new();
    let hub = fed(&memory).await;
    let mut reader = subscribed(&hub).await;
    let id = publish(&hub, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    memory.lose();
    // Nothing is published: the gap is sent without an event.
    assert!(matches!(reader.next().await, Some(Update::Gap(_))));
    let mut back =
        hub.subscribe(Subscribe::to("topic").resume_after(LastEventId::from_id(&id))).expect("the hub has room");
    assert!(matches!(back.next().await, Some(Update::Gap(_))));
    publish(&hub, "after").await;
    assert_eq!(data(&mut reader).await, "after");
    assert_eq!(data(&mut back).await, "after");
}

#[tokio::test(start_paused = true)]
async fn subscriber_before_the_first_sync_waits_and_is_not_counted() {
    let memory = Memory::new();
    let first = fed(&memory).await;
    let id = publish(&first, "had").await;
    publish(&first, "missed").await;
    memory.stop(true);
    let hub = Hub::builder().build_with_backplane(memory.node());
    let back = Subscribe::to("topic").resume_after(LastEventId::from_id(&id)).member("ann");
    let mut back = hub.subscribe(back).expect("the hub has room");
    let mut new = hub.subscribe("topic").expect("the hub has room");
    sleep(Duration::from_secs(60)).await;
    assert!(back.next().now_or_never().is_none(), "the missed events are not known yet");
    assert!(new.next().now_or_never().is_none());
    let presence = hub.topic("topic").expect("the hub has room").presence();
    assert_eq!(presence.count(), 0);
    memory.stop(false);
    assert_eq!(data(&mut back).await, "missed");
    assert_eq!(presence.count(), 1);
    // Members from before are no change to a new watcher.
    assert!(matches!(new.next().await, Some(Update::Subscribed(_))));
    publish(&first, "new").await;
    assert_eq!(data(&mut new).await, "new");
}

#[tokio::test(start_paused = true)]
async fn streams_stay_open_while_the_backplane_is_away() {
    let memory = Memory::new();
    let (near, far) = (fed(&memory).await, fed(&memory).await);
    let mut reader = subscribed(&far).await;
    publish(&near, "before").await;
    assert_eq!(data(&mut reader).await, "before");
    memory.stop(true);
    let mut link = far.link_state().expect("the hub has a backplane");
    link.wait_for(|link| *link == Link::Down).await.expect("the link reports its state");
    publish(&near, "meanwhile").await;
    sleep(Duration::from_secs(60)).await;
    assert!(reader.next().now_or_never().is_none());
    memory.stop(false);
    publish(&near, "after").await;
    assert_eq!([data(&mut reader).await, data(&mut reader).await], ["meanwhile", "after"]);
}

#[tokio::test(start_paused = true)]
async fn starting_node_sends_a_gap_for_ids_before_its_log() {
    let memory = Memory::new();
    let first = fed(&memory).await;
    let old = publish(&first, "1").await;
    let kept = publish(&first, "2").await;
    publish(&first, "3").await;
    memory.forget(2);
    let hub = fed(&memory).await;
    let mut reader =
        hub.subscribe(Subscribe::to("topic").resume_after(LastEventId::from_id(&old))).expect("the hub has room");
    assert!(matches!(reader.next().await, Some(Update::Gap(_))));
    assert_eq!(data(&mut reader).await, "3");
    let mut reader =
        hub.subscribe(Subscribe::to("topic").resume_after(LastEventId::from_id(&kept))).expect("the hub has room");
    assert_eq!(data(&mut reader).await, "3");
}

/// Two topics of a replicated hub: one has lost all events up to 4, the other retains 2 and 3. Returns the id of 1.
async fn one_has_lost(memory: &Memory) -> (Hub, EventId) {
    let hub = fed(memory).await;
    let a = hub.topic_with("a", Retention::new().events(1)).expect("the hub has room");
    let topic = hub.topic("topic").expect("the hub has room");
    let first = a.publish(Event::new("1")).await.expect("the publish succeeds");
    for (topic, data) in [(&topic, "2"), (&topic, "3"), (&a, "4"), (&a, "5")] {
        topic.publish(Event::new(data)).await.expect("the publish succeeds");
    }
    sleep(Duration::from_secs(1)).await;
    (hub, first)
}

/// Returns the ready updates: data, or the end of a gap.
fn all(reader: &mut Subscription) -> Vec<String> {
    let update = || match reader.next().now_or_never()?? {
        Update::Event { event, .. } => Some(event.data().into_owned()),
        Update::Gap(gap) => Some(format!("gap {}", gap.to.as_str().rsplit('-').next().unwrap_or_default())),
        other => Some(format!("{other:?}")),
    };
    std::iter::from_fn(update).collect()
}

#[tokio::test(start_paused = true)]
async fn kept_events_precede_the_gap_on_a_replicated_hub() {
    let memory = Memory::new();
    let (hub, first) = one_has_lost(&memory).await;
    let back = |id: &EventId| hub.subscribe(Subscribe::to("a").and("topic").resume_after(LastEventId::from_id(id)));
    let mut reader = back(&first).expect("the hub has room");
    assert_eq!(all(&mut reader), ["2", "3", "gap 4", "5"]);
    // An id of another epoch: the gap comes first, and then the retained events.
    let mut foreign =
        back(&EventId::try_from("00000000000000ff-9").expect("the id is valid")).expect("the hub has room");
    assert_eq!(all(&mut foreign), ["gap 1", "2", "3", "gap 4", "5"]);
    memory.lose();
    assert!(matches!(reader.next().await, Some(Update::Gap(_))));
    assert_eq!(all(&mut reader), [""; 0], "nothing is retained yet");
}

/// Numbers may begin again: a reader that was ahead in the old epoch counted as ahead in the new one.
#[tokio::test(start_paused = true)]
async fn publisher_waits_for_readers_behind_in_a_new_epoch() {
    let memory = Memory::new();
    let hub = fed(&memory).await;
    let topic = hub.topic("topic").expect("the hub has room");
    let (mut slow, mut quick) = (subscribed(&hub).await, subscribed(&hub).await);
    for number in 0..5 {
        publish(&hub, &number.to_string()).await;
        assert_eq!([data(&mut slow).await, data(&mut quick).await], [number.to_string(), number.to_string()]);
    }
    let mut before = Box::pin(topic.wait_for_readers(0));
    assert!(before.as_mut().now_or_never().is_none(), "the last update counts as unread");
    memory.lose();
    publish(&hub, "new").await;
    assert!(matches!(quick.next().await, Some(Update::Gap(_))));
    assert!(before.now_or_never().is_some(), "the old epoch is over");
    assert_eq!(data(&mut quick).await, "new");
    assert!(quick.next().now_or_never().is_none());
    let mut drained = Box::pin(topic.wait_for_readers(0));
    assert!(drained.as_mut().now_or_never().is_none(), "one reader has not received the gap");
    assert!(matches!(slow.next().await, Some(Update::Gap(_))));
    assert!(drained.as_mut().now_or_never().is_none());
    assert_eq!(data(&mut slow).await, "new");
    assert!(slow.next().now_or_never().is_none());
    assert!(drained.now_or_never().is_some(), "all readers have the event");
}

/// The topic kept its log when all others began another epoch.
#[tokio::test(start_paused = true)]
async fn end_of_an_old_epoch_does_not_count_in_the_new_one() {
    let memory = Memory::new();
    let hub = fed(&memory).await;
    let mut slow = subscribed(&hub).await;
    let topic = hub.topic("topic").expect("the hub has room");
    publish(&hub, "unread").await;
    topic.close(Event::new("end")).await.expect("the close succeeds");
    drop(topic);
    // The node of the slow reader has received all events, and is cut off then.
    sleep(Duration::from_secs(1)).await;
    memory.lose();
    sleep(Duration::from_secs(1)).await;
    publish(&hub, "new").await;
    assert!(matches!(slow.next().await, Some(Update::Gap(_))));
    assert_eq!(data(&mut slow).await, "new", "the stream follows the name");
    hub.topic("topic").expect("the hub has room").close(None).await.expect("the close succeeds");
    assert!(slow.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn closing_without_an_event_has_a_position() {
    let memory = Memory::new();
    let hub = fed(&memory).await;
    let topic = hub.topic("topic").expect("the hub has room");
    publish(&hub, "event").await;
    let end = topic.close(None).await.expect("the close succeeds");
    // A client with the id of the end is not ahead of this node.
    let mut back =
        hub.subscribe(Subscribe::to("other").resume_after(LastEventId::from_id(&end))).expect("the hub has room");
    let other = hub.topic("other").expect("the hub has room");
    other.publish(Event::new("other")).await.expect("the publish succeeds");
    assert_eq!(data(&mut back).await, "other");
}

#[tokio::test(start_paused = true)]
async fn oversized_event_is_refused_before_it_is_sent() {
    let memory = Memory::new();
    let hub = Hub::builder().retention(Retention::new().bytes(1000)).build_with_backplane(memory.node());
    let topic = hub.topic("topic").expect("the hub has room");
    let refused = topic.publish(Event::new("x".repeat(1000))).try_result();
    assert!(matches!(refused, Err(PublishError::TooLarge { limit: 1000, .. })), "{refused:?}");
    let mut reader = hub.subscribe(Subscribe::to("topic").start(Start::Beginning)).expect("the hub has room");
    assert!(matches!(reader.next().await, Some(Update::Subscribed(_))));
    topic.publish(Event::new("small")).await.expect("the publish succeeds");
    assert_eq!(data(&mut reader).await, "small");
}

#[tokio::test(start_paused = true)]
async fn new_topic_of_a_node_has_the_members_of_other_nodes() {
    let memory = Memory::new();
    let (near, far) = (fed(&memory).await, fed(&memory).await);
    let mut reader = near.subscribe(Subscribe::to("topic").member("ann")).expect("the hub has room");
    assert!(matches!(reader.next().await, Some(Update::Subscribed(_))));
    // The nodes have exchanged their presence, and the topic is not used on the other node.
    sleep(Duration::from_secs(5)).await;
    let presence = far.topic("topic").expect("the hub has room").presence();
    assert_eq!(presence.members(), [Arc::<str>::from("ann")]);
    assert_eq!(presence.count(), 1);
}

/// On a replicated hub, too, the cursor passed the event of a reopened topic.
#[tokio::test(start_paused = true)]
async fn reopened_topic_reaches_streams_on_each_node() {
    let memory = Memory::new();
    let (near, far) = (fed(&memory).await, fed(&memory).await);
    let [a, b] = ["a", "b"].map(|name| near.topic(name).expect("the hub has room"));
    let streams = [&near, &far].map(|hub| hub.subscribe(Subscribe::to("a").and("b")).expect("the hub has room"));
    for closes in [Some("last"), None] {
        a.publish(Event::new("1")).await.expect("the publish succeeds");
        a.close(closes.map(Event::new)).await.expect("the close succeeds");
    }
    let second = a.publish(Event::new("2")).await.expect("the publish succeeds");
    b.publish(Event::new("3")).await.expect("the publish succeeds");
    for mut stream in streams {
        assert!(matches!(stream.next().await, Some(Update::Subscribed(_))));
        for expected in ["1", "last", "1", "2", "3"] {
            assert_eq!(data(&mut stream).await, expected);
        }
        assert!(stream.next().now_or_never().is_none());
    }
    // The topics of the other node are not held by now.
    let back = Subscribe::to("a").and("b").resume_after(LastEventId::from_id(&second));
    assert_eq!(data(&mut far.subscribe(back).expect("the hub has room")).await, "3");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_on_each_node_where_all_its_topics_are_closed() {
    let memory = Memory::new();
    let (near, far) = (fed(&memory).await, fed(&memory).await);
    let [a, b] = ["a", "b"].map(|name| near.topic(name).expect("the hub has room"));
    let mut streams = Vec::new();
    for hub in [&near, &far] {
        let mut stream = hub.subscribe(Subscribe::to("a").and("b")).expect("the hub has room");
        assert!(matches!(stream.next().await, Some(Update::Subscribed(_))));
        streams.push(stream);
    }
    a.close(None).await.expect("the close succeeds");
    b.close(Event::new("last")).await.expect("the close succeeds");
    a.publish(Event::new("again")).await.expect("the publish succeeds");
    for stream in &mut streams {
        assert_eq!(data(stream).await, "last");
        assert!(stream.next().await.is_none());
    }
}
