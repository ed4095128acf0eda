//! A stream that another task feeds: the sender waits for the client, and detects that it leaves.

use std::time::Duration;

use http::{Method, Response};
use tower::{Layer, ServiceExt};
use tower_sse::{Event, EventSender, Events, SseLayer, TrySendError};

use crate::support::{Reading, Recording, answers, ask, open};

fn number(number: u32) -> Event {
    Event::new(number.to_string())
}

#[tokio::test(start_paused = true)]
async fn stream_ends_after_the_events_of_its_senders() {
    let (sender, events) = Events::channel(4);
    let other = sender.clone();
    tokio::spawn(async move {
        sender.send(number(1)).await.unwrap();
        drop(sender);
        tokio::time::sleep(Duration::from_secs(1)).await;
        other.send(number(2)).await.unwrap();
    });
    let mut body = open(SseLayer::new(answers(events))).await;
    assert_eq!(body.rest().await, [":\n", "data: 1\n\n", "data: 2\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn full_channel_returns_the_event_or_waits() {
    let (sender, events) = Events::channel(1);
    let mut body = open(SseLayer::new(answers(events))).await;
    sender.try_send(number(1)).unwrap();
    let refused = sender.try_send(number(2)).unwrap_err();
    assert_eq!(refused, TrySendError::Full(number(2)));
    assert_eq!(refused.to_string(), "the channel is full");

    let waiting = tokio::spawn({
        let sender = sender.clone();
        let event = refused.into_event();
        async move { sender.send(event).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "the channel is full until the client reads");
    assert_eq!(body.next().await.unwrap(), ":\n");
    assert_eq!(body.next().await.unwrap(), "data: 1\n\n");
    assert_eq!(body.next().await.unwrap(), "data: 2\n\n");
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn sender_detects_that_the_client_has_left() {
    let (sender, events) = Events::channel(1);
    let mut body = open(SseLayer::new(answers(events))).await;
    body.next().await;
    assert!(body.poll_once().is_pending());
    assert!(!sender.is_closed());

    let seen = tokio::spawn({
        let sender = sender.clone();
        async move { sender.closed().await }
    });
    tokio::task::yield_now().await;
    assert!(!seen.is_finished());
    drop(body);
    seen.await.unwrap();
    assert_closed(&sender).await;
}

#[tokio::test(start_paused = true)]
async fn sender_detects_the_end_at_the_deadline() {
    let (sender, events) = Events::channel(1);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let mut body = open(SseLayer::new(answers(events.deadline(deadline)))).await;
    assert_eq!(body.next().await.unwrap(), ":\n");
    assert!(!sender.is_closed());
    let last = body.next().await.unwrap();
    assert!(last.starts_with("retry: "), "{last}");
    // The body still exists: a connection whose client has stalled holds it for long.
    assert_closed(&sender).await;
}

async fn assert_closed(sender: &EventSender) {
    assert!(sender.is_closed());
    let refused = sender.try_send(number(1)).unwrap_err();
    assert_eq!(refused, TrySendError::Closed(number(1)));
    assert_eq!(refused.to_string(), "the client has left");
    let refused = sender.send(number(2)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the client has left");
    assert_eq!(refused.into_event(), number(2));
}

#[tokio::test(start_paused = true)]
async fn channel_of_capacity_zero_holds_one_event() {
    let (sender, events) = Events::channel(0);
    sender.try_send(number(1)).unwrap();
    drop(sender);
    assert_eq!(open(SseLayer::new(answers(events))).await.rest().await, [":\n", "data: 1\n\n"]);
    let (sender, _events) = Events::channel(usize::MAX);
    sender.try_send(number(1)).unwrap();
}

/// Reads a stream to its end, whose senders do this.
async fn recording<F: Future<Output = ()> + Send + 'static>(
    capacity: usize,
    produce: impl FnOnce(EventSender) -> F,
) -> (Vec<String>, Vec<String>) {
    let (sender, events) = Events::channel(capacity);
    let recording = Recording::default();
    let layer = SseLayer::new(answers(events)).on_failure(Event::new("sorry")).observer(recording.clone());
    let producer = tokio::spawn(produce(sender));
    let frames = open(layer).await.rest().await;
    let _ = producer.await;
    (frames, recording.closed())
}

fn reason(recording: &[String]) -> (&str, &str) {
    let [closed] = recording else { panic!("one end is reported: {recording:?}") };
    (closed.split(" after ").next().unwrap(), closed.rsplit(", ").next().unwrap())
}

/// A stream whose sender failed was observed as finished, and its client received a clean end.
#[tokio::test(start_paused = true)]
async fn failed_sender_fails_the_stream_after_its_events() {
    for seconds in [0, 5] {
        let (frames, recording) = recording(2, move |sender| async move {
            sender.send(number(1)).await.unwrap();
            sender.send(number(2)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            sender.fail("the database is gone");
        })
        .await;
        assert_eq!(frames.concat(), ":\ndata: 1\n\ndata: 2\n\ndata: sorry\n\n");
        assert_eq!(reason(&recording), ("failed", "the database is gone"));
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_sender_fails_the_stream_after_its_events() {
    let (frames, recording) = recording(2, |sender| async move {
        sender.send(number(1)).await.unwrap();
        tokio::task::yield_now().await;
        panic!("a bug");
    })
    .await;
    assert_eq!(frames.concat(), ":\ndata: 1\n\ndata: sorry\n\n");
    assert_eq!(reason(&recording), ("failed", "the sender of events panicked"));
}

#[tokio::test(start_paused = true)]
async fn sender_dropped_before_a_panic_has_finished() {
    let (frames, recording) = recording(1, |sender| async move {
        sender.send(number(1)).await.unwrap();
        drop(sender);
        panic!("a bug");
    })
    .await;
    assert_eq!(frames.concat(), ":\ndata: 1\n\n");
    assert_eq!(reason(&recording).0, "finished");
}

#[tokio::test(start_paused = true)]
async fn the_first_of_several_senders_to_fail_decides() {
    let (frames, recording) = recording(4, |sender| async move {
        let (first, second, panics) = (sender.clone(), sender.clone(), sender.clone());
        sender.send(number(1)).await.unwrap();
        first.fail("the first");
        second.fail("the second");
        let panics = tokio::spawn(async move {
            let _panics = panics;
            panic!("a bug");
        });
        assert!(panics.await.is_err());
        assert_closed(&sender).await;
        // Alive when the stream ends.
        sender.closed().await;
    })
    .await;
    assert_eq!(frames.concat(), ":\ndata: 1\n\ndata: sorry\n\n");
    assert_eq!(reason(&recording), ("failed", "the first"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_needs_no_room_in_the_channel() {
    let (frames, recording) = recording(1, |sender| async move {
        sender.send(number(1)).await.unwrap();
        let other = sender.clone();
        let waits = other.send(number(2));
        sender.fail("at once");
        let _ = waits.await;
    })
    .await;
    assert!(
        frames.concat().starts_with(":\ndata: 1\n\n") && frames.concat().ends_with("data: sorry\n\n"),
        "{frames:?}"
    );
    assert_eq!(reason(&recording), ("failed", "at once"));
}

#[tokio::test(start_paused = true)]
async fn failed_sender_aborts_the_response_to_a_post() {
    let (sender, events) = Events::channel(1);
    let layer = SseLayer::new(answers(events)).methods([Method::POST]);
    let service = layer.layer(answers(Response::new(String::new())));
    let response = service.oneshot(ask(Method::POST)).await.unwrap();
    sender.try_send(number(1)).unwrap();
    sender.fail("the model is gone");
    let frames = Reading::new(response.into_body()).rest().await;
    assert_eq!(frames[1], "data: 1\n\n");
    assert!(frames.last().unwrap().starts_with("error"), "{frames:?}");
}

/// The failure comes from another thread while the reader is about to wait, and another sender keeps the channel open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failure_wakes_a_waiting_reader() {
    for _ in 0..1_000 {
        let (sender, events) = Events::channel(1);
        let kept = sender.clone();
        let mut body = open(SseLayer::new(answers(events)).on_failure(Event::new("sorry"))).await;
        let fails = std::thread::spawn(move || sender.fail("now"));
        let frames = tokio::time::timeout(Duration::from_secs(60), body.rest()).await.expect("the reader is woken");
        assert_eq!(frames, [":\n", "data: sorry\n\n"]);
        fails.join().unwrap();
        drop(kept);
    }
}

#[test]
fn blocking_send_waits_for_room_on_a_thread_without_a_runtime() {
    let (sender, events) = Events::channel(1);
    let thread = std::thread::spawn(move || {
        (1..=3).try_for_each(|step| sender.blocking_send(number(step))).expect("the client reads");
        sender.fail("over");
    });
    let frames = crate::support::paused(async { open(SseLayer::new(answers(events))).await.rest().await.concat() });
    thread.join().unwrap();
    // While the thread is slow, the paused time advances, and heartbeats are sent.
    assert_eq!(frames.replace(":\n", ""), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
}

#[test]
fn blocking_send_returns_the_event_after_a_failure() {
    let (sender, _events) = Events::channel(1);
    sender.clone().fail("over");
    assert_eq!(sender.blocking_send(number(1)).unwrap_err().into_event(), number(1));
}

#[test]
fn capacity_counts_free_places_and_clones_share_the_channel() {
    let (sender, _events) = Events::channel(2);
    let (other, _others) = Events::channel(2);
    assert_eq!(sender.capacity(), 2);
    sender.try_send(number(1)).unwrap();
    assert_eq!(sender.clone().capacity(), 1);
    assert!(sender.same_channel(&sender.clone()));
    assert!(!sender.same_channel(&other));
}
