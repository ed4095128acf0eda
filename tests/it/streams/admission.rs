//! Limits and slots of streams at every entry point.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, service_fn};
use tower_sse::{Negotiate, Refusal, SseLayer, streams::Streams};

use super::{
    Inside, SECOND, ask_for,
    entry_points::{Asks, Make, both, for_all_requests, slow, ways},
    open_end,
};
use crate::support::{Hang, Recording, ask, bytes, get, stream};

#[tokio::test(start_paused = true)]
async fn drain_refuses_new_requests_at_every_entry_point() {
    let (streams, recording) = (Streams::new(), Recording::default());
    streams.start_drain();
    for (request, way) in both(&Asks::of(&streams).recording(&recording), SECOND, open_end) {
        let response = ask_for(&way.service, request()).await;
        let is_get = request().method() == Method::GET;
        let status = if is_get { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!((response.status(), recording.closed().len()), (status, 0), "{}", way.name);
        assert!(recording.lines().pop().unwrap().ends_with(", streams are being drained"), "{:?}", recording.lines());
        let is_asked = !is_get && way.is_decorated;
        assert_eq!(way.runs(), usize::from(is_asked), "{}: whether its answer is a stream is not known", way.name);
    }
}

#[tokio::test(start_paused = true)]
async fn stream_beyond_the_limit_is_refused_and_frees_its_slot() {
    let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
    for (request, way) in both(&Asks::of(&streams).recording(&recording), Duration::ZERO, open_end) {
        let mut first = way.open(request()).await;
        assert!(first.next().await.is_some());
        assert_eq!(streams.len(), 1, "{}", way.name);
        ask_for(&way.service, request()).await;
        let full = "stream limit reached";
        assert!(recording.lines().pop().unwrap().ends_with(full), "{}: {:?}", way.name, recording.lines());
        drop(first);
        assert_eq!(streams.len(), 0, "{}", way.name);
        drop(way.open(request()).await);
    }
}

fn accepts(accept: &'static str) -> Request<String> {
    let mut request = get();
    request.headers_mut().insert("accept", http::HeaderValue::from_static(accept));
    request
}

/// Checks the outcome of a second request for the only slot, while the first is in flight.
async fn counts_under_way(request: Make, is_known: bool) {
    let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
    let refused = || recording.lines().iter().filter(|line| line.starts_with("refused")).count();
    for way in ways(&Asks::of(&streams).recording(&recording), 5 * SECOND, open_end) {
        let before = refused();
        let is_known = is_known || !way.is_decorated;
        let second = async {
            sleep(SECOND).await;
            assert_eq!(streams.len(), usize::from(is_known), "{}: {:?}", way.name, request());
            ask_for(&way.service, request()).await
        };
        let (first, _) = tokio::join!(way.open(request()), second);
        assert_eq!(refused(), before + 1, "{}", way.name);
        assert_eq!((way.runs(), streams.len()), (2 - usize::from(is_known), 1), "{}", way.name);
        drop(first);
    }
}

/// An `EventSource`'s request is known to be for a stream. Others are classified by their answer.
#[tokio::test(start_paused = true)]
async fn in_flight_request_counts_if_known_to_be_for_a_stream() {
    counts_under_way(get, true).await;
    counts_under_way(|| accepts("Text/Event-Stream;q=0.9"), true).await;
    counts_under_way(|| accepts("application/json;q=0.9, text/event-stream"), false).await;
    counts_under_way(|| ask(Method::POST), false).await;
}

#[tokio::test(start_paused = true)]
async fn request_selected_by_expect_stream_counts() {
    let streams = Streams::builder().max_streams(1).build();
    let runs = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&runs);
    let inside = service_fn(move |_: Request<String>| {
        counts.fetch_add(1, SeqCst);
        async {
            sleep(5 * SECOND).await;
            Ok::<_, Refusal>(stream([bytes("data: a\n\n"), Hang]))
        }
    });
    let layer = SseLayer::decorate().streams(&streams).expect_stream(|head| head.uri().path() == "/v1/completions");
    let service = layer.layer(inside);
    let post = |path: &str| Request::post(path).body(String::new()).unwrap();
    let (first, ()) = tokio::join!(ask_for(&service, post("/v1/completions")), async {
        sleep(SECOND).await;
        assert_eq!(streams.len(), 1);
        assert_eq!(ask_for(&service, post("/v1/completions")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(runs.load(SeqCst), 1, "refused before it runs");
        let other = timeout(SECOND, ask_for(&service, post("/other")));
        assert!(other.await.is_err());
        assert_eq!((runs.load(SeqCst), streams.len()), (2, 1));
    });
    drop(first);
    assert_eq!(streams.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn page_is_not_a_stream_and_frees_its_slot() {
    let streams = Streams::builder().max_streams(1).build();
    let page = || service_fn(|_: Request<String>| ready(Ok::<_, Refusal>(Response::new(String::from("a page")))));
    let layer = || SseLayer::decorate().streams(&streams).stream_key(|_| Some("me".into()));
    for request in [get(), ask(Method::POST), Request::new(String::new())] {
        let mut answered = std::pin::pin!(layer().layer(layer().layer(page())).call(request));
        assert_eq!(answered.as_mut().await.unwrap().status(), StatusCode::OK);
        assert_eq!((streams.len(), streams.len_for_key("me"), streams.end_key("me", "none is left")), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn head_request_is_admitted_at_every_entry_point() {
    let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
    for way in ways(&Asks { key: Some("me"), ..Asks::of(&streams).recording(&recording) }, SECOND, open_end) {
        let (head, ended) = tokio::join!(ask_for(&way.service, ask(Method::HEAD)), async {
            sleep(SECOND / 2).await;
            streams.end_key("me", "it is under way")
        });
        assert_eq!((head.status(), ended, streams.len()), (StatusCode::OK, 1, 0), "{}", way.name);
        drop(head);
        let held = way.open(get()).await;
        let refused = recording.lines().len();
        ask_for(&way.service, ask(Method::HEAD)).await;
        assert_eq!(recording.lines().len(), refused + 1, "{}: {:?}", way.name, recording.lines());
        assert!(recording.lines()[refused].starts_with("refused HEAD"), "{:?}", recording.lines());
        drop(held);
    }
}

#[cfg(feature = "rate-limit")]
#[tokio::test(start_paused = true)]
async fn head_request_counts_for_the_rate_at_every_entry_point() {
    let recording = Recording::default();
    for number in 0..ways(&Asks::default(), SECOND, open_end).len() {
        let rate = std::num::NonZeroU32::new(2).unwrap();
        let streams = Streams::builder().rate_limit_per_key(rate, 10_000 * SECOND).build();
        let asks = Asks { key: Some("me"), ..Asks::of(&streams).recording(&recording) };
        let way = ways(&asks, SECOND, open_end).remove(number);
        for _ in 0..2 {
            assert_eq!(ask_for(&way.service, ask(Method::HEAD)).await.status(), StatusCode::OK, "{}", way.name);
        }
        let before = recording.lines().len();
        for request in [ask(Method::HEAD), get()] {
            ask_for(&way.service, request).await;
        }
        let refused = recording.lines().split_off(before);
        let method = |line: &String, method: &str| line.starts_with(&format!("refused {method} "));
        assert!(method(&refused[0], "HEAD") && method(&refused[1], "GET"), "{}: {refused:?}", way.name);
        assert!(refused.iter().all(|line| line.ends_with("opened too often")), "{}: {refused:?}", way.name);
        assert_eq!((refused.len(), streams.len(), streams.len_for_key("me")), (2, 0, 0), "{}", way.name);
    }
}

/// Sends a HEAD request that waits, at the entry point of this number, for a slot that is released after 20 ms or never.
async fn head_waits(streams: Streams, number: usize, is_freed: bool) {
    let recording = Recording::default();
    let asks = Asks { key: Some("me"), ..Asks::of(&streams).recording(&recording) };
    let way = ways(&asks, Duration::ZERO, open_end).remove(number);
    let held = way.open(get()).await;
    let begin = Instant::now();
    let (head, (held, took)) = tokio::join!(ask_for(&way.service, ask(Method::HEAD)), async {
        sleep(Duration::from_millis(20)).await;
        let held = (!is_freed).then_some(held);
        (held, begin.elapsed())
    });
    let refused = recording.lines().iter().filter(|line| line.starts_with("refused HEAD")).count();
    let count = usize::from(!is_freed);
    assert_eq!((head.status(), refused), (StatusCode::OK, count), "{}", way.name);
    let waited = if is_freed { took } else { Duration::from_millis(80) };
    assert_eq!(begin.elapsed().as_millis() / 10, waited.as_millis() / 10, "{}", way.name);
    assert_eq!((streams.len(), streams.len_for_key("me")), (count, count), "{}", way.name);
    drop(held);
    assert_eq!((streams.len(), streams.len_for_key("me")), (0, 0), "{}: and its head is still there", way.name);
    drop(head);
}

#[tokio::test(start_paused = true)]
async fn waiting_head_request_frees_its_slot_with_its_head() {
    for number in 0..ways(&Asks::default(), SECOND, open_end).len() {
        for is_freed in [true, false] {
            head_waits(Streams::builder().max_per_key(1).build(), number, is_freed).await;
            head_waits(Streams::builder().max_streams(1).build(), number, is_freed).await;
        }
    }
}

/// A request that accepts another type, or has no `Accept`.
#[tokio::test(start_paused = true)]
async fn event_service_for_all_requests_admits_any_accept() {
    let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
    for request in [|| Request::new(String::new()), || accepts("application/json"), || accepts("text/event-stream;q=0")]
    {
        for way in for_all_requests(&Asks::of(&streams).recording(&recording), SECOND, open_end) {
            let (response, ()) = tokio::join!(ask_for(&way.service, request()), async {
                sleep(SECOND / 2).await;
                assert_eq!(streams.len(), 1, "{}", way.name);
                ask_for(&way.service, request()).await;
                let lines = recording.lines();
                assert!(lines.last().unwrap().ends_with("stream limit reached"), "{}: {lines:?}", way.name);
            });
            assert!(!response.headers().contains_key("vary"), "{}: {:?}", way.name, response.headers());
            assert_eq!(way.runs(), 1, "{}", way.name);
            drop(response);
            assert_eq!(streams.len(), 0, "{}", way.name);
        }
    }
}

/// The answer for a client of an LLM that requests no stream.
#[tokio::test(start_paused = true)]
async fn document_frees_its_slot_with_its_head() {
    let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
    let document = || Response::builder().header("content-type", "application/json").body(String::from("{}")).unwrap();
    let layer = SseLayer::new(slow(Arc::default(), 30 * SECOND, document)).negotiate(Negotiate::Always);
    let service = Asks { key: Some("me"), ..Asks::of(&streams).recording(&recording) }.by(layer).layer(Inside);
    for request in [get, || ask(Method::POST), || ask(Method::HEAD)] {
        let (response, ended) = tokio::join!(ask_for(&service, request()), async {
            sleep(SECOND).await;
            assert_eq!((streams.len(), streams.len_for_key("me")), (1, 1), "the answer is not known yet");
            streams.end_key("me", "over")
        });
        assert_eq!((ended, response.headers()["content-type"].as_bytes()), (1, &b"application/json"[..]));
        assert_eq!((streams.len(), streams.len_for_key("me")), (0, 0), "while the document still exists");
    }
    assert!(recording.lines().is_empty(), "{:?}", recording.lines());
}

#[tokio::test(start_paused = true)]
async fn reopening_client_is_admitted_at_every_entry_point() {
    let (streams, recording) = (Streams::builder().max_streams(1).max_per_key(1).build(), Recording::default());
    let asks = Asks { key: Some("me"), ..Asks::of(&streams).recording(&recording) };
    for (request, way) in both(&asks, Duration::ZERO, open_end) {
        let first = way.open(request()).await;
        let (second, ()) = tokio::join!(way.open(request()), async {
            sleep(Duration::from_millis(20)).await;
            drop(first);
        });
        assert_eq!((streams.len(), streams.len_for_key("me"), way.runs()), (1, 1, 2), "{}", way.name);
        drop(second);
    }
    assert!(!recording.lines().iter().any(|line| line.starts_with("refused")), "{:?}", recording.lines());
}
