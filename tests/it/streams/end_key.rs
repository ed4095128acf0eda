//! The streams of a key are ended at once, in any state, and no others.

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio::time::{Instant, sleep};
use tower_sse::{
    RequestHead, Sse, SseLayer,
    streams::{OnDrain, Streams},
};

use super::{Endless, Inside, SECOND, ask_for, endless, open_end, serve};
use crate::support::{Hang, Reading, Recording, Wait, answers_again, bytes, decorate, event, events, get, stream};

/// Returns the query, as the user's name.
fn user(head: &RequestHead<'_>) -> Option<Arc<str>> {
    head.uri().query().map(Arc::from)
}

fn of(user: &str) -> Request<String> {
    let mut request = get();
    *request.uri_mut() = format!("/?{user}").parse().unwrap();
    request
}

/// Streams by user.
fn house(streams: &Streams, recording: &Recording) -> Sse<Inside, Endless> {
    serve(&endless(streams, recording).stream_key(user))
}

#[tokio::test(start_paused = true)]
async fn only_the_streams_of_the_key_end() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let service = house(&streams, &recording);
    let mut alices = Reading::new(ask_for(&service, of("alice")).await.into_body());
    let mut others = Vec::new();
    for request in [of("alic"), of("alicee"), of(""), get()] {
        others.push(Reading::new(ask_for(&service, request).await.into_body()));
    }
    assert_eq!((streams.len(), streams.len_for_key("alice"), streams.len_for_key("bob")), (5, 1, 0));
    let (frames, ended) = tokio::join!(alices.rest(), async {
        sleep(SECOND).await;
        streams.end_key("alice", "logged out")
    });
    assert_eq!((ended, alices.millis()), (1, 1_000));
    assert_eq!(frames, [":\n", "data: a\n\n"], "the client receives no reason");
    assert_eq!(recording.closed(), ["access revoked after 1000 ms: 1 events, 11 bytes, 0 heartbeats, logged out"]);
    for body in &mut others {
        assert_eq!(body.next().await.unwrap(), ":\n");
        assert_eq!(body.next().await.unwrap(), "data: a\n\n");
        assert!(body.poll_once().is_pending());
    }
    assert_eq!((streams.len(), streams.len_for_key("alice"), streams.end_key("alice", "again")), (4, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn unpolled_stream_ends_from_outside_once() {
    // Polled never; up to a frame; until pending.
    for polls in 0..4 {
        let (streams, recording) = (Streams::builder().stall_timeout(None).build(), Recording::default());
        let service = house(&streams, &recording);
        let mut body = Reading::new(ask_for(&service, of("alice")).await.into_body());
        for _ in 0..polls {
            let _ = body.poll_once();
        }
        sleep(100 * SECOND).await;
        assert_eq!(streams.end_key("alice", "logged out"), 1);
        let waits = polls == 3;
        assert_eq!(recording.closed().len(), usize::from(!waits), "polls: {polls}");
        assert_eq!(streams.len(), usize::from(waits), "its permit is free");
        assert_eq!(streams.end_key("alice", "again"), usize::from(waits));

        // The stream is polled again, and ends at once.
        let rest = body.rest().await;
        assert_eq!(rest.len(), usize::from(polls == 0), "nothing but the prelude: {rest:?}");
        assert_eq!((recording.closed().len(), streams.len()), (1, 0), "once");
        assert!(recording.closed()[0].starts_with("access revoked after 100000 ms"), "{:?}", recording.closed());
        assert!(recording.closed()[0].ends_with(", logged out"), "the first reason: {:?}", recording.closed());
    }
}

#[tokio::test(start_paused = true)]
async fn stream_answered_after_end_key_has_no_event() {
    for commit_after in [None, Some(SECOND)] {
        let (streams, recording) = (Streams::new(), Recording::default());
        let slow = |_: Request<String>| async {
            sleep(10 * SECOND).await;
            open_end()
        };
        let layer = SseLayer::from_fn(slow).commit_after(commit_after).streams(&streams).stream_key(user);
        let service = serve(&layer.observer(recording.clone()));
        let (frames, ended) = tokio::join!(
            async {
                let mut body = Reading::new(ask_for(&service, of("alice")).await.into_body());
                body.rest().await
            },
            async {
                sleep(5 * SECOND).await;
                streams.end_key("alice", "logged out")
            }
        );
        assert_eq!((ended, frames), (1, vec![String::from(":\n")]));
        assert_eq!((streams.len(), recording.closed().len()), (0, 1));
        assert!(recording.closed()[0].starts_with("access revoked"), "{:?}", recording.closed());
    }
}

#[tokio::test(start_paused = true)]
async fn end_key_ends_a_finishing_stream() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let layer = SseLayer::new(answers_again(|| events([event("a"), Wait(60_000), event("b")])));
    let layer = layer.on_drain(OnDrain::Finish).streams(&streams).stream_key(user);
    let service = serve(&layer.observer(recording.clone()));
    let mut body = Reading::new(ask_for(&service, of("alice")).await.into_body());
    let start = Instant::now();
    let (frames, drained, ()) = tokio::join!(body.rest(), streams.drain(100 * SECOND), async {
        sleep(5 * SECOND).await;
        streams.end_key("alice", "logged out");
    });
    assert_eq!((frames.len(), start.elapsed(), drained.ended), (2, 5 * SECOND, 1));
    assert!(recording.closed()[0].starts_with("access revoked"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn decorated_stream_ends_after_its_current_event() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let layer = SseLayer::decorate().streams(&streams).stream_key(|_| Some("alice".into())).observer(recording.clone());
    let steps = [bytes("data: a\n"), Wait(2_000), bytes("\ndata: b\n\n"), Hang];
    let mut body = decorate(layer, stream(steps)).await;
    let (frames, ended) = tokio::join!(body.rest(), async {
        sleep(SECOND).await;
        streams.end_key("alice", "logged out")
    });
    assert_eq!((ended, frames), (1, [":\n", "data: a\n", "\n"].map(String::from).to_vec()));
    assert!(recording.closed()[0].starts_with("access revoked after 2000 ms"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn end_key_ends_many_streams_and_leaves_others() {
    let streams = Streams::new();
    let service = house(&streams, &Recording::default());
    let mut bodies = Vec::new();
    for number in 0..1_000 {
        let request = of(if number % 3 == 0 { "alice" } else { "bob" });
        let mut body = Reading::new(ask_for(&service, request).await.into_body());
        while body.poll_once().is_ready() {}
        bodies.push(body);
    }
    // Released slots are used again.
    bodies.drain(..500);
    for _ in 0..50 {
        bodies.push(Reading::new(ask_for(&service, of("alice")).await.into_body()));
    }
    let alices = streams.len_for_key("alice");
    assert_eq!(streams.end_key("alice", "logged out"), alices);
    let mut ended = 0;
    for body in &mut bodies {
        ended += usize::from(tokio::time::timeout(Duration::from_millis(1), body.rest()).await.is_ok());
    }
    assert_eq!((ended, streams.len(), streams.len_for_key("alice")), (alices, bodies.len() - alices, 0));
}
