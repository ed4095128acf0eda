//! The checks, each of one promise of the contract.

use std::{collections::BTreeSet, pin::pin, sync::Arc};

use futures_util::{StreamExt, future::join_all};

use super::reader::{Reader, violated, within};
use crate::{
    event::{Event, field::EventId},
    hub::{
        handle::Hub,
        replica::contract::Backplane,
        retention::Retention,
        subscription::{
            request::{Start, Subscribe},
            update::Update,
        },
        topic::Topic,
    },
};

fn hub<B: Backplane>(node: &mut impl FnMut() -> B) -> Hub {
    Hub::builder().build_with_backplane(node())
}

fn topic(hub: &Hub) -> Topic {
    hub.topic("topic").expect("the hub has room")
}

async fn publish(topic: &Topic, data: &str) -> EventId {
    within("an acknowledgement", topic.publish(Event::new(data))).await.expect("the event is published")
}

pub(super) async fn nodes_share_one_order_and_its_acknowledged_ids<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    let mut readers = Vec::new();
    for hub in &hubs {
        readers.push(Reader::new(hub, Subscribe::to("topic")).await);
    }
    let topics = hubs.each_ref().map(topic);
    let published = join_all((0..40).map(|number| {
        let (topic, data) = (&topics[number % 2], number.to_string());
        async move { (publish(topic, &data).await.to_string(), data) }
    }));
    let acknowledged: BTreeSet<_> = published.await.into_iter().collect();
    let [first, second] = &mut readers[..] else { return };
    let (first, second) = (first.events(40).await, second.events(40).await);
    assert_eq!(first, second, "all nodes have the same order");
    assert!(first.is_sorted_by_key(|(id, _)| sequence(id)), "ids increase");
    let seen: BTreeSet<_> = first.into_iter().map(|(id, data)| (id.to_string(), data)).collect();
    assert_eq!(seen, acknowledged, "an event has the id that was acknowledged");
}

pub(super) async fn events_of_one_publish_are_adjacent<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    let mut reader = Reader::new(&hubs[0], Subscribe::to("topic")).await;
    let calls = (0..20).map(|call| {
        let events = (0..5).map(|number| Event::new(format!("{call} {number}")));
        topic(&hubs[call % 2]).publish_all(events)
    });
    let calls: Vec<_> = calls.collect();
    for published in join_all(calls).await {
        published.expect("the events are published");
    }
    let seen = reader.events(100).await;
    for call in seen.chunks(5) {
        let of = call[0].1.split(' ').next().unwrap_or_default();
        let expected: Vec<_> = (0..5).map(|number| format!("{of} {number}")).collect();
        assert!(
            call.iter().map(|(_, data)| data).eq(&expected),
            "the events of one publish are adjacent and complete: {call:?}"
        );
    }
}

pub(super) async fn client_resumes_on_another_node<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    let mut reader = Reader::new(&hubs[0], Subscribe::to("topic")).await;
    for number in 0..10 {
        publish(&topic(&hubs[number % 2]), &number.to_string()).await;
    }
    let seen = reader.events(4).await;
    let mut reader = Reader::after(&hubs[1], "topic", &seen[3].0);
    let rest: Vec<_> = reader.events(6).await.into_iter().map(|(_, data)| data).collect();
    assert_eq!(rest, ["4", "5", "6", "7", "8", "9"]);
}

pub(super) async fn late_node_loads_retained_events<B: Backplane>(node: &mut impl FnMut() -> B) {
    let first = hub(node);
    let mut before = Reader::new(&first, Subscribe::to("topic")).await;
    for number in 0..10 {
        publish(&topic(&first), &number.to_string()).await;
    }
    let later = hub(node);
    let mut after = Reader::new(&later, Subscribe::to("topic").start(Start::Beginning)).await;
    assert_eq!(before.events(10).await, after.events(10).await);
    // The loaded events are not new to a subscriber that starts now.
    let mut now = Reader::new(&later, Subscribe::to("topic")).await;
    publish(&topic(&first), "new").await;
    assert_eq!(now.event().await.1, "new");
}

