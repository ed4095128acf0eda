use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet, time::Instant};
use tower_sse_e2e::client::within;

use crate::server::Server;

const STREAMS: usize = 1000;

async fn server() -> Server {
    let settings = [("STREAMS_PER_CLIENT", "2000"), ("OPENS_PER_MINUTE", "2000"), ("DRAIN_SECONDS", "3600")];
    Server::start(&settings).await
}

/// Sends the signal, and waits for the end of the process, long before its deadline, and of all streams.
async fn leaves_as_soon_as_all_have_ended(mut server: Server, mut readers: JoinSet<String>) {
    server.metric_becomes("sse_streams_open", STREAMS as f64).await;
    let begin = Instant::now();
    server.process.signal("TERM").await.unwrap();
    let status = server.process.ended().await.unwrap();
    let took = begin.elapsed();
    println!("left {took:?} after the signal, with {STREAMS} streams");
    assert!(status.success(), "{status}");

    let mut retries = HashSet::new();
    while let Some(text) = readers.join_next().await {
        let text = text.expect("each stream ends cleanly");
        let retry = text.trim_end().rsplit_once("\nretry: ").expect("a drained stream ends with a retry").1;
        retries.insert(retry.parse::<u64>().expect("the retry is a number"));
    }
    // Between the set minimum, 3 s by default, and 5 s more.
    assert!(retries.iter().all(|retry| (3000..=8000).contains(retry)), "{retries:?}");
    assert!(retries.len() > STREAMS / 4, "only {} different times to come back", retries.len());
    let left = &server.logged("left").await[0]["fields"];
    assert_eq!((&left["drained.ended"], &left["drained.aborted"]), (&STREAMS.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_end_cleanly_at_sigterm() {
    let server = server().await;
    let streams: Vec<_> = stream::iter(0..STREAMS).map(|_| server.events(&[])).buffer_unordered(50).collect().await;
    let mut readers = JoinSet::new();
    for mut stream in streams {
        readers.spawn(async move { stream.rest().await.to_owned() });
    }
    leaves_as_soon_as_all_have_ended(server, readers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_http2_streams_end_cleanly_at_sigterm() {
    let server = server().await;
    let mut readers = JoinSet::new();
    for _ in 0..STREAMS / 100 {
        let io = TokioIo::new(TcpStream::connect(&server.address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..100 {
            let uri = format!("http://{}/events", server.address);
            let request = Request::get(uri).header("accept", "text/event-stream").body(Empty::<Bytes>::new()).unwrap();
            let response = within(sender.send_request(request)).await.unwrap();
            assert_eq!(response.status(), 200);
            readers.spawn(read(response.into_body()));
        }
    }
    leaves_as_soon_as_all_have_ended(server, readers).await;
}

async fn read(body: Incoming) -> String {
    let body = within(body.collect()).await.expect("the stream ends cleanly");
    String::from_utf8(body.to_bytes().into()).unwrap()
}

/// A second signal ends the process at once.
#[tokio::test]
async fn second_signal_ends_the_server_at_once() {
    let mut server = Server::start(&[("LEAVE_AFTER_SECONDS", "3600"), ("DRAIN_SECONDS", "3600")]).await;
    let _stream = server.events(&[]).await;
    server.process.signal("TERM").await.unwrap();
    server.is_leaving().await;
    server.process.signal("INT").await.unwrap();
    assert!(server.process.ended().await.unwrap().success());
    assert_eq!(server.logged("left at once").await.len(), 1);
}
