//! No bytes wait for those that follow.

use futures_util::stream;
use http::Method;
use http_body_util::BodyExt;
use tokio::io::AsyncReadExt;
use tower_sse::{Event, EventSender, Events, decode::EventReader};
use tower_sse_e2e::client::{Client, within};

use super::{VERSIONS, next_event, prelude, raw, serve};

#[tokio::test]
async fn prelude_arrives_with_the_head_of_an_idle_source() {
    let server = serve(|_| Events::new(stream::pending::<Event>())).await;
    for version in VERSIONS {
        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        let mut body = within(client.ask(Method::GET, "/")).await.expect("an answer").into_body();
        let first = within(body.frame()).await.expect("a frame").expect("no error");
        assert_eq!(first.into_data().expect("data"), ":\n", "{version:?}");
    }
}

#[tokio::test]
async fn head_and_prelude_are_one_write() {
    let server = serve(|_| Events::new(stream::pending::<Event>())).await;
    let mut stream = raw(&server, "GET / HTTP/1.0\r\naccept: text/event-stream\r\n\r\n").await;
    let mut buffer = [0; 4096];
    let read = within(stream.read(&mut buffer)).await.expect("the connection stays");
    assert!(buffer[..read].ends_with(b"\r\n\r\n:\n"), "{:?}", String::from_utf8_lossy(&buffer[..read]));
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_made() {
    let (made, mut senders) = tokio::sync::mpsc::unbounded_channel::<EventSender>();
    let server = serve(move |_| {
        let (sender, events) = Events::channel(1);
        made.send(sender).expect("the test waits");
        events
    })
    .await;
    for version in VERSIONS {
        let mut client = Client::connect(server.address(), version).await.expect("a connection");
        let response = within(client.ask(Method::GET, "/")).await.expect("an answer");
        let sender = senders.recv().await.expect("a stream has opened");
        let mut items = EventReader::new(response.into_body());
        prelude(&mut items).await;
        for number in 0..1000 {
            sender.try_send(Event::new(number.to_string())).expect("the one before has been taken");
            assert_eq!(next_event(&mut items).await.data(), number.to_string(), "{version:?}");
        }
    }
}
