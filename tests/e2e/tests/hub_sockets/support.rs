//! A hub behind a server, and a client of it.

use http::{HeaderValue, Request, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use tower::Layer;
use tower_sse::{
    SseLayer,
    decode::{EventReader, Item, Message},
    hub::{Hub, Subscribe},
};
use tower_sse_e2e::{
    client::{Client, within},
    server::Server,
};

/// Serves one topic, `news`, to all clients.
pub(crate) async fn serve(hub: &Hub, subscribe: impl Fn() -> Subscribe + Clone + Send + 'static) -> Server {
    let layer = SseLayer::new(hub.service(move |_| subscribe()));
    let inside = tower::service_fn(|_: Request<Incoming>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
    });
    Server::hyper(layer.layer(inside)).await.expect("a port is free")
}

/// A connection of its own, which requests the events after this id.
pub(crate) struct Watcher {
    _client: Client,
    reader: EventReader<Incoming>,
}

impl Watcher {
    pub(crate) async fn open(server: &Server, last_event_id: Option<&str>) -> Self {
        let mut client = within(Client::connect(server.address(), Version::HTTP_11)).await.expect("the server listens");
        let mut request = Request::get("/").header("accept", "text/event-stream");
        if let Some(id) = last_event_id.map(|id| HeaderValue::from_str(id).expect("an id is a header")) {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Empty::new()).expect("the request is valid");
        let response = within(client.send(request)).await.expect("the service answers");
        assert_eq!(response.status(), 200);
        Self { _client: client, reader: EventReader::new(response.into_body()) }
    }

    /// Returns the next event, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        use futures_util::StreamExt;
        loop {
            match within(self.reader.next()).await {
                Some(Ok(Item::Event(message))) => return Some(message),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Returns the next event in short: its name, if it has one, or its data.
    pub(crate) async fn word(&mut self) -> String {
        let message = self.next().await.expect("the stream continues");
        message.name().map_or_else(|| message.data().to_owned(), ToString::to_string)
    }

    /// Returns the last id with which the client would reconnect.
    pub(crate) fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }
}
