//! A client that closes its stream and opens another one: the second request waits briefly for the slot of the first.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::FutureExt;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_sse::{Refusal, RequestHead, Sse, SseLayer, streams::Streams};

use super::{Endless, Inside, SECOND, ask_for, endless, open_end, serve};
use crate::support::{Reading, Recording, answers_again, ask, get};

pub(super) const MS: Duration = Duration::from_millis(1);

/// Returns the user of a request: the query.
pub(super) fn user(head: &RequestHead<'_>) -> Option<Arc<str>> {
    head.uri().query().map(Arc::from)
}

pub(super) fn of(user: &str) -> Request<String> {
    let mut request = get();
    *request.uri_mut() = format!("/?{user}").parse().unwrap();
    request
}

pub(super) fn house(streams: &Streams, recording: &Recording) -> Sse<Inside, Endless> {
    serve(&endless(streams, recording).stream_key(user))
}

pub(super) fn is_stream<B: Body>(response: &Response<B>) -> bool {
    response.body().size_hint().upper().is_none() && response.status() == 200
}

pub(super) fn refused(recording: &Recording) -> usize {
    recording.lines().iter().filter(|line| line.starts_with("refused")).count()
}

/// A request in flight.
fn begin<F: Future>(request: F) -> Pin<Box<F>> {
    let mut request = Box::pin(request);
    assert!((&mut request).now_or_never().is_none(), "the request waits");
    request
}

