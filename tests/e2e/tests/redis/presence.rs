//! Presence on all nodes, also after one of them has died.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use http::{Method, Version};
use tokio::process::Command;
use tower_sse::hub::{Hub, Subscribe};
use tower_sse_e2e::{client::Client, process::Process, redis::Redis};

use crate::nodes::{backplane, within};

/// Shorter than by default.
const EXPIRES: Duration = Duration::from_secs(2);

fn hub(redis: &Redis) -> Hub {
    Hub::builder().build_with_backplane(backplane(&redis.url()).presence_ttl(EXPIRES))
}

/// Waits until just these are in the topic, with one stream each.
async fn until(hub: &Hub, names: &[&str]) {
    let presence = hub.topic("topic").expect("there is room").presence();
    let names: Vec<Arc<str>> = names.iter().map(|&name| name.into()).collect();
    let mut changes = pin!(presence.changes());
    while presence.members() != names || presence.count() != names.len() {
        within(changes.next()).await;
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn killed_node_leaves_the_presence_of_all_others() {
    let redis = Redis::start(&[]).expect("it starts");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub_node"));
    command.env("REDIS_URL", redis.url()).env("NODE_EXPIRES", EXPIRES.as_secs().to_string());
    let mut process = Process::start(command).expect("it starts");
    let address: SocketAddr = process.line("listening on ").await.expect("it listens").parse().expect("an address");
    let mut clients = Vec::new();
    for name in ["ann", "cid"] {
        let mut client = Client::connect(address, Version::HTTP_11).await.expect("it listens");
        let stream = client.ask(Method::GET, &format!("/events?as={name}")).await.expect("it answers");
        clients.push((client, stream));
    }
    let (here, there) = (hub(&redis), hub(&redis));
    let mut bob = here.subscribe(Subscribe::to("topic").member("bob")).expect("there is room");
    within(bob.next()).await;
    for hub in [&here, &there] {
        until(hub, &["ann", "bob", "cid"]).await;
    }
    // By SIGKILL: it cannot say that it leaves.
    drop(process);
    for hub in [&here, &there] {
        until(hub, &["bob"]).await;
    }
    // One that starts now has never heard of it.
    until(&self::hub(&redis), &["bob"]).await;
}

/// A node that found nothing there did not read again until the presence of the other changed.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn who_is_on_a_node_is_found_again_after_redis_has_lost_it() {
    let redis = Redis::start(&[]).expect("it starts");
    let here = hub(&redis);
    let mut ann = here.subscribe(Subscribe::to("topic").member("ann")).expect("there is room");
    within(ann.next()).await;
    until(&hub(&redis), &["ann"]).await;
    for _ in 0..5 {
        let lost = "for _, key in ipairs(redis.call('KEYS', '{sse}:node:*')) do redis.call('DEL', key) end";
        redis.cli(&["EVAL", lost, "0"]).expect("it does");
        // It begins at once, and mostly before the other has said once more who is there.
        until(&hub(&redis), &["ann"]).await;
    }
}
