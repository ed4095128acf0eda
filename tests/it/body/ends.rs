//! Every way in which a stream ends: the last bytes for the client, and one report to the observer.

use std::time::Duration;

use tokio::time::Instant;
use tower_sse::{BoxError, Event, Events, Heartbeat, SseLayer, hub::Hub};

use crate::support::{Give, Hang, Life, Panic, Recording, Script, Step, Wait, answers, error, event, open};

const SECOND: Duration = Duration::from_secs(1);

type Steps = Vec<Step<Result<Event, BoxError>>>;

/// The state of a script that was read to its end.
struct Ended {
    frames: Vec<String>,
    recording: Vec<String>,
    life: Life,
}

/// Reads a stream to its end, with a last event for failures or without.
async fn ended(steps: Steps, on_failure: Option<&str>, prepare: impl FnOnce(&Life)) -> Ended {
    let (script, recording) = (Script::new(steps), Recording::default());
    let life = script.life();
    prepare(&life);
    let mut events = Events::new(script);
    if let Some(last) = on_failure {
        events = events.on_failure(Event::new(last));
    }
    let frames = open(SseLayer::new(answers(events)).observer(recording.clone())).await.rest().await;
    assert!(life.is_dropped() && !life.was_polled_after_its_end());
    Ended { frames, recording: recording.closed(), life }
}

#[tokio::test(start_paused = true)]
async fn finished_stream_ends_after_its_last_event() {
    let Ended { frames, recording, .. } = ended(vec![event("a"), Wait(5), event("b")], Some("sorry"), |_| ()).await;
    assert_eq!(frames, [":\n", "data: a\n\n", "data: b\n\n"]);
    assert_eq!(recording, ["finished after 5 ms: 2 events, 20 bytes, 0 heartbeats"]);
}

#[tokio::test(start_paused = true)]
async fn failed_stream_ends_cleanly_after_its_events() {
    let Ended { frames, recording, .. } = ended(vec![event("a"), error("broken"), event("b")], None, |_| ()).await;
    assert_eq!(frames, [":\n", "data: a\n\n"]);
    assert_eq!(recording, ["failed after 0 ms: 1 events, 11 bytes, 0 heartbeats, broken"]);
}

#[tokio::test(start_paused = true)]
async fn failed_stream_sends_its_last_event() {
    let Ended { frames, recording, .. } = ended(vec![event("a"), error("broken")], Some("sorry"), |_| ()).await;
    assert_eq!(frames, [":\n", "data: a\n\n", "data: sorry\n\n"]);
    assert_eq!(recording, ["failed after 0 ms: 2 events, 24 bytes, 0 heartbeats, broken"]);
}

#[tokio::test(start_paused = true)]
async fn panic_ends_only_its_stream_after_its_events() {
    let Ended { frames, recording, .. } = ended(vec![event("a"), event("b"), Panic], None, |_| ()).await;
    assert_eq!(frames, [":\n", "data: a\n\ndata: b\n\n"]);
    assert_eq!(recording, ["panicked after 0 ms: 2 events, 20 bytes, 0 heartbeats"]);

    let Ended { frames, recording, .. } = ended(vec![Wait(3), Panic], Some("sorry"), |_| ()).await;
    assert_eq!(frames, [":\n", "data: sorry\n\n"]);
    assert_eq!(recording, ["panicked after 3 ms: 1 events, 15 bytes, 0 heartbeats"]);
}

#[tokio::test(start_paused = true)]
async fn panic_in_drop_ends_nothing_else() {
    let Ended { frames, recording, .. } = ended(vec![event("a")], None, Life::panic_in_drop).await;
    assert_eq!(frames, [":\n", "data: a\n\n"]);
    assert_eq!(recording, ["finished after 0 ms: 1 events, 11 bytes, 0 heartbeats"]);

    let Ended { frames, recording, .. } = ended(vec![event("a"), Panic], None, Life::panic_in_drop).await;
    assert_eq!(frames, [":\n", "data: a\n\n"]);
    assert_eq!(recording, ["panicked after 0 ms: 1 events, 11 bytes, 0 heartbeats"]);
}

#[tokio::test(start_paused = true)]
async fn panic_in_drop_does_not_reach_the_connection() {
    let (script, recording) = (Script::new([event("a"), Hang]), Recording::default());
    let life = script.life();
    life.panic_in_drop();
    let mut body = open(SseLayer::new(answers(Events::new(script))).observer(recording.clone())).await;
    body.frames_within(SECOND).await;
    drop(body);
    assert!(life.is_dropped());
    assert_eq!(recording.closed(), ["client gone after 1000 ms: 1 events, 11 bytes, 0 heartbeats"]);
}

