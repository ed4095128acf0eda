//! Streams as operators see them: metrics in a recorder of the metrics facade, and spans in a subscriber.
#![cfg(test)]

mod numbers;
mod spans;

use std::{io, time::Duration};

use futures_util::{StreamExt, stream};
use http::{Method, Request};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_sse::{
    BoxError, Event, Events, Refusal, Source, SseLayer,
    backplane::{Link, LinkObserver},
    hub::{Hub, LagPolicy, Retention, Subscribe},
    observe::Observer,
    streams::Streams,
    testing::TestStream,
};

const SECOND: Duration = Duration::from_secs(1);

/// Two events, ten seconds with two heartbeats only (each is sent after 3.6 to 4.5 s), an error.
fn fails() -> Events<impl Source> {
    let broken = stream::once(async {
        sleep(10 * SECOND).await;
        Err(BoxError::from("the database is gone"))
    });
    Events::new(stream::iter(["a", "b"]).map(|data| Ok(Event::new(data))).chain(broken))
        .heartbeat(Duration::from_millis(4_500))
}

/// A page for all other requests.
macro_rules! page {
    () => {
        tower::service_fn(|_: http::Request<String>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::from("the page")))
        })
    };
}
use page;

/// Shows this observer a stream that fails, one whose client leaves, one with a gap, and a refusal for each of two methods.
async fn show(observer: impl Observer + Clone) {
    let layer = SseLayer::from_fn(|_: Request<String>| async { fails() }).observer(observer.clone());
    let service = layer.layer(page!());
    let mut read = TestStream::get(service.clone(), "/fails?ticket=secret", String::new()).await.unwrap();
    assert_eq!(read.collect().await.len(), 2);
    let mut leaves = TestStream::get(service, "/leaves", String::new()).await.unwrap();
    leaves.message().await.unwrap();
    drop(leaves);

    let hub = Hub::builder().retention(Retention::new().events(2)).build();
    let topic = hub.topic("a").unwrap();
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("a").lag(LagPolicy::Skip))).observer(observer.clone());
    let mut skips = TestStream::get(layer.layer(page!()), "/skips", String::new()).await.unwrap();
    skips.message().await.unwrap();
    for number in 0..5 {
        topic.publish(Event::new(number.to_string())).try_result().unwrap();
    }
    assert!(!skips.message().await.unwrap().data().is_empty(), "the gap");
    topic.close(None).try_result().unwrap();
    skips.collect().await;

    let full = Streams::builder().max_streams(0).build();
    let layer = SseLayer::from_fn(|_: Request<String>| async { fails() }).streams(&full).observer(observer.clone());
    let service = layer.methods([Method::GET, Method::POST]).layer(page!());
    for method in ["GET", "POST"] {
        let request = Request::builder().method(method).uri("/full").header("accept", "text/event-stream");
        service.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap();
    }
    let layer = SseLayer::from_fn(|_: Request<String>| async { no() }).observer(observer);
    let request = Request::get("/no").header("accept", "text/event-stream").body(String::new()).unwrap();
    layer.layer(page!()).oneshot(request).await.unwrap();
}

/// Shows this observer a hub with a backplane, which is away twice, and once has lost everything.
fn show_link(observer: &impl LinkObserver) {
    let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens");
    for _ in 0..2 {
        observer.link(Link::Up);
        observer.read(3, Duration::from_millis(250));
        observer.link(Link::Down);
        observer.failed(&refused);
    }
    observer.link(Link::Up);
    observer.skipped("17-0", "it has no topic");
    observer.renewed("another history has begun");
}

fn no() -> Result<Events<tower_sse::source::Never>, Refusal> {
    Err(Refusal::status(http::StatusCode::FORBIDDEN).with_source("no ticket"))
}
