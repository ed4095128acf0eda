//! The end of a node, and its removal from the list of nodes.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::process::Command;
use tower_sse::{
    Event,
    hub::{Hub, Subscribe},
};
use tower_sse_e2e::{process::Process, redis::Redis};

use crate::nodes::{backplane, hub_on, within};

/// A TTL below the default.
const TTL: Duration = Duration::from_secs(2);

fn hub(redis: &Redis) -> Hub {
    hub_on(backplane(&redis.url()).presence_ttl(TTL))
}

/// Waits until the list has this many nodes.
async fn until(redis: &Redis, nodes: &str) {
    let is_complete = async {
        while redis.cli(&["HLEN", "{sse}:nodes"]).expect("the command succeeds") != nodes {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(is_complete).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn nodes_that_died_unseen_expire() {
    let redis = Redis::start(&[]).expect("the server starts");
    for number in 1..=3 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hub_node"));
        command.env("REDIS_URL", redis.url()).env("NODE_EXPIRES", TTL.as_secs().to_string());
        let mut process = Process::start(command).expect("the server starts");
        process.line("listening on ").await.expect("the node listens");
        within(is_there(&redis)).await;
        // Killed by SIGKILL, while no other node has seen it.
        drop(process);
        if number == 3 {
            break;
        }
    }
    let hub = hub(&redis);
    until(&redis, "1").await;
    drop(hub);
    until(&redis, "0").await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn last_node_leaves_no_keys() {
    let redis = Redis::start(&[]).expect("the server starts");
    redis.cli(&["HSET", "{sse}:nodes", "old", "1 1"]).expect("the command succeeds");
    let url = redis.url();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime is built");
        runtime.block_on(start_and_forget(&url));
    });
    runtime.join().expect("the thread does not panic");
    let is_gone = async {
        while !redis.cli(&["KEYS", "{sse}:node*"]).expect("the command succeeds").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(is_gone).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn dropped_node_leaves_at_once() {
    let redis = Redis::start(&[]).expect("the server starts");
    // The TTL alone would keep it for a day.
    let long = || hub_on(backplane(&redis.url()).presence_ttl(Duration::from_secs(86_400)));
    let (here, there) = (long(), long());
    until(&redis, "2").await;
    drop(here);
    until(&redis, "1").await;
    // And a node that leaves explicitly, as at the end of a process.
    within(there.leave()).await;
    assert_eq!(redis.cli(&["HLEN", "{sse}:nodes"]).expect("the command succeeds"), "0");
    assert_eq!(redis.cli(&["KEYS", "{sse}:node*"]).expect("the command succeeds"), "");
}

/// The node waited for the publish timeout.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn leave_completes_while_redis_is_unresponsive() {
    let redis = Redis::start(&[]).expect("the server starts");
    let hub = hub_on(backplane(&redis.url()).publish_timeout(Duration::from_secs(3600)));
    until(&redis, "1").await;
    // The publisher is the first to reconnect, with its long timeout.
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]).expect("the command succeeds");
    let topic = hub.topic("topic").expect("the hub has room");
    for _ in 0..3 {
        let _ = within(topic.publish(Event::new("1"))).await;
    }
    let process = redis.info("process_id").expect("the command succeeds");
    redis.signal(&process, "STOP").expect("the process runs");
    // Both tasks wait for a response by now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    within(hub.leave()).await;
    // And a node that never connected.
    let hub = hub_on(backplane(&redis.url()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    within(hub.leave()).await;
}

/// Completes once the list has a node.
async fn is_there(redis: &Redis) {
    while redis.cli(&["HLEN", "{sse}:nodes"]).expect("the command succeeds") == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts a node whose runtime ends before the hub is dropped, so that the node cannot leave.
async fn start_and_forget(url: &str) {
    let hub = hub_on(backplane(url).presence_ttl(TTL));
    let mut reader = hub.subscribe(Subscribe::to("topic").member("ann")).expect("the hub has room");
    within(reader.next()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    std::mem::forget((hub, reader));
}
