//! Retention is bounded, whatever is published or requested.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use http::{Request, StatusCode, header::ACCEPT};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt};
use tower_sse::{
    Event, Heartbeat, SseLayer,
    hub::{Hub, LagPolicy, PublishError, Retention, Start, Subscribe, Update},
};

/// Returns the data of all retained events.
fn kept(hub: &Hub, topic: &str) -> Vec<String> {
    let mut all = hub.subscribe(Subscribe::to(topic).start(Start::Beginning)).expect("the hub has room");
    let mut data = Vec::new();
    while let Some(Some(update)) = all.next().now_or_never() {
        if let Update::Event { event, .. } = update {
            data.push(event.data().into_owned());
        }
    }
    data
}

fn publish(hub: &Hub, topic: &str, data: &str) {
    hub.topic(topic).expect("the hub has room").publish(Event::new(data)).try_result().expect("the event is small");
}

#[test]
fn events_and_bytes_of_a_topic_are_bounded() {
    let hub = Hub::new();
    let _few = hub.topic_with("few", Retention::new().events(2)).unwrap();
    let small = hub.topic_with("small", Retention::new().bytes(250)).unwrap();
    for number in ["1", "2", "3"] {
        publish(&hub, "few", number);
        publish(&hub, "small", number);
    }
    assert_eq!(kept(&hub, "few"), ["2", "3"]);
    assert_eq!(kept(&hub, "small"), ["1", "2", "3"], "each counts for 73 bytes");
    publish(&hub, "small", &"4".repeat(100));
    assert_eq!(kept(&hub, "small"), ["3", &"4".repeat(100)]);
    let error = small.publish(Event::new("5".repeat(200))).try_result().unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { limit: 250, .. }), "{error}");
    let error = small.publish_all([Event::new("6"), Event::new("7".repeat(200))]).try_result().unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "{error}");
    assert_eq!(kept(&hub, "small"), ["3", &"4".repeat(100)], "an oversized event publishes none");
}

#[test]
fn new_bounds_apply_at_once() {
    let hub = Hub::new();
    for number in ["1", "2", "3"] {
        publish(&hub, "a", number);
    }
    let _topic = hub.topic_with("a", Retention::new().events(1)).unwrap();
    assert_eq!(kept(&hub, "a"), ["3"]);
}

#[test]
fn full_hub_evicts_the_oldest_event_of_all_topics() {
    let hub = Hub::builder().max_bytes(4 * 73).build();
    for (topic, data) in [("quiet", "1"), ("busy", "2"), ("busy", "3"), ("busy", "4")] {
        publish(&hub, topic, data);
    }
    assert_eq!(hub.bytes_used(), 4 * 73);
    publish(&hub, "busy", "5");
    assert_eq!(kept(&hub, "quiet"), [""; 0]);
    assert_eq!(kept(&hub, "busy"), ["2", "3", "4", "5"]);
    assert_eq!(hub.bytes_used(), 4 * 73);
}

#[test]
fn keys_are_bounded_and_the_least_recent_is_evicted() {
    let hub = Hub::new();
    let topic = hub.topic_with("a", Retention::new().events(1).keys(2)).unwrap();
    for key in ["x", "y", "x", "z"] {
        topic.publish_keyed(key, Event::new(key)).try_result().unwrap();
    }
    let mut present = hub.subscribe(Subscribe::to("a").start(Start::Snapshot)).unwrap();
    let mut keys = Vec::new();
    while let Some(Some(update)) = present.next().now_or_never() {
        if let Update::Event { event, .. } = update {
            keys.push(event.data().into_owned());
        }
    }
    assert_eq!(keys, ["x", "z"]);
}

#[test]
fn keys_beyond_the_bytes_of_a_hub_are_evicted() {
    let hub = Hub::builder().max_bytes(1000).build();
    for number in 0..100 {
        let topic = hub.topic(format!("{}", number % 3)).unwrap();
        topic.publish_keyed(number.to_string(), Event::new("x")).try_result().unwrap();
        assert!(hub.bytes_used() <= 1000, "{}", hub.bytes_used());
    }
}

/// Keys of a closed topic were not found, as long as one client did not read.
#[test]
fn full_hub_evicts_keys_of_closed_topics() {
    let hub = Hub::builder().max_bytes(1000).build();
    let closed = hub.topic("closed").unwrap();
    let mut stalled = hub.subscribe(Subscribe::to("closed").lag(LagPolicy::Conflate)).unwrap();
    assert!(stalled.next().now_or_never().is_some());
    for number in 0..8 {
        closed.publish_keyed(number.to_string(), Event::new("x")).try_result().unwrap();
    }
    closed.close(None).try_result().unwrap();
    let full = hub.bytes_used();
    assert!(full > 500, "{full}");
    for number in 0..20 {
        hub.topic("open").unwrap().publish_keyed(number.to_string(), Event::new("x")).try_result().unwrap();
        assert!(hub.bytes_used() <= 1000, "{}", hub.bytes_used());
    }
    publish(&hub, "open", &"x".repeat(900));
    assert!(hub.bytes_used() <= 1000, "{}", hub.bytes_used());
    assert!(matches!(stalled.next().now_or_never(), Some(Some(Update::Gap(_)))), "the client has missed some");
}

