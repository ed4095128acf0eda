//! An end that is not the stream's own: clean for clients that reconnect, an abort for clients that would take the stream for
//! complete, at each entry point, and as set.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_sse::{
    BoxError, Comments, EarlyEnd, EarlyEndError, Event, Events, Refusal, RequestHead, Source, SseLayer, StreamSettings,
    access::{AccessCheck, AccessDecision},
    hub::{Hub, Retention},
    streams::{OnDrain, Streams},
};

use crate::support::{
    Hang, Panic, Recording, Script, Step, Wait, answers, answers_after, ask, bytes, error, event, stream,
};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the frames of a body, and the innermost error if the body ends with one.
struct Read {
    frames: Vec<String>,
    error: Option<String>,
    is_early_end: bool,
}

async fn read<B: Body<Data = Bytes, Error: Into<BoxError>>>(body: B) -> Read {
    let (mut body, mut read) = (pin!(body), Read { frames: Vec::new(), error: None, is_early_end: false });
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read.frames.extend(frame.into_data().map(|data| String::from_utf8(data.into()).unwrap())),
            Err(error) => {
                let error: BoxError = error.into();
                let innermost = std::iter::successors(Some(&*error as &dyn std::error::Error), |&error| error.source());
                let innermost = innermost.last().unwrap();
                read.is_early_end = innermost.is::<EarlyEndError>();
                read.error = Some(innermost.to_string());
                assert!(body.frame().await.is_none(), "an error is the end");
                assert!(body.is_end_stream());
            }
        }
    }
    read
}

/// A cause that ends a stream before its own end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    Error,
    Panic,
    Lifetime,
    Deadline,
    Drain,
    DrainsDeadline,
    Access,
    Logout,
}

impl Cause {
    const ALL: [Self; 8] = [
        Self::Error,
        Self::Panic,
        Self::Lifetime,
        Self::Deadline,
        Self::Drain,
        Self::DrainsDeadline,
        Self::Access,
        Self::Logout,
    ];

    /// Returns the text of the error of an aborted body.
    fn error(self) -> &'static str {
        match self {
            Self::Error => "broken",
            Self::Panic => "the stream ended early: panicked",
            Self::Lifetime => "the stream ended early: lifetime",
            Self::Deadline => "the stream ended early: deadline",
            Self::Drain | Self::DrainsDeadline => "the stream ended early: drained",
            Self::Access => "revoked",
            Self::Logout => "logged out",
        }
    }

    /// Returns the step of the source after its first event.
    fn then<T>(self) -> Step<Result<T, BoxError>> {
        match self {
            Self::Error => error("broken"),
            Self::Panic => Panic,
            _ => Hang,
        }
    }

    fn settings(self) -> StreamSettings {
        let settings = StreamSettings::new();
        match self {
            Self::Lifetime => settings.lifetime(5 * SECOND),
            Self::Deadline => settings.deadline(tokio::time::Instant::now() + 5 * SECOND),
            Self::DrainsDeadline => settings.on_drain(OnDrain::Finish),
            _ => settings,
        }
    }

    fn events(self) -> Events<impl Source> {
        let events = Events::new(Script::new([event("a"), self.then()]));
        match self {
            Self::Lifetime => events.lifetime(5 * SECOND),
            Self::Deadline => events.deadline(tokio::time::Instant::now() + 5 * SECOND),
            Self::DrainsDeadline => events.on_drain(OnDrain::Finish),
            _ => events,
        }
    }

    fn dress<E>(self, layer: SseLayer<E>, streams: &Streams) -> SseLayer<E> {
        let layer = layer.on_failure(Event::new("sorry")).streams(streams).stream_key(|_| Some(Arc::from("ann")));
        let no = |_: &RequestHead<'_>| std::future::ready(AccessDecision::Revoke("revoked".into()));
        if self == Self::Access { layer.access(AccessCheck::every(SECOND, no)) } else { layer }
    }

    async fn act(self, streams: Streams) {
        sleep(SECOND).await;
        match self {
            Self::Drain | Self::DrainsDeadline => drop(streams.drain(5 * SECOND).await),
            Self::Logout => drop(streams.end_key("ann", "logged out")),
            _ => {}
        }
    }
}

/// An entry point of a stream.
#[derive(Debug, Clone, Copy)]
enum Way {
    EventService,
    LateEventService,
    ResponseOfTheEventService,
    Decorated,
    #[cfg(feature = "axum")]
    Handler,
}

