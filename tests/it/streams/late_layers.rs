//! Streams that have begun, or whose head was sent, before a layer is attached.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{
    BodyError, Event, IntoReply, Refusal, SseLayer,
    access::{AccessCheck, AccessDecision},
    middleware::NoEvents,
    observe::Observer,
    streams::{OnDrain, Streams},
};

use super::{
    Inside, OpenEnd, SECOND,
    in_flight::{WAYS, of_me},
    open_end,
};
use crate::support::{Reading, Recording, answers, answers_after, error, event, events, get, open, respond};

#[tokio::test(start_paused = true)]
async fn late_stream_keeps_the_settings_of_its_innermost_layer() {
    type Handler = tower_sse::Events<OpenEnd>;
    let late = |inner: SseLayer<NoEvents>, make: fn() -> Handler| {
        let inner = inner.layer(service_fn(move |_: Request<String>| async move {
            sleep(2 * SECOND).await;
            Ok::<_, Refusal>(Response::from(make()))
        }));
        SseLayer::new(inner).commit_after(SECOND).methods([Method::GET, Method::POST]).heartbeat(60 * SECOND)
    };

    let mut body = open(late(SseLayer::decorate().lifetime(5 * SECOND), open_end)).await;
    body.rest().await;
    // From the time when the stream was created: a second after the head.
    assert!((5_000..=6_001).contains(&body.millis()), "{} ms after the head", body.millis());

    let mut body = open(late(SseLayer::decorate().heartbeat(5 * SECOND), open_end)).await;
    let frames = body.frames_within(30 * SECOND).await;
    assert!(frames.iter().filter(|(_, text)| text == ":\n").count() >= 5, "{frames:?}");

    let streams = Streams::new();
    let inner = SseLayer::decorate().on_drain(OnDrain::Finish).streams(&streams);
    let mut body = open(late(inner, open_end)).await;
    let (frames, drained) = tokio::join!(body.rest(), async {
        sleep(5 * SECOND).await;
        streams.drain(10 * SECOND).await
    });
    assert_eq!(drained.ended, 1);
    assert!(body.millis() > 10_000, "the stream continued: {frames:?}");
}

#[tokio::test(start_paused = true)]
async fn late_stream_fails_with_the_innermost_last_event() {
    for request in WAYS {
        let fails = Response::from(events([event("a"), error("broken")]));
        let inner =
            SseLayer::decorate().on_failure(Event::new("inner")).layer(answers_after(2_000, Ok::<_, Refusal>(fails)));
        let layer = SseLayer::new(inner).commit_after(SECOND).on_failure(Event::new("outer"));
        let response = respond(layer.methods([Method::GET, Method::POST]), request()).await;
        let text = Reading::new(response.into_body()).rest().await.concat();
        assert!(text.starts_with(":\ndata: a\n\ndata: inner\n\n"), "{text}");
    }
}

/// A body whose first frame was polled.
struct Looked<B: Body> {
    first: Option<Result<Frame<B::Data>, B::Error>>,
    body: B,
}

impl<B: Body<Data: Unpin, Error: Unpin> + Unpin> Body for Looked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.first.take() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }
}

/// A layer around a service that has polled the first frame of its handler's stream.
async fn met_after_its_first_frame(layer: SseLayer<NoEvents>) -> Reading<impl Body<Data = Bytes, Error = BodyError>> {
    let (parts, mut body) = Response::from(open_end()).into_parts();
    let chained = Looked { first: body.frame().await, body };
    let service = layer.layer(answers(Response::from_parts(parts, chained)));
    Reading::new(service.oneshot(get()).await.unwrap().into_body())
}

