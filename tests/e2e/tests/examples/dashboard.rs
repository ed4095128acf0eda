use std::{collections::BTreeSet, fs, path::Path};

use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower_sse::decode::EventReader;
use tower_sse_e2e::{
    example::{self, Example},
    process,
};

use crate::support::{assert_page, events, get, get_events, get_page, next, send, text};

#[tokio::test]
async fn this_machine_is_measured() {
    let dashboard = Example::start("dashboard").await.unwrap();
    assert_page(dashboard.url("/"), "tower-sse: dashboard").await;
    let mut stream = events(send(get_events(dashboard.url("/"))).await);
    let cpu = next_of(&mut stream, "cpu").await;
    assert!((0.0..=1.0).contains(&cpu["busy"].as_f64().unwrap()), "{cpu}");
    let memory = next_of(&mut stream, "memory").await;
    assert!((1..memory["total"].as_u64().unwrap()).contains(&memory["used"].as_u64().unwrap()), "{memory}");
}

#[tokio::test]
async fn one_stream_has_the_values_of_three_topics() {
    let machine = Machine::new();
    let dashboard = machine.dashboard().await;
    let mut stream = events(send(get_events(dashboard.url("/"))).await);
    assert_eq!(next(&mut stream).await.unwrap().name().unwrap().as_str(), "subscribed");
    let mut seen = BTreeSet::new();
    while seen.len() < MACHINE.len() {
        let (topic, value) = next_value(&mut stream).await;
        seen.insert(key(&topic, &value));
        if topic == "memory" {
            let memory = (&value["used"], &value["total"], &value["swap"]);
            assert_eq!(memory, (&json!(300 * 1024), &json!(1000 * 1024), &json!(20 * 1024)));
        }
    }
    assert_eq!(seen, MACHINE.into_iter().map(str::to_owned).collect());
}

#[tokio::test]
async fn load_of_a_core_is_measured_since_the_last_sample() {
    let machine = Machine::new();
    let dashboard = machine.dashboard().await;
    let mut stream = events(send(get_events(dashboard.url("/"))).await);
    assert_eq!(next_of(&mut stream, "cpu").await["busy"], 0.0);
    // 75 ticks of work and 25 idle ones; those of guests are part of the work.
    machine.write("stat", "cpu  9 9 9 9\ncpu0 140 10 25 120 5 0 0 0 40 0\ncpu1 0 0 0 0 0 0 0 0\nctxt 5\n");
    loop {
        let cpu = next_of(&mut stream, "cpu").await;
        if cpu["core"] == "cpu0" && cpu["busy"] != 0.0 {
            assert_eq!(cpu["busy"], 0.75);
            break;
        }
    }
}

#[tokio::test]
async fn resuming_client_receives_the_newest_value_of_each_key() {
    let machine = Machine::new();
    let dashboard = machine.dashboard().await;
    let mut stream = events(send(get_events(dashboard.url("/"))).await);
    let mut of_memory = Vec::new();
    let mut left_at = None;
    while of_memory.len() < 4 {
        let event = next(&mut stream).await.unwrap();
        if event.name().is_some_and(|name| name.as_str() == "memory") {
            left_at.get_or_insert(event.id().unwrap().as_str().to_owned());
            of_memory.push(time(&serde_json::from_str(event.data()).unwrap()));
        }
    }
    // Three seconds were measured meanwhile that this client has not received.
    let back = get_events(dashboard.url("/")).header("last-event-id", left_at.unwrap());
    let mut back = events(send(back).await);
    let mut seen = BTreeSet::new();
    for _ in MACHINE {
        let (topic, value) = next_value(&mut back).await;
        assert!(time(&value) >= of_memory[2], "{value} is of the past");
        assert!(seen.insert(key(&topic, &value)), "{value} came twice");
    }
}

