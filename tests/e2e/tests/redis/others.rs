//! Publishers in other languages, as shown in `docs/nodes.md`.

use futures_util::StreamExt;
use tokio::process::Command;
use tower_sse::hub::{Start, Subscribe};
use tower_sse_e2e::{
    document::{Document, with},
    process::run,
    redis::Redis,
};

use crate::nodes::{data, hub, within};

/// Runs a program with the port of an empty Redis, and asserts that clients from before and after it read its event.
async fn assert_publishes(language: &str, holds: &str, port: (&str, &str), program: impl Fn(&str) -> Command) {
    let redis = Redis::start(&[]).expect("the server starts");
    let text = Document::read("nodes.md").block(language, holds);
    let text = with(&text, port.0, &port.1.replace("PORT", &redis.port().to_string()));
    let hub = hub(&redis.url());
    let subscribe = || hub.subscribe(Subscribe::to("news").start(Start::Beginning)).expect("the hub has room");
    let mut before = subscribe();
    assert!(within(before.next()).await.is_some(), "a new client is greeted");
    run(program(&text)).await.expect("the program succeeds");
    assert_eq!(data(&mut before).await, "hello");
    let mut after = subscribe();
    assert!(within(after.next()).await.is_some(), "a new client is greeted");
    assert_eq!(data(&mut after).await, "hello");
}

#[tokio::test]
#[ignore = "needs redis-server and PHP; run by ./tests/run"]
async fn two_lines_of_php_publish() {
    let port = ("connect('127.0.0.1')", "connect('127.0.0.1', PORT)");
    let php = |text: &str| {
        let mut php = Command::new("php");
        php.args(["-r", text]);
        php
    };
    assert_publishes("php", "xAdd", port, php).await;
}

#[tokio::test]
#[ignore = "needs redis-server and Python; run by ./tests/run"]
async fn two_lines_of_python_publish() {
    let python = |text: &str| {
        let mut python = Command::new(std::env::var_os("TOWER_SSE_PYTHON").expect("TOWER_SSE_PYTHON is set"));
        python.args(["-c", text]);
        python
    };
    assert_publishes("python", "xadd", ("redis.Redis()", "redis.Redis(port=PORT)"), python).await;
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_line_of_shell_publishes() {
    let shell = |text: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", text]);
        shell
    };
    assert_publishes("sh", "XADD", ("redis-cli", "redis-cli -p PORT"), shell).await;
}
