//! Limits of open streams: new requests are refused, no stream is evicted, and other responses count for nothing.

use std::{
    future::ready,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{
    BoxError, IntoReply, Refusal, RequestHead, Sse, SseLayer,
    middleware::NoEvents,
    observe::{Observer, StreamObserver},
    streams::Streams,
};

use super::{Endless, Inside, SECOND, ask_for, endless, open_end, read, serve};
use crate::support::{Hang, Reading, Recording, Script, answers, answers_after, ask, bytes, get, stream};

/// Returns the query, as the user's name.
fn user(head: &RequestHead<'_>) -> Option<Arc<str>> {
    assert_ne!(head.uri().query(), Some("panic"), "the key function panics");
    head.uri().query().map(Arc::from)
}

fn of(user: &str) -> Request<String> {
    let mut request = get();
    *request.uri_mut() = format!("/?{user}").parse().unwrap();
    request
}

fn by_user(streams: &Streams, recording: &Recording) -> Sse<Inside, Endless> {
    serve(&endless(streams, recording).stream_key(user))
}

/// Returns whether the body is a stream of unknown length, and not a few bytes with a `retry:`.
async fn is_a_stream(service: &Sse<Inside, Endless>, request: Request<String>) -> bool {
    ask_for(service, request).await.body().size_hint().upper().is_none()
}

#[tokio::test(start_paused = true)]
async fn stream_beyond_the_limit_is_refused_and_none_ended() {
    let (streams, recording) =
        (Streams::builder().max_streams(2).retry_after(2 * SECOND).build(), Recording::default());
    let service = serve(&endless(&streams, &recording).methods([Method::GET, Method::POST]));
    let mut first = [read(&service).await, read(&service).await];
    for method in [Method::GET, Method::POST] {
        let response = ask_for(&service, ask(method.clone())).await;
        let is_get = method == Method::GET;
        assert_eq!(response.status(), if is_get { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE });
        assert_eq!(response.headers().contains_key("retry-after"), !is_get);
    }
    let full = "stream limit reached";
    let refused = [format!("refused GET 200 OK, {full}"), format!("refused POST 503 Service Unavailable, {full}")];
    assert_eq!(recording.lines()[2..], refused);
    for body in &mut first {
        assert_eq!(body.next().await.unwrap(), ":\n");
        assert_eq!(body.next().await.unwrap(), "data: a\n\n");
    }
    drop(first);
    assert_eq!(streams.len(), 0);
    assert!(is_a_stream(&service, ask(Method::POST)).await);
}

#[tokio::test(start_paused = true)]
async fn limit_per_key_does_not_apply_without_a_key() {
    let (streams, recording) = (Streams::builder().max_per_key(2).build(), Recording::default());
    let service = by_user(&streams, &recording);
    let mut held = Vec::new();
    for request in [of("a"), of("a"), of("b"), of("b"), get(), get(), get(), get()] {
        held.push(ask_for(&service, request).await);
    }
    assert_eq!(
        (streams.len(), streams.len_for_key("a"), streams.len_for_key("b"), streams.len_for_key("")),
        (8, 2, 2, 0)
    );
    ask_for(&service, of("a")).await;
    assert_eq!(recording.lines()[8], "refused GET 200 OK, stream limit for this key reached");
    held.remove(0);
    assert_eq!(streams.len_for_key("a"), 1);
    assert!(is_a_stream(&service, of("a")).await);
    drop(held);
    assert_eq!((streams.len(), streams.len_for_key("a")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn other_responses_take_no_permit() {
    let (streams, recording) = (Streams::builder().max_streams(0).build(), Recording::default());
    let service = serve(&endless(&streams, &recording));
    let page = ask_for(&service, Request::new(String::new())).await;
    assert_eq!(page.headers().get("content-type"), None);
    let post = ask_for(&service, ask(Method::POST)).await;
    assert_eq!(post.status(), StatusCode::OK);
    assert_eq!(recording.lines(), [""; 0]);
}

/// A layer whose event service counts its calls, and returns the number of streams during each.
fn counts_runs(
    streams: &Streams,
    runs: &Arc<AtomicUsize>,
) -> SseLayer<impl Service<Request<String>, Response: IntoReply, Error = Refusal> + Clone> {
    let (handle, runs) = (streams.clone(), Arc::clone(runs));
    let events = service_fn(move |_: Request<String>| {
        runs.fetch_add(1, SeqCst);
        assert_eq!(handle.len(), 1, "the call has a permit");
        ready(Ok::<_, Refusal>(open_end()))
    });
    SseLayer::new(events).streams(streams)
}

#[tokio::test(start_paused = true)]
async fn head_request_is_admitted_like_others() {
    let draining = Streams::new();
    draining.start_drain();
    let (full, per_key) = (Streams::builder().max_streams(0).build(), Streams::builder().max_per_key(0).build());
    for (streams, why) in [
        (draining, "streams are being drained"),
        (full, "stream limit reached"),
        (per_key, "stream limit for this key reached"),
    ] {
        let (recording, runs) = (Recording::default(), Arc::default());
        let service =
            serve(&counts_runs(&streams, &runs).stream_key(|_| Some("me".into())).observer(recording.clone()));
        for _ in 0..100 {
            let head = ask_for(&service, ask(Method::HEAD)).await;
            assert_eq!(head.headers()["content-type"], "text/event-stream", "a refusal to retry");
            assert!(head.body().is_end_stream());
        }
        assert_eq!(runs.load(SeqCst), 0, "{why}");
        assert_eq!(recording.lines(), vec![format!("refused HEAD 200 OK, {why}"); 100]);
    }
}

#[tokio::test(start_paused = true)]
async fn head_request_releases_its_permit_with_the_head() {
    let (streams, runs) = (Streams::builder().max_streams(1).build(), Arc::default());
    let mut answered = pin!(serve(&counts_runs(&streams, &runs)).call(ask(Method::HEAD)));
    let head = answered.as_mut().await.unwrap();
    assert_eq!((runs.load(SeqCst), streams.len()), (1, 0));
    drop(head);
    assert!(is_a_stream(&serve(&endless(&streams, &Recording::default())), get()).await);
}

/// Returns the number of open streams while the completed future of the response still exists.
async fn open_beside<E>(streams: &Streams, layer: SseLayer<E>) -> usize
where
    E: Service<Request<String>, Response: IntoReply, Error: Into<Refusal>> + Clone,
{
    let mut answered = pin!(serve(&layer.streams(streams)).call(get()));
    answered.as_mut().await.unwrap();
    streams.len()
}

#[tokio::test(start_paused = true)]
async fn other_answers_release_their_permit_at_once() {
    let streams = Streams::new();
    let refused = answers_after(0, Err::<Response<String>, _>(Refusal::stop()));
    assert_eq!(open_beside(&streams, SseLayer::new(refused)).await, 0);
    let page = answers(Response::new(String::from("a page")));
    assert_eq!(open_beside(&streams, SseLayer::new(page)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn client_that_leaves_before_the_answer_releases_its_permit() {
    let streams = Streams::new();
    let never = answers_after(1_000_000, Ok::<_, Refusal>(Response::new(String::new())));
    let service = serve(&SseLayer::new(never).commit_after(None).streams(&streams));
    let asked = service.oneshot(get());
    assert!(timeout(SECOND, asked).await.is_err());
    assert_eq!(streams.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn decorated_streams_count_and_pages_do_not() {
    let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
    let layer = SseLayer::decorate().streams(&streams).observer(recording.clone());
    let script = Script::new([bytes("data: a\n\n"), Hang]);
    let life = script.life();
    let first = decorated(&layer, stream([bytes("data: a\n\n"), Hang])).await;
    assert_eq!(streams.len(), 1);

    let second =
        layer.layer(answers(Response::builder().header("content-type", "text/event-stream").body(script).unwrap()));
    let response = second.oneshot(get()).await.unwrap();
    assert_eq!((response.status(), life.polls(), life.is_dropped()), (StatusCode::OK, 0, true));
    assert_eq!(recording.lines()[1..], ["refused GET 200 OK, stream limit reached"]);

    let page = layer.layer(answers(Response::new(String::from("a page")))).oneshot(get()).await.unwrap();
    assert_eq!((page.status(), streams.len()), (StatusCode::OK, 1));
    drop(first);
    assert_eq!(streams.len(), 0);
}

async fn decorated<B>(layer: &SseLayer<NoEvents>, response: Response<B>) -> Response<impl http_body::Body>
where
    B: http_body::Body<Error: Into<BoxError>>,
{
    layer.layer(answers(response)).oneshot(get()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn panicking_key_function_fails_only_its_request() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let service = by_user(&streams, &recording);
    let mut other = Reading::new(ask_for(&service, of("b")).await.into_body());
    let response = ask_for(&service, of("panic")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let why = "stream key function panicked";
    assert_eq!(recording.lines()[1..], [format!("refused GET 500 Internal Server Error, {why}")]);
    assert_eq!((streams.len(), other.frames_within(SECOND).await.len()), (1, 2));

    // A request for a stream is refused, and so is an answer with one. Other answers pass.
    let layer = SseLayer::decorate().streams(&streams).stream_key(user);
    let inside = stream([bytes("data: a\n\n"), Hang]);
    let response = layer.layer(answers(inside)).oneshot(of("panic")).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let post = || Request::post("/?panic").body(String::new()).unwrap();
    let response = layer.layer(answers(stream([Hang]))).oneshot(post()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let response = layer.layer(answers(Response::new(String::new()))).oneshot(post()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn layers_with_the_same_streams_count_together() {
    let (streams, recording) = (Streams::builder().max_streams(2).build(), Recording::default());
    let one = serve(&endless(&streams, &recording));
    let layer = SseLayer::decorate().streams(&streams);
    let _first = read(&one).await;
    let _second = decorated(&layer, stream([bytes("data: a\n\n"), Hang])).await;
    assert_eq!(streams.len(), 2);
    ask_for(&one, get()).await;
    assert_eq!(recording.lines().len(), 2);
    assert_eq!(streams.clone().len(), 2, "a clone is another handle");
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_holds_under_concurrent_requests() {
    let (streams, recording) = (Streams::builder().max_streams(100).max_per_key(7).build(), Recording::default());
    let service = by_user(&streams, &recording);
    let come = |number: usize| {
        let service = service.clone();
        tokio::spawn(async move { ask_for(&service, of(&(number % 20).to_string())).await })
    };
    let asked: Vec<_> = (0..1_000).map(come).collect();
    let mut held = Vec::new();
    for response in asked {
        held.push(response.await.unwrap());
    }
    assert_eq!(streams.len(), 100);
    assert!((0..20).all(|key| streams.len_for_key(&key.to_string()) <= 7));
    drop(held);
    assert_eq!(streams.len(), 0);
    assert!((0..20).all(|key| streams.len_for_key(&key.to_string()) == 0));
}

#[cfg(feature = "rate-limit")]
mod rate {
    use std::{num::NonZeroU32, time::Duration};

    use super::*;

    fn limited(opens: u32, within: Duration, recording: &Recording) -> Sse<Inside, Endless> {
        let streams = Streams::builder().rate_limit_per_key(NonZeroU32::new(opens).unwrap(), within).build();
        by_user(&streams, recording)
    }

    #[tokio::test(start_paused = true)]
    async fn key_over_its_rate_is_refused_and_no_other() {
        let recording = Recording::default();
        let service = limited(3, 10_000 * SECOND, &recording);
        for _ in 0..3 {
            assert!(is_a_stream(&service, of("a")).await);
        }
        assert!(!is_a_stream(&service, of("a")).await);
        assert_eq!(recording.lines().last().unwrap(), "refused GET 200 OK, streams of this key are opened too often");
        assert!(is_a_stream(&service, of("b")).await);
        assert!(is_a_stream(&service, get()).await, "the request has no key");
    }

    #[tokio::test(start_paused = true)]
    async fn extreme_rate_windows_are_accepted() {
        let recording = Recording::default();
        let service = limited(3, Duration::ZERO, &recording);
        for _ in 0..10 {
            assert!(is_a_stream(&service, of("a")).await, "a window of zero sets no rate");
        }
        let service = limited(3, Duration::MAX, &recording);
        for number in 0..5 {
            assert_eq!(is_a_stream(&service, of("a")).await, number < 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn service_that_panics_releases_its_permit() {
    let streams = Streams::new();
    let panics = service_fn(|_: Request<String>| async {
        sleep(SECOND).await;
        panics()
    });
    let service = serve(&SseLayer::new(panics).streams(&streams));
    assert!(tokio::spawn(service.oneshot(get())).await.is_err());
    assert_eq!(streams.len(), 0);
}

/// An observer that drops a shared body when the stream opens.
struct Drops<B>(Arc<Mutex<Option<B>>>);

impl<B: Send + 'static> Observer for Drops<B> {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        drop(self.0.lock().unwrap().take());
        None
    }
}

/// A body that is shared.
struct Shared<B>(Arc<Mutex<Option<B>>>);

impl<B: http_body::Body + Unpin> http_body::Body for Shared<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        match &mut *self.0.lock().unwrap() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
}

/// The permit stayed in an unused slot, for ever without a watchdog.
#[tokio::test(start_paused = true)]
async fn body_dropped_while_its_layer_attaches_holds_no_permit() {
    let streams = Streams::builder().stall_timeout(None).build();
    let recording = Recording::default();
    let shared = Arc::new(Mutex::new(None));
    let response = Response::from(open_end()).map(|body| {
        *shared.lock().unwrap() = Some(body);
        Shared(Arc::clone(&shared))
    });
    let layer = SseLayer::decorate().streams(&streams).observer(Drops(Arc::clone(&shared))).observer(recording.clone());
    let response = layer.layer(answers(response)).oneshot(get()).await.unwrap();
    assert_eq!((streams.len(), recording.closed().len()), (0, 1));
    drop(response);
}

fn panics() -> Result<Response<String>, Refusal> {
    panic!("the event service panics")
}
