//! axum handlers return events and resume clients, with a layer and without one.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::State,
    routing::{any, get},
};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_sse::{
    Events, LastEventId, Refusal, Reply, Source, SseLayer,
    streams::{OnDrain, Streams},
};

use crate::{
    streams::retry,
    support::{Reading, Wait, event, events},
};

async fn counts(State(from): State<u32>, last: Option<LastEventId>) -> Events<impl Source> {
    let last = last.map_or(String::from("nothing"), |last| String::from_utf8_lossy(last.as_bytes()).into_owned());
    events([event(&format!("{last} and {from}")), Wait(60_000), event("later")])
}

async fn full() -> Result<Events<impl Source>, Refusal> {
    Err::<Events<tower_sse::source::Never>, _>(Refusal::later(Duration::from_secs(1)))
}

fn app() -> Router<u32> {
    Router::new().route("/counts", get(counts)).route("/full", any(full)).route("/page", get("a page"))
}

async fn call(app: Router, request: http::request::Builder) -> http::Response<Body> {
    app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn frames(response: http::Response<Body>) -> Vec<(u64, String)> {
    Reading::new(response.into_body()).frames_within(Duration::from_secs(100)).await
}

#[tokio::test(start_paused = true)]
async fn handler_returns_events_without_a_layer() {
    let app = app().with_state(5);
    let response = call(app.clone(), Request::get("/counts").header("last-event-id", "größe".as_bytes())).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let frames = frames(response).await;
    assert_eq!(frames[1], (0, String::from("data: größe and 5\n\n")));
    assert!((7..=8).contains(&frames.len()), "a heartbeat each 12 to 15 s: {frames:?}");
    let response = call(app, Request::get("/counts")).await;
    assert!(response.into_body().frame().await.unwrap().unwrap().is_data());
}

#[tokio::test(start_paused = true)]
async fn layer_settings_apply_to_events_of_handlers() {
    let layer = SseLayer::decorate().heartbeat(Duration::from_secs(50)).retry(Duration::from_secs(1));
    let app = app().layer(layer).with_state(5);
    let frames = frames(call(app.clone(), Request::get("/counts")).await).await;
    assert_eq!(frames[0].1, ":\nretry: 1000\n");
    assert_eq!(frames[1].1, "data: nothing and 5\n\n");
    assert_eq!((frames[2].1.as_str(), frames.len()), (":\n", 4), "one heartbeat");
    let page = call(app, Request::get("/page")).await.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&page[..], b"a page");
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_an_event_service_and_sees_the_query_parameter() {
    use axum::handler::Handler;

    let layer = SseLayer::new(counts.with_state(5)).last_event_id_query("last");
    let app: Router = Router::new().route("/", get("a page")).layer(layer);
    let request = Request::get("/?last=7").header("accept", "text/event-stream");
    let frames = frames(call(app.clone(), request).await).await;
    assert_eq!(frames[1].1, "data: 7 and 5\n\n");
    let response = call(app.clone(), Request::head("/").header("accept", "text/event-stream")).await;
    assert_eq!((response.status(), response.headers().contains_key("content-type")), (StatusCode::OK, true));
    let page = call(app, Request::get("/")).await.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&page[..], b"a page");
}

#[tokio::test(start_paused = true)]
async fn handler_behind_decorate_sees_the_query_parameter() {
    let app = app().layer(SseLayer::decorate().last_event_id_query("last")).with_state(5);
    let frames = frames(call(app.clone(), Request::get("/counts?last=6&last=7")).await).await;
    assert_eq!(frames[1].1, "data: 7 and 5\n\n");
}

#[tokio::test(start_paused = true)]
async fn refusal_of_a_handler_without_a_layer_assumes_get() {
    let app = app().with_state(5);
    let response = call(app, Request::post("/full")).await;
    assert_eq!((response.status(), response.headers().contains_key("retry-after")), (StatusCode::OK, false));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b":\nretry: 1"), "one prelude: {body:?}");
}

#[tokio::test(start_paused = true)]
async fn head_request_to_a_handler_gets_the_stream_head() {
    let app = app().layer(SseLayer::decorate()).with_state(5);
    let response = call(app, Request::head("/counts")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn events_of_a_handler_are_drained_by_the_layer() {
    for on_drain in [OnDrain::Leave, OnDrain::Finish] {
        let streams = Streams::new();
        let handler = move || async move { events([event("a"), Wait(10_000), event("b")]).on_drain(on_drain) };
        let app: Router = Router::new().route("/", get(handler)).layer(SseLayer::decorate().streams(&streams));
        let response = call(app, Request::get("/")).await;
        assert_eq!(streams.len(), 1);
        // Before its first poll.
        streams.start_drain();
        let frames: Vec<_> = frames(response).await.into_iter().map(|(_, text)| text).collect();
        if on_drain == OnDrain::Finish {
            assert_eq!(frames, [":\n", "data: a\n\n", "data: b\n\n"]);
        } else {
            assert!(frames.len() == 2 && retry(&frames[1]).is_some(), "{frames:?}");
        }
        assert_eq!(streams.len(), 0);
    }
}

#[tokio::test]
async fn handler_returns_a_reply() {
    async fn stream() -> Reply<impl Source, Body> {
        Reply::<_, Body>::Events(events([event("a")]))
    }
    async fn page() -> Reply<tower_sse::source::Never, Body> {
        Reply::Response(http::Response::new(Body::from("a page")))
    }
    let app = Router::new().route("/stream", get(stream)).route("/page", get(page));
    let stream = call(app.clone(), Request::get("/stream")).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let page = call(app, Request::get("/page")).await;
    assert_eq!(page.into_body().collect().await.unwrap().to_bytes(), "a page");
}
