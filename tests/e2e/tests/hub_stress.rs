//! Many threads publish, thousands of subscribers join, leave and resume on any thread: each receives what the rules say.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{runtime, task::JoinSet, time::timeout};
use tower_sse::{
    Event, EventId, LastEventId,
    hub::{Hub, Retention, Start, Subscribe, Update},
};
use tower_sse_e2e::client::LIMIT;

const TOPICS: usize = 16;
const PUBLISHERS: usize = 4;
const SUBSCRIBERS: u64 = 2000;
const EVENTS: usize = 6000;

/// A limit for the whole test, which takes some seconds on an idle machine.
const ALL: Duration = LIMIT.saturating_mul(10);

#[test]
fn subscribers_match_the_model_on_one_thread() {
    stress(&runtime::Builder::new_current_thread().enable_all().build().expect("the runtime is built"));
}

#[test]
fn subscribers_match_the_model_on_many_threads() {
    stress(&runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("the runtime is built"));
}

/// One stream of a subscriber: its topics, its first id, its events, and whether it was read to the end.
struct Visit {
    topics: Vec<usize>,
    after: u64,
    seen: Vec<u64>,
}

fn stress(runtime: &runtime::Runtime) {
    let hub = Hub::builder().retention(Retention::new().events(EVENTS).bytes(64 << 20)).build();
    let delivered = Arc::new(AtomicUsize::new(0));
    let visits = runtime.block_on(async {
        let mut subscribers = JoinSet::new();
        for number in 1..=SUBSCRIBERS {
            subscribers.spawn(subscribe(hub.clone(), number, Arc::clone(&delivered)));
        }
        let publishers: Vec<_> = (0..PUBLISHERS).map(|number| publisher(hub.clone(), number)).collect();
        let finish = tokio::task::spawn_blocking(|| {
            publishers
                .into_iter()
                .map(|publisher| publisher.join().expect("the publisher does not panic"))
                .collect::<Vec<_>>()
        });
        let published = timeout(ALL, finish).await.expect("an end").expect("the task does not panic").concat();
        let last = hub.clone();
        let ends = tokio::task::spawn_blocking(move || (0..TOPICS).map(|topic| publish(&last, topic, "end")).collect());
        let ends: Vec<_> = ends.await.expect("the publisher does not panic");
        (timeout(ALL, subscribers.join_all()).await.expect("an end"), published, ends)
    });
    let (visits, published, ends) = visits;

    let mut of_topic = vec![BTreeSet::new(); TOPICS];
    for (topic, id) in published.into_iter().chain(ends) {
        assert!(of_topic[topic].insert(id), "no id is assigned twice");
    }
    let visits: Vec<Visit> = visits.into_iter().flatten().collect();
    for visit in &visits {
        let Some(&last) = visit.seen.last() else { continue };
        let ids = visit.topics.iter().flat_map(|&topic| of_topic[topic].range(visit.after + 1..=last));
        let expected: BTreeSet<_> = ids.copied().collect();
        assert!(visit.seen.iter().eq(&expected), "after {}: {:?}, not {expected:?}", visit.after, visit.seen);
    }
    let delivered = delivered.load(Relaxed);
    println!("{delivered} deliveries in {} visits of {SUBSCRIBERS} subscribers", visits.len());
    assert!(delivered >= 1_000_000);
    assert_eq!((0..TOPICS).map(|topic| count(&hub, topic)).sum::<usize>(), 0, "no subscriber is left");
}

fn count(hub: &Hub, topic: usize) -> usize {
    hub.topic(topic.to_string()).expect("the topic exists").presence().count()
}

fn publisher(hub: Hub, number: usize) -> thread::JoinHandle<Vec<(usize, u64)>> {
    thread::spawn(move || {
        let mut random = Random(1 + number as u64);
        (0..EVENTS / PUBLISHERS).map(|_| publish(&hub, random.below(TOPICS), "event")).collect()
    })
}

fn publish(hub: &Hub, topic: usize, data: &str) -> (usize, u64) {
    let handle = hub.topic(topic.to_string()).expect("the hub has room");
    (topic, sequence(&handle.publish(Event::new(data)).try_result().expect("the event is small")))
}

/// Subscribes and leaves until it has received the end of each of its topics.
async fn subscribe(hub: Hub, number: u64, delivered: Arc<AtomicUsize>) -> Vec<Visit> {
    let mut random = Random(1000 + number);
    let topics: BTreeSet<usize> = (0..=random.below(3)).map(|_| random.below(TOPICS)).collect();
    let topics: Vec<usize> = topics.into_iter().collect();
    let mut visits: Vec<Visit> = Vec::new();
    loop {
        // At its last position, or at any earlier one.
        let after = visits.last().and_then(|visit| pick(&visits, visit, &mut random));
        let names = topics.iter().map(ToString::to_string);
        let mut asked = Subscribe::to_all(names).start(Start::Beginning);
        if let Some(after) = after {
            asked = asked.resume_after(LastEventId::from_id(&id(&hub, after)));
        }
        let mut subscription = hub.subscribe(asked).expect("the hub has room");
        let patience = if visits.len() < 3 { random.below(400) } else { usize::MAX };
        let mut visit = Visit { topics: topics.clone(), after: after.unwrap_or(0), seen: Vec::new() };
        let mut ends = 0;
        while ends < topics.len() && visit.seen.len() < patience {
            match subscription.next().await.expect("no topic is closed") {
                Update::Event { event, .. } => {
                    ends += usize::from(event.data() == "end");
                    visit.seen.push(sequence(event.id().expect("the event has an id")));
                }
                told => assert!(matches!(told, Update::Subscribed(_)), "everything is kept: {told:?}"),
            }
        }
        delivered.fetch_add(visit.seen.len(), Relaxed);
        visits.push(visit);
        if ends == topics.len() {
            return visits;
        }
    }
}

/// Returns mostly the last id that was received, sometimes an earlier one.
fn pick(visits: &[Visit], last: &Visit, random: &mut Random) -> Option<u64> {
    let visit = if random.below(2) == 0 { last } else { &visits[random.below(visits.len())] };
    let seen = &visit.seen;
    if seen.is_empty() {
        return (visit.after > 0).then_some(visit.after);
    }
    Some(seen[if random.below(2) == 0 { seen.len() - 1 } else { random.below(seen.len()) }])
}

/// Returns the id of this sequence, with the epoch of the hub.
fn id(hub: &Hub, sequence: u64) -> EventId {
    let epoch = hub.topic("epoch").expect("the hub has room").publish_once("epoch", Event::new("")).try_result();
    let epoch = epoch.expect("the event is small");
    let epoch = epoch.as_str().split('-').next().unwrap_or_default().to_owned();
    EventId::try_from(format!("{epoch}-{sequence}")).expect("the id is valid")
}

fn sequence(id: &EventId) -> u64 {
    id.as_str().rsplit('-').next().and_then(|digits| digits.parse().ok()).expect("an id is epoch and sequence")
}

/// Random enough for a test, and the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % limit.max(1)
    }
}
