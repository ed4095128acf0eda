use http::StatusCode;
use hyper::body::Incoming;
use tower_sse::decode::{EventReader, Message};
use tower_sse_e2e::{example, process::Process};

use crate::support::{events, get, get_events, next, send};

struct Cores {
    process: Process,
    url: String,
}

impl Cores {
    async fn start() -> Self {
        let mut command = example::command("cores").unwrap();
        command.env("PORT", "0").env("CORES", "2");
        let mut process = Process::start(command).unwrap();
        let url = process.line("listening on ").await.unwrap();
        Self { process, url }
    }

    /// Opens a stream. The connection of the next one is with the other runtime.
    async fn stream(&self) -> EventReader<Incoming> {
        events(send(get_events(&self.url)).await)
    }
}

/// The next event with data, which the greeting of a topic has not.
async fn next_published(stream: &mut EventReader<Incoming>) -> Option<Message> {
    loop {
        let event = next(stream).await?;
        if !event.data().is_empty() {
            return Some(event);
        }
    }
}

#[tokio::test]
async fn streams_of_both_runtimes_get_the_same_events_in_the_same_order() {
    let cores = Cores::start().await;
    let (mut one, mut other) = (cores.stream().await, cores.stream().await);
    let mut theirs = next_published(&mut other).await.unwrap();
    let mut ours = next_published(&mut one).await.unwrap();
    // The first stream was there earlier.
    while ours.id() != theirs.id() {
        ours = next_published(&mut one).await.unwrap();
    }
    for _ in 0..2 {
        ours = next_published(&mut one).await.unwrap();
        theirs = next_published(&mut other).await.unwrap();
        assert_eq!((ours.id(), ours.data()), (theirs.id(), theirs.data()));
    }
}

#[tokio::test]
async fn sigterm_ends_the_streams_of_both_runtimes_cleanly() {
    let mut cores = Cores::start().await;
    let mut streams = [cores.stream().await, cores.stream().await];
    for stream in &mut streams {
        next_published(stream).await.unwrap();
    }
    cores.process.signal("TERM").await.unwrap();
    for stream in &mut streams {
        while next_published(stream).await.is_some() {}
    }
    assert_eq!(cores.process.line("drained: ").await.unwrap(), "2 ended, 0 aborted");
    assert!(cores.process.ended().await.unwrap().success());
}

#[tokio::test]
async fn a_request_that_accepts_no_events_gets_the_inner_response() {
    let cores = Cores::start().await;
    assert_eq!(send(get(&cores.url)).await.status(), StatusCode::OK);
}
