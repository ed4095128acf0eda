//! A drain of other streams: decorated ones, within an event, late ones, those of a handler.

use std::time::Duration;

use http::Response;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};
use tower_sse::{
    BoxError, Event, Events, SseLayer,
    streams::{DrainReport, OnDrain, Streams},
};

use super::{SECOND, open_end, read, retry, serve};
use crate::support::{
    Hang, Recording, Step, Wait, answers, answers_after, answers_again, bytes, decorate, event, events, get, stream,
};

type Steps = Vec<Step<Result<http_body::Frame<bytes::Bytes>, BoxError>>>;

/// Drains a decorated stream after a second. Returns its frames and their times.
async fn drained(steps: Steps, on_drain: OnDrain, deadline: Duration) -> (Vec<(u64, String)>, DrainReport, Recording) {
    let (streams, recording) = (Streams::new(), Recording::default());
    let layer = SseLayer::decorate().streams(&streams).observer(recording.clone()).on_drain(on_drain);
    let mut body = decorate(layer.on_failure(Event::new("sorry")), stream(steps)).await;
    let (frames, drained) = tokio::join!(body.frames_within(1_000 * SECOND), async {
        sleep(SECOND).await;
        streams.drain(deadline).await
    });
    assert_eq!(streams.len(), 0);
    assert_eq!(recording.closed().len(), 1);
    (frames, drained, recording)
}

#[tokio::test(start_paused = true)]
async fn decorated_stream_leaves_at_once_between_events() {
    let (frames, drained, recording) = drained(vec![bytes("data: a\n\n"), Hang], OnDrain::Leave, 60 * SECOND).await;
    let [.., (at, last)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((*at, frames.len(), drained.ended), (1_000, 3, 1));
    assert!(retry(last).is_some(), "{frames:?}");
    assert!(recording.closed()[0].starts_with("drained after 1000 ms: 1 events"));
}

#[tokio::test(start_paused = true)]
async fn decorated_stream_leaves_at_the_end_of_its_event() {
    let steps = vec![bytes("data: a\nda"), Wait(3_000), bytes("ta: b\n\ndata: c\n\n"), Hang];
    let (frames, drained, recording) = drained(steps, OnDrain::Leave, 60 * SECOND).await;
    let texts: Vec<_> = frames.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[..3], [":\n", "data: a\nda", "ta: b\n\n"]);
    assert_eq!((frames[3].0, frames.len(), drained.ended), (3_000, 4, 1));
    assert!(retry(texts[3]).is_some(), "{frames:?}");
    assert!(recording.closed()[0].starts_with("drained after 3000 ms: 1 events"));
}

#[tokio::test(start_paused = true)]
async fn decorated_stream_with_an_endless_event_leaves_after_a_grace() {
    let (frames, drained, recording) = drained(vec![bytes("data: a\nda"), Hang], OnDrain::Leave, 60 * SECOND).await;
    assert_eq!(frames.len(), 2, "nothing is inserted into the event: {frames:?}");
    assert_eq!((drained.ended, drained.aborted), (1, 0));
    assert!(recording.closed()[0].starts_with("drained after 6000 ms"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn grace_for_an_event_ends_before_the_drain_deadline() {
    for on_drain in [OnDrain::Leave, OnDrain::Finish] {
        let start = Instant::now();
        let (_, drained, recording) = drained(vec![bytes("data: a\nda"), Hang], on_drain, 4 * SECOND).await;
        assert_eq!((drained.ended, drained.aborted), (1, 0), "{on_drain:?}: {:?}", recording.closed());
        assert!(recording.closed()[0].starts_with("drained"));
        assert!(start.elapsed() < 1_100 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn finishing_decorated_stream_is_cut_between_events() {
    let (frames, drained, _) = drained(vec![bytes("data: a\n\n"), Hang], OnDrain::Finish, 10 * SECOND).await;
    let [.., (at, last)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((*at, drained.ended), (10_000, 1), "a second before the deadline");
    assert!(retry(last.strip_prefix("data: sorry\n\n").unwrap()).is_some(), "{last}");
}

#[tokio::test(start_paused = true)]
async fn drain_ends_a_late_event_service() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let service = answers_after(60_000, Ok::<_, tower_sse::Refusal>(open_end()));
    let layer = SseLayer::new(service).commit_after(SECOND).streams(&streams).observer(recording.clone());
    let mut body = read(&serve(&layer)).await;
    let (frames, drained) = tokio::join!(body.rest(), async {
        sleep(2 * SECOND).await;
        streams.drain(60 * SECOND).await
    });
    assert_eq!((frames.len(), body.millis(), drained.ended), (2, 2_000, 1));
    assert!(retry(&frames[1]).is_some(), "{frames:?}");
    assert!(recording.closed()[0].starts_with("drained after 2000 ms: 0 events"));
}

#[tokio::test(start_paused = true)]
async fn late_answer_decides_whether_it_finishes() {
    for (layers, own, ends_after) in
        [(OnDrain::Finish, OnDrain::Leave, 4_000), (OnDrain::Finish, OnDrain::Finish, 9_000)]
    {
        let streams = Streams::new();
        let work = events([Wait(5_000), event("b")]).on_drain(own);
        let service = answers_after(5_000, Ok::<_, tower_sse::Refusal>(work));
        let layer = SseLayer::new(service).commit_after(SECOND).on_drain(layers).streams(&streams);
        let mut body = read(&serve(&layer)).await;
        let (frames, drained) = tokio::join!(body.rest(), async {
            sleep(2 * SECOND).await;
            streams.drain(60 * SECOND).await
        });
        assert_eq!(body.millis(), ends_after, "{own:?}: {frames:?}");
        assert_eq!((drained.ended, drained.aborted), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn late_events_of_a_handler_are_drained_with_the_layer() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let own = Response::from(open_end());
    let layer = SseLayer::new(answers_after(2_000, Ok::<_, tower_sse::Refusal>(own))).commit_after(SECOND);
    let mut body = read(&serve(&layer.streams(&streams).observer(recording.clone()))).await;
    let (frames, drained) = tokio::join!(body.rest(), async {
        sleep(5 * SECOND).await;
        streams.drain(60 * SECOND).await
    });
    assert_eq!(frames[..2], [":\n", "data: a\n\n"]);
    assert!(retry(&frames[2]).is_some(), "{frames:?}");
    assert_eq!((body.millis(), drained.ended, recording.closed().len(), streams.len()), (5_000, 1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn discarded_full_response_leaves_nothing_behind() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let layer = SseLayer::decorate().streams(&streams).observer(recording.clone());
    let response = layer.layer(answers(Response::from(open_end()))).oneshot(get()).await.unwrap();
    assert_eq!(streams.len(), 1);
    drop(response);
    assert_eq!((streams.len(), recording.closed().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_busy_stream_is_drained_at_its_next_frame() {
    let streams = Streams::new();
    let endless = || Events::new(futures_util::stream::repeat_with(|| Event::new("x".repeat(100))));
    let layer = SseLayer::new(answers_again(endless)).streams(&streams);
    let mut body = read(&serve(&layer)).await;
    for _ in 0..10 {
        assert!(retry(&body.next().await.unwrap()).is_none());
    }
    streams.start_drain();
    let rest = body.rest().await;
    assert_eq!(rest.len(), 1);
    assert!(retry(&rest[0]).is_some());
}
