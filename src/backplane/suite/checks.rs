//! The checks, each a promise of the contract.

use std::{collections::BTreeSet, pin::pin, sync::Arc};

use futures_util::{StreamExt, future::join_all};

use super::reader::{Reader, broken, within};
use crate::{
    event::{Event, field::EventId},
    hub::{
        handle::Hub,
        replica::contract::Backplane,
        retention::Retention,
        subscription::{
            output::Update,
            request::{Start, Subscribe},
        },
        topic::Topic,
    },
};

fn hub<B: Backplane>(node: &mut impl FnMut() -> B) -> Hub {
    Hub::builder().build_with_backplane(node())
}

fn topic(hub: &Hub) -> Topic {
    hub.topic("topic").expect("there is room")
}

async fn publish(topic: &Topic, data: &str) -> EventId {
    within("an acknowledgement", topic.publish(Event::new(data))).await.expect("it is published")
}

pub(super) async fn every_node_has_one_order_with_the_ids_that_were_acknowledged<B: Backplane>(
    node: &mut impl FnMut() -> B,
) {
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

pub(super) async fn events_of_one_call_are_next_to_each_other<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    let mut reader = Reader::new(&hubs[0], Subscribe::to("topic")).await;
    let calls = (0..20).map(|call| {
        let events = (0..5).map(|number| Event::new(format!("{call} {number}")));
        topic(&hubs[call % 2]).publish_all(events)
    });
    let calls: Vec<_> = calls.collect();
    for published in join_all(calls).await {
        published.expect("it is published");
    }
    let seen = reader.events(100).await;
    for call in seen.chunks(5) {
        let of = call[0].1.split(' ').next().unwrap_or_default();
        let expected: Vec<_> = (0..5).map(|number| format!("{of} {number}")).collect();
        assert!(
            call.iter().map(|(_, data)| data).eq(&expected),
            "nothing comes between, and none is missing: {call:?}"
        );
    }
}

pub(super) async fn a_client_goes_on_at_another_node<B: Backplane>(node: &mut impl FnMut() -> B) {
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

pub(super) async fn a_node_that_begins_later_has_what_is_kept<B: Backplane>(node: &mut impl FnMut() -> B) {
    let first = hub(node);
    let mut before = Reader::new(&first, Subscribe::to("topic")).await;
    for number in 0..10 {
        publish(&topic(&first), &number.to_string()).await;
    }
    let later = hub(node);
    let mut after = Reader::new(&later, Subscribe::to("topic").start(Start::Beginning)).await;
    assert_eq!(before.events(10).await, after.events(10).await);
    // And what there was before is news to nobody.
    let mut now = Reader::new(&later, Subscribe::to("topic")).await;
    publish(&topic(&first), "new").await;
    assert_eq!(now.event().await.1, "new");
}

pub(super) async fn a_client_that_comes_before_its_node_has_begun_misses_nothing<B: Backplane>(
    node: &mut impl FnMut() -> B,
) {
    let first = hub(node);
    let id = publish(&topic(&first), "before").await;
    publish(&topic(&first), "missed").await;
    let later = hub(node);
    // Nothing was waited for since: the node has not read anything.
    let mut reader = Reader::after(&later, "topic", &id);
    assert_eq!(reader.event().await.1, "missed");
}

pub(super) async fn a_client_that_is_ahead_of_its_node_waits_and_one_ahead_of_all_is_told<B: Backplane>(
    node: &mut impl FnMut() -> B,
) {
    let hubs = [hub(node), hub(node)];
    let mut reader = Reader::new(&hubs[1], Subscribe::to("topic")).await;
    for number in 0..20 {
        let id = publish(&topic(&hubs[0]), "it has this").await;
        // The other node may not have it yet.
        let mut ahead = Reader::after(&hubs[1], "topic", &id);
        publish(&topic(&hubs[0]), &number.to_string()).await;
        assert_eq!(ahead.event().await.1, number.to_string());
    }
    let (last, _) = reader.events(40).await.pop().unwrap_or_else(|| broken("there were forty"));
    let ahead = format!("{}-{}", epoch(&last), u64::MAX - 1);
    let mut reader = Reader::after(&hubs[1], "topic", &EventId::try_from(ahead.as_str()).expect("it is plain"));
    assert_eq!(reader.gap().await.from.map(|id| id.to_string()), Some(ahead));
}

pub(super) async fn a_key_has_its_newest_event_on_each_node_until_it_is_removed<B: Backplane>(
    node: &mut impl FnMut() -> B,
) {
    let first = hub(node);
    let keyed = topic(&first);
    for (key, data) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        within("an acknowledgement", keyed.publish_keyed(key, Event::new(data))).await.expect("it is published");
    }
    let later = hub(node);
    let present = || Subscribe::to("topic").start(Start::Snapshot);
    for hub in [&first, &later] {
        let mut reader = Reader::new(hub, present()).await;
        assert_eq!(reader.present(2).await, ["b1", "a2"]);
    }
    keyed.remove_key("b");
    publish(&keyed, "after it").await;
    for hub in [&first, &later, &crate::backplane::suite::checks::hub(node)] {
        let mut all = Reader::new(hub, Subscribe::to("topic").start(Start::Beginning)).await;
        all.events(4).await;
        let mut reader = Reader::new(hub, present()).await;
        assert_eq!(reader.present(2).await, ["a2", "after it"]);
    }
}

