//! The example `cluster`: two processes on one Redis, by themselves and behind nginx, as its directory has it.

use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

use futures_util::StreamExt;
use http::{Method, Version};
use hyper::body::Incoming;
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};
use tower_sse::{EventReader, decode::Item};
use tower_sse_e2e::{client::Client, document::with, example::Example, program::Program, redis::Redis};

use crate::nodes::{post, within};

/// A page in the lobby, as a browser has it.
struct Page {
    /// Keeps the connection.
    _client: Client,
    events: EventReader<Incoming>,
    /// The id that was seen last.
    last: String,
}

/// The next event of a page.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Said(String),
    /// The connection is gone.
    Cut,
}

impl Page {
    async fn open(address: SocketAddr, after: &str) -> Self {
        let mut client = within(Client::connect(address, Version::HTTP_11)).await.expect("it listens");
        let path = format!("/rooms/lobby?as=ann&after={after}");
        let stream = within(client.ask(Method::GET, &path)).await.expect("it answers");
        assert_eq!(stream.status(), 200);
        Self { _client: client, events: EventReader::new(stream.into_body()), last: after.to_owned() }
    }

    /// Opens a new page, which receives its position.
    async fn new(address: SocketAddr) -> Self {
        let mut client = within(Client::connect(address, Version::HTTP_11)).await.expect("it listens");
        let stream = within(client.ask(Method::GET, "/rooms/lobby?as=ann")).await.expect("it answers");
        let mut page = Self { _client: client, events: EventReader::new(stream.into_body()), last: String::new() };
        while page.last.is_empty() {
            assert_eq!(page.step().await, Ok(None), "nothing was said yet");
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

    /// Returns the next line, or another event of the page: but for a gap, there is none.
    async fn step(&mut self) -> Result<Option<String>, Cut> {
        let Some(Ok(item)) = within(self.events.next()).await else { return Err(Cut) };
        let Item::Event(message) = item else { return Ok(None) };
        self.last = message.id().map(|id| id.as_str().to_owned()).unwrap_or_default();
        let name = message.name().map(|name| name.as_str().to_owned());
        assert_ne!(name.as_deref(), Some("gap"), "nothing was lost");
        if name.is_some() {
            return Ok(None);
        }
        let line: serde_json::Value = serde_json::from_str(message.data()).expect("it is JSON");
        Ok(line["text"].as_str().map(str::to_owned))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Cut;

fn said(text: &str) -> Next {
    Next::Said(text.to_owned())
}

async fn node(redis: &Redis) -> Example {
    Example::start_with("tower-sse-example-cluster", &[("REDIS_URL", &redis.url())]).await.expect("it listens")
}

async fn say(address: SocketAddr, text: &str) {
    // A proxy that sends it to a node that has just died does not repeat it: who says it does.
    within(async { while post(address, "/rooms/lobby?as=bob", text).await.is_none() {} }).await;
}

fn address(node: &Example) -> SocketAddr {
    node.url("").trim_start_matches("http://").parse().expect("it is an address")
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn lines_reach_the_other_node_which_survives_a_kill() {
    let redis = Redis::start(&[]).expect("it starts");
    let (one, two) = (node(&redis).await, node(&redis).await);
    let mut page = Page::new(address(&one)).await;
    say(address(&two), "hello").await;
    assert_eq!(page.next().await, said("hello"));
    // By SIGKILL.
    drop(one);
    assert_eq!(page.next().await, Next::Cut);
    say(address(&two), "is anybody there?").await;
    let mut page = Page::open(address(&two), &page.last).await;
    say(address(&two), "ah, there you are").await;
    assert_eq!([page.next().await, page.next().await], [said("is anybody there?"), said("ah, there you are")]);
}

#[tokio::test]
#[ignore = "needs redis-server and nginx; run by ./tests/run"]
async fn behind_its_nginx_a_page_goes_on_at_whichever_is_left() {
    let redis = Redis::start(&[]).expect("it starts");
    let mut nodes = vec![node(&redis).await, node(&redis).await];
    let nginx = Nginx::start(&nodes).await.expect("it starts");
    let front = nginx.address;
    // One after the other: nginx takes the nodes in turn.
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
    assert_eq!(cut, 1, "there was one on each");
}

/// nginx with the example's configuration, but for the ports.
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
        // Another process may take a port before nginx does.
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

/// Waits until it does, or has ended.
async fn listens(program: &mut Program, address: SocketAddr) -> bool {
    while program.is_running() {
        if TcpStream::connect(address).await.is_ok() {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}
