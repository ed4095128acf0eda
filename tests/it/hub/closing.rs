//! A stream follows its topics by name, through closing and opening again.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Wake},
};

use super::support::{after, publish, read};

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event, EventId,
    hub::{Hub, LagPolicy, Retention, Start, Subscribe, Subscription, Topic, Update},
    observe::Reason,
};

/// Returns the data of the events that are ready, with `+` for the first position and `gap` for a gap.
fn close(topic: &Topic, last: Option<&str>) -> EventId {
    topic.close(last.map(Event::new)).try_result().expect("the event is small")
}

fn topics<const N: usize>(hub: &Hub, names: [&str; N]) -> [Topic; N] {
    names.map(|name| hub.topic(name).expect("the hub has room"))
}

fn subscribe(hub: &Hub, subscribe: impl Into<Subscribe>) -> Subscription {
    hub.subscribe(subscribe).expect("the hub has room")
}

/// The cursor passed the event of the reopened topic, with and without a read between the steps.
#[test]
fn reopened_topic_reaches_streams_over_several_topics() {
    for reads in [false, true] {
        let hub = Hub::new();
        let [a, b] = topics(&hub, ["a", "b"]);
        let mut both = subscribe(&hub, Subscribe::to("a").and("b"));
        let mut got = Vec::new();
        let mut step = |subscription: &mut Subscription| {
            if reads {
                got.extend(read(subscription));
            }
        };
        step(&mut both);
        let first = publish(&a, "1");
        step(&mut both);
        close(&a, Some("last of a"));
        step(&mut both);
        publish(&a, "2");
        step(&mut both);
        let third = publish(&b, "3");
        got.extend(read(&mut both));
        assert_eq!(got, ["+", "1", "last of a", "2", "3"], "reads between: {reads}");
        // The stream holds both topics, so none was removed.
        let mut back = subscribe(&hub, Subscribe::to("a").and("b").resume_after(after(&first)));
        assert_eq!(read(&mut back), ["last of a", "2", "3"]);
        let mut back = subscribe(&hub, Subscribe::to("a").and("b").resume_after(after(&third)));
        assert_eq!(read(&mut back), [""; 0]);
    }
}

#[test]
fn several_rounds_of_closing_lose_nothing() {
    let hub = Hub::new();
    let [a, _b] = topics(&hub, ["a", "b"]);
    let mut both = subscribe(&hub, Subscribe::to("a").and("b"));
    let mut expected = vec!["+".to_owned()];
    for round in 0..20 {
        let [first, last] = ["first", "last"].map(|which| format!("{which} {round}"));
        publish(&a, &first);
        close(&a, Some(&last));
        expected.extend([first, last]);
        if round % 2 == 0 {
            close(&a, None);
        }
    }
    assert_eq!(read(&mut both), expected);
    assert_eq!(both.end_reason(), None, "b was never closed");
}

/// A stream that had not read yet when its topic was reopened continued, and one that had read ended.
#[test]
fn stream_ends_at_the_first_position_with_all_topics_closed() {
    for reads in [false, true] {
        for lag in [LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::Conflate] {
            let hub = Hub::new();
            let [a, b, other] = topics(&hub, ["a", "b", "other"]);
            let mut both = subscribe(&hub, Subscribe::to("a").and("b").lag(lag));
            let mut got = if reads { read(&mut both) } else { Vec::new() };
            close(&a, Some("last of a"));
            publish(&other, "x");
            publish(&b, "1");
            close(&b, None);
            publish(&other, "y");
            if reads {
                got.extend(read(&mut both));
            }
            publish(&b, "opened again");
            got.extend(read(&mut both));
            assert_eq!(got, ["+", "last of a", "1"], "{lag:?}, reads between: {reads}");
            assert_eq!(both.end_reason(), Some(Reason::TopicClosed));
        }
    }
}

