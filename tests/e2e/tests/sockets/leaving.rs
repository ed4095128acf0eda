//! Clients that leave, and clients that stop reading.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::stream;
use http::{Method, Version};
use http_body_util::BodyExt;
use tokio::sync::mpsc::unbounded_channel;
use tower::Layer;
use tower_sse::{
    Event, Events, RequestHead, SseLayer,
    decode::EventReader,
    observe::{Closed, Observer, Reason, StreamObserver},
};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

use super::{VERSIONS, next_event, page, prelude, serve};

#[tokio::test]
async fn idle_sender_detects_that_its_client_has_left() {
    let (made, mut senders) = unbounded_channel();
    let server = serve(move |_| {
        let (sender, events) = Events::channel(1);
        made.send(sender).expect("the test waits");
        events
    })
    .await;
    for version in VERSIONS {
        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        let mut body = within(client.ask(Method::GET, "/")).await.expect("an answer").into_body();
        within(body.frame()).await.expect("a prelude").expect("no error");
        let sender = senders.recv().await.expect("a stream is open");
        assert!(!sender.is_closed(), "{version:?}");
        if version == Version::HTTP_2 {
            // The connection stays open, the stream is reset.
            drop(body);
        } else {
            drop(client);
        }
        within(sender.closed()).await;
        assert!(sender.try_send(Event::new("late")).is_err(), "{version:?}");
    }
}

/// Returns endless events of 1 KiB, and counts them.
async fn endless_server(closed: Reasons) -> (Server, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    let layer = SseLayer::from_fn(move |_| {
        let count = Arc::clone(&count);
        let event = Event::new("x".repeat(EVENT_BYTES - "data: \n\n".len()));
        let numbered = move || Some(event.clone().with_id(count.fetch_add(1, SeqCst)));
        std::future::ready(Events::new(stream::iter(std::iter::from_fn(numbered))))
    })
    .when(|head| head.uri().path() == "/endless")
    .observer(closed);
    let server = Server::hyper(layer.layer(tower::service_fn(page))).await.expect("a port");
    (server, taken)
}

#[tokio::test]
async fn stalled_reader_buffers_a_bounded_part_and_gets_the_rest() {
    for version in VERSIONS {
        let (server, taken) = endless_server(Reasons::default()).await;
        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        let stalled = within(client.ask(Method::GET, "/endless")).await.expect("an answer");
        others_are_served(&server, &mut client, version).await;
        let held = taken.load(SeqCst) * EVENT_BYTES as u64;
        assert!((1..HELD_BYTES).contains(&held), "{held} bytes over {version:?}");

        let mut items = EventReader::new(stalled.into_body());
        prelude(&mut items).await;
        for number in 0..held / EVENT_BYTES as u64 * 2 {
            assert_eq!(next_event(&mut items).await.id().expect("an id").as_str(), number.to_string(), "{version:?}");
        }
    }
}

#[tokio::test]
async fn stalled_reader_is_distinguished_from_one_that_left() {
    let closed = Reasons::default();
    let (server, _) = endless_server(closed.clone()).await;
    for (stalled_for, reason) in [(0, Reason::ClientGone), (301, Reason::Stalled)] {
        let mut client = Client::connect(server.address(), Version::HTTP_2).await.expect("a connection");
        let body = within(client.ask(Method::GET, "/endless")).await.expect("an answer").into_body();
        others_are_served(&server, &mut client, Version::HTTP_2).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(stalled_for)).await;
        tokio::time::resume();
        drop(body);
        assert_eq!(within(closed.next()).await, reason, "after {stalled_for} s");
    }
}

/// Sends so many requests that any background work of a server has happened: on the same connection, if it can have
/// more than one at a time.
async fn others_are_served(server: &Server, client: &mut Client, version: Version) {
    let mut other = Client::connect(server.address(), version).await.expect("a connection");
    let client = if version == Version::HTTP_2 { client } else { &mut other };
    for _ in 0..200 {
        let response = within(client.ask(Method::GET, "/page")).await.expect("an answer");
        assert_eq!(within(response.into_body().collect()).await.expect("the page").to_bytes(), "the page");
    }
}

/// The reasons for which streams ended.
#[derive(Debug, Clone, Default)]
struct Reasons(Arc<Mutex<Vec<Reason>>>);

impl Reasons {
    async fn next(&self) -> Reason {
        loop {
            if let Some(reason) = self.0.lock().expect("no thread panicked").pop() {
                return reason;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Observer for Reasons {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        Some(Box::new(self.clone()))
    }
}

impl StreamObserver for Reasons {
    fn closed(&mut self, closed: &Closed<'_>) {
        self.0.lock().expect("no thread panicked").push(closed.reason);
    }
}

const EVENT_BYTES: usize = 1024;

/// Sixteen times the kernel's buffers for a connection on loopback.
const HELD_BYTES: u64 = 64 << 20;
