//! Streams for clients that do not follow all of the standard: without comments, or with a blank line after the last `retry:`.

use std::time::Duration;

use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};
use tower_sse::{
    BoxError, Comments, EarlyEnd, Event, Events, Heartbeat, LastRetry, Refusal, RequestHead, Source, SseLayer,
    StreamSettings, event_comment, event_name, source::Never, streams::Streams,
};

use crate::support::{
    Hang, Reading, Wait, answers, answers_after, ask, bytes, error, event, events, get, respond, stream,
};

const SECOND: Duration = Duration::from_secs(1);

/// A minute of silence, an event, and another minute.
fn quiet() -> Events<impl Source> {
    events([Wait(60_000), event("a"), Wait(60_000)])
}

/// Reads the streams of a layer with these settings at each entry point.
macro_rules! on_each_way {
    ($set:expr, $request:expr) => {{
        let page = || answers(Response::new(String::new()));
        let upstream = || stream([Wait(60_000), bytes("data: a\n\n"), Wait(60_000)]);
        let mut read = Vec::new();
        macro_rules! read {
            ($layer:expr, $inner:expr) => {{
                let layer = $set($layer.commit_after(SECOND).retry(SECOND).heartbeat(5 * SECOND));
                let response = layer.layer($inner).oneshot($request).await.unwrap();
                read.push(Reading::new(response.into_body()).rest().await);
            }};
        }
        read!(SseLayer::new(answers(quiet())), page());
        read!(SseLayer::new(answers_after(20_000, Ok::<_, Refusal>(quiet()))), page());
        read!(SseLayer::new(answers_after(20_000, Ok::<_, Refusal>(quiet().retry(2 * SECOND)))), page());
        read!(SseLayer::new(answers(upstream())), page());
        read!(SseLayer::new(answers_after(20_000, Ok::<_, Refusal>(upstream()))), page());
        read!(SseLayer::decorate(), answers(upstream()));
        #[cfg(feature = "axum")]
        read!(SseLayer::decorate(), answers(axum::response::IntoResponse::into_response(quiet())));
        read
    }};
}

fn wants_none(head: &RequestHead<'_>) -> bool {
    head.headers().contains_key("x-none")
}

fn with_none() -> Request<String> {
    let mut request = get();
    request.headers_mut().insert("x-none", "1".parse().unwrap());
    request
}

#[tokio::test(start_paused = true)]
async fn stream_without_comments_is_its_events_at_each_entry_point() {
    for frames in on_each_way!(|layer: SseLayer<_>| layer.comments(Comments::Omit), get()) {
        assert_eq!(frames, ["data: a\n\n"]);
    }
}

