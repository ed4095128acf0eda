//! The official SDKs of OpenAI and Anthropic, through their public interfaces, against the example `llm`.

use serde_json::{Value, json};
use tower_sse_e2e::{example::Example, process::Process};

use crate::programs::{python, report};

#[tokio::test]
#[ignore = "needs openai of PyPI; run by ./tests/run"]
async fn openai_reads_an_answer_streamed_and_not() {
    let example = Example::start("llm").await.unwrap();
    let answers: Value = report(openai(&example, "answer", "count to 5")).await;
    for way in ["whole", "streamed", "streamed_async"] {
        assert_eq!(answers[way], json!({ "text": "1 2 3 4 5", "end": "stop" }), "{way}");
    }
    let cut: Value = report(openai(&example, "answer", "count to 50")).await;
    for way in ["whole", "streamed", "streamed_async"] {
        assert_eq!(cut[way], json!({ "text": "1 2 3 4 5 6 7 8 9 10 11 12", "end": "length" }), "{way}");
    }
}

#[tokio::test]
#[ignore = "needs anthropic of PyPI; run by ./tests/run"]
async fn anthropic_reads_an_answer_streamed_and_not() {
    let example = Example::start("llm").await.unwrap();
    let answers: Value = report(anthropic(&example, "answer", "count to 5")).await;
    for way in ["whole", "streamed", "helper", "streamed_async"] {
        assert_eq!(answers[way], json!({ "text": "1 2 3 4 5", "end": "end_turn" }), "{way}");
    }
    let cut: Value = report(anthropic(&example, "answer", "count to 50")).await;
    for way in ["whole", "streamed", "helper", "streamed_async"] {
        assert_eq!(cut[way], json!({ "text": "1 2 3 4 5 6 7 8 9 10 11 12", "end": "max_tokens" }), "{way}");
    }
}

#[tokio::test]
#[ignore = "needs openai of PyPI; run by ./tests/run"]
async fn openai_raises_the_last_event_of_a_failed_model() {
    let example = Example::start("llm").await.unwrap();
    let error: Value = report(openai(&example, "error", "do something and fail at it")).await;
    assert_eq!(error, json!({ "before": "do something and", "raised": "APIError", "message": "Overloaded" }));
}

#[tokio::test]
#[ignore = "needs anthropic of PyPI; run by ./tests/run"]
async fn anthropic_raises_the_last_event_of_a_failed_model() {
    let example = Example::start("llm").await.unwrap();
    let error: Value = report(anthropic(&example, "error", "do something and fail at it")).await;
    let expected = json!({ "before": "do something and", "raised": "APIStatusError", "type": "overloaded_error" });
    assert_eq!(error, expected);
}

#[tokio::test]
#[ignore = "needs openai of PyPI; run by ./tests/run"]
async fn the_model_stops_when_openai_closes_its_stream() {
    let example = Example::start("llm").await.unwrap();
    let leave = openai(&example, "leave", "count to 1000000000");
    stops(example, leave).await;
}

#[tokio::test]
#[ignore = "needs anthropic of PyPI; run by ./tests/run"]
async fn the_model_stops_when_anthropic_closes_its_stream() {
    let example = Example::start("llm").await.unwrap();
    let leave = anthropic(&example, "leave", "count to 1000000000");
    stops(example, leave).await;
}

/// The script closes its stream, reports it, and stays: the stream is ended by the close alone.
async fn stops(mut example: Example, leave: tokio::process::Command) {
    let mut leave = Process::start(leave).unwrap();
    leave.line("closed").await.unwrap();
    let stopped = example.line("the model stops after ").await.unwrap();
    assert!(stopped.ends_with(" words: the client has left"), "{stopped}");
}

fn openai(example: &Example, task: &str, prompt: &str) -> tokio::process::Command {
    let mut script = python("ask_openai.py");
    script.args([&example.url("/v1"), task, prompt]);
    script
}

fn anthropic(example: &Example, task: &str, prompt: &str) -> tokio::process::Command {
    let mut script = python("ask_anthropic.py");
    script.args([&example.url(""), task, prompt]);
    script
}
