//! A subscriber whose client does not read is detached long before its connection ends.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use http::Request;
use tokio::time::sleep;
use tower::Layer;
use tower_sse::{
    Event, RequestHead, SseLayer,
    hub::{Hub, Subscribe, Topic},
    streams::Streams,
};

use super::{Inside, SECOND, ask_for};
use crate::{
    backplane::manual::Manual,
    support::{Reading, Recording, get},
};

/// Returns the query, as the user's name.
fn user(head: &RequestHead<'_>) -> Option<Arc<str>> {
    head.uri().query().map(Arc::from)
}

fn of(user: &str) -> Request<String> {
    let mut request = get();
    *request.uri_mut() = format!("/?{user}").parse().unwrap();
    request
}

fn member(head: &RequestHead<'_>) -> Subscribe {
    Subscribe::to("room").member(user(head).unwrap_or_default())
}

fn is_done(topic: &Topic) -> bool {
    topic.wait_for_readers(0).now_or_never().is_some()
}

fn members(topic: &Topic) -> (String, usize) {
    (topic.presence().members().join(" "), topic.presence().count())
}

#[tokio::test(start_paused = true)]
async fn stalled_reader_is_not_waited_for_and_not_present() {
    let (hub, recording) = (Hub::new(), Recording::default());
    let room = hub.topic("room").unwrap();
    let streams = Streams::builder().stall_timeout(8 * SECOND).build();
    let service =
        SseLayer::new(hub.service(member)).streams(&streams).observer(recording.clone()).stream_key(user).layer(Inside);
    let mut stalled = Reading::new(ask_for(&service, of("alice")).await.into_body());
    let mut reads = Reading::new(ask_for(&service, of("bob")).await.into_body());
    for body in [&mut stalled, &mut reads] {
        assert_eq!(body.next().await.unwrap(), ":\n");
        assert!(body.next().await.unwrap().contains("subscribed"));
    }
    room.publish(Event::new("1")).try_result().unwrap();
    assert!(reads.next().await.unwrap().contains("data: 1"));
    assert!(reads.poll_once().is_pending());
    assert_eq!((members(&room), is_done(&room)), (("alice bob".into(), 2), false));
    let mut changes = Box::pin(room.presence().changes());
    assert_eq!(changes.next().await.unwrap().count, 2);
    let waits = tokio::spawn({
        let room = room.clone();
        async move { room.wait_for_readers(0).await }
    });

    sleep(11 * SECOND).await;
    assert!(waits.is_finished(), "the publisher continues");
    assert_eq!(members(&room), ("bob".into(), 1));
    assert_eq!(*changes.next().await.unwrap().left, [Arc::from("alice")]);

    // Her reader id stays reserved: a new reader has another one, and stays when her connection ends at last.
    let mut third = Reading::new(ask_for(&service, of("carol")).await.into_body());
    while third.poll_once().is_ready() {}
    let rest = stalled.rest().await;
    assert!(rest.iter().all(|frame| !frame.contains("data")), "{rest:?}");
    drop(stalled);
    room.publish(Event::new("2")).try_result().unwrap();
    assert_eq!((members(&room), is_done(&room)), (("bob carol".into(), 2), false), "the other readers are waited for");
    for body in [&mut reads, &mut third] {
        while body.poll_once().is_ready() {}
    }
    assert!(is_done(&room));
    drop((reads, third));
    assert_eq!(members(&room), (String::new(), 0));
    assert_eq!(recording.closed().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn logged_out_member_leaves_the_presence_at_once() {
    for reads in [false, true] {
        let hub = Hub::new();
        let (room, streams) = (hub.topic("room").unwrap(), Streams::new());
        let service = SseLayer::new(hub.service(member)).streams(&streams).stream_key(user).layer(Inside);
        let mut body = Reading::new(ask_for(&service, of("alice")).await.into_body());
        for _ in 0..2 {
            body.next().await.unwrap();
        }
        if reads {
            assert!(body.poll_once().is_pending());
        }
        assert_eq!(members(&room), ("alice".into(), 1));
        assert_eq!(streams.end_key("alice", "logged out"), 1);
        if reads {
            body.rest().await;
        }
        assert_eq!(members(&room), (String::new(), 0), "reads: {reads}");
        drop(room);
        drop(body);
        assert_eq!(hub.topic_count(), 0, "an empty topic is removed with its last hold");
    }
}

/// A subscription with bounds is created again in a new epoch, and was detached as the one before.
#[tokio::test(start_paused = true)]
async fn stalled_reader_is_not_present_in_another_epoch() {
    for bounded in [false, true] {
        let (hub, feed) = Manual::build(Hub::builder()).await;
        feed.begin_epoch(1, 0);
        feed.synced_through(0);
        let room = hub.topic("room").unwrap();
        let streams = Streams::builder().stall_timeout(8 * SECOND).build();
        let subscribe = move |head: &RequestHead<'_>| member(head).not_older_than(bounded.then_some(60 * SECOND));
        let service = SseLayer::new(hub.service(subscribe)).streams(&streams).stream_key(user).layer(Inside);
        let mut stalled = Reading::new(ask_for(&service, of("alice")).await.into_body());
        assert_eq!(stalled.next().await.unwrap(), ":\n");
        assert!(stalled.next().await.unwrap().contains("subscribed"));
        assert!(stalled.poll_once().is_pending());
        let mut changes = Box::pin(room.presence().changes());
        assert_eq!(changes.next().await.unwrap().count, 1);
        for epoch in 2..4 {
            feed.begin_epoch(epoch, 0);
            assert!(!bounded || stalled.poll_once().is_pending(), "the subscription waits for its node");
            feed.synced_through(0);
            assert!(stalled.next().await.unwrap().contains("event: gap"));
            assert_eq!(members(&room), ("alice".into(), 1), "bounded: {bounded}");
        }
        assert!(changes.next().now_or_never().is_none(), "she has not left meanwhile");

        sleep(11 * SECOND).await;
        assert_eq!(members(&room), (String::new(), 0), "bounded: {bounded}");
        drop(stalled);
        assert_eq!(members(&room), (String::new(), 0));
    }
}
