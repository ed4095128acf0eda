//! Layers stacked by mistake, and streams that meet a layer in any way: one heartbeat, one prelude.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_sse::{
    BodyError, Event, Events, Heartbeat, Refusal, Source, SseLayer, StreamSettings, middleware::NoEvents,
    observe::Observer,
};

use crate::support::{
    Hang, Reading, Recording, Wait, answers, answers_after, ask, bytes, error, event, events, get, stream,
};

const SECOND: Duration = Duration::from_secs(1);

/// A minute of silence, then an event.
fn quiet() -> Events<impl Source> {
    events([Wait(60_000), event("a")])
}

fn outer() -> SseLayer<NoEvents> {
    SseLayer::decorate().heartbeat(10 * SECOND).retry(SECOND)
}

/// Asserts that a body that is [`quiet`] has one prelude, this one, and one heartbeat each 8 to 10 s.
async fn assert_one_of_each(body: impl Body<Data = Bytes, Error = BodyError>, prelude: &str) {
    let mut frames = Reading::new(body).frames_within(100 * SECOND).await;
    assert_eq!(frames.remove(0), (0, String::from(prelude)));
    assert_eq!(frames.pop().unwrap(), (60_000, String::from("data: a\n\n")));
    assert!(frames.iter().all(|(_, text)| text == ":\n"), "{frames:?}");
    let mut last = 0;
    for (at, _) in &frames {
        assert!((7_999..=10_001).contains(&(at - last)), "one heartbeat: {frames:?}");
        last = *at;
    }
    assert!(60_000 - last <= 10_001);
}

#[tokio::test(start_paused = true)]
async fn decorate_over_new_leaves_its_streams_unchanged() {
    let inner = SseLayer::new(answers(quiet())).heartbeat(10 * SECOND).retry(2 * SECOND);
    let service = outer().heartbeat(9 * SECOND).layer(inner.layer(answers(Response::new(String::new()))));
    let response = service.oneshot(get()).await.unwrap();
    assert_one_of_each(response.into_body(), ":\nretry: 2000\n").await;
}

#[tokio::test(start_paused = true)]
async fn decorate_over_decorate_is_one() {
    let inner = SseLayer::decorate().heartbeat(10 * SECOND);
    let upstream = stream([Wait(60_000), bytes("data: a\n\n")]);
    let service = outer().heartbeat(9 * SECOND).layer(inner.layer(answers(upstream)));
    assert_one_of_each(service.oneshot(get()).await.unwrap().into_body(), ":\n").await;
}

#[tokio::test(start_paused = true)]
async fn new_over_new_is_the_outer_one() {
    let inner = SseLayer::new(answers(events([event("inner")]))).heartbeat(9 * SECOND);
    let outer = SseLayer::new(answers(quiet())).heartbeat(10 * SECOND);
    let service = outer.layer(inner.layer(answers(Response::new(String::new()))));
    let response = service.oneshot(get()).await.unwrap();
    let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["accept"]);
    assert_one_of_each(response.into_body(), ":\n").await;
}

#[tokio::test(start_paused = true)]
async fn layer_leaves_a_layered_event_service_unchanged() {
    let inner = SseLayer::new(answers(quiet())).heartbeat(10 * SECOND);
    let service = inner.layer(answers(Response::new(String::new())));
    let outer = SseLayer::new(service).heartbeat(9 * SECOND).retry(SECOND);
    let response = outer.layer(answers(Response::new(String::new()))).oneshot(get()).await.unwrap();
    assert_one_of_each(response.into_body(), ":\n").await;
}

#[tokio::test(start_paused = true)]
async fn late_event_service_with_its_own_layer_is_not_decorated_twice() {
    let inner = SseLayer::new(answers(quiet())).heartbeat(10 * SECOND);
    let dressed = inner.layer(answers(Response::new(String::new()))).oneshot(get()).await.unwrap();
    let outer = SseLayer::new(answers_after(1_000, Ok::<_, Refusal>(dressed))).commit_after(SECOND / 2);
    let outer = outer.heartbeat(9 * SECOND);
    let response = outer.layer(answers(Response::new(String::new()))).oneshot(get()).await.unwrap();
    let frames = Reading::new(response.into_body()).frames_within(100 * SECOND).await;
    assert_eq!(frames[0], (0, String::from(":\n")), "one prelude");
    let beats = &frames[1..frames.len() - 1];
    assert!(beats.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 7_999), "one heartbeat: {frames:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_layer_has_the_defaults() {
    let mut frames = Reading::new(Response::from(quiet()).into_body()).frames_within(100 * SECOND).await;
    assert_eq!(frames.remove(0), (0, String::from(":\n")));
    assert_eq!(frames.pop().unwrap(), (60_000, String::from("data: a\n\n")));
    assert!((4..=5).contains(&frames.len()), "12 to 15 s apart: {frames:?}");
}

