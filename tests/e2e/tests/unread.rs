//! A client that stops reading: it is detected, counted with its reason, and its connection is cut within the set time,
//! by axum, by hyper and by tonic; the kernel buffers as much as is set.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::{convert::Infallible, fs, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, serve::ListenerExt};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep},
};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower::Layer;
use tower_sse::{
    Event, Events, RequestHead, SseLayer,
    observe::{Closed, Observer, Reason, StreamObserver},
    source::StreamSource,
    streams::Streams,
};
use tower_sse_e2e::{
    client::within,
    socket::{Options, tune},
};

/// The reports on a stream.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Closed(Reason),
    /// The stream is dropped, and with it its connection.
    Dropped,
}

/// Sends a report.
#[derive(Clone)]
struct Tells(mpsc::UnboundedSender<Told>);

impl Observer for Tells {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        Some(Box::new(self.clone()))
    }
}

impl StreamObserver for Tells {
    fn closed(&mut self, closed: &Closed<'_>) {
        let _ = self.0.send(Told::Closed(closed.reason));
    }
}

/// Reports the drop of the stream.
struct Held(mpsc::UnboundedSender<Told>);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.send(Told::Dropped);
    }
}

/// Events each of which is larger than the kernel's buffers.
fn flood(held: Held) -> Events<StreamSource<stream::BoxStream<'static, Event>>> {
    let (held, event) = (Arc::new(held), Event::new("x".repeat(16 << 20)));
    Events::new(
        stream::repeat(event)
            .map(move |event| {
                let _ = &held;
                event
            })
            .boxed(),
    )
}

macro_rules! layer {
    ($streams:expr, $told:expr) => {{
        let told = $told.clone();
        SseLayer::from_fn(move |_| std::future::ready(flood(Held(told.clone()))))
            .streams($streams)
            .observer(Tells($told.clone()))
    }};
}

/// Serves floods until the test ends.
async fn start(server: &str, options: Options, streams: &Streams, told: &mpsc::UnboundedSender<Told>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    match server {
        "axum" => {
            let listener = listener.tap_io(move |stream| tune(stream, options).unwrap());
            let app = Router::new().layer(layer!(streams, told));
            tokio::spawn(axum::serve(listener, app.into_make_service()).into_future());
        }
        "hyper" => {
            let service = TowerToHyperService::new(layer!(streams, told).layer(tower::service_fn(page)));
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tune(&stream, options).unwrap();
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
                }
            });
        }
        _ => {
            let incoming = TcpIncoming::from(listener).inspect_ok(move |stream| tune(stream, options).unwrap());
            let mut server = Server::builder().accept_http1(true).layer(layer!(streams, told));
            tokio::spawn(server.add_routes(Routes::default()).serve_with_incoming(incoming));
        }
    }
    address
}

async fn page(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new("the page".into()))
}

/// A client that has read the head, and nothing after it.
async fn stops_reading(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n").await.unwrap();
    within(client.read_exact(&mut [0; 100])).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_stream_is_cut_in_time_and_counted_as_stalled() {
    for server in ["axum", "hyper", "tonic"] {
        let (told, mut tells) = mpsc::unbounded_channel();
        let streams = Streams::builder().stall_timeout(Duration::from_millis(400)).build();
        let options = Options { user_timeout: Some(Duration::from_secs(1)), not_sent: Some(16 << 10) };
        let address = start(server, options, &streams, &told).await;
        let begin = Instant::now();
        let client = stops_reading(address).await;
        assert_eq!(within(tells.recv()).await, Some(Told::Closed(Reason::Stalled)), "{server}");
        let seen = begin.elapsed();
        // The observer is notified before the permit is released.
        within(all_are_closed(&streams)).await;
        assert_eq!(within(tells.recv()).await, Some(Told::Dropped), "{server}");
        println!("{server}: detected after {seen:?}, cut after {:?}", begin.elapsed());
        assert!(seen >= Duration::from_millis(400) && begin.elapsed() >= Duration::from_secs(1), "{server}");
        assert!(tells.try_recv().is_err(), "once");
        drop(client);
    }
}

async fn all_are_closed(streams: &Streams) {
    while !streams.is_empty() {
        tokio::task::yield_now().await;
    }
}

const LOOKS: usize = 50;

/// Returns the kernel's bytes of a connection: at the server, not acknowledged; at the client, not read.
fn held(server: SocketAddr, client: SocketAddr) -> [u64; 2] {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let hex = |address: SocketAddr| format!("{:04X}", address.port());
    let queues = |local: SocketAddr, remote: SocketAddr| {
        let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut lines = lines.filter(|line| line[1].ends_with(&hex(local)) && line[2].ends_with(&hex(remote)));
        let (sends, receives) = lines.next().expect("the connection is there")[4].split_once(':').unwrap();
        [sends, receives].map(|queue| u64::from_str_radix(queue, 16).unwrap())
    };
    [queues(server, client)[0], queues(client, server)[1]]
}

/// Returns the same once it has not grown for many samples. A busy machine takes fewer of them in a second.
async fn held_at_last(server: SocketAddr, client: &TcpStream) -> [u64; 2] {
    let (mut last, mut same) = ([0; 2], 0);
    while same < LOOKS {
        sleep(Duration::from_millis(20)).await;
        let now = held(server, client.local_addr().unwrap());
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kernel_buffers_as_much_as_configured() {
    for server in ["axum", "hyper", "tonic"] {
        let mut sent = Vec::new();
        for not_sent in [None, Some(16 << 10)] {
            let (told, _tells) = mpsc::unbounded_channel();
            let options = Options { user_timeout: None, not_sent };
            let address = start(server, options, &Streams::new(), &told).await;
            let client = stops_reading(address).await;
            let [sends, receives] = within(held_at_last(address, &client)).await;
            println!(
                "{server}, TCP_NOTSENT_LOWAT {not_sent:?}: {sends} bytes wait at the server, {receives} at the client"
            );
            sent.push(sends);
        }
        assert!(sent[1] < sent[0] / 2, "{server}: {sent:?}");
    }
}
