//! The registration of a node, and its end.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::process::Command;
use tower_sse::{
    Event,
    hub::{Hub, Subscribe},
};
use tower_sse_e2e::{process::Process, redis::Redis};

use crate::nodes::{backplane, within};

/// Shorter than by default.
const EXPIRES: Duration = Duration::from_secs(2);

fn hub(redis: &Redis) -> Hub {
    Hub::builder().build_with_backplane(backplane(&redis.url()).presence_ttl(EXPIRES))
}

/// Waits until there are so many nodes.
async fn until(redis: &Redis, nodes: &str) {
    let are_there = async {
        while redis.cli(&["HLEN", "{sse}:nodes"]).expect("it says") != nodes {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(are_there).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn nodes_that_died_unseen_are_gone() {
    let redis = Redis::start(&[]).expect("it starts");
    for number in 1..=3 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hub_node"));
        command.env("REDIS_URL", redis.url()).env("NODE_EXPIRES", EXPIRES.as_secs().to_string());
        let mut process = Process::start(command).expect("it starts");
        process.line("listening on ").await.expect("it listens");
        within(is_there(&redis)).await;
        // By SIGKILL, with no other node that has seen it.
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
async fn nothing_is_left_of_the_last_node() {
    let redis = Redis::start(&[]).expect("it starts");
    redis.cli(&["HSET", "{sse}:nodes", "old", "1 1"]).expect("it does");
    let url = redis.url();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it is made");
        runtime.block_on(begin_and_forget(&url));
    });
    runtime.join().expect("it runs");
    let is_gone = async {
        while !redis.cli(&["KEYS", "{sse}:node*"]).expect("it says").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(is_gone).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_node_that_ends_leaves_at_once() {
    let redis = Redis::start(&[]).expect("it starts");
    // By its expiry it would be there for a day.
    let long =
        || Hub::builder().build_with_backplane(backplane(&redis.url()).presence_ttl(Duration::from_secs(86_400)));
    let (here, there) = (long(), long());
    until(&redis, "2").await;
    drop(here);
    until(&redis, "1").await;
    // And one whose process ends with it.
    within(there.leave()).await;
    assert_eq!(redis.cli(&["HLEN", "{sse}:nodes"]).expect("it says"), "0");
    assert_eq!(redis.cli(&["KEYS", "{sse}:node*"]).expect("it says"), "");
}

/// The leave waited for as long as a publish may.
#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_node_leaves_also_if_redis_does_not_answer() {
    let redis = Redis::start(&[]).expect("it starts");
    let hub = Hub::builder().build_with_backplane(backplane(&redis.url()).publish_timeout(Duration::from_secs(3600)));
    until(&redis, "1").await;
    // The publisher is the first to connect again, and has that much patience.
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]).expect("it does");
    let topic = hub.topic("topic").expect("there is room");
    for _ in 0..3 {
        let _ = within(topic.publish(Event::new("1"))).await;
    }
    let process = redis.info("process_id").expect("it says");
    redis.signal(&process, "STOP").expect("it runs");
    // Both tasks have begun to wait for an answer.
    tokio::time::sleep(Duration::from_secs(2)).await;
    within(hub.leave()).await;
    // And one that has never reached it.
    let hub = Hub::builder().build_with_backplane(backplane(&redis.url()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    within(hub.leave()).await;
}

/// Completes once a node is in the table of nodes.
async fn is_there(redis: &Redis) {
    while redis.cli(&["HLEN", "{sse}:nodes"]).expect("it says") == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Begins a node whose runtime ends without it being dropped: it does not leave.
async fn begin_and_forget(url: &str) {
    let hub = Hub::builder().build_with_backplane(backplane(url).presence_ttl(EXPIRES));
    let mut reader = hub.subscribe(Subscribe::to("topic").member("ann")).expect("there is room");
    within(reader.next()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    std::mem::forget((hub, reader));
}
