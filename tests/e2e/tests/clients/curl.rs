//! curl: the raw bytes, over both versions of HTTP, and malformed requests.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Request, routing::any};
use tokio::sync::mpsc::{Receiver, channel};
use tower_sse::{Event, EventSender, Events, LastEventId, SseLayer};
use tower_sse_e2e::process::{Process, run};

use crate::{
    programs::{curl, text},
    score::Score,
    server::{RETRY, Server, plays},
};

#[tokio::test]
#[ignore = "needs curl; run by ./tests/run"]
async fn the_bytes_are_prelude_heartbeats_and_events_and_nothing_else() {
    let score = Score::new(Score::hard().events(), 100);
    let server = Server::start(plays(&score)).await.unwrap();
    let mut expected = format!("retry: {}\n", RETRY.as_millis());
    for event in score.events() {
        expected.push_str(std::str::from_utf8(&event.to_bytes()).unwrap());
    }
    for version in VERSIONS {
        let mut curl = curl();
        curl.args([version, &server.url("/")]);
        let body = text(curl).await;
        assert!(body.starts_with(":\n"), "{body}");
        // Over HTTP/2 the heartbeats are longer.
        let beats = body.lines().filter(|line| line.trim_end() == ":").count();
        assert!(beats > score.events().len(), "{beats} heartbeats");
        let rest = body.split_inclusive('\n').filter(|line| line.trim_end() != ":").collect::<String>();
        assert_eq!(rest, expected);
    }
}

#[tokio::test]
#[ignore = "needs curl; run by ./tests/run"]
async fn each_event_arrives_before_the_next_is_created() {
    for version in VERSIONS {
        let (app, mut opened) = feedable();
        let server = Server::start(app).await.unwrap();
        let mut curl = curl();
        curl.args([version, "-H", ACCEPT, &server.url("/")]);
        let mut curl = Process::start(curl).unwrap();
        let sender = opened.recv().await.unwrap();
        for number in 0..100 {
            sender.send(Event::json(&number).unwrap()).await.unwrap();
            assert_eq!(curl.line("data: ").await.unwrap(), number.to_string());
        }
    }
}

#[tokio::test]
#[ignore = "needs curl; run by ./tests/run"]
async fn head_request_gets_the_head_and_no_body() {
    let server = Server::start(page_and_events(&Arc::default())).await.unwrap();
    for version in VERSIONS {
        let mut curl = curl();
        curl.args([version, "--head", "-H", ACCEPT, &server.url("/")]);
        let head = text(curl).await.to_ascii_lowercase();
        assert!(
            head.lines().next().unwrap().trim_end().ends_with("200 ok") || head.starts_with("http/2 200"),
            "{head}"
        );
        for line in ["content-type: text/event-stream", "cache-control: no-cache, no-transform", "vary: accept"] {
            assert!(head.lines().any(|each| each.trim_end() == line), "{head}");
        }
        assert!(head.ends_with("\r\n\r\n") && !head.contains("content-length"), "{head}");
    }
}

#[tokio::test]
#[ignore = "needs curl; run by ./tests/run"]
async fn invalid_accept_reaches_the_inner_service() {
    let server = Server::start(page_and_events(&Arc::default())).await.unwrap();
    let long = "a/b,".repeat(2_000);
    let garbage =
        [",", ";;;", "text/event-stream;q=2", "text/event-stream;q=", "\"text/event-stream", "text", "/", &long];
    // `Name;` is curl's syntax for an empty header.
    let headers = garbage.map(|accept| format!("accept: {accept}")).into_iter().chain(["accept;".to_owned()]);
    for (header, version) in headers.flat_map(|header| VERSIONS.map(|version| (header.clone(), version))) {
        let mut curl = curl();
        curl.args([version, "-H", &header, &server.url("/")]);
        assert_eq!(text(curl).await, PAGE, "{version} {header:.80}");
    }
}

#[tokio::test]
#[ignore = "needs curl; run by ./tests/run"]
async fn unknown_method_reaches_the_inner_service() {
    let server = Server::start(page_and_events(&Arc::default())).await.unwrap();
    for version in VERSIONS {
        for method in ["BREW", "OPTIONS", "get", "DELETE"] {
            let mut curl = curl();
            curl.args([version, "-X", method, "-H", ACCEPT, &server.url("/")]);
            assert_eq!(text(curl).await, PAGE, "{method}");
        }
    }
}

#[tokio::test]
#[ignore = "needs curl; run by ./tests/run"]
async fn oversized_last_event_id_fails_only_its_own_request() {
    let seen = Arc::<Mutex<Vec<usize>>>::default();
    let server = Server::start(page_and_events(&seen)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("header");
    // An id that servers accept in a head, and one that is far too long. That request may be answered, or cut while it is sent.
    for (version, taken) in VERSIONS.into_iter().zip([100_000, 1_000]) {
        for (length, is_taken) in [(taken, true), (900_000, false)] {
            std::fs::write(&file, format!("last-event-id: {}\n", "9".repeat(length))).unwrap();
            let mut curl = curl();
            curl.args([version, "-H", ACCEPT, "-H", &format!("@{}", file.display())]);
            curl.args(["--output", "/dev/null", "--write-out", "%{http_code}", &server.url("/")]);
            let status = run(curl).await.unwrap_or_default();
            assert_eq!(status == b"200", is_taken, "{version} {length}");
        }
    }
    assert_eq!(*seen.lock().unwrap(), [100_000, 1_000]);
    let mut after = curl();
    after.arg(server.url("/"));
    assert_eq!(text(after).await, PAGE);
}

/// An app that hands the sender of each of its streams to the test.
fn feedable() -> (Router, Receiver<EventSender>) {
    let (senders, opened) = channel(1);
    let sse = SseLayer::from_fn(move |_: Request| {
        let senders = senders.clone();
        async move {
            let (sender, events) = Events::channel(1);
            // The test runs as long as its server.
            let _ = senders.send(sender).await;
            events
        }
    });
    (Router::new().layer(sse), opened)
}

/// A page as inner service, and a short stream beside it, which records the lengths of the ids that it receives.
fn page_and_events(seen: &Arc<Mutex<Vec<usize>>>) -> Router {
    let seen = Arc::clone(seen);
    let sse = SseLayer::from_fn(move |request: Request| {
        if let Some(id) = LastEventId::of(&request) {
            seen.lock().unwrap().push(id.as_bytes().len());
        }
        async { Events::new(futures_util::stream::iter([Event::new("one")])) }
    })
    .heartbeat(Duration::from_millis(5));
    Router::new().route("/", any(async || PAGE)).layer(sse)
}

const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];
const ACCEPT: &str = "accept: text/event-stream";
const PAGE: &str = "the page";