#[test]
fn client_that_returns_after_an_end_resumes_behind_it() {
    for last in [None, Some("last")] {
        let hub = Hub::new();
        let [a] = topics(&hub, ["a"]);
        let mut first = subscribe(&hub, "a");
        let _holds = subscribe(&hub, "a");
        let (event, end) = (publish(&a, "1"), close(&a, last));
        // An end without an event has no id that a client receives.
        let id = if last.is_some() { end } else { event };
        read(&mut first);
        assert_eq!(first.end_reason(), Some(Reason::TopicClosed));
        // While the topic is closed, and again once it is open.
        let mut waits = subscribe(&hub, Subscribe::to("a").resume_after(after(&id)));
        assert_eq!(read(&mut waits), [""; 0]);
        assert_eq!(waits.end_reason(), None, "its end was reported before");
        publish(&a, "2");
        assert_eq!(read(&mut waits), ["2"]);
        let mut back = subscribe(&hub, Subscribe::to("a").resume_after(after(&id)));
        assert_eq!(read(&mut back), ["2"]);
        close(&a, None);
        assert_eq!((read(&mut waits), read(&mut back)), (vec![], vec![]));
        assert_eq!([waits.end_reason(), back.end_reason()], [Some(Reason::TopicClosed); 2]);
    }
}

#[test]
fn retained_events_before_a_close_precede_the_end() {
    let hub = Hub::new();
    let [a] = topics(&hub, ["a"]);
    let id = publish(&a, "1");
    publish(&a, "2");
    a.publish_keyed("x", Event::new("x")).try_result().unwrap();
    close(&a, Some("last"));
    let back = Subscribe::to("a").resume_after(after(&id));
    let all = Subscribe::to("a").start(Start::Beginning);
    let present = Subscribe::to("a").start(Start::Snapshot).lag(LagPolicy::Conflate);
    let cases =
        [(back, vec!["2", "x", "last"]), (all, vec!["+", "1", "2", "x", "last"]), (present, vec!["+", "x", "last"])];
    for (wants, expected) in cases {
        let mut stream = subscribe(&hub, wants);
        assert_eq!(read(&mut stream), expected);
        assert_eq!(stream.end_reason(), Some(Reason::TopicClosed));
    }
    // Closings that were over before a stream joined do not end it.
    publish(&a, "again");
    let mut all = subscribe(&hub, Subscribe::to("a").start(Start::Beginning));
    assert_eq!(read(&mut all), ["+", "1", "2", "x", "last", "again"]);
    assert_eq!(all.end_reason(), None);
}

/// Each new subscriber opened the topic, so that a stream over it and others never ended.
#[test]
fn waiting_on_a_closed_name_does_not_open_it() {
    let hub = Hub::new();
    let [a, b] = topics(&hub, ["a", "b"]);
    let mut both = subscribe(&hub, Subscribe::to("a").and("b"));
    close(&a, None);
    drop(a);
    assert_eq!(read(&mut both), ["+"]);
    let (mut waits, mut comes_late) = (subscribe(&hub, "a"), subscribe(&hub, Subscribe::to("b").and("a")));
    assert_eq!([read(&mut waits), read(&mut comes_late)], [["+"], ["+"]]);
    close(&b, Some("last"));
    assert_eq!((read(&mut both), read(&mut comes_late)), (vec!["last".to_owned()], vec!["last".to_owned()]));
    assert_eq!((both.end_reason(), comes_late.end_reason()), (Some(Reason::TopicClosed), Some(Reason::TopicClosed)));
    assert_eq!((read(&mut waits), waits.end_reason()), (vec![], None));
    // Only the waiting stream holds the topic now.
    publish(&hub.topic("a").unwrap(), "1");
    assert_eq!(read(&mut waits), ["1"]);
}