#[tokio::test(start_paused = true)]
async fn comments_are_omitted_for_requests_of_a_predicate() {
    for frames in on_each_way!(|layer: SseLayer<_>| layer.omit_comments_for(wants_none), with_none()) {
        assert_eq!(frames, ["data: a\n\n"]);
    }
    for frames in on_each_way!(|layer: SseLayer<_>| layer.omit_comments_for(wants_none), get()) {
        assert!(frames.len() > 10, "{frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn comments_of_the_stream_override_the_layers() {
    let omits = quiet().comments(Comments::Omit);
    let layer = SseLayer::new(answers(omits));
    assert_eq!(Reading::new(respond(layer, get()).await.into_body()).rest().await, ["data: a\n\n"]);

    let sends = quiet().comments(Comments::Send);
    let layer = SseLayer::new(answers(sends)).comments(Comments::Omit).omit_comments_for(|_| true);
    assert_eq!(Reading::new(respond(layer, get()).await.into_body()).rest().await[0], ":\n");

    let mut upstream = stream([Wait(60_000), bytes("data: a\n\n")]);
    upstream.extensions_mut().insert(StreamSettings::new().comments(Comments::Omit));
    let response = SseLayer::decorate().layer(answers(upstream)).oneshot(get()).await.unwrap();
    assert_eq!(Reading::new(response.into_body()).rest().await, ["data: a\n\n"]);

    let response = Response::from(quiet().comments(Comments::Omit));
    assert_eq!(Reading::new(response.into_body()).rest().await, ["data: a\n\n"], "without a layer");
}

/// The comments of a late answer are those of the same answer in time.
#[tokio::test(start_paused = true)]
async fn comments_of_a_late_answer_enable_heartbeats() {
    for late in [0, 20_000] {
        let sends = answers_after(late, Ok::<_, Refusal>(quiet().comments(Comments::Send)));
        let layer = SseLayer::new(sends).heartbeat(5 * SECOND).comments(Comments::Omit);
        let frames = Reading::new(respond(layer.commit_after(SECOND), get()).await.into_body()).rest().await;
        let beats = frames.iter().filter(|frame| *frame == ":\n").count();
        assert!(beats > 20, "late by {late} ms: {frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_comments_heartbeats_are_named_events_between_events() {
    let ping = || Heartbeat::event(10 * SECOND, &event_name!("ping"));
    let gap = || Wait(10_500);
    let steps = [bytes("data: a\n"), gap(), bytes("\n"), gap(), bytes("data: b\r"), gap(), bytes("\n\n")];
    let layer = SseLayer::decorate().heartbeat(ping()).comments(Comments::Omit);
    let response = layer.layer(answers(stream(steps))).oneshot(get()).await.unwrap();
    let frames = Reading::new(response.into_body()).rest().await;
    assert_eq!(frames, ["data: a\n", "\n", "event: ping\ndata: \n\n", "data: b\r", "\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn comments_of_events_are_sent_without_comments_too() {
    let commented = || Event::builder().comment(event_comment!("c")).data("a");
    let alone = || Event::builder().comment(event_comment!("alone")).without_data();
    let source = Events::new(futures_util::stream::iter([commented(), alone()]));
    let layer = SseLayer::new(answers(source)).comments(Comments::Omit);
    let body = respond(layer, get()).await.into_body();
    assert_eq!(Reading::new(body).rest().await, [": c\ndata: a\n\n: alone\n\n"]);
}

#[tokio::test(start_paused = true)]
async fn without_comments_an_abort_adds_none() {
    let layer = SseLayer::new(answers(events([event("a"), error("broken")]))).early_end(EarlyEnd::Abort);
    let body = respond(layer.comments(Comments::Omit), get()).await.into_body();
    let frames = Reading::new(body).rest().await;
    assert_eq!((frames.len(), frames[0].as_str()), (2, "data: a\n\n"), "{frames:?}");
    assert!(frames[1].starts_with("error"), "{frames:?}");
}

#[tokio::test(start_paused = true)]
async fn without_comments_a_refusal_has_none() {
    let refuses = || answers_after(0, Err::<Events<Never>, _>(Refusal::later(SECOND)));
    for (layer, begins) in [
        (SseLayer::new(refuses()).comments(Comments::Omit), "retry: 1"),
        (SseLayer::new(refuses()).omit_comments_for(|_| true), "retry: 1"),
        (SseLayer::new(refuses()), ":"),
    ] {
        let body = respond(layer, get()).await.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(begins.as_bytes()), "{body:?}");
    }
}

/// The answers of a handler that refuses, at once or after 20 s, at each entry point, by GET and by POST.
async fn refused_without_comments(refuse: fn() -> Refusal) -> Vec<(Method, Response<String>)> {
    let mut answers = Vec::new();
    macro_rules! read {
        ($layer:expr, $inner:expr) => {{
            for (by_predicate, method) in
                [(false, Method::GET), (false, Method::POST), (true, Method::GET), (true, Method::POST)]
            {
                let layer = $layer.methods([Method::GET, Method::POST]).commit_after(SECOND).heartbeat(5 * SECOND);
                let layer = match by_predicate {
                    true => layer.omit_comments_for(wants_none),
                    false => layer.comments(Comments::Omit),
                };
                let mut request = with_none();
                *request.method_mut() = method.clone();
                let (head, body) = layer.layer($inner).oneshot(request).await.unwrap().into_parts();
                let mut text = String::new();
                let mut body = std::pin::pin!(body);
                while let Some(Ok(frame)) = body.frame().await {
                    text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
                }
                answers.push((method, Response::from_parts(head, text)));
            }
        }};
    }
    let page = || crate::support::answers(Response::new(String::new()));
    let refusal = move |after| answers_after(after, Err::<Events<Never>, _>(refuse()));
    let handler = move |after| answers_after(after, Ok::<_, Refusal>(Response::from(refuse()).map(Full::new)));
    for after in [0, 20_000] {
        read!(SseLayer::new(refusal(after)), page());
        read!(SseLayer::new(handler(after)), page());
        read!(SseLayer::new(SseLayer::decorate().layer(handler(after))), page());
        read!(SseLayer::decorate(), handler(after));
        read!(SseLayer::decorate(), SseLayer::decorate().layer(handler(after)));
        #[cfg(feature = "axum")]
        read!(
            SseLayer::decorate(),
            answers_after(after, Ok::<_, Refusal>(axum::response::IntoResponse::into_response(refuse())))
        );
    }
    answers
}

/// Asserts that an answer has this status, or if it is late, that its last event has, or else that it is a retry.
fn assert_is_refusal(status: Option<u16>, method: &Method, response: &Response<String>) {
    let (code, text) = (response.status().as_u16(), response.body().as_str());
    if let Some(status) = status {
        let late = format!("event: refused\ndata: {{\"status\":{status}}}\n\n");
        assert_eq!((code, text), if code == 200 { (200, late.as_str()) } else { (status, "") });
    } else if code == 503 {
        assert_eq!((method, text), (&Method::POST, ""));
    } else {
        let retry = text.strip_prefix("retry: ").and_then(|text| text.strip_suffix('\n'));
        let retry: u64 = retry.unwrap_or_else(|| panic!("{method}: {text:?}")).parse().unwrap();
        assert!((1_000..=1_500).contains(&retry), "{method}: {text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_have_no_comments_if_comments_are_omitted() {
    let refusals: [(fn() -> Refusal, _); 3] = [
        (|| Refusal::later(SECOND), None),
        (|| Refusal::status(http::StatusCode::FORBIDDEN), Some(403)),
        (|| BoxError::from("broken").into(), Some(500)),
    ];
    for (refuse, status) in refusals {
        let answers = refused_without_comments(refuse).await;
        assert!(answers.len() >= 40);
        for (method, response) in answers {
            assert_is_refusal(status, &method, &response);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn full_layer_without_comments_sends_none() {
    let full = || Streams::builder().max_streams(0).build();
    let layers = || SseLayer::decorate().streams(&full()).comments(Comments::Omit);
    for method in [Method::GET, Method::POST] {
        let handler = answers(Response::from(events([event("a"), Hang])));
        let response = layers().layer(handler).oneshot(ask(method.clone())).await.unwrap();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let is_get = method == Method::GET;
        assert!(text.starts_with(b"retry: ") == is_get && text.is_empty() != is_get, "{text:?}");
    }
}

/// Streams that end so that their client reconnects, and refusals.
async fn ended(form: Option<LastRetry>) -> Vec<String> {
    let mut last = Vec::new();
    macro_rules! read {
        ($layer:expr, $act:expr) => {{
            let layer = $layer;
            let layer = match form {
                Some(form) => layer.last_retry(form),
                None => layer,
            };
            let body = respond(layer, get()).await.into_body();
            let (body, ()) = tokio::join!(body.collect(), $act);
            last.push(String::from_utf8(body.unwrap().to_bytes().into()).unwrap());
        }};
    }
    let nothing = async || ();
    let open = || events([event("a"), Hang]);
    read!(SseLayer::new(answers(open())).lifetime(5 * SECOND), nothing());
    read!(SseLayer::new(answers(open().deadline(Instant::now() + SECOND))), nothing());
    let streams = Streams::new();
    read!(SseLayer::new(answers(open())).streams(&streams), async {
        sleep(SECOND).await;
        streams.drain(5 * SECOND).await;
    });
    let refusal = || Err::<Events<Never>, _>(Refusal::later(SECOND));
    read!(SseLayer::new(answers_after(0, refusal())), nothing());
    read!(SseLayer::new(answers_after(20_000, refusal())), nothing());
    let full = Streams::builder().max_streams(0).build();
    read!(SseLayer::new(answers(open())).streams(&full), nothing());
    last
}

#[tokio::test(start_paused = true)]
async fn last_retry_has_a_blank_line_if_set() {
    for (form, blank) in [(None, false), (Some(LastRetry::Line), false), (Some(LastRetry::Block), true)] {
        let frames = ended(form).await;
        assert_eq!(frames.len(), 6);
        for frame in frames {
            assert!(frame.contains("retry: ") && frame.ends_with('\n'), "{frame:?}");
            assert_eq!(frame.ends_with("\n\n"), blank, "{frame:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn last_retry_of_the_stream_overrides_the_layers() {
    let events = events([Hang]).deadline(Instant::now() + SECOND).last_retry(LastRetry::Line);
    let layer = SseLayer::new(answers(events)).last_retry(LastRetry::Block);
    let frames = Reading::new(respond(layer, get()).await.into_body()).rest().await;
    assert!(!frames.last().unwrap().ends_with("\n\n"), "{frames:?}");
}

/// 130 short heartbeats that a client has not read end its connection.
#[tokio::test(start_paused = true)]
async fn heartbeat_over_http_2_is_too_long_to_be_counted() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut request = ask(Method::GET);
        *request.version_mut() = version;
        let layer = SseLayer::new(answers(events([Hang]))).heartbeat(5 * SECOND);
        let mut body = Reading::new(respond(layer, request).await.into_body());
        let frames = body.frames_within(60 * SECOND).await;
        for (_, frame) in &frames[1..] {
            assert!(frame.starts_with(':') && frame.ends_with('\n') && frame.trim() == ":", "{frame:?}");
            assert_eq!(frame.len() > 171, version == Version::HTTP_2, "{frame:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn byte_order_mark_is_kept_without_a_prelude() {
    let text = "\u{feff}\u{feff}data: a\n\n";
    let upstream = || stream([bytes(text)]);
    let of_layer = SseLayer::decorate().comments(Comments::Omit).layer(answers(upstream()));
    let mut own = upstream();
    own.extensions_mut().insert(StreamSettings::new().comments(Comments::Omit));
    let of_stream = SseLayer::decorate().layer(answers(own));
    assert_eq!(Reading::new(of_layer.oneshot(get()).await.unwrap().into_body()).rest().await, [text]);
    assert_eq!(Reading::new(of_stream.oneshot(get()).await.unwrap().into_body()).rest().await, [text]);
    let late = SseLayer::new(answers_after(20_000, Ok::<_, Refusal>(upstream()))).comments(Comments::Omit);
    assert_eq!(Reading::new(respond(late, get()).await.into_body()).rest().await, [text]);
}
