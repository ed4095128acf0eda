//! The settings of a layer from the beginning of a stream to its end, at every entry point.

use std::{future::ready, time::Duration};

use http::{Method, Response};
use tokio::time::{Instant, sleep};
use tower::Layer;
use tower_sse::{
    Events, SseLayer,
    access::{AccessCheck, AccessDecision},
    streams::{OnDrain, Streams},
};

use super::{
    SECOND, ask_for,
    entry_points::{Asks, Way, both, by_event_services, for_all_requests, ways},
    open_end,
};
use crate::support::{Hang, Reading, Recording, Wait, event, events, get};

#[tokio::test(start_paused = true)]
async fn in_flight_request_is_ended_by_its_key() {
    let (streams, recording) = (Streams::new(), Recording::default());
    let asks = Asks { key: Some("alice"), ..Asks::of(&streams) };
    let asks_and_tells = asks.clone().recording(&recording);
    let observed = both(&asks_and_tells, 5 * SECOND, open_end).map(|way| (way, true));
    for ((request, way), is_observed) in both(&asks, 5 * SECOND, open_end).map(|way| (way, false)).chain(observed) {
        let ended = async {
            sleep(SECOND).await;
            (streams.end_key("bob", "logged out"), streams.end_key("alice", "logged out"))
        };
        let (mut body, ended) = tokio::join!(way.open(request()), ended);
        assert_eq!(ended, (0, 1), "{}", way.name);
        let rest = body.rest().await.concat();
        assert!(!rest.contains("data"), "{}: {rest}", way.name);
        // A POST is aborted, a moment after its last frame.
        assert!((streams.len(), body.millis() <= 50) == (0, true), "{}: {} ms", way.name, body.millis());
        let Some(closed) = recording.closed().pop().filter(|_| is_observed) else {
            assert!(!is_observed && recording.lines().is_empty());
            continue;
        };
        assert!(closed.starts_with("access revoked after 0 ms") && closed.ends_with(", logged out"), "{closed}");
    }
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_an_in_flight_request_and_its_work() {
    let work = || events([event("a"), Wait(10_000), event("b")]).on_drain(OnDrain::Finish);
    for number in 0..both(&Asks::default(), SECOND, open_end).count() {
        let streams = Streams::new();
        let asks = Asks { on_drain: Some(OnDrain::Finish), ..Asks::of(&streams) };
        let (request, way) = both(&asks, 5 * SECOND, work).nth(number).unwrap();
        let begin = Instant::now();
        let drained = async {
            sleep(SECOND).await;
            (streams.drain(60 * SECOND).await, begin.elapsed())
        };
        let read = async { way.open(request()).await.rest().await.concat() };
        let (text, (drained, took)) = tokio::join!(read, drained);
        assert!(text.contains("data: b"), "{}: {text}", way.name);
        assert_eq!((took, drained.ended, drained.aborted), (15 * SECOND, 1, 0), "{}", way.name);
    }
}

#[tokio::test(start_paused = true)]
async fn open_stream_is_ended_by_its_layers_settings() {
    let no = || AccessCheck::every(SECOND, |_| ready(AccessDecision::Revoke("over".into())));
    let counted = ways(&Asks::default(), SECOND, open_end).len();
    for (number, is_observed) in (0..counted).flat_map(|number| [(number, false), (number, true)]) {
        let streams = Streams::new();
        let key = Asks { key: Some("me"), ..Asks::of(&streams) };
        let cases = [
            ("lifetime", Asks { lifetime: Some(SECOND), ..Asks::default() }),
            ("access revoked", Asks { access: Some(no()), ..Asks::default() }),
            ("access revoked", key.clone()),
            ("drained", Asks { on_drain: Some(OnDrain::Leave), ..key }),
        ];
        for (at, (reason, asks)) in cases.into_iter().enumerate() {
            let recording = Recording::default();
            let asks = Asks { recording: is_observed.then(|| recording.clone()), ..asks };
            let way = ways(&asks, Duration::ZERO, open_end).remove(number);
            let mut body = way.open(get()).await;
            let (frames, ()) = tokio::join!(body.frames_within(10 * SECOND), async {
                sleep(SECOND).await;
                match at {
                    2 => assert_eq!(streams.end_key("me", "over"), 1),
                    3 => streams.start_drain(),
                    _ => {}
                }
            });
            let text: String = frames.iter().map(|(_, text)| text.as_str()).collect();
            assert!(text.starts_with(":\n") && text.contains("data: a\n\n"), "{}: {text}", way.name);
            // A stream in a coding ends by an error, a moment later.
            assert!(frames.iter().all(|&(at, _)| at <= 1_050), "{}: {frames:?}", way.name);
            assert!(body.rest().await.is_empty(), "{}", way.name);
            let lines = recording.lines();
            let opened = lines.iter().filter(|line| line.starts_with("opened")).count();
            let once = usize::from(is_observed);
            assert_eq!((opened, recording.closed().len()), (once, once), "{}: {lines:?}", way.name);
            assert!(recording.closed().iter().all(|end| end.starts_with(reason)), "{}, {reason}: {lines:?}", way.name);
            assert_eq!(streams.len(), 0);
        }
    }
}

/// Twenty seconds of silence before the event, and after it.
fn quiet() -> Events<impl tower_sse::Source> {
    events([Wait(20_000), event("a"), Hang])
}

#[tokio::test(start_paused = true)]
async fn event_service_adds_one_prelude_and_heartbeat_everywhere() {
    let own = |way: &Way| !way.name.starts_with("somebody else's");
    let ways = [by_event_services, for_all_requests].map(|ways| ways(&Asks::default(), 5 * SECOND, quiet)).concat();
    for way in ways.into_iter().filter(own) {
        let mut body = way.open(get()).await;
        let frames = body.frames_within(50 * SECOND).await;
        let (event, comments): (Vec<_>, Vec<_>) = frames.iter().partition(|(_, text)| text == "data: a\n\n");
        assert!(event.len() == 1 && comments.iter().all(|(_, text)| text == ":\n"), "{}: {frames:?}", way.name);
        assert_eq!((comments[0].0, comments.len() >= 3), (0, true), "{}: {frames:?}", way.name);
        let apart = frames.windows(2).all(|pair| pair[1].1 != ":\n" || pair[1].0 - pair[0].0 >= 11_999);
        assert!(apart, "{}: {frames:?}", way.name);
    }
}

#[tokio::test(start_paused = true)]
async fn early_end_follows_the_method_at_every_entry_point() {
    let asks = Asks { lifetime: Some(10 * SECOND), ..Asks::default() };
    for (request, way) in both(&asks, 5 * SECOND, open_end) {
        let frames = way.open(request()).await.rest().await;
        let aborts = request().method() == Method::POST || way.name == "a response in a coding";
        let error = "error the stream ended early: lifetime";
        assert_eq!(frames.last().unwrap() == error, aborts, "{}: {frames:?}", way.name);
    }
}

#[tokio::test(start_paused = true)]
async fn outer_layer_tightens_the_limits_of_an_inner_one() {
    let lifetimes = [(100, 10, 10), (10, 100, 10)];
    for ((outer, inner, ends_at), own) in lifetimes.into_iter().flat_map(|case| [(case, None), (case, Some(1_000))]) {
        let make = move || own.map_or_else(open_end, |own| open_end().lifetime(own * SECOND));
        let handler = crate::support::answers_again(move || Response::from(make()));
        let service = SseLayer::decorate().lifetime(inner * SECOND).layer(handler);
        let service = SseLayer::decorate().lifetime(outer * SECOND).layer(service);
        let mut body = Reading::new(ask_for(&service, get()).await.into_body());
        body.rest().await;
        // The stream's own setting overrides the innermost layer's, and the outer layer's limit both.
        let ends_at = if own.is_some() { outer } else { ends_at };
        let (millis, at_most) = (body.millis(), u64::from(ends_at) * 1_000);
        assert!((at_most * 4 / 5..=at_most).contains(&millis), "{outer}, {inner}, {own:?}: {millis}");
    }
    for (outer, inner, leaves) in [
        (None, OnDrain::Finish, false),
        (Some(OnDrain::Finish), OnDrain::Finish, false),
        (Some(OnDrain::Leave), OnDrain::Finish, true),
        (Some(OnDrain::Finish), OnDrain::Leave, true),
    ] {
        let streams = Streams::new();
        let work = crate::support::answers_again(|| Response::from(events([event("a"), Wait(10_000), event("b")])));
        let asks = Asks { on_drain: outer, ..Asks::of(&streams) };
        let service = asks.by(SseLayer::decorate()).layer(SseLayer::decorate().on_drain(inner).layer(work));
        let mut body = Reading::new(ask_for(&service, get()).await.into_body());
        let (frames, ()) = tokio::join!(body.rest(), async {
            sleep(SECOND).await;
            streams.start_drain();
        });
        assert_eq!(frames.concat().contains("data: b"), !leaves, "{outer:?}, {inner:?}: {frames:?}");
    }
}
