//! Errors and panics of a user's stream: earlier events arrive, the end is clean, other streams continue.

use std::task::Poll;

use futures_util::{
    StreamExt,
    future::lazy,
    stream::{self, BoxStream},
};
use http::{Method, StatusCode, Version};
use http_body_util::BodyExt;
use tokio::sync::mpsc::{self, UnboundedReceiver, unbounded_channel};
use tower::Layer;
use tower_sse::{BoxError, Event, Events, SseLayer, decode::EventReader, event_name};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

use super::{Alive, Guard, VERSIONS, next_event, prelude, serve};

const THREE: &str = ":\ndata: 1\n\ndata: 2\n\ndata: 3\n\n";
const FAILED: &str = "event: failed\ndata: sorry\n\n";

#[tokio::test]
async fn events_before_an_error_arrive_and_the_connection_survives() {
    let (server, _) = explosive_server(&Alive::default()).await;
    for version in VERSIONS {
        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        for (path, last) in [("/error", FAILED), ("/panic", FAILED), ("/end", "")] {
            let response = within(client.ask(Method::GET, path)).await.expect("the same connection");
            assert_eq!(response.status(), StatusCode::OK);
            let body = within(response.into_body().collect()).await.expect("a clean end").to_bytes();
            assert_eq!(body, format!("{THREE}{last}"), "{path} over {version:?}");
        }
    }
}

#[tokio::test]
async fn other_streams_of_an_http_2_connection_continue() {
    let alive = Alive::default();
    let (server, mut senders) = explosive_server(&alive).await;
    let mut client = Client::connect(server.address(), Version::HTTP_2).await.expect("a connection");
    let live = within(client.ask(Method::GET, "/live")).await.expect("an answer");
    let sender = senders.recv().await.expect("the stream is open");
    let mut live = EventReader::new(live.into_body());
    prelude(&mut live).await;

    for path in ["/error", "/panic", "/grenade", "/end"] {
        let mut body = within(client.ask(Method::GET, path)).await.expect("the same connection").into_body();
        within(body.frame()).await.expect("a prelude").expect("no error");
        // The grenade explodes when its client leaves; the others have ended, or end unread.
        drop(body);
        within(alive.gone()).await;
        sender.send(Event::new(path)).await.expect("the stream is open");
        assert_eq!(next_event(&mut live).await.data(), path);
    }
}

/// A client that would take a clean end for the whole answer receives an error, after all events before it.
#[tokio::test]
async fn a_post_gets_all_events_and_the_last_one_before_it_is_aborted() {
    let server = aborting_server().await;
    for (version, path) in each_version(&["/error", "/panic", "/lifetime"]) {
        for method in [Method::POST, Method::GET] {
            let mut client = Client::connect(server.address(), version).await.expect("a connection");
            let response = within(client.ask(method.clone(), path)).await.expect("an answer");
            assert_eq!(response.status(), StatusCode::OK);
            let (body, error) = within(all(response.into_body(), |_| std::future::ready(()))).await;
            let begins = format!("{THREE}{}", last_of(path));
            assert!(
                body.starts_with(begins.as_bytes()),
                "{path} over {version:?}: {:?}",
                String::from_utf8_lossy(&body)
            );
            assert_eq!(error.is_some(), method == Method::POST, "{path} over {version:?}: {error:?}");
        }
    }
}

/// hyper buffers frames of a client that reads slowly. An error that overtook them would cost their events.
#[tokio::test]
async fn slow_reader_receives_buffered_bytes_before_an_abort() {
    let server = aborting_server().await;
    for (version, path) in each_version(&["/much", "/much-and-silent"]) {
        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        let response = within(client.ask(Method::POST, path)).await.expect("an answer");
        let mut read = 0;
        let pause = |bytes: usize| {
            read += bytes;
            // Longer than the time that an abort waits, where it matters.
            let millis = u64::from(read > MUCH * 9 / 10);
            tokio::time::sleep(std::time::Duration::from_millis(millis))
        };
        let (body, error) = within(all(response.into_body(), pause)).await;
        assert!(error.is_some(), "{path} over {version:?}");
        let events = body.windows(2).filter(|bytes| bytes == b"\n\n").count();
        let expected = MUCH / EVENT + usize::from(path == "/much");
        assert_eq!(events, expected, "{path} over {version:?}: {} bytes", body.len());
    }
}