#[tokio::test(start_paused = true)]
async fn layer_settings_fill_in_for_a_response_made_of_events() {
    let recording = Recording::default();
    let layer = outer().observer(recording.clone()).layer(answers(Response::from(quiet().retry(3 * SECOND))));
    assert_one_of_each(layer.oneshot(get()).await.unwrap().into_body(), ":\nretry: 3000\n").await;
    assert_eq!(recording.lines()[0], "opened GET /");
    assert_eq!(recording.closed().len(), 1);

    let own = Response::from(quiet().heartbeat(10 * SECOND));
    let service = outer().heartbeat(Heartbeat::off()).layer(answers(own));
    assert_one_of_each(service.oneshot(get()).await.unwrap().into_body(), ":\nretry: 1000\n").await;
}

#[tokio::test(start_paused = true)]
async fn only_the_innermost_layer_adds_bytes_and_each_observes() {
    let (recording, inner_recording) = (Recording::default(), Recording::default());
    let inner = outer().observer(inner_recording.clone()).layer(answers(Response::from(quiet())));
    let service = SseLayer::decorate().heartbeat(SECOND).retry(9 * SECOND).observer(recording.clone()).layer(inner);
    assert_one_of_each(service.oneshot(get()).await.unwrap().into_body(), ":\nretry: 1000\n").await;
    assert_eq!((recording.lines()[0].as_str(), recording.closed().len()), ("opened GET /", 1));
    assert_eq!(recording.lines(), inner_recording.lines());
}

#[tokio::test(start_paused = true)]
async fn observer_shared_by_layers_gets_each_report_once() {
    let recording = Recording::default();
    let shared: Arc<dyn Observer> = Arc::new(recording.clone());
    let layer = || SseLayer::decorate().observer(Arc::clone(&shared)).observer(Arc::clone(&shared));
    let cloned = layer();
    let inner =
        SseLayer::new(answers(quiet())).observer(Arc::clone(&shared)).layer(answers(Response::new(String::new())));
    let service = layer().layer(cloned.clone().layer(cloned.layer(inner)));
    drop(service.oneshot(get()).await.unwrap());
    assert_eq!(recording.lines(), ["opened GET /", "closed client gone after 0 ms: 0 events, 0 bytes, 0 heartbeats"]);
}

#[tokio::test(start_paused = true)]
async fn observers_of_nested_layers_each_see_the_whole_stream() {
    let layers = [Recording::default(), Recording::default(), Recording::default()];
    let [one, two, three] = layers.clone();
    let late = answers_after(2_000, Ok::<_, Refusal>(events([event("a"), error("broken")])));
    let inner = SseLayer::new(late).commit_after(None).observer(one).layer(answers(Response::new(String::new())));
    let middle = SseLayer::new(inner).commit_after(SECOND).observer(two).layer(answers(Response::new(String::new())));
    let service = SseLayer::decorate().observer(three).layer(middle);
    let mut body = Reading::new(service.oneshot(get()).await.unwrap().into_body());
    assert_eq!(body.rest().await.concat(), ":\ndata: a\n\n");
    for recording in &layers {
        assert_eq!(
            (recording.lines()[0].as_str(), recording.closed().len()),
            ("opened GET /", 1),
            "{:?}",
            recording.lines()
        );
        assert!(recording.closed()[0].starts_with("failed after ") && recording.closed()[0].ends_with(", broken"));
    }
    assert!(layers[2].closed()[0].starts_with("failed after 1000 ms: 1 events, 11 bytes"), "{:?}", layers[2].closed());
}