/// The name of a removed topic is remembered as closed.
#[test]
fn closed_name_is_remembered_while_not_held() {
    let hub = Hub::builder().max_topics(2).build();
    close(&hub.topic("a").unwrap(), Some("last"));
    assert_eq!((hub.topic_count(), hub.bytes_used()), (0, 0));
    let mut both = subscribe(&hub, Subscribe::to("a").and("b"));
    assert_eq!(read(&mut both), ["+"]);
    close(&hub.topic("b").unwrap(), None);
    assert_eq!((read(&mut both), both.end_reason()), (vec![], Some(Reason::TopicClosed)));
    assert_eq!(hub.topic_count(), 0);
    // A publish opens the topic, also for names that are looked up later.
    publish(&hub.topic("a").unwrap(), "1");
    let mut both = subscribe(&hub, Subscribe::to("a").and("b").start(Start::Beginning));
    assert_eq!(read(&mut both), ["+", "1"]);
    assert_eq!(both.end_reason(), None);
}

#[test]
fn topic_closed_twice_ends_subscribers_that_joined_between() {
    let hub = Hub::new();
    let [a] = topics(&hub, ["a"]);
    close(&a, Some("first end"));
    let mut between = subscribe(&hub, "a");
    assert_eq!(read(&mut between), ["+"]);
    close(&a, Some("second end"));
    assert_eq!((read(&mut between), between.end_reason()), (vec!["second end".to_owned()], Some(Reason::TopicClosed)));
    let mut between = subscribe(&hub, "a");
    assert_eq!(read(&mut between), ["+"]);
    close(&a, None);
    assert_eq!((read(&mut between), between.end_reason()), (vec![], Some(Reason::TopicClosed)));
}

/// A position belongs to the hub: an end without its own position was indistinguishable from one that a client has received.
#[test]
fn each_close_has_its_own_position() {
    let hub = Hub::new();
    let [a] = topics(&hub, ["a"]);
    let ids = [publish(&a, "1"), close(&a, None), close(&a, Some("last")), close(&a, None)];
    let positions: Vec<_> = ids.iter().map(|id| id.as_str().rsplit('-').next().unwrap()).collect();
    assert_eq!(positions, ["1", "2", "3", "4"]);
}

/// The bounds of the reopened topic were those of the closed one.
#[test]
fn bounds_of_a_topic_hold_after_it_is_reopened() {
    for holds in [true, false] {
        let hub = Hub::new();
        let topic = hub.topic_with("a", Retention::new().events(2)).unwrap();
        let held = holds.then(|| topic.clone());
        publish(&topic, "1");
        close(&topic, None);
        drop(topic);
        for number in ["2", "3", "4"] {
            publish(&hub.topic("a").unwrap(), number);
        }
        let mut all = subscribe(&hub, Subscribe::to("a").start(Start::Beginning));
        assert_eq!(read(&mut all), ["+", "3", "4"], "held: {holds}");
        drop(held);
    }
}

#[test]
fn keyed_values_survive_a_close_while_the_topic_is_held() {
    let hub = Hub::new();
    let [a, _b] = topics(&hub, ["a", "b"]);
    let mut slow = subscribe(&hub, Subscribe::to("a").and("b").lag(LagPolicy::Conflate));
    for (key, data) in [("x", "x1"), ("y", "y1")] {
        a.publish_keyed(key, Event::new(data)).try_result().unwrap();
    }
    close(&a, None);
    a.publish_keyed("x", Event::new("x2")).try_result().unwrap();
    assert_eq!(read(&mut slow), ["+", "y1", "x2"]);
    let mut present = subscribe(&hub, Subscribe::to("a").start(Start::Snapshot));
    assert_eq!(read(&mut present), ["+", "y1", "x2"]);
}

