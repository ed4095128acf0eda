//! A drain: leaving streams end at once, finishing streams have until the deadline, new requests are refused.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep, timeout};
use tower_sse::{
    Event, Events, Refusal, SseLayer,
    streams::{DrainReport, OnDrain, Streams},
};

use super::{SECOND, ask_for, endless, open_end, read, retry, serve};
use crate::support::{Recording, Wait, answers_after, answers_again, ask, event, events, get};

#[tokio::test(start_paused = true)]
async fn drained_streams_end_at_once_with_a_spread_retry() {
    let (streams, recording) = (Streams::builder().reconnect_spread(20 * SECOND).build(), Recording::default());
    let service = serve(&endless(&streams, &recording));
    let mut body = read(&service).await;
    let (frames, drained) = tokio::join!(body.rest(), async {
        sleep(SECOND).await;
        streams.drain(60 * SECOND).await
    });
    assert_eq!(body.millis(), 1_000, "at once");
    assert_eq!((frames.len(), &*frames[0], &*frames[1]), (3, ":\n", "data: a\n\n"));
    assert!((3_000..=23_000).contains(&retry(&frames[2]).unwrap()), "{frames:?}");
    assert_eq!((drained.ended, drained.aborted), (1, 0));
    assert_eq!(recording.closed().len(), 1);
    assert!(recording.closed()[0].starts_with("drained after 1000 ms: 1 events"), "{:?}", recording.closed());
    assert_eq!(streams.len(), 0);
}

/// A stream of ten seconds of work.
fn work() -> Events<impl tower_sse::Source> {
    events([event("a"), Wait(10_000), event("b")]).on_drain(OnDrain::Finish)
}

