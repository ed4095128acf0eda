//! A source that is polled at intervals: at once, then at each full period.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::sleep;
use tower_sse::{BoxError, Event, Events, Source, SseLayer};

use crate::support::{answers, open};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the number of its calls, each after the given milliseconds.
fn every(period: Duration, takes: impl Fn(u64) -> u64 + 'static) -> (Events<impl Source>, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let events = Events::every(period, move || {
        let number = count.fetch_add(1, SeqCst);
        let takes = takes(number);
        async move {
            if takes > 0 {
                sleep(Duration::from_millis(takes)).await;
            }
            Event::new(number.to_string())
        }
    });
    (events, asked)
}

/// The times of the events, in milliseconds.
async fn times(events: Events<impl Source>, within: Duration) -> Vec<u64> {
    let mut body = open(SseLayer::new(answers(events))).await;
    body.frames_within(within).await[1..].iter().map(|&(at, _)| at).collect()
}

#[tokio::test(start_paused = true)]
async fn source_is_polled_at_once_and_then_each_period() {
    let (events, _) = every(SECOND, |_| 0);
    assert_eq!(times(events, Duration::from_millis(3_500)).await, [0, 1_000, 2_000, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn duration_of_a_poll_does_not_shift_the_period() {
    let (events, _) = every(SECOND, |number| number * 100);
    assert_eq!(times(events, Duration::from_millis(4_500)).await, [0, 1_100, 2_200, 3_300, 4_400]);
}

#[tokio::test(start_paused = true)]
async fn slow_source_is_polled_again_at_the_next_full_period() {
    let (events, _) = every(SECOND, |_| 2_500);
    assert_eq!(times(events, Duration::from_millis(12_000)).await, [2_500, 5_500, 8_500, 11_500]);
}

#[tokio::test(start_paused = true)]
async fn missed_periods_are_skipped() {
    let (events, asked) = every(SECOND, |number| if number == 1 { 5_300 } else { 0 });
    assert_eq!(times(events, Duration::from_millis(9_500)).await, [0, 6_300, 7_000, 8_000, 9_000]);
    assert_eq!(asked.load(SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn source_is_not_polled_while_the_client_does_not_read() {
    let (events, asked) = every(SECOND, |_| 0);
    let mut body = open(SseLayer::new(answers(events))).await;
    body.next().await;
    body.next().await;
    assert!(body.poll_once().is_pending());
    tokio::time::advance(10 * SECOND + SECOND / 2).await;
    assert_eq!(asked.load(SeqCst), 1);
    assert_eq!(body.next().await.unwrap(), "data: 1\n\n");
    assert_eq!(body.millis(), 10_500, "the value is current");
    assert_eq!(body.next().await.unwrap(), "data: 2\n\n");
    assert_eq!(body.millis(), 11_000, "and the period is kept");
}

#[tokio::test(start_paused = true)]
async fn zero_period_is_a_millisecond_and_a_huge_one_is_never() {
    let (events, _) = every(Duration::ZERO, |_| 0);
    assert_eq!(times(events, Duration::from_millis(4)).await, [0, 1, 2, 3, 4]);
    let (events, _) = every(Duration::MAX, |_| 0);
    let layer = SseLayer::new(answers(events.heartbeat(tower_sse::Heartbeat::off())));
    assert_eq!(open(layer).await.frames_within(1_000_000 * SECOND).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn source_error_ends_the_stream_after_its_events() {
    let mut number = 0;
    let events = Events::every(SECOND, move || {
        number += 1;
        let answer = if number < 3 { Ok(Event::new("fine")) } else { Err(BoxError::from("broken")) };
        async move { answer }
    });
    let mut body = open(SseLayer::new(answers(events.on_failure(Event::new("sorry"))))).await;
    assert_eq!(body.rest().await, [":\n", "data: fine\n\n", "data: fine\n\n", "data: sorry\n\n"]);
}
