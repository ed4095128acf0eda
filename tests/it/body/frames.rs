//! Ready events are sent at once, in as few frames as possible.

use std::{error::Error, iter, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body::Body as _;
use proptest::prelude::*;
use tower_sse::{Event, Events, SseLayer};

use crate::support::{Give, Hang, Reading, Script, Wait, answers, error, event, events, get, open, paused, respond};

/// The largest part of a frame that small events fill.
const FRAME: usize = 8 * 1024;

/// An event of this encoded length.
fn sized(bytes: usize) -> Event {
    Event::new("x".repeat(bytes - "data: \n\n".len()))
}

#[tokio::test(start_paused = true)]
async fn ready_events_share_a_frame_that_leaves_when_nothing_is_ready() {
    let steps = [event("a"), event("b"), event("c"), Wait(100), event("d"), Wait(100), event("e"), event("f")];
    let mut body = open(SseLayer::new(answers(events(steps)))).await;
    let frames = body.frames_within(Duration::from_secs(1)).await;
    let expected = [(0, ":\n"), (0, "data: a\n\ndata: b\n\ndata: c\n\n"), (100, "data: d\n\n")]
        .into_iter()
        .chain([(200, "data: e\n\ndata: f\n\n")]);
    assert_eq!(frames, expected.map(|(at, text)| (at, String::from(text))).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn burst_is_sent_in_frames_of_eight_kib() {
    let burst = stream::iter((0..1000).map(|number| Event::new(format!("{number:030}"))));
    let mut body = open(SseLayer::new(answers(Events::new(burst)))).await;
    let frames = body.rest().await;
    let (prelude, frames) = frames.split_first().unwrap();
    assert_eq!(prelude, ":\n");
    let (last, full) = frames.split_last().unwrap();
    assert!(full.iter().all(|frame| frame.len() <= FRAME && frame.len() > FRAME - 38), "each frame is full");
    assert!(last.len() <= FRAME);
    let all: String = (0..1000).map(|number| format!("data: {number:030}\n\n")).collect();
    assert_eq!(frames.concat(), all);
}

#[tokio::test(start_paused = true)]
async fn a_large_event_has_its_own_frame_and_is_not_copied() {
    let large = sized(100_000);
    let steps = [event("before"), Give(Ok(large.clone())), event("after")];
    let mut body = open(SseLayer::new(answers(events(steps)))).await;
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(frame.unwrap().into_data().unwrap());
    }
    let sizes: Vec<_> = frames.iter().map(Bytes::len).collect();
    assert_eq!(sizes, [2, "data: before\n\n".len(), 100_000, "data: after\n\n".len()]);
    assert_eq!(frames[2].as_ptr(), large.to_bytes().as_ptr());
}

/// hyper buffered up to sixteen of them, whatever their size. glibc's allocator returns memory to the system above 128 KiB.
#[tokio::test(start_paused = true)]
async fn endless_large_events_yield_before_120_kib_unless_one_alone_has_more() {
    const KIB: usize = 1024;
    for (size, in_one) in [
        (8 * KIB + 1, 14),
        (16 * KIB, 7),
        (40 * KIB, 3),
        (60 * KIB, 2),
        (60 * KIB + 1, 1),
        (64 * KIB, 1),
        (256 * KIB, 1),
    ] {
        let large = sized(size);
        let mut body = open(SseLayer::new(answers(Events::new(stream::repeat_with(move || large.clone()))))).await;
        assert_eq!(body.next().await.unwrap(), ":\n");
        for _ in 0..3 {
            assert_eq!(frames_before_pause(&mut body), in_one, "{size}");
        }
        // Nothing else wakes the task.
        for _ in 0..20 {
            assert_eq!(body.next().await.unwrap().len(), size);
        }
    }
}

/// Returns the number of frames that are ready.
fn frames_before_pause(body: &mut Reading<impl http_body::Body<Data = Bytes, Error: Error>>) -> usize {
    iter::from_fn(|| body.poll_once().is_ready().then_some(())).count()
}

#[tokio::test(start_paused = true)]
async fn large_events_of_several_sizes_yield_after_120_kib_and_one_of_them_at_most() {
    let sizes = [9_000, 60_000, 50_000, 100_000, 9_000, 200_000, 9_000];
    let mut left = sizes.into_iter().cycle();
    let events = stream::repeat_with(move || sized(left.next().unwrap()));
    let mut body = open(SseLayer::new(answers(Events::new(events)))).await;
    assert_eq!(body.next().await.unwrap(), ":\n");
    let mut frames = sizes.into_iter().cycle();
    for _ in 0..20 {
        let sent: Vec<_> = frames.by_ref().take(frames_before_pause(&mut body)).collect();
        let (_, before_last) = sent.split_last().expect("a pause is one poll");
        assert!(before_last.iter().sum::<usize>() <= 120 * 1024, "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn single_event_is_not_copied() {
    let small = Event::new("alone");
    let mut body = open(SseLayer::new(answers(events([Give(Ok(small.clone()))])))).await;
    body.next().await;
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame.as_ptr(), small.to_bytes().as_ptr());
}

#[tokio::test(start_paused = true)]
async fn prelude_precedes_the_first_event() {
    let mut body = open(SseLayer::new(answers(events([Hang])))).await;
    assert_eq!(body.next().await.unwrap(), ":\n");
    assert!(body.poll_once().is_pending());
}

#[tokio::test(start_paused = true)]
async fn the_prelude_has_the_retry_in_milliseconds_and_no_blank_line() {
    let layer = SseLayer::new(answers(events([Hang]))).retry(Duration::from_micros(1_500_999));
    assert_eq!(open(layer).await.next().await.unwrap(), ":\nretry: 1501\n");
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_any_length_is_digits() {
    for (retry, text) in [(Duration::ZERO, "0"), (Duration::from_nanos(1), "1"), (Duration::MAX, "2147483647")] {
        let layer = SseLayer::new(answers(events([Hang]))).retry(retry);
        assert_eq!(open(layer).await.next().await.unwrap(), format!(":\nretry: {text}\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn immediately_ended_stream_is_not_end_stream_at_first() {
    let body = respond(SseLayer::new(answers(events([]))), get()).await.into_body();
    assert!(!body.is_end_stream());
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (0, None));
    assert_eq!(Reading::new(body).rest().await, [":\n"]);
}

#[tokio::test(start_paused = true)]
async fn source_is_not_polled_before_the_prelude_or_after_its_end() {
    let script = Script::new([event("a")]);
    let life = script.life();
    let mut body = open(SseLayer::new(answers(Events::new(script)))).await;
    body.next().await;
    assert_eq!(life.polls(), 0);
    assert_eq!(body.rest().await, ["data: a\n\n"]);
    assert!(!life.was_polled_after_its_end());
    assert!(life.is_dropped(), "and it is released with the end");
}

#[tokio::test(start_paused = true)]
async fn events_before_an_error_arrive_before_it() {
    let many = (0..500).map(|number| event(&format!("{number:030}")));
    let steps = many.chain([error("broken")]);
    let mut body = open(SseLayer::new(answers(events(steps)))).await;
    let all: String = (0..500).map(|number| format!("data: {number:030}\n\n")).collect();
    assert_eq!(body.rest().await.concat(), format!(":\n{all}"));
}

/// Sizes of events, and whether the source is pending after each.
fn bursts() -> impl Strategy<Value = Vec<(usize, bool)>> {
    let size = prop_oneof![8 => 8..200_usize, 2 => 200..5000_usize, 1 => 5000..20_000_usize, 1 => 8190..8194_usize];
    prop::collection::vec((size, prop::bool::weighted(0.1)), 0..80)
}

proptest! {
    #[test]
    fn events_arrive_in_order_in_full_frames(bursts in bursts()) {
        let steps = bursts.iter().flat_map(|&(bytes, waits)| {
            [Some(Give(Ok(sized(bytes)))), waits.then_some(Wait(1))].into_iter().flatten()
        });
        let frames = paused(async { open(SseLayer::new(answers(events(steps)))).await.rest().await });
        let frames: Vec<_> = frames[1..].iter().map(String::len).collect();
        prop_assert_eq!(frames, expected(&bursts));
    }
}

/// The sizes of the frames: each event joins the frame before it if there is room and the source was not pending.
fn expected(bursts: &[(usize, bool)]) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut may_join = false;
    for &(bytes, waits) in bursts {
        match frames.last_mut() {
            Some(frame) if may_join && *frame + bytes <= FRAME => *frame += bytes,
            _ => frames.push(bytes),
        }
        may_join = !waits;
    }
    frames
}
