//! Topics that gather events for a time: nothing comes too late, and nothing is lost.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task,
    time::{Instant, advance, sleep, timeout},
};
use tower_sse::{
    Event,
    hub::{Hub, LagPolicy, Retention, Subscribe, Topic, Update},
};

use super::support::{publish, read};

const LINGER: Duration = Duration::from_millis(5);

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

fn hub(linger: Duration) -> (Hub, Topic) {
    let hub = Hub::builder().linger(linger).build();
    let topic = hub.topic("a").expect("the hub has room");
    (hub, topic)
}

/// Reads in a task that is woken by the pump. Returns what it reads, and when.
fn watch(hub: &Hub, subscribe: impl Into<Subscribe>) -> UnboundedReceiver<(Instant, String)> {
    let mut subscription = hub.subscribe(subscribe).expect("the hub has room");
    let (sender, receiver) = unbounded_channel();
    task::spawn(async move {
        while let Some(update) = subscription.next().await {
            let text = match update {
                Update::Subscribed(_) => continue,
                Update::Event { event, .. } => event.data().into_owned(),
                update => format!("{update:?}"),
            };
            if sender.send((Instant::now(), text)).is_err() {
                return;
            }
        }
        let _ = sender.send((Instant::now(), "end".to_owned()));
    });
    receiver
}

/// Lets the other tasks run, without time passing.
async fn run_tasks() {
    for _ in 0..20 {
        task::yield_now().await;
    }
}

/// Returns what was read meanwhile.
async fn texts(receiver: &mut UnboundedReceiver<(Instant, String)>) -> Vec<String> {
    run_tasks().await;
    std::iter::from_fn(|| receiver.recv().now_or_never()?).map(|(_, text)| text).collect()
}

