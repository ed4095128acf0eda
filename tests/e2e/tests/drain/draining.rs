//! A server as a separate process, its many clients, and its end.

use std::{net::SocketAddr, process::ExitStatus, time::Duration};

use futures_util::{StreamExt, stream};
use http::{Method, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{process::Command, time::Instant};
use tower_sse_e2e::{
    client::{Client, within},
    process::Process,
};

/// The server of `src/bin/drained.rs`, until it is dropped.
pub(crate) struct Draining {
    process: Process,
    address: SocketAddr,
}

/// The outcome of the process.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) took: Duration,
    pub(crate) status: ExitStatus,
    /// The numbers of ended and of aborted streams, and the outcome of the server.
    pub(crate) drained: String,
    /// The reasons for which streams ended.
    pub(crate) reasons: String,
}

/// A stream on its own connection.
pub(crate) struct Reading {
    _client: Client,
    body: Incoming,
    text: String,
}

impl Draining {
    pub(crate) async fn start(server: &str, deadline: Duration) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drained"));
        command.env("SERVER", server).env("DEADLINE_MS", deadline.as_millis().to_string());
        let mut process = Process::start(command).unwrap();
        let address = process.line("listening on ").await.unwrap().parse().unwrap();
        Self { process, address }
    }

    pub(crate) async fn connect(&self, version: Version) -> Client {
        within(Client::connect(self.address, version)).await.unwrap()
    }

    /// Waits until so many requests for the slow page have arrived.
    pub(crate) async fn asked(&mut self, requests: usize) {
        for _ in 0..requests {
            self.process.line("asked").await.unwrap();
        }
    }

    /// Returns the answer to a new connection.
    async fn ask(&self, version: Version, path: &str) -> (Client, Response<Incoming>) {
        let mut client = self.connect(version).await;
        let response = within(client.ask(Method::GET, path)).await.unwrap();
        assert_eq!(response.status(), 200);
        (client, response)
    }

    /// Opens so many streams, each on a connection, alternately over HTTP/1.1 and HTTP/2, and reads each up to this text.
    pub(crate) async fn open(&self, streams: usize, path: &str, until: &str) -> Vec<Reading> {
        let versions = [Version::HTTP_11, Version::HTTP_2].into_iter().cycle().take(streams);
        let open = |version| async move {
            let (client, response) = self.ask(version, path).await;
            let mut reading = Reading { _client: client, body: response.into_body(), text: String::new() };
            reading.until(until).await;
            reading
        };
        stream::iter(versions).map(open).buffer_unordered(50).collect().await
    }

    /// Sends SIGTERM, and waits for the end of the process, up to a limit that is shorter than a deadline of an hour.
    pub(crate) async fn leave(&mut self) -> Left {
        let begin = Instant::now();
        self.process.signal("TERM").await.unwrap();
        let drained = self.process.line("drained ").await.unwrap();
        let reasons = self.process.line("reasons ").await.unwrap();
        let status = self.process.ended().await.unwrap();
        Left { took: begin.elapsed(), status, drained, reasons }
    }
}

impl Reading {
    async fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            let frame = within(self.body.frame()).await.expect("the stream continues").expect("the frame is no error");
            self.text += std::str::from_utf8(&frame.into_data().unwrap_or_default()).unwrap();
        }
    }

    /// Returns the rest of the stream, up to a clean end. Another end is an error.
    pub(crate) async fn rest(mut self) -> hyper::Result<String> {
        while let Some(frame) = within(self.body.frame()).await {
            self.text += std::str::from_utf8(&frame?.into_data().unwrap_or_default()).unwrap();
        }
        Ok(self.text)
    }
}

/// Returns the milliseconds of the `retry:` that is the last line of a stream.
pub(crate) fn retry(text: &str) -> Option<u64> {
    text.strip_suffix('\n')?.rsplit_once("\nretry: ")?.1.parse().ok()
}
