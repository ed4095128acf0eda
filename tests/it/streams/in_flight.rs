//! In-flight requests that are answered from several streams, or with another stream than the one that an inner layer opened.

use std::{
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{BodyError, Events, Refusal, SseLayer, middleware::NoEvents, streams::Streams};

use super::{Inside, OpenEnd, SECOND, ask_for, open_end};
use crate::support::{Reading, answers_again, ask, get};

pub(super) const WAYS: [fn() -> Request<String>; 2] = [get, || ask(Method::POST)];

pub(super) fn of_me(streams: &Streams) -> SseLayer<NoEvents> {
    SseLayer::decorate().streams(streams).stream_key(|_| Some("me".into()))
}

/// Returns the same request again, for an inner service.
pub(super) fn again(request: &Request<String>) -> Request<String> {
    let mut again = get();
    again.extensions_mut().clone_from(request.extensions());
    again
}

/// A service that opens so many streams of an inner layer and drops them, and answers with a stream after so long.
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
async fn replaced_body_leaves_no_slot_behind() {
    let streams = Streams::builder().max_streams(1).build();
    let layer = || SseLayer::decorate().streams(&streams);
    let inner = layer().layer(answers_again(|| Response::from(open_end())));
    let replaced = inner.map_response(|response| response.map(|_| String::from("data: instead\n\n")));
    let service = layer().layer(replaced);
    for request in WAYS.iter().cycle().take(4) {
        let mut body = Reading::new(ask_for(&service, request()).await.into_body());
        assert_eq!(streams.len(), 1);
        assert_eq!(body.rest().await, [":\n", "data: instead\n\n"]);
        drop(body);
        assert_eq!(streams.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn request_with_a_dropped_stream_is_ended_by_its_key() {
    for request in WAYS {
        let streams = Streams::new();
        let service = of_me(&streams).layer(drops_first(&streams, 1, 5 * SECOND));
        let (response, ended) = tokio::join!(ask_for(&service, request()), async {
            sleep(2 * SECOND).await;
            streams.end_key("me", "over")
        });
        let rest = Reading::new(response.into_body()).rest().await.concat();
        assert_eq!((ended, rest.contains("data"), streams.len()), (1, false, 0), "{rest}");
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
        assert_eq!((drained.ended, drained.aborted), (1, 0));
        assert!(start.elapsed() >= 5 * SECOND && start.elapsed() < 6 * SECOND, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn retried_request_is_not_refused_for_its_own_slot() {
    for request in WAYS {
        let streams = Streams::builder().max_streams(1).max_per_key(1).build();
        let service = of_me(&streams).layer(drops_first(&streams, 3, Duration::ZERO));
        for _ in 0..2 {
            let mut body = Reading::new(ask_for(&service, request()).await.into_body());
            let frames = body.frames_within(SECOND).await;
            assert_eq!((frames.len(), streams.len(), streams.len_for_key("me")), (2, 1, 1), "{frames:?}");
        }
        assert_eq!((streams.len(), streams.len_for_key("me")), (0, 0));
    }
}

/// Each of three layers, the outer and the inner with the same streams.
#[tokio::test(start_paused = true)]
async fn layers_with_different_streams_each_count_once() {
    for request in WAYS {
        let (ours, theirs) = (Streams::builder().max_streams(1).build(), Streams::builder().max_streams(1).build());
        let handler = answers_again(|| Response::from(open_end()));
        let service = of_me(&ours).layer(of_me(&theirs).layer(of_me(&ours).layer(handler)));
        let counts = || (ours.len(), ours.len_for_key("me"), theirs.len(), theirs.len_for_key("me"));
        for ends in [&ours, &theirs, &ours] {
            let mut body = Reading::new(ask_for(&service, request()).await.into_body());
            assert_eq!(body.frames_within(SECOND).await.len(), 2);
            assert_eq!(counts(), (1, 1, 1, 1));
            let (_, ended) = tokio::join!(body.rest(), async { ends.end_key("me", "over") });
            assert_eq!((ended, counts()), (1, (0, 0, 0, 0)));
        }
        // Refused in the middle, by a limit and in a drain.
        let held = ask_for(&of_me(&theirs).layer(answers_again(|| Response::from(open_end()))), request()).await;
        let refusal = ask_for(&service, request()).await;
        assert!(refusal.status() == 503 || refusal.body().size_hint().upper().is_some());
        assert_eq!(counts(), (0, 0, 1, 1));
        drop(held);
        theirs.start_drain();
        let refusal = ask_for(&service, request()).await;
        assert!(refusal.status() == 503 || refusal.body().size_hint().upper().is_some());
        assert_eq!(counts(), (0, 0, 0, 0));
        assert_eq!(ours.drain(SECOND).await.aborted, 0);
    }
}

type Kept<B> = Arc<Mutex<Vec<Reading<B>>>>;

/// Opens a stream of the inner layer, which is kept, and answers with another one.
async fn answers_beside<S, B>(inner: S, request: Request<String>, kept: Kept<B>) -> Result<Events<OpenEnd>, Refusal>
where
    S: Service<Request<String>, Response = Response<B>, Error = Refusal>,
    B: Body<Data = Bytes, Error = BodyError>,
{
    sleep(2 * SECOND).await;
    let opened = Reading::new(inner.oneshot(again(&request)).await?.into_body());
    kept.lock().unwrap().push(opened);
    sleep(2 * SECOND).await;
    Ok(open_end())
}

/// Ends both at this second, by their key or by a drain. Returns the number of slots of the key: the streams share one.
async fn both_are_ended_at(at: u32, is_drain: bool) -> usize {
    let streams = Streams::new();
    let inner = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(&streams).layer(Inside);
    let kept = Kept::default();
    let keeps = Arc::clone(&kept);
    let late = service_fn(move |request| answers_beside(inner.clone(), request, Arc::clone(&keeps)));
    let layer = SseLayer::new(late).commit_after(SECOND).streams(&streams).stream_key(|_| Some("me".into()));
    let mut body = Reading::new(ask_for(&layer.layer(Inside), get()).await.into_body());
    let (frames, ended) = tokio::join!(body.rest(), async {
        sleep((at - 1) * SECOND).await;
        if is_drain {
            streams.start_drain();
            return 0;
        }
        streams.end_key("me", "over")
    });
    assert_eq!(body.millis(), u64::from(at - 1) * 1_000, "{frames:?}");
    let mut inner = kept.lock().unwrap().pop().unwrap();
    assert!(!inner.rest().await.concat().contains("data"));
    assert_eq!(streams.len(), 0);
    ended
}

#[tokio::test(start_paused = true)]
async fn late_answer_and_its_inner_stream_are_both_found() {
    assert_eq!(both_are_ended_at(3, false).await, 1, "before the event service has answered");
    assert_eq!(both_are_ended_at(10, false).await, 1, "and after");
    both_are_ended_at(3, true).await;
    both_are_ended_at(10, true).await;
}
