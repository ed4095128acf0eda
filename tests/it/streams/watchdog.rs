//! Streams whose clients do not read are detected from outside, and no others.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake},
    thread,
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_sse::{SseLayer, streams::Streams};

use super::{SECOND, ask_for, endless, read, serve};
use crate::support::{Recording, answers_again, get};

#[tokio::test(start_paused = true)]
async fn unpolled_stream_is_closed_once_and_ends_quietly() {
    // Never polled, a prelude, an event.
    for polls in 0..3 {
        let (streams, recording) = (Streams::builder().stall_timeout(8 * SECOND).build(), Recording::default());
        let service = serve(&endless(&streams, &recording));
        let mut body = read(&service).await;
        for _ in 0..polls {
            assert!(body.poll_once().is_ready());
        }
        sleep(Duration::from_millis(7_900)).await;
        assert_eq!((streams.len(), recording.closed().len()), (1, 0), "polls: {polls}");
        sleep(Duration::from_millis(2_200)).await;
        assert_eq!(streams.len(), 0, "its permit is free within a quarter more: {polls}");
        assert!(recording.closed()[0].starts_with("stalled after "), "{:?}", recording.closed());

        sleep(100 * SECOND).await;
        let rest = body.rest().await;
        assert!(rest.iter().all(|frame| !frame.contains("data")), "nothing more is sent: {rest:?}");
        drop(body);
        assert_eq!(recording.closed().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn permit_of_a_stalled_reader_is_reused() {
    let streams = Streams::builder().max_streams(1).stall_timeout(8 * SECOND).build();
    let recording = Recording::default();
    let service = serve(&endless(&streams, &recording));
    let mut stalled = read(&service).await;
    assert!(stalled.poll_once().is_ready());
    ask_for(&service, get()).await;
    assert_eq!(recording.lines().last().unwrap(), "refused GET 200 OK, stream limit reached");
    sleep(20 * SECOND).await;
    let mut next = read(&service).await;
    assert_eq!((next.next().await.unwrap(), next.next().await.unwrap()), (":\n".into(), "data: a\n\n".into()));
    assert_eq!(streams.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn idle_and_slow_readers_are_not_stalled() {
    let (streams, recording) = (Streams::builder().stall_timeout(8 * SECOND).build(), Recording::default());
    let service = serve(&endless(&streams, &recording).heartbeat(tower_sse::Heartbeat::off()));
    let mut waits = read(&service).await;
    while waits.poll_once().is_ready() {}
    let numbers = futures_util::stream::repeat_with(|| tower_sse::Event::new("x".repeat(9_000)));
    let busy = move || tower_sse::Events::new(numbers.clone());
    let layer = SseLayer::new(answers_again(busy)).streams(&streams).observer(recording.clone());
    let mut slow = read(&serve(&layer)).await;
    for _ in 0..100 {
        assert!(slow.poll_once().is_ready());
        sleep(7 * SECOND).await;
    }
    assert_eq!((streams.len(), recording.closed().len()), (2, 0));
    assert!(waits.poll_once().is_pending());
}

#[tokio::test(start_paused = true)]
async fn stalled_stream_stays_open_without_a_watchdog() {
    let (streams, recording) = (Streams::builder().stall_timeout(None).build(), Recording::default());
    let mut body = read(&serve(&endless(&streams, &recording))).await;
    assert!(body.poll_once().is_ready());
    sleep(10_000 * SECOND).await;
    assert_eq!((streams.len(), recording.closed().len()), (1, 0));
    drop(body);
    assert!(recording.closed()[0].starts_with("stalled after 10000000 ms"), "{:?}", recording.closed());
}

/// The waker of a task whose executor is broken.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("this waker panics");
    }
}

/// A waker that panicked ended the watchdog of all others, until one more stream opened.
#[tokio::test(start_paused = true)]
async fn panicking_waker_does_not_end_the_watchdog() {
    let streams = Streams::builder().stall_timeout(8 * SECOND).build();
    let once = SseLayer::from_fn(|_: http::Request<String>| async {
        let mut is_first = true;
        let late = futures_util::stream::poll_fn(move |_| match std::mem::take(&mut is_first) {
            true => Poll::Pending,
            false => Poll::Ready(Some(tower_sse::Event::new("a"))),
        });
        tower_sse::Events::new(late).heartbeat(tower_sse::Heartbeat::off())
    });
    let mut panics = Box::pin(ask_for(&serve(&once.streams(&streams)), get()).await.into_body());
    let waker = Arc::new(Panics).into();
    let mut cx = Context::from_waker(&waker);
    // A stream that sends its head, stays pending, which leaves a waker, and then sends a frame.
    while http_body::Body::poll_frame(panics.as_mut(), &mut cx).is_ready() {}
    assert!(http_body::Body::poll_frame(panics.as_mut(), &mut cx).is_ready());
    let mut other = read(&serve(&endless(&streams, &Recording::default()))).await;
    assert!(other.poll_once().is_ready());
    assert_eq!(streams.len(), 2);
    sleep(20 * SECOND).await;
    assert_eq!(streams.len(), 0, "both are detected");
}

#[tokio::test(start_paused = true)]
async fn watchdog_restarts_with_the_next_stream() {
    let (streams, recording) = (Streams::builder().stall_timeout(8 * SECOND).build(), Recording::default());
    let service = serve(&endless(&streams, &recording));
    for number in 0..3 {
        drop(read(&service).await);
        sleep(100 * SECOND).await;
        let mut body = read(&service).await;
        assert!(body.poll_once().is_ready());
        sleep(20 * SECOND).await;
        assert_eq!((streams.len(), recording.closed().len()), (0, 2 * (number + 1)));
    }
}

/// A runtime of its own, with the clock of all.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn a_runtime_that_ends_with_open_streams_ends() {
    let streams = Streams::builder().stall_timeout(Duration::from_millis(40)).build();
    let recording = Recording::default();
    let service = serve(&endless(&streams, &recording));
    for threads in [0, 2] {
        let runtime = match threads {
            0 => runtime(),
            _ => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_time().build().unwrap(),
        };
        // The body is held outside, so that there is a stream when the watchdog's task is dropped.
        let held = runtime.block_on(read(&service));
        assert_eq!(streams.len(), 1);
        drop(runtime);
        drop(held);
        assert_eq!(streams.len(), 0);
    }
}

#[test]
fn another_runtime_watches_when_the_first_has_ended() {
    let streams = Streams::builder().stall_timeout(Duration::from_millis(40)).build();
    let recording = Recording::default();
    let service = serve(&endless(&streams, &recording));
    let first = runtime();
    let mut held = first.block_on(read(&service));
    assert!(held.poll_once().is_ready());
    drop(first);
    runtime().block_on(async {
        let mut other = read(&service).await;
        assert!(other.poll_once().is_ready());
        let limit = Instant::now() + 60 * SECOND;
        while !streams.is_empty() && Instant::now() < limit {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!((streams.len(), recording.closed().len()), (0, 2));
}

#[test]
fn stream_opened_outside_of_a_runtime_is_not_watched() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let service = serve(&endless(&streams, &recording));
    let body = thread::spawn(move || futures_util::FutureExt::now_or_never(read(&service)).is_some());
    assert!(body.join().unwrap());
    assert_eq!((streams.len(), recording.closed().len()), (0, 1));
}

/// A body is polled when there is room in the send buffer: one of 4 MB, at 16 KB/s, is full for over four minutes.
#[tokio::test(start_paused = true)]
async fn slow_reader_of_a_full_send_buffer_is_not_stalled() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let service = serve(&endless(&streams, &recording));
    let mut body = read(&service).await;
    for _ in 0..3 {
        // The last poll returns a frame: the client does not read the next.
        assert!(body.next().await.is_some());
        sleep(Duration::from_secs(4 << 20 >> 14)).await;
        assert_eq!((streams.len(), recording.closed().len()), (1, 0));
    }
    sleep(400 * SECOND).await;
    assert_eq!(streams.len(), 0);
    assert!(recording.closed()[0].starts_with("stalled after "), "{:?}", recording.closed());
}

/// A body that is dropped before the watchdog has checked it.
#[tokio::test(start_paused = true)]
async fn dropped_body_counts_as_stalled_after_the_stall_timeout() {
    for (stalled_after, waits, reason) in [
        (Some(100), 99, "client gone"),
        (Some(100), 101, "stalled"),
        (Some(8), 7, "client gone"),
        (Some(8), 9, "stalled"),
        (None, 299, "client gone"),
        (None, 300, "stalled"),
    ] {
        let stalled_after = stalled_after.map(Duration::from_secs);
        let (streams, recording) = (Streams::builder().stall_timeout(stalled_after).build(), Recording::default());
        let mut body = read(&serve(&endless(&streams, &recording))).await;
        assert!(body.poll_once().is_ready());
        sleep(Duration::from_secs(waits)).await;
        drop(body);
        assert!(recording.closed()[0].starts_with(reason), "{stalled_after:?}, {waits}: {:?}", recording.closed());
    }
}
