//! Boxed events, and streams of one event or none.

use std::rc::Rc;

use futures_util::{StreamExt, stream};
use http::Response;
use tower_sse::{
    BoxError, BoxEvents, Event, Events, LocalBoxEvents, SseLayer,
    hub::{Hub, Subscribe},
};

use crate::support::{answers, decorate, get, open, respond};

/// Sources of different types as one type.
fn events(of: &str) -> BoxEvents {
    match of {
        "stream" => Events::new(stream::iter(["a", "b"]).map(Event::new)).boxed(),
        "failing" => Events::new(stream::iter([Err::<Event, _>("no")])).on_failure(Event::new("failed")).boxed(),
        "once" => Events::once(Event::new("a")).boxed(),
        _ => Events::empty().boxed(),
    }
}

#[tokio::test(start_paused = true)]
async fn boxed_sources_of_different_types_share_one_type() {
    for (of, frames) in [
        ("stream", &[":\n", "data: a\n\ndata: b\n\n"][..]),
        ("failing", &[":\n", "data: failed\n\n"]),
        ("once", &[":\n", "data: a\n\n"]),
        ("empty", &[":\n"]),
    ] {
        assert_eq!(open(SseLayer::new(answers(events(of)))).await.rest().await, frames, "{of}");
        assert_eq!(open(SseLayer::new(answers(events(of).boxed()))).await.rest().await, frames, "{of}, boxed twice");
    }
}

#[tokio::test(start_paused = true)]
async fn boxed_events_keep_their_settings_and_headers() {
    let events = Events::empty().retry(std::time::Duration::from_secs(2)).boxed();
    assert!(format!("{events:?}").contains("retry: Some(2s)"), "{events:?}");
    assert_eq!(open(SseLayer::new(answers(events))).await.rest().await, [":\nretry: 2000\n"]);
}

#[tokio::test(start_paused = true)]
async fn boxed_subscription_leaves_its_topic_with_the_body() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let events: BoxEvents = Events::from(hub.subscribe(Subscribe::to("a")).unwrap()).boxed();
    let mut body = open(SseLayer::new(answers(events))).await;
    assert_eq!(body.next().await.unwrap(), ":\n");
    assert!(body.next().await.is_some(), "the first position");
    assert!(body.poll_once().is_pending());
    assert_eq!(topic.presence().count(), 1);
    drop(body);
    assert_eq!(topic.presence().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn local_boxes_hold_streams_that_are_not_send() {
    let text = Rc::new("a");
    let events: LocalBoxEvents = Events::new(stream::iter([text]).map(|text| Event::new(*text))).boxed_local();
    let response = Response::from(events);
    assert_eq!(decorate(SseLayer::decorate(), response).await.rest().await, [":\n", "data: a\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn results_are_replies_of_services_as_of_functions() {
    let events: Result<Events<_>, BoxError> = Ok(Events::once(Event::new("a")));
    assert_eq!(open(SseLayer::new(answers(events))).await.rest().await, [":\n", "data: a\n\n"]);
    let refused: Result<BoxEvents, BoxError> = Err("no".into());
    assert_eq!(respond(SseLayer::new(answers(refused)), get()).await.status(), 500);
}
