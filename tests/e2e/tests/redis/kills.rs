//! Three node processes, thousands of subscribers that move between them, and kills of nodes and of Redis in turn.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use http::{Method, Version};
use tokio::{
    process::Command,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_sse::decode::{EventReader, Item};
use tower_sse_e2e::{client::Client, process::Process, redis::Redis};

use crate::nodes::post;

const SUBSCRIBERS: u64 = 3000;
const ROUNDS: usize = 14;
const EVENTS_A_ROUND: usize = 24;

/// A limit that only a failure reaches, also on a busy machine.
const LONG: Duration = Duration::from_secs(600);

/// The current addresses of the nodes.
type Nodes = Arc<Mutex<Vec<SocketAddr>>>;

/// The events of a subscriber, over all its connections.
#[derive(Default)]
struct Seen {
    data: Vec<String>,
    gaps: usize,
    visits: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn kills_of_nodes_and_redis_lose_duplicate_and_reorder_nothing() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).expect("the server starts");
    let mut processes = Vec::new();
    let nodes = Nodes::default();
    for _ in 0..3 {
        let (process, address) = node(&redis).await;
        processes.push(process);
        lock(&nodes).push(address);
    }
    let mut subscribers = JoinSet::new();
    for number in 1..=SUBSCRIBERS {
        subscribers.spawn(subscribe(Arc::clone(&nodes), Random(number * 7919)));
    }
    let rounds = kill_in_turn(&mut redis, &mut processes, &nodes);
    timeout(LONG, rounds).await.expect("publishing succeeds again after each kill");
    let seen = timeout(LONG, subscribers.join_all()).await.expect("all subscribers receive the end");

    let truth = truth(&redis);
    let deliveries: usize = seen.iter().map(|seen| seen.data.len()).sum();
    let visits: usize = seen.iter().map(|seen| seen.visits).sum();
    let gaps: usize = seen.iter().map(|seen| seen.gaps).sum();
    println!("{deliveries} deliveries in {visits} visits of {SUBSCRIBERS} subscribers, {gaps} gaps");
    for seen in &seen {
        // Redis has lost nothing.
        assert_eq!(seen.gaps, 0);
        assert!(seen.data == truth, "{:?}, not {truth:?}", seen.data);
    }
    assert!(deliveries >= 1_000_000, "{deliveries}");
}

/// Publishes in rounds, and kills a node, or every fourth time Redis, after each. Publishes the end last.
async fn kill_in_turn(redis: &mut Redis, processes: &mut [Process], nodes: &Nodes) {
    let mut random = Random(42);
    let mut number = 0;
    for round in 0..ROUNDS {
        let mut acknowledged = 0;
        while acknowledged < EVENTS_A_ROUND {
            // A failed publish may have been appended, so each has its own data.
            number += 1;
            acknowledged += usize::from(publish(nodes, &number.to_string(), &mut random).await.is_some());
        }
        if round % 4 == 3 {
            redis.restart().expect("the server starts");
        } else {
            let which = random.below(3);
            let (process, address) = node(redis).await;
            // The drop of the old process kills it with all its connections.
            processes[which] = process;
            lock(nodes)[which] = address;
        }
    }
    while publish(nodes, "end", &mut random).await.is_none() {}
}

/// Starts a node. Returns its process and address.
async fn node(redis: &Redis) -> (Process, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub_node"));
    command.env("REDIS_URL", redis.url());
    let mut process = Process::start(command).expect("the server starts");
    let address = process.line("listening on ").await.expect("the node listens");
    (process, address.parse().expect("an address"))
}

/// Publishes on some node. Returns `None` unless the publish was acknowledged.
async fn publish(nodes: &Nodes, data: &str, random: &mut Random) -> Option<()> {
    post(pick(nodes, random), "/publish", data).await
}

/// Subscribes to one node after the other, until the end.
async fn subscribe(nodes: Nodes, mut random: Random) -> Seen {
    let mut seen = Seen::default();
    let mut last = None;
    loop {
        let address = pick(&nodes, &mut random);
        let patience = 5 + random.below(100);
        if visit(address, patience, &mut last, &mut seen).await == Some(true) {
            return seen;
        }
        // The reconnection delay, as in a browser.
        sleep(Duration::from_millis(20 + random.below(200) as u64)).await;
    }
}

/// Reads from one connection until the end, for a number of events, or until it breaks. Returns whether the end was read.
async fn visit(address: SocketAddr, patience: usize, last: &mut Option<String>, seen: &mut Seen) -> Option<bool> {
    let mut client = Client::connect(address, Version::HTTP_11).await.ok()?;
    let path = last.as_ref().map_or_else(|| "/events".to_owned(), |last| format!("/events?after={last}"));
    let response = client.ask(Method::GET, &path).await.ok()?;
    let mut events = EventReader::new(response.into_body());
    seen.visits += 1;
    for _ in 0..patience {
        let Some(Ok(item)) = events.next().await else { return None };
        let Item::Event(message) = item else { continue };
        *last = message.id().map(|id| id.as_str().to_owned());
        match message.name().map(|name| name.as_str()) {
            Some("subscribed") => continue,
            Some("gap") => seen.gaps += 1,
            _ => seen.data.push(message.data().to_owned()),
        }
        if message.data() == "end" {
            return Some(true);
        }
    }
    Some(false)
}

/// Returns the data of the stream up to the first end. The end may have been appended twice.
fn truth(redis: &Redis) -> Vec<String> {
    let said = redis.cli(&["XRANGE", "{sse}:stream", "-", "+"]).expect("the command succeeds");
    let mut lines = said.lines();
    let mut data = Vec::new();
    while lines.next().is_some() {
        // Each entry is an id, and its fields with their values.
        let fields: Vec<_> = lines.by_ref().take(4).collect();
        assert_eq!([fields[0], fields[1], fields[2]], ["topic", "topic", "data"]);
        data.push(fields[3].to_owned());
        if fields[3] == "end" {
            break;
        }
    }
    data
}

fn pick(nodes: &Nodes, random: &mut Random) -> SocketAddr {
    lock(nodes)[random.below(3)]
}

fn lock(nodes: &Nodes) -> std::sync::MutexGuard<'_, Vec<SocketAddr>> {
    nodes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A deterministic pseudorandom generator (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % limit.max(1)
    }
}
