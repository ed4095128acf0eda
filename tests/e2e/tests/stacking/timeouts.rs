//! `TimeoutLayer`, which ends at the head, and `ResponseBodyTimeoutLayer`, which covers the body.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep, timeout};
use tower_http::timeout::{ResponseBodyTimeoutLayer, TimeoutLayer};
use tower_sse::Heartbeat;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn timeout_after(seconds: u64) -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(seconds))
}

/// An event service that answers after 20 s, which is after the commit deadline of 15 s.
fn slow() -> EventLayer {
    answering(|_| {
        async {
            sleep(Duration::from_secs(20)).await;
            answer(stream::iter([Event::new("1")])).await
        }
        .boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn timeout_below_the_commit_deadline_refuses_a_slow_service() {
    let app = site().layer(slow()).layer(timeout_after(10));
    assert_eq!(ask(&app, for_events()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn timeout_above_the_commit_deadline_never_ends_a_stream() {
    let app = site().layer(slow()).layer(timeout_after(16));
    let response = ask(&app, for_events()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.expect("a clean end").to_bytes();
    assert!(body.ends_with(b"\ndata: 1\n\n"), "{body:?}");
}

#[tokio::test(start_paused = true)]
async fn timeout_inside_does_not_affect_event_services() {
    let app = site().layer(timeout_after(10)).layer(slow());
    assert_eq!(ask(&app, for_events()).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn timeout_on_either_side_does_not_end_an_open_stream() {
    for app in [site().layer(events()).layer(timeout_after(1)), site().layer(timeout_after(1)).layer(events())] {
        let body = ask(&app, for_events()).await.into_body();
        assert!(timeout(HOUR, body.collect()).await.is_err(), "the body is still open");
    }
}

#[tokio::test(start_paused = true)]
async fn body_timeout_outside_is_satisfied_by_heartbeats() {
    let bodies = || ResponseBodyTimeoutLayer::new(Duration::from_secs(20));
    let body = ask(&site().layer(events()).layer(bodies()), for_events()).await.into_body();
    assert!(timeout(HOUR, body.collect()).await.is_err(), "the body is still open");

    let silent = events().heartbeat(Heartbeat::off());
    let body = ask(&site().layer(silent).layer(bodies()), for_events()).await.into_body();
    assert!(timeout(HOUR, body.collect()).await.expect("an end").is_err(), "a reset");
}

#[tokio::test(start_paused = true)]
async fn body_timeout_inside_decorate_ends_an_idle_upstream() {
    let bodies = ResponseBodyTimeoutLayer::new(Duration::from_secs(20));
    let app = site().layer(bodies).layer(SseLayer::decorate());
    let asked = Instant::now();
    let body = ask(&app, for_foreign()).await.into_body().collect().await.expect("a clean end").to_bytes();
    assert_eq!(body, format!("{ONE_EVENT}:\n"), "one heartbeat");
    assert_eq!(asked.elapsed().as_secs(), 20);
}
