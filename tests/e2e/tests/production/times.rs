//! The time limits of a connection, a request and its body.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use tower_sse_e2e::client::within;

use crate::server::Server;

/// The first bytes of a client of HTTP/2.
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits until the server has closed a connection. Returns what the server sent before.
async fn closed(stream: &mut TcpStream) -> String {
    let mut sent = Vec::new();
    // A reset is an end, too.
    let _ = within(stream.read_to_end(&mut sent)).await;
    String::from_utf8_lossy(&sent).into_owned()
}

/// Starts a server with a short time for requests, which is long for those of a test on a busy machine.
async fn quick() -> Server {
    Server::start(&[("REQUEST_SECONDS", "5"), ("COOKIE_KEY", &KEY.repeat(64))]).await
}

/// Logs in at a server that grants as much time as it takes.
async fn ann() -> String {
    Server::start(&[("COOKIE_KEY", &KEY.repeat(64))]).await.log_in("ann").await
}

const KEY: &str = "5e";

#[tokio::test]
async fn incomplete_head_ends_the_connection() {
    let server = quick().await;
    for part in ["", "GET / HTTP/1.1\r\nhost: a\r\n", "PRI * HTTP/2.0\r\n", PREFACE] {
        let mut connection = TcpStream::connect(&server.address).await.unwrap();
        connection.write_all(part.as_bytes()).await.unwrap();
        assert!(!closed(&mut connection).await.contains("200 OK"), "{part:?}");
    }
}

#[tokio::test]
async fn incomplete_second_head_ends_the_connection() {
    let server = quick().await;
    for part in ["", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut connection = TcpStream::connect(&server.address).await.unwrap();
        let first = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
        connection.write_all(format!("{first}{part}").as_bytes()).await.unwrap();
        assert_eq!(closed(&mut connection).await.matches("200 OK").count(), 1, "{part:?}");
    }
}

/// RFC 9113, sections 3.4, 6.2 and 6.5: until a header block is complete, no other frame may be sent.
#[tokio::test]
async fn incomplete_http2_header_block_ends_the_connection() {
    let server = quick().await;
    let mut connection = TcpStream::connect(&server.address).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // A whole request, `GET /` by `http`, and the method of a second one.
    let whole = [0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86];
    let half = [0, 0, 1, 1, 1, 0, 0, 0, 3, 0x82];
    connection.write_all(&[PREFACE.as_bytes(), &settings, &whole, &half].concat()).await.unwrap();
    assert!(closed(&mut connection).await.contains("<title>"), "the first request is answered");
}

#[tokio::test]
async fn incomplete_body_is_refused() {
    let (server, ann) = (quick().await, ann().await);
    let head = format!(
        "POST /notes HTTP/1.1\r\nhost: a\r\n{ann}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    );
    let mut connection = TcpStream::connect(&server.address).await.unwrap();
    connection.write_all(format!("{head}{{\"text\"").as_bytes()).await.unwrap();
    assert!(closed(&mut connection).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn incomplete_http2_body_is_refused() {
    let (server, ann) = (quick().await, ann().await);
    let io = TokioIo::new(TcpStream::connect(&server.address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let part = Frame::data(Bytes::from_static(b"{\"text\""));
    let body = StreamBody::new(stream::iter([Ok::<_, Infallible>(part)]).chain(stream::pending()));
    let request = Request::post(format!("http://{}/notes", server.address))
        .header("cookie", ann.trim_start_matches("cookie: "))
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    assert_eq!(within(sender.send_request(request)).await.unwrap().status(), 408);
}

#[tokio::test]
async fn event_stream_outlives_the_request_timeout() {
    let server = quick().await;
    let mut stream = server.events(&[]).await;
    // One request each two seconds.
    stream.until_times("event: status\n", 5).await;
}

#[tokio::test]
async fn old_connection_takes_no_requests_and_keeps_its_stream() {
    let server = Server::start(&[("CONNECTION_SECONDS", "1"), ("REQUEST_SECONDS", "3600")]).await;
    let mut stream = server.events(&[]).await;
    let mut idle = TcpStream::connect(&server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(closed(&mut idle).await.starts_with("HTTP/1.1 200 "));

    stream.until_times("event: status\n", 3).await;
    // A new connection is not affected: it has an age of its own.
    server.events(&[]).await.until_times("event: status\n", 3).await;
}
