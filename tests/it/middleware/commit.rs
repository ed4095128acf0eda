//! A slow event service: the head is sent at the deadline, and of the late answer as much as possible.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{
    BoxError, Event, Events, Heartbeat, IntoReply, Negotiate, Refusal, SseLayer, StreamSettings, streams::Streams,
};

use crate::support::{
    Hang, Reading, Recording, Script, Wait, answers_after, ask, bytes, error, event, events, get, open, respond,
    stream, trailers,
};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the time of the head of this layer's answer in milliseconds, and its status.
async fn head<E>(layer: SseLayer<E>, request: Request<String>) -> (u128, StatusCode)
where
    E: Service<Request<String>, Response: IntoReply, Error: Into<Refusal>> + Clone,
{
    let start = Instant::now();
    let status = respond(layer, request).await.status();
    (start.elapsed().as_millis(), status)
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_deadline_keeps_its_status() {
    let unavailable = || Err::<Response<String>, _>(Refusal::status(StatusCode::SERVICE_UNAVAILABLE));
    let layer = SseLayer::new(answers_after(14_999, unavailable()));
    assert_eq!(head(layer, get()).await, (14_999, StatusCode::SERVICE_UNAVAILABLE));
    let layer = SseLayer::new(answers_after(2_000, unavailable())).commit_after(SECOND);
    assert_eq!(head(layer, get()).await, (1_000, StatusCode::OK));
    let layer = SseLayer::new(answers_after(600_000, unavailable())).commit_after(None);
    assert_eq!(head(layer, get()).await, (600_000, StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn always_has_no_commit_deadline_by_default() {
    let document = || Ok::<_, Refusal>(Response::builder().status(StatusCode::CREATED).body(String::new()).unwrap());
    let layer = SseLayer::new(answers_after(60_000, document())).negotiate(Negotiate::Always);
    assert_eq!(head(layer, get()).await, (60_000, StatusCode::CREATED));
    let layer = SseLayer::new(answers_after(60_000, document())).negotiate(Negotiate::Always).commit_after(SECOND);
    assert_eq!(head(layer, get()).await, (1_000, StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn head_is_sent_at_the_deadline_with_heartbeats_after_it() {
    let recording = Recording::default();
    let service = answers_after(30_000, Ok::<_, Refusal>(events([event("a"), Wait(60_000), event("b")])));
    let layer = SseLayer::new(service).heartbeat(Heartbeat::every(5 * SECOND)).observer(recording.clone());
    let response = respond(layer, get()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = Reading::new(response.into_body());
    let frames = body.frames_within(15 * SECOND).await;
    let beats = frames.iter().filter(|(_, text)| text == ":\n").count();
    assert!((4..=5).contains(&beats), "the prelude, and a heartbeat each 4 to 5 s: {frames:?}");
    assert_eq!(frames.last().unwrap(), &(15_000, String::from("data: a\n\n")));
    assert_eq!(body.rest().await.last().unwrap(), "data: b\n\n");
    assert!(recording.closed()[0].starts_with("finished after 75000 ms: 2 events"), "{:?}", recording.closed());
}

/// A layer whose event service answers this half a second after the head.
fn late<T>(answer: Result<T, Refusal>) -> SseLayer<impl Service<Request<String>, Response = T, Error = Refusal> + Clone>
where
    T: IntoReply,
{
    SseLayer::new(answers_after(1_500, answer)).commit_after(SECOND)
}

#[tokio::test(start_paused = true)]
async fn late_events_have_their_own_settings_and_lose_their_headers() {
    let own = events([event("a"), Wait(4_500), error("broken")])
        .header(http::header::CACHE_CONTROL, http::HeaderValue::from_static("private"))
        .retry(2 * SECOND)
        .heartbeat(Heartbeat::event(2 * SECOND, &tower_sse::event_name!("ping")))
        .on_failure(Event::new("own"));
    let layer = late(Ok(own)).on_failure(Event::new("layer's")).retry(SECOND);
    let response = respond(layer, get()).await;
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
    let ping = "event: ping\ndata: \n\n";
    let frames = Reading::new(response.into_body()).rest().await;
    assert_eq!(frames, [":\nretry: 1000\n", "retry: 2000\n", "data: a\n\n", ping, ping, "data: own\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn late_events_without_settings_keep_the_layers() {
    let layer = late(Ok(events([Wait(2_500), error("broken")]))).on_failure(Event::new("layer's")).heartbeat(SECOND);
    let frames = open(layer).await.rest().await;
    assert_eq!(frames.iter().filter(|frame| *frame == ":\n").count(), frames.len() - 1);
    assert!((3..=5).contains(&frames.len()), "{frames:?}");
    assert_eq!(frames.last().unwrap(), "data: layer's\n\n");
}

#[tokio::test(start_paused = true)]
async fn late_events_end_at_their_own_deadline() {
    let recording = Recording::default();
    let layer = late(Ok(events([Hang]).deadline(Instant::now() + 4 * SECOND))).observer(recording.clone());
    let frames = open(layer).await.frames_within(60 * SECOND).await;
    assert_eq!(frames.last().unwrap().0, 3_000, "the second before the head is subtracted");
    assert!(frames.last().unwrap().1.starts_with("retry: "));
    assert!(recording.closed()[0].starts_with("deadline after 3000 ms"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn late_event_stream_is_spliced_in() {
    let recording = Recording::default();
    let mut response = stream([bytes("\u{feff}data: a\n"), Wait(20_000), bytes("\ndata: b\n\n"), trailers("x-sum")]);
    response.extensions_mut().insert(StreamSettings::new().heartbeat(15 * SECOND));
    let frames = open(late(Ok(response)).heartbeat(Heartbeat::off()).observer(recording.clone())).await.rest().await;
    assert_eq!(frames, [":\n", "data: a\n", ":\n", "\ndata: b\n\n", "trailers Some([\"x-sum\"])"]);
    assert_eq!(recording.closed(), ["finished after 20500 ms: 2 events, 22 bytes, 1 heartbeats"]);
}

#[tokio::test(start_paused = true)]
async fn late_stream_of_this_crate_has_one_prelude_and_one_heartbeat() {
    let own = events([Wait(100_000), event("a")]).retry(2 * SECOND);
    let frames = open(late(Ok(Response::from(own))).heartbeat(10 * SECOND)).await.frames_within(200 * SECOND).await;
    assert_eq!(frames[..2], [(0, String::from(":\n")), (500, String::from("retry: 2000\n"))]);
    let (last, beats) = frames[2..].split_last().unwrap();
    assert!(beats.iter().all(|(_, text)| text == ":\n"));
    assert!(beats.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 7_999), "one heartbeat: {frames:?}");
    assert_eq!(last, &(100_500, String::from("data: a\n\n")));
}

#[tokio::test(start_paused = true)]
async fn late_events_of_a_handler_continue_the_outer_stream() {
    let recording = Recording::default();
    let own = events([event("a"), Wait(20_000), event("b"), error("broken")]);
    let layer = late(Ok(Response::from(own))).on_failure(Event::new("layer's")).observer(recording.clone());
    assert_eq!(open(layer).await.rest().await, [":\n", "data: a\n\n", ":\n", "data: b\n\ndata: layer's\n\n"]);
    assert_eq!(recording.closed(), ["failed after 20500 ms: 3 events, 37 bytes, 1 heartbeats, broken"]);
    assert!(recording.lines().contains(&String::from("first event after 500 ms")));
}

#[tokio::test(start_paused = true)]
async fn late_refusal_is_reported_by_the_last_event() {
    let forbidden = Refusal::status(StatusCode::FORBIDDEN).with_source("no ticket");
    let cases = [(Refusal::stop(), 204, ""), (forbidden, 403, ", no ticket"), (broken(), 500, ", broken")];
    for (refusal, status, reason) in cases {
        let recording = Recording::default();
        let layer =
            late(Err::<Response<String>, _>(refusal)).on_failure(Event::new("sorry")).observer(recording.clone());
        let last = format!("event: refused\ndata: {{\"status\":{status}}}\n\n");
        assert_eq!(open(layer).await.rest().await, [":\n", &last]);
        let bytes = last.len() + 2;
        assert_eq!(
            recording.closed(),
            [format!("refused after 500 ms: 1 events, {bytes} bytes, 0 heartbeats{reason}")]
        );
        assert!(!recording.lines().iter().any(|line| line.starts_with("refused")), "the head was out");
    }
}

fn broken() -> Refusal {
    BoxError::from("broken").into()
}

#[tokio::test(start_paused = true)]
async fn late_later_is_a_retry_and_a_clean_end() {
    let recording = Recording::default();
    let layer = late(Err::<Response<String>, _>(Refusal::later(10 * SECOND))).observer(recording.clone());
    let frames = open(layer).await.rest().await;
    let retry: u64 = frames[1].strip_prefix("retry: ").unwrap().trim_end().parse().unwrap();
    assert!((10_000..=15_000).contains(&retry));
    assert_eq!(frames.len(), 2);
    assert!(recording.closed()[0].starts_with("refused after 500 ms: 0 events"));
}

/// `identity`, `none` and an empty value are no coding.
#[tokio::test(start_paused = true)]
async fn late_event_stream_without_coding_is_spliced_in() {
    for (status, coding) in
        [(200, "identity"), (200, "none"), (200, ""), (201, "identity"), (202, ""), (203, ""), (226, "")]
    {
        let recording = Recording::default();
        let response = Response::builder().status(status).header("content-type", "text/event-stream");
        let response = response.header("content-encoding", coding).body(String::from("data: a\n\n")).unwrap();
        let frames = open(late(Ok(response)).observer(recording.clone())).await.rest().await;
        assert_eq!(frames, [":\n", "data: a\n\n"], "{status} {coding:?}");
        assert!(recording.closed()[0].starts_with("finished after 500 ms: 1 events"), "{:?}", recording.closed());
    }
}

#[tokio::test(start_paused = true)]
async fn late_answer_of_another_kind_is_reported_by_the_last_event() {
    let html = Response::new(String::from("<p>"));
    let missing = Response::builder().status(404).body(String::new()).unwrap();
    let coded = Response::builder()
        .header("content-type", "text/event-stream")
        .header("content-encoding", "gzip")
        .body(String::from("\x1f"))
        .unwrap();
    for (response, status) in [(html, 200), (missing, 404), (coded, 200)] {
        let frames = open(late(Ok(response))).await.rest().await;
        assert_eq!(frames, [":\n", &format!("event: refused\ndata: {{\"status\":{status}}}\n\n")]);
    }
}

/// The head went out without a coding, and another one cannot follow.
#[tokio::test(start_paused = true)]
async fn late_stream_in_a_coding_ends_and_frees_its_slot() {
    let why = "coded or partial event stream answered after the response head was sent";
    let heads =
        [("content-encoding", "gzip", 200), ("content-encoding", "br", 201), ("content-range", "bytes 0-9/20", 206)];
    for ((name, value, status), method) in
        heads.into_iter().flat_map(|head| [(head, Method::GET), (head, Method::POST)])
    {
        let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
        let response = Response::builder().status(status).header("content-type", "text/event-stream");
        let response = response.header(name, value).body(String::from("\x1f")).unwrap();
        let layer = late(Ok(response)).streams(&streams).observer(recording.clone());
        let request = ask(method.clone());
        let mut body = Reading::new(respond(layer.methods([Method::GET, Method::POST]), request).await.into_body());
        let frames = body.rest().await;
        let refused = format!("event: refused\ndata: {{\"status\":{status}}}\n\n");
        let error = format!("error {why}");
        let expected = [":\n", &refused, &error];
        assert_eq!(frames, expected[..if method == Method::POST { 3 } else { 2 }], "{name}");
        assert!(recording.closed()[0].starts_with("refused after 500 ms: 1 events"), "{:?}", recording.closed());
        assert!(recording.closed()[0].ends_with(why), "{:?}", recording.closed());
        assert_eq!((recording.closed().len(), streams.len()), (1, 0), "while the body still exists");
    }
}

#[tokio::test(start_paused = true)]
async fn late_panic_ends_the_stream_like_any_panic() {
    let recording = Recording::default();
    let service = service_fn(|_: Request<String>| async {
        sleep(2 * SECOND).await;
        answers_nothing()
    });
    let layer = SseLayer::new(service).commit_after(SECOND).on_failure(Event::new("sorry")).observer(recording.clone());
    assert_eq!(open(layer).await.rest().await, [":\n", "data: sorry\n\n"]);
    assert_eq!(recording.closed(), ["panicked after 1000 ms: 1 events, 15 bytes, 0 heartbeats"]);
}

fn answers_nothing() -> Result<Response<String>, Refusal> {
    panic!("the event service panics")
}

#[tokio::test(start_paused = true)]
async fn panic_before_the_head_propagates() {
    let layer = SseLayer::new(service_fn(|_: Request<String>| async { answers_nothing() }));
    let mut response = Box::pin(respond(layer, get()));
    let mut cx = Context::from_waker(Waker::noop());
    let caught = catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(&mut cx).is_ready()));
    assert!(caught.is_err());
}

/// A service that holds this value during its call, for ever.
fn hangs_with<T>(held: T) -> impl Service<Request<String>, Response = Response<String>, Error = Refusal> + Clone {
    let held = Arc::new(Mutex::new(Some(held)));
    service_fn(move |_: Request<String>| {
        let held = held.lock().unwrap().take();
        async move {
            let _held = held;
            pending().await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn event_service_stops_when_the_client_leaves() {
    for after_head in [false, true] {
        let script = Script::<Event>::new([Hang]);
        let life = script.life();
        let recording = Recording::default();
        let layer =
            SseLayer::new(hangs_with(script)).commit_after(after_head.then_some(SECOND)).observer(recording.clone());
        let answer = tokio::time::timeout(5 * SECOND, respond(layer, get())).await;
        assert_eq!(answer.is_ok(), after_head);
        drop(answer);
        assert!(life.is_dropped());
        let gone = recording.closed().iter().filter(|line| line.starts_with("client gone")).count();
        assert_eq!(gone, usize::from(after_head));
    }
}

#[tokio::test(start_paused = true)]
async fn head_request_is_answered_at_the_deadline() {
    let script = Script::<Event>::new([Hang]);
    let life = script.life();
    let layer = late(Ok(Events::new(script)));
    assert_eq!(head(layer, ask(Method::HEAD)).await, (1_000, StatusCode::OK));
    assert!(life.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn inner_service_has_no_commit_deadline() {
    let start = Instant::now();
    let inside = answers_after(600_000, Ok::<_, Refusal>(stream([bytes("data: a\n\n")])));
    let layer = SseLayer::decorate().commit_after(SECOND);
    let response = layer.layer(inside).oneshot(get()).await.unwrap();
    assert_eq!(start.elapsed(), 600 * SECOND);
    assert_eq!(Reading::new(response.into_body()).rest().await, [":\n", "data: a\n\n"]);
}
