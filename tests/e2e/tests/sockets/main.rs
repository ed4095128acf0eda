//! Streams over real sockets: HTTP/1.0, HTTP/1.1 and HTTP/2.

mod burst;
mod endings;
mod heads;
mod leaving;
mod prompt;
mod reopen;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Layer;
use tower_sse::{
    Events, Source, SseLayer,
    decode::{EventReader, Item, Message},
};
use tower_sse_e2e::{client::within, server::Server};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// Starts a hyper server whose events come from this function, with a page as inner service.
async fn serve<S: Source + Send + 'static>(
    events: impl Fn(Request<Incoming>) -> Events<S> + Clone + Send + 'static,
) -> Server {
    let layer = SseLayer::from_fn(move |request| ready(events(request)));
    Server::hyper(layer.layer(tower::service_fn(page))).await.expect("a port")
}

fn page(_: Request<Incoming>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    ready(Ok(Response::new("the page".into())))
}

/// A connection on which a request was written by hand.
async fn raw(server: &Server, request: &str) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(server.address()).await.expect("the server listens");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    stream
}

/// Reads until this text has arrived. Returns all text.
async fn read_until(stream: &mut tokio::net::TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        let come = within(stream.read_buf(&mut read)).await.expect("the connection stays");
        assert_ne!(come, 0, "it ended after {:?}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).expect("text")
}

/// Reads the next item of a stream, which is an event.
async fn next_event(items: &mut EventReader<Incoming>) -> Message {
    match within(items.next()).await.expect("the stream continues").expect("no error") {
        Item::Event(event) => event,
        other => unreachable!("{other:?} is no event"),
    }
}

/// Reads the next item of a stream, which is its prelude.
async fn prelude(items: &mut EventReader<Incoming>) {
    let first = within(items.next()).await.expect("the stream continues").expect("no error");
    assert_eq!(first, Item::Comment(String::new()));
}

/// A count of live values.
#[derive(Debug, Clone, Default)]
struct Alive(Arc<AtomicUsize>);

#[derive(Debug)]
struct Guard(Alive);

impl Alive {
    fn guard(&self) -> Guard {
        self.0.fetch_add(1, SeqCst);
        Guard(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    /// Waits until there are none.
    async fn gone(&self) {
        while self.count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}
