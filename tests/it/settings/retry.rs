//! Times that clients are to wait: none is longer than the timers of clients accept, jitter included.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::service_fn;
use tower_sse::{Event, Events, Refusal, SseLayer, StreamSettings, streams::Streams};

use crate::support::{Hang, answers, answers_after, ask, bytes, decorate, event, events, get, open, respond, stream};

/// The longest time that `setTimeout` accepts, in milliseconds. A longer time counts as 1 ms.
const LONGEST: u64 = (1 << 31) - 1;

const DAY: Duration = Duration::from_secs(86_400);

/// Longer than a timer accepts, or so long that jitter makes it longer.
const TOO_LONG: [Duration; 3] = [Duration::from_millis(LONGEST), DAY.saturating_mul(30), Duration::MAX];

/// Asserts that the text has this many `retry:` lines, each with the longest time.
fn assert_longest(text: &str, lines: usize) {
    let retries: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("retry: ")).collect();
    assert_eq!(retries, vec![LONGEST.to_string(); lines], "{text}");
}

#[tokio::test(start_paused = true)]
async fn retry_of_a_refusal_is_limited_to_what_timers_take() {
    for wait in TOO_LONG {
        let refused =
            move || SseLayer::new(answers_after(0, Err::<Events<tower_sse::source::Never>, _>(Refusal::later(wait))));
        let text = respond(refused(), get()).await.into_body().collect().await.unwrap().to_bytes();
        assert_longest(std::str::from_utf8(&text).unwrap(), 1);
        let post = respond(refused().methods([Method::POST]), ask(Method::POST)).await;
        assert_eq!(post.headers()["retry-after"], (LONGEST / 1000).to_string().as_str());

        let late = answers_after(500, Err::<Events<tower_sse::source::Never>, _>(Refusal::later(wait)));
        let frames = open(SseLayer::new(late).commit_after(Duration::from_millis(1))).await.rest().await;
        assert_longest(&frames.concat(), 1);

        let full = Streams::builder().max_streams(0).retry_after(wait).build();
        let layer = SseLayer::new(answers(events([Hang]))).streams(&full);
        let text = respond(layer, get()).await.into_body().collect().await.unwrap().to_bytes();
        assert_longest(std::str::from_utf8(&text).unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_of_a_stream_is_limited_to_what_timers_take() {
    for wait in TOO_LONG {
        // With the head, and again at the end, by the layer's setting.
        let deadline = || events([event("a"), Hang]).deadline(Instant::now() + DAY);
        let ended = open(SseLayer::new(answers(deadline())).retry(wait)).await.rest().await;
        assert_longest(&ended.concat(), 2);
        let ended = open(SseLayer::new(answers(deadline().retry(wait)))).await.rest().await;
        assert_longest(&ended.concat(), 2);
        let ended = open(SseLayer::new(answers(events([Hang]).retry(wait).lifetime(DAY)))).await.rest().await;
        assert_longest(&ended.concat(), 2);

        let late = answers_after(500, Ok::<_, Refusal>(deadline().retry(wait)));
        let ended = open(SseLayer::new(late).commit_after(Duration::from_millis(1))).await.rest().await;
        assert_longest(&ended.concat(), 2);

        let mut response = stream([bytes("data: a\n\n"), Hang]);
        response.extensions_mut().insert(StreamSettings::new().retry(wait).lifetime(DAY));
        assert_longest(&decorate(SseLayer::decorate(), response).await.rest().await.concat(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_of_a_drain_is_limited_to_what_timers_take() {
    let streams = Streams::builder().reconnect_spread(Duration::MAX).build();
    let service = service_fn(|_: http::Request<String>| async {
        Ok::<_, Refusal>(Events::new(futures_util::stream::pending::<Event>()).retry(Duration::MAX))
    });
    let mut body = open(SseLayer::new(service).streams(&streams)).await;
    assert_longest(&body.next().await.unwrap(), 1);
    streams.start_drain();
    assert_longest(&body.rest().await.concat(), 1);
}