/// A publish there was evicted at once, and every reader of it received a gap.
#[test]
fn hub_full_of_keys_delivers_new_events() {
    let hub = Hub::builder().max_bytes(1000).build();
    let keys = hub.topic("keys").unwrap();
    let mut key = 0;
    while hub.bytes_used() <= 800 || key < 20 {
        keys.publish_keyed(key.to_string(), Event::new("x")).try_result().unwrap();
        key += 1;
    }
    assert_eq!(kept(&hub, "keys").len(), 1, "the rest are keys");
    let mut news = hub.subscribe("news").unwrap();
    assert!(news.next().now_or_never().is_some());
    for number in ["1", "2", "3"] {
        assert!(news.next().now_or_never().is_none());
        publish(&hub, "news", number);
        assert!(hub.bytes_used() <= 1000, "{}", hub.bytes_used());
        let update = news.next().now_or_never().unwrap();
        assert!(matches!(&update, Some(Update::Event { event, .. }) if event.data() == number), "{update:?}");
    }
}

/// Frames that readers share were sent however old they were.
#[tokio::test(start_paused = true)]
async fn late_subscriber_receives_no_expired_events() {
    let hub = Hub::builder().retention(Retention::new().age(Duration::from_secs(60))).build();
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("a").lag(LagPolicy::Skip))).heartbeat(Heartbeat::off());
    let inside = tower::service_fn(|_: Request<()>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
    });
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let request = Request::get("/").header(ACCEPT, "text/event-stream").body(()).unwrap();
        let mut body = layer.layer(inside).oneshot(request).await.unwrap().into_body();
        while body.frame().now_or_never().is_some() {}
        bodies.push(body);
    }
    publish(&hub, "a", "old");
    // The pump joins the frame for waiting readers. Two join late.
    tokio::task::yield_now().await;
    let frame = bodies[0].frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(frame.ends_with(b"data: old\n\n"), "{frame:?}");
    tokio::time::advance(Duration::from_secs(61)).await;
    for body in &mut bodies[1..] {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = std::str::from_utf8(&frame).unwrap();
        assert!(text.contains("event: gap") && !text.contains("old"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn expired_events_are_evicted_when_any_topic_is_used() {
    let hub = Hub::builder().retention(Retention::new().age(Duration::from_secs(60))).build();
    publish(&hub, "a", "old");
    tokio::time::advance(Duration::from_secs(50)).await;
    publish(&hub, "a", "new");
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(kept(&hub, "a"), ["new"]);
    tokio::time::advance(Duration::from_secs(60)).await;
    for _ in 0..4 {
        publish(&hub, "b", "x");
    }
    assert_eq!(hub.topic_count(), 1, "an unheld topic without an event is removed");
}

#[test]
fn names_of_clients_do_not_fill_a_hub() {
    let hub = Hub::builder().max_topics(3).build();
    let event = hub.topic("has an event").unwrap();
    event.publish(Event::new("1")).try_result().unwrap();
    let held = hub.topic("is held").unwrap();
    for number in 0..100 {
        let gone = hub.subscribe(format!("nobody {number}")).unwrap();
        drop(gone);
        let mut watched = hub.subscribe(format!("somebody {number}")).unwrap();
        assert!(watched.next().now_or_never().is_some());
    }
    assert_eq!(hub.topic_count(), 2);
    let third = hub.subscribe("third").unwrap();
    let error = hub.subscribe("fourth").unwrap_err();
    assert_eq!(error.to_string(), "topic unavailable");
    drop((held, third, event));
    assert_eq!(hub.topic("fourth").unwrap().name(), "fourth");
}

#[test]
fn any_text_is_a_name_up_to_256_bytes() {
    let hub = Hub::new();
    for name in ["", "\r\n\0data: x", "ünï", &"x".repeat(256)] {
        publish(&hub, name, "1");
        assert_eq!(kept(&hub, name), ["1"]);
    }
    let error = hub.topic("x".repeat(257)).unwrap_err();
    assert_eq!(error.to_string(), "topic name of 257 bytes exceeds the limit of 256");
    assert!(!error.is_full());
    let error = hub.subscribe(Subscribe::to_all([""; 0])).unwrap_err();
    assert_eq!(error.to_string(), "subscription names no topic");
    let error = hub.subscribe(Subscribe::to("a").member("x".repeat(129))).unwrap_err();
    assert_eq!(error.to_string(), "member of 129 bytes exceeds the limit of 128");
}

#[tokio::test]
async fn full_hub_refuses_with_later_and_invalid_names_for_good() {
    let hub = Hub::builder().max_topics(1).build();
    let _only = hub.topic("only").unwrap();
    for (path, status) in [("/only", 200), ("/full", 200), (&*format!("/{}", "x".repeat(300)), 400)] {
        let layer = SseLayer::new(hub.service(|head| Subscribe::to(&head.uri().path()[1..])));
        let inside = tower::service_fn(|_: Request<()>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
        });
        let request = Request::get(path).header(ACCEPT, "text/event-stream").body(()).unwrap();
        let response = layer.layer(inside).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::from_u16(status).unwrap(), "{path}");
        if path == "/full" {
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
            assert!(body.starts_with(b":\nretry: 1"), "{body:?}");
        }
    }
}

#[test]
fn removed_topics_leave_no_memory_behind() {
    let hub = Hub::new();
    for number in 0..10 {
        let topic = hub.topic(number.to_string()).unwrap();
        topic.publish_keyed("x", Event::new("x")).try_result().unwrap();
        topic.close(Event::new("last")).try_result().unwrap();
    }
    assert_eq!((hub.topic_count(), hub.bytes_used()), (0, 0));
}