#[tokio::test(start_paused = true)]
async fn finishing_streams_reach_their_own_end() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let service = serve(&SseLayer::new(answers_again(work)).streams(&streams).observer(recording.clone()));
    let mut body = read(&service).await;
    let (frames, drained) = tokio::join!(body.rest(), async {
        sleep(SECOND).await;
        let begin = Instant::now();
        (streams.drain(60 * SECOND).await, begin.elapsed())
    });
    assert_eq!(frames, [":\n", "data: a\n\n", "data: b\n\n"]);
    assert_eq!((drained.0.ended, drained.0.aborted, drained.1), (1, 0, 9 * SECOND));
    assert!(recording.closed()[0].starts_with("finished after 10000 ms"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn finishing_streams_finish_if_drained_before_their_first_poll() {
    let streams = Streams::new();
    let service = serve(&SseLayer::new(answers_again(work)).streams(&streams));
    let mut body = read(&service).await;
    streams.start_drain();
    assert_eq!(body.rest().await, [":\n", "data: a\n\n", "data: b\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn stream_admitted_before_the_drain_follows_it() {
    for (on_drain, ends_after) in [(OnDrain::Leave, 5_000), (OnDrain::Finish, 15_000)] {
        let streams = Streams::new();
        let layer = SseLayer::from_fn(move |_: http::Request<String>| async move {
            sleep(5 * SECOND).await;
            work().on_drain(on_drain)
        });
        let service = serve(&layer.streams(&streams));
        let start = Instant::now();
        let (mut body, ()) = tokio::join!(read(&service), async {
            sleep(SECOND).await;
            streams.start_drain();
        });
        let frames = body.rest().await;
        assert_eq!(start.elapsed(), Duration::from_millis(ends_after), "{on_drain:?}: {frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stream_with_an_event_at_the_drain_is_cut_at_the_deadline() {
    let streams = Streams::new();
    let (sender, events) = Events::channel(1);
    let events = Arc::new(Mutex::new(Some(events)));
    let layer = SseLayer::from_fn(move |_: http::Request<String>| {
        let events = events.lock().unwrap().take().unwrap();
        async { events }
    });
    let service = serve(&layer.on_drain(OnDrain::Finish).heartbeat(80 * SECOND).streams(&streams));
    let mut body = read(&service).await;
    let frames = tokio::spawn(async move { body.frames_within(60 * SECOND).await });
    sleep(SECOND).await;
    // The drain wakes the stream, which then finds an event.
    streams.start_drain();
    sender.send(Event::new("a")).await.unwrap();
    streams.drain(20 * SECOND).await;
    let frames = frames.await.unwrap();
    let times: Vec<_> = frames.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 1_000, 20_000], "{frames:?}");
}

#[tokio::test(start_paused = true)]
async fn unfinished_streams_are_cut_at_the_deadline() {
    let (streams, recording) = (Streams::builder().reconnect_spread(SECOND).build(), Recording::default());
    let layer = SseLayer::new(answers_again(|| open_end().on_failure(Event::new("sorry"))));
    let layer = layer.on_drain(OnDrain::Finish).streams(&streams).observer(recording.clone());
    let service = serve(&layer);
    let mut body = read(&service).await;
    let start = Instant::now();
    let (frames, drained) = tokio::join!(body.frames_within(100 * SECOND), streams.drain(20 * SECOND));
    assert!(start.elapsed() >= 19 * SECOND);
    let (at, last) = frames.last().unwrap();
    assert_eq!(*at, 19_000, "a second is left to send it: {frames:?}");
    let come_back = retry(last.strip_prefix("data: sorry\n\n").unwrap()).unwrap();
    assert!((3_000..=4_000).contains(&come_back), "{last}");
    assert_eq!((drained.ended, drained.aborted), (1, 0));
    assert!(recording.closed()[0].starts_with("drained after 19000 ms: 2 events"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn new_streams_are_refused_with_later() {
    let (streams, recording) = (Streams::builder().retry_after(2 * SECOND).build(), Recording::default());
    let layer = endless(&streams, &recording).methods([Method::GET, Method::POST, Method::HEAD]);
    let service = serve(&layer);
    streams.start_drain();
    assert!(streams.is_draining());

    let response = ask_for(&service, get()).await;
    assert_eq!(
        (response.status(), response.headers()["content-type"].to_str().unwrap()),
        (StatusCode::OK, "text/event-stream")
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    assert!((2_000..=3_000).contains(&retry(text.strip_prefix(":\n").unwrap()).unwrap()), "{text}");

    let response = ask_for(&service, ask(Method::POST)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((2..=3).contains(&seconds), "{seconds}");
    assert_eq!(
        recording.lines(),
        [
            "refused GET 200 OK, streams are being drained",
            "refused POST 503 Service Unavailable, streams are being drained"
        ]
    );
    assert_eq!(streams.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn stalled_readers_are_not_waited_for_and_count_as_aborted() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let service = serve(&endless(&streams, &recording));
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let mut body = read(&service).await;
        assert!(body.poll_once().is_ready());
        stalled.push(body);
    }
    sleep(5 * SECOND).await;
    let mut reads = read(&service).await;
    let begin = Instant::now();
    let (_, drained) = tokio::join!(reads.rest(), streams.drain(60 * SECOND));
    assert!(begin.elapsed() <= SECOND, "{:?}", begin.elapsed());
    assert_eq!((drained.ended, drained.aborted, streams.len()), (1, 3, 3));
    // The server stops, and closes all its connections.
    drop(stalled);
    let stalled = recording.closed().iter().filter(|closed| closed.starts_with("stalled after ")).count();
    assert_eq!((stalled, recording.closed().len(), streams.len()), (3, 4, 0), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn finishing_stream_of_a_slow_reader_is_waited_for() {
    let large = || Events::new(futures_util::stream::iter((0..5).map(|_| Event::new("x".repeat(9_000)))));
    let streams = Streams::new();
    let layer = SseLayer::new(answers_again(large)).on_drain(OnDrain::Finish).streams(&streams);
    let mut body = read(&serve(&layer)).await;
    let begin = Instant::now();
    let reads = async {
        let mut frames = 0;
        while body.next().await.is_some() {
            frames += 1;
            sleep(5 * SECOND).await;
        }
        frames
    };
    let (frames, (drained, took)) = tokio::join!(reads, async {
        sleep(SECOND).await;
        (streams.drain(100 * SECOND).await, begin.elapsed())
    });
    assert_eq!((frames, drained.ended, drained.aborted, took), (6, 1, 0, 30 * SECOND));
}

/// With the initial buffers of a kernel, a body is polled this seldom while its client reads 40 KB each second.
#[tokio::test(start_paused = true)]
async fn finishing_stream_with_full_buffers_is_waited_for() {
    let large = || Events::new(futures_util::stream::iter((0..3).map(|_| Event::new("x".repeat(9_000)))));
    let streams = Streams::new();
    let layer = SseLayer::new(answers_again(large)).on_drain(OnDrain::Finish).streams(&streams);
    let mut body = read(&serve(&layer)).await;
    let reads = async {
        while body.next().await.is_some() {
            sleep(100 * SECOND).await;
        }
    };
    let ((), drained) = tokio::join!(reads, async {
        sleep(SECOND).await;
        streams.drain(1_000 * SECOND).await
    });
    assert_eq!((drained.ended, drained.aborted), (1, 0));
}

/// Drains while a finishing stream is read once each so many seconds. Returns the outcome and its time.
async fn drained_beside_a_slow_reader(streams: Streams, pause: Duration, frames: usize) -> (DrainReport, Duration) {
    let large = || Events::new(futures_util::stream::iter((0..5).map(|_| Event::new("x".repeat(9_000)))));
    let layer = SseLayer::new(answers_again(large)).on_drain(OnDrain::Finish).streams(&streams);
    let mut body = read(&serve(&layer)).await;
    let reads = async {
        for _ in 0..frames {
            if body.next().await.is_none() {
                return body;
            }
            sleep(pause).await;
        }
        body
    };
    let begin = Instant::now();
    let drains = async {
        sleep(SECOND).await;
        (streams.drain(3_000 * SECOND).await, begin.elapsed())
    };
    tokio::join!(reads, drains).1
}

/// A body is polled when there is room in the send buffer, which a steady reader of 40 KB/s makes each 90 s.
#[tokio::test(start_paused = true)]
async fn finishing_work_of_a_slow_reader_is_waited_for() {
    for stalled_after in [Some(100 * SECOND), Some(300 * SECOND), None] {
        let streams = Streams::builder().stall_timeout(stalled_after).build();
        let (drained, took) = drained_beside_a_slow_reader(streams, 90 * SECOND, 100).await;
        assert_eq!((drained.ended, drained.aborted, took), (1, 0, 540 * SECOND), "{stalled_after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn finishing_stream_is_waited_for_until_it_stalls() {
    for (stalled_after, at_most) in [(Some(20 * SECOND), 26), (Some(300 * SECOND), 376), (None, 3_001)] {
        let streams = Streams::builder().stall_timeout(stalled_after).build();
        let (drained, took) = drained_beside_a_slow_reader(streams, 10_000 * SECOND, 2).await;
        assert_eq!((drained.ended, drained.aborted), (0, 1), "{stalled_after:?}");
        let at_least = stalled_after.unwrap_or(3_000 * SECOND);
        assert!((at_least..=at_most * SECOND).contains(&took), "{stalled_after:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn readers_found_by_the_watchdog_count_as_aborted() {
    let streams = Streams::builder().stall_timeout(5 * SECOND).build();
    let service = serve(&SseLayer::new(answers_again(work)).streams(&streams));
    let mut stalled = read(&service).await;
    assert!(stalled.poll_once().is_ready());
    let layer = SseLayer::new(answers_again(|| open_end().on_drain(OnDrain::Finish))).streams(&streams);
    let mut reads = read(&serve(&layer)).await;
    let (_, drained) = tokio::join!(reads.rest(), streams.drain(60 * SECOND));
    assert_eq!((drained.ended, drained.aborted, streams.len()), (1, 1, 0));
}

/// Drains while a request waits for this answer, which takes five seconds. Returns the outcome and its time.
async fn drained_beside(answer: Result<(), Refusal>, client_leaves_after: Duration) -> (Duration, DrainReport) {
    let streams = Streams::new();
    let slow = answers_after(5_000, answer.map(|()| work()));
    let service = serve(&SseLayer::new(slow).streams(&streams));
    let reads = async { ask_for(&service, get()).await.into_body().collect().await };
    let begin = Instant::now();
    let (_, drained) = tokio::join!(timeout(client_leaves_after, reads), async {
        sleep(SECOND).await;
        streams.drain(60 * SECOND).await
    });
    (begin.elapsed(), drained)
}

#[tokio::test(start_paused = true)]
async fn unanswered_request_is_waited_for() {
    let counts = |(took, drained): (Duration, DrainReport)| (took, drained.ended, drained.aborted);
    assert_eq!(counts(drained_beside(Ok(()), 60 * SECOND).await), (15 * SECOND, 1, 0), "the request opens a stream");
    assert_eq!(counts(drained_beside(Err(Refusal::stop()), 60 * SECOND).await), (5 * SECOND, 0, 0));
    assert_eq!(counts(drained_beside(Ok(()), 3 * SECOND).await), (3 * SECOND, 0, 0), "the client leaves");
}

#[tokio::test(start_paused = true)]
async fn drain_can_be_started_twice_and_dropped() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let layer = SseLayer::new(answers_again(work)).streams(&streams).observer(recording.clone());
    let mut body = read(&serve(&layer)).await;
    let begin = Instant::now();
    let drains = async {
        // Dropped: a drain that has begun continues.
        assert!(timeout(SECOND, streams.drain(60 * SECOND)).await.is_err());
        assert!(streams.is_draining());
        tokio::join!(streams.drain(60 * SECOND), streams.drain(100 * SECOND))
    };
    let (frames, (one, other)) = tokio::join!(body.rest(), drains);
    assert_eq!(frames.len(), 3, "the stream finished: {frames:?}");
    assert_eq!((one.ended, one.aborted, begin.elapsed()), (1, 0, 10 * SECOND));
    assert_eq!(other, one);
    let nobody = streams.drain(60 * SECOND).await;
    assert_eq!((nobody.ended, nobody.aborted, begin.elapsed()), (0, 0, 10 * SECOND), "at once");
}

#[tokio::test(start_paused = true)]
async fn cut_drain_cuts_later_streams() {
    let streams = Streams::new();
    let layer = SseLayer::from_fn(|_: http::Request<String>| async {
        sleep(10 * SECOND).await;
        work()
    });
    let service = serve(&layer.streams(&streams));
    let (mut body, drained) = tokio::join!(read(&service), streams.drain(4 * SECOND));
    assert_eq!((drained.ended, drained.aborted, streams.len()), (0, 0, 1));
    let frames = body.rest().await;
    assert_eq!((frames.len(), body.millis()), (2, 0), "{frames:?}");
    assert!(retry(&frames[1]).is_some());
}

#[tokio::test(start_paused = true)]
async fn extreme_drain_deadlines_are_accepted() {
    for deadline in [Duration::ZERO, Duration::MAX] {
        let (streams, recording) = (Streams::new(), Recording::default());
        let mut body = read(&serve(&endless(&streams, &recording))).await;
        let (_, drained) = tokio::join!(body.rest(), streams.drain(deadline));
        // Without time, no stream is waited for.
        assert_eq!(drained.ended + drained.aborted, 1);
        assert_eq!((streams.len(), recording.closed().len()), (0, 1));
    }
}
