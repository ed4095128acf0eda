//! A client that closes its stream and opens another one: the second waits a moment for the place of the first.

use std::{
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_sse::{Refusal, RequestHead, Sse, SseLayer, streams::Streams};

use super::{Endless, Inside, SECOND, ask_for, endless, open_end, serve, under_way::again};
use crate::support::{Reading, Told, answers_again, ask, get};

const MS: Duration = Duration::from_millis(1);

/// Returns the user of a request: the query.
fn user(head: &RequestHead<'_>) -> Option<Arc<str>> {
    head.uri().query().map(Arc::from)
}

fn of(user: &str) -> Request<String> {
    let mut request = get();
    *request.uri_mut() = format!("/?{user}").parse().unwrap();
    request
}

fn house(streams: &Streams, told: &Told) -> Sse<Inside, Endless> {
    serve(&endless(streams, told).stream_key(user))
}

fn is_stream<B: Body>(response: &Response<B>) -> bool {
    response.body().size_hint().upper().is_none() && response.status() == 200
}

fn refused(told: &Told) -> usize {
    told.lines().iter().filter(|line| line.starts_with("refused")).count()
}

/// A request that is on its way.
fn begin<F: Future>(request: F) -> Pin<Box<F>> {
    let mut request = Box::pin(request);
    assert!((&mut request).now_or_never().is_none(), "it waits");
    request
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_free_in_a_moment_is_for_the_request_that_waits() {
    let (streams, told) = (Streams::builder().per_key(1).build(), Told::default());
    let service = house(&streams, &told);
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
    assert_eq!((refused(&told), streams.open_of("a")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn decorate_waits_before_the_service_inside_runs_or_with_its_answer() {
    for (request, runs_first) in [(get as fn() -> _, false), (|| ask(Method::POST), true)] {
        let streams = Streams::builder().total(1).build();
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
    let limits = [Streams::builder().per_key(1).build(), Streams::builder().total(1).build()];
    for streams in limits {
        let told = Told::default();
        let service = house(&streams, &told);
        let held = ask_for(&service, of("a")).await;
        let begin = Instant::now();
        assert!(!is_stream(&ask_for(&service, of("a")).await));
        assert!(begin.elapsed() < 100 * MS && begin.elapsed() >= 50 * MS, "{:?}", begin.elapsed());
        assert_eq!((refused(&told), streams.open()), (1, 1));
        drop(held);
        assert!(is_stream(&ask_for(&service, of("a")).await), "nothing is left of it");
    }
}

#[tokio::test(start_paused = true)]
async fn one_request_of_a_key_waits_and_others_are_refused_at_once() {
    let (streams, told) = (Streams::builder().per_key(1).build(), Told::default());
    let service = house(&streams, &told);
    let held = ask_for(&service, of("a")).await;
    let waits = begin(ask_for(&service, of("a")));
    for _ in 0..10 {
        assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
    }
    assert!(is_stream(&ask_for(&service, of("b")).now_or_never().expect("it has room")));
    drop(held);
    assert!(is_stream(&waits.now_or_never().expect("it is its turn")));
}

#[tokio::test(start_paused = true)]
async fn at_most_64_requests_wait_and_places_are_theirs_in_order() {
    let (streams, told) = (Streams::builder().total(3).build(), Told::default());
    let service = house(&streams, &told);
    let mut held = Vec::new();
    for number in 0..3 {
        held.push(ask_for(&service, of(&format!("held{number}"))).await);
    }
    let mut waiting: Vec<_> = (0..64).map(|number| begin(ask_for(&service, of(&number.to_string())))).collect();
    assert!(!is_stream(&ask_for(&service, of("one-more")).now_or_never().expect("at once")));
    assert!(!is_stream(&ask_for(&service, get()).now_or_never().expect("at once, without a key too")));
    for number in 0..10 {
        // One that leaves is passed over.
        drop(waiting.remove(1));
        drop(held.remove(0));
        assert!((&mut waiting[1]).now_or_never().is_none(), "not before the one that came first");
        let first = waiting.remove(0).now_or_never().expect("its turn");
        assert!(is_stream(&first), "{number}");
        held.push(first);
    }
    assert_eq!((streams.open(), refused(&told)), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_given_to_a_request_that_has_left_goes_to_the_next() {
    let streams = Streams::builder().total(1).build();
    let told = Told::default();
    let service = house(&streams, &told);
    let held = ask_for(&service, of("a")).await;
    let (first, second) = (begin(ask_for(&service, of("b"))), begin(ask_for(&service, of("c"))));
    drop(held);
    assert_eq!((streams.open_of("b"), streams.open_of("c")), (1, 0), "given, and not looked at yet");
    drop(first);
    assert!(is_stream(&second.now_or_never().expect("it is its turn")));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_in_a_drain() {
    let (streams, told) = (Streams::builder().per_key(1).build(), Told::default());
    let service = house(&streams, &told);
    let _held = ask_for(&service, of("a")).await;
    let waits = begin(ask_for(&service, of("a")));
    streams.start_drain();
    assert!(!is_stream(&waits.now_or_never().expect("it is refused at once")));
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
    assert_eq!(refused(&told), 2);
    assert!(told.lines().iter().filter(|line| line.starts_with("refused")).all(|line| line.ends_with("drained")));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_ended_by_its_key() {
    let (streams, told) = (Streams::builder().total(1).build(), Told::default());
    let service = house(&streams, &told);
    let held = ask_for(&service, of("a")).await;
    let waits = begin(ask_for(&service, of("b")));
    assert_eq!(streams.end("b", "logged out"), 1);
    drop(held);
    let mut body = Reading::new(waits.now_or_never().expect("it is its turn").into_body());
    assert_eq!(body.rest().await, [":\n"]);
    assert!(told.closed().pop().unwrap().ends_with(", logged out"));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_nothing_is_not_waited_for() {
    for streams in [Streams::builder().total(0).build(), Streams::builder().per_key(0).build()] {
        let told = Told::default();
        assert!(!is_stream(&ask_for(&house(&streams, &told), of("a")).now_or_never().expect("at once")));
    }
}

#[test]
fn without_a_runtime_nothing_waits() {
    let (streams, told) = (Streams::builder().total(1).build(), Told::default());
    let service = house(&streams, &told);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _held = runtime.block_on(ask_for(&service, of("a")));
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
}

#[cfg(feature = "rate-limit")]
#[tokio::test(start_paused = true)]
async fn a_key_over_its_rate_does_not_wait() {
    let rate = std::num::NonZeroU32::new(2).unwrap();
    let (streams, told) = (Streams::builder().per_key(1).opens_per_key(rate, 10_000 * SECOND).build(), Told::default());
    let service = house(&streams, &told);
    let first = ask_for(&service, of("a")).await;
    let waits = begin(ask_for(&service, of("a")));
    drop(first);
    let second = waits.now_or_never().expect("its turn");
    assert!(is_stream(&second), "the rate is asked once");
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
    assert!(told.lines().pop().unwrap().ends_with("opened too often"), "{:?}", told.lines());
    drop(second);
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
}

/// Opens a stream for this user, again and again.
async fn opens_again(service: Sse<Inside, Endless>, streams: Streams, user: usize) -> usize {
    let mut opened = 0;
    for _ in 0..200 {
        let response = ask_for(&service, of(&(user % 5).to_string())).await;
        assert!(streams.open() <= 3);
        opened += usize::from(is_stream(&response));
        tokio::task::yield_now().await;
    }
    opened
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_or_given_twice_when_many_wait_and_leave() {
    let (streams, told) = (Streams::builder().total(3).per_key(1).build(), Told::default());
    let service = house(&streams, &told);
    let all = (0..16).map(|user| tokio::spawn(opens_again(service.clone(), streams.clone(), user)));
    let mut opened = 0;
    for clients in all.collect::<Vec<_>>() {
        opened += clients.await.unwrap();
    }
    assert_eq!(opened + refused(&told), 16 * 200);
    assert_eq!((streams.open(), (0..5).any(|user| streams.open_of(&user.to_string()) > 0)), (0, false));
    assert!(is_stream(&ask_for(&service, of("0")).now_or_never().expect("nothing waits before it")));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_holds_nothing_of_the_service_inside() {
    let streams = Streams::builder().total(1).build();
    let inside = ConcurrencyLimit::new(answers_again(|| Response::from(open_end())), 1);
    let service = SseLayer::decorate().streams(&streams).layer(inside);
    let held = service.clone().oneshot(get()).await.unwrap();
    let waits = begin(service.clone().oneshot(get()));
    let mut other = service.clone();
    let ready = other.ready().now_or_never().expect("it has room for another request");
    assert!(ready.is_ok());
    drop((held, other));
    assert!(is_stream(&waits.await.unwrap()), "it waits until the service is ready");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_under_decorate_is_ended_by_its_key() {
    for request in [get as fn() -> _, || ask(Method::POST)] {
        let streams = Streams::builder().total(1).build();
        let inside = answers_again(|| Response::from(open_end()));
        let service = SseLayer::decorate().streams(&streams).stream_key(|_| Some("me".into())).layer(inside);
        let held = service.clone().oneshot(get()).await.unwrap();
        let waits = begin(service.clone().oneshot(request()));
        assert_eq!(streams.end("me", "logged out"), 2);
        drop(held);
        let rest = Reading::new(waits.await.unwrap().into_body()).rest().await.concat();
        assert!(!rest.contains("data"), "{rest}");
        assert_eq!((streams.open(), streams.open_of("me")), (0, 0));
    }
}

#[cfg(feature = "rate-limit")]
#[tokio::test(start_paused = true)]
async fn a_wait_that_fails_and_a_page_spend_nothing_of_the_rate() {
    let rate = std::num::NonZeroU32::new(2).unwrap();
    let (streams, told) = (Streams::builder().per_key(1).opens_per_key(rate, 10_000 * SECOND).build(), Told::default());
    let service = house(&streams, &told);
    let pages = SseLayer::decorate().streams(&streams).stream_key(user).layer(Inside);
    let held = ask_for(&service, of("a")).await;
    for _ in 0..5 {
        assert!(!is_stream(&ask_for(&service, of("a")).await));
        assert!(told.lines().pop().unwrap().ends_with("of this key as there may be"), "{:?}", told.lines());
        let mut page = of("a");
        *page.method_mut() = Method::POST;
        ask_for(&pages, page).await;
    }
    drop(held);
    let held = ask_for(&service, of("a")).await;
    assert!(is_stream(&held));
    assert!(!is_stream(&ask_for(&service, of("a")).now_or_never().expect("at once")));
    assert!(told.lines().pop().unwrap().ends_with("opened too often"), "{:?}", told.lines());
}

/// Asks for two streams within this request, for the second 30 ms later. Returns how many are opened.
async fn asks_twice(inner: &Sse<Inside, Endless>, request: Request<String>) -> usize {
    let second = async {
        sleep(30 * MS).await;
        ask_for(inner, again(&request)).await
    };
    let (first, second) = tokio::join!(ask_for(inner, again(&request)), second);
    usize::from(is_stream(&first)) + usize::from(is_stream(&second))
}

#[tokio::test(start_paused = true)]
async fn requests_made_inside_one_wait_each_for_its_own_time() {
    for (is_freed, total) in [(false, 1), (true, 1), (true, 2)] {
        let (streams, told) = (Streams::builder().total(total).build(), Told::default());
        let inner = house(&streams, &told);
        let held = join_all((0..total).map(|_| ask_for(&inner, get()))).await;
        let opened = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&opened);
        let asks_twice = service_fn(move |request| {
            let (inner, counts) = (inner.clone(), Arc::clone(&counts));
            async move {
                counts.fetch_add(asks_twice(&inner, request).await, SeqCst);
                Ok::<_, Refusal>(Response::new(String::from("done")))
            }
        });
        let service = SseLayer::decorate().streams(&streams).layer(asks_twice);
        let begin = Instant::now();
        let asked = async {
            ask_for(&service, ask(Method::POST)).await;
            begin.elapsed()
        };
        let (took, ()) = tokio::join!(asked, async {
            sleep(if is_freed { 50 * MS } else { SECOND }).await;
            drop(held);
        });
        let expected = if is_freed { total } else { 0 };
        assert_eq!((opened.load(SeqCst), refused(&told), streams.open()), (expected, 2 - expected, 0));
        assert!(took < 130 * MS && (expected == 2 || took >= 110 * MS), "{took:?}");
        let full = |line: &&String| line.ends_with("as many streams as there may be");
        assert_eq!(told.lines().iter().filter(full).count(), 2 - expected, "{:?}", told.lines());
    }
}

/// A stream that takes a place.
async fn takes_a_place(streams: &Streams) -> Response<impl Body> {
    let layer = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(streams);
    ask_for(&serve(&layer), get()).await
}

/// Asks a layer around a layer. The streams of both are full, and have room one after the other, each after so long, but for
/// those that stay full. Returns whether a stream is opened, and how long that takes.
async fn waits_in_two_layers(
    stays: Option<usize>,
    freed_after: Duration,
    request: Request<String>,
) -> (bool, Duration) {
    let streams = [Streams::builder().total(1).build(), Streams::builder().total(1).build()];
    let mut held = vec![takes_a_place(&streams[0]).await, takes_a_place(&streams[1]).await];
    let _stays = stays.map(|full| held.remove(full));
    let [outer, inner] = &streams;
    let handler = answers_again(|| Response::from(open_end()));
    let service = SseLayer::decorate().streams(outer).layer(SseLayer::decorate().streams(inner).layer(handler));
    let begin = Instant::now();
    let asked = async {
        let response = ask_for(&service, request).await;
        (is_stream(&response), begin.elapsed())
    };
    let frees = async {
        for held in held {
            sleep(freed_after).await;
            drop(held);
        }
    };
    let (answered, ()) = tokio::join!(asked, frees);
    let full = |number| usize::from(stays == Some(number));
    assert_eq!((outer.open(), inner.open()), (full(0), full(1)), "nothing is left of it");
    answered
}

#[tokio::test(start_paused = true)]
async fn layers_with_different_streams_share_the_time_that_a_request_waits() {
    for request in [get as fn() -> _, || ask(Method::POST)] {
        for full in [0, 1] {
            let (is_stream, took) = waits_in_two_layers(Some(full), 50 * MS, request()).await;
            assert!(!is_stream && took < 100 * MS, "{full}: {took:?}");
        }
        let (is_stream, took) = waits_in_two_layers(None, 30 * MS, request()).await;
        assert!(is_stream && took < 70 * MS, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_room_in_all_and_one_for_room_of_a_key_share_their_time() {
    for is_freed in [false, true] {
        let (streams, told) = (Streams::builder().total(2).per_key(1).build(), Told::default());
        let house = house(&streams, &told);
        let (of_key, other) = (ask_for(&house, of("a")).await, ask_for(&house, of("b")).await);
        let inner = SseLayer::decorate().streams(&streams).stream_key(user);
        let handler = answers_again(|| Response::from(open_end()));
        let service = SseLayer::decorate().streams(&streams).layer(inner.layer(handler));
        let begin = Instant::now();
        let asked = async {
            let response = ask_for(&service, of("a")).await;
            (is_stream(&response), begin.elapsed())
        };
        let ((is_stream, took), ()) = tokio::join!(asked, async {
            sleep(50 * MS).await;
            drop(other);
            sleep(if is_freed { 20 * MS } else { SECOND }).await;
            drop(of_key);
        });
        assert!(is_stream == is_freed && took < 100 * MS, "{took:?}");
        assert_eq!(streams.open(), 0);
    }
}

/// The first wait was in a layer that has let it in, and the answer takes longer than any wait.
#[tokio::test(start_paused = true)]
async fn only_time_that_is_waited_for_room_counts_as_waiting() {
    let (ours, theirs) = (Streams::builder().total(1).build(), Streams::builder().total(1).build());
    let (held, held_too) = (takes_a_place(&ours).await, takes_a_place(&theirs).await);
    let handler = service_fn(|_: Request<String>| async {
        sleep(SECOND).await;
        Ok::<_, Refusal>(Response::from(open_end()))
    });
    let inner = SseLayer::decorate().streams(&theirs).layer(handler);
    let service = SseLayer::decorate().streams(&ours).expect_stream(|_| true).layer(inner);
    let (response, ()) = tokio::join!(ask_for(&service, ask(Method::POST)), async {
        sleep(30 * MS).await;
        drop(held);
        sleep(SECOND + 20 * MS).await;
        drop(held_too);
    });
    assert!(is_stream(&response));
}