#[tokio::test(start_paused = true)]
async fn stream_polled_before_its_layer_attached_is_still_ended() {
    let no = || AccessCheck::every(SECOND, |_| ready(AccessDecision::Revoke("over".into())));
    let streams = Streams::new();
    let layers = [
        SseLayer::decorate().lifetime(SECOND),
        SseLayer::decorate().access(no()),
        of_me(&streams),
        of_me(&streams).on_drain(OnDrain::Leave),
    ];
    for (number, layer) in layers.into_iter().enumerate() {
        let recording = Recording::default();
        let mut body = met_after_its_first_frame(layer.observer(recording.clone())).await;
        let (frames, ()) = tokio::join!(body.frames_within(20 * SECOND), async {
            sleep(SECOND).await;
            match number {
                2 => assert_eq!(streams.end_key("me", "over"), 1),
                3 => streams.start_drain(),
                _ => {}
            }
        });
        let (last, _) = frames.last().unwrap();
        assert!(*last <= 1_000 && frames[0].1 == ":\n" && frames[1].1 == "data: a\n\n", "{number}: {frames:?}");
        assert!(body.rest().await.is_empty());
        assert_eq!(recording.closed().len(), 1, "{number}: {:?}", recording.lines());
    }
    let mut body = met_after_its_first_frame(SseLayer::decorate().heartbeat(3 * SECOND)).await;
    let frames = body.frames_within(20 * SECOND).await;
    assert!((7..=11).contains(&frames.len()), "prelude, event, and the heartbeats of the layer: {frames:?}");
}

/// The task that polled a waiting body may be another one than the task that reads the layer's response.
#[tokio::test(start_paused = true)]
async fn waiting_stream_is_woken_when_a_layer_attaches() {
    let (parts, body) = Response::from(open_end()).into_parts();
    let (frames, sink) = tokio::sync::mpsc::unbounded_channel();
    let forwards = tokio::spawn(async move {
        let mut body = Reading::new(body);
        while let Some(frame) = body.next().await {
            frames.send(frame).unwrap();
        }
        body.millis()
    });
    sleep(SECOND).await;
    let service = SseLayer::decorate().lifetime(2 * SECOND).layer(answers(Response::from_parts(parts, String::new())));
    let _response = service.oneshot(get()).await.unwrap();
    let millis = forwards.await.unwrap();
    assert!((1_000..=2_000).contains(&millis), "{millis}");
    drop(sink);
}

/// Answers with a stream after 2 s.
async fn slow(_: Request<String>) -> Result<Response<impl Body<Data = Bytes, Error = BodyError>>, Refusal> {
    sleep(2 * SECOND).await;
    Ok(Response::from(open_end()))
}

/// Reads a late layer around this service for 10 s, with an observer and a check that it shares with an inner layer.
async fn acts_once<S>(inner: impl FnOnce(Arc<dyn Observer>, AccessCheck) -> S)
where
    S: Service<Request<String>, Response: IntoReply, Error = Refusal> + Clone,
{
    let (recording, asked) = (Recording::default(), Arc::new(AtomicUsize::new(0)));
    let observer: Arc<dyn Observer> = Arc::new(recording.clone());
    let counts = Arc::clone(&asked);
    let access = AccessCheck::every(SECOND, move |_| {
        counts.fetch_add(1, SeqCst);
        ready(AccessDecision::Allow)
    });
    let inner = inner(Arc::clone(&observer), access.clone());
    let mut body = open(SseLayer::new(inner).commit_after(SECOND).observer(observer).access(access)).await;
    body.frames_within(10 * SECOND).await;
    drop(body);
    let opened = recording.lines().iter().filter(|line| line.starts_with("opened")).count();
    assert_eq!((opened, recording.closed().len()), (1, 1), "{:?}", recording.lines());
    assert!(recording.closed()[0].contains(": 1 events"), "{:?}", recording.closed());
    assert!((8..=11).contains(&asked.load(SeqCst)), "once a second, {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn observer_and_check_shared_with_a_late_layer_act_once() {
    acts_once(|observer, access| {
        let layer = SseLayer::new(service_fn(slow)).commit_after(None);
        layer.observer(observer).access(access).layer(Inside)
    })
    .await;
    acts_once(|observer, access| SseLayer::decorate().observer(observer).access(access).layer(service_fn(slow))).await;
}
