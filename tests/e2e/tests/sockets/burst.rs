//! A burst that outruns its reader.

use std::{convert::Infallible, fmt::Write, io, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::stream;
use h2::{RecvStream, client};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::net::TcpStream;
use tower::Layer;
use tower_sse::{Event, Events, Heartbeat, SseLayer};
use tower_sse_e2e::{client::within, server::Server};

use super::serve;

/// This client has a small window, and reads little at a time. h2 closes a connection that holds more than about a hundred
/// unread small frames, so each event in a frame of its own would end this one within the first window.
#[tokio::test]
async fn a_million_small_events_reach_a_slow_http_2_reader_in_order() {
    let server = serve(|_| {
        let events = (0..EVENTS).map(|number| Event::new(format!("{number:030}")));
        Events::new(stream::iter(events)).heartbeat(Heartbeat::off())
    })
    .await;
    reads_slowly(&server, EVENTS).await;
}

/// The same if each event arrives in its own frame of a decorated stream.
#[tokio::test]
async fn burst_of_decorated_frames_reaches_a_slow_http_2_reader() {
    let upstream = tower::service_fn(|_: Request<hyper::body::Incoming>| {
        let frames = (0..DECORATED).map(|number| Ok::<_, Infallible>(Frame::data(event(number))));
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(response.body(StreamBody::new(stream::iter(frames))))
    });
    let layer = SseLayer::decorate().heartbeat(Heartbeat::off());
    let server = Server::hyper(layer.layer(upstream)).await.expect("a port");
    reads_slowly(&server, DECORATED).await;
}

/// h2 closed a connection at the 130th unread heartbeat. Now its window is full before that: the server waits, and
/// continues when the client does.
#[tokio::test]
async fn unread_heartbeats_do_not_end_an_http_2_connection() {
    let server = serve(|_| {
        let heartbeat = Duration::from_millis(1);
        Events::new(stream::pending::<Event>()).heartbeat(heartbeat)
    })
    .await;
    let mut body = open(&server).await.expect("a stream");
    let full = usize::try_from(WINDOW).expect("it fits") - 256;
    within(async {
        while body.flow_control().used_capacity() < full && !body.is_end_stream() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut read = 0;
    while read < 2 * full {
        let data = within(body.data()).await.expect("the stream continues").expect("no GOAWAY, no reset");
        assert!(data.starts_with(b":") && data.ends_with(b"\n"), "{data:?}");
        body.flow_control().release_capacity(data.len()).expect("the capacity was received");
        read += data.len();
    }
}

/// Reads all events of a server with a small window, and little at a time.
async fn reads_slowly(server: &Server, events: u64) {
    let mut body = open(server).await.expect("a stream");
    let mut expected = Expected { events: 0, text: ":\n".to_owned(), taken: 0 };
    while let Some(data) = within(body.data()).await {
        let mut data = data.expect("no GOAWAY, no reset");
        while data.has_remaining() {
            let read = data.split_to(data.len().min(READ));
            expected.check(&read);
            body.flow_control().release_capacity(read.len()).expect("the capacity was received");
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((expected.events, expected.taken), (events, EVENT_BYTES));
}

fn event(number: u64) -> Bytes {
    format!("data: {number:030}\n\n").into()
}

async fn open(server: &Server) -> io::Result<RecvStream> {
    let stream = TcpStream::connect(server.address()).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::get(format!("http://{}/", server.address()));
    let request = request.header("accept", "text/event-stream").body(()).map_err(io::Error::other)?;
    let (response, _) = sender.send_request(request, true).map_err(io::Error::other)?;
    Ok(response.await.map_err(io::Error::other)?.into_body())
}

/// Returns the next expected bytes: written out here, not by the crate, and quickly, since there are a million.
struct Expected {
    events: u64,
    text: String,
    taken: usize,
}

impl Expected {
    fn check(&mut self, mut read: &[u8]) {
        while !read.is_empty() {
            if self.taken == self.text.len() {
                self.text.clear();
                self.taken = 0;
                write!(self.text, "data: {:030}\n\n", self.events).expect("a string takes all");
                self.events += 1;
            }
            let rest = &self.text.as_bytes()[self.taken..];
            let len = rest.len().min(read.len());
            assert!(read[..len] == rest[..len], "{:?}, not {}", String::from_utf8_lossy(read), self.text);
            self.taken += len;
            read = &read[len..];
        }
    }
}

const EVENTS: u64 = 1_000_000;
const DECORATED: u64 = 20_000;
const EVENT_BYTES: usize = 38;

/// The preface of HTTP/2.
const WINDOW: u32 = 65_535;
const READ: usize = 1024;
