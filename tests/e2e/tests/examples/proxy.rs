use futures_util::StreamExt;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_sse::decode::Item;
use tower_sse_e2e::example::Example;

use crate::support::{assert_page, events, get, get_events, next, send, within};

#[tokio::test]
async fn heartbeats_are_sent_while_the_upstream_is_idle() {
    let upstream = Upstream::listen().await;
    let example = Example::start_with("proxy", &[("UPSTREAM", &upstream.origin)]).await.unwrap();
    let (response, mut socket) = tokio::join!(send(get_events(example.url("/"))), upstream.accept());
    let mut stream = events(response);
    for data in ["one", "two"] {
        socket.write_all(format!("data: {data}\n\n").as_bytes()).await.unwrap();
        assert_eq!(next(&mut stream).await.unwrap().data(), data);
        for _ in 0..2 {
            assert_eq!(within(stream.next()).await.unwrap().unwrap(), Item::Comment(String::new()));
        }
    }
}

#[tokio::test]
async fn example_has_an_upstream_by_default() {
    let example = Example::start("proxy").await.unwrap();
    assert_page(example.url("/"), "tower-sse: proxy").await;
    let mut stream = events(send(get_events(example.url("/events"))).await);
    for data in ["event 1", "event 2"] {
        assert_eq!(next(&mut stream).await.unwrap().data(), data);
    }
}

#[tokio::test]
async fn cut_upstream_event_gets_no_heartbeat_within_a_line() {
    let upstream = Upstream::listen().await;
    let example = Example::start_with("proxy", &[("UPSTREAM", &upstream.origin)]).await.unwrap();
    let (response, mut socket) = tokio::join!(send(get_events(example.url("/"))), upstream.accept());
    let mut stream = events(response);
    assert_eq!(within(stream.next()).await.unwrap().unwrap(), Item::Comment(String::new()));
    // The line is unfinished: a heartbeat that is due has to wait for its end. Two seconds pass in the proxy, measured by the
    // heartbeats of another stream.
    socket.write_all(b"data: on").await.unwrap();
    let (response, mut other) = tokio::join!(send(get_events(example.url("/"))), upstream.accept());
    other.write_all(b": go\n").await.unwrap();
    let mut clock = events(response);
    for _ in 0..4 {
        within(clock.next()).await.unwrap().unwrap();
    }
    socket.write_all(b"e\n\n").await.unwrap();
    assert_eq!(next(&mut stream).await.unwrap().data(), "one");
}

#[tokio::test]
async fn stream_ends_cleanly_if_the_upstream_fails() {
    let upstream = Upstream::listen().await;
    let example = Example::start_with("proxy", &[("UPSTREAM", &upstream.origin)]).await.unwrap();
    let (response, mut socket) = tokio::join!(send(get_events(example.url("/"))), upstream.accept());
    socket.write_all(b"data: one\n\ndata: tw").await.unwrap();
    let mut stream = events(response);
    assert_eq!(next(&mut stream).await.unwrap().data(), "one");
    drop(socket); // promised a body of 1000 bytes
    assert!(next(&mut stream).await.is_none());
}

#[tokio::test]
async fn upstream_detects_that_the_client_has_left() {
    let upstream = Upstream::listen().await;
    let example = Example::start_with("proxy", &[("UPSTREAM", &upstream.origin)]).await.unwrap();
    let (response, mut socket) = tokio::join!(send(get_events(example.url("/"))), upstream.accept());
    drop(response);
    let mut rest = Vec::new();
    // The end of the response, or a reset.
    let _ = within(socket.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn unreachable_upstream_is_a_bad_gateway() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let example = Example::start_with("proxy", &[("UPSTREAM", &format!("http://{gone}"))]).await.unwrap();
    assert_eq!(send(get(example.url("/"))).await.status(), StatusCode::BAD_GATEWAY);
}

/// An upstream by hand: one event stream on a connection, whose body the test writes.
struct Upstream {
    listener: TcpListener,
    origin: String,
}

impl Upstream {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, origin }
    }

    async fn accept(&self) -> TcpStream {
        let (mut socket, _) = within(self.listener.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(socket.read_u8()).await.unwrap());
        }
        socket.write_all(HEAD).await.unwrap();
        socket
    }
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n";
