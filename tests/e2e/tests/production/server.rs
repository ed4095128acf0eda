//! The example on a free port, until it is dropped.

use std::{fs::File, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tower_sse_e2e::{
    client::LIMIT,
    example::command,
    process::{Process, run},
};

use crate::wire::{Answer, Stream, request};

/// The example as a process.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
    log: PathBuf,
    _directory: TempDir,
}

impl Server {
    /// Starts the example with these settings, on loopback.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut command = command(NAME).unwrap();
        command.env_clear().env("PORT", "0").envs(settings.iter().copied()).stderr(File::create(&log).unwrap());
        let mut process = Process::start(command).unwrap();
        let address = process.line("listening on http://").await.unwrap();
        Self { process, address: address.trim_end_matches('/').to_owned(), log, _directory: directory }
    }

    /// Returns the error output of a failed start.
    pub(crate) async fn refuses(settings: &[(&str, &str)]) -> String {
        let mut command = command(NAME).unwrap();
        command.env_clear().env("PORT", "0").envs(settings.iter().copied());
        run(command).await.expect_err("it starts").to_string()
    }

    pub(crate) async fn get(&self, path: &str, headers: &[&str]) -> Answer {
        request(&self.address, "GET", path, headers, "").await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[&str], value: &Value) -> Answer {
        let headers = [headers, &["content-type: application/json"]].concat();
        request(&self.address, "POST", path, &headers, &value.to_string()).await
    }

    /// A stream that has begun.
    pub(crate) async fn events(&self, headers: &[&str]) -> Stream {
        let mut stream = Stream::open(&self.address, "/events", headers).await;
        stream.until("event: subscribed\n").await;
        stream
    }

    /// Logs in, and returns the header with the cookie.
    pub(crate) async fn log_in(&self, user: &str) -> String {
        let answer = self.post("/login", &[], &json!({ "user": user })).await;
        assert_eq!(answer.status, 204);
        cookie_of(&answer)
    }

    /// Returns the user or address that the server counts the client by.
    pub(crate) async fn who(&self, headers: &[&str]) -> Value {
        serde_json::from_str::<Value>(&self.get("/me", headers).await.body).unwrap()["user"].take()
    }

    /// Returns the value of a metric with its labels, in the text format of Prometheus, or `None` if it is missing.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics", &[]).await.body;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until a metric has this value.
    pub(crate) async fn metric_becomes(&self, name: &str, value: f64) {
        let until = Instant::now() + LIMIT;
        loop {
            let is = self.metric(name).await;
            if is == Some(value) {
                return;
            }
            assert!(Instant::now() < until, "{name} is {is:?} and not {value}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the server has received a signal.
    pub(crate) async fn is_leaving(&self) {
        let until = Instant::now() + LIMIT;
        while self.get("/readyz", &[]).await.status != 503 {
            assert!(Instant::now() < until, "the server is still ready");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns the log so far: each line must be JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.log).unwrap();
        // A line without an end is still being written.
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// Returns the lines of the log with this message, as soon as there is one.
    pub(crate) async fn logged(&self, message: &str) -> Vec<Value> {
        let until = Instant::now() + LIMIT;
        loop {
            let mut log = self.log();
            log.retain(|line| line["fields"]["message"] == message);
            if !log.is_empty() {
                return log;
            }
            assert!(Instant::now() < until, "no line has the message {message:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Returns the header that sends back the cookie of an answer.
pub(crate) fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict; "), "{cookie}");
    assert!(cookie.contains("; Path=/"), "{cookie}");
    format!("cookie: {}", cookie.split(';').next().unwrap())
}

const NAME: &str = "tower-sse-example-production";
