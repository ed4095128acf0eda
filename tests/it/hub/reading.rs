//! A subscriber receives published events once, in order, and a gap for missed ones.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event, EventId,
    hub::{Hub, LagPolicy, PublishError, Retention, Start, Subscribe, Subscription, Topic, Update},
    observe::Reason,
};

use super::support::{after, publish, read_with};

/// Returns the ready updates, in short: data of events, `+` for the first position, `gap` for a gap.
fn read(subscription: &mut Subscription) -> Vec<String> {
    read_with(subscription, |gap| format!("gap {}..{}", gap.from.as_ref().map_or("?".into(), short), short(&gap.to)))
}

fn short(id: &EventId) -> String {
    id.as_str().rsplit('-').next().unwrap_or_default().to_owned()
}

#[test]
fn new_client_receives_a_position_and_later_events() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    publish(&topic, "1");
    let mut new = hub.subscribe("a").unwrap();
    publish(&topic, "2");
    assert_eq!(read(&mut new), ["+", "2"]);
    publish(&topic, "3");
    publish(&topic, "4");
    assert_eq!(read(&mut new), ["3", "4"]);
}

#[test]
fn returning_client_resumes_at_its_id() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let first = publish(&topic, "1");
    publish(&topic, "2");
    let mut back = hub.subscribe(Subscribe::to("a").resume_after(after(&first))).unwrap();
    assert_eq!(read(&mut back), ["2"]);
}

#[test]
fn client_that_missed_events_receives_one_gap() {
    let hub = Hub::new();
    let topic = hub.topic_with("a", Retention::new().events(2)).unwrap();
    let first = publish(&topic, "1");
    for number in 2..=5 {
        publish(&topic, &number.to_string());
    }
    let mut back = hub.subscribe(Subscribe::to("a").resume_after(after(&first))).unwrap();
    assert_eq!(read(&mut back), ["gap 1..3", "4", "5"]);
}

/// A gap was sent for keys whose newest event had been evicted before the client joined.
#[test]
fn new_client_receives_no_gap_for_any_start() {
    for lag in [LagPolicy::Skip, LagPolicy::Conflate] {
        let hub = Hub::new();
        let topic = hub.topic_with("a", Retention::new().events(2).keys(1)).unwrap();
        for key in ["x", "y", "z"] {
            topic.publish_keyed(key, Event::new(key)).try_result().unwrap();
        }
        let mut new = hub.subscribe(Subscribe::to("a").start(Start::Beginning).lag(lag)).unwrap();
        let all = read(&mut new);
        assert_eq!(all[0], "+");
        assert_eq!(all.last().unwrap(), "z");
    }
}

/// Another gap was sent within the first, which had been sent for another topic.
#[test]
fn eviction_within_a_sent_gap_sends_no_other() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let (a, b) = (hub.topic("a").unwrap(), hub.topic("b").unwrap());
    let mut slow = hub.subscribe(Subscribe::to("a").and("b").lag(LagPolicy::Skip)).unwrap();
    assert_eq!(read(&mut slow), ["+"]);
    for (topic, data) in [(&a, "1"), (&a, "2"), (&b, "3"), (&b, "4"), (&b, "5")] {
        publish(topic, data);
    }
    let Some(Some(Update::Event { event, .. })) = slow.next().now_or_never() else { panic!("1 is kept") };
    assert_eq!(event.data(), "1", "3 is gone, and told once what is kept before it was given");
    publish(&a, "6");
    publish(&a, "7");
    assert_eq!(read(&mut slow), ["gap 0..3", "4", "5", "6", "7"], "2 is within the gap");
}

/// A reader that had received `1` and `2` when the log of two advanced to `5`.
fn overtaken(lag: LagPolicy) -> (Topic, Subscription) {
    let hub = Hub::new();
    let topic = hub.topic_with("a", Retention::new().events(2)).expect("the hub has room");
    let mut slow = hub.subscribe(Subscribe::to("a").lag(lag)).expect("the hub has room");
    publish(&topic, "1");
    publish(&topic, "2");
    assert_eq!(read(&mut slow), ["+", "1", "2"]);
    topic
        .publish_all([3, 4, 5].map(|number| Event::new(number.to_string())))
        .try_result()
        .expect("the events are small");
    (topic, slow)
}

#[test]
fn overtaken_reader_follows_its_lag_policy() {
    let (_topic, mut slow) = overtaken(LagPolicy::Skip);
    assert_eq!(read(&mut slow), ["gap 2..3", "4", "5"]);
    let (_topic, mut slow) = overtaken(LagPolicy::Disconnect);
    assert_eq!(read(&mut slow), [""; 0]);
    assert_eq!(slow.end_reason(), Some(Reason::Lagged));
    let (topic, mut slow) = overtaken(LagPolicy::Conflate);
    topic.publish_keyed("x", Event::new("x1")).try_result().unwrap();
    topic.publish_keyed("x", Event::new("x2")).try_result().unwrap();
    assert_eq!(read(&mut slow), ["gap 2..5", "x2"]);
}