#[test]
fn presence_follows_the_name() {
    let hub = Hub::new();
    let [a, _b] = topics(&hub, ["a", "b"]);
    let presence = a.presence();
    let mut both = subscribe(&hub, Subscribe::to("a").and("b").member("ann"));
    read(&mut both);
    close(&a, None);
    read(&mut both);
    assert_eq!((presence.count(), presence.members()), (1, vec!["ann".into()]));
    publish(&a, "again");
    let mut other = subscribe(&hub, Subscribe::to("a").member("bob"));
    read(&mut other);
    assert_eq!((presence.count(), a.presence().count()), (2, 2));
    drop((both, other));
    assert_eq!((presence.count(), presence.members()), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn presence_changes_end_at_the_first_close_even_if_reopened() {
    let hub = Hub::new();
    let [a] = topics(&hub, ["a"]);
    let mut changes = pin!(a.presence().changes());
    close(&a, None);
    publish(&a, "again");
    assert_eq!(changes.next().await, None);
    // The presence of a closed topic counts its waiting subscribers.
    close(&a, None);
    let mut changes = pin!(a.presence().changes());
    let mut waits = subscribe(&hub, Subscribe::to("a").member("ann"));
    read(&mut waits);
    assert_eq!(changes.next().await.map(|change| change.joined), Some(vec!["ann".into()]));
}

#[test]
fn wait_for_readers_completes_at_a_close_even_if_reopened() {
    let hub = Hub::new();
    let [a, _b] = topics(&hub, ["a", "b"]);
    let mut stalled = subscribe(&hub, Subscribe::to("a").and("b"));
    assert!(stalled.next().now_or_never().is_some());
    publish(&a, "1");
    let (mut polled, unpolled) = (Box::pin(a.wait_for_readers(0)), Box::pin(a.wait_for_readers(0)));
    assert!((&mut polled).now_or_never().is_none());
    close(&a, None);
    publish(&a, "2");
    assert!(polled.now_or_never().is_some());
    // Events after the close are waited for as before, by the same readers.
    let mut later = Box::pin(a.wait_for_readers(0));
    assert!((&mut later).now_or_never().is_none());
    drop(unpolled);
    read(&mut stalled);
    assert!(later.now_or_never().is_some());
}

/// A task that counts its wake-ups.
#[derive(Default)]
struct Task(std::sync::atomic::AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn waiting_stream_is_woken_by_an_event_after_a_close() {
    let hub = Hub::new();
    let [a, _b] = topics(&hub, ["a", "b"]);
    let task = Arc::new(Task::default());
    let waker = Arc::clone(&task).into();
    let mut both = subscribe(&hub, Subscribe::to("a").and("b"));
    let mut woken = 0;
    for step in [None, Some("2"), None, Some("3")] {
        while both.poll_next_unpin(&mut Context::from_waker(&waker)).is_ready() {}
        match step {
            None => drop(close(&a, None)),
            Some(data) => drop(publish(&a, data)),
        }
        woken += 1;
        assert_eq!(task.0.load(std::sync::atomic::Ordering::SeqCst), woken, "{step:?}");
    }
    assert_eq!(read(&mut both), ["3"]);
}

#[test]
fn closed_topic_retains_nothing_once_released() {
    let hub = Hub::new();
    let [a] = topics(&hub, ["a"]);
    let (mut reads, other) = (subscribe(&hub, "a"), a.clone());
    let presence = a.presence();
    a.publish_keyed("x", Event::new("x")).try_result().unwrap();
    let id = close(&a, Some("last"));
    drop((a, other));
    assert!(hub.bytes_used() > 0);
    read(&mut reads);
    assert!(hub.bytes_used() > 0, "the presence holds it");
    drop(presence);
    assert_eq!((hub.topic_count(), hub.bytes_used()), (0, 0));
    // Evicted closings are reported as evicted.
    let first = id.as_str().rsplit_once('-').map(|(epoch, _)| format!("{epoch}-0")).unwrap();
    let first = EventId::try_from(first.as_str()).unwrap();
    let mut back = subscribe(&hub, Subscribe::to("a").resume_after(after(&first)));
    assert_eq!(read(&mut back), ["gap"]);
}

/// The known closings are those of retained events, however often a topic was closed while a reader stalled.
#[test]
fn reader_behind_many_closings_stops_at_each_kept_one() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let [a, _b] = topics(&hub, ["a", "b"]);
    let mut slow = subscribe(&hub, Subscribe::to("a").lag(LagPolicy::Skip));
    assert_eq!(read(&mut slow), ["+"]);
    for round in 0..1000 {
        publish(&a, &round.to_string());
        close(&a, None);
    }
    let Some(Some(Update::Gap(gap))) = slow.next().now_or_never() else { panic!("999 are evicted") };
    assert_eq!((read(&mut slow), slow.end_reason()), (vec![], Some(Reason::TopicClosed)));
    let mut back = subscribe(&hub, Subscribe::to("a").resume_after(after(&gap.to)));
    assert_eq!(read(&mut back), ["998", "999"], "closings that were over do not end it");
    assert_eq!(back.end_reason(), Some(Reason::TopicClosed));
}

/// The end was forgotten with the event that reopened the topic, which is no loss to a conflating reader.
#[test]
fn conflating_reader_ends_at_the_first_end_despite_eviction() {
    let hub = Hub::builder().retention(Retention::new().events(1)).build();
    let [a] = topics(&hub, ["a"]);
    let publish_keyed = |key: &str| a.publish_keyed(key, Event::new(key)).try_result().unwrap();
    let mut reader = subscribe(&hub, Subscribe::to("a").lag(LagPolicy::Conflate));
    let mut other = subscribe(&hub, Subscribe::to("a").lag(LagPolicy::Conflate));
    assert_eq!([read(&mut reader), read(&mut other)], [["+"], ["+"]]);
    let x = publish_keyed("x");
    assert_eq!(read(&mut other), ["x"]);
    close(&a, None);
    publish_keyed("y");
    publish_keyed("z");
    assert_eq!((read(&mut reader), reader.end_reason()), (vec!["x".to_owned()], Some(Reason::TopicClosed)));
    assert_eq!((read(&mut other), other.end_reason()), (vec![], Some(Reason::TopicClosed)));
    let mut back = subscribe(&hub, Subscribe::to("a").lag(LagPolicy::Conflate).resume_after(after(&x)));
    assert_eq!((read(&mut back), back.end_reason()), (vec!["y".to_owned(), "z".to_owned()], None));
}

/// Of more than 64 closings the first were forgotten, and the reader continued to the first known one.
#[test]
fn forgotten_end_is_replaced_by_a_gap() {
    for rounds in [64, 65, 100] {
        let hub = Hub::new();
        let [a] = topics(&hub, ["a"]);
        let mut reader = subscribe(&hub, Subscribe::to("a").lag(LagPolicy::Skip));
        let mut new = subscribe(&hub, Subscribe::to("a").lag(LagPolicy::Skip));
        let mut ends = subscribe(&hub, "a");
        assert_eq!([read(&mut reader), read(&mut ends)], [["+"], ["+"]]);
        for round in 0..rounds {
            publish(&a, &round.to_string());
            close(&a, None);
        }
        let forgotten = rounds - 64;
        let mut expected: Vec<_> = (0..=forgotten).map(|round| round.to_string()).collect();
        if forgotten > 0 {
            expected.insert(1, "gap".to_owned());
        }
        assert_eq!((read(&mut reader), reader.end_reason()), (expected.clone(), Some(Reason::TopicClosed)));
        expected.insert(0, "+".to_owned());
        assert_eq!((read(&mut new), new.end_reason()), (expected, Some(Reason::TopicClosed)));
        read(&mut ends);
        assert_eq!(ends.end_reason(), Some(if forgotten > 0 { Reason::Lagged } else { Reason::TopicClosed }));
    }
}

#[test]
fn closings_of_one_topic_are_no_gap_while_another_is_open() {
    let hub = Hub::new();
    let [a, b] = topics(&hub, ["a", "b"]);
    publish(&b, "open");
    let mut both = subscribe(&hub, Subscribe::to("a").and("b"));
    let mut expected = vec!["+".to_owned()];
    for round in 0..200 {
        publish(&a, &round.to_string());
        close(&a, None);
        expected.push(round.to_string());
    }
    assert_eq!((read(&mut both), both.end_reason()), (expected, None));
    close(&b, None);
    assert_eq!((read(&mut both), both.end_reason()), (vec![], Some(Reason::TopicClosed)));
}
