//! Slots that layers share, and requests that a service makes within a request: the first shares its slot, each other one is
//! admitted separately.

use std::{
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{BodyError, Event, Events, Refusal, RequestHead, SseLayer, streams::Streams};

use super::{
    Inside, OpenEnd, SECOND, ask_for,
    entry_points::{AnyBody, AnyService, boxed},
    in_flight::{WAYS, again, of_me},
    open_end,
};
use crate::support::{Reading, Recording, answers_again, ask, get};

#[tokio::test(start_paused = true)]
async fn layers_with_the_same_streams_share_one_slot() {
    for request in [get, || ask(Method::POST)] {
        let streams = Streams::builder().max_streams(1).max_per_key(1).build();
        let layer = |key: &'static str| SseLayer::decorate().streams(&streams).stream_key(move |_| Some(key.into()));
        let handler = service_fn(|_: Request<String>| async {
            sleep(5 * SECOND).await;
            Ok::<_, Refusal>(Response::from(open_end()))
        });
        let service = layer("tenant").layer(layer("user").layer(layer("user").layer(handler)));
        let (response, ()) = tokio::join!(ask_for(&service, request()), async {
            sleep(SECOND).await;
            let is_known = usize::from(request().method() == Method::GET);
            assert_eq!(streams.len(), is_known);
        });
        let counts = || (streams.len(), streams.len_for_key("tenant"), streams.len_for_key("user"));
        assert_eq!(counts(), (1, 1, 1), "the layer did not refuse its own request");
        let mut body = Reading::new(response.into_body());
        assert_eq!(body.frames_within(SECOND).await.len(), 2);
        let (rest, ended) = tokio::join!(body.rest(), async { streams.end_key("tenant", "over") });
        // A POST is aborted, behind a comment.
        assert_eq!(rest.is_empty(), request().method() == Method::GET, "{rest:?}");
        assert!(!rest.concat().contains("data"), "{rest:?}");
        assert_eq!((ended, counts()), (1, (0, 0, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn late_event_service_shares_the_slot_of_its_inner_layer() {
    let streams = Streams::builder().max_streams(1).build();
    let late = service_fn(|_: Request<String>| async {
        sleep(5 * SECOND).await;
        Ok::<_, Refusal>(open_end())
    });
    let recording = Recording::default();
    let inner = SseLayer::new(late).commit_after(None).streams(&streams).observer(recording.clone()).layer(Inside);
    async fn delayed<S: Service<R>, R>(inner: S, after: Duration, request: R) -> Result<S::Response, S::Error> {
        sleep(after).await;
        inner.oneshot(request).await
    }

    // The inner layer is called before the head is sent, or after it.
    for asked_after in [Duration::ZERO, 3 * SECOND] {
        let inner = inner.clone();
        let delayed = service_fn(move |request| delayed(inner.clone(), asked_after, request));
        let outer = SseLayer::new(delayed).commit_after(SECOND).streams(&streams).stream_key(|_| Some("me".into()));
        let mut body = Reading::new(ask_for(&outer.layer(Inside), get()).await.into_body());
        let frames = body.frames_within(20 * SECOND).await;
        assert!(
            frames.iter().any(|(_, text)| text.contains("data: a")),
            "{asked_after:?}: {frames:?} {:?}",
            recording.lines()
        );
        assert_eq!((streams.len(), streams.len_for_key("me")), (1, 1));
        let (rest, ended) = tokio::join!(body.rest(), async { streams.end_key("me", "over") });
        assert_eq!((rest.len(), ended, streams.len()), (0, 1, 0));
        assert!(recording.closed().pop().unwrap().ends_with(", over"), "{:?}", recording.closed());
    }
}

#[tokio::test(start_paused = true)]
async fn merged_inner_streams_are_all_counted() {
    let streams = Streams::new();
    let inner = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(&streams).layer(Inside);
    let held: Arc<std::sync::Mutex<Vec<_>>> = Arc::default();
    let keeps = Arc::clone(&held);
    let merges = service_fn(move |request: Request<String>| {
        let (inner, keeps) = (inner.clone(), Arc::clone(&keeps));
        async move {
            let mut again = get();
            again.extensions_mut().clone_from(request.extensions());
            let both = [inner.clone().oneshot(request).await?, inner.oneshot(again).await?];
            keeps.lock().unwrap().extend(both.map(|response| Reading::new(response.into_body())));
            Ok::<_, Refusal>(Response::from(Events::new(futures_util::stream::pending::<Event>())))
        }
    });
    let layer = SseLayer::decorate().streams(&streams).stream_key(|_| Some("me".into()));
    let mut body = Reading::new(ask_for(&layer.layer(merges), get()).await.into_body());
    // The first shares the slot of the request with the stream that is answered.
    assert_eq!((streams.len(), streams.end_key("me", "over"), body.rest().await.len()), (2, 2, 1));
    let held = std::mem::take(&mut *held.lock().unwrap());
    for mut body in held {
        assert!(!body.rest().await.concat().contains("data"));
    }
    assert_eq!(streams.len(), 0);
}

/// Answers with a stream a second later, when all requests have arrived.
async fn slow(_: Request<String>) -> Result<Events<OpenEnd>, Refusal> {
    sleep(SECOND).await;
    Ok(open_end())
}

fn user(head: &RequestHead<'_>) -> Option<Arc<str>> {
    Some(head.headers().get("x-user")?.to_str().ok()?.into())
}

/// The services that an inner request may be for, each with these streams.
fn inner_services(streams: &Streams, recording: &Recording) -> Vec<(&'static str, AnyService)> {
    let new = || SseLayer::new(service_fn(slow)).streams(streams).observer(recording.clone()).stream_key(user);
    let decorate = || SseLayer::decorate().streams(streams).observer(recording.clone()).stream_key(user);
    let handler = || service_fn(|request| async { slow(request).await.map(Response::from) });
    vec![
        ("an event service", boxed(new().layer(Inside))),
        ("an event service that is late", boxed(new().commit_after(SECOND / 2).layer(Inside))),
        ("a handler under a layer", boxed(decorate().layer(handler()))),
        ("layers around layers", boxed(decorate().layer(decorate().layer(new().layer(Inside))))),
    ]
}

fn is_stream<B: Body>(response: &Response<B>) -> bool {
    response.body().size_hint().upper().is_none() && response.status() == 200
}

/// Makes so many requests at once within this one, for these users. Returns their outcomes.
async fn made_at_once(
    streams: &Streams,
    inner: &AnyService,
    request: Request<String>,
    users: &'static [&'static str],
) -> (usize, Vec<Response<AnyBody>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let (keeps, inner) = (Arc::clone(&kept), inner.clone());
    let service = service_fn(move |request: Request<String>| {
        let (keeps, inner) = (Arc::clone(&keeps), inner.clone());
        async move {
            let requests = users.iter().map(|&user| {
                let mut again = again(&request);
                again.headers_mut().insert("x-user", http::HeaderValue::from_static(user));
                ask_for(&inner, again)
            });
            let answers = join_all(requests).await;
            keeps.lock().unwrap().extend(answers);
            Ok::<_, Refusal>(Response::new(String::from("done")))
        }
    });
    ask_for(&SseLayer::decorate().streams(streams).layer(service), request).await;
    let answers = std::mem::take(&mut *kept.lock().unwrap());
    (streams.len(), answers.into_iter().filter(is_stream).collect())
}

/// Both outer requests, each with the number of the inner service.
fn each_way() -> impl Iterator<Item = (fn() -> Request<String>, usize)> {
    WAYS.into_iter().flat_map(|request| (0..4).map(move |number| (request, number)))
}

/// Makes five requests at once, of which two have room.
async fn two_of_five_have_room(streams: Streams, request: Request<String>, number: usize, full: &str) {
    let recording = Recording::default();
    let (name, inner) = inner_services(&streams, &recording).remove(number);
    let (open, answers) = made_at_once(&streams, &inner, request, &["ann"; 5]).await;
    assert_eq!((open, answers.len(), streams.len_for_key("ann")), (2, 2, 2), "{name}");
    let refused: Vec<_> = recording.lines().into_iter().filter(|line| line.starts_with("refused")).collect();
    assert_eq!(refused.len(), 3, "{name}: {refused:?}");
    assert!(refused.iter().all(|line| line.ends_with(full)), "{name}: {refused:?}");
    drop(answers);
    assert_eq!((streams.len(), streams.len_for_key("ann")), (0, 0), "{name}");
}

#[tokio::test(start_paused = true)]
async fn concurrent_inner_requests_are_each_admitted() {
    for (request, number) in each_way() {
        let total = Streams::builder().max_streams(2).build();
        two_of_five_have_room(total, request(), number, "stream limit reached").await;
        let per_key = Streams::builder().max_per_key(2).build();
        two_of_five_have_room(per_key, request(), number, "stream limit for this key reached").await;
    }
}

#[cfg(feature = "rate-limit")]
#[tokio::test(start_paused = true)]
async fn concurrent_inner_requests_each_count_for_the_rate() {
    for (request, number) in each_way() {
        let rate = std::num::NonZeroU32::new(2).unwrap();
        let streams = Streams::builder().rate_limit_per_key(rate, 10_000 * SECOND).build();
        two_of_five_have_room(streams, request(), number, "opened too often").await;
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_inner_requests_have_their_own_keys() {
    for (request, number) in each_way() {
        let (streams, recording) = (Streams::builder().max_per_key(1).build(), Recording::default());
        let (name, inner) = inner_services(&streams, &recording).remove(number);
        let (open, answers) = made_at_once(&streams, &inner, request(), &["ann", "bob", "cid"]).await;
        let of = |key| streams.len_for_key(key);
        assert_eq!((open, answers.len(), of("ann"), of("bob"), of("cid")), (3, 3, 1, 1, 1), "{name}");
        drop(answers);
        assert_eq!((streams.len(), of("ann"), of("bob")), (0, 0, 0), "{name}");
    }
}

/// Opens a stream while the first is open, and one after it has ended.
async fn opens_one_after_another(inner: AnyService, request: Request<String>) -> Result<Response<String>, Refusal> {
    let first = ask_for(&inner, again(&request)).await;
    let second = ask_for(&inner, again(&request)).await;
    assert!(is_stream(&first) && !is_stream(&second));
    drop(first);
    assert!(is_stream(&ask_for(&inner, again(&request)).await), "the slot is free for it again");
    Ok(Response::new(String::from("done")))
}

#[tokio::test(start_paused = true)]
async fn stream_beside_a_shared_slot_is_admitted() {
    for (request, number) in each_way() {
        let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
        let (name, inner) = inner_services(&streams, &recording).remove(number);
        let service = service_fn(move |request| opens_one_after_another(inner.clone(), request));
        ask_for(&SseLayer::decorate().streams(&streams).layer(service), request()).await;
        assert_eq!(streams.len(), 0, "{name}");
    }
}

type Kept = Arc<Mutex<Vec<Reading<AnyBody>>>>;

/// Opens an inner stream, which is kept, and answers with its own.
async fn answers_one_of_its_own(
    inner: AnyService,
    request: Request<String>,
    kept: Kept,
) -> Result<Response<impl Body<Data = Bytes, Error = BodyError>>, Refusal> {
    let source = Reading::new(inner.oneshot(again(&request)).await?.into_body());
    kept.lock().unwrap().push(source);
    Ok(Response::from(open_end()))
}

#[tokio::test(start_paused = true)]
async fn stream_made_of_an_inner_one_has_its_slot() {
    for request in WAYS {
        let streams = Streams::builder().max_streams(1).max_per_key(1).build();
        let inner = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(&streams).layer(Inside);
        let (inner, kept) = (boxed(inner), Kept::default());
        let keeps = Arc::clone(&kept);
        let service = service_fn(move |request| answers_one_of_its_own(inner.clone(), request, Arc::clone(&keeps)));
        let mut body = Reading::new(ask_for(&of_me(&streams).layer(service), request()).await.into_body());
        assert_eq!(body.frames_within(SECOND).await.len(), 2);
        let mut source = kept.lock().unwrap().pop().unwrap();
        assert_eq!((streams.len(), streams.len_for_key("me"), source.frames_within(SECOND).await.len()), (1, 1, 2));
        let (_, _, ended) = tokio::join!(body.rest(), source.rest(), async { streams.end_key("me", "over") });
        assert_eq!((ended, streams.len(), streams.len_for_key("me")), (1, 0, 0));
    }
}

/// The wait stayed in the queue as long as the outer request, and received a slot that it did not use.
#[tokio::test(start_paused = true)]
async fn cancelled_inner_wait_takes_no_slot() {
    let streams = Streams::builder().max_streams(1).build();
    let inner = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(&streams).layer(Inside);
    let held = ask_for(&inner, get()).await;
    let gives_up = inner.clone();
    let service = service_fn(move |request: Request<String>| {
        let inner = gives_up.clone();
        async move {
            let given_up = timeout(Duration::from_millis(10), ask_for(&inner, again(&request))).await;
            assert!(given_up.is_err());
            sleep(10 * SECOND).await;
            Ok::<_, Refusal>(Response::new(String::from("done")))
        }
    });
    let outer = SseLayer::decorate().streams(&streams).layer(service);
    tokio::join!(ask_for(&outer, WAYS[1]()), async {
        sleep(SECOND).await;
        drop(held);
        assert_eq!(streams.len(), 0);
        assert!(is_stream(&ask_for(&inner, get()).await));
    });
    let page = SseLayer::decorate().streams(&streams).layer(answers_again(|| Response::new(String::new())));
    ask_for(&page, WAYS[1]()).await;
    assert_eq!(streams.len(), 0);
}
