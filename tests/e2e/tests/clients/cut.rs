//! The SDKs of OpenAI and Anthropic if an answer ends early: they raise, as they do without the layer.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
    routing::any,
};
use futures_util::{Stream, StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tower_sse::{BoxError, EarlyEnd, Event, EventName, Events, Negotiate, SseLayer};

use crate::{
    programs::{python, report},
    server::Server,
};

#[tokio::test]
#[ignore = "needs openai and anthropic of PyPI; run by ./tests/run"]
async fn sdk_raises_if_the_upstream_fails() {
    let app = || Router::new().fallback(any(async |request: Request| broken(request.uri().path())));
    for (layer, raises) in [
        (None, true),
        (Some(SseLayer::decorate()), true),
        // The answer that the client took for complete.
        (Some(SseLayer::decorate().early_end(EarlyEnd::Close)), false),
    ] {
        let app = layer.map_or_else(app, |layer| app().layer(layer));
        assert_raises(&Server::start(app).await.unwrap(), raises).await;
    }
}

#[tokio::test]
#[ignore = "needs openai and anthropic of PyPI; run by ./tests/run"]
async fn sdk_raises_if_the_event_service_fails_or_ends_early() {
    for lifetime in [Duration::from_secs(3600), Duration::from_secs(3)] {
        let sse = SseLayer::from_fn(move |request: Request| {
            let (fails, path) = (lifetime > Duration::from_secs(60), request.uri().path().to_owned());
            let words = stream::iter(events(&path)).map(Ok::<_, BoxError>);
            std::future::ready(Ok::<_, Infallible>(Events::new(words.chain(fails_or_hangs(fails)))))
        });
        let sse = sse.negotiate(Negotiate::Always).methods([Method::POST]).lifetime(lifetime);
        assert_raises(&Server::start(Router::new().layer(sse)).await.unwrap(), true).await;
    }
}

fn fails_or_hangs(fails: bool) -> impl Stream<Item = Result<Event, BoxError>> {
    stream::once(async move {
        if !fails {
            std::future::pending::<()>().await;
        }
        Err("the model is gone".into())
    })
}

async fn assert_raises(server: &Server, raises: bool) {
    for (script, base) in [("ask_openai.py", "/v1"), ("ask_anthropic.py", "")] {
        let mut program = python(script);
        program.args([&server.url(base), "cut", "any"]);
        let cut: Value = report(program).await;
        assert_eq!((&cut["before"], cut["raised"].is_string()), (&json!("1 2 3 "), raises), "{script}: {cut}");
    }
}

/// Three chunks of an answer, in the format of the interface that has this path.
fn events(path: &str) -> Vec<Event> {
    let words = ["1 ", "2 ", "3 "];
    if path.ends_with("/chat/completions") {
        let chunk = |word: &str| {
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small",
                "choices": [{ "index": 0, "delta": { "content": word }, "finish_reason": null }] })
        };
        return words.map(|word| Event::new(chunk(word).to_string())).into();
    }
    let event = |name: &'static str, mut data: Value| {
        data["type"] = json!(name);
        Event::builder().name(EventName::from_static(name)).data(data.to_string())
    };
    let message = json!({ "id": "m", "type": "message", "role": "assistant", "model": "small", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let mut events = vec![
        event("message_start", json!({ "message": message })),
        event("content_block_start", json!({ "index": 0, "content_block": { "type": "text", "text": "" } })),
    ];
    let delta = |word| json!({ "index": 0, "delta": { "type": "text_delta", "text": word } });
    events.extend(words.map(|word| event("content_block_delta", delta(word))));
    events
}

/// The same chunks of an upstream that fails then. It sends them first, as a network does.
fn broken(path: &str) -> Response {
    let chunks = stream::iter(events(path)).map(|event| Ok(Bytes::from(event))).chain(breaks_off());
    Response::builder().header("content-type", "text/event-stream").body(Body::from_stream(chunks)).unwrap()
}

fn breaks_off() -> impl Stream<Item = Result<Bytes, BoxError>> {
    stream::once(async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err("reset".into())
    })
}