#[test]
fn several_topics_are_one_order() {
    let hub = Hub::new();
    let (a, b) = (hub.topic("a").unwrap(), hub.topic("b").unwrap());
    let mut both = hub.subscribe(Subscribe::to("a").and("b")).unwrap();
    for (number, topic) in [&a, &b, &b, &a, &b].into_iter().enumerate() {
        publish(topic, &number.to_string());
    }
    assert_eq!(read(&mut both), ["+", "0", "1", "2", "3", "4"]);
    a.close(Event::new("last of a")).try_result().unwrap();
    assert_eq!(read(&mut both), ["last of a"]);
    assert_eq!(both.end_reason(), None);
    b.close(None).try_result().unwrap();
    assert_eq!(read(&mut both), [""; 0]);
    assert_eq!(both.end_reason(), Some(Reason::TopicClosed));
}

#[test]
fn snapshot_has_the_newest_values_only() {
    let hub = Hub::new();
    let topic = hub.topic_with("a", Retention::new().events(2)).unwrap();
    let keyed = |key: &str, data: &str| topic.publish_keyed(key, Event::new(data)).try_result().unwrap();
    keyed("x", "x1");
    keyed("y", "y1");
    keyed("x", "x2");
    publish(&topic, "u1");
    keyed("x", "x3");
    let mut new = hub.subscribe(Subscribe::to("a").start(Start::Snapshot).lag(LagPolicy::Conflate)).unwrap();
    assert_eq!(read(&mut new), ["+", "y1", "u1", "x3"]);
    for number in 4..=9 {
        keyed("x", &format!("x{number}"));
    }
    assert_eq!(read(&mut new), ["x9"]);
}

#[test]
fn foreign_and_invalid_ids_are_a_gap() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    publish(&topic, "1");
    let other = publish(&Hub::new().topic("a").unwrap(), "1");
    let mut back = hub.subscribe(Subscribe::to("a").resume_after(after(&other))).unwrap();
    assert_eq!(read(&mut back), ["gap 1..0", "1"]);
    let garbage = after(&EventId::try_from("x\"y").unwrap());
    let mut back = hub.subscribe(Subscribe::to("a").resume_after(garbage)).unwrap();
    assert_eq!(read(&mut back), ["gap ?..0", "1"]);
}

#[test]
fn oversized_event_is_not_published() {
    let hub = Hub::builder().max_bytes(1000).build();
    let topic = hub.topic("a").unwrap();
    let error = topic.publish(Event::new("x".repeat(1000))).try_result().unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { limit: 1000, .. }), "{error}");
    for number in 0..100 {
        publish(&topic, &number.to_string());
    }
    assert!(hub.bytes_used() <= 1000);
}

#[tokio::test(start_paused = true)]
async fn subscribers_are_woken_by_the_pump() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let readers: Vec<_> = (0..300)
        .map(|_| hub.subscribe("a").unwrap())
        .map(|new| tokio::spawn(new.take(3).collect::<Vec<_>>()))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(topic.presence().count(), 300);
    publish(&topic, "1");
    topic.wait_for_readers(0).await;
    publish(&topic, "2");
    for reader in readers {
        let got = reader.await.unwrap();
        assert!(matches!(&got[2], Update::Event { event, .. } if event.data() == "2"), "{got:?}");
    }
    drop(topic);
    assert_eq!(hub.topic_count(), 1, "the log is still retained");
}

/// Only gaps were sent: by the time that the reader asked for an event, it was evicted.
///
/// One update each time, while two are published: it never catches up.
#[test]
fn permanently_slow_reader_makes_progress() {
    for lag in [LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::Conflate] {
        let hub = Hub::new();
        let topic = hub.topic_with("a", Retention::new().events(2)).unwrap();
        let mut slow = hub.subscribe(Subscribe::to("a").lag(lag)).unwrap();
        let (mut last, mut position, mut given) = (None, 0, 0);
        for number in 0..300 {
            publish(&topic, &number.to_string());
            publish(&topic, &number.to_string());
            let id = match slow.next().now_or_never().expect("there is always more") {
                Some(Update::Event { event, .. }) => {
                    given += 1;
                    event.id().cloned()
                }
                Some(Update::Gap(gap)) => Some(gap.to),
                Some(Update::Subscribed(at)) => at,
                _ => {
                    assert_eq!((slow.end_reason(), lag), (Some(Reason::Lagged), LagPolicy::Disconnect));
                    slow =
                        hub.subscribe(Subscribe::to("a").lag(lag).resume_after(last.as_ref().and_then(after))).unwrap();
                    continue;
                }
            };
            let reached = short(id.as_ref().unwrap()).parse::<u64>().unwrap();
            assert!(reached >= position, "{reached} after {position}");
            (last, position) = (id, reached);
        }
        assert!(given >= 75 && position > 550, "{lag:?}: {given} events, up to {position}");
    }
}
