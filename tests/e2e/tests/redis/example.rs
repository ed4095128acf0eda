//! The example `cluster`: two processes on one Redis, with and without the nginx of its directory.

use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

use futures_util::StreamExt;
use http::{Method, Version};
use hyper::body::Incoming;
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};
use tower_sse::decode::{EventReader, Item};
use tower_sse_e2e::{client::Client, document::with, example::Example, program::Program, redis::Redis};

use crate::nodes::{post, within};

/// A page of the lobby in a browser.
struct Page {
    /// Keeps the connection open.
    _client: Client,
    events: EventReader<Incoming>,
    /// The last event id.
    last: String,
}

/// The next update of a page.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Said(String),
    /// The connection was closed.
    Cut,
}

impl Page {
    async fn open(address: SocketAddr, after: &str) -> Self {
        let mut client = within(Client::connect(address, Version::HTTP_11)).await.expect("the node listens");
        let path = format!("/rooms/lobby?as=ann&after={after}");
        let stream = within(client.ask(Method::GET, &path)).await.expect("the node responds");
        assert_eq!(stream.status(), 200);
        Self { _client: client, events: EventReader::new(stream.into_body()), last: after.to_owned() }
    }

    /// Opens a page without a cursor, and waits for its first id.
    async fn new(address: SocketAddr) -> Self {
        let mut client = within(Client::connect(address, Version::HTTP_11)).await.expect("the node listens");
        let stream = within(client.ask(Method::GET, "/rooms/lobby?as=ann")).await.expect("the node responds");
        let mut page = Self { _client: client, events: EventReader::new(stream.into_body()), last: String::new() };
        while page.last.is_empty() {
            assert_eq!(page.step().await, Ok(None), "no line was published yet");
        }
        page
    }

    async fn next(&mut self) -> Next {
        loop {
            match self.step().await {
                Ok(Some(text)) => return Next::Said(text),
                Ok(None) => {}
                Err(Cut) => return Next::Cut,
            }
        }
    }

    /// Reads one item. Returns the text of a line, or `None` for another item. Panics on a gap.
    async fn step(&mut self) -> Result<Option<String>, Cut> {
        let Some(Ok(item)) = within(self.events.next()).await else { return Err(Cut) };
        let Item::Event(message) = item else { return Ok(None) };
        self.last = message.id().map(|id| id.as_str().to_owned()).unwrap_or_default();
        let name = message.name().map(|name| name.as_str().to_owned());
        assert_ne!(name.as_deref(), Some("gap"), "no event was lost");
        if name.is_some() {
            return Ok(None);
        }
        let line: serde_json::Value = serde_json::from_str(message.data()).expect("JSON");
        Ok(line["text"].as_str().map(str::to_owned))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Cut;

fn said(text: &str) -> Next {
    Next::Said(text.to_owned())
}

async fn node(redis: &Redis) -> Example {
    Example::start_with("tower-sse-example-cluster", &[("REDIS_URL", &redis.url())]).await.expect("the node listens")
}

async fn say(address: SocketAddr, text: &str) {
    // A proxy does not retry a request to a node that has just died, so the client does.
    within(async { while post(address, "/rooms/lobby?as=bob", text).await.is_none() {} }).await;
}

fn address(node: &Example) -> SocketAddr {
    node.url("").trim_start_matches("http://").parse().expect("an address")
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn page_of_a_killed_node_resumes_on_the_other() {
    let redis = Redis::start(&[]).expect("the server starts");
    let (one, two) = (node(&redis).await, node(&redis).await);
    let mut page = Page::new(address(&one)).await;
    say(address(&two), "hello").await;
    assert_eq!(page.next().await, said("hello"));
    // Killed by SIGKILL.
    drop(one);
    assert_eq!(page.next().await, Next::Cut);
    say(address(&two), "is anybody there?").await;
    let mut page = Page::open(address(&two), &page.last).await;
    say(address(&two), "ah, there you are").await;
    assert_eq!([page.next().await, page.next().await], [said("is anybody there?"), said("ah, there you are")]);
}

#[tokio::test]
#[ignore = "needs redis-server and nginx; run by ./tests/run"]
async fn page_behind_nginx_resumes_on_the_remaining_node() {
    let redis = Redis::start(&[]).expect("the server starts");
    let mut nodes = vec![node(&redis).await, node(&redis).await];
    let nginx = Nginx::start(&nodes).await.expect("the server starts");
    let front = nginx.address;
    // In sequence, because nginx assigns the nodes in turn.
    let mut pages = [Page::new(front).await, Page::new(front).await];
    say(front, "hello").await;
    for page in &mut pages {
        assert_eq!(page.next().await, said("hello"));
    }
    drop(nodes.pop());
    say(front, "again").await;
    let mut cut = 0;
    for page in &mut pages {
        let mut next = page.next().await;
        if next == Next::Cut {
            cut += 1;
            *page = Page::open(front, &page.last).await;
            next = page.next().await;
        }
        assert_eq!(next, said("again"));
    }
    assert_eq!(cut, 1, "one page was on each node");
}

/// nginx with the configuration of the example, except for the ports.
struct Nginx {
    _program: Program,
    _directory: TempDir,
    address: SocketAddr,
}

impl Nginx {
    async fn start(nodes: &[Example]) -> io::Result<Self> {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cluster/nginx.conf");
        let config = fs::read_to_string(config)?;
        let config = with(&config, "127.0.0.1:3001", &address(&nodes[0]).to_string());
        let config = with(&config, "127.0.0.1:3002", &address(&nodes[1]).to_string());
        // Another process may bind the port before nginx does.
        for _ in 0..5 {
            let directory = TempDir::new()?;
            let free = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
            let file = directory.path().join("nginx.conf");
            fs::write(&file, with(&config, "127.0.0.1:3000", &free.to_string()))?;
            let [place, file] = [directory.path(), &file].map(|path| path.display().to_string());
            let mut program = Program::start("nginx", ["-p", &place, "-c", &file, "-g", "daemon off;"], &[])?;
            if listens(&mut program, free).await {
                return Ok(Self { _program: program, _directory: directory, address: free });
            }
            eprintln!("nginx does not listen: {}", program.said());
        }
        Err(io::Error::other("nginx does not start"))
    }
}

/// Waits until the program listens. Returns `false` if it exits first.
async fn listens(program: &mut Program, address: SocketAddr) -> bool {
    while program.is_running() {
        if TcpStream::connect(address).await.is_ok() {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}