#[tokio::test]
async fn new_client_receives_no_removed_values() {
    let machine = Machine::new();
    let dashboard = machine.dashboard().await;
    let mut stream = events(send(get_events(dashboard.url("/"))).await);
    next_of(&mut stream, "network").await;
    // Memory is read before the network, so a client that receives this change has received the other.
    machine.write("net/dev", "  lo:  0 0 0 0 0 0 0 0  0 0 0 0 0 0 0 0\n");
    machine.write("meminfo", "MemTotal: 1000 kB\nMemAvailable: 1 kB\n");
    while next_of(&mut stream, "memory").await["used"] != 999 * 1024 {}
    // The value is removed once all are published: before the next sample.
    next_of(&mut stream, "memory").await;
    let mut new = events(send(get_events(dashboard.url("/"))).await);
    assert_eq!(next(&mut new).await.unwrap().name().unwrap().as_str(), "subscribed");
    let mut seen = BTreeSet::new();
    for _ in 0..2 * MACHINE.len() {
        let (topic, value) = next_value(&mut new).await;
        seen.insert(key(&topic, &value));
    }
    assert!(seen.contains("network lo") && !seen.contains("network eth0"), "{seen:?}");
}

#[tokio::test]
async fn page_requests_no_other_host() {
    let dashboard = Example::start("dashboard").await.unwrap();
    let page = text(send(get_page(dashboard.url("/"))).await).await;
    assert!(!page.contains("://"), "{page}");
    for (path, kind) in [("/uplot.js", "text/javascript"), ("/uplot.css", "text/css")] {
        assert!(page.contains(path));
        let response = send(get(dashboard.url(path))).await;
        assert_eq!(response.headers()[CONTENT_TYPE], kind);
        assert!(text(response).await.to_lowercase().contains("uplot"));
    }
}

#[tokio::test]
async fn missing_proc_is_reported() {
    let mut command = example::command("dashboard").unwrap();
    command.env("PROC", "/nowhere").env("PORT", "0");
    let said = process::run(command).await.unwrap_err().to_string();
    assert!(said.contains("dashboard: /nowhere/stat: No such file or directory"), "{said}");
    assert!(said.contains("set PROC to a directory with Linux's /proc files"), "{said}");
}

/// The files of a fictional machine.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        fs::create_dir(machine.path().join("net")).unwrap();
        machine.write("stat", "cpu  9 9 9 9\ncpu0 70 5 25 100 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\nctxt 5\n");
        machine.write(
            "meminfo",
            "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable:   700 kB\nSwapTotal: 50 kB\nSwapFree: 30 kB\n",
        );
        machine.write(
            "net/dev",
            "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n  lo:  0 0 0 0 0 0 0 0  0 0 0 0 0 0 0 0\n\
             eth0: 9 0 0 0 0 0 0 0  9 0 0 0 0 0 0 0\n",
        );
        machine
    }

    /// Writes all files at once.
    fn write(&self, file: &str, text: &str) {
        let new = self.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path().join(file)).unwrap();
    }

    async fn dashboard(&self) -> Example {
        let path = self.path().to_str().unwrap();
        Example::start_with("dashboard", &[("PROC", path)]).await.unwrap()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Returns the next value, and its topic.
async fn next_value(stream: &mut EventReader<Incoming>) -> (String, Value) {
    let event = next(stream).await.expect("the stream continues");
    let topic = event.name().unwrap().as_str().to_owned();
    assert!(["cpu", "memory", "network"].contains(&&*topic), "{event:?}");
    (topic, serde_json::from_str(event.data()).unwrap())
}

/// Returns the next value of this topic.
async fn next_of(stream: &mut EventReader<Incoming>, topic: &str) -> Value {
    loop {
        let event = next(stream).await.expect("the stream continues");
        if event.name().is_some_and(|name| name.as_str() == topic) {
            return serde_json::from_str(event.data()).unwrap();
        }
    }
}

fn key(topic: &str, value: &Value) -> String {
    let key = value["core"].as_str().or(value["interface"].as_str()).unwrap_or("all");
    format!("{topic} {key}")
}

fn time(value: &Value) -> f64 {
    value["time"].as_f64().unwrap()
}

/// Returns the available values.
const MACHINE: [&str; 5] = ["cpu cpu0", "cpu cpu1", "memory all", "network eth0", "network lo"];
