//! Presence across nodes, and the expiry of a node that died.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use http::{Method, Version};
use tokio::process::Command;
use tower_sse::hub::{Hub, Subscribe};
use tower_sse_e2e::{client::Client, process::Process, redis::Redis};

use crate::nodes::{backplane, hub_on, within};

/// A TTL below the default.
const TTL: Duration = Duration::from_secs(2);

fn hub(redis: &Redis) -> Hub {
    hub_on(backplane(&redis.url()).presence_ttl(TTL))
}

/// Waits until the members of the topic are exactly these, with one stream each.
async fn until(hub: &Hub, names: &[&str]) {
    let presence = hub.topic("topic").expect("the hub has room").presence();
    let names: Vec<Arc<str>> = names.iter().map(|&name| name.into()).collect();
    let mut changes = pin!(presence.changes());
    while presence.members() != names || presence.count() != names.len() {
        within(changes.next()).await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn killed_node_leaves_the_presence_of_all_others() {
    let redis = Redis::start(&[]).expect("the server starts");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub_node"));
    command.env("REDIS_URL", redis.url()).env("NODE_EXPIRES", TTL.as_secs().to_string());
    let mut process = Process::start(command).expect("the server starts");
    let address: SocketAddr =
        process.line("listening on ").await.expect("the node listens").parse().expect("an address");
    let mut clients = Vec::new();
    for name in ["ann", "cid"] {
        let mut client = Client::connect(address, Version::HTTP_11).await.expect("the node listens");
        let stream = client.ask(Method::GET, &format!("/events?as={name}")).await.expect("the node responds");
        clients.push((client, stream));
    }
    let (here, there) = (hub(&redis), hub(&redis));
    let mut bob = here.subscribe(Subscribe::to("topic").member("bob")).expect("the hub has room");
    within(bob.next()).await;
    for hub in [&here, &there] {
        until(hub, &["ann", "bob", "cid"]).await;
    }
    // Killed by SIGKILL, so that it cannot leave.
    drop(process);
    for hub in [&here, &there] {
        until(hub, &["bob"]).await;
    }
    // A new node never saw the killed one.
    until(&self::hub(&redis), &["bob"]).await;
}

/// A node that had read an empty presence did not read it again before a member joined or left.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn presence_recovers_after_redis_has_lost_it() {
    let redis = Redis::start(&[]).expect("the server starts");
    let here = hub(&redis);
    let mut ann = here.subscribe(Subscribe::to("topic").member("ann")).expect("the hub has room");
    within(ann.next()).await;
    until(&hub(&redis), &["ann"]).await;
    for _ in 0..5 {
        let lost = "for _, key in ipairs(redis.call('KEYS', '{sse}:node:*')) do redis.call('DEL', key) end";
        redis.cli(&["EVAL", lost, "0"]).expect("the command succeeds");
        // The new node usually starts before the other has written its presence again.
        until(&hub(&redis), &["ann"]).await;
    }
}
