//! Failures of Redis as HTTP clients observe them, with each node in its own process.

use std::{net::SocketAddr, time::Duration};

use futures_util::StreamExt;
use http::{Method, Version};
use hyper::body::Incoming;
use tokio::process::Command;
use tower_sse::decode::{EventReader, Item};
use tower_sse_e2e::{client::Client, process::Process, redis::Redis};

use crate::nodes::{post, within};

/// A node, and a client of it.
struct Node {
    _process: Process,
    address: SocketAddr,
    _client: Client,
    events: EventReader<Incoming>,
}

impl Node {
    async fn start(redis: &Redis) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hub_node"));
        command.env("REDIS_URL", redis.url()).env("HEARTBEAT", HEARTBEAT.as_millis().to_string());
        let mut process = Process::start(command).expect("the server starts");
        let address: SocketAddr =
            process.line("listening on ").await.expect("the node listens").parse().expect("an address");
        let mut client = Client::connect(address, Version::HTTP_11).await.expect("the node listens");
        let response = client.ask(Method::GET, "/events").await.expect("the node responds");
        let events = EventReader::new(response.into_body());
        Self { _process: process, address, _client: client, events }
    }

    async fn next(&mut self) -> Item {
        within(self.events.next()).await.expect("the stream is open").expect("the stream is intact")
    }

    /// Returns the name and the data of the next event.
    async fn event(&mut self) -> (String, String) {
        loop {
            if let Item::Event(message) = self.next().await {
                let name = message.name().map_or("", |name| name.as_str());
                return (name.to_owned(), message.data().to_owned());
            }
        }
    }

    async fn assert_event(&mut self, data: &str) {
        assert_eq!(self.event().await, (String::new(), data.to_owned()));
    }

    async fn assert_named(&mut self, name: &str) {
        assert_eq!(self.event().await.0, name);
    }

    /// Asserts that heartbeats come next.
    async fn assert_heartbeats(&mut self) {
        for _ in 0..3 {
            let next = self.next().await;
            assert!(matches!(next, Item::Comment(_)), "{next:?}");
        }
    }

    async fn publish(&self, data: &str) {
        within(async { while post(self.address, "/publish", data).await.is_none() {} }).await;
    }
}

async fn two(redis: &Redis) -> [Node; 2] {
    let mut nodes = [Node::start(redis).await, Node::start(redis).await];
    for node in &mut nodes {
        node.assert_named("subscribed").await;
    }
    nodes[0].publish("before").await;
    for node in &mut nodes {
        node.assert_event("before").await;
    }
    nodes
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn streams_send_heartbeats_while_redis_is_down() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).expect("the server starts");
    let mut nodes = two(&redis).await;
    redis.kill();
    for node in &mut nodes {
        node.assert_heartbeats().await;
    }
    assert!(post(nodes[0].address, "/publish", "lost").await.is_none());
    redis.restart().expect("the server starts");
    nodes[1].publish("after").await;
    for node in &mut nodes {
        node.assert_event("after").await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn restart_that_loses_the_newest_entries_is_a_gap() {
    let mut redis = Redis::start(&[]).expect("the server starts");
    let mut nodes = two(&redis).await;
    assert_eq!(redis.cli(&["SAVE"]).expect("the command succeeds"), "OK");
    nodes[0].publish("lost").await;
    for node in &mut nodes {
        node.assert_event("lost").await;
    }
    redis.restart().expect("the server starts");
    for node in &mut nodes {
        node.assert_named("gap").await;
        node.assert_event("before").await;
    }
    nodes[1].publish("after").await;
    for node in &mut nodes {
        node.assert_event("after").await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn empty_restart_and_flush_are_gaps() {
    let mut redis = Redis::start(&[]).expect("the server starts");
    let mut nodes = two(&redis).await;
    redis.restart().expect("the server starts");
    for node in &mut nodes {
        node.assert_named("gap").await;
    }
    redis.cli(&["FLUSHALL"]).expect("the command succeeds");
    for node in &mut nodes {
        node.assert_named("gap").await;
    }
    nodes[1].publish("after").await;
    for node in &mut nodes {
        node.assert_event("after").await;
    }
}

/// An interval far below the default.
const HEARTBEAT: Duration = Duration::from_millis(50);
