//! The head, byte by byte, and the same for HEAD.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
};

use futures_util::{StreamExt, stream};
use http::{Method, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::AsyncReadExt;
use tower_sse::{Event, Events};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

use super::{Alive, VERSIONS, raw, read_until, serve};

const OUR_HEADERS: &str = "content-type: text/event-stream\r\n\
    cache-control: no-cache, no-transform\r\n\
    x-accel-buffering: no\r\n\
    vary: accept\r\n";

const PRELUDE: &str = ":\n";

/// Reads as many bytes as expected, and removes the date.
async fn raw_answer(server: &Server, request: &str, end: &str) -> String {
    let answer = read_until(&mut raw(server, request).await, end).await;
    let date = answer.split_inclusive("\r\n").find(|line| line.starts_with("date: ")).expect("hyper says the date");
    answer.replace(date, "")
}

async fn silent_server() -> Server {
    serve(|_| Events::new(stream::pending::<Event>())).await
}

#[tokio::test]
async fn an_http_1_1_client_gets_these_bytes_and_no_other() {
    let request = "GET / HTTP/1.1\r\nhost: test\r\naccept: text/event-stream\r\n\r\n";
    let answer = raw_answer(&silent_server().await, request, PRELUDE).await;
    let head = format!("HTTP/1.1 200 OK\r\n{OUR_HEADERS}transfer-encoding: chunked\r\n\r\n");
    assert_eq!(answer, format!("{head}2\r\n{PRELUDE}\r\n"));
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_body_that_ends_with_the_connection() {
    let server = serve(|_| Events::new(stream::iter(["1", "2"]).map(Event::new))).await;
    let request = "GET / HTTP/1.0\r\naccept: text/event-stream\r\n\r\n";
    let mut stream = raw(&server, request).await;
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.expect("the server closes the connection");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with(&format!("HTTP/1.0 200 OK\r\n{OUR_HEADERS}date: ")), "{head}");
    assert!(!head.to_ascii_lowercase().contains("\r\nconnection:"), "{head}");
    assert_eq!(body, ":\ndata: 1\n\ndata: 2\n\n");
}

#[tokio::test]
async fn an_http_2_client_gets_these_headers_and_no_other() {
    let server = silent_server().await;
    let mut client = Client::connect(server.address(), Version::HTTP_2).await.expect("a connection");
    let response = within(client.ask(Method::GET, "/")).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(headers(&response), OUR_HEADERS);
}

#[tokio::test]
async fn head_request_gets_the_head_of_get_without_events() {
    let (polls, alive) = (Arc::new(AtomicUsize::new(0)), Alive::default());
    let (polled, born) = (Arc::clone(&polls), alive.clone());
    let server = serve(move |_| {
        let (polled, guard) = (Arc::clone(&polled), born.guard());
        Events::new(stream::poll_fn(move |_| {
            let _ = &guard;
            polled.fetch_add(1, SeqCst);
            Poll::<Option<Event>>::Pending
        }))
    })
    .await;

    for version in VERSIONS {
        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        let head = within(client.ask(Method::HEAD, "/")).await.expect("an answer");
        assert_eq!(head.status(), StatusCode::OK, "{version:?}");
        assert_eq!(headers(&head), OUR_HEADERS, "{version:?}");
        assert_eq!(within(head.into_body().collect()).await.expect("a clean end").to_bytes().len(), 0, "{version:?}");
        assert_eq!((polls.load(SeqCst), alive.count()), (0, 0), "{version:?}");

        // The same connection can be used for the stream itself.
        let get = within(client.ask(Method::GET, "/")).await.expect("an answer");
        assert_eq!(headers(&get), OUR_HEADERS, "{version:?}");
        within(get.into_body().frame()).await.expect("a prelude").expect("no error");
        polls.store(0, SeqCst);
        drop(client);
        within(alive.gone()).await;
    }
}

#[tokio::test]
async fn head_request_gets_no_byte_after_the_head() {
    let server = silent_server().await;
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let request =
            format!("HEAD / {version}\r\nhost: test\r\nconnection: close\r\naccept: text/event-stream\r\n\r\n");
        let mut answer = String::new();
        within(raw(&server, &request).await.read_to_string(&mut answer))
            .await
            .expect("the server closes the connection");
        assert!(answer.starts_with(&format!("{version} 200 OK\r\n{OUR_HEADERS}")), "{answer}");
        assert_eq!(answer.find("\r\n\r\n"), Some(answer.len() - 4), "{answer}");
    }
}

/// The headers as HTTP/1.1 would write them, without the server's own.
fn headers(response: &Response<Incoming>) -> String {
    let servers_own = [header::DATE, header::TRANSFER_ENCODING];
    let ours = response.headers().iter().filter(|(name, _)| !servers_own.contains(name));
    ours.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap_or("?"))).collect()
}