#[tokio::test(start_paused = true)]
async fn first_event_after_a_pause_is_delivered_at_once() {
    let (hub, topic) = hub(LINGER);
    let mut received = watch(&hub, "a");
    run_tasks().await;
    for number in ["1", "2", "3"] {
        publish(&topic, number);
        assert_eq!(texts(&mut received).await, [number]);
        sleep(LINGER).await;
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_gathered_and_not_held_longer_than_the_linger() {
    let (hub, topic) = hub(LINGER);
    let mut received = watch(&hub, "a");
    run_tasks().await;
    let began = Instant::now();
    for number in 0..100_u32 {
        publish(&topic, &number.to_string());
        sleep(Duration::from_millis(1)).await;
    }
    sleep(LINGER).await;
    let mut deliveries = Vec::new();
    for number in 0..100_u32 {
        let (at, text) = received.try_recv().expect("every event is delivered");
        assert_eq!(text, number.to_string());
        let latency = at - (began + Duration::from_millis(number.into()));
        assert!(latency <= LINGER, "event {number} was delivered after {latency:?}");
        deliveries.push(at);
    }
    deliveries.dedup();
    assert!(deliveries.len() <= 100 / 4 + 1, "{} rounds", deliveries.len());
}

#[tokio::test(start_paused = true)]
async fn full_frame_is_delivered_at_once() {
    let (hub, topic) = hub(LONG);
    let mut received = watch(&hub, "a");
    run_tasks().await;
    publish(&topic, "first");
    assert_eq!(texts(&mut received).await, ["first"]);
    for round in 0..10 {
        publish(&topic, &"x".repeat(3000));
        publish(&topic, &"x".repeat(3000));
        assert_eq!(texts(&mut received).await.len(), 0, "round {round}");
        publish(&topic, &"x".repeat(3000));
        assert_eq!(texts(&mut received).await.len(), 3, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_a_topic_is_delivered_at_once() {
    let (hub, topic) = hub(LONG);
    let mut received = watch(&hub, "a");
    run_tasks().await;
    publish(&topic, "1");
    assert_eq!(texts(&mut received).await, ["1"]);
    publish(&topic, "2");
    assert!(texts(&mut received).await.is_empty());
    topic.close(Event::new("3")).try_result().unwrap();
    assert_eq!(texts(&mut received).await, ["2", "3", "end"]);
}

/// A topic that keeps few events would evict what it gathers.
#[tokio::test(start_paused = true)]
async fn lingering_topic_evicts_nothing_unread() {
    let bounds = [
        Retention::new().events(1),
        Retention::new().events(2),
        Retention::new().events(5),
        Retention::new().bytes(1000),
        Retention::new().age(Duration::from_millis(10)),
    ];
    for bounds in bounds {
        let hub = Hub::builder().linger(LONG).retention(bounds).build();
        let topic = hub.topic("a").expect("the hub has room");
        let mut received = watch(&hub, Subscribe::to("a").lag(LagPolicy::Skip));
        run_tasks().await;
        for number in 0..100 {
            publish(&topic, &number.to_string());
            run_tasks().await;
            sleep(Duration::from_millis(1)).await;
        }
        topic.close(None).try_result().unwrap();
        let mut expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        expected.push("end".to_owned());
        assert_eq!(texts(&mut received).await, expected, "{bounds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn gathered_events_are_delivered_when_the_linger_is_set() {
    let (hub, topic) = hub(LONG);
    let mut received = watch(&hub, "a");
    run_tasks().await;
    publish(&topic, "1");
    publish(&topic, "2");
    assert_eq!(texts(&mut received).await, ["1", "2"]);
    publish(&topic, "3");
    assert!(texts(&mut received).await.is_empty());
    topic.set_linger(Duration::ZERO);
    assert_eq!(texts(&mut received).await, ["3"]);
    publish(&topic, "4");
    assert_eq!(texts(&mut received).await, ["4"]);
    topic.set_linger(LONG);
    publish(&topic, "5");
    assert_eq!(texts(&mut received).await, ["5"], "the first since the linger was set");
    publish(&topic, "6");
    assert!(texts(&mut received).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn publisher_that_waits_for_readers_ends_the_wait() {
    let (hub, topic) = hub(LONG);
    let mut received = watch(&hub, "a");
    run_tasks().await;
    publish(&topic, "1");
    assert_eq!(texts(&mut received).await, ["1"]);
    publish(&topic, "2");
    timeout(LINGER, topic.wait_for_readers(0)).await.expect("the reader is woken");
    assert_eq!(texts(&mut received).await, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn each_topic_lingers_by_itself() {
    let hub = Hub::builder().linger(LINGER).build();
    let topics = ["a", "b", "c"].map(|name| hub.topic(name).expect("the hub has room"));
    topics[1].set_linger(LONG);
    topics[2].set_linger(Duration::ZERO);
    let mut received = topics.clone().map(|topic| watch(&hub, topic.name()));
    run_tasks().await;
    for number in ["1", "2"] {
        topics.iter().for_each(|topic| drop(publish(topic, number)));
        run_tasks().await;
    }
    let [a, b, c] = &mut received;
    assert_eq!((texts(a).await.len(), texts(b).await.len(), texts(c).await.len()), (1, 1, 2));
    sleep(LINGER).await;
    assert_eq!((texts(a).await.len(), texts(b).await.len(), texts(c).await.len()), (1, 0, 0));
    sleep(LONG).await;
    assert_eq!((texts(a).await.len(), texts(b).await.len(), texts(c).await.len()), (0, 1, 0));
}

/// The setting was that of the object, which is gone once nobody holds the topic.
#[tokio::test(start_paused = true)]
async fn linger_of_a_topic_is_kept_with_its_name() {
    let (hub, topic) = hub(Duration::ZERO);
    topic.set_linger(LONG);
    topic.close(None).try_result().unwrap();
    drop(topic);
    assert!(hub.get_topic("a").is_none());
    let topic = hub.topic("a").expect("the hub has room");
    let mut received = watch(&hub, "a");
    run_tasks().await;
    for number in ["1", "2"] {
        publish(&topic, number);
        run_tasks().await;
    }
    assert_eq!(texts(&mut received).await, ["1"]);
}

/// A subscriber that is polled for another reason, and one that comes, get what there is.
#[tokio::test(start_paused = true)]
async fn gathered_events_can_be_read_at_any_time() {
    let (hub, topic) = hub(LONG);
    let mut early = hub.subscribe("a").expect("the hub has room");
    assert_eq!(read(&mut early), ["+"]);
    for number in ["1", "2"] {
        publish(&topic, number);
        run_tasks().await;
    }
    assert_eq!(read(&mut early), ["1", "2"]);
    let resumed = Subscribe::to("a").start(tower_sse::hub::Start::Beginning);
    assert_eq!(read(&mut hub.subscribe(resumed).expect("the hub has room")), ["+", "1", "2"]);
}

/// The pump of a runtime cannot hold a topic there, so it wakes at once.
#[test]
fn runtime_without_timers_gathers_nothing() {
    let runtime = Builder::new_current_thread().build().expect("the runtime is built");
    runtime.block_on(async {
        let (hub, topic) = hub(LONG);
        let mut received = watch(&hub, "a");
        run_tasks().await;
        for number in ["1", "2", "3"] {
            publish(&topic, number);
            assert_eq!(texts(&mut received).await, [number]);
        }
    });
}

/// All that leave while a topic is held take their wakers along; the topic is removed, and not kept by the pump.
#[tokio::test(start_paused = true)]
async fn held_topic_without_subscribers_is_removed() {
    let (hub, topic) = hub(LONG);
    let received = watch(&hub, "a");
    run_tasks().await;
    publish(&topic, "1");
    run_tasks().await;
    publish(&topic, "2");
    run_tasks().await;
    drop(received);
    topic.close(None).try_result().unwrap();
    drop(topic);
    run_tasks().await;
    assert!(hub.get_topic("a").is_none());
    assert_eq!(hub.bytes_used(), 0);
    advance(LONG).await;
    run_tasks().await;
}
