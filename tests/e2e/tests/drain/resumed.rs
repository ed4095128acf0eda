//! A client whose stream is drained resumes its topics, and has missed nothing.

use std::time::Duration;

use axum::Router;
use futures_util::{
    StreamExt,
    future::{join, join_all},
};
use http::{Request, Version};
use http_body_util::Empty;
use tokio::time::sleep;
use tower_sse::{
    Event, SseLayer,
    decode::{EventReader, Item},
    hub::{Hub, Subscribe, Topic},
    streams::Streams,
};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

/// Starts a server of a hub, until it is drained.
async fn serves(hub: &Hub) -> (Server, Streams) {
    let streams = Streams::new();
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("news"))).streams(&streams);
    (Server::axum(Router::new().layer(layer)).await.unwrap(), streams)
}

/// Returns the data of events up to this, or to the end, and the id to resume after; another event is given by its name.
async fn read(
    server: &Server,
    version: Version,
    after: &str,
    until: &str,
    streams: Option<&Streams>,
) -> (Vec<String>, String) {
    let mut client = within(Client::connect(server.address(), version)).await.unwrap();
    let mut request = Request::get("/").header("accept", "text/event-stream");
    if !after.is_empty() {
        request = request.header("last-event-id", after);
    }
    let response = within(client.send(request.body(Empty::new()).unwrap())).await.unwrap();
    let mut reader = Box::pin(EventReader::new(response.into_body()));
    let mut seen = Vec::new();
    while let Some(item) = within(reader.next()).await {
        if let Item::Event(message) = item.expect("a clean end") {
            seen.push(message.name().map_or_else(|| message.data().to_owned(), |name| name.to_string()));
        }
        if seen.last().is_some_and(|last| last == until) {
            let Some(streams) = streams.filter(|streams| !streams.is_draining()) else { break };
            streams.start_drain();
        }
    }
    (seen, reader.last_event_id().to_owned())
}

fn publish(topic: &Topic, numbers: std::ops::Range<usize>) {
    for number in numbers {
        topic.publish(Event::new(number.to_string())).try_result().unwrap();
    }
}

async fn publish_when_somebody_reads(topic: Topic) {
    while topic.presence().count() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    publish(&topic, 0..100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_resumes_after_a_drained_connection_without_loss() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let hub = Hub::new();
        let topic = hub.topic("news").unwrap();
        let (first, streams) = serves(&hub).await;
        let publisher = tokio::spawn(publish_when_somebody_reads(topic.clone()));
        let (mut seen, last) = read(&first, version, "", "99", Some(&streams)).await;
        publisher.await.unwrap();
        within(streams.drain(Duration::from_secs(20))).await;
        assert_eq!(streams.len(), 0);
        // While no client reads.
        publish(&topic, 100..200);
        let (second, _) = serves(&hub).await;
        let (more, _) = read(&second, version, &last, "199", None).await;
        seen.extend(more);
        let expected = std::iter::once("subscribed".to_owned()).chain((0..200).map(|number| number.to_string()));
        assert_eq!(seen, expected.collect::<Vec<_>>(), "no gap, no duplicate");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_storm_of_reconnects_each_client_has_every_event_once() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let hub = Hub::new();
        let topic = hub.topic("news").unwrap();
        let ((first, streams), (second, _)) = (serves(&hub).await, serves(&hub).await);
        let clients = (0..CLIENTS).map(|_| read_from_both(&first, &second, version));
        let (all, ()) = join(join_all(clients), drain_while_publishing(&topic, &streams)).await;
        let numbers = (0..PUBLISHED).map(|number| number.to_string());
        let expected: Vec<_> = std::iter::once("subscribed".to_owned()).chain(numbers).collect();
        for (client, seen) in all.into_iter().enumerate() {
            assert_eq!(seen, expected, "client {client} over {version:?}: no gap, nothing twice");
        }
    }
}

/// Reads the first server to the end of its stream, and then the second one, up to the last event.
async fn read_from_both(first: &Server, second: &Server, version: Version) -> Vec<String> {
    let (mut seen, last) = read(first, version, "", TO_THE_END, None).await;
    let (more, _) = read(second, version, &last, &(PUBLISHED - 1).to_string(), None).await;
    seen.extend(more);
    seen
}

/// Publishes before the drain, and on while streams end and clients come back.
async fn drain_while_publishing(topic: &Topic, streams: &Streams) {
    while topic.presence().count() < CLIENTS {
        sleep(Duration::from_millis(1)).await;
    }
    publish(topic, 0..100);
    streams.start_drain();
    for number in 100..PUBLISHED {
        publish(topic, number..number + 1);
        tokio::task::yield_now().await;
    }
    let report = within(streams.drain(Duration::from_secs(60))).await;
    assert_eq!(report.aborted, 0, "{report:?}");
}

const CLIENTS: usize = 200;
const PUBLISHED: usize = 300;

/// The data of no event.
const TO_THE_END: &str = "";
