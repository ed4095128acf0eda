//! The time that a request waits for a slot in several layers.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::{Instant, sleep};
use tower::{Layer, service_fn};
use tower_sse::{Refusal, Sse, SseLayer, streams::Streams};

use super::{
    Endless, Inside, SECOND, ask_for,
    in_flight::again,
    open_end, serve,
    waiting_for_slot::{MS, house, is_stream, of, refused, user},
};
use crate::support::{Recording, answers_again, ask, get};

/// Requests two streams within this request, the second 30 ms later. Returns the number of opened ones.
async fn asks_twice(
    inner: Sse<Inside, Endless>,
    request: Request<String>,
    opened: Arc<AtomicUsize>,
) -> Result<Response<String>, Refusal> {
    let second = async {
        sleep(30 * MS).await;
        ask_for(&inner, again(&request)).await
    };
    let (first, second) = tokio::join!(ask_for(&inner, again(&request)), second);
    opened.fetch_add(usize::from(is_stream(&first)) + usize::from(is_stream(&second)), SeqCst);
    Ok(Response::new(String::from("done")))
}

#[tokio::test(start_paused = true)]
async fn inner_requests_each_have_their_own_waiting_time() {
    for (is_freed, total) in [(false, 1), (true, 1), (true, 2)] {
        let (streams, recording) = (Streams::builder().max_streams(total).build(), Recording::default());
        let inner = house(&streams, &recording);
        let held = join_all((0..total).map(|_| ask_for(&inner, get()))).await;
        let opened = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&opened);
        let asks_twice = service_fn(move |request| asks_twice(inner.clone(), request, Arc::clone(&counts)));
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
        assert_eq!((opened.load(SeqCst), refused(&recording), streams.len()), (expected, 2 - expected, 0));
        assert!(took < 130 * MS && (expected == 2 || took >= 110 * MS), "{took:?}");
        let full = |line: &&String| line.ends_with("stream limit reached");
        assert_eq!(recording.lines().iter().filter(full).count(), 2 - expected, "{:?}", recording.lines());
    }
}

/// A stream that occupies a slot.
async fn takes_a_place(streams: &Streams) -> Response<impl Body> {
    let layer = SseLayer::from_fn(|_: Request<String>| ready(open_end())).streams(streams);
    ask_for(&serve(&layer), get()).await
}

/// Calls a layer around a layer. The streams of both are full, and have room one after the other, each after so long, except for
/// those that stay full. Returns whether a stream is opened, and the time that it takes.
async fn waits_in_two_layers(
    stays: Option<usize>,
    freed_after: Duration,
    request: Request<String>,
) -> (bool, Duration) {
    let streams = [Streams::builder().max_streams(1).build(), Streams::builder().max_streams(1).build()];
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
    assert_eq!((outer.len(), inner.len()), (full(0), full(1)), "the wait has left nothing behind");
    answered
}

#[tokio::test(start_paused = true)]
async fn layers_with_different_streams_share_one_waiting_time() {
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
async fn waits_for_total_and_key_share_one_waiting_time() {
    for is_freed in [false, true] {
        let (streams, recording) = (Streams::builder().max_streams(2).max_per_key(1).build(), Recording::default());
        let house = house(&streams, &recording);
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
        assert_eq!(streams.len(), 0);
    }
}

/// The first wait was in a layer that has admitted the request, and the answer takes longer than any wait.
#[tokio::test(start_paused = true)]
async fn only_time_spent_waiting_for_a_slot_counts() {
    let (ours, theirs) = (Streams::builder().max_streams(1).build(), Streams::builder().max_streams(1).build());
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