#[tokio::test(start_paused = true)]
async fn event_service_may_return_a_response_made_of_events() {
    let recording = Recording::default();
    let layer = SseLayer::new(answers(Response::from(quiet()))).heartbeat(10 * SECOND).observer(recording.clone());
    let response = layer.layer(answers(Response::new(String::new()))).oneshot(get()).await.unwrap();
    assert_eq!(response.headers()["vary"], "accept");
    assert_one_of_each(response.into_body(), ":\n").await;
    assert_eq!((recording.lines()[0].as_str(), recording.closed().len()), ("opened GET /", 1));
}

#[tokio::test(start_paused = true)]
async fn response_made_of_events_passes_an_unrelated_layer() {
    let layer = SseLayer::new(answers(events([event("other")]))).heartbeat(SECOND);
    let inside = Response::from(quiet().heartbeat(10 * SECOND));
    let response = layer.layer(answers(inside)).oneshot(Request::new(String::new())).await.unwrap();
    assert_one_of_each(response.into_body(), ":\n").await;
}

#[tokio::test(start_paused = true)]
async fn response_made_of_events_fails_with_the_layers_last_event() {
    let recording = Recording::default();
    let layer = outer().on_failure(Event::new("sorry")).observer(recording.clone());
    let service = layer.layer(answers(Response::from(events([event("a"), error("broken")]))));
    let body = service.oneshot(get()).await.unwrap().into_body();
    assert_eq!(Reading::new(body).rest().await, [":\nretry: 1000\n", "data: a\n\n", "data: sorry\n\n"]);
    assert!(recording.closed()[0].starts_with("failed") && recording.closed()[0].ends_with(", broken"));
}

#[tokio::test(start_paused = true)]
async fn dropping_an_unpolled_body_is_reported_as_its_end() {
    let recording = Recording::default();
    let service = outer().observer(recording.clone()).layer(answers(Response::from(quiet())));
    drop(service.oneshot(get()).await.unwrap());
    assert_eq!(recording.lines(), ["opened GET /", "closed client gone after 0 ms: 0 events, 0 bytes, 0 heartbeats"]);
}

#[tokio::test(start_paused = true)]
async fn response_with_a_replaced_body_is_decorated() {
    let recording = Recording::default();
    let replaced = Response::from(quiet()).map(|_| String::from("data: instead\n\n"));
    let service = outer().observer(recording.clone()).layer(answers(replaced));
    let body = service.oneshot(get()).await.unwrap().into_body();
    assert_eq!(Reading::new(body).rest().await, [":\nretry: 1000\n", "data: instead\n\n"]);
    assert_eq!((recording.lines()[0].as_str(), recording.closed().len()), ("opened GET /", 1));
}

#[tokio::test(start_paused = true)]
async fn refusal_passes_a_second_layer_unchanged() {
    let recording = Recording::default();
    let service = answers_after(0, Err::<Response<String>, _>(Refusal::later(SECOND)));
    let inner = SseLayer::new(service).layer(answers(Response::new(String::new())));
    let response = outer().observer(recording.clone()).layer(inner).oneshot(get()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    assert!(text.starts_with(":\nretry: 1") && text.lines().count() == 2, "{text}");
    assert_eq!(recording.lines(), ["refused GET 200 OK"], "the refusal is not a stream");
}

#[tokio::test(start_paused = true)]
async fn settings_of_a_plain_response_override_the_layers() {
    let mut response = stream([Wait(60_000), bytes("data: a\n\n")]);
    response.extensions_mut().insert(StreamSettings::new().heartbeat(10 * SECOND).retry(2 * SECOND));
    let service = outer().heartbeat(SECOND).layer(answers(response));
    assert_one_of_each(service.oneshot(get()).await.unwrap().into_body(), ":\nretry: 2000\n").await;

    let mut response = stream([Hang]);
    response.extensions_mut().insert(StreamSettings::new().heartbeat(Heartbeat::off()));
    let layer = SseLayer::new(answers(response)).heartbeat(SECOND);
    let response = layer.layer(answers(Response::new(String::new()))).oneshot(get()).await.unwrap();
    assert_eq!(Reading::new(response.into_body()).frames_within(100 * SECOND).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn head_through_two_layers_has_the_stream_head_and_no_body() {
    let inner = SseLayer::new(answers(Response::from(quiet())));
    let service = outer().layer(inner.layer(answers(Response::new(String::new()))));
    let response = service.oneshot(ask(http::Method::HEAD)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.body().is_end_stream());
}
