//! Clients that return events one by one: each reads a score that is cut into connections, resuming by the last id.

use serde::Deserialize;
use serde_json::{Value, json};
use tower_sse_e2e::document::Document;

use crate::{
    programs::{node, python, report},
    score::Score,
    server::{QUERY, RETRY, Server, plays, plays_with_blank_lines},
};

#[tokio::test]
#[ignore = "needs openai of PyPI; run by ./tests/run"]
async fn openai_reads_only_the_events() {
    reads_just_the_events("openai").await;
}

#[tokio::test]
#[ignore = "needs anthropic of PyPI; run by ./tests/run"]
async fn anthropic_reads_only_the_events() {
    reads_just_the_events("anthropic").await;
}

#[tokio::test]
#[ignore = "needs httpx-sse of PyPI; run by ./tests/run"]
async fn httpx_sse_reads_only_the_events() {
    reads_just_the_events("httpx_sse").await;
}

#[tokio::test]
#[ignore = "needs sseclient-py of PyPI; run by ./tests/run"]
async fn sseclient_reads_only_the_events() {
    reads_just_the_events("sseclient").await;
}

#[tokio::test]
#[ignore = "needs eventsource of npm; run by ./tests/run"]
async fn eventsource_reads_only_the_events_and_reconnects() {
    let score = Score::hard();
    let server = Server::start(plays(&score)).await.unwrap();
    let heard = listen("eventsource", &server).await;
    assert_eq!(heard.events, score.report());
    assert_eq!(heard.connections, score.connections());
}

/// The polyfill sends its id in the address only, as documented in `docs/browser.md`.
#[tokio::test]
#[ignore = "needs event-source-polyfill of npm; run by ./tests/run"]
async fn event_source_polyfill_resumes_by_the_query() {
    let line = Document::read("browser.md").block("rust", QUERY);
    assert!(line.contains(&format!("last_event_id_query(\"{QUERY}\")")), "{line}");
    let score = Score::hard();
    let server = Server::start(plays(&score)).await.unwrap();
    let heard = listen("event-source-polyfill", &server).await;
    assert_eq!(heard.events, score.report());
    assert_eq!(heard.connections, score.connections());
}

/// Shows that the tests above detect a wrong heartbeat: the same server with `:\n\n`.
#[tokio::test]
#[ignore = "needs openai, anthropic and httpx-sse of PyPI; run by ./tests/run"]
async fn blank_line_after_a_heartbeat_is_an_event_once_an_id_was_seen() {
    let score = Score::hard();
    let server = Server::start(plays_with_blank_lines(&score)).await.unwrap();
    for client in ["openai", "anthropic", "httpx_sse"] {
        let heard = listen(client, &server).await;
        let (spurious, sent): (Vec<_>, Vec<_>) =
            heard.events.into_iter().partition(|event| event["event"] == "message" && event["data"] == "");
        assert_eq!(without_retry(sent), score.report(), "{client}");
        // At least those before the next event of a connection, and before its end.
        assert!(spurious.len() >= score.events().len(), "{client}: {}", spurious.len());
    }
}

/// Clients that follow the standard here accept it.
#[tokio::test]
#[ignore = "needs sseclient-py of PyPI and eventsource of npm; run by ./tests/run"]
async fn blank_line_after_a_heartbeat_is_ignored_by_sseclient() {
    let score = Score::hard();
    let server = Server::start(plays_with_blank_lines(&score)).await.unwrap();
    for client in ["sseclient", "eventsource"] {
        assert_eq!(without_retry(listen(client, &server).await.events), score.report(), "{client}");
    }
}

async fn reads_just_the_events(client: &str) {
    let score = Score::hard();
    let server = Server::start(plays(&score)).await.unwrap();
    let heard = listen(client, &server).await;
    // `retry:` precedes the first event of a connection, without a blank line: to these clients it is part of the event.
    for (number, event) in heard.events.iter().enumerate() {
        let retry = if number % 2 == 0 { json!(RETRY.as_millis()) } else { Value::Null };
        assert_eq!(event["retry"], retry, "{client}, {event}");
    }
    assert_eq!(heard.connections, score.connections());
    assert_eq!(without_retry(heard.events), score.report());
}

async fn listen(client: &str, server: &Server) -> Heard {
    let is_of_npm = client.starts_with("event");
    let mut script = if is_of_npm { node("read.mjs") } else { python("read.py") };
    script.args([client, &server.url("/")]);
    report(script).await
}

fn without_retry(mut events: Vec<Value>) -> Vec<Value> {
    for event in &mut events {
        event.as_object_mut().unwrap().remove("retry");
    }
    events
}

#[derive(Deserialize)]
struct Heard {
    events: Vec<Value>,
    connections: usize,
}
