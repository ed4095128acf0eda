//! The SDKs of Google, which accept no comments: they read all of a stream without comments.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tower_sse::{BoxError, Comments, Event, Events, Negotiate, RequestHead, SseLayer};

use crate::{
    programs::{node, python, report},
    server::Server,
};

#[tokio::test]
#[ignore = "needs google-genai of PyPI and @google/genai of npm; run by ./tests/run"]
async fn google_reads_a_whole_stream_without_comments() {
    let upstream = || Router::new().fallback(any(async || response(words())));
    for layer in [SseLayer::decorate().comments(Comments::Omit), SseLayer::decorate().omit_comments_for(is_google)] {
        let layer = layer.heartbeat(HEARTBEAT).retry(Duration::from_secs(1));
        assert_answers(upstream().layer(layer), "1 2 3 ", false).await;
    }
    for of_stream in [None, Some(Comments::Omit)] {
        let sse = SseLayer::from_fn(move |_: Request| {
            let events = Events::new(words().map(Ok::<_, BoxError>));
            std::future::ready(Ok::<_, Infallible>(match of_stream {
                Some(comments) => events.comments(comments),
                None => events,
            }))
        });
        let sse = sse.negotiate(Negotiate::Always).methods([Method::POST]).heartbeat(HEARTBEAT);
        let sse = if of_stream.is_none() { sse.comments(Comments::Omit) } else { sse };
        assert_answers(Router::new().layer(sse), "1 2 3 ", false).await;
    }
}

#[tokio::test]
#[ignore = "needs google-genai of PyPI and @google/genai of npm; run by ./tests/run"]
async fn google_raises_if_a_stream_without_comments_is_aborted() {
    let broken = async || {
        let then = stream::once(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err("reset".into())
        });
        let chunks = words().map(|word| Ok::<_, BoxError>(Bytes::from(word))).chain(then);
        Response::builder().header("content-type", "text/event-stream").body(Body::from_stream(chunks)).unwrap()
    };
    let app = Router::new().fallback(any(broken)).layer(SseLayer::decorate().omit_comments_for(is_google));
    assert_answers(app, "1 2 3 ", true).await;
}

/// The results of the tests above if comments are sent.
#[tokio::test]
#[ignore = "needs google-genai of PyPI and @google/genai of npm; run by ./tests/run"]
async fn a_comment_costs_google_an_event_or_the_stream() {
    let app = Router::new().fallback(any(async || response(words()))).layer(SseLayer::decorate().heartbeat(HEARTBEAT));
    let server = Server::start(app).await.unwrap();
    for answer in answers(&server).await {
        assert_ne!(answer["text"], json!("1 2 3 "), "{answer}");
    }
}

async fn assert_answers(app: Router, text: &str, raises: bool) {
    let server = Server::start(app).await.unwrap();
    let answers = answers(&server).await;
    assert_eq!(answers.len(), 3);
    for answer in answers {
        assert_eq!((&answer["text"], answer["raised"].is_string()), (&json!(text), raises), "{answer}");
    }
}

async fn answers(server: &Server) -> Vec<Value> {
    let mut answers = Vec::new();
    for mut program in [python("ask_google.py"), node("ask_google.mjs")] {
        program.arg(server.url("/"));
        answers.extend(report::<Vec<Value>>(program).await);
    }
    answers
}

/// Each word follows a pause in which a stream with heartbeats has some.
fn words() -> impl Stream<Item = Event> + Send {
    stream::iter(["1 ", "2 ", "3 "]).then(async |word| {
        tokio::time::sleep(20 * HEARTBEAT).await;
        let content = json!({ "role": "model", "parts": [{ "text": word }] });
        Event::new(json!({ "candidates": [{ "content": content }] }).to_string())
    })
}

fn response(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let body = Body::from_stream(events.map(|event| Ok::<_, Infallible>(Bytes::from(event))));
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

fn is_google(head: &RequestHead<'_>) -> bool {
    head.headers().get("x-goog-api-client").is_some_and(|client| client.as_bytes().starts_with(b"google-genai-sdk/"))
}

const HEARTBEAT: Duration = Duration::from_millis(2);
