//! tonic's own age of a connection.

use std::time::Duration;

use http::{Method, Version};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower_sse::{Event, Events, SseLayer};
use tower_sse_e2e::{
    client::{Client, within},
    server,
};

#[tokio::test]
async fn max_connection_age_of_tonic_ends_a_connection_with_its_stream() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (senders, mut opened) = mpsc::unbounded_channel();
        let layer = SseLayer::from_fn(move |_: http::Request<_>| {
            let (sender, events) = Events::channel(1);
            senders.send(sender).expect("the test runs");
            async { events }
        });
        let server = server::Server::start(|listener, _| async {
            let mut server = Server::builder().accept_http1(true).max_connection_age(AGE).layer(layer);
            let incoming = TcpIncoming::from(listener);
            server.add_routes(Routes::default()).serve_with_incoming(incoming).await.expect("it serves");
        });
        let server = server.await.unwrap();
        let mut client = Client::connect(server.address(), version).await.unwrap();
        let mut body = client.ask(Method::GET, "/").await.unwrap().into_body();
        let sender = opened.recv().await.unwrap();
        if version == Version::HTTP_2 {
            // Until GOAWAY has come, requests are taken.
            while within(client.ask(Method::HEAD, "/")).await.is_ok() {}
        }
        sender.send(Event::new("still there")).await.unwrap();
        drop(sender);
        let mut read = Vec::new();
        while let Some(frame) = within(body.frame()).await {
            read.extend_from_slice(&frame.expect("a clean end").into_data().expect("data"));
        }
        assert!(String::from_utf8(read).unwrap().contains("data: still there\n"), "{version:?}");
        // Over HTTP/1.1 the age may be over only now.
        while within(client.ask(Method::HEAD, "/")).await.is_ok() {}
    }
}

const AGE: Duration = Duration::from_millis(100);
