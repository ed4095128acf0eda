//! tonic's own age of a connection.

use std::{future::ready, time::Duration};

use http::{Method, Version};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower_sse::{Event, EventSender, Events, SseLayer};
use tower_sse_e2e::{
    client::{Client, within},
    server,
};

/// A server whose connections soon reach their age, and the senders of its streams.
async fn server() -> (server::Server, mpsc::UnboundedReceiver<EventSender>) {
    let (senders, opened) = mpsc::unbounded_channel();
    let layer = SseLayer::from_fn(move |_: http::Request<_>| {
        let (sender, events) = Events::channel(1);
        senders.send(sender).expect("the test runs");
        ready(events)
    });
    let start = server::Server::start(|listener, _| async {
        let mut server = Server::builder().accept_http1(true).max_connection_age(AGE).layer(layer);
        let incoming = TcpIncoming::from(listener);
        server.add_routes(Routes::default()).serve_with_incoming(incoming).await.expect("the server runs");
    });
    (start.await.unwrap(), opened)
}

/// Sends requests until the connection accepts no more.
async fn is_closed(client: &mut Client) {
    while within(client.ask(Method::HEAD, "/")).await.is_ok() {}
}

#[tokio::test]
async fn tonic_max_connection_age_ends_a_connection_with_its_stream() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (server, mut opened) = server().await;
        let mut client = Client::connect(server.address(), version).await.unwrap();
        let mut body = client.ask(Method::GET, "/").await.unwrap().into_body();
        let sender = opened.recv().await.unwrap();
        if version == Version::HTTP_2 {
            is_closed(&mut client).await;
        }
        sender.send(Event::new("still there")).await.unwrap();
        drop(sender);
        let mut read = Vec::new();
        while let Some(frame) = within(body.frame()).await {
            read.extend_from_slice(&frame.expect("a clean end").into_data().expect("data"));
        }
        assert!(String::from_utf8(read).unwrap().contains("data: still there\n"), "{version:?}");
        // Over HTTP/1.1 the age may be over only now.
        is_closed(&mut client).await;
    }
}

const AGE: Duration = Duration::from_millis(100);