#[tokio::test(start_paused = true)]
async fn slot_freed_in_time_goes_to_the_waiting_request() {
    let (streams, recording) = (Streams::builder().max_per_key(1).build(), Recording::default());
    let service = house(&streams, &recording);
    let mut held = ask_for(&service, of("a")).await;
    for _ in 0..100 {
        let next = async {
            let response = ask_for(&service, of("a")).await;
            assert!(is_stream(&response));
            response
        };
        let closes = async {
            sleep(20 * MS).await;
            drop(held);
        };
        held = tokio::join!(next, closes).0;
    }
    assert_eq!((refused(&recording), streams.len_for_key("a")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn decorate_waits_before_the_inner_service_or_with_its_answer() {
    for (request, runs_first) in [(get as fn() -> _, false), (|| ask(Method::POST), true)] {
        let streams = Streams::builder().max_streams(1).build();
        let runs = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&runs);
        let inside = service_fn(move |_: Request<String>| {
            counts.fetch_add(1, SeqCst);
            ready(Ok::<_, Refusal>(Response::from(open_end())))
        });
        let service = SseLayer::decorate().streams(&streams).layer(inside);
        let first = service.clone().oneshot(request()).await.unwrap();
        let second = begin(service.clone().oneshot(request()));
        assert_eq!(runs.load(SeqCst), if runs_first { 2 } else { 1 });
        drop(first);
        let second = second.await.unwrap();
        assert!(is_stream(&second), "{:?}", request());
        let mut body = Reading::new(second.into_body());
        assert_eq!((body.next().await.unwrap(), body.next().await.unwrap()), (":\n".into(), "data: a\n\n".into()));
        assert_eq!(runs.load(SeqCst), 2, "once for each");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_over_its_limit_is_refused_within_100_ms() {
    let limits = [Streams::builder().max_per_key(1).build(), Streams::builder().max_streams(1).build()];
    for streams in limits {
        let recording = Recording::default();
        let service = house(&streams, &recording);
        let held = ask_for(&service, of("a")).await;
        let begin = Instant::now();
        assert!(!is_stream(&ask_for(&service, of("a")).await));
        assert!(begin.elapsed() < 100 * MS && begin.elapsed() >= 50 * MS, "{:?}", begin.elapsed());
        assert_eq!((refused(&recording), streams.len()), (1, 1));
        drop(held);
        assert!(is_stream(&ask_for(&service, of("a")).await), "the wait has left nothing behind");
    }
}

#[tokio::test(start_paused = true)]
async fn one_request_of_a_key_waits_and_others_are_refused_at_once() {
    let (streams, recording) = (Streams::builder().max_per_key(1).build(), Recording::default());
    let service = house(&streams, &recording);
    let held = ask_for(&service, of("a")).await;
    let waits = begin(ask_for(&service, of("a")));
    for _ in 0..10 {
        assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
    }
    assert!(is_stream(&ask_for(&service, of("b")).now_or_never().expect("the key has room")));
    drop(held);
    assert!(is_stream(&waits.now_or_never().expect("the slot is free")));
}

#[tokio::test(start_paused = true)]
async fn at_most_64_requests_wait_and_are_served_in_order() {
    let (streams, recording) = (Streams::builder().max_streams(3).build(), Recording::default());
    let service = house(&streams, &recording);
    let mut held = Vec::new();
    for number in 0..3 {
        held.push(ask_for(&service, of(&format!("held{number}"))).await);
    }
    let mut waiting: Vec<_> = (0..64).map(|number| begin(ask_for(&service, of(&number.to_string())))).collect();
    assert!(!is_stream(&ask_for(&service, of("one-more")).now_or_never().expect("at once")));
    assert!(!is_stream(&ask_for(&service, get()).now_or_never().expect("at once, without a key too")));
    for number in 0..10 {
        // A request that has left is skipped.
        drop(waiting.remove(1));
        drop(held.remove(0));
        assert!((&mut waiting[1]).now_or_never().is_none(), "the first request in the queue is served first");
        let first = waiting.remove(0).now_or_never().expect("the slot is free");
        assert!(is_stream(&first), "{number}");
        held.push(first);
    }
    assert_eq!((streams.len(), refused(&recording)), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn slot_of_a_request_that_has_left_goes_to_the_next() {
    let streams = Streams::builder().max_streams(1).build();
    let recording = Recording::default();
    let service = house(&streams, &recording);
    let held = ask_for(&service, of("a")).await;
    let (first, second) = (begin(ask_for(&service, of("b"))), begin(ask_for(&service, of("c"))));
    drop(held);
    assert_eq!((streams.len_for_key("b"), streams.len_for_key("c")), (1, 0), "granted, and not polled yet");
    drop(first);
    assert!(is_stream(&second.now_or_never().expect("the slot is free")));
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_during_a_drain() {
    let (streams, recording) = (Streams::builder().max_per_key(1).build(), Recording::default());
    let service = house(&streams, &recording);
    let _held = ask_for(&service, of("a")).await;
    let waits = begin(ask_for(&service, of("a")));
    streams.start_drain();
    assert!(!is_stream(&waits.now_or_never().expect("the request is refused at once")));
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
    assert_eq!(refused(&recording), 2);
    assert!(recording.lines().iter().filter(|line| line.starts_with("refused")).all(|line| line.ends_with("drained")));
}

#[tokio::test(start_paused = true)]
async fn waiting_request_is_ended_by_its_key() {
    let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
    let service = house(&streams, &recording);
    let held = ask_for(&service, of("a")).await;
    let waits = begin(ask_for(&service, of("b")));
    assert_eq!(streams.end_key("b", "logged out"), 1);
    drop(held);
    let mut body = Reading::new(waits.now_or_never().expect("the slot is free").into_body());
    assert_eq!(body.rest().await, [":\n"]);
    assert!(recording.closed().pop().unwrap().ends_with(", logged out"));
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_for_a_limit_of_zero() {
    for streams in [Streams::builder().max_streams(0).build(), Streams::builder().max_per_key(0).build()] {
        let recording = Recording::default();
        assert!(!is_stream(&ask_for(&house(&streams, &recording), of("a")).now_or_never().expect("at once")));
    }
}

#[test]
fn without_a_runtime_nothing_waits() {
    let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
    let service = house(&streams, &recording);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _held = runtime.block_on(ask_for(&service, of("a")));
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
}

#[cfg(feature = "rate-limit")]
#[tokio::test(start_paused = true)]
async fn a_key_over_its_rate_does_not_wait() {
    let rate = std::num::NonZeroU32::new(2).unwrap();
    let (streams, recording) =
        (Streams::builder().max_per_key(1).rate_limit_per_key(rate, 10_000 * SECOND).build(), Recording::default());
    let service = house(&streams, &recording);
    let first = ask_for(&service, of("a")).await;
    let waits = begin(ask_for(&service, of("a")));
    drop(first);
    let second = waits.now_or_never().expect("the slot is free");
    assert!(is_stream(&second), "the rate is spent once");
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
    assert!(recording.lines().pop().unwrap().ends_with("opened too often"), "{:?}", recording.lines());
    drop(second);
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
}

/// Opens streams for this user, one after the other.
async fn opens_again(service: Sse<Inside, Endless>, streams: Streams, user: usize) -> usize {
    let mut opened = 0;
    for _ in 0..200 {
        let response = ask_for(&service, of(&(user % 5).to_string())).await;
        assert!(streams.len() <= 3);
        opened += usize::from(is_stream(&response));
        tokio::task::yield_now().await;
    }
    opened
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_slot_is_lost_or_given_twice() {
    let (streams, recording) = (Streams::builder().max_streams(3).max_per_key(1).build(), Recording::default());
    let service = house(&streams, &recording);
    let all = (0..16).map(|user| tokio::spawn(opens_again(service.clone(), streams.clone(), user)));
    let mut opened = 0;
    for clients in all.collect::<Vec<_>>() {
        opened += clients.await.unwrap();
    }
    assert_eq!(opened + refused(&recording), 16 * 200);
    assert_eq!((streams.len(), (0..5).any(|user| streams.len_for_key(&user.to_string()) > 0)), (0, false));
    assert!(is_stream(&ask_for(&service, of("0")).now_or_never().expect("no request waits before it")));
}

#[tokio::test(start_paused = true)]
async fn waiting_request_holds_no_permit_of_the_inner_service() {
    let streams = Streams::builder().max_streams(1).build();
    let inside = ConcurrencyLimit::new(answers_again(|| Response::from(open_end())), 1);
    let service = SseLayer::decorate().streams(&streams).layer(inside);
    let held = service.clone().oneshot(get()).await.unwrap();
    let waits = begin(service.clone().oneshot(get()));
    let mut other = service.clone();
    let ready = other.ready().now_or_never().expect("the service has room");
    assert!(ready.is_ok());
    drop((held, other));
    assert!(is_stream(&waits.await.unwrap()), "the request waits until the service is ready");
}

#[tokio::test(start_paused = true)]
async fn waiting_request_of_decorate_is_ended_by_its_key() {
    for request in [get as fn() -> _, || ask(Method::POST)] {
        let streams = Streams::builder().max_streams(1).build();
        let inside = answers_again(|| Response::from(open_end()));
        let service = SseLayer::decorate().streams(&streams).stream_key(|_| Some("me".into())).layer(inside);
        let held = service.clone().oneshot(get()).await.unwrap();
        let waits = begin(service.clone().oneshot(request()));
        assert_eq!(streams.end_key("me", "logged out"), 2);
        drop(held);
        let rest = Reading::new(waits.await.unwrap().into_body()).rest().await.concat();
        assert!(!rest.contains("data"), "{rest}");
        assert_eq!((streams.len(), streams.len_for_key("me")), (0, 0));
    }
}

#[cfg(feature = "rate-limit")]
#[tokio::test(start_paused = true)]
async fn failed_waits_and_pages_spend_no_rate() {
    let rate = std::num::NonZeroU32::new(2).unwrap();
    let (streams, recording) =
        (Streams::builder().max_per_key(1).rate_limit_per_key(rate, 10_000 * SECOND).build(), Recording::default());
    let service = house(&streams, &recording);
    let pages = SseLayer::decorate().streams(&streams).stream_key(user).layer(Inside);
    let held = ask_for(&service, of("a")).await;
    for _ in 0..5 {
        assert!(!is_stream(&ask_for(&service, of("a")).await));
        assert!(
            recording.lines().pop().unwrap().ends_with("stream limit for this key reached"),
            "{:?}",
            recording.lines()
        );
        let mut page = of("a");
        *page.method_mut() = Method::POST;
        ask_for(&pages, page).await;
    }
    drop(held);
    let held = ask_for(&service, of("a")).await;
    assert!(is_stream(&held));
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
    assert!(recording.lines().pop().unwrap().ends_with("opened too often"), "{:?}", recording.lines());
}