/// Returns the end of a stream that ends early.
fn last_of(path: &str) -> &'static str {
    if path == "/lifetime" { "retry: " } else { FAILED }
}

/// Returns each of these paths, over each version of HTTP.
fn each_version(paths: &'static [&'static str]) -> impl Iterator<Item = (Version, &'static str)> {
    VERSIONS.into_iter().flat_map(|version| paths.iter().map(move |&path| (version, path)))
}

/// Returns all data of a body, and its error.
async fn all<F: Future<Output = ()>>(
    mut body: hyper::body::Incoming,
    mut pause: impl FnMut(usize) -> F,
) -> (Vec<u8>, Option<hyper::Error>) {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let data = frame.into_data().unwrap_or_default();
                all.extend_from_slice(&data);
                pause(data.len()).await;
            }
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

/// Returns streams that end early, by path, for any method.
async fn aborting_server() -> Server {
    let events = |request: http::Request<hyper::body::Incoming>| {
        let path = request.uri().path().to_owned();
        let much = || stream::iter((0..MUCH / EVENT).map(|_| Ok(Event::new("x".repeat(EVENT - "data: \n\n".len())))));
        let gone = || stream::iter([Err("the database is gone".into())]);
        let items: Items = match &*path {
            "/error" => three_and(gone()).boxed(),
            "/panic" => three_and(stream::once(lazy(|_| bug()))).boxed(),
            "/lifetime" => three_and(stream::pending()).boxed(),
            _ => much().chain(gone()).boxed(),
        };
        let millis = if path == "/lifetime" { 200 } else { 600_000 };
        let events = Events::new(items).lifetime(std::time::Duration::from_millis(millis));
        let last = Event::builder().name(event_name!("failed")).data("sorry");
        std::future::ready(if path == "/much-and-silent" { events } else { events.on_failure(last) })
    };
    let layer = SseLayer::from_fn(events).methods([Method::GET, Method::POST]);
    Server::hyper(layer.layer(tower::service_fn(super::page))).await.expect("a port")
}

/// More than hyper and the windows of HTTP/2 buffer.
const MUCH: usize = 8 << 20;
const EVENT: usize = 1 << 10;

type Items = BoxStream<'static, Result<Event, BoxError>>;

/// Returns streams that end in each way, by path, and those at `/live`, which the test writes.
async fn explosive_server(alive: &Alive) -> (Server, UnboundedReceiver<mpsc::Sender<Event>>) {
    let (made, senders) = unbounded_channel();
    let alive = alive.clone();
    let server = serve(move |request| {
        let items: Items = match request.uri().path() {
            "/error" => three_and(stream::iter([Err("the database is gone".into())])).boxed(),
            "/panic" => three_and(stream::once(lazy(|_| bug()))).boxed(),
            "/end" => three_and(stream::empty()).boxed(),
            "/grenade" => Grenade(alive.guard()).boxed(),
            _ => {
                let (sender, mut receiver) = mpsc::channel(1);
                made.send(sender).expect("the test waits");
                stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok).boxed()
            }
        };
        Events::new(items).on_failure(Event::builder().name(event_name!("failed")).data("sorry"))
    })
    .await;
    (server, senders)
}

/// Returns three events that are ready together, and then this end.
fn three_and<S>(then: S) -> impl stream::Stream<Item = Result<Event, BoxError>>
where
    S: stream::Stream<Item = Result<Event, BoxError>>,
{
    stream::iter(["1", "2", "3"]).map(|data| Ok(Event::new(data))).chain(then)
}

/// A silent stream whose destructor panics.
struct Grenade(#[expect(dead_code, reason = "its drop is counted")] Guard);

impl stream::Stream for Grenade {
    type Item = Result<Event, BoxError>;

    fn poll_next(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

impl Drop for Grenade {
    fn drop(&mut self) {
        bug();
    }
}

#[expect(clippy::panic, reason = "the test is about the panic")]
fn bug() -> ! {
    panic!("a bug")
}