pub(super) async fn a_topic_ends_on_every_node<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    let mut readers = Vec::new();
    for hub in &hubs {
        readers.push(Reader::new(hub, Subscribe::to("topic")).await);
    }
    within("an acknowledgement", topic(&hubs[0]).close(Event::new("last"))).await.expect("it is closed");
    for reader in &mut readers {
        assert_eq!(reader.event().await.1, "last");
        assert_eq!(reader.next().await, None, "its streams end");
    }
    // And is opened anew by whoever publishes.
    let mut again = Reader::new(&hubs[1], Subscribe::to("topic")).await;
    publish(&topic(&hubs[0]), "anew").await;
    assert_eq!(again.event().await.1, "anew");
}

pub(super) async fn one_idempotency_key_publishes_once<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    let mut reader = Reader::new(&hubs[0], Subscribe::to("topic")).await;
    let mut ids = Vec::new();
    for hub in [&hubs[0], &hubs[0], &hubs[1]] {
        let published = topic(hub).publish_once("order 17", Event::new("once"));
        ids.push(within("an acknowledgement", published).await.expect("it is published"));
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "each repeat gives the id of the first: {ids:?}");
    publish(&topic(&hubs[1]), "next").await;
    let seen: Vec<_> = reader.events(2).await.into_iter().map(|(_, data)| data).collect();
    assert_eq!(seen, ["once", "next"]);
}

pub(super) async fn an_idempotency_key_belongs_to_its_topic<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hubs = [hub(node), hub(node)];
    // Names that read alike once they are put together.
    let pairs = [("ann", "1:order"), ("ann:1", "order"), ("bob", "1:order")];
    let mut ids = BTreeSet::new();
    for (name, key) in pairs {
        let mut reader = Reader::new(&hubs[0], Subscribe::to(name)).await;
        for hub in &hubs {
            let topic = hub.topic(name).expect("there is room");
            let published = topic.publish_once(key, Event::new(format!("{name} {key}")));
            let id = within("an acknowledgement", published).await.expect("it is published");
            ids.insert((name, id.to_string()));
        }
        assert_eq!(reader.event().await.1, format!("{name} {key}"), "it is there");
    }
    let different: BTreeSet<_> = ids.iter().map(|(_, id)| id).collect();
    assert_eq!((ids.len(), different.len()), (3, 3), "each topic has its own event, once: {ids:?}");
}

pub(super) async fn an_event_that_is_too_large_for_a_node_takes_nothing_from_it<B: Backplane>(
    node: &mut impl FnMut() -> B,
) {
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
    assert_eq!(kept, ["before", "after"], "the log of the node is as it was");
}

pub(super) async fn what_is_published_without_a_runtime_or_not_waited_for_is_there<B: Backplane>(
    node: &mut impl FnMut() -> B,
) {
    let hub = hub(node);
    let mut reader = Reader::new(&hub, Subscribe::to("topic")).await;
    drop(topic(&hub).publish(Event::new("dropped")));
    assert_eq!(reader.event().await.1, "dropped");
    let handle = topic(&hub);
    let elsewhere = std::thread::spawn(move || drop(handle.publish(Event::new("elsewhere"))));
    // Before it is waited for: time that is paused does not wait for a thread.
    elsewhere.join().expect("it does not panic");
    assert_eq!(reader.event().await.1, "elsewhere");
}

pub(super) async fn members_are_seen_on_every_node_until_theirs_is_gone<B: Backplane>(node: &mut impl FnMut() -> B) {
    let (here, there) = (hub(node), hub(node));
    let reader = Reader::new(&here, Subscribe::to("topic").member("ann")).await;
    let mut other = Reader::early(&there, Subscribe::to("topic").member("bob"));
    let first = other.next().await;
    assert!(matches!(first, Some(Update::Subscribed(_))), "{first:?}");
    let names: [Arc<str>; 2] = ["ann".into(), "bob".into()];
    for hub in [&here, &there] {
        until(hub, &names).await;
    }
    drop((reader, here));
    until(&there, &names[1..]).await;
}

/// A node whose hub has room for fewer topics than have keys.
pub(super) async fn keys_are_found_however_many_topics_have_some<B: Backplane>(node: &mut impl FnMut() -> B) {
    let first = hub(node);
    let names: Vec<_> = (0..20).map(|number| format!("topic {number}")).collect();
    for name in &names {
        let topic = first.topic(name).expect("there is room");
        let published = topic.publish_keyed("key", Event::new(name.clone()));
        within("an acknowledgement", published).await.expect("it is published");
    }
    let later = Hub::builder().max_topics(TOPICS).build_with_backplane(node());
    for name in &names {
        let mut reader = Reader::new(&later, Subscribe::to(&**name).start(Start::Snapshot)).await;
        assert_eq!(reader.event().await.1, *name);
    }
}

/// Waits until just these are in the topic.
async fn until(hub: &Hub, names: &[Arc<str>]) {
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
    id.as_str().rsplit('-').next().and_then(|digits| digits.parse().ok()).expect("an id is epoch and sequence")
}

/// Fewer than have keys.
const TOPICS: usize = 8;
