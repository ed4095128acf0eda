use futures_util::StreamExt;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tower_sse::decode::{Item, Message};
use tower_sse_e2e::example::Example;

use crate::support::{assert_page, events, get, get_events, json, next, next_json, send, send_body, within};

#[tokio::test]
async fn body_of_a_post_selects_the_stream_for_any_accept() {
    let example = Example::start("llm").await.unwrap();
    for path in [OPENAI, ANTHROPIC] {
        for (stream, kind) in [(true, "text/event-stream"), (false, "application/json")] {
            let response = ask(&example, path, "hello", stream).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[CONTENT_TYPE], kind, "{path}");
            assert!(!response.headers().contains_key("vary"), "{path}");
        }
    }
}

#[tokio::test]
async fn chunks_of_openai_end_with_done() {
    let example = Example::start("llm").await.unwrap();
    let mut stream = events(ask(&example, OPENAI, "count to 3", true).await);
    let mut text = String::new();
    let finish = loop {
        let chunk = next_json(&mut stream).await;
        let choice = &chunk["choices"][0];
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        if let Some(reason) = choice["finish_reason"].as_str() {
            break reason.to_owned();
        }
    };
    assert_eq!((text.as_str(), finish.as_str()), ("1 2 3", "stop"));
    let done = next(&mut stream).await.unwrap();
    assert_eq!((done.name(), done.data()), (None, "[DONE]"));
    assert!(next(&mut stream).await.is_none());
}

#[tokio::test]
async fn events_of_anthropic_have_names() {
    let example = Example::start("llm").await.unwrap();
    let names = names(ask(&example, ANTHROPIC, "count to 2", true).await).await;
    let expected = "message_start content_block_start ping content_block_delta content_block_delta \
                    content_block_stop message_delta message_stop";
    assert_eq!(names, expected);
}

#[tokio::test]
async fn failed_model_sends_an_error_event_last() {
    let example = Example::start("llm").await.unwrap();
    let said = said_before_an_abort(ask(&example, ANTHROPIC, "do something and fail at it", true).await).await;
    let names = names_of(&said);
    assert!(names.ends_with("content_block_delta error"), "{names}");

    let said = said_before_an_abort(ask(&example, OPENAI, "do something and fail at it", true).await).await;
    let last: Value = serde_json::from_str(said.last().unwrap().data()).unwrap();
    assert_eq!(last["error"]["message"], "Overloaded");
}

#[tokio::test]
async fn request_without_stream_gets_a_document() {
    let example = Example::start("llm").await.unwrap();
    let document = json(ask(&example, OPENAI, "count to 3", false).await).await;
    assert_eq!(document["choices"][0]["message"]["content"], "1 2 3");
    let document = json(ask(&example, ANTHROPIC, "count to 3", false).await).await;
    assert_eq!(document["content"][0]["text"], "1 2 3");
    assert_eq!(ask(&example, OPENAI, "fail", false).await.status(), StatusCode::OK, "too short to fail");
    let failed = ask(&example, OPENAI, "do something and fail at it", false).await;
    assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn invalid_question_is_refused() {
    let example = Example::start("llm").await.unwrap();
    for body in ["", "{", "[]", r#"{"stream":true}"#, "\u{0}"] {
        for path in [OPENAI, ANTHROPIC] {
            let response = send_body(Request::post(example.url(path)), body).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body:?}");
            assert!(json(response).await["error"]["message"].is_string());
        }
    }
    assert_eq!(ask(&example, "/v1/other", "hello", true).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn other_methods_reach_the_inner_service() {
    let example = Example::start("llm").await.unwrap();
    assert_page(example.url("/"), "tower-sse: a small language model").await;
    assert_eq!(send(get_events(example.url(OPENAI))).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn model_stops_when_the_client_of_a_stream_leaves() {
    let mut example = Example::start("llm").await.unwrap();
    assert_eq!(running(&example).await, 0);
    let mut stream = events(ask(&example, ANTHROPIC, "count to 1000000000", true).await);
    next(&mut stream).await.unwrap();
    assert_eq!(running(&example).await, 1);
    drop(stream);
    let stopped = example.line("the model stops after ").await.unwrap();
    assert!(stopped.ends_with(" words: the client has left"), "{stopped}");
    assert_eq!(running(&example).await, 0);
}

#[tokio::test]
async fn model_stops_when_the_client_of_a_document_leaves() {
    let mut example = Example::start("llm").await.unwrap();
    let url = example.url("/status");
    let asked = ask(&example, OPENAI, "count to 1000000000", false);
    tokio::select! {
        _ = asked => panic!("the answer takes longer"),
        () = async {
            while json(send(get(&url)).await).await["running"] != 1 {}
        } => {}
    }
    let stopped = example.line("the model stops after ").await.unwrap();
    assert!(stopped.ends_with(" words: the client has left"), "{stopped}");
    assert_eq!(running(&example).await, 0);
}

/// A request as the SDKs send it: `Accept` does not mention streams.
async fn ask(example: &Example, path: &str, prompt: &str, stream: bool) -> Response<Incoming> {
    let question = json!({
        "model": "small", "max_tokens": 2_000_000_000, "stream": stream,
        "messages": [{ "role": "user", "content": prompt }],
    });
    let request = Request::post(example.url(path)).header("accept", "application/json");
    send_body(request, &question.to_string()).await
}

async fn names(response: Response<Incoming>) -> String {
    let mut stream = events(response);
    let mut said = Vec::new();
    while let Some(event) = next(&mut stream).await {
        said.push(event);
    }
    names_of(&said)
}

fn names_of(said: &[Message]) -> String {
    let name = |event: &Message| {
        let data: Value = serde_json::from_str(event.data()).unwrap();
        let name = event.name().expect("each event has a name").as_str();
        assert_eq!(data["type"], name);
        name.to_owned()
    };
    said.iter().map(name).collect::<Vec<_>>().join(" ")
}

/// Returns all events of an answer that does not end cleanly: an SDK takes a clean end for the end of the whole answer.
async fn said_before_an_abort(response: Response<Incoming>) -> Vec<Message> {
    let mut stream = events(response);
    let mut said = Vec::new();
    loop {
        match within(stream.next()).await.expect("the end is not clean") {
            Ok(Item::Event(event)) => said.push(event),
            Ok(_) => {}
            Err(_) => return said,
        }
    }
}

async fn running(example: &Example) -> i64 {
    json(send(get(example.url("/status"))).await).await["running"].as_i64().unwrap()
}

const OPENAI: &str = "/v1/chat/completions";
const ANTHROPIC: &str = "/v1/messages";
