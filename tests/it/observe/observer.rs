//! Observers are notified of everything once and in order, and cannot affect a stream.

use std::time::Duration;

use http::{Method, Request, Response};
use tower::{Layer, ServiceExt};
use tower_sse::{
    Event, Refusal, RequestHead, SseLayer,
    observe::{Closed, Observer, Sent, StreamObserver},
};

use crate::support::{
    Hang, Panic, Reading, Recording, Wait, answers, ask, bytes, decorate, event, events, get, open, respond, stream,
};

#[tokio::test(start_paused = true)]
async fn stream_is_observed_from_its_opening_to_its_end() {
    let recording = Recording::default();
    let steps = [Wait(20_000), event("a"), event("b"), Wait(1_000), event("c")];
    let layer = SseLayer::new(answers(events(steps))).retry(Duration::from_secs(1)).observer(recording.clone());
    open(layer).await.rest().await;
    let expected = [
        "opened GET /",
        "sent 0 events, 14 bytes, 0 heartbeats",
        "sent 0 events, 2 bytes, 1 heartbeats",
        "first event after 20000 ms",
        "sent 2 events, 18 bytes, 0 heartbeats",
        "sent 1 events, 9 bytes, 0 heartbeats",
        "closed finished after 21000 ms: 3 events, 43 bytes, 1 heartbeats",
    ];
    assert_eq!(recording.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn last_event_counts_as_an_event() {
    let recording = Recording::default();
    let layer = SseLayer::new(answers(events([Panic]))).on_failure(Event::new("sorry")).observer(recording.clone());
    open(layer).await.rest().await;
    let expected = [
        "opened GET /",
        "sent 0 events, 2 bytes, 0 heartbeats",
        "first event after 0 ms",
        "sent 1 events, 13 bytes, 0 heartbeats",
        "closed panicked after 0 ms: 1 events, 15 bytes, 0 heartbeats",
    ];
    assert_eq!(recording.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn totals_are_the_sent_bytes_and_events() {
    let recording = Recording::default();
    let steps = (0..50).flat_map(|number| [event(&"x".repeat(number * 100)), Wait(u64::from(number % 7 == 0) * 9_000)]);
    let layer = SseLayer::new(answers(events(steps))).heartbeat(Duration::from_secs(2)).observer(recording.clone());
    let frames = open(layer).await.rest().await;
    let heartbeats = frames[1..].iter().filter(|frame| *frame == ":\n").count();
    assert!(heartbeats >= 8 * 4);
    let bytes: usize = frames.iter().map(String::len).sum();
    let closed = recording.closed();
    assert!(closed[0].ends_with(&format!(": 50 events, {bytes} bytes, {heartbeats} heartbeats")), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn other_responses_are_not_observed() {
    let recording = Recording::default();
    let layer = || SseLayer::new(answers(events([event("a")]))).observer(recording.clone());
    respond(layer(), Request::new(String::new())).await;
    respond(layer(), ask(Method::HEAD)).await;
    respond(layer(), ask(Method::POST)).await;
    let page = SseLayer::new(answers(Response::new(String::from("a page")))).observer(recording.clone());
    respond(page, get()).await;
    assert_eq!(recording.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn refusal_is_observed_with_its_source() {
    let recording = Recording::default();
    let service = || tower::service_fn(|_: Request<String>| async { refuse() });
    respond(SseLayer::new(service()).observer(recording.clone()), get()).await;
    respond(SseLayer::new(service()).observer(recording.clone()), ask(Method::HEAD)).await;
    let required = SseLayer::new(service()).negotiate(tower_sse::Negotiate::Require).observer(recording.clone());
    let wants_a_page = Request::get("/").header("accept", "text/html").body(String::new()).unwrap();
    respond(required, wants_a_page).await;
    assert_eq!(
        recording.lines(),
        [
            "refused GET 403 Forbidden, no ticket",
            "refused HEAD 403 Forbidden, no ticket",
            "refused GET 406 Not Acceptable",
        ]
    );
}

fn refuse() -> Result<Response<String>, Refusal> {
    Err(Refusal::status(http::StatusCode::FORBIDDEN).with_source("no ticket"))
}

/// Records what it can see of a request.
struct Sees(Recording);

impl Observer for Sees {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        let user: Option<&u32> = head.extensions().get();
        assert_eq!((head.headers()["x-who"].to_str().unwrap(), user), ("me", Some(&7)));
        self.0.opened(head)
    }
}

#[tokio::test(start_paused = true)]
async fn observed_head_is_the_original_request_head() {
    let recording = Recording::default();
    let mut request = get();
    *request.uri_mut() = "/events?room=5".parse().unwrap();
    request.headers_mut().insert("x-who", http::HeaderValue::from_static("me"));
    request.extensions_mut().insert(7_u32);
    let layer = SseLayer::new(answers(events([event("a")]))).observer(Sees(recording.clone()));
    let mut body = Reading::new(respond(layer, request).await.into_body());
    body.rest().await;
    assert_eq!(recording.lines()[0], "opened GET /events?room=5");
}

#[tokio::test(start_paused = true)]
async fn decorated_events_are_counted_for_any_split() {
    let recording = Recording::default();
    let text = b":c\n\nid: 1\n\ndata: 1\n\ndata\r\rdatas: no\n\nevent: x\r\ndata:2\r\n\r\ndata: cut";
    let steps = text.iter().flat_map(|&byte| [bytes([byte]), Wait(1)]);
    decorate(SseLayer::decorate().observer(recording.clone()), stream(steps)).await.rest().await;
    let (closed, bytes) = (recording.closed(), text.len() + ":\n".len());
    assert!(closed[0].contains(&format!(" 3 events, {bytes} bytes, 0 heartbeats")), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn named_heartbeat_is_not_counted_as_an_event() {
    let recording = Recording::default();
    let ping = tower_sse::Heartbeat::event(Duration::from_secs(1), &tower_sse::event_name!("ping"));
    let mut body =
        open(SseLayer::new(answers(events([Wait(1_500)]))).heartbeat(ping).observer(recording.clone())).await;
    body.rest().await;
    assert_eq!(recording.closed(), ["finished after 1500 ms: 0 events, 22 bytes, 1 heartbeats"]);
}

/// Panics at each call, and when it is dropped.
struct Hostile;

impl Observer for Hostile {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        assert_ne!(head.uri().path(), "/opened", "the observer panics");
        Some(Box::new(Self))
    }

    fn refused(&self, _: &RequestHead<'_>, _: &Refusal) {
        panic!("the observer panics");
    }
}

impl StreamObserver for Hostile {
    fn first_event(&mut self, _: Duration) {
        panic!("the observer panics");
    }

    fn sent(&mut self, _: &Sent) {
        panic!("the observer panics");
    }

    fn closed(&mut self, _: &Closed<'_>) {
        panic!("the observer panics");
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "the observer panics");
    }
}

#[tokio::test(start_paused = true)]
async fn observer_that_panics_ends_no_stream() {
    let hostile = std::mem::ManuallyDrop::new(std::sync::Arc::new(Hostile));
    let observer = || Forward(std::sync::Arc::clone(&hostile));
    for path in ["/", "/opened"] {
        let mut request = get();
        *request.uri_mut() = path.parse().unwrap();
        let layer = SseLayer::new(answers(events([event("a"), Wait(20_000), event("b")]))).observer(observer());
        let mut body = Reading::new(respond(layer, request).await.into_body());
        assert_eq!(body.rest().await, [":\n", "data: a\n\n", ":\n", "data: b\n\n"]);
    }
    let mut body = open(SseLayer::new(answers(events([Hang]))).observer(observer())).await;
    body.next().await;
    drop(body);

    let service = tower::service_fn(|_: Request<String>| async { refuse() });
    let inside = answers(Response::new(String::new()));
    let response = SseLayer::new(service).observer(observer()).layer(inside).oneshot(get()).await.unwrap();
    assert_eq!(response.status(), http::StatusCode::FORBIDDEN);
}

/// A hostile observer that its layer may drop.
struct Forward(std::sync::Arc<Hostile>);

impl Observer for Forward {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        self.0.opened(head)
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        self.0.refused(head, refusal);
    }
}