pub(super) async fn subscriber_before_load_misses_nothing<B: Backplane>(node: &mut impl FnMut() -> B) {
    let first = hub(node);
    let id = publish(&topic(&first), "before").await;
    publish(&topic(&first), "missed").await;
    let later = hub(node);
    // Nothing was awaited since: the node has not read anything yet.
    let mut reader = Reader::after(&later, "topic", &id);
    assert_eq!(reader.event().await.1, "missed");
}

pub(super) async fn cursor_ahead_of_its_node_waits_and_ahead_of_all_is_a_gap<B: Backplane>(
    node: &mut impl FnMut() -> B,
) {
    let hubs = [hub(node), hub(node)];
    let mut reader = Reader::new(&hubs[1], Subscribe::to("topic")).await;
    for number in 0..20 {
        let id = publish(&topic(&hubs[0]), "shared").await;
        // The other node may not have applied the event yet.
        let mut ahead = Reader::after(&hubs[1], "topic", &id);
        publish(&topic(&hubs[0]), &number.to_string()).await;
        assert_eq!(ahead.event().await.1, number.to_string());
    }
    let (last, _) = reader.events(40).await.pop().unwrap_or_else(|| violated("forty events were published"));
    let ahead = format!("{}-{}", epoch(&last), u64::MAX - 1);
    let mut reader = Reader::after(&hubs[1], "topic", &EventId::try_from(ahead.as_str()).expect("the id is valid"));
    assert_eq!(reader.gap().await.from.map(|id| id.to_string()), Some(ahead));
}

pub(super) async fn newest_event_of_a_key_is_on_each_node_until_removal<B: Backplane>(node: &mut impl FnMut() -> B) {
    let first = hub(node);
    let keyed = topic(&first);
    for (key, data) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        within("an acknowledgement", keyed.publish_keyed(key, Event::new(data))).await.expect("the event is published");
    }
    let later = hub(node);
    let snapshot = || Subscribe::to("topic").start(Start::Snapshot);
    for hub in [&first, &later] {
        let mut reader = Reader::new(hub, snapshot()).await;
        assert_eq!(reader.snapshot(2).await, ["b1", "a2"]);
    }
    keyed.remove_key("b");
    publish(&keyed, "after it").await;
    for hub in [&first, &later, &self::hub(node)] {
        let mut all = Reader::new(hub, Subscribe::to("topic").start(Start::Beginning)).await;
        all.events(4).await;
        let mut reader = Reader::new(hub, snapshot()).await;
        assert_eq!(reader.snapshot(2).await, ["a2", "after it"]);
    }
}

pub(super) async fn closed_topic_ends_on_every_node<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    let mut readers = Vec::new();
    for hub in &hubs {
        readers.push(Reader::new(hub, Subscribe::to("topic")).await);
    }
    within("an acknowledgement", topic(&hubs[0]).close(Event::new("last"))).await.expect("the topic is closed");
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "last");
        assert_eq!(reader.next().await, None, "the stream of a closed topic ends");
    }
    // The next publish opens the topic again.
    let mut again = Reader::new(&hubs[1], Subscribe::to("topic")).await;
    publish(&topic(&hubs[0]), "reopened").await;
    assert_eq!(again.event().await.1, "reopened");
}

pub(super) async fn idempotency_key_publishes_once<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    let mut reader = Reader::new(&hubs[0], Subscribe::to("topic")).await;
    let mut ids = Vec::new();
    for hub in [&hubs[0], &hubs[0], &hubs[1]] {
        let published = topic(hub).publish_once("order 17", Event::new("once"));
        ids.push(within("an acknowledgement", published).await.expect("the event is published"));
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "each repeat is acknowledged with the id of the first: {ids:?}");
    publish(&topic(&hubs[1]), "next").await;
    let seen: Vec<_> = reader.events(2).await.into_iter().map(|(_, data)| data).collect();
    assert_eq!(seen, ["once", "next"]);
}

pub(super) async fn idempotency_key_belongs_to_its_topic<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    // Pairs whose concatenations are equal.
    let pairs = [("ann", "1:order"), ("ann:1", "order"), ("bob", "1:order")];
    let mut ids = BTreeSet::new();
    for (name, key) in pairs {
        let mut reader = Reader::new(&hubs[0], Subscribe::to(name)).await;
        for hub in &hubs {
            let topic = hub.topic(name).expect("the hub has room");
            let published = topic.publish_once(key, Event::new(format!("{name} {key}")));
            let id = within("an acknowledgement", published).await.expect("the event is published");
            ids.insert((name, id.to_string()));
        }
        assert_eq!(reader.event().await.1, format!("{name} {key}"), "the event is in its topic");
    }
    let different: BTreeSet<_> = ids.iter().map(|(_, id)| id).collect();
    assert_eq!((ids.len(), different.len()), (3, 3), "each topic has one event of its own: {ids:?}");
}

