//! A stream that another task feeds: it waits for the client, and sees it leave.

use std::time::Duration;

use tower_sse::{Event, EventSender, Events, SseLayer, TrySendError};

use crate::support::{answers, open};

fn number(number: u32) -> Event {
    Event::new(number.to_string())
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_arrives_and_the_stream_ends_with_its_senders() {
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
async fn a_full_channel_gives_the_event_back_or_waits() {
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
    assert!(!waiting.is_finished(), "there is no room until the client reads");
    assert_eq!(body.next().await.unwrap(), ":\n");
    assert_eq!(body.next().await.unwrap(), "data: 1\n\n");
    assert_eq!(body.next().await.unwrap(), "data: 2\n\n");
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_sender_sees_the_client_leave() {
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
async fn the_sender_sees_the_stream_end_at_its_deadline() {
    let (sender, events) = Events::channel(1);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let mut body = open(SseLayer::new(answers(events.deadline(deadline)))).await;
    assert_eq!(body.next().await.unwrap(), ":\n");
    assert!(!sender.is_closed());
    let last = body.next().await.unwrap();
    assert!(last.starts_with("retry: "), "{last}");
    // The body is still there: a connection whose client has stalled holds it for long.
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
async fn a_channel_without_room_has_room_for_one() {
    let (sender, events) = Events::channel(0);
    sender.try_send(number(1)).unwrap();
    drop(sender);
    assert_eq!(open(SseLayer::new(answers(events))).await.rest().await, [":\n", "data: 1\n\n"]);
    let (sender, _events) = Events::channel(usize::MAX);
    sender.try_send(number(1)).unwrap();
}
