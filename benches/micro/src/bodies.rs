//! Streams that run.

use std::{
    future::ready,
    hint::black_box,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Request, Response, header::ACCEPT};
use http_body::Body;
use tokio::{runtime, task};
use tower::{Layer, Service, service_fn};
use tower_sse::{
    BodyError, BoxError, Event, Events, IntoReply, Refusal, RequestHead, SseLayer,
    access::{AccessCheck, AccessDecision},
    hub::{Hub, Subscribe, Topic},
    observe::{Observer, StreamObserver},
    streams::Streams,
};

type Runs = Box<dyn FnMut(u32)>;
type Stream = Pin<Box<dyn Body<Data = bytes::Bytes, Error = BodyError>>>;

pub(crate) fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_time().build().expect("the runtime is built")
}

/// A body that has nothing, polled again.
pub(crate) fn idle() -> Runs {
    let runtime = runtime();
    let streams = runtime.block_on(streams(&Hub::new(), 1));
    polled(runtime, streams)
}

/// The same, of a stream with a registry, a key, an observer and an access check.
pub(crate) fn idle_with_hooks() -> Runs {
    let (runtime, hub) = (runtime(), Hub::new());
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("events")))
        .streams(&Streams::new())
        .stream_key(|_| Some(Arc::from("a user")))
        .access(AccessCheck::every(Duration::from_secs(60), |_| ready(AccessDecision::Allow)))
        .observer(Watching);
    let streams = runtime.block_on(async {
        let mut streams = vec![answered(layer).await];
        begin(&mut streams).await;
        streams
    });
    polled(runtime, streams)
}

struct Watching;

impl Observer for Watching {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        Some(Box::new(Self))
    }
}

impl StreamObserver for Watching {}

fn polled(runtime: runtime::Runtime, mut streams: Vec<Stream>) -> Runs {
    Box::new(move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                poll(&mut streams);
            }
        });
    })
}

/// An event for sixteen who watch, and each of them polled until it has nothing.
pub(crate) fn watched() -> Runs {
    let (runtime, hub) = (runtime(), Hub::new());
    let (mut streams, topic) = (runtime.block_on(streams(&hub, 16)), topic(&hub));
    let event = Event::new("x".repeat(64));
    Box::new(move |times| {
        runtime.block_on(async {
            for _ in 0..times {
                _ = topic.publish(event.clone());
                // The pump has its turn.
                task::yield_now().await;
                poll(&mut streams);
                poll(&mut streams);
            }
        });
    })
}

/// The cost of a publish to its caller, with so many subscribers.
pub(crate) fn publish(subscribers: usize) -> Runs {
    let (runtime, hub) = (runtime(), Hub::new());
    let (streams, topic) = (runtime.block_on(streams(&hub, subscribers)), topic(&hub));
    let event = Event::new("x".repeat(64));
    Box::new(move |times| {
        let _ = &streams;
        runtime.block_on(async { (0..times).for_each(|_| _ = black_box(topic.publish(event.clone()))) });
    })
}

/// A frame of a stream whose events are always ready: of 64 B a hundred and thirteen go into one, each made when it is asked
/// for.
pub(crate) fn flood(size: usize) -> Runs {
    let runtime = runtime();
    let text = "x".repeat(size);
    let mut streams = vec![runtime.block_on(answered(SseLayer::from_fn(move |_| {
        let text = text.clone();
        ready(Events::new(Flood(text)))
    })))];
    // The prelude.
    poll(&mut streams);
    Box::new(move |times| {
        runtime.block_on(async { (0..times).for_each(|_| poll(&mut streams)) });
    })
}

struct Flood(String);

impl futures_core::Stream for Flood {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        Poll::Ready(Some(Event::new(black_box(&self.0))))
    }
}

fn poll(streams: &mut [Stream]) {
    let mut cx = Context::from_waker(Waker::noop());
    for stream in streams {
        drop(black_box(stream.as_mut().poll_frame(&mut cx)));
    }
}

fn topic(hub: &Hub) -> Topic {
    hub.topic("events").expect("a hub has room for one topic")
}

/// So many streams of a topic that have had their first bytes.
async fn streams(hub: &Hub, streams: usize) -> Vec<Stream> {
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("events")));
    let mut all = Vec::new();
    for _ in 0..streams {
        all.push(answered(layer.clone()).await);
    }
    begin(&mut all).await;
    all
}

/// Prelude, greeting, nothing.
async fn begin(streams: &mut [Stream]) {
    for _ in 0..3 {
        poll(streams);
        task::yield_now().await;
    }
}

/// A stream that this layer answers with.
async fn answered<E>(layer: SseLayer<E>) -> Stream
where
    E: Service<Request<()>, Response: IntoReply, Error: Into<Refusal>, Future: 'static> + Clone + 'static,
    <E::Response as IntoReply>::Source: 'static,
    <E::Response as IntoReply>::Body: 'static,
{
    let inside = service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(String::new())));
    let mut request = Request::new(());
    request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("text/event-stream"));
    let response = layer.layer(inside).call(request).await.expect("the service answers");
    Box::pin(response.into_body())
}