pub(super) async fn oversized_event_evicts_nothing<B: Backplane>(node: &mut impl FnMut() -> B) {
    let large = hub(node);
    let small = Hub::builder().retention(Retention::new().bytes(2000)).max_bytes(10_000).build_with_backplane(node());
    let mut reader = Reader::new(&small, Subscribe::to("topic")).await;
    publish(&topic(&large), "before").await;
    for size in [3000, 30_000] {
        publish(&topic(&large), &"x".repeat(size)).await;
    }
    publish(&topic(&large), "after").await;
    for expected in ["before", "after"] {
        assert_eq!(reader.event().await.1, expected);
    }
    let mut again = Reader::new(&small, Subscribe::to("topic").start(Start::Beginning)).await;
    let kept: Vec<_> = again.events(2).await.into_iter().map(|(_, data)| data).collect();
    assert_eq!(kept, ["before", "after"], "the log of the node is unchanged");
}

pub(super) async fn publish_succeeds_outside_a_runtime_and_when_dropped<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hub = hub(node);
    let mut reader = Reader::new(&hub, Subscribe::to("topic")).await;
    drop(topic(&hub).publish(Event::new("dropped")));
    assert_eq!(reader.event().await.1, "dropped");
    let handle = topic(&hub);
    let elsewhere = std::thread::spawn(move || drop(handle.publish(Event::new("elsewhere"))));
    // Joined before the read: paused time does not wait for a thread.
    elsewhere.join().expect("the thread does not panic");
    assert_eq!(reader.event().await.1, "elsewhere");
}

pub(super) async fn members_are_present_on_every_node_until_theirs_leaves<B: Backplane>(node: &mut impl FnMut() -> B) {
    let (here, there) = (hub(node), hub(node));
    let reader = Reader::new(&here, Subscribe::to("topic").member("ann")).await;
    let mut other = Reader::without_greeting(&there, Subscribe::to("topic").member("bob"));
    let first = other.next().await;
    assert!(matches!(first, Some(Update::Subscribed(_))), "{first:?}");
    let names: [Arc<str>; 2] = ["ann".into(), "bob".into()];
    for hub in [&here, &there] {
        wait_for_members(hub, &names).await;
    }
    drop((reader, here));
    wait_for_members(&there, &names[1..]).await;
}

/// Reads on a node whose hub has room for fewer topics than there are with keys.
pub(super) async fn keys_are_found_in_more_topics_than_a_hub_holds<B: Backplane>(node: &mut impl FnMut() -> B) {
    let first = hub(node);
    let names: Vec<_> = (0..20).map(|number| format!("topic {number}")).collect();
    for name in &names {
        let topic = first.topic(name).expect("the hub has room");
        let published = topic.publish_keyed("key", Event::new(name.clone()));
        within("an acknowledgement", published).await.expect("the event is published");
    }
    let later = Hub::builder().max_topics(TOPICS).build_with_backplane(node());
    for name in &names {
        let mut reader = Reader::new(&later, Subscribe::to(&**name).start(Start::Snapshot)).await;
        assert_eq!(reader.event().await.1, *name);
    }
}

/// Waits until the presence of the topic is exactly these members.
async fn wait_for_members(hub: &Hub, names: &[Arc<str>]) {
    let presence = topic(hub).presence();
    let mut changes = pin!(presence.changes());
    while presence.members() != names || presence.count() != names.len() {
        within(&format!("a change to {names:?}"), changes.next()).await;
    }
}

fn epoch(id: &EventId) -> &str {
    id.as_str().split('-').next().unwrap_or_default()
}

fn sequence(id: &EventId) -> u64 {
    id.as_str().rsplit('-').next().and_then(|digits| digits.parse().ok()).expect("an id consists of epoch and sequence")
}

/// The bound on topics: fewer than there are with keys.
const TOPICS: usize = 8;
