//! Decoration of a foreign event stream; other responses pass unchanged.

use std::{convert::Infallible, future::ready, time::Duration};

use bytes::{Buf, Bytes};
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_sse::{
    BoxError, EarlyEnd, Event, Heartbeat, SseLayer, StreamSettings,
    access::{AccessCheck, AccessDecision},
    event_name,
    middleware::NoEvents,
    streams::Streams,
};

use crate::support::{
    Give, Hang, Panic, Reading, Recording, Script, Wait, answers, ask, bytes, decorate, error, get, stream, trailers,
};

const SECOND: Duration = Duration::from_secs(1);

/// A response with a length and all headers that go with it.
fn plain(status: u16, headers: &[(&str, &str)]) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for &(name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Full::from("data: a\n\n")).unwrap()
}

const EVENT_STREAM: (&str, &str) = ("content-type", "text/event-stream");

#[tokio::test(start_paused = true)]
async fn only_conflicting_headers_are_removed() {
    let headers = [
        ("content-type", "Text/Event-Stream; charset=utf-8"),
        ("content-length", "9"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("etag", "\"1\""),
        ("accept-ranges", "bytes"),
        ("digest", "md5=x"),
        ("content-md5", "x"),
        ("content-digest", "x"),
        ("repr-digest", "x"),
        ("cache-control", "no-store"),
        ("x-own", "1"),
    ];
    let service = SseLayer::decorate().layer(answers(plain(200, &headers)));
    let response = service.oneshot(get()).await.unwrap();
    let mut left: Vec<_> = response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    left.sort_unstable();
    let expected: [(&str, &[u8]); 4] = [
        ("cache-control", b"no-store, no-transform"),
        ("content-type", b"Text/Event-Stream; charset=utf-8"),
        ("x-accel-buffering", b"no"),
        ("x-own", b"1"),
    ];
    assert_eq!(left, expected);
    assert_eq!(Reading::new(response.into_body()).rest().await, [":\n", "data: a\n\n"]);
}

/// Without `no-transform` a proxy that compresses buffers events.
#[tokio::test(start_paused = true)]
async fn directives_of_cache_control_are_merged_and_kept() {
    let cases: [(&[&str], &[&str]); 13] = [
        (&[], &["no-cache, no-transform"]),
        (&["no-cache"], &["no-cache, no-transform"]),
        (&["No-Cache"], &["No-Cache, no-transform"]),
        (&["no-transform"], &["no-transform, no-cache"]),
        (&["NO-TRANSFORM,no-cache"], &["NO-TRANSFORM,no-cache"]),
        (&["no-store"], &["no-store, no-transform"]),
        (&["max-age=0, private"], &["max-age=0, private, no-cache, no-transform"]),
        (&["private", "no-cache"], &["private, no-transform", "no-cache"]),
        (&["no-cache", "no-transform"], &["no-cache", "no-transform"]),
        (
            &["no-cache=\"set-cookie, no-transform\""],
            &["no-cache=\"set-cookie, no-transform\", no-cache, no-transform"],
        ),
        (&[""], &["no-cache, no-transform"]),
        (&["no-transform-at-all"], &["no-transform-at-all, no-cache, no-transform"]),
        (&["s-maxage=1;no-transform"], &["s-maxage=1;no-transform, no-cache, no-transform"]),
    ];
    for (said, expected) in cases {
        let headers: Vec<_> = said.iter().map(|value| ("cache-control", *value)).chain([EVENT_STREAM]).collect();
        let service = SseLayer::decorate().layer(answers(plain(200, &headers)));
        let response = service.oneshot(get()).await.unwrap();
        let merged: Vec<_> = response.headers().get_all("cache-control").iter().collect();
        assert_eq!(merged, expected, "{said:?}");
        let service = SseLayer::new(answers(plain(200, &headers))).layer(answers(Response::new(String::new())));
        let response = service.oneshot(get()).await.unwrap();
        let merged: Vec<_> = response.headers().get_all("cache-control").iter().collect();
        assert_eq!(merged, expected, "{said:?} of an event service");
    }
}

type Headers = &'static [(&'static str, &'static str)];

#[tokio::test(start_paused = true)]
async fn other_responses_pass_unchanged() {
    let cases: [(Method, u16, Headers); 6] = [
        (Method::GET, 404, &[EVENT_STREAM]),
        (Method::GET, 204, &[EVENT_STREAM]),
        (Method::HEAD, 200, &[EVENT_STREAM, ("content-length", "9"), ("etag", "\"1\"")]),
        (Method::GET, 200, &[("content-type", "text/event-streams")]),
        (Method::GET, 200, &[("content-type", "application/json"), ("etag", "\"1\"")]),
        (Method::GET, 200, &[]),
    ];
    for (method, status, headers) in cases {
        let recording = Recording::default();
        let layer = SseLayer::decorate().retry(SECOND).observer(recording.clone());
        let response = layer.layer(answers(plain(status, headers))).oneshot(ask(method)).await.unwrap();
        assert_eq!(response.headers(), plain(status, headers).headers());
        assert_eq!(response.body().size_hint().exact(), Some(9));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((&body[..], recording.lines().len()), (&b"data: a\n\n"[..], 0), "{status} {headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_success_without_a_coding_is_an_event_stream() {
    let cases: [(u16, Headers); 7] = [
        (200, &[EVENT_STREAM, ("content-encoding", "identity")]),
        (200, &[EVENT_STREAM, ("content-encoding", "Identity")]),
        (200, &[EVENT_STREAM, ("content-encoding", "none")]),
        (200, &[EVENT_STREAM, ("content-encoding", "")]),
        (200, &[EVENT_STREAM, ("content-encoding", "identity, ")]),
        (201, &[EVENT_STREAM]),
        (203, &[EVENT_STREAM]),
    ];
    for (status, headers) in cases {
        let (streams, recording) = (Streams::builder().max_streams(1).build(), Recording::default());
        let layer = SseLayer::decorate().heartbeat(10 * SECOND).streams(&streams).observer(recording.clone());
        let mut response = stream([bytes("data: a\n\n"), Hang]);
        *response.status_mut() = status.try_into().unwrap();
        *response.headers_mut() = plain(status, headers).into_parts().0.headers;
        let mut body = decorate(layer.clone(), response).await;
        let frames = body.frames_within(15 * SECOND).await;
        let texts: Vec<_> = frames.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!((&texts[..], streams.len()), (&[":\n", "data: a\n\n", ":\n"][..], 1), "{status} {headers:?}");
        layer.layer(answers(plain(status, headers))).oneshot(get()).await.unwrap();
        assert!(
            recording.lines().pop().unwrap().starts_with("refused"),
            "{status} {headers:?}: {:?}",
            recording.lines()
        );
    }
}

/// The responses that cannot be decorated: the bytes are in a coding, or a part of others.
const SEALED: [(u16, Headers); 5] = [
    (200, &[EVENT_STREAM, ("content-encoding", "gzip"), ("etag", "\"1\"")]),
    (200, &[EVENT_STREAM, ("content-encoding", "identity, br")]),
    (206, &[EVENT_STREAM, ("content-range", "bytes 0-8/9"), ("content-length", "9")]),
    (200, &[EVENT_STREAM, ("content-range", "bytes 0-8/9")]),
    (206, &[EVENT_STREAM]),
];

#[tokio::test(start_paused = true)]
async fn undecoratable_stream_is_observed_and_passes_unchanged() {
    for (status, headers) in SEALED {
        let recording = Recording::default();
        let layer = SseLayer::decorate().retry(SECOND).on_failure(Event::new("sorry")).observer(recording.clone());
        let response = layer.clone().layer(answers(plain(status, headers))).oneshot(get()).await.unwrap();
        assert_eq!(response.headers(), plain(status, headers).headers());
        assert_eq!(Reading::new(response.into_body()).rest().await, ["data: a\n\n"], "{status} {headers:?}");
        let lines = recording.lines();
        assert_eq!(lines[0], "opened GET /");
        assert_eq!(lines[lines.len() - 1], "closed finished after 0 ms: 0 events, 9 bytes, 0 heartbeats");

        for (last, end) in [(error("reset"), "error reset"), (Panic, "error the stream ended early: panicked")] {
            let mut response = stream([bytes("\u{feff}data"), Wait(60_000), last]);
            *response.status_mut() = status.try_into().unwrap();
            response.headers_mut().extend(plain(status, headers).into_parts().0.headers);
            let mut body = decorate(layer.clone(), response).await;
            assert_eq!(body.rest().await, ["\u{feff}data", end], "{status} {headers:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn undecoratable_stream_is_ended_by_an_error() {
    type Asks = fn(SseLayer<NoEvents>) -> SseLayer<NoEvents>;
    let asks: [(&str, Asks); 3] = [
        ("lifetime", |layer| layer.lifetime(SECOND)),
        ("access revoked", |layer| {
            layer.access(AccessCheck::every(SECOND, |_| ready(AccessDecision::Revoke("over".into()))))
        }),
        ("drained", |layer| layer),
    ];
    for ((status, headers), (reason, asks)) in SEALED.into_iter().flat_map(|case| asks.map(|asks| (case, asks))) {
        let (streams, recording) = (Streams::new(), Recording::default());
        let mut response = stream([bytes("not to be read"), Hang]);
        *response.status_mut() = status.try_into().unwrap();
        response.headers_mut().extend(plain(status, headers).into_parts().0.headers);
        let mut body =
            decorate(asks(SseLayer::decorate().streams(&streams).observer(recording.clone())), response).await;
        let (frames, ()) = tokio::join!(body.rest(), async {
            tokio::time::sleep(SECOND).await;
            if reason == "drained" {
                streams.start_drain();
            }
        });
        assert_eq!(frames[0], "not to be read");
        assert!(frames.len() == 2 && frames[1].starts_with("error "), "{reason}: {frames:?}");
        assert!(recording.closed()[0].starts_with(reason), "{reason}: {:?}", recording.closed());
        assert!(body.millis() <= 1_100, "{reason}: {}", body.millis());
        assert_eq!(streams.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn any_method_and_any_accept_is_decorated() {
    for request in [ask(Method::POST), Request::new(String::new())] {
        let service = SseLayer::decorate().layer(answers(plain(200, &[EVENT_STREAM])));
        let response = service.oneshot(request).await.unwrap();
        assert!(!response.headers().contains_key("vary"), "`Accept` was not looked at");
        assert_eq!(Reading::new(response.into_body()).rest().await, [":\n", "data: a\n\n"]);
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_pass() {
    let steps = [bytes("data: a\n\n"), Wait(20_000), trailers("x-sum")];
    let frames = decorate(SseLayer::decorate(), stream(steps)).await.rest().await;
    assert_eq!(frames, [":\n", "data: a\n\n", ":\n", "trailers Some([\"x-sum\"])"]);
}

#[tokio::test(start_paused = true)]
async fn frames_pass_uncopied_and_empty_ones_are_dropped() {
    let large = Bytes::from("data: ".repeat(10_000));
    let steps = [bytes(""), Give(Ok(Frame::data(large.clone()))), bytes(""), bytes("\n\n")];
    let mut body = decorate(SseLayer::decorate(), stream(steps)).await;
    body.next().await;
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame.as_ptr(), large.as_ptr());
    assert_eq!(body.rest().await, ["\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn endless_empty_frames_do_not_stop_heartbeats() {
    let empty = (0..10_000).flat_map(|_| [bytes(""), Wait(10)]);
    let mut body = decorate(SseLayer::decorate().heartbeat(10 * SECOND), stream(empty)).await;
    let frames = body.frames_within(99 * SECOND).await;
    assert!((10..=13).contains(&frames.len()), "{frames:?}");
    let endless = std::iter::repeat_with(|| bytes("")).take(1000);
    let mut body = decorate(SseLayer::decorate(), stream(endless)).await;
    body.next().await;
    assert!(body.poll_once().is_pending(), "the body yields");
    assert!(body.rest().await.is_empty());
}

/// Data in parts, whose errors are not boxed.
struct Parts(Option<bytes::buf::Chain<Bytes, Bytes>>);

impl Body for Parts {
    type Data = bytes::buf::Chain<Bytes, Bytes>;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        std::task::Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}

#[tokio::test(start_paused = true)]
async fn data_of_any_buffer_type_is_accepted() {
    let parts = Parts(Some(Bytes::from("data: ").chain(Bytes::from("a\n\n"))));
    let response = Response::builder().header(EVENT_STREAM.0, EVENT_STREAM.1).body(parts).unwrap();
    assert_eq!(decorate(SseLayer::decorate(), response).await.rest().await, [":\n", "data: a\n\n"]);
}

/// Data, and an error, that panic when they are read.
struct Bomb;

impl Buf for Bomb {
    fn remaining(&self) -> usize {
        panic!("the data panic")
    }

    fn chunk(&self) -> &[u8] {
        &[]
    }

    fn advance(&mut self, _: usize) {}
}

impl From<Bomb> for BoxError {
    fn from(_: Bomb) -> Self {
        panic!("the error panics")
    }
}

#[tokio::test(start_paused = true)]
async fn panicking_data_or_error_is_a_panicking_body() {
    let (data, error) = (Give(Ok(Frame::data(Bomb))), Give(Err(Bomb)));
    for step in [data, error] {
        let recording = Recording::default();
        let body = StreamBody::new(Script::<Result<Frame<Bomb>, Bomb>>::new([step]));
        let response = Response::builder().header(EVENT_STREAM.0, EVENT_STREAM.1).body(body).unwrap();
        let layer = SseLayer::decorate().on_failure(Event::new("sorry")).observer(recording.clone());
        assert_eq!(decorate(layer, response).await.rest().await, [":\n", "data: sorry\n\n"]);
        assert!(recording.closed()[0].starts_with("panicked"), "{:?}", recording.closed());
    }
}

/// Returns the bytes that are sent if the body fails after this text.
async fn failed(text: &str, panics: bool, last: Option<&str>) -> (String, Vec<String>) {
    let recording = Recording::default();
    let mut layer = SseLayer::decorate().observer(recording.clone());
    if let Some(last) = last {
        layer = layer.on_failure(Event::new(last));
    }
    let script = Script::new([bytes(text), if panics { Panic } else { error("reset") }]);
    let life = script.life();
    let response = Response::builder().header(EVENT_STREAM.0, EVENT_STREAM.1).body(script).unwrap();
    let frames = decorate(layer, response).await.rest().await;
    assert!(life.is_dropped() && !life.was_polled_after_its_end());
    (frames.concat(), recording.closed())
}

#[tokio::test(start_paused = true)]
async fn upstream_error_closes_the_line_and_ends_cleanly() {
    let cases = [
        ("data: a\n\n", "", "data: sorry\n\n"),
        ("data: a\r\n\r\n", "", "data: sorry\n\n"),
        ("data: a\n\ndata: b", "\n", "\n\ndata: sorry\n\n"),
        ("data: a\n\ndata: b\n", "", "\ndata: sorry\n\n"),
        ("data: a\r", "\n", "\n\ndata: sorry\n\n"),
        ("data: a\r\r", "\n", "\ndata: sorry\n\n"),
    ];
    for ((text, without, with), panics) in cases.into_iter().flat_map(|case| [(case, false), (case, true)]) {
        let (reason, error) = if panics { ("panicked", false) } else { ("failed", true) };
        let (sent, recording) = failed(text, panics, None).await;
        assert_eq!(sent, format!(":\n{text}{without}"), "{text:?}");
        assert_eq!((recording.len(), recording[0].starts_with(reason)), (1, true), "{recording:?}");
        let (sent, recording) = failed(text, panics, Some("sorry")).await;
        assert_eq!(sent, format!(":\n{text}{with}"), "{text:?}");
        assert_eq!((recording.len(), recording[0].ends_with(", reset")), (1, error), "{recording:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn upstream_error_reaches_the_server_if_set() {
    let recording = Recording::default();
    let layer = SseLayer::decorate().early_end(EarlyEnd::Abort).on_failure(Event::new("sorry"));
    let steps = [bytes("data: a\n\n"), error("reset")];
    let frames = decorate(layer.observer(recording.clone()), stream(steps)).await.rest().await;
    assert_eq!(frames, [":\n", "data: a\n\n", "data: sorry\n\n", "error reset"]);
    assert_eq!(recording.closed(), ["failed after 0 ms: 2 events, 24 bytes, 0 heartbeats, reset"]);
}

#[tokio::test(start_paused = true)]
async fn deadline_within_an_event_waits_for_its_end() {
    let steps = [bytes("data: a\nda"), Wait(12_000), bytes("ta: b\n\ndata: c\n\n"), Hang];
    let recording = Recording::default();
    let script = Script::new(steps);
    let life = script.life();
    let mut response = Response::builder().header(EVENT_STREAM.0, EVENT_STREAM.1).body(script).unwrap();
    response.extensions_mut().insert(StreamSettings::new().deadline(Instant::now() + 10 * SECOND));
    let mut body = decorate(SseLayer::decorate().retry(SECOND).observer(recording.clone()), response).await;
    let mut frames = body.frames_within(60 * SECOND).await;
    let (at, retry) = frames.pop().unwrap();
    assert!((at, retry.starts_with("retry: 1")) == (12_000, true), "{retry}");
    assert_eq!(frames.pop().unwrap(), (12_000, String::from("ta: b\n\n")));
    assert_eq!(frames.len(), 2);
    assert!(recording.closed()[0].starts_with("deadline after 12000 ms: 1 events"), "{:?}", recording.closed());
    assert!(life.is_dropped(), "the upstream is dropped");
}

#[tokio::test(start_paused = true)]
async fn deadline_within_an_endless_event_waits_for_the_grace() {
    // The upstream stays within the event, silent or sending.
    for busy in [false, true] {
        let more = (0..if busy { 100_000 } else { 0 }).flat_map(|_| [bytes("x"), Wait(10)]);
        let steps = [bytes("data: a\n\ndata: b")].into_iter().chain(more).chain([Hang]);
        let recording = Recording::default();
        let mut response = stream(steps);
        response.extensions_mut().insert(StreamSettings::new().deadline(Instant::now() + 10 * SECOND));
        let layer = SseLayer::decorate().on_failure(Event::new("sorry")).observer(recording.clone());
        let mut body = decorate(layer, response).await;
        let text: String = body.frames_within(60 * SECOND).await.into_iter().map(|(_, text)| text).collect();
        assert!(body.rest().await.is_empty());
        assert!(!text.contains("sorry") && !text.contains("retry"), "no last event within an event: {text}");
        assert!(recording.closed()[0].starts_with("deadline after 15000 ms: 1 events"), "{:?}", recording.closed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_ends_within_the_grace_ends_the_stream() {
    for (tail, comes_back) in [("\n", true), ("", false)] {
        let steps = [bytes("data: a\n"), Wait(11_000), bytes(tail)];
        let mut response = stream(steps);
        response.extensions_mut().insert(StreamSettings::new().deadline(Instant::now() + 10 * SECOND));
        let recording = Recording::default();
        let frames = decorate(SseLayer::decorate().observer(recording.clone()), response).await.rest().await;
        assert_eq!(frames.last().unwrap().starts_with("retry: "), comes_back, "{frames:?}");
        assert!(recording.closed()[0].starts_with("deadline after 11000 ms"), "{:?}", recording.closed());
    }
}

#[tokio::test(start_paused = true)]
async fn always_ready_upstream_ends_at_its_deadline() {
    let endless = std::iter::repeat_with(|| ["data: ", "a\n", "\n"].map(bytes)).take(100_000).flatten();
    let mut response = stream(endless);
    response.extensions_mut().insert(StreamSettings::new().deadline(Instant::now() + SECOND));
    let mut body = decorate(SseLayer::decorate(), response).await;
    let mut text = String::new();
    for _ in 0..50 {
        text += &body.next().await.unwrap();
    }
    tokio::time::advance(SECOND).await;
    let rest = body.rest().await;
    assert!(rest.len() <= 4, "{}", rest.len());
    text += &rest.concat();
    let events = text.strip_prefix(":\n").unwrap().split_inclusive("\n\n").collect::<Vec<_>>();
    let (last, events) = events.split_last().unwrap();
    assert!(last.starts_with("retry: "));
    assert!(events.iter().all(|event| *event == "data: a\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_named_heartbeat_within_an_event_is_a_comment() {
    let ping = Heartbeat::event(10 * SECOND, &event_name!("ping"));
    let gap = || Wait(10_500);
    let steps = [bytes("data: a\n"), gap(), bytes("\n"), gap(), bytes("data: b"), gap()];
    let frames = decorate(SseLayer::decorate().heartbeat(ping), stream(steps)).await.rest().await;
    assert_eq!(frames, [":\n", "data: a\n", ":\n", "\n", "event: ping\ndata: \n\n", "data: b"]);
}

#[tokio::test(start_paused = true)]
async fn upstream_comment_is_not_an_unfinished_event() {
    let recording = Recording::default();
    let ping = Heartbeat::event(10 * SECOND, &event_name!("ping"));
    let mut response = stream([bytes(": welcome\n"), Hang]);
    response.extensions_mut().insert(StreamSettings::new().deadline(Instant::now() + 15 * SECOND));
    let mut body = decorate(SseLayer::decorate().heartbeat(ping).observer(recording.clone()), response).await;
    let frames = body.frames_within(60 * SECOND).await;
    assert_eq!(frames[2].1, "event: ping\ndata: \n\n");
    assert_eq!(frames.last().unwrap().0, 15_000, "no event is unfinished");
}

/// A stream with a lone CR had no further heartbeat.
#[tokio::test(start_paused = true)]
async fn a_lone_cr_does_not_stop_the_heartbeats() {
    // The upstream's bytes, the heartbeat after them, the next bytes, what of them passes, and the number of events.
    let cases = [
        ("data: a\r\r", "data: b\r\r", "\n:\n", "data: b\r\r", 2),
        ("data: a\r\n\r", "\ndata: b\r\n\r\n", "\n:\n", "data: b\r\n\r\n", 2),
        ("data: a\r", "\r", "\n:\n", "\r", 1),
        ("data: a\r", "\ndata: b\r\n\r\n", "\n:\n", "data: b\r\n\r\n", 1),
        ("data: a\r\r", "\n\n", "\n:\n", "\n", 1),
        (": a\r", "\ndata: b\n\n", "\n:\n", "data: b\n\n", 1),
    ];
    for (before, after, beat, rest, events) in cases {
        let recording = Recording::default();
        let steps = [bytes(before), Wait(35_000), bytes(after)];
        let layer = SseLayer::decorate().heartbeat(10 * SECOND).observer(recording.clone());
        let frames = decorate(layer, stream(steps)).await.rest().await;
        assert_eq!(&frames[1..3], [before, beat], "{frames:?}");
        assert!(frames[3..frames.len() - 1].iter().all(|frame| frame == ":\n"), "{frames:?}");
        assert!((6..=7).contains(&frames.len()), "heartbeats in 35 s: {frames:?}");
        assert_eq!(frames.last().unwrap(), rest, "{frames:?}");
        assert!(recording.closed()[0].contains(&format!("{events} events")), "{:?}", recording.closed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_named_heartbeat_after_a_lone_cr_is_an_event_between_events() {
    let ping = Heartbeat::event(10 * SECOND, &event_name!("ping"));
    let steps = [bytes("data: a\r"), Wait(11_000), bytes("\r"), Wait(11_000), bytes("\ndata: b\n\n")];
    let frames = decorate(SseLayer::decorate().heartbeat(ping), stream(steps)).await.rest().await;
    assert_eq!(frames, [":\n", "data: a\r", "\n:\n", "\r", "\nevent: ping\ndata: \n\n", "data: b\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn small_ready_frames_are_joined() {
    let event = "data: 123456789012345678901234567890\n\n";
    let steps = std::iter::repeat_with(|| bytes(event)).take(20_000);
    let recording = Recording::default();
    let layer = SseLayer::decorate().observer(recording.clone());
    let frames = decorate(layer, stream(steps)).await.rest().await;
    assert_eq!(frames[1..].concat(), event.repeat(20_000));
    assert!(frames.len() < 20_000 * event.len() / 8_000 + 5, "{} frames", frames.len());
    assert!(frames.iter().all(|frame| frame.len() <= 8 * 1024));
    assert!(recording.closed()[0].starts_with("finished after 0 ms: 20000 events"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn frame_after_joined_frames_follows_them() {
    let large = "x".repeat(9_000);
    let ends = [Panic, error("reset"), trailers("x-sum")];
    for end in ends {
        let steps = [bytes("data: a\n\n"), bytes("data: b\n\n"), bytes("data: "), bytes(&large), bytes("\n\n"), end];
        let frames = decorate(SseLayer::decorate().on_failure(Event::new("sorry")), stream(steps)).await.rest().await;
        assert_eq!(frames[1..4], ["data: a\n\ndata: b\n\ndata: ", &large, "\n\n"]);
        assert!(matches!(&*frames[4], "data: sorry\n\n" | "trailers Some([\"x-sum\"])"), "{:?}", frames[4]);
    }
}
