//! Ten thousand clients connect and leave at random points, and leave nothing behind.
//!
//! A test binary of its own, since it counts all memory of its process.

use std::{
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    task::JoinSet,
};
use tower::Layer;
use tower_sse::{
    BoxError, Event, Events, RequestHead, Source, SseLayer,
    observe::{Closed, Observer, StreamObserver},
    streams::Streams,
};
use tower_sse_e2e::{client::within, server::Server};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_leaving_clients_leave_nothing_behind() {
    // Memory that the process keeps after its first clients is not theirs: threads, the runtime's own tables.
    let seen = Seen::default();
    abandon(&seen, 0..500).await;

    let profiler = dhat::Profiler::builder().testing().build();
    abandon(&seen, 500..10_500).await;
    let left = dhat::HeapStats::get();
    drop(profiler);

    let Counts { asked, alive, opened, closed } = &*seen.counts;
    let [asked, opened, closed] = [asked, opened, closed].map(|count| count.load(SeqCst));
    println!("{asked} requests were read, {opened} streams opened; left: {left:?}");
    assert!(asked > 1000 && opened > 1000, "too few requests got that far to show anything");
    assert_eq!(closed, opened, "each opened stream is reported as closed");
    assert_eq!(alive.load(SeqCst), 0, "event services and streams");
    let of_key = |kind: usize| seen.streams.len_for_key(&format!("/{kind}"));
    assert_eq!((seen.streams.len(), (0..KINDS).map(of_key).sum::<usize>()), (0, 0), "permits");
    // A block for each stream would be thousands. The runtime and its threads keep one now and then.
    assert!(left.curr_blocks < 100 && left.curr_bytes < 100_000, "memory: {left:?}");
}

/// Serves these clients, until all their tasks have ended.
async fn abandon(seen: &Seen, clients: std::ops::Range<u64>) {
    let layer = SseLayer::from_fn({
        let seen = seen.clone();
        move |request| answer(seen.clone(), request)
    })
    .commit_after(Duration::from_millis(1))
    .streams(&seen.streams)
    .stream_key(|head| Some(head.uri().path().into()))
    .observer(seen.clone());
    let page = |_| future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("the page"))));
    let server = Server::hyper(layer.layer(tower::service_fn(page))).await.expect("a port");
    let address = server.address();

    let mut here = JoinSet::new();
    for client in clients {
        here.spawn(within(leave(address, client)));
        if here.len() == AT_ONCE {
            here.join_next().await.expect("a task is left").expect("the task does not panic");
        }
    }
    while let Some(left) = here.join_next().await {
        left.expect("the task does not panic");
    }
    within(server.stop()).await;
    within(no_task_is_left()).await;
}

/// On HTTP/2 each stream has a task beside that of its connection, and ends a moment after it.
async fn no_task_is_left() {
    while Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

/// An event service that answers late, never, or with one of several streams.
async fn answer(seen: Seen, request: Request<Incoming>) -> Events<impl Source> {
    let guard = seen.guard();
    let kind = request.uri().path()[1..].parse().unwrap_or(usize::MAX);
    match kind {
        NEVER => future::pending().await,
        LATE => tokio::task::yield_now().await,
        _ => {}
    }
    let event = Event::new("x".repeat(if kind == ENDLESS { 10_000 } else { 100 }));
    let items = match kind {
        ENDLESS => stream::iter(std::iter::repeat(event).map(Ok)).boxed(),
        FAILS => stream::iter([Ok(event), Err(BoxError::from("an error"))]).boxed(),
        _ => stream::iter([Ok(event)]).chain(stream::pending()).boxed(),
    };
    Events::new(items.map(move |item| {
        let _ = &guard;
        item
    }))
    .heartbeat(Duration::from_millis(1))
}

/// Sends a part of a request, or all of it, reads a part of the answer, or nothing, and leaves: properly, or by a reset.
async fn leave(address: SocketAddr, client: u64) {
    let mut dice = Dice { client, rolls: 0 };
    let kind = dice.roll(KINDS);
    let request = if dice.roll(2) == 0 { http1_request(kind) } else { http2_request(kind) };
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    // Half of the clients send all of it.
    let sent = dice.roll(2 * request.len()).min(request.len());
    let _ = stream.write_all(&request[..sent]).await;
    if sent == request.len() && dice.roll(4) > 0 {
        // The shortest answer is longer than a hundred bytes, the endless one continues to the end of the window.
        let wanted = dice.roll(if kind == ENDLESS { 60_000 } else { 100 });
        let mut read = 0;
        while read < wanted {
            read += stream.read(&mut [0; 4096]).await.expect("the server goes on");
        }
    }
    if dice.roll(2) == 0 {
        let _ = stream.set_zero_linger();
    }
}

fn http1_request(kind: usize) -> Vec<u8> {
    format!("GET /{kind} HTTP/1.1\r\nhost: test\r\naccept: text/event-stream\r\n\r\n").into()
}

/// The preface, empty settings, and a header block without compression (RFC 7541).
fn http2_request(kind: usize) -> Vec<u8> {
    let path = format!("/{kind}");
    let mut headers = vec![GET, HTTP];
    for (name, value) in [(&[PATH][..], path.as_bytes()), (&[AUTHORITY], b"test"), (&ACCEPT, b"text/event-stream")] {
        headers.extend_from_slice(name);
        headers.push(u8::try_from(value.len()).expect("short"));
        headers.extend_from_slice(value);
    }
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend_from_slice(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
    let len = u8::try_from(headers.len()).expect("short");
    request.extend_from_slice(&[0, 0, len, HEADERS, END_HEADERS_AND_STREAM, 0, 0, 0, 1]);
    request.extend_from_slice(&headers);
    request
}

/// The same seed for each run.
struct Dice {
    client: u64,
    rolls: u64,
}

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.rolls += 1;
        let mut hasher = DefaultHasher::new();
        (self.client, self.rolls).hash(&mut hasher);
        usize::try_from(hasher.finish() >> 32).expect("32 bits") % sides
    }
}

/// The counts of the crate's streams, and those of their own guards.
#[derive(Debug, Clone, Default)]
struct Seen {
    counts: Arc<Counts>,
    streams: Streams,
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU64,
    alive: AtomicI64,
    opened: AtomicU64,
    closed: AtomicU64,
}

impl Seen {
    fn guard(&self) -> Guard {
        self.counts.asked.fetch_add(1, SeqCst);
        self.counts.alive.fetch_add(1, SeqCst);
        Guard(self.clone())
    }
}

struct Guard(Seen);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.counts.alive.fetch_sub(1, SeqCst);
    }
}

impl Observer for Seen {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        self.counts.opened.fetch_add(1, SeqCst);
        Some(Box::new(self.clone()))
    }
}

impl StreamObserver for Seen {
    fn closed(&mut self, _: &Closed<'_>) {
        self.counts.closed.fetch_add(1, SeqCst);
    }
}

const AT_ONCE: usize = 64;

// The behaviour of the event service, by path.
const KINDS: usize = 5;
const NEVER: usize = 0;
const LATE: usize = 1;
const ENDLESS: usize = 2;
const FAILS: usize = 3;

// Entries of HPACK's static table, and literals with names from it.
const GET: u8 = 0x82;
const HTTP: u8 = 0x86;
const PATH: u8 = 0x04;
const AUTHORITY: u8 = 0x01;
const ACCEPT: [u8; 2] = [0x0f, 0x04];

// RFC 9113 §6.
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_HEADERS_AND_STREAM: u8 = 5;
