//! Requests under way that are answered from several streams, or with another one than the one that a layer inside opened.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{
    BodyError, Event, NoEvents, Refusal, SseLayer,
    access::{Access, Verdict},
    streams::{OnDrain, Streams},
};

use super::{Inside, OpenEnd, SECOND, ask_for, endless, open_end, serve};
use crate::support::{
    Reading, Told, answers, answers_after, answers_again, ask, error, event, events, get, open, respond,
};

const WAYS: [fn() -> Request<String>; 2] = [get, || ask(Method::POST)];

fn of_me(streams: &Streams) -> SseLayer<NoEvents> {
    SseLayer::decorate().streams(streams).stream_key(|_| Some("me".into()))
}

/// The same request once more, for a service inside.
fn again(request: &Request<String>) -> Request<String> {
    let mut again = get();
    again.extensions_mut().clone_from(request.extensions());
    again
}

/// A service that opens so many streams of a layer inside and drops them, and answers a stream after so long.
fn drops_first(
    streams: &Streams,
    dropped: usize,
    after: Duration,
) -> impl Service<Request<String>, Response = Response<impl Body<Data = Bytes, Error = BodyError>>, Error = Refusal> + Clone
{
    let inner = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(streams).layer(Inside);
    service_fn(move |request: Request<String>| {
        let inner = inner.clone();
        async move {
            for _ in 0..dropped {
                drop(inner.clone().oneshot(again(&request)).await?);
            }
            sleep(after).await;
            Ok::<_, Refusal>(Response::from(open_end()))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_replaced_on_the_way_leaves_no_place_behind() {
    let streams = Streams::builder().total(1).build();
    let layer = || SseLayer::decorate().streams(&streams);
    let inner = layer().layer(answers_again(|| Response::from(open_end())));
    let replaced = inner.map_response(|response| response.map(|_| String::from("data: instead\n\n")));
    let service = layer().layer(replaced);
    for request in WAYS.iter().cycle().take(4) {
        let mut body = Reading::new(ask_for(&service, request()).await.into_body());
        assert_eq!(streams.open(), 1);
        assert_eq!(body.rest().await, [":\n", "data: instead\n\n"]);
        drop(body);
        assert_eq!(streams.open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_first_stream_is_dropped_is_ended_by_its_key() {
    for request in WAYS {
        let streams = Streams::new();
        let service = of_me(&streams).layer(drops_first(&streams, 1, 5 * SECOND));
        let (response, ended) = tokio::join!(ask_for(&service, request()), async {
            sleep(2 * SECOND).await;
            streams.end("me", "over")
        });
        let rest = Reading::new(response.into_body()).rest().await.concat();
        assert_eq!((ended, rest.contains("data"), streams.open()), (1, false, 0), "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_request_whose_first_stream_is_dropped() {
    for request in WAYS {
        let streams = Streams::new();
        let service = of_me(&streams).layer(drops_first(&streams, 1, 5 * SECOND));
        let start = Instant::now();
        let read = async { Reading::new(ask_for(&service, request()).await.into_body()).rest().await };
        let (_, drained) = tokio::join!(read, async {
            sleep(2 * SECOND).await;
            streams.drain(60 * SECOND).await
        });
        assert_eq!((drained.ended, drained.cut), (1, 0));
        assert!(start.elapsed() >= 5 * SECOND && start.elapsed() < 6 * SECOND, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_tried_again_is_not_refused_for_its_own_place() {
    for request in WAYS {
        let streams = Streams::builder().total(1).per_key(1).build();
        let service = of_me(&streams).layer(drops_first(&streams, 3, Duration::ZERO));
        for _ in 0..2 {
            let mut body = Reading::new(ask_for(&service, request()).await.into_body());
            let frames = body.frames_within(SECOND).await;
            assert_eq!((frames.len(), streams.open(), streams.open_of("me")), (2, 1, 1), "{frames:?}");
        }
        assert_eq!((streams.open(), streams.open_of("me")), (0, 0));
    }
}

/// Whatever ends them, it ends both.
#[tokio::test(start_paused = true)]
async fn a_late_answer_and_the_stream_that_it_is_made_of_are_both_found() {
    // Before the event service has answered, and after.
    for (at, places) in [(3, 1), (10, 2)] {
        for is_drain in [false, true] {
            let streams = Streams::new();
            let inner = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(&streams).layer(Inside);
            let held: Arc<Mutex<Option<Reading<_>>>> = Arc::default();
            let keeps = Arc::clone(&held);
            let late = service_fn(move |request: Request<String>| {
                let (inner, keeps) = (inner.clone(), Arc::clone(&keeps));
                async move {
                    sleep(2 * SECOND).await;
                    *keeps.lock().unwrap() = Some(Reading::new(inner.oneshot(again(&request)).await?.into_body()));
                    sleep(2 * SECOND).await;
                    Ok::<_, Refusal>(open_end())
                }
            });
            let layer = SseLayer::new(late).commit_after(SECOND).streams(&streams).stream_key(|_| Some("me".into()));
            let response = ask_for(&layer.layer(Inside), get()).await;
            let mut body = Reading::new(response.into_body());
            let (frames, ended) = tokio::join!(body.rest(), async {
                sleep((at - 1) * SECOND).await;
                if is_drain {
                    streams.start_drain();
                    return places;
                }
                streams.end("me", "over")
            });
            assert_eq!((ended, body.millis()), (places, u64::from(at - 1) * 1_000), "{at}, {is_drain}: {frames:?}");
            let mut inner = held.lock().unwrap().take().unwrap();
            assert!(!inner.rest().await.concat().contains("data"), "{at}, {is_drain}");
            assert_eq!(streams.open(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_stream_keeps_what_its_innermost_layer_asks_for() {
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
    // From when the stream was made: a second after the head.
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
    assert!(body.millis() > 10_000, "it was let go on: {frames:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_stream_fails_with_the_last_event_of_its_innermost_layer() {
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

/// A body whose first frame was looked at.
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

/// A layer around a service that has looked at the first frame of its handler's stream.
async fn met_after_its_first_frame(layer: SseLayer<NoEvents>) -> Reading<impl Body<Data = Bytes, Error = BodyError>> {
    let (parts, mut body) = Response::from(open_end()).into_parts();
    let chained = Looked { first: body.frame().await, body };
    let service = layer.layer(answers(Response::from_parts(parts, chained)));
    Reading::new(service.oneshot(get()).await.unwrap().into_body())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_polled_before_its_layer_met_it_is_ended_by_what_the_layer_asks_for() {
    let no = || Access::every(SECOND, |_| ready(Verdict::Withdraw("over".into())));
    let streams = Streams::new();
    let layers = [
        SseLayer::decorate().lifetime(SECOND),
        SseLayer::decorate().access(no()),
        of_me(&streams),
        of_me(&streams).on_drain(OnDrain::Leave),
    ];
    for (number, layer) in layers.into_iter().enumerate() {
        let told = Told::default();
        let mut body = met_after_its_first_frame(layer.observer(told.clone())).await;
        let (frames, ()) = tokio::join!(body.frames_within(20 * SECOND), async {
            sleep(SECOND).await;
            match number {
                2 => assert_eq!(streams.end("me", "over"), 1),
                3 => streams.start_drain(),
                _ => {}
            }
        });
        let (last, _) = frames.last().unwrap();
        assert!(*last <= 1_000 && frames[0].1 == ":\n" && frames[1].1 == "data: a\n\n", "{number}: {frames:?}");
        assert!(body.rest().await.is_empty());
        assert_eq!(told.closed().len(), 1, "{number}: {:?}", told.lines());
    }
    let mut body = met_after_its_first_frame(SseLayer::decorate().heartbeat(3 * SECOND)).await;
    let frames = body.frames_within(20 * SECOND).await;
    assert!((7..=11).contains(&frames.len()), "prelude, event, and the heartbeats of the layer: {frames:?}");
}

/// The task of a body that was woken while it waited may be another one than the one that the layer's response is read by.
#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_is_woken_by_the_layer_that_meets_it() {
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

/// A waker that panics, or one that counts.
#[derive(Default)]
struct Wakes(AtomicUsize, bool);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
        assert!(!self.1, "this waker panics");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_no_other_stream_from_its_end() {
    for what in 0..2 {
        let streams = Streams::new();
        let service = serve(&endless(&streams, &Told::default()).stream_key(|_| Some("me".into())));
        let (panics, counts) = (Arc::new(Wakes(AtomicUsize::new(0), true)), Arc::new(Wakes::default()));
        let mut bodies = Vec::new();
        for number in 0..10 {
            let mut body = Reading::new(ask_for(&service, get()).await.into_body());
            let waker: Waker = if number % 2 == 0 { panics.clone().into() } else { counts.clone().into() };
            while body.poll(&mut Context::from_waker(&waker)).is_ready() {}
            bodies.push(body);
        }
        match what {
            0 => assert_eq!(streams.end("me", "over"), 10),
            _ => streams.start_drain(),
        }
        assert_eq!((panics.0.load(SeqCst), counts.0.load(SeqCst)), (5, 5));
        for body in &mut bodies {
            body.rest().await;
        }
        assert_eq!(streams.open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_no_other_request_that_waits_from_its_turn() {
    let streams = Streams::builder().total(1).build();
    let service = serve(&endless(&streams, &Told::default()));
    let _held = ask_for(&service, get()).await;
    let (panics, counts) = (Arc::new(Wakes(AtomicUsize::new(0), true)), Arc::new(Wakes::default()));
    let mut waiting = [Box::pin(ask_for(&service, get())), Box::pin(ask_for(&service, get()))];
    for (request, waker) in waiting.iter_mut().zip([panics.clone().into(), Waker::from(counts.clone())]) {
        assert!(matches!(request.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending));
    }
    streams.start_drain();
    assert_eq!((panics.0.load(SeqCst), counts.0.load(SeqCst)), (1, 1));
}
