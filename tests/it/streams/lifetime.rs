//! No stream is open longer than its lifetime, and streams that opened together do not end together.

use http::Response;
use tokio::time::Instant;
use tower_sse::{Event, Events, Heartbeat, Refusal, SseLayer};

use super::{Endless, SECOND, open_end, read, retry, serve};
use crate::support::{Hang, Recording, answers, answers_after, answers_again, bytes, decorate, open, stream};

#[tokio::test(start_paused = true)]
async fn lifetimes_end_spread_over_their_last_fifth() {
    let recording = Recording::default();
    let service = serve(&SseLayer::new(Endless).lifetime(100 * SECOND).observer(recording.clone()));
    let mut bodies = Vec::new();
    for _ in 0..100 {
        bodies.push(read(&service).await);
    }
    let mut ends: Vec<u64> = Vec::new();
    let read = bodies.iter_mut().map(|body| async {
        let frames = body.rest().await;
        (body.millis(), retry(frames.last().unwrap()))
    });
    for (at, retry) in futures_util::future::join_all(read).await {
        assert!((3_000..=4_500).contains(&retry.unwrap()), "the clients reconnect");
        ends.push(at);
    }
    ends.sort_unstable();
    assert!((80_000..=85_000).contains(&ends[0]) && (95_000..=100_001).contains(&ends[99]), "{ends:?}");
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] < 5_000), "spread over the fifth: {ends:?}");
    assert!(recording.closed().iter().all(|closed| closed.starts_with("lifetime after ")));
}

#[tokio::test(start_paused = true)]
async fn lifetime_ends_a_busy_stream() {
    let endless = || Events::new(futures_util::stream::repeat_with(|| Event::new("x".repeat(9_000))));
    let recording = Recording::default();
    let layer = SseLayer::new(answers_again(endless)).lifetime(10 * SECOND).observer(recording.clone());
    let mut body = open(layer).await;
    for _ in 0..100 {
        assert!(retry(&body.next().await.unwrap()).is_none());
    }
    tokio::time::advance(10 * SECOND).await;
    assert_eq!(body.rest().await.len(), 1);
    assert!(recording.closed()[0].starts_with("lifetime after 10000 ms"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_do_not_extend_a_lifetime() {
    for heartbeat in [Heartbeat::off(), Heartbeat::every(SECOND)] {
        let mut body = open(SseLayer::new(Endless).lifetime(10 * SECOND).heartbeat(heartbeat)).await;
        body.rest().await;
        assert!((8_000..=10_001).contains(&body.millis()), "{}", body.millis());
    }
}

#[tokio::test(start_paused = true)]
async fn lifetime_of_the_stream_overrides_the_layers() {
    let own = || answers(open_end().lifetime(10 * SECOND));
    let mut body = open(SseLayer::new(own()).lifetime(1_000 * SECOND)).await;
    body.rest().await;
    assert!((8_000..=10_001).contains(&body.millis()), "{}", body.millis());

    let recording = Recording::default();
    let deadline = open_end().deadline(Instant::now() + 5 * SECOND);
    open(SseLayer::new(answers(deadline)).lifetime(10 * SECOND).observer(recording.clone())).await.rest().await;
    let deadline = open_end().deadline(Instant::now() + 15 * SECOND);
    open(SseLayer::new(answers(deadline)).lifetime(10 * SECOND).observer(recording.clone())).await.rest().await;
    let reasons: Vec<_> = recording.closed().iter().map(|closed| closed[..8].to_owned()).collect();
    assert_eq!(reasons, ["deadline", "lifetime"]);
}

#[tokio::test(start_paused = true)]
async fn lifetime_counts_from_the_head() {
    let mut body = decorate(SseLayer::decorate().lifetime(10 * SECOND), stream([bytes("data: a\n\n"), Hang])).await;
    body.rest().await;
    assert!((8_000..=10_001).contains(&body.millis()), "{}", body.millis());

    let late = answers_after(5_000, Ok::<_, Refusal>(Response::from(open_end())));
    let mut body = open(SseLayer::new(late).commit_after(SECOND).lifetime(10 * SECOND)).await;
    body.rest().await;
    assert!((8_000..=10_001).contains(&body.millis()), "{}", body.millis());

    let never = answers_after(1_000_000, Ok::<_, Refusal>(open_end()));
    let mut body = open(SseLayer::new(never).commit_after(SECOND).lifetime(10 * SECOND)).await;
    body.rest().await;
    assert!((8_000..=10_001).contains(&body.millis()), "{}", body.millis());
}

#[tokio::test(start_paused = true)]
async fn huge_lifetime_never_elapses() {
    let recording = Recording::default();
    let mut body = open(SseLayer::new(Endless).lifetime(std::time::Duration::MAX).observer(recording.clone())).await;
    body.frames_within(1_000 * SECOND).await;
    assert!(recording.closed().is_empty());
}
