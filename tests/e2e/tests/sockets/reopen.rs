//! Clients that close a stream and open another one at once, with a limit of one: the slot of the first is released a moment
//! after the second is requested.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::stream;
use http::{Method, Response, Version};
use http_body_util::BodyExt;
use tower::{Layer, service_fn};
use tower_sse::{
    Event, Events, Refusal, RequestHead, SseLayer,
    observe::{Observer, StreamObserver},
    streams::Streams,
};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

use super::{VERSIONS, page};

/// Counts refusals.
#[derive(Clone, Default)]
struct Refused(Arc<AtomicUsize>);

impl Observer for Refused {
    fn opened(&self, _: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        None
    }

    fn refused(&self, _: &RequestHead<'_>, _: &Refusal) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn silent() -> Events<impl tower_sse::Source> {
    Events::new(stream::pending::<Event>())
}

fn one_each<E>(layer: SseLayer<E>, refused: &Refused) -> SseLayer<E> {
    let streams = Streams::builder().max_per_key(1).build();
    layer.streams(&streams).stream_key(|_| Some("a client".into())).observer(refused.clone())
}

/// Returns the refusals of a hundred openings, in the best of several rounds. A request waits 80 ms for a slot: on a busy
/// machine, the end of the stream before may be detected later than that.
async fn fewest_refusals(server: &Server, version: Version, refused: &Refused) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..ROUNDS {
        fewest = fewest.min(refusals(server, version, refused).await);
        if fewest == 0 {
            break;
        }
    }
    fewest
}

/// Returns the refusals of a hundred openings.
async fn refusals(server: &Server, version: Version, refused: &Refused) -> usize {
    let before = refused.0.load(SeqCst);
    let mut client = Client::connect(server.address(), version).await.expect("a connection");
    for _ in 0..100 {
        let mut body = within(client.ask(Method::GET, "/")).await.expect("an answer").into_body();
        within(body.frame()).await.expect("a prelude").expect("no error");
        // Over HTTP/2 the stream is reset and the connection stays open, over HTTP/1.1 it is closed with the stream.
        drop(body);
        if version != Version::HTTP_2 {
            drop(client);
            client = Client::connect(server.address(), version).await.expect("a connection");
        }
    }
    refused.0.load(SeqCst) - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_reopens_its_only_stream_is_not_refused() {
    let refused = Refused::default();
    let served = one_each(SseLayer::from_fn(|_| async { silent() }), &refused).layer(service_fn(page));
    let handler = service_fn(async |_: http::Request<_>| Ok::<_, Infallible>(Response::from(silent())));
    let decorated = one_each(SseLayer::decorate(), &refused).layer(handler);
    let servers = [Server::hyper(served).await.expect("a port"), Server::hyper(decorated).await.expect("a port")];
    for (server, version) in servers.iter().flat_map(|server| VERSIONS.map(|version| (server, version))) {
        let fewest = fewest_refusals(server, version, &refused).await;
        assert!(fewest <= BUSY, "{fewest} over {version:?}");
    }
}

const ROUNDS: usize = 10;

/// The refusals that a busy machine may cost in each round. Without the wait it was 13 at least.
const BUSY: usize = 3;
