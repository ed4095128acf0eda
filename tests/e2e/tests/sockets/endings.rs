//! Errors and panics of a user's stream: what came before arrives, the end is clean, nobody else is hurt.

use std::task::Poll;

use futures_util::{
    StreamExt,
    future::lazy,
    stream::{self, BoxStream},
};
use http::{Method, StatusCode, Version};
use http_body_util::BodyExt;
use tokio::sync::mpsc::{self, UnboundedReceiver, unbounded_channel};
use tower_sse::{BoxError, Event, EventReader, Events, event_name};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

use super::{Alive, Guard, VERSIONS, next_event, prelude, serve};

const THREE: &str = ":\ndata: 1\n\ndata: 2\n\ndata: 3\n\n";
const FAILED: &str = "event: failed\ndata: sorry\n\n";

#[tokio::test]
async fn all_before_an_error_or_a_panic_arrives_and_the_connection_is_good_for_more() {
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
async fn the_other_streams_of_an_http_2_connection_go_on() {
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
        // The grenade explodes when its client leaves; the others have ended by themselves, or do so unread.
        drop(body);
        within(alive.gone()).await;
        sender.send(Event::new(path)).await.expect("the stream is open");
        assert_eq!(next_event(&mut live).await.data(), path);
    }
}

type Items = BoxStream<'static, Result<Event, BoxError>>;

/// Streams that end in each way, by path, and those at `/live`, which the test feeds.
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

/// Three events that are ready together, and then.
fn three_and<S>(then: S) -> impl stream::Stream<Item = Result<Event, BoxError>>
where
    S: stream::Stream<Item = Result<Event, BoxError>>,
{
    stream::iter(["1", "2", "3"]).map(|data| Ok(Event::new(data))).chain(then)
}

/// A silent stream whose destructor panics.
struct Grenade(#[expect(dead_code, reason = "it is counted")] Guard);

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

#[expect(clippy::panic, reason = "what happens then is what is tested")]
fn bug() -> ! {
    panic!("a bug")
}