/// Returns whether this is a `retry:` line of so many milliseconds up to half as many more.
fn comes_back_after(last: &str, millis: u64) -> bool {
    let retry = last.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix('\n'));
    retry.is_some_and(|retry| (millis..=millis * 3 / 2).contains(&retry.parse().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn idle_stream_ends_at_its_deadline_with_a_retry() {
    for (retry, least) in [(None, 3_000), (Some(100), 100)] {
        let (script, recording) = (Script::new([event("a"), Hang]), Recording::default());
        let life = script.life();
        let mut events = Events::new(script).deadline(Instant::now() + 5 * SECOND);
        if let Some(millis) = retry {
            events = events.retry(Duration::from_millis(millis));
        }
        let mut body = open(SseLayer::new(answers(events)).observer(recording.clone())).await;
        let frames = body.frames_within(60 * SECOND).await;
        let (at, last) = frames.last().unwrap();
        assert_eq!((frames.len(), *at), (3, 5_000));
        assert!(comes_back_after(last, least), "{last}");
        assert!(life.is_dropped());
        assert!(body.rest().await.is_empty());
        assert!(recording.closed()[0].starts_with("deadline after 5000 ms: 1 events, "), "{:?}", recording.closed());
        assert_eq!(recording.closed().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn subscriber_leaves_its_topic_at_the_end_of_its_stream() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let subscription = hub.subscribe("a").unwrap();
    let events = Events::from(subscription).deadline(Instant::now() + SECOND);
    let mut body = open(SseLayer::new(answers(events))).await;
    body.next().await;
    body.next().await;
    assert_eq!(topic.presence().count(), 1);
    assert!(comes_back_after(&body.next().await.unwrap(), 3_000));
    assert_eq!(topic.presence().count(), 0, "the body still exists");
}

#[tokio::test(start_paused = true)]
async fn always_ready_stream_ends_at_its_deadline() {
    let recording = Recording::default();
    let endless = futures_util::stream::repeat_with(|| Event::new("x".repeat(100)));
    let events = Events::new(endless).deadline(Instant::now() + SECOND);
    let mut body = open(SseLayer::new(answers(events)).observer(recording.clone())).await;
    for _ in 0..1000 {
        let frame = body.next().await.unwrap();
        assert!(!frame.starts_with("retry"));
    }
    tokio::time::advance(SECOND).await;
    let last = body.rest().await;
    assert_eq!(last.len(), 1, "nothing is sent between the deadline and the end");
    assert!(comes_back_after(&last[0], 3_000));
    assert!(recording.closed()[0].starts_with("deadline"));
}

#[tokio::test(start_paused = true)]
async fn passed_deadline_ends_the_stream_before_its_source_is_polled() {
    let script = Script::new([event("a")]);
    let life = script.life();
    let mut body = open(SseLayer::new(answers(Events::new(script).deadline(Instant::now())))).await;
    let frames = body.rest().await;
    assert_eq!((frames.len(), frames[0].as_str(), life.polls()), (2, ":\n", 0));
    assert!(comes_back_after(&frames[1], 3_000));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_do_not_postpone_a_deadline() {
    let events = Events::new(Script::<Event>::new([Hang])).deadline(Instant::now() + 60 * SECOND);
    let mut body = open(SseLayer::new(answers(events)).heartbeat(Heartbeat::every(SECOND))).await;
    let frames = body.frames_within(100 * SECOND).await;
    let (at, last) = frames.last().unwrap();
    assert_eq!(*at, 60_000);
    assert!(comes_back_after(last, 3_000));
    assert!(frames.len() > 60);
}

#[tokio::test(start_paused = true)]
async fn client_that_leaves_is_distinguished_from_a_stalled_one() {
    // Whether the stream waits for events, the time without a poll, and the expected reason.
    let cases =
        [(true, 0, "client gone"), (true, 1_000, "client gone"), (false, 299, "client gone"), (false, 300, "stalled")];
    for (waits, seconds, reason) in cases {
        let (script, recording) = (Script::new([event("a"), Hang]), Recording::default());
        let life = script.life();
        let mut body = open(SseLayer::new(answers(Events::new(script))).observer(recording.clone())).await;
        body.next().await;
        body.next().await;
        assert_eq!(waits && body.poll_once().is_pending(), waits);
        tokio::time::advance(seconds * SECOND).await;
        assert_eq!(recording.closed(), [""; 0]);
        drop(body);
        assert!(life.is_dropped());
        let expected = format!("{reason} after {} ms: 1 events, 11 bytes, 0 heartbeats", seconds * 1000);
        assert_eq!(recording.closed(), [expected], "waits: {waits}");
    }
}

#[tokio::test(start_paused = true)]
async fn body_dropped_unpolled_counts_as_a_client_that_left() {
    let recording = Recording::default();
    drop(open(SseLayer::new(answers(Events::new(Script::new([event("a")])))).observer(recording.clone())).await);
    assert_eq!(recording.lines(), ["opened GET /", "closed client gone after 0 ms: 0 events, 0 bytes, 0 heartbeats"]);
}

#[tokio::test(start_paused = true)]
async fn frames_that_report_their_release_do_not_hold_the_stream() {
    // The large event that is ready together with the failure is sent before the last event.
    let large = Event::new("x".repeat(20_000));
    let steps = vec![event("a"), Give(Ok(large.clone())), Panic];
    let Ended { frames, life, .. } = ended(steps, Some("sorry"), |_| ()).await;
    assert_eq!(frames.len(), 4);
    assert_eq!(frames[2].as_bytes(), &large.to_bytes()[..]);
    assert_eq!(frames[3], "data: sorry\n\n");
    assert!(life.is_dropped());
}
