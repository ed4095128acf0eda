//! The calls with which a server writes its events: vectored, or flat with the lines of `docs/serving.md`.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use axum::{Router, serve::Listener};
use futures_util::TryStreamExt;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tonic::{
    service::Routes,
    transport::{
        Server,
        server::{Connected, TcpIncoming},
    },
};
use tower_sse::{Event, EventSender, Events, SseLayer};
use tower_sse_e2e::{
    client::within,
    document::Document,
    flat::{Flat, FlatListener},
};

/// The calls of a connection.
#[derive(Debug, Default)]
struct Calls {
    flat: AtomicU64,
    vectored: AtomicU64,
}

impl Calls {
    fn now(&self) -> [u64; 2] {
        [self.flat.load(SeqCst), self.vectored.load(SeqCst)]
    }
}

/// A connection whose writes are counted, and which offers vectored writes.
struct Counted(TcpStream, Arc<Calls>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1.flat.fetch_add(1, SeqCst);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.1.vectored.fetch_add(1, SeqCst);
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Connected for Counted {
    type ConnectInfo = <TcpStream as Connected>::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.0.connect_info()
    }
}

/// A listener of such connections.
struct Counting(TcpListener, Arc<Calls>);

impl Listener for Counting {
    type Io = Counted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, peer) = Listener::accept(&mut self.0).await;
        (Counted(stream, Arc::clone(&self.1)), peer)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A layer whose streams end up with their senders in this channel. A macro, since the body of a request differs by server.
macro_rules! layer {
    ($senders:expr) => {{
        let senders = $senders.clone();
        SseLayer::from_fn(move |_| {
            let (sender, events) = Events::channel(1);
            senders.send(sender).expect("the test runs");
            std::future::ready(events)
        })
    }};
}

/// Serves a stream whose sender it returns, until the test ends.
async fn start(server: &'static str, calls: &Arc<Calls>) -> (SocketAddr, mpsc::UnboundedReceiver<EventSender>) {
    let (senders, opened) = mpsc::unbounded_channel();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, calls) = (listener.local_addr().unwrap(), Arc::clone(calls));
    let app = Router::new().layer(layer!(senders));
    match server {
        "axum" => drop(tokio::spawn(axum::serve(Counting(listener, calls), app.into_make_service()).into_future())),
        "axum, flat" => {
            tokio::spawn(axum::serve(FlatListener(Counting(listener, calls)), app.into_make_service()).into_future());
        }
        "tonic" => {
            let incoming = TcpIncoming::from(listener).map_ok(move |stream| Counted(stream, Arc::clone(&calls)));
            let mut server = Server::builder().accept_http1(true).layer(layer!(senders));
            tokio::spawn(server.add_routes(Routes::default()).serve_with_incoming(incoming));
        }
        "tonic, flat" => {
            let incoming = TcpIncoming::from(listener).map_ok(move |stream| Flat(Counted(stream, Arc::clone(&calls))));
            let mut server = Server::builder().accept_http1(true).layer(layer!(senders));
            tokio::spawn(server.add_routes(Routes::default()).serve_with_incoming(incoming));
        }
        kind => drop(tokio::spawn(async move {
            let service = TowerToHyperService::new(app);
            let (stream, _) = Counting(listener, calls).accept().await;
            match kind {
                "http1" => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.map_err(drop),
                "http1, flat" => {
                    let mut http = http1::Builder::new();
                    http.writev(false);
                    http.serve_connection(TokioIo::new(stream), service).await.map_err(drop)
                }
                _ => {
                    let mut http = auto::Builder::new(TokioExecutor::new());
                    http.http1().writev(false);
                    http.serve_connection(TokioIo::new(stream), service).await.map_err(drop)
                }
            }
        })),
    }
    (address, opened)
}

/// Returns the calls of flat and of vectored writes for ten events, each of which is read before the next is sent.
async fn calls_for_ten_events(server: &'static str) -> [u64; 2] {
    let calls = Arc::default();
    let (address, mut opened) = start(server, &calls).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n").await.unwrap();
    let sender = within(opened.recv()).await.unwrap();
    // The head may be sent with the first event or before it.
    send_and_read(&sender, &mut client, "first").await;
    let before = calls.now();
    for number in 0..10 {
        send_and_read(&sender, &mut client, &format!("event {number}")).await;
    }
    let after = calls.now();
    [after[0] - before[0], after[1] - before[1]]
}

async fn send_and_read(sender: &EventSender, client: &mut TcpStream, data: &str) {
    sender.send(Event::new(data)).await.unwrap();
    let (mut read, end) = (Vec::new(), format!("data: {data}\n\n\r\n"));
    while !read.ends_with(end.as_bytes()) {
        within(client.read_buf(&mut read)).await.unwrap();
    }
}

#[tokio::test]
async fn flat_writes_send_an_event_in_one_write() {
    for server in ["http1, flat", "auto, flat", "axum, flat", "tonic, flat"] {
        assert_eq!(calls_for_ten_events(server).await, [10, 0], "{server}");
    }
}

#[tokio::test]
async fn vectored_writes_send_an_event_in_one_write() {
    for server in ["http1", "axum", "tonic"] {
        assert_eq!(calls_for_ten_events(server).await, [0, 10], "{server}");
    }
}

#[test]
fn documented_writes_are_the_tested_ones() {
    let document = Document::read("serving.md");
    // After the head and two groups of imports.
    for part in include_str!("../../src/flat.rs").split("\n\n").skip(3) {
        let lines = part.lines().filter(|line| !line.starts_with("#["));
        let part = lines.collect::<Vec<_>>().join("\n");
        assert!(document.holds(&part), "docs/serving.md lacks:\n{part}");
    }
}
