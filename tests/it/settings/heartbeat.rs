//! Heartbeats of an idle stream: in time, and not of all streams at once.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    runtime::Builder,
    task::LocalSet,
    time::{Instant, sleep},
};
use tower_sse::{Event, Events, Heartbeat, SseLayer, event_name};

use crate::support::{Hang, Wait, answers, event, events, open};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Returns the times between frames in milliseconds.
fn gaps(frames: &[(u64, String)]) -> Vec<u64> {
    frames.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
}

#[tokio::test(start_paused = true)]
async fn idle_stream_has_a_heartbeat_within_its_jitter() {
    let mut body = open(SseLayer::new(answers(events([Hang]))).heartbeat(10 * SECOND)).await;
    let frames = body.frames_within(HOUR).await;
    assert!(frames.iter().all(|(_, text)| text == ":\n"), "one comment, and nothing else");
    let gaps = gaps(&frames);
    // The timer counts whole milliseconds and never fires early.
    assert!(gaps.iter().all(|gap| (8_000..=10_001).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().max().unwrap() - gaps.iter().min().unwrap() > 500, "they are spread: {gaps:?}");
}

/// A runtime wakes its idle streams ten times a second, however many there are.
#[tokio::test(start_paused = true)]
async fn heartbeats_of_many_streams_come_at_common_times() {
    let start = Instant::now();
    let streams = (0..100).map(|number| async move {
        sleep(Duration::from_millis(37 * number)).await;
        let opened = start.elapsed().as_millis();
        let frames = open(SseLayer::new(answers(events([Hang])))).await.frames_within(60 * SECOND).await;
        frames[1..].iter().map(|(at, _)| (opened + u128::from(*at)) % 100).collect::<Vec<_>>()
    });
    let phases: BTreeSet<_> = join_all(streams).await.concat().into_iter().collect();
    // The timer counts whole milliseconds.
    assert!(phases.len() <= 2, "{phases:?}");
}

/// The wheel of a runtime ends with it, and the stream finds that of the runtime that polls it then.
#[test]
fn stream_that_outlives_its_runtime_keeps_heartbeats() {
    let runtime = || Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (first, second) = (runtime(), runtime());
    let mut body = first.block_on(async {
        let mut body = open(SseLayer::new(answers(events([Hang])))).await;
        assert_eq!(body.frames_within(30 * SECOND).await.len(), 3, "the prelude and two heartbeats");
        body
    });
    let tasks = LocalSet::new();
    let watched = tasks.spawn_local(async move { body.frames_within(120 * SECOND).await.len() });
    second.block_on(tasks.run_until(async { sleep(SECOND).await }));
    drop(first);
    // The paused clock of the first is half a minute ahead.
    assert!((5..=11).contains(&second.block_on(tasks.run_until(watched)).unwrap()), "one within each 15 s");
}

#[tokio::test(start_paused = true)]
async fn the_default_is_a_comment_within_fifteen_seconds() {
    let frames = open(SseLayer::new(answers(events([Hang])))).await.frames_within(HOUR).await;
    assert!(frames.iter().all(|(_, text)| text == ":\n"));
    assert!(gaps(&frames).iter().all(|gap| (12_000..=15_001).contains(gap)));
}

#[tokio::test(start_paused = true)]
async fn busy_stream_has_no_heartbeats() {
    let steps = (0..100).flat_map(|_| [Wait(7_900), event("tick")]);
    let mut body = open(SseLayer::new(answers(events(steps))).heartbeat(10 * SECOND)).await;
    let frames = body.rest().await;
    assert_eq!(frames.len(), 101);
    assert!(frames[1..].iter().all(|frame| frame == "data: tick\n\n"));
}

#[tokio::test(start_paused = true)]
async fn idleness_counts_from_the_last_frame() {
    for busy_for in [1, 7_900, 9_999, 30_000] {
        // Events until then, less than 8 s apart, then nothing.
        let ticks = (0..busy_for / 5_000).flat_map(|_| [Wait(5_000), event("tick")]);
        let steps = ticks.chain([Wait(busy_for % 5_000), event("last"), Hang]);
        let mut body = open(SseLayer::new(answers(events(steps))).heartbeat(10 * SECOND)).await;
        let frames = body.frames_within(60 * SECOND).await;
        let last = frames.iter().position(|(_, text)| text.ends_with("data: last\n\n")).unwrap();
        let gap = frames[last + 1].0 - frames[last].0;
        assert_eq!(frames[last + 1].1, ":\n");
        assert!((8_000..=10_001).contains(&gap), "{gap} ms after the last of {busy_for} busy ms");
    }
}

#[tokio::test(start_paused = true)]
async fn event_at_the_timers_millisecond_keeps_heartbeats() {
    // The timer fires in one of the last two of these ten seconds.
    let ticks = (0..10_000).flat_map(|_| [Wait(1), event("tick")]);
    let mut body = open(SseLayer::new(answers(events(ticks.chain([Hang])))).heartbeat(10 * SECOND)).await;
    let gaps = gaps(&body.frames_within(60 * SECOND).await);
    assert!(gaps.len() >= 10_004 && gaps.iter().all(|gap| *gap <= 10_001), "{:?}", gaps.last());
}

/// The timer was not polled, as the task had used up its budget, and counted as polled: the stream had no further heartbeat.
#[tokio::test(start_paused = true)]
async fn events_beyond_the_task_budget_keep_heartbeats() {
    let (sender, events) = Events::channel(1000);
    for number in 0..300 {
        sender.try_send(Event::new(number.to_string())).unwrap();
    }
    let mut body = open(SseLayer::new(answers(events)).heartbeat(10 * SECOND)).await;
    let frames = body.frames_within(60 * SECOND).await;
    let events: usize = frames.iter().map(|(_, text)| text.matches("data").count()).sum();
    let beats = frames[1..].iter().filter(|(_, text)| text == ":\n").count();
    assert!(events == 300 && beats >= 5, "{events} events, {beats} beats");
}

#[tokio::test(start_paused = true)]
async fn named_heartbeat_is_an_event() {
    let heartbeat = Heartbeat::event(SECOND, &event_name!("ping"));
    let mut body = open(SseLayer::new(answers(events([Hang]))).heartbeat(heartbeat)).await;
    let frames = body.frames_within(60 * SECOND).await;
    assert_eq!(frames[0].1, ":\n");
    assert!(frames.len() >= 60);
    assert!(frames[1..].iter().all(|(_, text)| text == "event: ping\ndata: \n\n"));
}

#[tokio::test(start_paused = true)]
async fn heartbeat_off_sends_none() {
    let layer = SseLayer::new(answers(events([Wait(3_000_000), event("late"), Hang]))).heartbeat(Heartbeat::off());
    let frames = open(layer).await.frames_within(HOUR).await;
    assert_eq!(frames, [(0, String::from(":\n")), (3_000_000, String::from("data: late\n\n"))]);
}

#[tokio::test(start_paused = true)]
async fn heartbeat_of_the_stream_overrides_the_layers() {
    let layer = SseLayer::new(answers(events([Hang]).heartbeat(SECOND))).heartbeat(60 * SECOND);
    assert!(gaps(&open(layer).await.frames_within(60 * SECOND).await).iter().all(|gap| (800..=1_001).contains(gap)));

    let layer = SseLayer::new(answers(events([Hang]).heartbeat(Heartbeat::off()))).heartbeat(SECOND);
    assert_eq!(open(layer).await.frames_within(HOUR).await, [(0, String::from(":\n"))]);
}

/// A stream that is polled where there is no timer does not silently go without its heartbeats.
#[test]
#[should_panic(expected = "there is no reactor running")]
fn body_with_heartbeats_panics_outside_of_a_runtime() {
    let mut body = open(SseLayer::new(answers(events([Hang])))).now_or_never().expect("the service answers at once");
    while body.poll_once().is_ready() {}
}

#[tokio::test(start_paused = true)]
async fn zero_interval_is_a_millisecond() {
    let mut body = open(SseLayer::new(answers(events([Hang]))).heartbeat(Duration::ZERO)).await;
    let frames = body.frames_within(SECOND).await;
    assert!((500..=1_002).contains(&frames.len()), "{}", frames.len());
}

#[tokio::test(start_paused = true)]
async fn huge_interval_never_elapses() {
    let mut body = open(SseLayer::new(answers(events([Hang]))).heartbeat(Duration::MAX)).await;
    assert_eq!(body.frames_within(1000 * HOUR).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unread_stream_has_one_heartbeat_when_read_again() {
    let mut body = open(SseLayer::new(answers(events([Hang]))).heartbeat(10 * SECOND)).await;
    body.next().await;
    assert!(body.poll_once().is_pending());
    tokio::time::advance(HOUR).await;
    assert_eq!(body.next().await.unwrap(), ":\n");
    assert!(body.poll_once().is_pending(), "one heartbeat, not one for each missed interval");
}
