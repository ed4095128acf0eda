//! A connection past its age, as a client observes it.

use std::time::Duration;

use axum::{Router, http::StatusCode, routing::get};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::duplex, sync::mpsc, time::sleep};
use tower_sse::{Event, EventSender, Events, SseLayer};
use tower_sse_e2e::{aging::connection, client::within, document::Document};

const AGE: Duration = Duration::from_secs(60);

enum Sender {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Sender {
    /// Connects to a server of the app, through memory.
    async fn connect(version: Version, app: Router) -> Self {
        let (near, far) = duplex(64 << 10);
        tokio::spawn(connection(far, app, AGE));
        if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
            tokio::spawn(connection);
            Self::Two(sender)
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
            tokio::spawn(connection);
            Self::One(sender)
        }
    }

    async fn get(&mut self, path: &str, accept: &str) -> hyper::Result<http::Response<Incoming>> {
        let request = Request::get(format!("http://localhost{path}")).header("host", "localhost");
        let request = request.header("accept", accept).body(Empty::new()).unwrap();
        match self {
            Self::One(sender) => sender.send_request(request).await,
            Self::Two(sender) => sender.send_request(request).await,
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_closed(),
            Self::Two(sender) => sender.is_closed() || !sender.is_ready(),
        }
    }
}

/// A page, and a stream whose sender is returned by the channel.
fn app() -> (Router, mpsc::UnboundedReceiver<EventSender>) {
    let (senders, opened) = mpsc::unbounded_channel();
    let events = SseLayer::from_fn(move |_: Request<_>| {
        let (sender, events) = Events::channel(1);
        senders.send(sender).expect("the test runs");
        async { events }
    });
    let app = Router::new().route("/", get("the page"));
    (app.route("/events", get(StatusCode::NOT_ACCEPTABLE).layer(events)), opened)
}

async fn reads(body: &mut Incoming, text: &str) {
    let mut read = String::new();
    while !read.contains(text) {
        let frame = within(body.frame()).await.expect("the stream continues").expect("the frame is no error");
        read.push_str(std::str::from_utf8(&frame.into_data().expect("data")).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn old_connection_ends_with_its_stream() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (app, mut opened) = app();
        let mut client = Sender::connect(version, app).await;
        // A young connection serves one request after the other.
        for _ in 0..2 {
            let page = client.get("/", "*/*").await.unwrap();
            assert_eq!(page.into_body().collect().await.unwrap().to_bytes(), "the page");
        }
        let mut body = client.get("/events", "text/event-stream").await.unwrap().into_body();
        let sender = opened.recv().await.unwrap();
        sleep(2 * AGE).await;
        sender.send(Event::new("still there")).await.unwrap();
        reads(&mut body, "still there").await;
        drop(sender);
        while let Some(frame) = within(body.frame()).await {
            frame.expect("a clean end");
        }
        sleep(Duration::from_secs(1)).await;
        assert!(client.is_closed(), "{version:?}");
        client.get("/", "*/*").await.expect_err("the connection takes no request");
    }
}

#[tokio::test(start_paused = true)]
async fn old_connection_without_a_stream_is_closed() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (app, _opened) = app();
        let mut client = Sender::connect(version, app).await;
        client.get("/", "*/*").await.unwrap().into_body().collect().await.unwrap();
        sleep(2 * AGE).await;
        assert!(client.is_closed(), "{version:?}");
    }
}

#[test]
fn documented_lines_are_the_tested_ones() {
    let block = Document::read("serving.md").block("rust,no_run", "graceful_shutdown");
    let from = block.find("async fn connection").expect("the function");
    assert!(
        include_str!("../../src/aging.rs").contains(&block[from..]),
        "the document and the source differ:\n{block}"
    );
}
