//! The dashboard and the alerts in `docs/`, evaluated by a real Prometheus that scrapes the example.

use std::{collections::BTreeSet, fmt::Write as _, fs, net::TcpListener, path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tower_sse_e2e::{
    client::LIMIT,
    document::{Document, with},
    program::Program,
};

use crate::{
    server::Server,
    wire::{Stream, request},
};

/// A Prometheus that scrapes each second, until it is dropped.
struct Prometheus {
    // Dropped before the directory.
    _program: Program,
    _directory: TempDir,
    address: String,
}

impl Prometheus {
    async fn start(target: &str) -> Self {
        // Another process may take a port before the program does.
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let file = |name: &str| directory.path().join(name).display().to_string();
            fs::write(file("alerts.yml"), alerts()).unwrap();
            let config = with(CONFIG, "TARGET", target);
            fs::write(file("prometheus.yml"), with(&config, "ALERTS", &file("alerts.yml"))).unwrap();
            let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string();
            let options = [
                format!("--config.file={}", file("prometheus.yml")),
                format!("--storage.tsdb.path={}", file("data")),
                format!("--web.listen-address={address}"),
            ];
            let mut program = Program::start("prometheus", options, &[]).unwrap();
            if is_up(&mut program, &address).await {
                return Self { _program: program, _directory: directory, address };
            }
            eprintln!("prometheus does not listen: {}", program.said());
        }
        panic!("prometheus does not start")
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = request(&self.address, "GET", &format!("/api/v1/{path}"), &[], "").await;
        serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
    }

    /// Queries until there is a result: a rate needs two scrapes.
    async fn has_a_result(&self, expression: &str) {
        let until = Instant::now() + LIMIT;
        loop {
            let answer = self.ask(&format!("query?query={}", escaped(expression))).await;
            assert_eq!(answer["status"], "success", "{expression}: {answer}");
            if answer["data"]["result"].as_array().is_some_and(|result| !result.is_empty()) {
                return;
            }
            assert!(Instant::now() < until, "nothing for {expression}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Waits until Prometheus is ready, or has ended.
async fn is_up(program: &mut Program, address: &str) -> bool {
    let until = Instant::now() + LIMIT;
    while program.is_running() && Instant::now() < until {
        let listens = tokio::net::TcpStream::connect(address).await.is_ok();
        if listens && request(address, "GET", "/-/ready", &[], "").await.status == 200 {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Produces everything that is counted: a stream, one that left, a gap, a note, a refusal.
async fn traffic(server: &Server) -> Vec<Stream> {
    let ann = server.log_in("ann").await;
    let mut behind = Stream::open(&server.address, "/events", &[&ann, "last-event-id: of another process"]).await;
    behind.until("event: gap\n").await;
    drop(server.events(&[]).await);
    server.metric_becomes("sse_streams_closed_total{reason=\"client_gone\"}", 1.0).await;
    server.post("/notes", &[&ann], &json!({ "text": "hello" })).await;
    request(&server.address, "GET", "/events", &[&ann, "accept: text/event-stream"], "").await;
    vec![behind]
}

#[tokio::test]
#[ignore = "needs prometheus; run by ./tests/run"]
async fn dashboard_and_alerts_use_existing_metrics() {
    let server = Server::start(&[("STREAMS_PER_CLIENT", "1")]).await;
    let prometheus = Prometheus::start(&server.address).await;
    let _streams = traffic(&server).await;

    let dashboard = dashboard();
    assert!(dashboard.len() > 15, "{dashboard:?}");
    for expression in &dashboard {
        prometheus.has_a_result(expression).await;
    }

    // An alert that does not fire has no result, so its metrics are queried instead.
    let there = prometheus.ask("label/__name__/values").await;
    let there: BTreeSet<_> = there["data"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let alerts = alerts();
    for name in names(&alerts).into_iter().chain(dashboard.iter().flat_map(|expression| names(expression))) {
        assert!(there.contains(name), "{name} is not among {there:?}");
    }
    let documented = Document::read("operations.md");
    let groups = prometheus.ask("rules").await["data"]["groups"].take();
    let rules: Vec<_> =
        groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert_eq!(rules.len(), alerts.matches("- alert:").count());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let name = rule["name"].as_str().unwrap();
        assert!(documented.holds(&format!("`{name}`")), "{name} is not documented");
    }
}

/// Returns all expressions of the dashboard, with its variables replaced as Grafana does.
fn dashboard() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions = targets.map(|target| target["expr"].as_str().unwrap());
    expressions.map(|text| text.replace("$__rate_interval", "1m").replace("$instance", ".*")).collect()
}

fn alerts() -> String {
    Document::read("operations.md").block("yaml", "- alert:")
}

/// Returns the names of metrics in an expression.
fn names(text: &str) -> Vec<&str> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| ["sse_", "app_", "process_"].iter().any(|prefix| word.starts_with(prefix))).collect()
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        write!(escaped, "%{byte:02X}").unwrap();
        escaped
    })
}

const CONFIG: &str = "
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: ['ALERTS']
scrape_configs:
  - job_name: notes
    static_configs: [{ targets: ['TARGET'] }]
";