impl Way {
    const ALL: &[Self] = &[
        Self::EventService,
        Self::LateEventService,
        Self::ResponseOfTheEventService,
        Self::Decorated,
        #[cfg(feature = "axum")]
        Self::Handler,
    ];

    /// Reads a stream that ends for this cause.
    async fn read(self, method: &Method, cause: Cause, early_end: Option<EarlyEnd>) -> Read {
        let streams = Streams::new();
        let request = ask(method.clone());
        let page = answers(Response::new(String::new()));
        macro_rules! read {
            ($layer:expr, $inner:expr) => {{
                let mut layer = cause.dress($layer, &streams).methods([method.clone()]).commit_after(SECOND / 2);
                if let Some(early_end) = early_end {
                    layer = layer.early_end(early_end);
                }
                let response = layer.layer($inner).oneshot(request).await.unwrap();
                tokio::join!(read(response.into_body()), cause.act(streams)).0
            }};
        }
        let upstream = || {
            let mut upstream = stream([bytes("data: a\n\n"), cause.then()]);
            upstream.extensions_mut().insert(cause.settings());
            upstream
        };
        match self {
            Self::EventService => read!(SseLayer::new(answers(cause.events())), page),
            Self::LateEventService => read!(SseLayer::new(answers_after(600, Ok::<_, Refusal>(cause.events()))), page),
            Self::ResponseOfTheEventService => read!(SseLayer::new(answers(upstream())), page),
            Self::Decorated => read!(SseLayer::decorate(), answers(upstream())),
            #[cfg(feature = "axum")]
            Self::Handler => {
                let handler = axum::response::IntoResponse::into_response(cause.events());
                read!(SseLayer::decorate(), answers(handler))
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn method_decides_whether_an_early_end_aborts() {
    for (&way, cause) in Way::ALL.iter().flat_map(|way| Cause::ALL.map(|cause| (way, cause))) {
        for (method, aborts) in [(Method::GET, false), (Method::POST, true), (Method::QUERY, true)] {
            let Read { frames, error, .. } = way.read(&method, cause, None).await;
            let text = frames.concat();
            assert!(text.contains("data: a\n\n"), "{way:?}, {cause:?}, {method}: {frames:?}");
            let fails = matches!(cause, Cause::Error | Cause::Panic | Cause::DrainsDeadline);
            assert_eq!(text.contains("data: sorry\n\n"), fails, "{way:?}, {cause:?}, {method}: {frames:?}");
            assert_eq!(error.as_deref(), aborts.then(|| cause.error()), "{way:?}, {cause:?}, {method}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn setting_overrides_the_method() {
    for (&way, cause) in Way::ALL.iter().flat_map(|way| Cause::ALL.map(|cause| (way, cause))) {
        for (method, early_end) in [(Method::GET, EarlyEnd::Abort), (Method::POST, EarlyEnd::Close)] {
            let Read { frames, error, .. } = way.read(&method, cause, Some(early_end)).await;
            assert!(frames.concat().contains("data: a\n\n"));
            assert_eq!(error.is_some(), early_end == EarlyEnd::Abort, "{way:?}, {cause:?}, {method}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn early_end_of_the_stream_overrides_the_layers() {
    for (of_stream, of_layer) in [(EarlyEnd::Abort, EarlyEnd::Close), (EarlyEnd::Close, EarlyEnd::Abort)] {
        let events = Events::new(Script::new([event("a"), error("broken")])).early_end(of_stream);
        let layer = SseLayer::new(answers(events)).early_end(of_layer);
        let response = layer.layer(answers(Response::new(String::new()))).oneshot(ask(Method::GET)).await.unwrap();
        assert_eq!(read(response.into_body()).await.error.is_some(), of_stream == EarlyEnd::Abort);
    }
}

#[tokio::test(start_paused = true)]
async fn early_end_without_a_layer_is_clean_unless_set() {
    for (early_end, aborts) in [(None, false), (Some(EarlyEnd::ByMethod), false), (Some(EarlyEnd::Abort), true)] {
        let mut events = Events::new(Script::new([event("a"), error("broken")]));
        if let Some(early_end) = early_end {
            events = events.early_end(early_end);
        }
        let read = read(Response::from(events).into_body()).await;
        assert_eq!((read.frames[1].as_str(), read.error.is_some()), ("data: a\n\n", aborts), "{early_end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_itself_is_never_aborted() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let subscribed = Events::from(hub.subscribe("a").unwrap());
    let closing = SseLayer::new(answers(subscribed)).methods([Method::POST]).early_end(EarlyEnd::Abort);
    let response = closing.layer(answers(Response::new(String::new()))).oneshot(ask(Method::POST)).await.unwrap();
    let (closed, ()) = tokio::join!(read(response.into_body()), async {
        sleep(SECOND).await;
        topic.close(None);
    });
    assert_eq!(closed.error, None);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_ends_within_the_grace_is_complete() {
    let mut upstream = stream([bytes("data: a\n"), Wait(11_000)]);
    upstream.extensions_mut().insert(StreamSettings::new().deadline(tokio::time::Instant::now() + 10 * SECOND));
    let recording = Recording::default();
    let layer = SseLayer::decorate().observer(recording.clone());
    let response = layer.layer(answers(upstream)).oneshot(ask(Method::POST)).await.unwrap();
    assert_eq!(read(response.into_body()).await.error, None);
    assert!(recording.closed()[0].starts_with("finished after 11000 ms"), "{:?}", recording.closed());
}

#[tokio::test(start_paused = true)]
async fn a_late_refusal_of_a_post_is_aborted() {
    for (refusal, last) in [(Refusal::later(SECOND), "retry: "), (Refusal::stop(), "event: refused\n")] {
        let layer = SseLayer::new(answers_after(20_000, Err::<Events<tower_sse::source::Never>, _>(refusal)));
        let layer = layer.methods([Method::POST]);
        let response = layer.layer(answers(Response::new(String::new()))).oneshot(ask(Method::POST)).await.unwrap();
        let read = read(response.into_body()).await;
        assert!(read.frames.last().unwrap().starts_with(last), "{:?}", read.frames);
        assert_eq!(read.error.as_deref(), Some("the stream ended early: refused"));
        assert!(read.is_early_end);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_post_that_lags_is_aborted() {
    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let topic = hub.topic("a").unwrap();
    let layer = SseLayer::new(answers(Events::from(hub.subscribe("a").unwrap()))).methods([Method::POST]);
    let response = layer.layer(answers(Response::new(String::new()))).oneshot(ask(Method::POST)).await.unwrap();
    let mut body = pin!(response.into_body());
    topic.publish(Event::new("read"));
    while !body.frame().await.unwrap().unwrap().into_data().unwrap().ends_with(b"data: read\n\n") {}
    for number in 0..10 {
        topic.publish(Event::new(number.to_string()));
    }
    assert_eq!(read(body).await.error.as_deref(), Some("the stream ended early: lagged"));
}

#[tokio::test(start_paused = true)]
async fn abort_waits_for_the_release_of_the_last_frame() {
    for last in [None, Some("sorry")] {
        let mut events = Events::new(Script::new([event("a"), error("broken")])).early_end(EarlyEnd::Abort);
        if let Some(last) = last {
            events = events.on_failure(Event::new(last));
        }
        let mut body = pin!(Response::from(events).into_body());
        let mut frames = Vec::new();
        for _ in 0..3 {
            frames.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(frames[2], last.map_or(":\n".to_owned(), |last| format!("data: {last}\n\n")));
        let begin = tokio::time::Instant::now();
        tokio::select! {
            _ = body.frame() => panic!("the last frame is still held"),
            () = sleep(4 * SECOND) => {}
        }
        drop(frames);
        assert!(body.frame().await.unwrap().is_err());
        assert!(begin.elapsed() < 5 * SECOND, "{:?}", begin.elapsed());
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn abort_waits_for_a_limited_time() {
    let events = Events::new(Script::new([event("a"), error("broken")])).early_end(EarlyEnd::Abort);
    let mut body = pin!(Response::from(events).into_body());
    let begin = tokio::time::Instant::now();
    let held: Vec<_> = [body.frame().await, body.frame().await, body.frame().await].into_iter().collect();
    assert!(body.frame().await.unwrap().is_err());
    assert!(begin.elapsed() <= 6 * SECOND, "{:?}", begin.elapsed());
    drop(held);
}

/// Asserts that the error comes when the last frame is released, and not before.
async fn assert_waits_for_frames(body: impl Body<Data = Bytes, Error: Into<BoxError>>, expected: &[&str]) {
    let mut body = pin!(body);
    let mut frames = Vec::new();
    for expected in expected {
        let Ok(frame) = body.frame().await.unwrap() else { panic!("an error before {expected:?}") };
        frames.push(frame.into_data().unwrap());
        assert_eq!(frames.last().unwrap(), expected);
    }
    tokio::select! {
        _ = body.frame() => panic!("frames are still held: {expected:?}"),
        () = sleep(4 * SECOND) => {}
    }
    drop(frames);
    let begin = tokio::time::Instant::now();
    assert!(body.frame().await.unwrap().is_err());
    assert!(begin.elapsed() < SECOND, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_abort_without_last_bytes_waits_for_those_before() {
    let request = || ask(Method::POST);
    let page = || answers(Response::new(String::new()));
    let failing = || Events::new(Script::new([event("a"), error("broken")]));
    let upstream = || stream([bytes("data: a\n\n"), error("broken")]);

    // A stream that consists of events only has no comment to end with.
    let layer = || SseLayer::new(answers(failing())).methods([Method::POST]);
    let response = layer().comments(Comments::Omit).layer(page()).oneshot(request()).await.unwrap();
    assert_waits_for_frames(response.into_body(), &["data: a\n\n"]).await;
    let response = layer().omit_comments_for(|_| true).layer(page()).oneshot(request()).await.unwrap();
    assert_waits_for_frames(response.into_body(), &["data: a\n\n"]).await;

    // The settings of a late answer, and of a late answer with a layer of its own.
    let late = answers_after(2_000, Ok::<_, Refusal>(failing().comments(Comments::Omit)));
    let late = SseLayer::new(late).methods([Method::POST]).commit_after(SECOND);
    let response = late.layer(page()).oneshot(request()).await.unwrap();
    assert_waits_for_frames(response.into_body(), &[":\n", "data: a\n\n"]).await;
    let response = layer().comments(Comments::Omit).layer(page()).oneshot(request()).await.unwrap();
    let late = SseLayer::new(answers_after(2_000, Ok::<_, Refusal>(response))).methods([Method::POST]);
    let late = late.comments(Comments::Omit).commit_after(SECOND);
    let response = late.layer(page()).oneshot(request()).await.unwrap();
    assert_waits_for_frames(response.into_body(), &["data: a\n\n"]).await;

    let layer = SseLayer::decorate().comments(Comments::Omit);
    let response = layer.layer(answers(upstream())).oneshot(request()).await.unwrap();
    assert_waits_for_frames(response.into_body(), &["data: a\n\n"]).await;

    // Without a layer, and behind a layer that is attached later.
    let alone = || Response::from(failing().comments(Comments::Omit).early_end(EarlyEnd::Abort));
    assert_waits_for_frames(alone().into_body(), &["data: a\n\n"]).await;
    let response = SseLayer::decorate().layer(answers(alone())).oneshot(ask(Method::GET)).await.unwrap();
    assert_waits_for_frames(response.into_body(), &["data: a\n\n"]).await;

    // Nothing can be added to bytes in a coding.
    for method in [Method::GET, Method::POST] {
        let mut coded = upstream();
        coded.headers_mut().insert("content-encoding", http::HeaderValue::from_static("br"));
        let response = SseLayer::decorate().layer(answers(coded)).oneshot(ask(method)).await.unwrap();
        assert_waits_for_frames(response.into_body(), &["data: a\n\n"]).await;
    }
}

#[test]
fn an_abort_needs_no_runtime() {
    let events = Events::new(Script::new([event("a"), error("broken")])).early_end(EarlyEnd::Abort);
    let events = events.heartbeat(tower_sse::Heartbeat::off());
    let mut reading = pin!(read(Response::from(events).into_body()));
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = || match reading.as_mut().poll(&mut cx) {
        Poll::Ready(read) => Some(read),
        Poll::Pending => None,
    };
    // Polled repeatedly, as a task is that was woken.
    let read = (0..10).find_map(|_| poll());
    assert_eq!(read.unwrap().error.as_deref(), Some("broken"));
}

#[tokio::test(start_paused = true)]
async fn abort_closes_an_unfinished_line() {
    let layer = SseLayer::decorate().early_end(EarlyEnd::Abort);
    for (text, last) in [("data: a\n\n", ":\n"), ("data: a\n", ":\n"), ("data: a", "\n"), ("data: a\r", "\n")] {
        let upstream = stream([bytes(text), error("broken")]);
        let response = layer.clone().layer(answers(upstream)).oneshot(ask(Method::GET)).await.unwrap();
        assert_eq!(read(response.into_body()).await.frames.last().unwrap(), last, "{text:?}");
    }
}
